"""What is on besides the concepts: random coalitions, drawn so that the mean interaction is an index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from circuits.engine.indices import check_order
from circuits.errors import UsageError

LEAST: Final = 4
"""Backgrounds an interval needs at least."""

_SINGLE: Final = ("Moebius", "Co-Moebius")


@dataclass(frozen=True)
class Backgrounds:
    """How the rest is drawn.

    Each background draws its share q from the index's measure μ (see `circuits.engine.indices`), then
    keeps every other player on with probability q. The interaction of the concepts, averaged over such
    backgrounds, is an unbiased estimate of the index's value for them, each being one player beside all
    others. On a graph the others are the nodes that no concept leads to and that lead to none: those it
    leads to are how the concepts act, so they stay, and respond; without those that lead to it, a concept
    that is on would not be on.

    Attributes:
        count: backgrounds.
        index: SII, BII, STII, FSII or CHII.
        seed: of the draws.

    Raises:
        UsageError: fewer than 4 backgrounds, or an index that has a single one.
    """

    count: int = 128
    index: str = "SII"
    seed: int = 0

    def __post_init__(self) -> None:
        check_order(self.index, 2, 2)
        if self.count < LEAST:
            raise UsageError(f"{self.count} backgrounds give no interval: take at least {LEAST}.")
        if self.index in _SINGLE:
            raise UsageError(
                f"{self.index} has one background, so no interval: take SII, BII, CHII, STII or FSII. What"
                " happens with everything else on is told anyway."
            )

    def draw(self, order: int, players: int) -> Bool[np.ndarray, "R n"]:
        """Gives the backgrounds of concepts of this number: true where a player is on."""
        rng = np.random.default_rng(self.seed)
        kept = _shares(self.index, order, self.count, rng)
        return rng.random((self.count, players)) < kept[:, None]


def _shares(index: str, order: int, count: int, rng: np.random.Generator) -> Float[np.ndarray, "R"]:
    """Gives draws from the index's measure over the share of players that are on."""
    if index == "BII":
        return np.full(count, 0.5)
    a, b = {"STII": (1, order), "CHII": (order, 1), "FSII": (order, order)}.get(index, (1, 1))
    return rng.beta(a, b, count)
