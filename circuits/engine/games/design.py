"""Which coalitions to ask about: stratified by size, small and large sizes whole, complements in pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.engine.indices import check_order
from circuits.errors import UsageError

END_SIZES = {"Moebius": "small", "Co-Moebius": "large"}
"""Indices that look at the smallest or the largest coalitions only."""

LISTED = 1 << 18
"""Sizes with at most so many coalitions are listed before some are drawn."""


@dataclass(frozen=True, eq=False)
class Design:
    """Coalitions to ask about.

    Attributes:
        masks: one coalition a row, none twice.
        sizes: players in each.
        share: 1 / coalitions of the same size here: sums with these weights are means over each size.
        portion: by size, the share of all coalitions of that size that is here.
        unit: rows with the same number are complements of each other and were drawn together.
    """

    masks: Bool[np.ndarray, "m n"]
    sizes: Int[np.ndarray, "m"]
    share: Float[np.ndarray, "m"]
    portion: Float[np.ndarray, "sizes"]
    unit: Int[np.ndarray, "m"]

    @property
    def whole(self) -> bool:
        """Gives whether every coalition is here."""
        return bool((self.portion == 1).all())

    def part(self, rows: Int[np.ndarray, "r"]) -> Design:
        """Gives the design of some of its coalitions, units whole."""
        return _with_shares(self.masks[rows], np.unique(self.unit[rows], return_inverse=True)[1])

    @property
    def weights(self) -> Float[np.ndarray, "m"]:
        """Gives weights that add up to 1, all sizes counting alike: the measure of Shapley values."""
        return self.share / len(np.unique(self.sizes))


def minimum(players: int, order: int, index: str = "SII") -> int:
    """Gives the fewest evaluations with which interactions up to an order can be estimated.

    2 · order · players, order 1 counting as 2: the empty and the full coalition, those that differ from
    them by one player, and some of every size between; Möbius and Co-Möbius values need exactly the
    coalitions of up to `order` players, or all but those, and the other end. Never more than 2^players.

    Raises:
        UsageError: an unknown index, or an order no set of players has.

    Example:
        >>> minimum(20, 2), minimum(3, 2), minimum(20, 2, "Moebius")
        (80, 8, 212)
    """
    check_order(index, order, players)
    if index in END_SIZES:
        return min(1 + sum(comb(players, size) for size in range(order + 1)), 1 << players)
    return min(2 * max(order, 2) * players, 1 << players)


def check_budget(players: int, order: int, index: str, budget: int) -> None:
    """Refuses a budget below the minimum.

    Raises:
        UsageError: with the number that is needed.
    """
    least = minimum(players, order, index)
    if budget < least:
        raise UsageError(
            f"{budget} evaluations are too few for {index} of order {order} among {players} players: give a"
            f" budget of at least {least}."
        )


def design(players: int, budget: int, seed: int = 0) -> Design:
    """Gives at most `budget` coalitions, every size counting alike.

    Sizes get equal quotas; a size with no more coalitions than its quota is taken whole, and what is
    left is shared among the others, from which coalitions are drawn without replacement, each with its
    complement. A budget of 2^players gives all coalitions.

    Args:
        players: n.
        budget: 2 (n + 1) or more, unless 2^n is less.
        seed: of the draw.

    Raises:
        UsageError: fewer than that.
    """
    least = min(2 * (players + 1), 1 << players)
    if budget < least:
        raise UsageError(f"{budget} coalitions of {players} players: give {least} or more.")
    quotas = _quotas(players, budget)
    rng = np.random.default_rng(seed)
    parts: list[Bool[np.ndarray, "k n"]] = []
    units: list[Int[np.ndarray, "k"]] = []
    count = 0
    for size in range((players + 1) // 2):
        drawn = _drawn(players, size, quotas[size], rng)
        parts += [drawn, ~drawn]
        units += [np.arange(count, count + len(drawn))] * 2
        count += len(drawn)
    if players % 2 == 0:  # complements of middle coalitions are of the same size
        half = _drawn(players - 1, players // 2 - 1, quotas[players // 2] // 2, rng)
        drawn = np.concatenate([np.ones((len(half), 1), bool), half], axis=1)
        parts += [drawn, ~drawn]
        units += [np.arange(count, count + len(drawn))] * 2
    return _with_shares(np.concatenate(parts), np.concatenate(units))


def ends(players: int, order: int, index: str) -> Design:
    """Gives the coalitions that Möbius (Co-Möbius) values up to an order are made of, all of them."""
    small = np.concatenate([_listed(players, size) for size in range(order + 1)])
    masks = small if END_SIZES[index] == "small" else ~small
    return _with_shares(masks, np.arange(len(masks)))


def _with_shares(masks: Bool[np.ndarray, "m n"], unit: Int[np.ndarray, "m"]) -> Design:
    n = masks.shape[1]
    sizes = masks.sum(axis=1)
    here = np.bincount(sizes, minlength=n + 1)
    portion = np.array([int(k) / comb(n, size) for size, k in enumerate(here)])
    return Design(masks, sizes, 1 / here[sizes], portion, unit)


def _quotas(players: int, budget: int) -> list[int]:
    """Gives how many coalitions of each size to take; a size and its complement take as many."""
    quota = [0] * (players + 1)
    open_ = list(range(players + 1))
    left = budget
    while open_:
        whole = [size for size in open_ if comb(players, size) * len(open_) <= left]
        if not whole:
            break
        for size in whole:
            quota[size] = comb(players, size)
        left -= sum(quota[size] for size in whole)
        open_ = [size for size in open_ if size not in whole]
    for size in open_:
        quota[size] = left // len(open_)
    spare = left - sum(quota[size] for size in open_)
    middle = [size for size in open_ if size <= players - size]
    for size in reversed(middle):  # one pair more for the sizes in the middle
        if spare >= 2 and size < players - size:
            quota[size] += 1
            quota[players - size] += 1
            spare -= 2
    if players % 2 == 0 and players // 2 in open_:
        quota[players // 2] = min(quota[players // 2] + spare, comb(players, players // 2)) // 2 * 2
    return quota


def _drawn(players: int, size: int, count: int, rng: np.random.Generator) -> Bool[np.ndarray, "k n"]:
    """Gives `count` different coalitions of a size, all if there are no more, in no order."""
    every = comb(players, size)
    if count >= every or every <= min(LISTED, 4 * count):
        listed = _listed(players, size)
        return listed if count >= every else listed[rng.choice(every, count, replace=False)]
    found: dict[bytes, Bool[np.ndarray, "n"]] = {}
    while len(found) < count:
        order = np.argpartition(rng.random((count - len(found), players)), size, axis=1)[:, :size]
        masks = np.zeros((len(order), players), bool)
        np.put_along_axis(masks, order, True, axis=1)
        for mask in masks:
            found.setdefault(mask.tobytes(), mask)
    return np.array(list(found.values()))


def _listed(players: int, size: int) -> Bool[np.ndarray, "k n"]:
    """Gives all coalitions of a size."""
    members = np.array(list(combinations(range(players), size)), np.int64).reshape(comb(players, size), size)
    masks = np.zeros((len(members), players), bool)
    np.put_along_axis(masks, members, True, axis=1)
    return masks
