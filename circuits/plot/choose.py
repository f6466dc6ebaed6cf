"""Which part of a graph a picture shows: the nodes with most influence, the edges with most flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import arriving, inflow, normalised, with_influence
from circuits.query.combinations import MATTERS, nodes_of, ranked

DRAWN = ("feature", "token", "position", "error")
"""Kinds with a place in the picture besides the targets; constants and `rest` have no position."""

EDGES_PER_NODE = 2.2

HYPEREDGES = 6
"""Hyperedges drawn, at most."""

BROUGHT = 0.25
"""Share of the nodes that are drawn, at most, for the sake of a hyperedge alone."""


@dataclass(frozen=True, eq=False)
class Joined:
    """One hyperedge that is drawn.

    Attributes:
        name: its id.
        kind: its gate; "undecided" where it has none.
        members: the nodes it joins, by name.
        target: the node it acts on.
        weight: the interaction.
        share: |weight| over what flows into the target, as the width of an edge.
        concepts: names of the members that are concepts, which are drawn as their nodes.
    """

    name: str
    kind: str
    members: tuple[str, ...]
    target: str
    weight: float
    share: float
    concepts: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is drawn.

    Attributes:
        graph: the whole graph, with influence.
        rows: the nodes drawn, in table order.
        source: the edges' source rows, weakest flow first (drawn first).
        target: their target rows.
        weight: their signed weights.
        share: their shares of the target's input.
        flow: share times the target's influence, the largest being 1.
        hyperedges: those that move most of the targets, the strongest first.
    """

    graph: Graph
    rows: Int[np.ndarray, "k"]
    source: Int[np.ndarray, "e"]
    target: Int[np.ndarray, "e"]
    weight: Float[np.ndarray, "e"]
    share: Float[np.ndarray, "e"]
    flow: Float[np.ndarray, "e"]
    hyperedges: tuple[Joined, ...]


def choose(graph: Graph, nodes: int) -> Chosen:
    """Gives the targets and the `nodes` other nodes with most influence, and their main edges.

    Each node keeps the edge through which most of its influence flows, if its receiver is drawn, so
    that none stands alone; the other edges are those with most flow. The strongest hyperedges bring
    members that would else not be drawn, in place of the weakest nodes.

    Raises:
        UsageError: fewer than one node was asked for, or the graph has no target.
    """
    if nodes < 1:
        raise UsageError(f"A picture of {nodes} nodes was asked for: give 1 or more.")
    if not graph.targets:
        raise UsageError("This graph has no target: there is nothing to draw it towards.")
    if graph.nodes["influence"].null_count():
        graph = with_influence(graph)
    influence = graph.nodes["influence"].to_numpy()
    asked = graph.nodes["target_weight"].to_numpy() > 0
    others = np.flatnonzero(graph.nodes["kind"].is_in(DRAWN).to_numpy() & (influence > 0) & ~asked)
    best = others[np.argsort(-influence[others], kind="stable")]
    joined, brought = _joined(graph, best, nodes)
    first = np.concatenate([brought, best[~np.isin(best, brought)]])[:nodes]
    rows = np.sort(np.concatenate([np.flatnonzero(asked), first]))
    shares = normalised(graph)[rows][:, rows].tocoo()
    own = np.where(asked, graph.nodes["target_weight"].to_numpy(), 0.0)
    flow = shares.data * (influence + own)[rows[shares.row]]
    order = np.argsort(-flow, kind="stable")
    source, target = rows[shares.col[order]], rows[shares.row[order]]
    _, strongest = np.unique(source, return_index=True)
    kept = np.arange(len(order)) < int(EDGES_PER_NODE * len(rows))
    kept[strongest] = True
    kept &= flow[order] > 0
    index = np.flatnonzero(kept)[::-1]
    source, target, order = source[index], target[index], order[index]
    return Chosen(
        graph=graph,
        rows=rows,
        source=source,
        target=target,
        weight=np.array([graph.matrix[t, s] for s, t in zip(source, target, strict=True)], dtype=np.float64),
        share=shares.data[order],
        flow=flow[order] / max(float(flow.max(initial=0.0)), 1e-300),
        hyperedges=joined,
    )


def _joined(
    graph: Graph, best: Int[np.ndarray, "b"], nodes: int
) -> tuple[tuple[Joined, ...], Int[np.ndarray, "k"]]:
    """Gives the hyperedges drawn, and the nodes that have to be drawn for them.

    Left out are those that make up too little, that may be 0 or are nearly additive, that act on no
    node (attention scores), and those with members not drawn already once too many were brought in.

    Args:
        graph: the graph, with influence.
        best: nodes that can be drawn besides the targets, the most influential first.
        nodes: how many of them there is room for.
    """
    if not len(graph.hyperedges):
        return (), best[:0]
    reached = arriving(graph)
    room = max(1, int(BROUGHT * nodes))
    drawn = {
        *np.flatnonzero(graph.nodes["target_weight"].to_numpy() > 0).tolist(),
        *best[: nodes - room].tolist(),
    }
    possible = drawn | set(best.tolist())
    flowing = inflow(graph)
    found: list[Joined] = []
    brought: list[int] = []
    for row in ranked(graph, reached).head(10 * HYPEREDGES).to_dicts():
        if not _telling(graph, row):
            continue
        members = [_drawable(graph, member, drawn, possible, reached) for member in row["members"]]
        target = graph.index[row["target"]]
        needed = {target, *(node for group in members for node in group)}
        new = sorted(needed - drawn)
        if not all(members) or not needed <= possible or len(brought) + len(new) > min(room, nodes):
            continue
        brought += new
        drawn |= needed
        names = tuple(str(graph.nodes["node"][node]) for group in members for node in group)
        share = abs(row["weight"]) / max(float(flowing[target]), 1e-300)
        concepts = tuple(member for member in row["members"] if member not in graph.index)
        kind = row["gate"] or "undecided"
        found.append(Joined(row["hyperedge"], kind, names, row["target"], row["weight"], share, concepts))
        if len(found) == HYPEREDGES:
            break
    return tuple(found), np.array(brought, dtype=best.dtype)


def _telling(graph: Graph, row: Mapping[str, Any]) -> bool:
    """Tells whether a hyperedge is worth a place in a picture."""
    surely = row["low"] is None or row["high"] is None or row["low"] > 0 or row["high"] < 0
    strong = row["share"] is not None and row["share"] >= MATTERS
    return strong and surely and row["gate"] != "additive" and row["target"] in graph.index


def _drawable(
    graph: Graph, member: str, drawn: set[int], possible: set[int], reached: Float[np.ndarray, "n"]
) -> list[int]:
    """Gives a member's nodes that are drawn, or else the most influential that could be."""
    rows = [graph.index[node] for node in nodes_of(graph, [member])]
    standing = [row for row in rows if row in drawn]
    others = sorted((row for row in rows if row in possible), key=lambda row: -reached[row])
    return standing or others[:1]
