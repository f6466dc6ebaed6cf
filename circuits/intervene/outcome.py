"""What interventions did to the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.actions import Intervention
from circuits.intervene.hold import Hold

_TOP: Final = {
    "intervention": pl.String(),
    "token": pl.String(),
    "id": pl.Int32(),
    "before": pl.Float64(),
    "after": pl.Float64(),
    "change": pl.Float64(),
}
_EFFECTS: Final = {
    "intervention": pl.String(),
    "done": pl.List(pl.String()),
    "target": pl.String(),
    "before": pl.Float64(),
    "after": pl.Float64(),
    "effect": pl.Float64(),
}


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
        flops: floating-point operations spent in matrix products.
        decode: gives the text of a token; its number unless told.
    """

    interventions: tuple[Intervention, ...]
    hold: Hold
    targets: tuple[str, ...]
    before: Float[np.ndarray, "T"]
    values: Float[np.ndarray, "B T"]
    logits_before: Float[np.ndarray, "v"]
    logits: Float[np.ndarray, "B v"]
    flops: float = 0.0
    decode: Callable[[int], str] = str

    @property
    def effects(self) -> Float[np.ndarray, "B T"]:
        """Gives how much each intervention changed each target."""
        return np.asarray(self.values - self.before)

    def top(self, k: int = 5) -> pl.DataFrame:
        """Gives the next tokens that are among the k likeliest before or after each intervention.

        Returns:
            One row for each of these tokens, the likeliest after first: `intervention`, `token` (text), `id`,
            `before` and `after` (probabilities), `change`.
        """
        before, after = probabilities(self.logits_before), probabilities(self.logits)
        rows = []
        for one, now in zip(self.interventions, after, strict=True):
            chosen = {int(i) for chances in (before, now) for i in np.argsort(-chances, kind="stable")[:k]}
            rows += [
                (one.name, self.decode(i), i, before[i], now[i], now[i] - before[i])
                for i in sorted(chosen, key=lambda i: (-now[i], i))
            ]
        return pl.DataFrame(rows, schema=_TOP, orient="row")

    def table(self) -> pl.DataFrame:
        """Gives one row for each intervention and target: what was done, before, after, effect."""
        return pl.DataFrame(
            [
                (one.name, list(one.written()), target, float(b), float(v), float(v - b))
                for one, row in zip(self.interventions, self.values, strict=True)
                for target, b, v in zip(self.targets, self.before, row, strict=True)
            ],
            schema=_EFFECTS,
            orient="row",
        )

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
