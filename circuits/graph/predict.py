"""What the graph says would happen: targets under interventions, patterns and scales frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    nodes = dict.fromkeys(node for one in interventions for node in expanded(graph, one))
    return Predictor(graph, nodes, targets=targets, batch=batch)(interventions)


class Predictor:
    """`predict` for many calls on the same nodes: prepared once, then called on interventions.

    Args:
        graph: any graph.
        nodes: what may be intervened on, by name; features without a position at every one they have.
        targets: nodes whose value is asked for; the graph's own unless given.
        batch: interventions evaluated at once.

    Raises:
        NotFound: a node is not in the graph.
        UsageError: as for `Runner`; a node is a logit.

    Example:
        >>> predictor = Predictor(graph, ["12/4051@7", "13/2@7"])  # doctest: +SKIP
        >>> predictor([ablate(["12/4051@7"]), ablate(["13/2@7"])])  # doctest: +SKIP
    """

    def __init__(
        self, graph: Graph, nodes: Iterable[str], *, targets: Sequence[str] | None = None, batch: int = 256
    ) -> None:
        self.graph = graph
        self.nodes = sorted({place for node in nodes for place in _places(graph, node)}, key=graph.row)
        moved = _with_shifts(graph, self.nodes) if self.nodes else graph
        places = [[moved.row(node)] for node in self.nodes] + [[row] for row in range(len(self.nodes))]
        self._runner = Runner(
            moved, targets=graph.targets if targets is None else targets, batch=batch, players=places
        )

    def __call__(self, interventions: Sequence[Intervention]) -> Float[np.ndarray, "B T"]:
        """Gives the targets' values under each intervention.

        Raises:
            NotFound: an intervention acts on what the graph does not have.
            UsageError: one acts on a node this was not prepared for.
        """
        placed = [expanded(self.graph, one) for one in interventions]
        other = next((node for one in placed for node in one if node not in self.nodes), None)
        if other is not None:
            raise UsageError(f"{other} is not among the {len(self.nodes)} nodes this was prepared for.")
        done = [[one.get(node, UNTOUCHED) for node in self.nodes] for one in placed]
        masks = np.array([[d.scale for d in row] + [1.0 + d.offset for d in row] for row in done], np.float64)
        return self._runner(masks.reshape(len(placed), 2 * len(self.nodes)))


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
