"""From truth tables over backgrounds to a gate: an interval, a decision, or *undecided*.

A table holds the worth with none, A, B and both on (v00, v10, v01, v11). With a = v10 − v00,
b = v01 − v00 and E = v11 − v00, the interaction is I = E − a − b: the Möbius term of A and B. For three
concepts it is that of all three.

The interval of I is Student's over backgrounds; the percentile bootstrap covers too little at these
sizes. The gate is the one most resamples of the mean table are nearest to (`circuits.engine.kinds`),
*none* where nothing reaches a tenth of the output's range. It is decided only if 95% of resamples agree;
*additive* only if I is also shown to be small (its 90% interval within a tenth of the largest effect:
two one-sided tests, Schuirmann 1987), a gate that interacts only if I is also shown not to be 0 (by its
99.5% interval; templates alone would call a few sums in 100 a gate). Resampled means vary less than
Student's distribution would have them, by √((R − 1) / R) and by its heavier tail; their spread is
widened by both.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float
from scipy import stats

from circuits.engine.kinds import NEGLIGIBLE, kinds
from circuits.errors import UsageError

NONE: Final = "none"
UNDECIDED: Final = "undecided"

FLOOR: Final = 0.1
"""Effects below this share of the output's range are none."""

AGREE: Final = 0.95
"""Share of resamples that must be nearest to a gate for it to be decided."""

RESAMPLES: Final = 1000


@dataclass(frozen=True)
class Decision:
    """What truth tables say.

    Attributes:
        gate: and, or, inhibit, xor, additive, other, none, or undecided.
        nearest: the gate most resamples are nearest to.
        support: the share of them.
        interaction: I, averaged over backgrounds.
        low: lower end of its 95% interval.
        high: upper end.
        together: E, averaged: all on less none.
        crossover: whether the effect of one concept changes its sign with another; None if uncertain.
    """

    gate: str
    nearest: str
    support: float
    interaction: float
    low: float
    high: float
    together: float
    crossover: bool | None

    @property
    def and_ness(self) -> float | None:
        """Gives I / E: 1 for AND, 0 for a sum, −1 for OR of two; None where together they do nothing."""
        return self.interaction / self.together if abs(self.together) > 1e-12 else None

    @property
    def removable(self) -> bool | None:
        """Tells whether a monotone change of the scale could remove the interaction (Loftus 1978).

        It could unless an effect changes sign; None where that is uncertain or nothing interacts.
        """
        if self.gate in ("additive", NONE) or self.crossover is None:
            return None
        return not self.crossover


def decide(tables: Float[np.ndarray, "R S"], span: float, *, seed: int = 0) -> Decision:
    """Gives the gate that truth tables show.

    Args:
        tables: one background a row; entry s is the worth with the concepts on whose bits are set in s.
        span: the output's range, in the worth's unit.
        seed: of the resampling.

    Raises:
        UsageError: fewer than 2 backgrounds, tables of 2 or 3 concepts not, or a number not finite.
    """
    if tables.shape[1] not in (4, 8) or len(tables) < 2:
        raise UsageError(
            f"Truth tables of shape {tables.shape}: give at least 2 rows of 4 (two concepts) or 8 (three)."
        )
    if not np.isfinite(tables).all() or not np.isfinite(span):
        raise UsageError("The truth tables hold NaN or infinity: every worth must be finite.")
    terms = moebius(tables)[:, -1]
    low, high = interval(terms)
    means = _resampled(tables, seed)
    effects = np.abs(means - means[:, :1]).max(axis=1)
    found = [NONE if e < FLOOR * span else k for e, k in zip(effects, kinds(means), strict=True)]
    nearest, votes = Counter(found).most_common(1)[0]
    support = votes / len(found)
    mean = tables.mean(axis=0)
    shown = {NONE: True, "additive": _equivalent(terms, mean)}.get(nearest, _differs(terms))
    decided = support >= AGREE and shown
    return Decision(
        gate=nearest if decided else UNDECIDED,
        nearest=nearest,
        support=support,
        interaction=float(terms.mean()),
        low=low,
        high=high,
        together=float(mean[-1] - mean[0]),
        crossover=_crossover(means),
    )


def moebius(tables: Float[np.ndarray, "R S"]) -> Float[np.ndarray, "R S"]:
    """Gives the Möbius terms of truth tables: entry s that of the members whose bits are set in s."""
    found = tables.copy()
    bit = 1
    while bit < tables.shape[1]:
        with_bit = np.arange(tables.shape[1]) & bit > 0
        found[:, with_bit] -= found[:, ~with_bit]
        bit *= 2
    return found


def interval(values: Float[np.ndarray, "R"], level: float = 0.95) -> tuple[float, float]:
    """Gives Student's interval of the mean."""
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def _resampled(tables: Float[np.ndarray, "R S"], seed: int) -> Float[np.ndarray, "b S"]:
    """Gives means of resampled backgrounds, spread as widely as Student's distribution has them."""
    count = len(tables)
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    mean = tables.mean(axis=0)
    tail = stats.t.ppf(0.975, count - 1) / stats.norm.ppf(0.975)
    wider = float(np.sqrt(count / (count - 1)) * tail)
    return np.asarray(mean + wider * (drawn @ tables / count - mean))


def _equivalent(terms: Float[np.ndarray, "R"], mean: Float[np.ndarray, "S"]) -> bool:
    largest = np.abs(mean - mean[0]).max()
    return bool(max(map(abs, interval(terms, 0.9))) <= NEGLIGIBLE * largest)


def _differs(terms: Float[np.ndarray, "R"]) -> bool:
    low, high = interval(terms, 0.995)
    return low > 0 or high < 0


def _crossover(means: Float[np.ndarray, "b S"]) -> bool | None:
    """Tells whether some member's effect has either sign, by what others are on, neither negligible."""
    sets = np.arange(means.shape[1])
    least = NEGLIGIBLE * np.abs(means - means[:, :1]).max(axis=1, keepdims=True)
    crosses = np.zeros(len(means), bool)
    bit = 1
    while bit < means.shape[1]:
        without = sets[sets & bit == 0]
        effect = means[:, without | bit] - means[:, without]
        crosses |= (effect > least).any(axis=1) & (effect < -least).any(axis=1)
        bit *= 2
    share = crosses.mean()
    return True if share >= AGREE else False if share <= 1 - AGREE else None
