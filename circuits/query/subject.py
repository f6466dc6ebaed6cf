"""The one node a question is about, and the influence of every other node on it alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph, edge_frame
from circuits.graph.hyper import minus, with_hyperedges
from circuits.graph.influence import normalised, propagate
from circuits.graph.names import resolve_target
from circuits.query.text import Naming


@dataclass(frozen=True, eq=False)
class Subject:
    """A graph whose only target is the node asked about.

    Attributes:
        graph: the graph, `target_weight` 1 at the node and 0 elsewhere, `influence` to match.
        node: the node asked about.
        over: the logit it is compared with, where a difference was asked for.
        row: its row.
        influence: the share of the node's influence that passes through each node, 1 at the node itself.
        shares: normalised weights, row = target.
        naming: readable names.
    """

    graph: Graph
    node: str
    over: str | None
    row: int
    influence: Float[np.ndarray, "n"]
    shares: sp.csr_array
    naming: Naming

    @classmethod
    def of(cls, graph: Graph, target: str | None = None, over: str | None = None) -> Subject:
        """Gives the subject of a question.

        Args:
            graph: any graph.
            target: a node, an output by its token, a feature by its label
                (`circuits.graph.names.resolve_target`); the heaviest target unless given.
            over: a second logit: the question is then about `target` minus `over`.

        Raises:
            NotFound: no such node.
            UsageError: several are called so; nothing flows into the node, or its incoming edges were
                not computed.
        """
        node = heaviest(graph) if target is None else resolve_target(graph, target)
        second = None
        if over is not None:
            second = _find_difference(graph, node, over)
            if second is not None:
                graph, node = difference(graph, node, second)
            else:
                second, node = over, f"{node}-{over.strip().removeprefix('logit:')}"
        row = graph.row(node)
        check_opened(graph, row)
        weight = np.zeros(len(graph.nodes))
        weight[row] = 1.0
        focused = graph.with_nodes(target_weight=pl.Series(weight))
        shares = normalised(focused)
        share = propagate(shares, weight)
        share[row] = 1.0  # all of it arrives at the node itself
        focused = focused.with_nodes(influence=pl.Series(share))
        return cls(focused, node, second, row, share, shares, Naming.of(graph))

    @property
    def value(self) -> float:
        """Gives the number to be explained: the node's pre-activation, for a logit its value.

        Where that is not known, what flows in along the edges.
        """
        known = self.graph.nodes["pre_activation"][self.row]
        return float(self.graph.matrix[[self.row]].sum()) if known is None else float(known)

    @property
    def valued(self) -> bool:
        """Tells whether the value is known; graphs of other tools hold neither it nor the biases."""
        return self.graph.nodes["pre_activation"][self.row] is not None

    @property
    def kind(self) -> str:
        """Gives the node's kind."""
        return str(self.graph.nodes["kind"][self.row])

    def words(self) -> str:
        """Gives the node in words: `" Mary"`, `" Mary" over " John"`, `feature 12/4051 at " to"`."""
        if self.kind == "logit":
            return self.naming.output(self.node)
        return self.naming.phrase(self.node)


def difference(graph: Graph, one: str, other: str) -> tuple[Graph, str]:
    """Gives the graph with a node for the difference of two logits added, and that node's name.

    Its incoming weights are the differences of the two rows, so they add up to the difference of
    the two values. What the rows summed into `rest` adds up in `truncated`, an upper bound. The
    interactions known of both logits are subtracted too (`circuits.graph.hyper.minus`).
    """
    rows = graph.row(one), graph.row(other)
    name = f"{one}-{other.removeprefix('logit:')}"
    table = graph.nodes
    pair = [table.row(row, named=True) for row in rows]
    added = {
        **pair[0],
        "node": name,
        "label": None,
        "target_weight": 0.0,
        "truncated": pair[0]["truncated"] + pair[1]["truncated"],
        **{c: pair[0][c] - pair[1][c] for c in ("activation", "pre_activation") if pair[0][c] is not None},
    }
    nodes = pl.concat([table, pl.DataFrame([added], schema=table.schema)])
    source, target = graph.ends
    weight, strength = (graph.edges[c].to_numpy() for c in ("weight", "strength"))
    mine = [np.flatnonzero(target == row) for row in rows]
    both = np.concatenate(mine)
    sign = np.repeat([1, -1], [len(part) for part in mine]).astype(weight.dtype)
    ends, place = np.unique(source[both], return_inverse=True)
    sums = [
        np.bincount(place, weights=v[both] * sign, minlength=len(ends)).astype(v.dtype)
        for v in (weight, strength)
    ]
    frame = edge_frame(
        nodes["node"],
        np.concatenate([source, ends]),
        np.concatenate([target, np.full(len(ends), len(table), dtype=target.dtype)]),
        np.concatenate([weight, sums[0]]),
        np.concatenate([strength, sums[1]]),
    )
    tokens = [_tokens(graph, node) for node in (one, other)]
    entry = {"name": name, "tokens": [*tokens[0], *tokens[1]], "probability": None}
    targets = [*(graph.meta.get("targets") or ()), entry]
    hyperedges = pl.concat([graph.hyperedges, minus(graph.hyperedges, one, other, name)])
    meta = {**graph.meta, "targets": targets}
    return Graph(nodes, frame, hyperedges, meta, graph.heads, graph.verdicts), name


def made_of(graph: Graph, row: int) -> float:
    """Gives what flows into a node in all, or could: Σ |weight|, or |strength| where that is more.

    Effects far below this are rounding; a source that is off has weight 0, so its strength counts.
    """
    inside = graph.ends[1] == row
    weight, strength = (np.abs(graph.edges[name].to_numpy()[inside]) for name in ("weight", "strength"))
    return float(np.maximum(weight, strength).astype(np.float64).sum())


def induced(graph: Graph, rows: Int[np.ndarray, "k"]) -> Graph:
    """Gives the part of a graph on some of its rows: these nodes, the edges and hyperedges between them."""
    kept = np.unique(rows)
    new = np.full(len(graph.nodes), -1)
    new[kept] = np.arange(len(kept))
    source, target = graph.ends
    inside = np.flatnonzero((new[source] >= 0) & (new[target] >= 0))
    values = tuple(graph.edges[c].to_numpy()[inside] for c in ("weight", "strength"))
    ends = new[source[inside]], new[target[inside]]
    part = Graph.of(graph.nodes[kept.tolist()], ends, (values[0], values[1]), graph.meta)
    return with_hyperedges(part, graph)


def heaviest(graph: Graph) -> str:
    """Gives the heaviest target of a graph.

    Raises:
        UsageError: it has none.
    """
    if not graph.targets:
        raise UsageError("This graph has no target: name the node to explain.")
    return graph.targets[0]


def _find_difference(graph: Graph, node: str, over: str) -> str | None:
    """Gives the second logit's node, or None where the graph holds the difference itself."""
    if f"{node}-{over.strip().removeprefix('logit:')}" in graph.index:
        return None
    second = resolve_target(graph, over)
    kinds = [str(graph.nodes["kind"][graph.row(name)]) for name in (node, second)]
    if kinds != ["logit", "logit"] or node == second:
        raise UsageError(f"{node} over {second} is no difference of two outputs: name two logits.")
    return second


def check_opened(graph: Graph, row: int) -> None:
    """Refuses a node into which nothing flows, or whose incoming edges were not computed.

    Raises:
        UsageError: it is such a node; what to do is said.
    """
    if not graph.nodes["expanded"][row]:
        node, kind = graph.nodes["node"][row], graph.nodes["kind"][row]
        if kind in ("feature", "logit"):
            raise UsageError(
                f"{node} was not opened up: its incoming edges were not computed. Attribute again with"
                f" --target {node}, or with a larger --max-features."
            )
        raise UsageError(f"{node} is a source ({kind}): nothing flows into it. Ask about a feature or logit.")


def _tokens(graph: Graph, node: str) -> list[str]:
    entry = Naming.of(graph).outputs.get(node, {})
    return list(entry.get("tokens") or [entry.get("token") or node.removeprefix("logit:")])
