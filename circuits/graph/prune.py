"""Smaller graphs that still add up: what is cut off goes into `rest`, nothing vanishes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.hyper import with_hyperedges
from circuits.graph.influence import CONSTANTS, of_kind, propagate, sums, with_influence
from circuits.schema import NODE_SCHEMA

REST = "rest"
ROUNDING = 1e-12


def prune(graph: Graph, *, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> Graph:
    """Gives the graph with the nodes and edges that carry most of the influence, as circuit-tracer prunes.

    1. Nodes are sorted by influence, and the strongest kept until they hold `node_threshold` of the
       sum. Tokens, positional embeddings and targets stay in any case.
    2. The edges between them are normalised anew, scored A[t, s] · (B + w)_t, sorted, and the
       strongest kept until they hold `edge_threshold` of the sum.
    3. Features and errors that no longer send anything, and features that no longer receive anything,
       go, again and again until none is left to go. (Features that were never expanded, which
       circuit-tracer does not have, need not receive.)

    Ties with the last one kept are kept. Biases and `rest` have no influence and follow the targets
    that stay. The weights of all edges cut off from a target that stays are added to its edge from
    `rest`, their absolute values to `truncated`; so the incoming weights of every target still sum to
    its pre-activation, and the graph still runs. What goes with a dormant node is what it could do
    once it turned on: a pruned graph has no dormant nodes.

    Args:
        graph: any graph.
        node_threshold: share of the nodes' influence to keep, 0 to 1.
        edge_threshold: share of the edges' influence to keep, 0 to 1.

    Returns:
        A new graph; node `influence` is that in the unpruned graph, and `meta["pruned"]` holds the
        thresholds and the numbers of nodes and edges before. With both thresholds 1, `graph` itself.

    Raises:
        UsageError: a threshold is not between 0 and 1.
    """
    for name, threshold in (("node_threshold", node_threshold), ("edge_threshold", edge_threshold)):
        if not 0 <= threshold <= 1:
            raise UsageError(f"{name} {threshold} is not a share: give a number between 0 and 1.")
    if node_threshold == 1 and edge_threshold == 1:
        return graph
    graph = with_influence(graph)
    strength = graph.nodes["influence"].to_numpy()
    strong = strength >= _cut(strength, node_threshold)
    kept = (strong & ~of_kind(graph, *CONSTANTS)) | _always(graph)
    edges = _strong_edges(graph, kept, edge_threshold)
    _drop_loose_ends(graph, kept, edges)
    settings = {"node_threshold": node_threshold, "edge_threshold": edge_threshold}
    return _keep(graph, kept, edges).with_meta(pruned=settings | _sizes(graph))


def top(graph: Graph, n_nodes: int) -> Graph:
    """Gives the graph with its `n_nodes` most influential features and errors, for a picture.

    Tokens, positional embeddings and targets stay in any case, and so do all edges between what
    stays; what is cut off is added to `rest` as `prune` does it.

    Args:
        graph: any graph.
        n_nodes: features and errors to keep; those without influence are never kept.

    Raises:
        UsageError: `n_nodes` is negative.
    """
    if n_nodes < 0:
        raise UsageError(f"Cannot keep {n_nodes} nodes: give 0 or more.")
    graph = with_influence(graph)
    strength = graph.nodes["influence"].to_numpy()
    candidates = np.flatnonzero(of_kind(graph, "feature", "error") & ~_always(graph) & (strength > 0))
    best = candidates[np.argsort(-strength[candidates], kind="stable")[:n_nodes]]
    kept = _always(graph)
    kept[best] = True
    source, target = graph.ends
    edges = kept[source] & kept[target] & ~of_kind(graph, *CONSTANTS)[source]
    return _keep(graph, kept, edges).with_meta(pruned={"n_nodes": n_nodes} | _sizes(graph))


def only(graph: Graph, nodes: Sequence[str]) -> Graph:
    """Gives the graph with these nodes, besides tokens, positional embeddings and targets.

    All edges between what stays stay; what is cut off is added to `rest` as `prune` does it.

    Args:
        graph: any graph.
        nodes: names of nodes that stay whatever their influence.

    Raises:
        NotFound: a name is no node.
    """
    graph = with_influence(graph)
    kept = _always(graph)
    kept[[graph.row(node) for node in nodes]] = True
    source, target = graph.ends
    edges = kept[source] & kept[target] & ~of_kind(graph, *CONSTANTS)[source]
    return _keep(graph, kept, edges).with_meta(pruned={"kept": len(set(nodes))} | _sizes(graph))


def without_edges(graph: Graph, gone: Bool[np.ndarray, "e"]) -> Graph:
    """Gives the graph without some edges, which are added to `rest` as `prune` does it.

    Args:
        graph: any graph.
        gone: which edges; those of constants stay.
    """
    kept = ~of_kind(graph, *CONSTANTS)
    source, target = graph.ends
    cut = _keep(graph, kept, kept[source] & kept[target] & ~gone)
    names = graph.nodes["node"]
    lost = pl.DataFrame({"source": names[source[gone]], "target": names[target[gone]]})
    return replace(cut, heads=cut.heads.join(lost, on=["source", "target"], how="anti"))


def _always(graph: Graph) -> Bool[np.ndarray, "N"]:
    """Gives the nodes that stay whatever their influence: the prompt and what was asked."""
    asked = graph.nodes["target_weight"].to_numpy() > 0
    return np.asarray(asked | of_kind(graph, "token", "position", "logit"))


def _cut(scores: Float[np.ndarray, "k"], share: float) -> float:
    """Gives the smallest score among the largest ones that together hold `share` of the sum.

    Less a trifle, so that scores equal but for rounding stay or go together.
    """
    if share == 1 or not scores.any():
        return 0.0
    ordered = np.sort(scores)[::-1]
    reached = np.searchsorted(np.cumsum(ordered) / ordered.sum(), share - ROUNDING)
    return float(ordered[min(int(reached), len(ordered) - 1)]) * (1 - ROUNDING)


def _strong_edges(graph: Graph, kept: Bool[np.ndarray, "N"], threshold: float) -> Bool[np.ndarray, "e"]:
    """Gives the edges between kept nodes that hold `threshold` of the edges' influence."""
    source, target = graph.ends
    between = kept[source] & kept[target] & ~of_kind(graph, *CONSTANTS)[source]
    size = len(graph.nodes)
    weight = np.where(between, np.abs(graph.edges["weight"].to_numpy()), 0).astype(np.float64)
    incoming = sums(target, weight, size) + graph.nodes["truncated"].to_numpy()
    share = np.divide(weight, incoming[target], out=np.zeros_like(weight), where=weight > 0)
    asked = graph.nodes["target_weight"].to_numpy()
    shares = sp.csr_array((share, (target, source)), shape=(size, size))
    score = share * (propagate(shares, asked) + asked)[target]
    return np.asarray(between & (score >= _cut(score, threshold)))


def _drop_loose_ends(graph: Graph, kept: Bool[np.ndarray, "N"], edges: Bool[np.ndarray, "e"]) -> None:
    """Takes nodes without a way out or in from `kept`, and their edges from `edges`, in place."""
    source, target = graph.ends
    must_send = of_kind(graph, "feature", "error") & ~_always(graph)
    must_receive = of_kind(graph, "feature") & graph.nodes["expanded"].to_numpy() & ~_always(graph)
    while True:
        sends = np.bincount(source[edges], minlength=len(kept)) > 0
        receives = np.bincount(target[edges], minlength=len(kept)) > 0
        loose = kept & ((must_send & ~sends) | (must_receive & ~receives))
        if not loose.any():
            return
        kept &= ~loose
        edges &= kept[source] & kept[target]


def _keep(graph: Graph, kept: Bool[np.ndarray, "N"], edges: Bool[np.ndarray, "e"]) -> Graph:
    """Gives the graph of the kept nodes and edges, what is cut off from a kept node added to `rest`.

    `kept` and `edges` speak of nodes with influence; biases and `rest` come with their targets.
    """
    source, target = graph.ends
    weight = graph.edges["weight"].to_numpy()
    is_rest, is_bias = of_kind(graph, "rest"), of_kind(graph, "bias")
    lasting = edges | (kept[target] & is_bias[source])
    cut = kept[target] & ~lasting & ~is_rest[source]
    size = len(kept)
    truncated = sums(target[cut], np.abs(weight[cut]), size)
    moved = kept[target] & (is_rest[source] | cut)
    rest = sums(target[moved], weight[moved], size)
    receives = np.flatnonzero(np.bincount(target[moved & (weight != 0)], minlength=size))

    stays = kept | np.isin(np.arange(size), source[lasting])
    nodes = graph.nodes.with_columns(truncated=graph.nodes["truncated"] + pl.Series(truncated))
    nodes = nodes.filter(pl.Series(stays))
    row = np.cumsum(stays) - 1
    if len(receives):
        nodes = pl.concat([_rest_node(graph), nodes])
        row += 1
    strength = graph.edges["strength"].to_numpy()
    of_rest = rest[receives].astype(weight.dtype)
    pruned = Graph.of(
        nodes,
        (
            np.concatenate([row[source[lasting]], np.zeros(len(receives), int)]).astype(np.int32),
            np.concatenate([row[target[lasting]], row[receives]]).astype(np.int32),
        ),
        (np.concatenate([weight[lasting], of_rest]), np.concatenate([strength[lasting], of_rest])),
        graph.meta,
    )
    return with_hyperedges(pruned, graph)


def _rest_node(graph: Graph) -> pl.DataFrame:
    """Gives the row of `rest`: the graph's own, or a new one."""
    own = graph.nodes.filter(pl.col("kind") == REST)
    if len(own):
        return own
    filled = {"node": REST, "kind": REST, "activation": 1.0, "expanded": False, "truncated": 0.0}
    row = dict.fromkeys(NODE_SCHEMA, None) | filled | {"target_weight": 0.0, "influence": 0.0}
    return pl.DataFrame([row], schema=NODE_SCHEMA)


def _sizes(graph: Graph) -> dict[str, int]:
    return {"nodes_before": len(graph.nodes), "edges_before": len(graph.edges)}
