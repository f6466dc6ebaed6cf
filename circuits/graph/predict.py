"""What the graph says would happen: targets under interventions, patterns and scales frozen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.actions import UNTOUCHED, Affine, Intervention, named_nodes
from circuits.graph.graph import Graph
from circuits.graph.run import Runner
from circuits.schema import parse_feature

SHIFT = "shift:"
"""How the constant that moves a node is called, inside this file."""


def predict(
    graph: Graph,
    interventions: Sequence[Intervention],
    *,
    targets: Sequence[str] | None = None,
    batch: int = 256,
) -> Float[np.ndarray, "B T"]:
    """Gives the targets' values under each intervention, as the graph has it.

    A node's activation becomes ``scale · gate(z') + offset``, z' being what its sources leave of its
    pre-activation; all else is as in `circuits.graph.run.Runner`. A constant of activation 1 with the
    node's own strengths stands in for the offset, so that nothing but masks is ever run.

    Args:
        graph: any graph.
        interventions: what is done, one row of the result each.
        targets: nodes whose value is asked for; the graph's own unless given.
        batch: interventions evaluated at once.

    Raises:
        NotFound: an intervention names a node the graph does not have, or a feature that is in it at no
            position; what the graph does not hold it cannot predict.
        UsageError: as for `Runner`; an intervention on a logit.

    Example:
        >>> predict(graph, [ablate(["12/4051@7"])], targets=["logit:Paris"])  # doctest: +SKIP
    """
    placed = [expanded(graph, one) for one in interventions]
    nodes = sorted({node for one in placed for node in one}, key=graph.row)
    if not nodes:
        base = Runner(graph, targets=targets, batch=batch)(np.ones((1, len(graph.nodes))))
        return np.repeat(base, len(placed), axis=0)
    moved = _with_shifts(graph, nodes)
    players = [[moved.row(node)] for node in nodes] + [[row] for row in range(len(nodes))]
    done = [[one.get(node, UNTOUCHED) for node in nodes] for one in placed]
    masks = np.array(
        [[d.scale for d in row] + [1.0 + d.offset for d in row] for row in done], np.float64
    ).reshape(len(placed), 2 * len(nodes))
    return Runner(moved, targets=graph.targets if targets is None else targets, batch=batch, players=players)(
        masks
    )


def expanded(graph: Graph, one: Intervention) -> dict[str, Affine]:
    """Gives what is done to each node of the graph, features without a position at every one they have.

    Raises:
        NotFound: a node, or a feature at any position, is not in the graph.
        UsageError: a logit is named.
    """
    found: dict[str, Affine] = {}
    for name, done in one.nodes.items():
        for node in _places(graph, name):
            found[node] = done.after(found.get(node, UNTOUCHED))
    return found


def without_predictions(graph: Graph, interventions: Sequence[Intervention]) -> list[str]:
    """Gives the nodes named that the graph does not hold, so that it predicts nothing of them."""
    lacking = []
    for name in named_nodes(interventions):
        try:
            _places(graph, name)
        except NotFound:
            lacking.append(name)
    return lacking


def _places(graph: Graph, name: str) -> list[str]:
    if name in graph.index:
        if str(graph.nodes["kind"][graph.row(name)]) == "logit":
            raise UsageError(f"{name} is an output: what is explained cannot be set. Act on its causes.")
        return [name]
    if "@" not in name and parse_feature(f"{name}@0"):
        table = graph.nodes.filter(pl.col("kind") == "feature", pl.col("node").str.starts_with(f"{name}@"))
        if len(table):
            return table["node"].to_list()
    near = near_matches(name, graph.index)
    raise NotFound(
        f"{name} is not among the {len(graph.nodes)} nodes of this graph, so it predicts nothing.{near}"
    )


def _with_shifts(graph: Graph, nodes: Sequence[str]) -> Graph:
    """Gives the graph with a constant for each node, first in the table, that sends what the node sends."""
    row = {
        **dict.fromkeys(graph.nodes.columns, None),
        "kind": "bias",
        "activation": 1.0,
        "expanded": False,
        "truncated": 0.0,
        "target_weight": 0.0,
    }
    added = pl.DataFrame([{**row, "node": f"{SHIFT}{node}"} for node in nodes], schema=graph.nodes.schema)
    place = np.full(len(graph.nodes), -1)
    place[[graph.row(node) for node in nodes]] = np.arange(len(nodes))
    source, target = graph.ends
    copied = place[source] >= 0
    weight, strength = (graph.edges[name].to_numpy() for name in ("weight", "strength"))
    ends = (
        np.concatenate([source + len(nodes), place[source[copied]]]),
        np.concatenate([target + len(nodes), target[copied] + len(nodes)]),
    )
    values = (np.concatenate([weight, strength[copied]]), np.concatenate([strength, strength[copied]]))
    # the runner starts from recorded pre-activations, so that these weights change no sum
    recorded = graph.nodes.with_columns(
        pre_activation=pl.when(pl.col("expanded"))
        .then(pl.coalesce("pre_activation", pl.Series(_sums(graph))))
        .otherwise(pl.col("pre_activation"))
    )
    return Graph.of(pl.concat([added, recorded]), ends, values, graph.meta)


def _sums(graph: Graph) -> Float[np.ndarray, "N"]:
    _, target = graph.ends
    return np.bincount(target, weights=graph.edges["weight"].to_numpy(), minlength=len(graph.nodes)).astype(
        np.float64
    )
