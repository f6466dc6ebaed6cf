"""Sweeps and searches over the paths of a graph: small kernels on its sparse matrix, all exact.

Rows stand in topological order, so that one sweep from the first row to the last has seen every source
before it is needed. Runs of rows that read no row of the same run are done at once.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int


def sweep(shares: sp.csr_array, start: Float[np.ndarray, "n"], join: np.ufunc) -> Float[np.ndarray, "n"]:
    """Gives, for each node, what paths bring to it: b[t] = join(start[t], join over s of A[t, s] · b[s]).

    With `np.maximum` the largest product of shares over all paths from a start, with `np.add` the sum
    of the products over all of them.

    Args:
        shares: A, row = target, column = source < row, none negative.
        start: what begins at each node, none negative.
        join: `np.maximum` or `np.add`.
    """
    pointer, column, value = shares.indptr, shares.indices, shares.data
    found = start.astype(np.float64)
    filled = np.diff(pointer) > 0
    last = np.full(len(found), -1)
    if filled.any():
        last[filled] = np.maximum.reduceat(column, pointer[:-1][filled])
    begin = 0
    while begin < len(found):
        reads_itself = np.flatnonzero(last[begin:] >= begin)
        end = begin + int(reads_itself[0]) if len(reads_itself) else len(found)
        rows = begin + np.flatnonzero(filled[begin:end])
        if len(rows):
            low, high = pointer[begin], pointer[end]
            product = value[low:high] * found[column[low:high]]
            found[rows] = join(found[rows], join.reduceat(product, pointer[rows] - low))
        begin = end
    return found


def avoiding(
    matrix: sp.csr_array, start: Float[np.ndarray, "n"], walls: Bool[np.ndarray, "n k"]
) -> Float[np.ndarray, "n k"]:
    """Gives, for several sets of nodes at once, what leads from each node to the start past none of a set.

    X[s, k] = start[s] + Σ_t A[t, s] · X[t, k], the sum over the t that are not in set k: of all paths that
    begin at s and end at the start, the sum of the products of their weights, those left out that come to
    a node of the set after s.

    Args:
        matrix: A, row = target, column = source < row; of any sign.
        start: where paths end.
        walls: which nodes each set holds.
    """
    backward = sp.csr_array(matrix.T)
    pointer, column = backward.indptr, backward.indices
    size = len(start)
    first = np.full(size, size)  # of each node, the earliest that reads it
    filled = np.diff(pointer) > 0
    if filled.any():
        first[filled] = np.minimum.reduceat(column, pointer[:-1][filled])
    found = np.repeat(start.astype(np.float64)[:, None], walls.shape[1], axis=1)
    passed = np.where(walls, 0.0, found)
    end = size
    while end > 0:
        read_within = np.flatnonzero(first[:end] < end)
        begin = int(read_within[-1]) + 1 if len(read_within) else 0
        found[begin:end] += backward[begin:end] @ passed
        passed[begin:end] = np.where(walls[begin:end], 0.0, found[begin:end])
        end = begin
    return found


def without_rows(shares: sp.csr_array, rows: Bool[np.ndarray, "n"]) -> sp.csr_array:
    """Gives the matrix with what flows into some rows set to 0."""
    if not rows.any():
        return shares
    kept = np.repeat(~rows, np.diff(shares.indptr))
    return sp.csr_array((shares.data * kept, shares.indices, shares.indptr), shape=shares.shape)


def without_columns(shares: sp.csr_array, columns: Bool[np.ndarray, "n"]) -> sp.csr_array:
    """Gives the matrix with what flows out of some columns set to 0."""
    kept = ~columns[shares.indices]
    return sp.csr_array((shares.data * kept, shares.indices, shares.indptr), shape=shares.shape)


_STOP = -1
"""Stands among a start's sources: the path may begin here."""

_Tail = tuple[int, Any]
"""A path's rows from its front to the target, as a linked list that paths share."""


@dataclass(frozen=True)
class _Choices:
    """The ways on from one state, best first: source rows, their shares, their bounds."""

    row: Int[np.ndarray, "c"]
    share: Float[np.ndarray, "c"]
    bound: Float[np.ndarray, "c"]


@dataclass
class Search:
    """Best-first search over backward paths; a row is sorted only when a path reaches it.

    A path is known by its front and by whether it still has to pass one of some nodes on its way, so
    that the bound, the best completion of each such state, is exact.

    Attributes:
        shares: normalised weights, row = target, column = source < row.
        starts: where paths may begin; there they end.
        inside: nodes of which every path must have one; all paths unless given.
    """

    shares: sp.csr_array
    starts: Bool[np.ndarray, "n"]
    inside: Bool[np.ndarray, "n"] | None = None
    opened: dict[tuple[int, bool], _Choices] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.best = sweep(self.shares, self.starts.astype(np.float64), np.maximum)
        self.bound = self.best
        if self.inside is not None:  # the best completion that still passes one of them
            first = np.where(self.inside, self.best, 0.0)
            self.bound = sweep(without_rows(self.shares, self.inside), first, np.maximum)

    def into(self, targets: Float[np.ndarray, "n"]) -> Iterator[tuple[list[int], float]]:
        """Gives (rows from source to target, share) of every path to a target, strongest first.

        Args:
            targets: the weight of each target, by which its paths' shares count; 0 elsewhere.
        """
        queue: list[tuple[float, int, float, _Tail, bool, int]] = []
        arrival = itertools.count()  # breaks ties, first come first served

        def push(so_far: float, tail: _Tail, need: bool, rank: int) -> None:
            choices = self._choices(tail[0], need)
            if rank < len(choices.bound) and choices.bound[rank] > 0:
                strength = so_far * float(choices.bound[rank])
                heapq.heappush(queue, (-strength, next(arrival), so_far, tail, need, rank))

        for row in np.flatnonzero(targets).tolist():
            push(float(targets[row]), (row, None), self.inside is not None, 0)
        while queue:
            _, _, so_far, tail, need, rank = heapq.heappop(queue)
            choices = self._choices(tail[0], need)
            push(so_far, tail, need, rank + 1)
            source = int(choices.row[rank])
            if source == _STOP:
                yield _rows(tail), so_far
            else:
                lacking = need and not self.inside[source]  # type: ignore[index]
                push(so_far * float(choices.share[rank]), (source, tail), lacking, 0)

    def _choices(self, row: int, need: bool) -> _Choices:
        if (row, need) not in self.opened:
            part = slice(self.shares.indptr[row], self.shares.indptr[row + 1])
            source, share = self.shares.indices[part], self.shares.data[part].astype(np.float64)
            bound = share * (self.bound if need else self.best)[source]
            if self.starts[row] and not need:
                source, share, bound = np.append(source, _STOP), np.append(share, 1.0), np.append(bound, 1.0)
            order = np.argsort(-bound, kind="stable")
            self.opened[row, need] = _Choices(source[order], share[order], bound[order])
        return self.opened[row, need]


def _rows(tail: _Tail | None) -> list[int]:
    rows = []
    while tail is not None:
        rows.append(tail[0])
        tail = tail[1]
    return rows
