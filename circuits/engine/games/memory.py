"""What a game needs in memory, said before any of it is begun."""

from __future__ import annotations

import os

from circuits.engine.enumeration import MOST_PLAYERS
from circuits.errors import UsageError

TABLE_BYTES = 48
"""Of each coalition when all are enumerated: worths, terms of the expansion, sizes."""


def needed(players: int, gates: int, budget: int, width: int = 0) -> int:
    """Gives the bytes a game takes at most, about.

    Args:
        players: n.
        gates: gates whose pre-activations are kept.
        budget: coalitions asked about.
        width: functions the surrogate is made of, at most.
    """
    if enumerable(players, budget):
        return (TABLE_BYTES + players) << players
    kept = min(budget, 1 << min(players, 60))
    return kept * (100 + 2 * players + 12 * gates) + 8 * min(width, kept) * (3 * kept + 2 * min(width, kept))


def enumerable(players: int, budget: int) -> bool:
    """Gives whether every coalition can be asked about."""
    return players <= MOST_PLAYERS and 1 << players <= budget


def check_memory(players: int, gates: int, budget: int, width: int = 0) -> None:
    """Refuses a game that does not fit into the machine's memory; see `needed`.

    Raises:
        UsageError: with both numbers.
    """
    have = available()
    need = needed(players, gates, budget, width)
    if have is not None and need > have:
        raise UsageError(
            f"{players} players with a budget of {budget:,} coalitions need about {need / 1e9:,.1f} GB, and"
            f" {have / 1e9:,.1f} GB are free: lower the budget, or group the players into concepts."
        )


def available() -> int | None:
    """Gives the machine's free memory in bytes, None where the system does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None
