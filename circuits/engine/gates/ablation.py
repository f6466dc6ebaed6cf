"""Ablations of a gate, exact for any φ: every coalition of a few members, all other inputs on, or all off.

With all others on, the alternating sum over a set's members is the Co-Möbius interaction,

    pair = φ(z) − φ(z − c_i) − φ(z − c_j) + φ(z − c_i − c_j),

what ablating i, j and both tells; with all others off it is the Möbius (Harsanyi) interaction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.gates.games import GateGames
from circuits.engine.gates.pairs import BLOCK, Strongest, best_of

ABLATED: Final = ("Moebius", "Co-Moebius")
"""The indices that are one alternating sum of ablations."""


def truth_tables(
    games: GateGames, members: Int[np.ndarray, "g m t"], *, others: bool = True
) -> Float[np.ndarray, "g m S"]:
    """Gives v of every coalition of the members of each set, S = 2^t.

    Args:
        games: the games.
        members: m sets of t players of each game.
        others: whether all other players are on, or off.

    Returns:
        Entry s is the worth with the members on whose bits are set in s, member i being bit 2^i.
    """
    t = members.shape[2]
    inside = (np.arange(1 << t)[:, None] >> np.arange(t) & 1).astype(float)
    c = np.take_along_axis(games.inputs[:, None, :], members, axis=2)
    start = games.bias[:, None] if not others else games.total[:, None] - c.sum(2)
    return games.worth(start[:, :, None] + c @ inside.T)


def alternating(tables: Float[np.ndarray, "*k S"]) -> Float[np.ndarray, "*k"]:
    """Gives Σ_s (−1)^{t − |s|} table[s]: what all members do together beyond what their subsets do."""
    size = tables.shape[-1]
    signs = [(-1.0) ** (size.bit_length() - 1 - s.bit_count()) for s in range(size)]
    return np.asarray(tables @ np.array(signs))


def ablated_sets(games: GateGames, members: Int[np.ndarray, "g m t"], index: str) -> Float[np.ndarray, "g m"]:
    """Gives the Möbius or Co-Möbius interactions of chosen sets."""
    return alternating(truth_tables(games, members, others=index == "Co-Moebius"))


def strongest_ablated(
    games: GateGames, index: str, top: int | None, floor: Float[np.ndarray, "g"]
) -> list[Strongest]:
    """Gives the `top` Möbius or Co-Möbius pairs of each game with |I| ≥ floor, a block of rows at a time."""
    return [_strongest(games.part([g]), index, top, float(floor[g])) for g in range(len(games))]


def _strongest(game: GateGames, index: str, top: int | None, floor: float) -> Strongest:
    c, all_on = game.inputs[0], index == "Co-Moebius"
    start, sign = (game.total, -1.0) if all_on else (game.bias, 1.0)

    def both(rows: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r n"]:
        return np.asarray(game.worth(start[:, None, None] + sign * (c[rows, None] + c)[None])[0])

    return search_ablated(
        float(game.worth(start)[0]), game.worth(start[:, None] + sign * c)[0], both, top, floor
    )


def search_ablated(
    base: float,
    alone: Float[np.ndarray, "n"],
    both: Callable[[Int[np.ndarray, "r"]], Float[np.ndarray, "r n"]],
    top: int | None,
    floor: float,
) -> Strongest:
    """Gives the strongest v(∅) − v(i) − v(j) + v(ij), v being the worth with so many players changed.

    Args:
        base: with none changed.
        alone: with one changed.
        both: with some players (rows) and every other (columns) changed.
        top: at most so many; all unless given.
        floor: the least |I|.
    """
    n = len(alone)
    members, values = np.zeros((0, 2), int), np.zeros(0)
    for at in range(0, n, BLOCK):
        rows = np.arange(at, min(at + BLOCK, n))
        pairs = both(rows)
        table = base - alone[rows, None] - alone + pairs
        # rounding leaves crumbs of what is exactly 0: a few units of the last place of the terms
        terms = abs(base) + np.abs(alone[rows, None]) + np.abs(alone) + np.abs(pairs)
        i, j = np.nonzero((rows[:, None] < np.arange(n)) & (np.abs(table) > 8 * np.finfo(float).eps * terms))
        members = np.concatenate([members, np.stack([rows[i], j], 1)])
        place, values = best_of(np.append(values, table[i, j]), top, floor)
        members = members[place]
    return Strongest(members, values, n * (n - 1) // 2)
