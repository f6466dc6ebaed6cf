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

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.engine.games.game import Coalitions, Gated, Gates
from circuits.engine.games.residual import Sets, coefficients

ROWS = 1 << 12
"""Coalitions whose gates are looked at together."""


@dataclass(frozen=True, eq=False)
class Shares:
    """What of each interaction arises at each gate.

    Attributes:
        gates: their names.
        share: one row a gate, one column a set of players.
    """

    gates: tuple[str, ...]
    share: Float[np.ndarray, "K sets"]


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
        self, gates: Gates, masks: Coalitions, seen: Float[np.ndarray, "B K"]
    ) -> Float[np.ndarray, "B k"]:
        """Gives γ_k h_k for each coalition."""
        z = seen[:, self.gates].astype(np.float64)
        return np.asarray((gates.activations(masks, z, self.gates) - self.slope * z) * self.gain)


def curves(
    worth: Gated, masks: Coalitions, seen: Float[np.ndarray, "B K"], weights: Float[np.ndarray, "B"]
) -> Curves:
    """Gives the gates that are no straight line on these coalitions, their slopes and gains.

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
    chosen = np.flatnonzero(rest > precise * np.maximum(size, np.finfo(float).tiny))
    return Curves(chosen, slope[chosen], worth.gains(slope)[chosen])


def mediate(worth: Gated, curves: Curves, index: str, sets: Sets, every: Coalitions) -> Shares:
    """Gives the shares that arise at each gate, exactly, by running all coalitions once more.

    Args:
        worth: the game's worth.
        curves: the gates to look at.
        index: the definition.
        sets: sets of players of one order, 2 or more.
        every: all 2^n coalitions.
    """
    share = np.zeros((len(curves.gates), len(sets)))
    for masks in _parts(every):
        _, seen = worth.observe(masks)
        share += curves.values(worth.gates, masks, seen).T @ _counts(index, sets, masks)
    names = worth.gates.names
    return Shares(tuple(names[k] for k in curves.gates), share)


def _counts(index: str, sets: Sets, masks: Coalitions) -> Float[np.ndarray, "B sets"]:
    """Gives what each coalition's worth counts in each set's interaction, all coalitions being known."""
    n, sizes = masks.shape[1], masks.sum(axis=1)
    by_size = coefficients(index, sets.shape[1], n) / [comb(n, size) for size in range(n + 1)]
    held = sum(masks[:, sets[:, member]].astype(np.int64) for member in range(sets.shape[1]))
    return np.asarray(by_size[held, sizes[:, None]])


def _parts(masks: Coalitions) -> Iterator[Bool[np.ndarray, "b n"]]:
    for start in range(0, len(masks), ROWS):
        yield masks[start : start + ROWS]
