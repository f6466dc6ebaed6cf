"""How well predictions agree with what was measured: rank, slope, sign, each with an interval."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy import stats

RESAMPLES: Final = 2000
FEWEST: Final = 5
"""Claims below which nothing is said of agreement: a correlation of four numbers says nothing."""

Numbers = Float[np.ndarray, "*n"]


class Estimate(NamedTuple):
    """A number and its 95% bootstrap interval; None where it is not defined, or not asked for."""

    value: float | None
    low: float | None = None
    high: float | None = None


def spearman(predicted: Numbers, measured: Numbers, axis: int = -1) -> Float[np.ndarray, "..."]:
    """Gives the rank correlation; NaN where either side is all the same."""
    ranks = [stats.rankdata(side, axis=axis) for side in (predicted, measured)]
    one, other = (rank - rank.mean(axis=axis, keepdims=True) for rank in ranks)
    size = np.sqrt((one * one).sum(axis=axis) * (other * other).sum(axis=axis))
    return np.asarray((one * other).sum(axis=axis) / np.where(size > 0, size, np.nan))


def slope(predicted: Numbers, measured: Numbers, axis: int = -1) -> Float[np.ndarray, "..."]:
    """Gives the slope through the origin, measured on predicted: Σ p·m / Σ p²; 1 where the graph is right."""
    square = (predicted * predicted).sum(axis=axis)
    return np.asarray((predicted * measured).sum(axis=axis) / np.where(square > 0, square, np.nan))


def same_sign(predicted: Numbers, measured: Numbers, axis: int = -1) -> Float[np.ndarray, "..."]:
    """Gives the share of claims whose sign was right."""
    return np.asarray((np.sign(predicted) == np.sign(measured)).mean(axis=axis))


MEASURES: Final[Mapping[str, Callable[..., Numbers]]] = {
    "spearman": spearman,
    "slope": slope,
    "sign": same_sign,
}


def agreement(
    rows: pl.DataFrame, *, negligible: float = 0.0, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Estimate]:
    """Gives Spearman's ρ, the slope through the origin and the agreement of signs of verdicts.

    Intervals are percentiles of `scipy.stats.bootstrap` over the claims: they tell how much hangs on
    single claims, not what other prompts would give.

    Args:
        rows: verdicts; `predicted` and `measured` are read.
        negligible: the sign of predictions no larger than this is not asked for.
        resamples: bootstrap samples; 0 for no intervals.
        seed: of the bootstrap.
    """
    large = rows.filter(pl.col("predicted").abs() > negligible)
    return {
        name: _estimate(measure, large if name == "sign" else rows, resamples, seed)
        for name, measure in MEASURES.items()
    }


def _estimate(measure: Callable[..., Numbers], rows: pl.DataFrame, resamples: int, seed: int) -> Estimate:
    if len(rows) < FEWEST:
        return Estimate(None)
    pair = rows["predicted"].to_numpy(), rows["measured"].to_numpy()
    value = float(measure(*pair))
    if not np.isfinite(value):
        return Estimate(None)
    if not resamples:
        return Estimate(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # samples of one claim many times have no correlation
        drawn: Any = stats.bootstrap(
            pair,
            measure,
            paired=True,
            vectorized=True,
            method="percentile",
            n_resamples=resamples,
            rng=np.random.default_rng(seed),
        )
        low, high = np.nanquantile(drawn.bootstrap_distribution, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
