"""What the study's numbers come to: agreement of predictions, and medians of areas and curves."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr

Row = dict[str, Any]

ORDER, DOWN, PREDICTED = 0, 1, 2
HELD: Final = {"frozen": 3, "free": 4}
"""Columns of a test, as `faithfulness_runs.tried` writes them."""


def tests(base: Row, order: int) -> list[Float[np.ndarray, "k 5"]]:
    """Gives the tests of an order, an array a prompt."""
    found = []
    for prompt in base["prompts"]:
        rows = np.array(prompt["tests"], np.float64)
        found.append(rows[rows[:, ORDER] == order])
    return found


def spearman(rows: Float[np.ndarray, "k 5"], held: str) -> float:
    """Gives the rank correlation of measured and predicted effects; NaN where either is constant."""
    x, y = rows[:, PREDICTED], rows[:, HELD[held]]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)


def slope(rows: Float[np.ndarray, "k 5"], held: str) -> float:
    """Gives the slope of measured on predicted, a line through 0 by least squares: 1 is right."""
    x, y = rows[:, PREDICTED], rows[:, HELD[held]]
    return float(x @ y / (x @ x)) if x.any() else float("nan")


def signs(rows: Float[np.ndarray, "k 5"], held: str) -> float:
    """Gives the share of predicted effects, those at least 1% of the largest, whose sign is right."""
    x, y = rows[:, PREDICTED], rows[:, HELD[held]]
    large = np.abs(x) >= 0.01 * np.abs(x).max(initial=0)
    return float((np.sign(x) == np.sign(y))[large].mean()) if x.any() else float("nan")


def worst(rows: Float[np.ndarray, "k 5"], held: str) -> float:
    """Gives the largest difference of measured and predicted, as a share of the largest predicted effect."""
    x, y = rows[:, PREDICTED], rows[:, HELD[held]]
    return float(np.abs(x - y).max() / np.abs(x).max()) if x.any() else float("nan")


Measure = Callable[[Float[np.ndarray, "k 5"], str], float]
MEASURES: Final[dict[str, Measure]] = {
    "Spearman": spearman,
    "slope": slope,
    "right sign": signs,
    "worst error": worst,
}


def median(values: Sequence[float]) -> float:
    """Gives the median of the values that are numbers."""
    kept = [v for v in values if np.isfinite(v)]
    return float(np.median(kept)) if kept else float("nan")


def by_distance(base: Row) -> list[tuple[str, Float[np.ndarray, "k 5"]]]:
    """Gives the single ablations of all prompts, in up to four equal ranges of layers to the output."""
    rows = np.concatenate(tests(base, 1))
    edges = np.linspace(0, base["layers"], min(4, base["layers"]) + 1)
    found = []
    for low, high in itertools.pairwise(edges):
        first, last = int(np.floor(low)) + 1, int(np.floor(high))
        part = rows[(rows[:, DOWN] >= first) & (rows[:, DOWN] <= last)]
        found.append((str(first) if first == last else f"{first} to {last}", part))
    return found


def curves(base: Row, ablation: str, ranking: str, by: str) -> list[Row]:
    """Gives the curves of a ranking, one a prompt; of scores without a sign there is one way to rank."""
    found = []
    for prompt in base["prompts"]:
        mine = [c for c in prompt["curves"] if (c["ablation"], c["ranking"]) == (ablation, ranking)]
        found += [c for c in mine if c["by"] == by] or mine
    return found
