"""A weighted ridge regression that tells its errors on coalitions it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cholesky, solve_triangular

from circuits.engine.games.design import Design

ROUNDING = 1e-13
"""Added to the diagonal, relative to what is on it, so that rounding leaves the matrix positive."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A regression, and its errors where it had not looked.

    Attributes:
        coefficients: of each feature, the mean over folds, each fitted without it.
        left: row f: worth less prediction of the regression without fold f, for the coalitions of this
            fold and those of sizes that are whole, which are never left out; NaN for others.
    """

    coefficients: Float[np.ndarray, "p"]
    left: Float[np.ndarray, "f m"]


def ridge(
    features: Float[np.ndarray, "m p"],
    worths: Float[np.ndarray, "m"],
    design: Design,
    noise: float,
    fold: Int[np.ndarray, "m"],
) -> Fit:
    """Gives the regressions with unit prior variance of coefficients, one without each fold.

    All follow from the regression on everything: with H its hat matrix and r its residuals, those of a fold
    left out are (I − H_ff)⁻¹ r_f.

    Args:
        features: one a column.
        worths: of the design's coalitions, of mean 0 by its weights.
        design: the coalitions.
        noise: variance of the worths beyond the features, of a coalition of average weight.
        fold: by coalition, its fold; −1 for those never left out.
    """
    root = np.sqrt(design.weights * len(worths))
    x, y = features * root[:, None], worths * root
    gram = x.T @ x
    gram[np.diag_indices_from(gram)] += noise + ROUNDING * np.diag(gram).max()
    factor = cholesky(gram, lower=True, overwrite_a=True, check_finite=False)
    a = solve_triangular(factor, x.T, lower=True, check_finite=False).T
    inside = y - a @ (a.T @ y)
    left = np.full((int(fold.max()) + 1, len(y)), np.nan)
    mean = np.zeros(x.shape[1])
    whole = fold < 0
    for number in range(len(left)):
        rows = np.flatnonzero(fold == number)
        left[number, rows] = np.linalg.solve(np.eye(len(rows)) - a[rows] @ a[rows].T, inside[rows])
        b = a.T @ y - a[rows].T @ left[number, rows]  # in the coordinates of a
        left[number, whole] = y[whole] - a[whole] @ b
        mean += b / len(left)
    coefficients = solve_triangular(factor, mean, lower=True, trans="T", check_finite=False)
    return Fit(coefficients, left / root)
