"""How well learned features are the planted ones: matched one to one, then compared.

- Cosine: the mean over planted features of the cosine between their direction and their match's decoder,
  under the matching that maximises it (the Hungarian method). Planted features left without a match count 0.
- MCC, the mean correlation coefficient: the same with Pearson correlations of activations, under the
  matching that maximises it (Hyvärinen and Morioka 2016; Khemakhem et al. 2020).
- F1: of "on" as a prediction, match by cosine, the mean over planted features of
  2·(both on) / (planted on + learned on). Planted features on at no token of the sample are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Recovery:
    """How well planted features were recovered. G planted features.

    Attributes:
        cosine: mean cosine of matched directions.
        mcc: mean correlation of matched activations.
        f1: mean F1 of which features are on.
        matched: of each planted feature, the learned one whose decoder it is matched with; -1 for none.
        cosines: of each planted feature with its match.
    """

    cosine: float
    mcc: float
    f1: float
    matched: Int[np.ndarray, "G"]
    cosines: Float[np.ndarray, "G"]

    def to_dict(self) -> dict[str, Any]:
        """Gives the numbers as JSON holds them."""
        recovered = float((self.cosines > 0.9).mean())
        return {"cosine": self.cosine, "MCC": self.mcc, "F1": self.f1, "recovered": recovered}


def match(similarity: Float[np.ndarray, "G m"]) -> Int[np.ndarray, "G"]:
    """Gives for each row its column, one to one, so that the sum of similarities is largest; -1 for none.

    Example:
        >>> match(np.array([[0.9, 0.8], [0.7, 0.1]])).tolist()
        [1, 0]
    """
    found = np.full(len(similarity), -1)
    rows, columns = linear_sum_assignment(similarity, maximize=True)
    found[rows] = columns
    return found


def recovery(
    directions: Float[np.ndarray, "G d"],
    strength: Float[np.ndarray, "n G"],
    decoder: Float[np.ndarray, "m d"],
    activation: Float[np.ndarray, "n m"],
) -> Recovery:
    """Gives how well learned features are the planted ones.

    Args:
        directions: of the planted features.
        strength: of the planted features on a sample of tokens, 0 where off.
        decoder: of the learned features.
        activation: of the learned features on the same tokens.
    """
    cosine = _unit(directions) @ _unit(decoder).T
    matched = match(cosine)
    # centred columns over their norms: the products are Pearson's correlations; constant columns give 0
    centred = [(values - values.mean(0, dtype=np.float64)).T for values in (strength, activation)]
    correlation = _unit(centred[0]) @ _unit(centred[1]).T
    return Recovery(
        cosine=float(_taken(cosine, matched).mean()),
        mcc=float(_taken(correlation, match(correlation)).mean()),
        f1=_f1(strength != 0, activation != 0, matched),
        matched=matched,
        cosines=_taken(cosine, matched),
    )


def _unit(rows: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(norm > 0, norm, 1))


def _taken(similarity: np.ndarray, matched: np.ndarray) -> np.ndarray:
    """Gives each row's similarity with its match, 0 where it has none."""
    values = similarity[np.arange(len(matched)), matched]
    return np.where(matched >= 0, values, 0.0)


def _f1(planted: np.ndarray, learned: np.ndarray, matched: np.ndarray) -> float:
    """Gives the mean F1 of "on" over the planted features that are on at all."""
    on = np.where(matched >= 0, learned[:, matched], False)
    both, either = (planted & on).sum(0), planted.sum(0) + on.sum(0)
    seen = planted.any(0)
    return float((2 * both[seen] / either[seen]).mean()) if seen.any() else float("nan")
