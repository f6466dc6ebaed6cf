"""A product kernel on coalitions: all orders at once, each order weighing less than the one below.

With s_i = ±1 for a player that takes part or not, k(s, s′) = Π_i (1 + ρ_i s_i s′_i) / (1 + ρ_i) gives every
set U of players a term of its own with prior variance ∝ Π_{i∈U} ρ_i (an ANOVA kernel on the cube: Duvenaud,
Nickisch & Rasmussen 2011). A sum of kernels at coalitions is a sum of products over players, so that
every interaction index of it is in closed form, as `of_products` gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize

from circuits.engine.games.residual import Sets
from circuits.engine.indices import quadrature

Coalitions = Bool[np.ndarray, "B n"]

LEARNT_ON = 640
"""Coalitions by which the kernel's parameters are learnt, at most."""

NODES = 32
"""Of the quadrature over q, at most: exact up to 60 players, far below the intervals beyond."""

ROUNDING = 1e-11
"""Added to a diagonal, relative to what is on it, so that rounding leaves the matrix positive."""

STEPS = 40
"""Steps of that, at most."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """The kernel and what goes with it in a regression.

    Attributes:
        rho: by player, the prior variance of its terms relative to those without it.
        noise: variance of what no term explains, relative to that of all terms; of a coalition with
            average weight.
        gates: prior variance of the gates' coefficients, relative to that of all terms; 0 without gates.
    """

    rho: Float[np.ndarray, "n"]
    noise: float
    gates: float

    def between(self, one: Coalitions, other: Bool[np.ndarray, "C n"]) -> Float[np.ndarray, "B C"]:
        """Gives k of every coalition with every other."""
        return _products(self.rho, _signs(one), _signs(other))

    def index(
        self, at: Coalitions, amount: Float[np.ndarray, "B"], index: str, sets: Sets
    ) -> Float[np.ndarray, "sets"]:
        """Gives the interactions of the game S ↦ Σ_b amount_b · k(S, at_b), in closed form."""
        s = _signs(at)
        without = (1 - self.rho * s) / (1 + self.rho)
        with_ = (1 + self.rho * s) / (1 + self.rho)
        return of_products(without, with_, amount, index, sets)


def of_products(
    without: Float[np.ndarray, "B n"],
    with_: Float[np.ndarray, "B n"],
    amount: Float[np.ndarray, "B"],
    index: str,
    sets: Sets,
) -> Float[np.ndarray, "sets"]:
    """Gives the interactions of S ↦ Σ_b amount_b Π_{i∈S} with_bi Π_{i∉S} without_bi, |T| all the same.

    D_T(q) = Σ_b amount_b Π_{i∈T} (with − without)_bi Π_{i∉T} f_bi, f = (1 − q) without + q with: all pairs
    by one matrix product a node q.
    """
    n, t = without.shape[1], sets.shape[1]
    found = np.zeros(len(sets))
    for q, w in zip(*quadrature(index, t, n, NODES), strict=True):
        f = (1 - q) * without + q * with_
        psi = amount * w * np.exp(np.log(f).sum(axis=1))
        ratio = (with_ - without) / f
        if t == 2:
            found += (ratio.T @ (psi[:, None] * ratio))[sets[:, 0], sets[:, 1]]
        elif t == 1:
            found += (psi @ ratio)[sets[:, 0]]
        else:
            found += _larger(ratio, psi, sets)
    return found


def _larger(
    ratio: Float[np.ndarray, "B n"], psi: Float[np.ndarray, "B"], sets: Sets
) -> Float[np.ndarray, "sets"]:
    """Gives Σ_b ψ_b Π_{i∈T} ratio_bi for sets of three and more: grouped by all members but the last."""
    found = np.zeros(len(sets))
    heads, group = np.unique(sets[:, :-1], axis=0, return_inverse=True)
    for at, head in enumerate(heads):
        rows = np.flatnonzero(group.ravel() == at)
        found[rows] = ((psi * ratio[:, head].prod(axis=1)) @ ratio)[sets[rows, -1]]
    return found


def learn(
    masks: Coalitions,
    worths: Float[np.ndarray, "B"],
    weights: Float[np.ndarray, "B"],
    gates: Float[np.ndarray, "B k"],
) -> Kernel:
    """Gives the kernel under which the worths are likeliest (Rasmussen & Williams 2006, section 5.4).

    Args:
        masks: coalitions.
        worths: of each.
        weights: of each; noise is as much smaller as its weight is larger.
        gates: functions that also explain the worths, one a column, of about unit size.
    """
    n, s = masks.shape[1], _signs(masks)
    scale = 1 / (weights * len(weights))
    inner = gates @ gates.T
    typical = float(np.diag(inner).mean())
    y = worths - weights @ worths / weights.sum()

    def loss(p: Float[np.ndarray, "p"]) -> tuple[float, Float[np.ndarray, "p"]]:
        rho, noise, amount = 1 / (1 + np.exp(-p[:n])), np.exp(p[n]), np.exp(p[n + 1])
        smooth = _products(rho, s, s)
        matrix = smooth + amount * inner + np.diag(noise * scale + ROUNDING * (1 + amount * typical))
        factor = cho_factor(matrix, lower=True)
        inverse = cho_solve(factor, np.eye(len(y)))
        a = inverse @ y
        variance = max(float(y @ a) / len(y), 1e-300)
        value = 0.5 * len(y) * np.log(variance) + np.log(np.diag(factor[0])).sum()
        slope = 0.5 * (inverse - np.outer(a, a) / variance)
        part = slope * smooth
        rows = ((part @ s) * s).sum(axis=0) - part.sum()
        by_rho = rows / (1 - rho**2) * rho * (1 - rho)
        ends = [(np.diag(slope) * noise * scale).sum(), (slope * inner).sum() * amount]
        return float(value), np.concatenate([by_rho, ends])

    low = np.log(0.05 / n)
    start = np.concatenate([np.full(n, max(-2.0, low + 2)), [-8.0, 0.0]])
    most = 9.0 if gates.shape[1] else 0.0
    bounds = [(low, 3.0)] * n + [(-18.0, 2.0), (-most, most)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS}).x
    amount = float(np.exp(best[n + 1])) if gates.shape[1] else 0.0
    return Kernel(1 / (1 + np.exp(-best[:n])), float(np.exp(best[n])), amount)


def _signs(masks: Coalitions) -> Float[np.ndarray, "B n"]:
    return np.where(masks, 1.0, -1.0)


def _products(
    rho: Float[np.ndarray, "n"], one: Float[np.ndarray, "B n"], other: Float[np.ndarray, "C n"]
) -> Float[np.ndarray, "B C"]:
    half = (np.log1p(rho) - np.log1p(-rho)) / 2
    return np.asarray(np.exp((one * half) @ other.T - half.sum()))
