"""Which part of a graph a picture shows: the nodes with most influence, the edges with most flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, with_influence

DRAWN = ("feature", "token", "position", "error")
"""Kinds with a place in the picture besides the targets; constants and `rest` have no position."""

EDGES_PER_NODE = 2.2


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
    """

    graph: Graph
    rows: Int[np.ndarray, "k"]
    source: Int[np.ndarray, "e"]
    target: Int[np.ndarray, "e"]
    weight: Float[np.ndarray, "e"]
    share: Float[np.ndarray, "e"]
    flow: Float[np.ndarray, "e"]


def choose(graph: Graph, nodes: int) -> Chosen:
    """Gives the targets and the `nodes` other nodes with most influence, and their main edges.

    Each node keeps the edge through which most of its influence flows, if its receiver is drawn, so
    that none stands alone; the other edges are those with most flow.

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
    best = others[np.argsort(-influence[others], kind="stable")[:nodes]]
    rows = np.sort(np.concatenate([np.flatnonzero(asked), best]))
    shares = normalised(graph)[rows][:, rows].tocoo()
    arriving = influence + np.where(asked, graph.nodes["target_weight"].to_numpy(), 0.0)
    flow = shares.data * arriving[rows[shares.row]]
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
    )
