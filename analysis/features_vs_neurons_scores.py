"""How well a unit tells a concept's tokens from others: scores, their intervals, and how a unit is chosen.

Everything is weighted: the positives weigh 1 in all, the negatives too, so a precision of 0.5 is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from features_vs_neurons_concepts import Labelled  # type: ignore[import-not-found]
from jaxtyping import Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.stats import norm

SHORTLIST: Final = 10
BINS: Final = 8
RESAMPLES: Final = 200


def areas(values: csr_matrix, positive: np.ndarray, weight: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Gives every unit's area under the ROC curve, P(on > off) + P(on = off) / 2, over weighted tokens.

    Args:
        values: activations, tokens × units; what is not stored is 0.
        positive: which tokens are on the concept.
        weight: of each token.

    Raises:
        ValueError: there is no weight on one side.
    """
    on, off = np.where(positive, weight, 0.0), np.where(positive, 0.0, weight)
    if not (on.sum() > 0 and off.sum() > 0):
        raise ValueError("An area needs tokens on the concept and tokens off it.")
    on, off = on / on.sum(), off / off.sum()
    entries: Any = coo_matrix(values)
    unit, value, m = entries.col.astype(np.int64), entries.data.astype(np.float32), values.shape[1]
    weights = [w[entries.row] for w in (on, off)]
    # one entry more for each unit stands for all its zeros
    left = [1 - np.bincount(unit, w, minlength=m) for w in weights]
    unit, value = np.concatenate([unit, np.arange(m)]), np.concatenate([value, np.zeros(m, np.float32)])
    plus, minus = (np.concatenate(pair) for pair in zip(weights, left, strict=True))
    key = (unit << 32) | _ordered(value)
    order = np.argsort(key)
    first = np.flatnonzero(np.diff(key[order], prepend=-1))  # of each run of equal values of one unit
    plus, minus = (np.add.reduceat(w[order], first) for w in (plus, minus))
    owner = unit[order][first]
    below = np.cumsum(minus) - minus - owner  # each unit before this one has added exactly 1
    return np.bincount(owner, plus * (below + minus / 2), minlength=m)


def _ordered(value: Float[np.ndarray, "e"]) -> Int[np.ndarray, "e"]:
    """Gives whole numbers from 0 to 2³² in the order of float32 values."""
    bits = (value + 0.0).view(np.int32).astype(np.int64)  # -0 becomes 0
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits) + 2**31


def choose(
    search: Float[np.ndarray, "m"], validation: Float[np.ndarray, "m"], allowed: Int[np.ndarray, "c"]
) -> int:
    """Gives the unit that is best on validation among the ten that are best on search."""
    listed = allowed[np.argsort(-search[allowed], kind="stable")[:SHORTLIST]]
    return int(listed[np.argmax(validation[listed])])


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float

    def json(self) -> list[float | None]:
        """Gives value, low and high; None for what does not exist."""
        return [round(float(x), 4) if np.isfinite(x) else None for x in (self.value, self.low, self.high)]


@dataclass(frozen=True)
class Score:
    """What one unit achieves on one split.

    Attributes:
        auc: area under the ROC curve.
        precision: on-concept share of what lies above half of the unit's maximum elsewhere.
        recall: share of the concept that lies there.
        samples: the area under every reweighting of the documents.
        bins: on-concept share of each eighth of the range of activations, None where under 5 tokens lie.
        tokens: tokens in each.
        kinds: the area against each kind of negatives alone.
        passages: the area of the passages' mean activations, None where passages hold both kinds.
    """

    auc: Interval
    precision: Interval
    recall: Interval
    samples: Float[np.ndarray, "b"]
    bins: list[float | None]
    tokens: list[int]
    kinds: list[float]
    passages: float | None


def score(values: Float[np.ndarray, "n"], labelled: Labelled, largest: float) -> Score:
    """Gives a unit's scores, with intervals over documents.

    The intervals are those of the Bayesian bootstrap (Rubin 1981): every document's weight is drawn from
    Exp(1), since the tokens of one document are not independent. The draws are the same for every unit, so
    that differences are paired.

    Args:
        values: the unit's activations at the labelled tokens.
        labelled: the tokens.
        largest: the unit's largest activation on the other splits.
    """
    column = csr_matrix(values[:, None])
    high = values > max(largest, 0.0) / 2
    documents, document = np.unique(labelled.document, return_inverse=True)
    dice = np.random.default_rng(0)
    drawn = [labelled.weight, *(labelled.weight * dice.exponential(size=len(documents))[document]
                                for _ in range(RESAMPLES))]  # fmt: skip
    found = np.array([_three(column, high, labelled, _balanced(labelled, w)) for w in drawn])
    auc, precision, recall = (_interval(numbers) for numbers in found.T)
    shares, counts = _bins(values, labelled, largest)
    return Score(auc, precision, recall, found[1:, 0], shares, counts, _kinds(column, labelled),
                 _passages(values, labelled))  # fmt: skip


def _interval(numbers: Float[np.ndarray, "b"]) -> Interval:
    """Gives the first number with the middle 95% of the others; those that do not exist do not count."""
    drawn = numbers[1:][np.isfinite(numbers[1:])]
    low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
    return Interval(float(numbers[0]), float(low), float(high))


def _balanced(labelled: Labelled, weight: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Gives weights with which every kind weighs what it weighs in `labelled`."""
    should = np.bincount(labelled.kind, labelled.weight)
    share: Float[np.ndarray, "k"] = should / np.bincount(labelled.kind, weight)
    balanced: Float[np.ndarray, "n"] = weight * share[labelled.kind]
    return balanced


def _three(
    column: csr_matrix, high: np.ndarray, labelled: Labelled, weight: Float[np.ndarray, "n"]
) -> tuple[float, float, float]:
    """Gives area, precision and recall."""
    right, wrong = weight[high & labelled.positive].sum(), weight[high & ~labelled.positive].sum()
    precision = right / (right + wrong) if right + wrong else np.nan
    return float(areas(column, labelled.positive, weight)[0]), precision, right


def _bins(
    values: Float[np.ndarray, "n"], labelled: Labelled, largest: float
) -> tuple[list[float | None], list[int]]:
    shares: list[float | None] = []
    counts = []
    for number in range(BINS):
        low, high = largest * number / BINS, largest * (number + 1) / BINS
        inside = (values > low) & ((values <= high) | (number == BINS - 1))
        counts.append(int(inside.sum()))
        weight = labelled.weight[inside]
        on = float(weight[labelled.positive[inside]].sum())
        shares.append(round(on / float(weight.sum()), 4) if counts[-1] >= 5 else None)
    return shares, counts


def _kinds(column: csr_matrix, labelled: Labelled) -> list[float]:
    found = []
    for kind in range(1, int(labelled.kind.max()) + 1):
        weight = np.where((labelled.kind == 0) | (labelled.kind == kind), labelled.weight, 0.0)
        found.append(round(float(areas(column, labelled.positive, weight)[0]), 4))
    return found


def _passages(values: Float[np.ndarray, "n"], labelled: Labelled) -> float | None:
    """Gives the area of the passages' means, each kind of passages weighing as its tokens did."""
    _, first, passage, size = np.unique(
        labelled.passage, return_index=True, return_inverse=True, return_counts=True
    )
    kind = labelled.kind[first]
    if (kind[passage] != labelled.kind).any():
        return None
    means = np.bincount(passage, values) / size
    weight = (np.bincount(labelled.kind, labelled.weight) / np.bincount(kind))[kind]
    return round(float(areas(csr_matrix(means[:, None]), kind == 0, weight)[0]), 4)


def difference(one: Score, other: Score) -> tuple[Interval, float]:
    """Gives how much larger one unit's area is, and the p-value that it is not, by the bootstrap's spread."""
    samples = one.samples - other.samples
    value = one.auc.value - other.auc.value
    low, high = np.percentile(samples, [2.5, 97.5])
    spread = float(samples.std())
    p = 2 * float(norm.sf(abs(value) / spread)) if spread > 0 else 1.0
    return Interval(value, float(low), float(high)), p


def holm(p: list[float]) -> list[float]:
    """Gives p-values corrected for their number (Holm 1979).

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate([(len(p) - i) * p[at] for i, at in enumerate(order)])
    found = [0.0] * len(p)
    for at, value in zip(order, corrected, strict=True):
        found[at] = min(1.0, float(value))
    return found
