"""The largest inner products of two sets of vectors, exactly, without computing all of them.

Rows are sorted by norm. Since |u·w| ≤ |u| |w| (Cauchy–Schwarz), a tile of rows needs only the columns
whose norm can still reach the k-th largest product found so far, and the search stops at the first tile
that needs none. Where norms are spread out, as those of contributions are, few products are computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.errors import UsageError

Sign = Literal["both", "positive", "negative"]
"""Rank by size, or only what raises, or only what lowers."""

TILE: Final = 64
BATCH: Final = 65_536
SLACK: Final = 1e-12
"""Relative room for rounding: bounds and tiles are never trusted beyond it, the last ranking is exact."""


@dataclass(frozen=True)
class Pairs:
    """Pairs of row numbers and their products, float64, the largest in size first."""

    row: Int[np.ndarray, "k"]
    column: Int[np.ndarray, "k"]
    value: Float[np.ndarray, "k"]

    def __len__(self) -> int:
        return len(self.row)

    def where(self, kept: Bool[np.ndarray, "k"]) -> Pairs:
        """Gives some of the pairs."""
        return Pairs(self.row[kept], self.column[kept], self.value[kept])

    def head(self, k: int) -> Pairs:
        """Gives the first k."""
        return Pairs(self.row[:k], self.column[:k], self.value[:k])


def top_pairs(u: Float[np.ndarray, "n r"], w: Float[np.ndarray, "m r"], k: int, sign: Sign = "both") -> Pairs:
    """Gives the k pairs with the largest |u_a · w_b|, the same as if all products had been sorted.

    Equal products stand in order of row, then column. Products of 0 are no pairs, so there may be fewer.

    Args:
        u: one vector a row.
        w: vectors of the same length.
        k: how many pairs.
        sign: "positive" ranks u·w, "negative" −u·w, of those above 0 only.

    Raises:
        UsageError: k is below 1, or a number is not finite.

    Example:
        >>> found = top_pairs(np.eye(3)[:2], np.array([[2.0, 0, 0], [0, -5, 0]]), 1)
        >>> found.row, found.column, found.value
        (array([1]), array([1]), array([-5.]))
    """
    _check(u, w, k)
    return _Search(u, w, sign).top(k)


def top_symmetric(
    u: Float[np.ndarray, "n r"], w: Float[np.ndarray, "n r"], k: int, sign: Sign = "both"
) -> Pairs:
    """Gives the k pairs a ≠ b with the largest |u_a · w_b + u_b · w_a|.

    That is what two players contribute together to a score which both may feed from both sides: the inner
    product of (u_a, w_a) and (w_b, u_b).

    Args:
        u: what each player gives to one side.
        w: what it gives to the other.
        k: how many pairs.
        sign: as in `top_pairs`.

    Returns:
        No pair twice; row is the player whose share on the side of `u` is the larger.
    """
    _check(u, w, k)
    found = _Search(np.hstack([u, w]), np.hstack([w, u]), sign, distinct=True).top(k)
    shares = [
        np.abs(np.einsum("kr,kr->k", u[i], w[j], dtype=np.float64))
        for i, j in ((found.row, found.column), (found.column, found.row))
    ]
    turned = shares[1] > shares[0]
    row, column = np.where(turned, found.column, found.row), np.where(turned, found.row, found.column)
    return Pairs(row, column, found.value)


def _check(u: np.ndarray, w: np.ndarray, k: int) -> None:
    if k < 1:
        raise UsageError(f"The {k} largest products were asked for: give 1 or more.")
    for name, vectors in (("first", u), ("second", w)):
        if not np.isfinite(vectors).all():
            raise UsageError(f"The {name} set of vectors holds NaN or infinity: products cannot be ranked.")


class _Search:
    """Two sets of vectors sorted by norm."""

    def __init__(self, u: np.ndarray, w: np.ndarray, sign: Sign, *, distinct: bool = False) -> None:
        self._sides = (u, w)
        self._sign = sign
        self._distinct = distinct
        norms = [np.sqrt(np.einsum("nr,nr->n", x, x, dtype=np.float64)) for x in (u, w)]
        self._order = [np.argsort(-norm, kind="stable") for norm in norms]
        self._norms = [norm[order] for norm, order in zip(norms, self._order, strict=True)]
        self._sorted = [x[order] for x, order in zip((u, w), self._order, strict=True)]

    def top(self, k: int) -> Pairs:
        """Gives the k largest."""
        u_norm, w_norm = self._norms
        best, least = _joined(), self._first_bound(k)
        for start in range(0, len(u_norm) if len(w_norm) else 0, TILE):
            if u_norm[start] * w_norm[0] < least * (1 - SLACK) or u_norm[start] * w_norm[0] == 0:
                break
            best = _ranked(_joined(best, self._tile(start, least * (1 - SLACK), k))).head(k)
            if len(best) == k:
                least = max(least, abs(float(best.value[-1])))
        return best

    def _first_bound(self, k: int) -> float:
        """Gives a lower bound of the k-th largest product, from the vectors of largest norm."""
        side = 4 * int(np.ceil(np.sqrt(k)))
        sizes = np.sort(self._sizes(slice(0, side), side).ravel())
        return max(float(sizes[-k]) if len(sizes) >= k else 0.0, 0.0)

    def _sizes(self, rows: slice, columns: int) -> Float[np.ndarray, "rows columns"]:
        u, w = self._sorted[0][rows].astype(np.float64), self._sorted[1][:columns].astype(np.float64)
        sizes = self._signed(u @ w.T)
        if self._distinct:
            sizes[self._order[0][rows, None] >= self._order[1][None, :columns]] = -np.inf  # each pair once
        return sizes

    def _signed(self, products: np.ndarray) -> np.ndarray:
        signed: np.ndarray = {"both": np.abs, "positive": np.positive, "negative": np.negative}[self._sign](
            products
        )
        return signed

    def _tile(self, start: int, least: float, k: int) -> Pairs:
        """Gives the k largest pairs of a tile that reach `least`, and perhaps some more."""
        u_norm, w_norm = self._norms
        room = SLACK * u_norm[start] * w_norm[0]
        columns = int(np.searchsorted(-w_norm, -least / u_norm[start] * (1 - SLACK), side="right"))
        sizes = self._sizes(slice(start, start + TILE), columns)
        row, column = np.nonzero(sizes >= least - room)
        if len(row) > 4 * k:  # only the k largest of a tile can be among the k largest of all
            least = float(np.partition(sizes, -k, axis=None)[-k])
            row, column = np.nonzero(sizes >= least - room)
        return self._exact(row + start, column)

    def _exact(self, row: np.ndarray, column: np.ndarray) -> Pairs:
        """Gives the pairs by their own numbers, products summed in one order whatever the tile."""
        at = self._order[0][row], self._order[1][column]
        value = np.empty(len(row))
        for start in range(0, len(row), BATCH):  # bounds the memory where very many are equal
            part = slice(start, start + BATCH)
            u, w = (x[i[part]].astype(np.float64) for x, i in zip(self._sides, at, strict=True))
            value[part] = np.einsum("kr,kr->k", u, w)
        found = Pairs(*at, value)
        return found.where(self._signed(value) > 0)


def _ranked(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs.column, pairs.row, -np.abs(pairs.value)))
    return Pairs(pairs.row[order], pairs.column[order], pairs.value[order])


def _joined(*parts: Pairs) -> Pairs:
    none = np.zeros(0, np.int64)
    return Pairs(
        np.concatenate([none, *(part.row for part in parts)]),
        np.concatenate([none, *(part.column for part in parts)]),
        np.concatenate([np.zeros(0), *(part.value for part in parts)]),
    )
