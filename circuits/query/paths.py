"""The strongest paths into a node, exactly, without looking at most of the graph."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised


@dataclass(frozen=True)
class Path:
    """One way from a source to a target.

    Attributes:
        nodes: node names, source first, target last.
        share: the product of the normalised weights along it: the share of the target's influence
            that flows through exactly this path. All paths' shares add up to at most 1.
        weights: the signed weight of each edge along it.
    """

    nodes: tuple[str, ...]
    share: float
    weights: tuple[float, ...]

    @property
    def sign(self) -> int:
        """Gives +1 if an even number of the edges are negative (the path pushes up), else -1."""
        return -1 if sum(w < 0 for w in self.weights) % 2 else 1


def top_paths(
    graph: Graph,
    target: str,
    *,
    k: int = 10,
    sources: Collection[str] | None = None,
    shares: sp.csr_array | None = None,
) -> list[Path]:
    """Gives the k strongest complete paths into a node, strongest first.

    A path is complete if it starts at a leaf: a token, a position, an error, or a feature whose
    incoming edges were not computed. Its strength is the product of normalised weights
    `|w(s→t)| / Σ|w(·→t)|` along it (Ameisen et al. 2025). The search runs backwards from the target,
    best first, ordered by strength so far times the best completion, which is computed beforehand
    for all nodes in one sweep; the bound is exact, so only nodes on the paths given are opened.

    Args:
        graph: the graph.
        target: node name.
        k: how many; fewer are given if there are no more.
        sources: only paths that start at one of these nodes, leaves or not.
        shares: `normalised(graph)`, where it is at hand already.

    Raises:
        NotFound: the target or a source is no node of the graph.
        UsageError: k is below 1.

    Example:
        >>> [path.nodes for path in top_paths(graph, "logit:Paris", k=3)]  # doctest: +SKIP
    """
    if k < 1:
        raise UsageError(f"{k} paths were asked for: give 1 or more.")
    shares = normalised(graph) if shares is None else shares
    starts = leaves(graph, shares)
    if sources is not None:
        starts = np.zeros(len(graph.nodes), dtype=bool)
        starts[[graph.row(source) for source in sources]] = True
    starts[graph.row(target)] = False  # a path has at least one edge
    search = _Search(shares, starts, best_completions(shares, starts))
    names, weights = graph.nodes["node"], graph.matrix
    return [
        Path(
            tuple(names[row] for row in rows),
            share,
            tuple(float(weights[t, s]) for s, t in itertools.pairwise(rows)),
        )
        for rows, share in itertools.islice(search.from_target(graph.row(target)), k)
    ]


def best_completions(shares: sp.csr_array, starts: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Gives, for each node, the largest product of shares over all paths from a start to it.

    A start's own is at least 1 (the path of no edges); 0 where no start leads to a node. Rows are in
    topological order; runs of rows that read no row of the same run are done at once.

    Args:
        shares: normalised weights, row = target, column = source < row.
        starts: where paths may begin.
    """
    pointer, column, value = shares.indptr, shares.indices, shares.data
    best = starts.astype(np.float64)
    filled = np.diff(pointer) > 0
    last = np.full(len(best), -1)
    if filled.any():
        last[filled] = np.maximum.reduceat(column, pointer[:-1][filled])
    begin = 0
    while begin < len(best):
        reads_itself = np.flatnonzero(last[begin:] >= begin)
        end = begin + int(reads_itself[0]) if len(reads_itself) else len(best)
        rows = begin + np.flatnonzero(filled[begin:end])
        if len(rows):
            low, high = pointer[begin], pointer[end]
            product = value[low:high] * best[column[low:high]]
            best[rows] = np.maximum(best[rows], np.maximum.reduceat(product, pointer[rows] - low))
        begin = end
    return best


def leaves(graph: Graph, shares: sp.csr_array) -> Bool[np.ndarray, "n"]:
    """Tells which nodes influence flows from but not into, not even through edges cut off.

    Args:
        graph: the graph.
        shares: its normalised weights.
    """
    kinds = graph.nodes["kind"].is_in(["token", "position", "error", "feature"]).to_numpy()
    inflow = np.asarray(shares.sum(axis=1)).ravel() + graph.nodes["truncated"].to_numpy()
    return np.asarray(kinds & (inflow == 0))


_STOP = -1
"""Stands among a start's sources: the path may begin here."""

_Tail = tuple[int, Any]
"""A path's rows from its front to the target, as a linked list that paths share."""


@dataclass(frozen=True)
class _Choices:
    """The ways on from one node, best first: source rows, their shares, their bounds."""

    row: Int[np.ndarray, "c"]
    share: Float[np.ndarray, "c"]
    bound: Float[np.ndarray, "c"]


@dataclass
class _Search:
    """Best-first search over backward paths; a row is sorted only when a path reaches it."""

    shares: sp.csr_array
    starts: Bool[np.ndarray, "n"]
    best: Float[np.ndarray, "n"]
    opened: dict[int, _Choices] = field(default_factory=dict)

    def from_target(self, target: int) -> Iterator[tuple[list[int], float]]:
        """Gives (rows from source to target, share) of every complete path, strongest first."""
        queue: list[tuple[float, int, float, _Tail, int]] = []
        arrival = itertools.count()  # breaks ties, first come first served

        def push(so_far: float, tail: _Tail, rank: int) -> None:
            choices = self._choices(tail[0])
            if rank < len(choices.bound) and choices.bound[rank] > 0:
                strength = so_far * float(choices.bound[rank])
                heapq.heappush(queue, (-strength, next(arrival), so_far, tail, rank))

        push(1.0, (target, None), 0)
        while queue:
            _, _, so_far, tail, rank = heapq.heappop(queue)
            choices = self._choices(tail[0])
            push(so_far, tail, rank + 1)
            if choices.row[rank] == _STOP:
                yield _rows(tail), so_far
            else:
                push(so_far * float(choices.share[rank]), (int(choices.row[rank]), tail), 0)

    def _choices(self, row: int) -> _Choices:
        if row not in self.opened:
            inside = slice(self.shares.indptr[row], self.shares.indptr[row + 1])
            source, share = self.shares.indices[inside], self.shares.data[inside].astype(np.float64)
            bound = share * self.best[source]
            if self.starts[row]:
                source, share, bound = np.append(source, _STOP), np.append(share, 1.0), np.append(bound, 1.0)
            order = np.argsort(-bound, kind="stable")
            self.opened[row] = _Choices(source[order], share[order], bound[order])
        return self.opened[row]


def _rows(tail: _Tail | None) -> list[int]:
    rows = []
    while tail is not None:
        rows.append(tail[0])
        tail = tail[1]
    return rows
