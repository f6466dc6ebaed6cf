"""Smallest and cheapest cuts of a network, by maximum flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

CEILING: Final = 1 << 29
"""What all prices together come to: scipy's capacities are 32-bit, and so are their sums."""

UNCUT: Final = 1 << 30
"""Capacity of what cannot be cut: more than all prices together, rounded up."""

Ends = tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]


@dataclass(frozen=True, eq=False)
class MinCut:
    """A cheapest cut.

    Attributes:
        cut: which of the things that have a price are cut.
        price: what they cost together.
        resolution: no cut costs less than `price − resolution`; 0 if the price is exact.
    """

    cut: Bool[np.ndarray, "k"]
    price: float
    resolution: float


def cut_nodes(
    ends: Ends, price: Float[np.ndarray, "n"], sources: Bool[np.ndarray, "n"], targets: Bool[np.ndarray, "n"]
) -> MinCut:
    """Gives the cheapest nodes without which no path leads from the sources to the targets.

    Every node becomes two, joined by an edge of its price (Ford & Fulkerson 1962).

    Args:
        ends: sources and targets of the edges; none from a source straight to a target.
        price: of every node; infinite where it cannot be cut. Sources and targets cannot.
        sources: where paths begin.
        targets: where they end.
    """
    size = len(price)
    cost = np.where(sources | targets, np.inf, price)
    edge_from, edge_to = ends
    tail = np.concatenate([np.arange(size), edge_from + size])  # node v is v → v + size
    head = np.concatenate([np.arange(size) + size, edge_to])
    cost = np.concatenate([cost, np.full(len(edge_from), np.inf)])
    found = _cheapest((tail, head), cost, np.flatnonzero(sources), np.flatnonzero(targets) + size, 2 * size)
    return MinCut(found.cut[:size], found.price, found.resolution)


def cut_edges(
    ends: Ends, price: Float[np.ndarray, "e"], sources: Bool[np.ndarray, "n"], targets: Bool[np.ndarray, "n"]
) -> MinCut:
    """Gives the cheapest edges without which no path leads from the sources to the targets.

    Args:
        ends: sources and targets of the edges, no pair twice.
        price: of every edge.
        sources: where paths begin.
        targets: where they end.
    """
    return _cheapest(ends, price, np.flatnonzero(sources), np.flatnonzero(targets), len(sources))


def _cheapest(
    ends: Ends,
    price: Float[np.ndarray, "e"],
    first: Int[np.ndarray, "s"],
    last: Int[np.ndarray, "t"],
    size: int,
) -> MinCut:
    """Gives the cheapest edges between the first nodes and the last, nearest to the last."""
    tail = np.concatenate([ends[0], np.full(len(first), size), last])
    head = np.concatenate([ends[1], first, np.full(len(last), size + 1)])
    cost = np.concatenate([price, np.full(len(first) + len(last), np.inf)])
    whole = _scale(cost)
    finite = np.isfinite(cost)
    capacity = np.full(len(cost), UNCUT, np.int64)
    capacity[finite] = np.rint(cost[finite] * whole)
    network = sp.csr_array((capacity.astype(np.int32), (tail, head)), shape=(size + 2, size + 2))
    flow = maximum_flow(network, size, size + 1, method="dinic").flow
    left = sp.csr_array(network - flow)  # what more could flow, backwards too
    left.eliminate_zeros()
    reaches = np.zeros(size + 2, bool)
    reaches[breadth_first_order(sp.csr_array(left.T), size + 1, return_predecessors=False)] = True
    cut = ~reaches[tail] & reaches[head]
    cut = cut[: len(price)]
    paid = float(price[cut].sum())
    return MinCut(cut, paid, 0.0 if whole == 1 else float(np.count_nonzero(finite)) / whole)


def _scale(cost: Float[np.ndarray, "e"]) -> float:
    """Gives the factor from prices to whole numbers: 1 for prices of 1, else as fine as 32 bits allow."""
    finite = cost[np.isfinite(cost)]
    if (finite == 1).all():
        return 1.0
    return CEILING / float(finite.sum())
