"""Sets of nodes cut so that no two of them feed each other, and an order in which causes come first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.sparse.csgraph import connected_components

Rows = Int[np.ndarray, "_"]
Ends = tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]


def stages(
    ends: Ends,
    size: int,
    groups: Sequence[Rows],
    flow: Float[np.ndarray, "e"] | None = None,
    loss: float = 0.0,
) -> tuple[list[list[Rows]], Bool[np.ndarray, "e"]]:
    """Gives each group in pieces, the earliest first, that leave no circle when each becomes one node.

    Groups feed each other if a path leads from the first to the second and another one back; a group
    feeds itself if a path leaves it and comes back. **The rule:** as long as there is a circle, of the pieces
    on it the one whose members lie furthest apart in depth is cut in two, where two depths that follow each
    other are furthest apart (of several, the first piece and the first such place). The depth of a node
    is the number of edges on the longest path that ends there. Edges lead to larger depths, so pieces of
    one depth each leave no circle and the cutting ends; what is on no circle is never cut.

    Where a loss is allowed, circles are first broken without cutting: pieces that lie on circles together are
    put in order of their members' mean depth, and the edges against that order are left out, those
    of the circles with least flow against it first, as long as it is at most `loss` in all.

    Args:
        ends: source and target rows of the edges, source < target.
        size: the number of rows.
        groups: rows, no row in two groups.
        flow: what each edge carries; needed where a loss is allowed.
        loss: flow along edges that are left out, at most.

    Returns:
        The pieces of each group, and which edges were left out.
    """
    at = depths(ends, size)
    pieces = [np.sort(rows) for rows in groups]
    owner = list(range(len(groups)))
    block = blocks(pieces, size)
    left_out = np.zeros(len(ends[0]), bool)
    edges = np.arange(len(ends[0]))
    while True:
        circle, turns = _circles((block[ends[0][edges]], block[ends[1][edges]]), block, size)
        here = circle[block[ends[0][edges]]]
        still = (here == circle[block[ends[1][edges]]]) & turns[here]
        edges, here = edges[still], here[still]  # no other edge can ever be on a circle
        if len(edges) and loss > 0 and flow is not None:
            mean = _means(at, block, size)
            against = _against((block[ends[0][edges]], block[ends[1][edges]]), mean)
            broken = _affordable(here, np.where(against, flow[edges], 0.0), loss - flow[left_out].sum())
            left_out[edges[against & broken]] = True
            edges, here = edges[~broken], here[~broken]
        if not len(edges):
            break
        stuck = np.zeros_like(turns)
        stuck[here] = True
        for number in list(_widest(pieces, circle[size : size + len(pieces)], stuck, at)):
            pieces[number], late = _halves(pieces[number], at)
            block[late] = size + len(pieces)
            pieces.append(late)
            owner.append(owner[number])
    found: list[list[Rows]] = [[] for _ in groups]
    for piece, number in zip(pieces, owner, strict=True):
        found[number].append(piece)
    return [sorted(parts, key=lambda rows: int(at[rows].min())) for parts in found], left_out


def _circles(
    ends: Ends, block: Int[np.ndarray, "N"], size: int
) -> tuple[Int[np.ndarray, "b"], Bool[np.ndarray, "b"]]:
    """Gives the circle each block lies on, blocks on circles together sharing one, and which are circles."""
    shape = (2 * size, 2 * size)
    graph = sp.coo_array((np.ones(len(ends[0]), bool), ends), shape=shape)
    _, circle = connected_components(graph, directed=True, connection="strong")
    # made of several blocks: one of many nodes and no other is none
    return circle, np.bincount(circle[np.unique(block)], minlength=2 * size) > 1


def _means(at: Int[np.ndarray, "N"], block: Int[np.ndarray, "N"], size: int) -> Float[np.ndarray, "b"]:
    """Gives the mean depth of each block's members."""
    many = np.bincount(block, minlength=2 * size)
    return np.bincount(block, weights=at, minlength=2 * size) / np.maximum(many, 1)


def _against(ends: Ends, mean: Float[np.ndarray, "b"]) -> Bool[np.ndarray, "e"]:
    """Tells which edges lead to a block of smaller mean depth, or of the same and a smaller number."""
    source, target = ends
    back = (mean[source] > mean[target]) | ((mean[source] == mean[target]) & (source > target))
    return np.asarray(back)


def _affordable(
    circle: Int[np.ndarray, "e"], flow: Float[np.ndarray, "e"], left: float
) -> Bool[np.ndarray, "e"]:
    """Tells which edges lie on circles that can be broken with what flow is left to lose, the least first."""
    named, place = np.unique(circle, return_inverse=True)
    cost = np.bincount(place, weights=flow, minlength=len(named))
    order = np.argsort(cost, kind="stable")
    broken = np.zeros(len(named), bool)
    broken[order[np.cumsum(cost[order]) <= left]] = True
    return np.asarray(broken[place])


def blocks(pieces: Sequence[Rows], size: int) -> Int[np.ndarray, "{size}"]:
    """Gives the block of each row: its own number, or `size` + the number of its piece."""
    block = np.arange(size)
    for number, rows in enumerate(pieces):
        block[rows] = size + number
    return block


def in_order(ends: Ends, first: Int[np.ndarray, "b"]) -> Int[np.ndarray, "b"]:
    """Gives the nodes of a graph without circles so that every edge leads to a later one.

    Args:
        ends: source and target numbers of the edges.
        first: of each node, what puts nodes in order that the edges leave free.

    Raises:
        ValueError: there is a circle.
    """
    size = len(first)
    level = np.zeros(size, np.int64)
    forward = sp.csr_array((np.ones(len(ends[0]), bool), ends), shape=(size, size))
    waiting = np.bincount(forward.indices, minlength=size)
    ready = np.flatnonzero(waiting == 0)
    seen = 0
    while len(ready):
        seen += len(ready)
        reached = forward[ready].tocoo()
        np.maximum.at(level, reached.col, level[ready[reached.row]] + 1)
        np.subtract.at(waiting, reached.col, 1)
        ready = np.unique(reached.col[waiting[reached.col] == 0])
    if seen < size:
        raise ValueError(f"{size - seen} of {size} nodes are on a circle: they have no order.")
    return np.lexsort((first, level))


def depths(ends: Ends, size: int) -> Int[np.ndarray, "{size}"]:
    """Gives the number of edges on the longest path that ends at each row; edges lead to later rows."""
    source, target = ends
    order = np.argsort(target, kind="stable")
    source = source[order]
    pointer = np.concatenate([[0], np.cumsum(np.bincount(target, minlength=size))])
    found = np.zeros(size, np.int64)
    for row in np.flatnonzero(np.diff(pointer)):
        found[row] = 1 + found[source[pointer[row] : pointer[row + 1]]].max()
    return found


def _widest(
    pieces: Sequence[Rows], circle: Int[np.ndarray, "p"], turns: np.ndarray, at: Int[np.ndarray, "N"]
) -> Iterator[int]:
    """Gives, of the pieces on each circle, the one whose members lie furthest apart in depth."""
    best: dict[int, tuple[int, int]] = {}
    for number, rows in enumerate(pieces):
        here = int(circle[number])
        spread = int(np.ptp(at[rows]))
        if turns[here] and spread > best.get(here, (0, 0))[0]:
            best[here] = (spread, number)
    for _, number in best.values():
        yield number


def _halves(rows: Rows, at: Int[np.ndarray, "N"]) -> tuple[Rows, Rows]:
    """Gives the members before and after the widest distance between two depths."""
    steps = np.unique(at[rows])
    cut = steps[int(np.argmax(np.diff(steps)))]
    return rows[at[rows] <= cut], rows[at[rows] > cut]
