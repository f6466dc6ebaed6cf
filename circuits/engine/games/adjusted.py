"""An estimate of interactions from a surrogate and what it leaves, with intervals.

I(T) is the surrogate's interaction, in closed form or by enumeration, plus λ times the unbiased estimate of
what the surrogate leaves (`circuits.engine.games.residual`). With β² the mean square of what the surrogate
leaves and V the variance of its estimate, λ = β² / (β² + V), the James–Stein factor 1 − V / E‖·‖². The
surrogate is a mean over folds, each fitted without one part of the coalitions, and what it leaves is
estimated from that part: nothing is judged by what it was fitted to, and surrogate plus residual is unbiased.
The mean square error is (1 − λ)² β² + λ² V; for intervals β² is raised by what its own estimate may be off,
and the error is never taken for less than halfway from V to λ V.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float
from scipy.special import bernoulli
from scipy.stats import t as student

from circuits.engine import enumeration
from circuits.engine.games.design import design
from circuits.engine.games.residual import Estimate, Sets, sampled
from circuits.engine.games.sets import every
from circuits.engine.games.surrogate import Seen, Surrogate, best, split

COVERED = 0.95
"""Of the intervals, the share that hold the value."""

STAND_IN = 1 << 13
"""Coalitions the gates' part of a surrogate is asked about where there are too many to enumerate."""


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Estimates of one order.

    Attributes:
        value: of each set.
        half: what its interval reaches to either side.
        unbiased: the estimate with the residual as it is.
        shrinkage: the factor of the residual in `value`.
    """

    value: Float[np.ndarray, "sets"]
    half: Float[np.ndarray, "sets"]
    unbiased: Float[np.ndarray, "sets"]
    shrinkage: float


def adjusted(seen: Seen, surrogate: Surrogate, index: str, sets: Sets, top: int) -> Adjusted:
    """Gives the estimate of each set's interaction.

    Args:
        seen: what was learnt of the game.
        surrogate: fitted to it.
        index: the definition.
        sets: sets of one order; all sets up to order `top` must be few for k-SII below its top order.
        top: the largest order asked for.
    """
    base = stand_in(surrogate, index, sets, top)
    folds = _folds(seen, surrogate, index, sets, top)
    left = np.mean([one.value for one in folds], axis=0)
    variance = np.mean([one.variance for one in folds], axis=0) / len(folds)
    square = max(0.0, float(np.mean([(one.value**2 - one.variance).mean() for one in folds])))
    shrinkage = square / (square + float(variance.mean())) if square > 0 else 0.0
    cautious = _cautious(base.value, folds, square + float(variance.mean()) * np.sqrt(8 / seen.players))
    apart = (1 - shrinkage) ** 2 * cautious + shrinkage**2 * variance
    # both saw the same coalitions: their errors do not cancel as much as independent ones would
    error = np.sqrt(np.maximum(apart, (1 + shrinkage) / 2 * variance) + base.variance)
    return Adjusted(
        value=base.value + shrinkage * left,
        half=_quantile(seen) * error,
        unbiased=base.value + left,
        shrinkage=shrinkage,
    )


def _cautious(
    value: Float[np.ndarray, "sets"], folds: Sequence[Estimate], square: float
) -> Float[np.ndarray, "sets"]:
    """Gives β² of each set: `square`, and more for large interactions if folds say they are off by more."""
    off = np.mean([one.value**2 - one.variance for one in folds], axis=0) - square
    weight = value**2
    share = weight @ off / (weight @ weight) if (weight > 0).any() else 0.0
    return np.asarray(square + max(float(share), 0.0) * weight)


def _quantile(seen: Seen) -> float:
    """Gives Student's quantile: degrees of freedom are those of the variance within one size."""
    sampled_sizes = np.flatnonzero(seen.design.portion < 1)
    units = len(np.unique(seen.design.unit[seen.fold >= 0]))
    each = units / max(1, len(np.unique(np.minimum(sampled_sizes, sampled_sizes[::-1]))))
    return float(student.ppf((1 + COVERED) / 2, max(each - 1, 2)))


def stand_in(surrogate: Surrogate, index: str, sets: Sets, top: int) -> Estimate:
    """Gives the surrogate's own interactions; with a variance where its gates had to be sampled."""
    value = _kernels(surrogate, index, sets, top)
    if not surrogate.networks:
        return Estimate(value, np.zeros(len(sets)))
    gates = _gates(surrogate, index, sets, top)
    return Estimate(value + gates.value, gates.variance)


def _kernels(surrogate: Surrogate, index: str, sets: Sets, top: int) -> Float[np.ndarray, "sets"]:
    t, n = sets.shape[1], surrogate.centres.shape[1]
    if t == top or index not in ("k-SII", "STII"):
        return surrogate.kernel.index(surrogate.centres, surrogate.amount, index, sets)
    if index == "STII":
        return surrogate.kernel.index(surrogate.centres, surrogate.amount, "Moebius", sets)
    found = np.zeros(len(sets))
    held = np.zeros((len(sets), n))
    np.put_along_axis(held, sets, 1.0, axis=1)
    for extra, number in enumerate(bernoulli(top - t)):
        wider = every(n, t + extra)
        values = surrogate.kernel.index(surrogate.centres, surrogate.amount, "SII", wider)
        inside = np.zeros((len(wider), n))
        np.put_along_axis(inside, wider, 1.0, axis=1)
        found += number * ((held @ inside.T > t - 0.5) @ values)
    return found


def _gates(surrogate: Surrogate, index: str, sets: Sets, top: int) -> Estimate:
    n = surrogate.centres.shape[1]
    if n > enumeration.MOST_PLAYERS:
        part = adjusted(*_asked(surrogate), index, sets, top)
        return Estimate(part.value, (part.half / 2) ** 2)
    values = enumeration.exact_interactions(_table(surrogate), index, top).values[sets.shape[1] - 1]
    place = np.searchsorted(enumeration.sets_of_size(n, sets.shape[1]), (1 << sets).sum(axis=1))
    return Estimate(values[place], np.zeros(len(sets)))


@lru_cache(maxsize=1)
def _table(surrogate: Surrogate) -> Float[np.ndarray, "S"]:
    """Gives the gates' part of a surrogate for all coalitions."""
    masks = enumeration.all_coalitions(surrogate.centres.shape[1])
    parts = (masks[start : start + (1 << 14)] for start in range(0, len(masks), 1 << 14))
    return np.concatenate([surrogate.gates(part) for part in parts])


@lru_cache(maxsize=1)
def _asked(surrogate: Surrogate) -> tuple[Seen, Surrogate]:
    """Gives what is learnt of the gates' part of a surrogate by asking it, as of any game."""
    drawn = design(surrogate.centres.shape[1], STAND_IN, seed=1)
    worths = surrogate.gates(drawn.masks)
    seen = Seen(drawn, worths, np.zeros((len(worths), 0)), split(drawn, 1))
    return seen, best(seen, None, 1)


def _folds(seen: Seen, surrogate: Surrogate, index: str, sets: Sets, top: int) -> list[Estimate]:
    """Gives what the surrogate leaves of each interaction, as each fold sees it that it was not fitted to."""
    found = []
    for residual in surrogate.left:
        rows = np.flatnonzero(~np.isnan(residual))
        found.append(sampled(seen.design.part(rows), residual[rows], index, sets, top))
    return found
