"""How right an answer is: precision of rankings, F1 of interactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from fidelity_net import CLOSE, Answer, Subject  # type: ignore[import-not-found]

SHUFFLES = 20


def average_precision(scores: np.ndarray, positive: np.ndarray, seed: int = 0) -> float:
    """Gives average precision corrected for chance: 1 for a perfect ranking, 0 on average for a random one.

    AP is the mean, over the positives, of the precision at their place; equal scores are put in random
    order and the mean over orders is taken. The correction is (AP − c) / (1 − c), c being the AP of
    constant scores by the same means.
    """
    if positive.all() or not positive.any():
        return float("nan")
    scores = np.round(scores, 9)  # what is less than that is rounding
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(scores)) for _ in range(SHUFFLES)]
    chance = np.mean([_precision(positive[order]) for order in orders])
    found = np.mean(
        [_precision(positive[order][np.argsort(-scores[order], kind="stable")]) for order in orders]
    )
    return float((found - chance) / (1 - chance))


def _precision(positive: np.ndarray) -> float:
    hits = np.cumsum(positive)
    return float((hits / np.arange(1, len(positive) + 1))[positive].mean())


@dataclass(frozen=True)
class Counts:
    """Right, wrong and missed claims."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """Gives the harmonic mean of precision and recall; NaN where there is nothing to find or claim."""
        total = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / total if total else float("nan")


def compare(claimed: Mapping[Any, float], known: Mapping[Any, float]) -> Counts:
    """Gives the counts: right are the same players with the same sign and a value within `CLOSE`."""
    right = sum(
        1
        for key, value in claimed.items()
        if key in known and abs(value - known[key]) <= CLOSE * abs(known[key])
    )
    return Counts(right, len(claimed) - right, len(known) - right)


def judged(subject: Subject, answer: Answer) -> dict[str, Any]:
    """Gives everything that is measured of one answer; None where a method has no way to answer."""
    truth = subject.planted.truth
    names = subject.features
    output, inside = subject.truths()
    counts = compare(answer.interactions, output)
    in_gates = compare(answer.inside, inside)
    edges = None
    if answer.edges is not None:
        real = {(e.source, e.target) for e in truth.edges if e.matters}
        edges = average_precision(
            np.array([answer.edges[e] for e in subject.edges]), np.array([e in real for e in subject.edges])
        )
    return {
        "nodes": average_precision(
            np.array([answer.nodes[n] for n in names]), np.array([n in truth.nodes for n in names])
        ),
        "edges": edges,
        "output": [counts.right, counts.wrong, counts.missed],
        "inside": [in_gates.right, in_gates.wrong, in_gates.missed],
        "order": answer.order == max(truth.order, 1),
        "gate": answer.gate if len(subject.planted.concepts) > 1 else None,
        "true gate": called(truth.gate),
        "claims": len(answer.interactions),
        "additive": truth.order <= 1,
    }


def called(gate: str) -> str:
    """Gives the tool's word for a gate."""
    return {"majority": "other"}.get(gate, gate)
