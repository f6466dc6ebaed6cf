"""What the graph predicts if nodes or edges are off: the target's value before and after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.graph.graph import Graph
from circuits.graph.run import Runner

SCHEMA = pl.Schema(
    {"target": pl.String(), "before": pl.Float64(), "after": pl.Float64(), "effect": pl.Float64()}
)

CUT = "bias:cut"
"""Name of the constant that stands for edges that are cut, inside this file."""


def switched_off(graph: Graph, rows: Int[np.ndarray, "k"], targets: Sequence[str]) -> pl.DataFrame:
    """Gives each target's value on the prompt, and with nodes off, patterns and scales frozen.

    Args:
        graph: the graph.
        rows: the nodes that are off.
        targets: whose value is asked for.

    Returns:
        Columns `target`, `before`, `after` and `effect` (after less before).
    """
    runner = Runner(graph, targets=targets, players=[rows.tolist()])
    return _table(targets, runner(np.array([[1.0], [0.0]])))


def without_edges(
    graph: Graph, ends: tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]], targets: Sequence[str]
) -> pl.DataFrame:
    """Gives each target's value on the prompt, and with edges off: what they bring is taken away.

    Args:
        graph: the graph.
        ends: source and target rows of the edges.
        targets: whose value is asked for.

    Returns:
        As `switched_off`.
    """
    source, target = graph.ends
    size = len(graph.nodes)
    cut = np.isin(source.astype(np.int64) * size + target, ends[0].astype(np.int64) * size + ends[1])
    weight, strength = (graph.edges[name].to_numpy() for name in ("weight", "strength"))
    # a constant brings what the edges brought, and does not move with their sources; then it is off
    into, place = np.unique(target[cut], return_inverse=True)
    brought = np.bincount(place, weights=weight[cut], minlength=len(into)).astype(weight.dtype)
    blank = dict.fromkeys(graph.nodes.columns, None) | {"expanded": False, "truncated": 0.0}
    row = blank | {"node": CUT, "kind": "bias", "activation": 1.0, "target_weight": 0.0}
    nodes = pl.concat([pl.DataFrame([row], schema=graph.nodes.schema), graph.nodes])
    moved = Graph.of(
        nodes,
        (
            np.concatenate([np.zeros(len(into), np.int32), source[~cut] + 1]),
            np.concatenate([into + 1, target[~cut] + 1]),
        ),
        (np.concatenate([brought, weight[~cut]]), np.concatenate([brought, strength[~cut]])),
        graph.meta,
    )
    runner = Runner(moved, targets=targets, players=[[0]])
    return _table(targets, runner(np.array([[1.0], [0.0]])))


def _table(targets: Sequence[str], values: Float[np.ndarray, "2 T"]) -> pl.DataFrame:
    before, after = (row.astype(float).tolist() for row in values)
    rows = [(t, b, a, a - b) for t, b, a in zip(targets, before, after, strict=True)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
