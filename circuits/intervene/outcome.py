"""What interventions did to the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from circuits.graph.actions import Intervention
from circuits.intervene.hold import Hold


@dataclass(frozen=True, eq=False)
class Outcome:
    """B interventions on one prompt, measured. v tokens in the vocabulary.

    Attributes:
        interventions: what was done.
        hold: what was held still.
        targets: names of the targets, as the graph has them.
        before: their values with nothing done.
        values: their values under each intervention.
        logits_before: the model's next-token logits with nothing done, softcap included.
        logits: the same under each intervention.
        flops: floating-point operations spent, about.
    """

    interventions: tuple[Intervention, ...]
    hold: Hold
    targets: tuple[str, ...]
    before: Float[np.ndarray, "T"]
    values: Float[np.ndarray, "B T"]
    logits_before: Float[np.ndarray, "v"]
    logits: Float[np.ndarray, "B v"]
    flops: float = 0.0

    @property
    def effects(self) -> Float[np.ndarray, "B T"]:
        """Gives how much each intervention changed each target."""
        return np.asarray(self.values - self.before)

    def __repr__(self) -> str:
        done = f"{len(self.interventions)} interventions, {len(self.targets)} targets"
        return f"Outcome({done}, held: {self.hold})"


def probabilities(logits: Float[np.ndarray, "*B v"]) -> Float[np.ndarray, "*B v"]:
    """Gives next-token probabilities: softmax over the last axis, in float64."""
    moved = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    exp: Any = np.exp(moved)
    return np.asarray(exp / exp.sum(axis=-1, keepdims=True))


def divergence(before: Float[np.ndarray, "v"], after: Float[np.ndarray, "B v"]) -> Float[np.ndarray, "B"]:
    """Gives KL(before ‖ after) in nats, for each row of logits."""
    p, q = probabilities(before), probabilities(after)
    ratio = np.log(np.maximum(p, 1e-300)) - np.log(np.maximum(q, 1e-300))
    return np.asarray((p * ratio).sum(axis=-1))
