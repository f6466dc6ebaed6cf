"""Logistic regression, and how well a score tells two classes apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

PENALTY = 1.0
"""λ in Σ log(1 + exp(-s·z)) + λ/2 · ‖w‖²: what scikit-learn calls C = 1."""

_EXACT: Any = {"ftol": 1e-14, "gtol": 1e-7, "maxiter": 1000}


@dataclass(frozen=True)
class Logistic:
    """z = w · (x - mean) / scale + b; the class is 1 where z > 0. Made by `fit`."""

    mean: Float[np.ndarray, "k"]
    scale: Float[np.ndarray, "k"]
    weight: Float[np.ndarray, "k"]
    bias: float

    def score(self, x: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n"]:
        """Gives z, the log-odds of class 1."""
        score: np.ndarray = (x - self.mean) / self.scale @ self.weight + self.bias
        return score


def fit(x: Float[np.ndarray, "n k"], y: Bool[np.ndarray, "n"]) -> Logistic:
    """Gives the logistic regression of y on x, columns standardised, weights penalised (`PENALTY`).

    Args:
        x: a row an example.
        y: its class.
    """
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1)
    inputs, sign = (x - mean) / scale, np.where(y, 1.0, -1.0)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weight, bias = parameters[:-1], parameters[-1]
        margin = sign * (inputs @ weight + bias)
        felt = -sign * expit(-margin)
        value = np.logaddexp(0, -margin).sum() + PENALTY / 2 * weight @ weight
        return value, np.append(inputs.T @ felt + PENALTY * weight, felt.sum())

    found = minimize(loss, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options=_EXACT).x
    return Logistic(mean, scale, found[:-1], float(found[-1]))


def auc(score: Float[np.ndarray, "n"], y: Bool[np.ndarray, "n"]) -> float:
    """Gives the area under the ROC curve: how often a member of class 1 scores above one of class 0.

    A tie counts half (Mann and Whitney's U over the number of pairs).
    """
    ones = int(y.sum())
    pairs = ones * (len(y) - ones)
    return float((rankdata(score)[y].sum() - ones * (ones + 1) / 2) / pairs) if pairs else float("nan")
