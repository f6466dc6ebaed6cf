"""One-gate games v(S) = φ(b + Σ_{i∈S} c_i): a feature as a function of which of its inputs are there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from circuits.graph.run import apply_gates
from circuits.schema import GateName

KINKED: Final[tuple[GateName, ...]] = ("relu", "jumprelu", "topk", "abstopk")
"""Gates that are piecewise linear: a game that stays on one piece has no interactions at all."""


@dataclass(frozen=True, eq=False)
class GateGames:
    """g games with gates of one name and at most n players each.

    Attributes:
        gate: the name of φ.
        inputs: what each player adds to the pre-activation, c; zeros are players that change nothing.
        bias: the pre-activation without any player, b.
        threshold: θ of each game; zeros where the gate has none.
    """

    gate: GateName
    inputs: Float[np.ndarray, "g n"]
    bias: Float[np.ndarray, "g"]
    threshold: Float[np.ndarray, "g"]

    @classmethod
    def of(
        cls,
        gate: GateName,
        inputs: Sequence[Float[np.ndarray, "_"]],
        bias: Sequence[float] | Float[np.ndarray, "g"],
        threshold: Sequence[float] | Float[np.ndarray, "g"] | None = None,
    ) -> GateGames:
        """Gives games of any numbers of players, the shorter ones padded with zeros.

        Example:
            >>> GateGames.of("relu", [np.array([1.0, 2.0]), np.array([3.0])], [0.0, -1.0]).inputs.tolist()
            [[1.0, 2.0], [3.0, 0.0]]
        """
        padded = np.zeros((len(inputs), max((len(c) for c in inputs), default=0)))
        for row, c in zip(padded, inputs, strict=True):
            row[: len(c)] = c
        at = np.zeros(len(inputs)) if threshold is None else np.asarray(threshold, float)
        return cls(gate, padded, np.asarray(bias, float), at)

    def __len__(self) -> int:
        return len(self.bias)

    @property
    def players(self) -> int:
        """Gives n, padding included."""
        return int(self.inputs.shape[1])

    @property
    def total(self) -> Float[np.ndarray, "g"]:
        """Gives the pre-activation with all players, z."""
        return np.asarray(self.bias + self.inputs.sum(1))

    @property
    def span(self) -> tuple[Float[np.ndarray, "g"], Float[np.ndarray, "g"]]:
        """Gives the smallest and the largest pre-activation any coalition reaches."""
        return (
            self.bias + np.minimum(self.inputs, 0).sum(1),
            self.bias + np.maximum(self.inputs, 0).sum(1),
        )

    def part(self, rows: Any) -> GateGames:
        """Gives some of the games, chosen as an array's rows are."""
        return replace(self, inputs=self.inputs[rows], bias=self.bias[rows], threshold=self.threshold[rows])

    def padded(self, players: int) -> GateGames:
        """Gives the games with players that change nothing added, up to so many."""
        more = max(0, players - self.players)
        return replace(self, inputs=np.pad(self.inputs, [(0, 0), (0, more)]))

    def worth(self, z: Float[np.ndarray, "g *k"]) -> Float[np.ndarray, "g *k"]:
        """Gives φ of pre-activations, those of each game along the first axis."""
        theta = self.threshold.reshape(-1, *[1] * (z.ndim - 1))
        return activate(self.gate, z, theta)

    def settled(self) -> Bool[np.ndarray, "g"]:
        """Tells which games never leave one linear piece of φ, so that every interaction is exactly 0."""
        low, high = self.span
        at = self.threshold
        found: Any
        match self.gate:
            case "linear":
                found = np.ones(len(self), bool)
            case "relu":
                found = (low >= 0) | (high <= 0)
            case "jumprelu" | "topk":
                found = (low > at) | (high <= at)
            case "abstopk":
                found = (low > at) | (high < -at) | ((low >= -at) & (high <= at))
            case _:
                found = ~self.inputs.any(1)
        return np.asarray(found)


def activate(
    gate: GateName, z: Float[np.ndarray, "*k"], threshold: Float[np.ndarray, "..."] | float = 0.0
) -> Float[np.ndarray, "*k"]:
    """Gives φ(z), in z's precision."""
    with precision(double=z.dtype == np.float64):
        found = apply_gates(jnp.asarray(z), jnp.asarray(threshold), jnp.asarray(0), (gate,))
        return np.asarray(found)


def precision(*, double: bool) -> AbstractContextManager[Any]:
    """Gives a context in which JAX computes in float64 or float32. Per thread."""
    context: AbstractContextManager[Any] = jax.enable_x64(double)
    return context
