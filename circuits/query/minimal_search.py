"""The search for a smallest set, in batches of coalitions: greedy, backwards, all sets where they are few."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from math import comb
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.errors import UsageError

ALL: Final = 16
"""Players up to which all sets are evaluated."""

TRIED: Final = 120_000
"""Smaller sets that are tried to show that none will do, at most."""

GREEDY: Final = 40
"""Players up to which a set is built by adding the best one again and again."""

CANDIDATES: Final = 400
"""Players looked at in each such step, the most influential."""

BATCH: Final = 4096

ROUNDING: Final = 1e-6
"""Shares may fall short by so much: a graph's weights are float32."""


@dataclass
class Game:
    """Sets of players and the share of the effect each keeps, or takes away.

    Attributes:
        worth: the target's value with only some players on; one coalition a row.
        players: how many.
        kind: sufficient: the share a set keeps alone; necessary: the share lost without it.
        wanted: the share wanted.
        evaluations: coalitions evaluated so far.
        most: the largest share seen so far.
    """

    worth: Callable[[Bool[np.ndarray, "B n"]], Float[np.ndarray, "B"]]
    players: int
    kind: str
    wanted: float
    evaluations: int = field(default=0)
    most: float = field(default=-np.inf)

    def __post_init__(self) -> None:
        both = np.array([[True], [False]]).repeat(self.players, axis=1)
        self.full, self.empty = (float(v) for v in self.worth(both))
        self.evaluations += 2

    def values(self, sets: Bool[np.ndarray, "B n"]) -> Float[np.ndarray, "B"]:
        """Gives the target's value with only the sets on (sufficient), or all but them (necessary)."""
        self.evaluations += len(sets)
        return self.worth(sets if self.kind == "sufficient" else ~sets)

    def shares(self, sets: Bool[np.ndarray, "B n"]) -> Float[np.ndarray, "B"]:
        """Gives the share of the effect that each set keeps, or takes away."""
        values = self.values(sets)
        moved = values - self.empty if self.kind == "sufficient" else self.full - values
        shares = np.asarray(moved / (self.full - self.empty))
        self.most = max(self.most, float(shares.max(initial=-np.inf)))
        return shares

    def enough(self, shares: Float[np.ndarray, "B"]) -> Bool[np.ndarray, "B"]:
        """Tells which shares will do."""
        return np.asarray(shares >= self.wanted - ROUNDING)


@dataclass(frozen=True)
class Smallest:
    """A set no member of which can be dropped.

    Attributes:
        members: its players, in their order.
        share: what it keeps, or takes away.
        without: the same without each member: none of these will do.
        ruled_out: no set of so many members or fewer will do: all were evaluated.
        checked: how many that were.
        steps: sets on the way: what, size, the target's value, share.
    """

    members: tuple[int, ...]
    share: float
    without: Float[np.ndarray, "k"]
    ruled_out: int
    checked: int
    steps: tuple[tuple[str, int, float, float], ...]

    @property
    def proven(self) -> bool:
        """Tells whether no smaller set will do."""
        return self.ruled_out >= len(self.members) - 1


def smallest(game: Game, order: Int[np.ndarray, "n"]) -> Smallest:
    """Gives a smallest set, or one from which no member can be dropped.

    Args:
        game: the players and the share wanted.
        order: the players, those likely to matter first.

    Raises:
        UsageError: no set that was looked at has the share.
    """
    if game.players <= ALL:
        members, checked = _of_all(game)
        return _certified(game, members, len(members) - 1, checked)
    found = [one for one in (_by_order(game, order), _by_greed(game, order)) if one is not None]
    if not found:
        raise UsageError(
            f"No set of the {game.players} players was found that has {game.wanted:.0%} of the effect; the"
            f" most seen was {game.most:.0%}. Ask for less."
        )
    best = min((_dropped(game, one, order) for one in found), key=len)
    ruled_out, checked = 0, 0
    while ruled_out < len(best) - 1:
        count = comb(game.players, ruled_out + 1)
        if checked + count > TRIED:
            break
        smaller = _of_size(game, ruled_out + 1)
        checked += count
        if smaller is not None:
            best = smaller
            break
        ruled_out += 1
    return _certified(game, best, ruled_out, checked)


def _masks(game: Game, sets: Sequence[Sequence[int]]) -> Bool[np.ndarray, "B n"]:
    masks = np.zeros((len(sets), game.players), bool)
    for row, members in enumerate(sets):
        masks[row, list(members)] = True
    return masks


def _of_all(game: Game) -> tuple[list[int], int]:
    """Gives a smallest of all sets, of several the one with the largest share; how many sets there are."""
    everything = (np.arange(1 << game.players)[:, None] >> np.arange(game.players) & 1).astype(bool)
    shares = game.shares(everything)
    size = everything.sum(axis=1)
    fit = np.flatnonzero(game.enough(shares) & (size > 0))
    if not len(fit):
        raise UsageError(
            f"No set of the {game.players} players has {game.wanted:.0%} of the effect: the most is"
            f" {shares.max():.0%}. Ask for less."
        )
    best = min(fit.tolist(), key=lambda s: (size[s], -shares[s]))
    return np.flatnonzero(everything[best]).tolist(), len(everything)


def _by_order(game: Game, order: Int[np.ndarray, "n"]) -> list[int] | None:
    """Gives the shortest beginning of an order that will do."""
    for start in range(0, game.players, BATCH):
        sizes = np.arange(start, min(start + BATCH, game.players)) + 1
        masks = np.zeros((len(sizes), game.players), bool)
        for row, size in enumerate(sizes):
            masks[row, order[:size]] = True
        fit = np.flatnonzero(game.enough(game.shares(masks)))
        if len(fit):
            return [int(i) for i in order[: sizes[fit[0]]]]
    return None


def _by_greed(game: Game, order: Int[np.ndarray, "n"]) -> list[int] | None:
    """Gives a set built by adding the best player again and again, if it will do before it gets long."""
    looked = order[:CANDIDATES].tolist()
    chosen: list[int] = []
    while len(chosen) < min(GREEDY, len(looked)):
        free = [i for i in looked if i not in chosen]
        shares = game.shares(_masks(game, [[*chosen, i] for i in free]))
        best = int(np.argmax(shares))
        chosen.append(free[best])
        if game.enough(shares[best : best + 1])[0]:
            return chosen
    return None


def _dropped(game: Game, chosen: list[int], order: Int[np.ndarray, "n"]) -> list[int]:
    """Gives what is left when members are dropped as long as the rest will do.

    The member whose loss costs least goes first. Of a long set a tenth goes at a time, while that will do.
    """
    rank = {int(player): at for at, player in enumerate(order)}
    left = list(chosen)
    while len(left) > 1:
        shares = game.shares(_masks(game, [[j for j in left if j != i] for i in left]))
        ranked = sorted(range(len(left)), key=lambda at: (-shares[at], -rank[left[at]]))
        if not game.enough(shares[ranked[0] : ranked[0] + 1])[0]:
            break
        steps = [1 << p for p in range(max(1, len(left) // 10).bit_length())]
        tries = [[j for at, j in enumerate(left) if at not in set(ranked[:step])] for step in steps]
        fit = np.flatnonzero(game.enough(game.shares(_masks(game, tries))))
        left = tries[int(fit[-1])] if len(fit) else tries[0]
    return left


def _of_size(game: Game, size: int) -> list[int] | None:
    """Gives the best of the sets of a size, if it will do: all are evaluated."""
    best, most = None, -np.inf
    for part in _parts(combinations(range(game.players), size)):
        shares = game.shares(_masks(game, part))
        at = int(np.argmax(shares))
        if shares[at] > most:
            best, most = list(part[at]), float(shares[at])
    return best if game.enough(np.array([most]))[0] else None


def _parts(sets: Iterator[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    while part := list(islice(sets, BATCH)):
        yield part


def _certified(game: Game, members: list[int], ruled_out: int, checked: int) -> Smallest:
    """Gives the set with the share of each drop evaluated."""
    drops = [[j for j in members if j != i] for i in members]
    own = _masks(game, [members, *drops])
    shares = game.shares(own)
    value = float(game.values(own[:1])[0])
    steps = (
        ("all on", game.players, game.full, 1.0),
        ("all off", 0, game.empty, 0.0),
        (
            "only the set on" if game.kind == "sufficient" else "the set off",
            len(members),
            value,
            float(shares[0]),
        ),
    )
    return Smallest(tuple(members), float(shares[0]), shares[1:], ruled_out, checked, steps)
