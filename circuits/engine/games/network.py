"""The gates inside a game, fitted from what was seen of them: a network of gates on the players.

Every recorded pre-activation is fitted linearly on the players and on what the gates of lower levels do
beyond a straight line (`circuits.engine.games.mediate`): z_k ≈ b̂ + ĉ·x + Σ_{j below k} d̂_j h_j. Where
pre-activations are linear in activations, as in a graph, the fit is exact as soon as there are more
coalitions than coefficients, and the network is the circuit itself, reduced to the players; elsewhere it is
the best there is of this form, and the residual says what it misses.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import lstsq

from circuits.engine.games.game import Coalitions, InnerGates
from circuits.engine.games.mediate import Curves

MOST_GATES = 128
"""Gates a network has, at most: those that move the output most."""

PRECISION = {"f": 1e-6, "d": 1e-11}
"""Singular values below this share of the largest count as zero, by the precision of what was seen."""


@dataclass(frozen=True, eq=False)
class Network:
    """Gates in order of their level; the values are γ_k h_k, what each adds to the output by being bent.

    Attributes:
        gates: of the game.
        curves: those in the network, lower levels first.
        weights: row 0 constants, then players, then the network's own gates; column k is of gate k.
    """

    gates: InnerGates
    curves: Curves
    weights: Float[np.ndarray, "r k"]

    def values(self, masks: Coalitions) -> Float[np.ndarray, "B k"]:
        """Gives what each gate adds to the output of each coalition."""
        n, level = masks.shape[1], self.gates.level[self.curves.gates]
        known = np.zeros((len(masks), len(self.weights)))
        known[:, 0] = 1
        known[:, 1 : n + 1] = masks
        for number in np.unique(level):
            here = np.flatnonzero(level == number)
            z = known @ self.weights[:, here]
            known[:, n + 1 + here] = self.curves.bent(self.gates, masks, z, here)
        return np.asarray(known[:, n + 1 :] * self.curves.gain)


def chosen(curves: Curves, gates: InnerGates, size: Float[np.ndarray, "k"]) -> Curves:
    """Gives the curves of largest size, at most `MOST_GATES`, lower levels first."""
    best = np.argsort(-size, kind="stable")[:MOST_GATES]
    order = best[np.argsort(gates.level[curves.gates[best]], kind="stable")]
    return Curves(curves.gates[order], curves.slope[order], curves.gain[order])


def fit_network(
    gates: InnerGates,
    curves: Curves,
    masks: Coalitions,
    seen: Float[np.ndarray, "B K"],
    weights: Float[np.ndarray, "B"],
) -> Network:
    """Gives the network that fits what was seen of the gates.

    Args:
        gates: of the game.
        curves: those to fit, lower levels first.
        masks: coalitions.
        seen: the pre-activations of all gates there.
        weights: of the coalitions in the fit.
    """
    n, k = masks.shape[1], len(curves.gates)
    z = seen[:, curves.gates].astype(np.float64)
    bent = curves.bent(gates, masks, z, np.arange(k))
    known = np.concatenate([np.ones((len(masks), 1)), masks, bent], axis=1)
    root = np.sqrt(weights / weights.sum())[:, None]
    scale = np.sqrt((root**2 * known**2).sum(axis=0))
    scale = np.where(scale > 0, scale, 1)
    level = gates.level[curves.gates]
    found = np.zeros((1 + n + k, k))
    most = len(masks) // 2 - 1 - n  # gates below to fit on: half of the coalitions are left to spare
    loud = np.argsort(-np.abs(curves.gain) * bent.std(axis=0), kind="stable")
    for number in np.unique(level):
        here = np.flatnonzero(level == number)
        below = np.sort(loud[level[loud] < number][: max(most, 0)])
        rows = np.concatenate([np.arange(n + 1), n + 1 + below])
        design = known[:, rows] / scale[rows] * root
        cond = PRECISION[seen.dtype.char]
        solved = lstsq(design, z[:, here] * root, cond=cond, lapack_driver="gelsy", check_finite=False)[0]
        found[np.ix_(rows, here)] = solved / scale[rows, None]
    return Network(gates, curves, found)


def without_fold(fold: Int[np.ndarray, "m"], number: int) -> Int[np.ndarray, "r"]:
    """Gives the rows that are not in a fold."""
    return np.flatnonzero(fold != number)
