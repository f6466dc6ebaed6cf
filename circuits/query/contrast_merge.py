"""Two graphs in one picture: nodes of either, edges weighted by what they change."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Int

from circuits.graph.graph import Graph
from circuits.graph.influence import sums
from circuits.query.contrast_combinations import NOT_COMPARED
from circuits.query.contrast_pair import Pair
from circuits.schema import HYPEREDGE_SCHEMA


def merged(pair: Pair, places: Iterable[int], combinations: pl.DataFrame | None = None) -> Graph:
    """Gives the part of both graphs on some places as one graph.

    Nodes are called as in the first graph; what is at a word only the second prompt has stands after the
    end of the first. An edge has the difference of the two weights and of the two strengths; edges that do
    not differ are there with weight 0. The activation of a node is its own in the graph it is in, the
    first if it is in both. `meta["contrast"]` tells how every node is in the two (`in both`, `only here`,
    `only there`), `meta["prompt"]` holds the tokens of both.

    Args:
        pair: the two graphs.
        places: which places; the target is always one of them.
        combinations: of `circuits.query.contrast_combinations`; those that differ become hyperedges.
    """
    kept = np.unique([pair.one.subject.row, *places])
    ends, values = _edges(pair, kept)
    order = _order(pair, kept, ends)
    new = np.empty(len(kept), np.int64)
    new[order] = np.arange(len(kept))
    nodes = _nodes(pair, kept[order])
    graph = Graph.of(nodes, (new[ends[0]], new[ends[1]]), values, _meta(pair, kept[order]))
    return graph if combinations is None else replace(graph, hyperedges=_hyperedges(combinations))


def _hyperedges(combinations: pl.DataFrame) -> pl.DataFrame:
    """Gives combinations as hyperedges whose weight is the difference of the two weights."""
    both = pl.col("weight_here").fill_null(0) - pl.col("weight_there").fill_null(0)
    known = combinations.filter(pl.col("how") != NOT_COMPARED).select(
        "members", "order", "index", "channel", target="where", gate="kind", weight=both
    )
    known = known.with_columns(hyperedge=pl.format("contrast {}", pl.int_range(pl.len())))
    blank = [pl.lit(None, kind).alias(name) for name, kind in HYPEREDGE_SCHEMA.items() if name not in known]
    return known.with_columns(*blank).select(*HYPEREDGE_SCHEMA)


def _edges(pair: Pair, kept: Int[np.ndarray, "k"]) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Gives the edges between some places by their rank among them, and the differences of both columns."""
    found = []
    for column in ("weight", "strength"):
        parts = []
        for side, totals in enumerate((pair.one, pair.two)):
            rows = pair.rows[kept, side]
            matrix = totals.graph.to_scipy(column).astype(np.float64)
            inside = np.flatnonzero(rows >= 0)
            part = sp.coo_array(matrix[rows[inside]][:, rows[inside]])
            parts.append((inside[part.coords[1]], inside[part.coords[0]], part.data))
        found.append(parts)
    keys = [source * len(kept) + target for source, target, _ in found[0]]
    every, at = np.unique(np.concatenate(keys), return_inverse=True)
    sign = np.repeat([1.0, -1.0], [len(key) for key in keys])
    values = tuple(
        sums(at, sign * np.concatenate([part[2] for part in parts]), len(every)) for parts in found
    )
    return (every // len(kept), every % len(kept)), (values[0], values[1])


def _order(pair: Pair, kept: Int[np.ndarray, "k"], ends: tuple[Any, Any]) -> Int[np.ndarray, "k"]:
    """Gives an order in which every edge runs forward, by layers as far as that leaves a choice."""
    net: nx.DiGraph[int] = nx.DiGraph()
    net.add_nodes_from(range(len(kept)))
    net.add_edges_from(zip(ends[0].tolist(), ends[1].tolist(), strict=True))
    depth = [_depth(pair, int(place)) for place in kept]
    return np.array(list(nx.lexicographical_topological_sort(net, key=lambda i: (depth[i], i))), np.int64)


def _depth(pair: Pair, place: int) -> float:
    side = 0 if pair.rows[place, 0] >= 0 else 1
    layer = pair.graphs()[side].nodes["layer"][int(pair.rows[place, side])]
    return -1.0 if layer is None else float(layer)


def _nodes(pair: Pair, kept: Int[np.ndarray, "k"]) -> pl.DataFrame:
    rows = []
    for place in kept.tolist():
        side = 0 if pair.rows[place, 0] >= 0 else 1
        row = pair.graphs()[side].nodes.row(int(pair.rows[place, side]), named=True)
        if side and row["pos"] is not None:
            row["pos"] = pair.alignment.place(row["pos"])
        asked = float(place == pair.one.subject.row)
        size = abs(float(pair.total.change[place])) / max(abs(pair.difference), 1e-12)
        rows.append(row | {"node": pair.name[place], "target_weight": asked, "influence": min(size, 1.0)})
    return pl.DataFrame(rows, schema=pair.one.graph.nodes.schema)


def _meta(pair: Pair, kept: Int[np.ndarray, "k"]) -> dict[str, Any]:
    first, second = pair.graphs()
    tokens = list(pair.alignment.merged())
    prompt = {**(first.meta.get("prompt") or {}), "tokens": tokens}
    return {
        **first.meta,
        "prompt": prompt,
        "n_tokens": len(tokens),
        "contrast": {
            "first": first.meta.get("run"),
            "second": second.meta.get("run"),
            "how": {pair.name[place]: pair.how[place] for place in kept.tolist()},
            "words": {str(p): pair.alignment.there[q] for p, q in pair.alignment.changed},
            "pairs": [list(both) for both in pair.alignment.pairs],
        },
    }
