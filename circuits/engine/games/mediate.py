"""Through which gates an interaction on the output runs.

Every gate's activation is a_k = s_k z_k + h_k for any slope s_k; with s_k the least-squares slope over
coalitions, h_k is what the gate does beyond a straight line: 0 for one that never nears its kink. As
pre-activations are linear in activations, the worth is linear in the h_k,

    v(S) = constant + Σ_i β_i x_i + Σ_k γ_k h_k(S),      γ_k the gain from k to the output, later slopes held,

and so is every interaction of two or more players: I_v(T) = Σ_k γ_k I_{h_k}(T). γ_k I_{h_k}(T) is the share
that arises at gate k and is carried on to the output. In a graph the shares add up to the whole; where the
worth is a model's own, what is left is its remainder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.engine.games.design import Design
from circuits.engine.games.game import Coalitions, Gated, InnerGates
from circuits.engine.games.residual import Sets, coefficients, sampled

KINKED = ("relu", "jumprelu", "topk", "abstopk")
"""Gates that are straight lines but for a kink; the others always bend."""

ROWS = 1 << 12
"""Coalitions whose gates are looked at together."""


@dataclass(frozen=True, eq=False)
class Shares:
    """What of each interaction arises at each gate.

    Attributes:
        gates: their names.
        share: one row a gate, one column a set of players.
        half: what its 95% interval reaches to either side; 0 where it is exact.
    """

    gates: tuple[str, ...]
    share: Float[np.ndarray, "k sets"]
    half: Float[np.ndarray, "k sets"]


@dataclass(frozen=True, eq=False)
class Curves:
    """The part of gates' activations that is no straight line, times what it adds to the output.

    Attributes:
        gates: rows of the game's gates: those that are no straight line on some coalition looked at.
        slope: of the straight line, by gate.
        gain: what one unit more adds to the output, by gate.
    """

    gates: Int[np.ndarray, "k"]
    slope: Float[np.ndarray, "k"]
    gain: Float[np.ndarray, "k"]

    def values(
        self, gates: InnerGates, masks: Coalitions, seen: Float[np.ndarray, "B K"]
    ) -> Float[np.ndarray, "B k"]:
        """Gives γ_k h_k for each coalition, from the pre-activations of all gates."""
        z = seen[:, self.gates].astype(np.float64)
        return np.asarray(self.bent(gates, masks, z, np.arange(len(self.gates))) * self.gain)

    def bent(
        self, gates: InnerGates, masks: Coalitions, z: Float[np.ndarray, "B c"], chosen: Int[np.ndarray, "c"]
    ) -> Float[np.ndarray, "B c"]:
        """Gives h_k of some of these gates for each coalition, from their pre-activations."""
        return np.asarray(gates.activations(masks, z, self.gates[chosen]) - self.slope[chosen] * z)


def curves(
    worth: Gated, masks: Coalitions, seen: Float[np.ndarray, "B K"], weights: Float[np.ndarray, "B"]
) -> Curves:
    """Gives the gates that are no straight line, their slopes and gains.

    Those that bend on these coalitions, and those whose kink lies within reach on others, by a linear
    fit of their pre-activation on the players.

    Args:
        worth: the game's worth.
        masks: coalitions.
        seen: the pre-activations of all gates there.
        weights: of the coalitions in the least-squares slopes; their sum is 1.
    """
    z = seen.astype(np.float64)
    active = worth.gates.activations(masks, z)
    middle = z - weights @ z
    spread, precise = weights @ middle**2, 1e-12 if seen.dtype == np.float64 else 1e-6
    moves = spread > precise**2 * (weights @ z**2)
    slope = np.where(moves, weights @ (middle * active), 0) / np.where(moves, spread, 1)
    bent = active - slope * z
    rest = np.sqrt(weights @ (bent - weights @ bent) ** 2)
    size = np.sqrt(spread) + np.sqrt(weights @ active**2)
    bends = rest > precise * np.maximum(size, np.finfo(float).tiny)
    chosen = np.flatnonzero(bends | (moves & _may_bend(worth.gates, masks, z)))
    return Curves(chosen, slope[chosen], worth.gains(slope)[chosen])


def _may_bend(gates: InnerGates, masks: Coalitions, z: Float[np.ndarray, "B K"]) -> Bool[np.ndarray, "K"]:
    """Gives the gates with a kink whose pre-activation may fall on either side of it in some coalition."""
    known = np.concatenate([np.ones((len(masks), 1)), masks], axis=1)
    fit = np.linalg.lstsq(known, z, rcond=None)[0]
    spare = np.abs(z - known @ fit).max(axis=0)
    low = fit[0] + np.minimum(fit[1:], 0).sum(axis=0) - spare
    high = fit[0] + np.maximum(fit[1:], 0).sum(axis=0) + spare
    kinked = np.isin(gates.kinds, KINKED)
    two_sided = np.array(gates.kinds) == "abstopk"
    crosses = (low <= gates.threshold) & (high > gates.threshold)
    return np.asarray(kinked & (crosses | two_sided & (low <= -gates.threshold) & (high > -gates.threshold)))


def mediate(
    values: Callable[[Bool[np.ndarray, "b n"]], Float[np.ndarray, "b k"]],
    index: str,
    sets: Sets,
    every: Coalitions,
) -> Float[np.ndarray, "k sets"]:
    """Gives γ_k I_{h_k}(T) for each gate and set, exactly, from γ_k h_k of all coalitions.

    Args:
        values: gives γ_k h_k, one column a gate, for coalitions.
        index: the definition.
        sets: sets of players of one order, 2 or more.
        every: all 2^n coalitions.
    """
    parts = (every[start : start + ROWS] for start in range(0, len(every), ROWS))
    return np.asarray(sum(values(masks).T @ _counts(index, sets, masks) for masks in parts))


def mediate_sampled(
    values: Float[np.ndarray, "m k"], design: Design, index: str, sets: Sets
) -> tuple[Float[np.ndarray, "k sets"], Float[np.ndarray, "k sets"]]:
    """Gives unbiased estimates of γ_k I_{h_k}(T) from a design's coalitions, and their variances."""
    found = [sampled(design, column, index, sets) for column in values.T]
    shape = (len(found), len(sets))
    value, variance = ([one.value for one in found], [one.variance for one in found])
    return np.reshape(value, shape).astype(float), np.reshape(variance, shape).astype(float)


def _counts(index: str, sets: Sets, masks: Coalitions) -> Float[np.ndarray, "B sets"]:
    """Gives what each coalition's worth counts in each set's interaction, all coalitions being known."""
    n, sizes = masks.shape[1], masks.sum(axis=1)
    by_size = coefficients(index, sets.shape[1], n) / [comb(n, size) for size in range(n + 1)]
    held = sum(masks[:, sets[:, member]].astype(np.int64) for member in range(sets.shape[1]))
    return np.asarray(by_size[held, sizes[:, None]])
