"""Which nodes and edges go into a document, and their tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from circuits.graph.influence import of_kind
from circuits.query.text import percent, short
from circuits.viewer.focus import Focus, numbers, shortest

WIDEST = 80
"""Characters of a node's name, at most; its label stands there whole."""


@dataclass(frozen=True, eq=False)
class Part:
    """The nodes and edges of a run that are shown.

    Attributes:
        focus: the run.
        rows: of its node table, ascending.
        edges: of its edge table, the strongest first.
        told: what was left out, in sentences.
    """

    focus: Focus
    rows: Int[np.ndarray, "k"]
    edges: Int[np.ndarray, "m"]
    told: tuple[str, ...]

    @classmethod
    def of(cls, focus: Focus, named: Collection[str], nodes: int, edges: int) -> Part:
        """Gives the part with the nodes of most influence and the strongest edges between them.

        Args:
            focus: the run.
            named: nodes that are in whatever their influence, besides words and targets.
            nodes: the most nodes, unless more are named.
            edges: the most edges.
        """
        rows, about_nodes = _nodes(focus, named, nodes)
        kept, about_edges = _edges(focus, rows, edges)
        return cls(focus, rows, kept, (*about_nodes, *about_edges))

    @cached_property
    def place(self) -> Int[np.ndarray, "n"]:
        """Gives where each row of the run's node table stands here, −1 where it does not."""
        found = np.full(len(self.focus.graph.nodes), -1)
        found[self.rows] = np.arange(len(self.rows))
        return found

    @cached_property
    def names(self) -> dict[str, str]:
        """Gives the names of these nodes for people."""
        nodes = self.focus.graph.nodes[self.rows.tolist()]
        columns = nodes.select("node", pl.col("kind").cast(pl.String), "layer", "pos", "label").iter_rows()
        return {row[0]: _name(self.focus, *row) for row in columns}

    def node_table(self, concepts: Mapping[str, str]) -> dict[str, list[Any]]:
        """Gives the node table; `concepts` names the concept of a node."""
        nodes = self.focus.graph.nodes[self.rows.tolist()]
        known = self.focus.subject is not None
        influence = pl.Series(self.focus.arriving[self.rows]) if known else nodes["influence"]
        return {
            "node": nodes["node"].to_list(),
            "kind": nodes["kind"].cast(pl.String).to_list(),
            **{name: nodes[name].to_list() for name in ("layer", "pos", "feature")},
            **{name: numbers(nodes[name]) for name in ("activation", "pre_activation")},
            "influence": numbers(influence),
            "total": numbers(self.focus.total[self.rows]),
            "incoming": [value or 0.0 for value in numbers(self.focus.inflow[self.rows])],
            "label": nodes["label"].to_list(),
            "name": list(self.names.values()),
            "concept": [concepts.get(node) for node in self.names],
        }

    def features(self) -> pl.DataFrame:
        """Gives layer, feature and influence of the feature nodes among these."""
        nodes: pl.DataFrame = self.focus.graph.nodes[self.rows.tolist()]
        influence = np.nan_to_num(self.focus.arriving[self.rows])
        return nodes.select("layer", "feature").with_columns(influence=influence).drop_nulls()

    def edge_table(self) -> dict[str, list[Any]]:
        """Gives the edge table."""
        source, target = (self.place[ends[self.edges]].tolist() for ends in self.focus.graph.ends)
        weight = self.focus.graph.edges["weight"].gather(self.edges)
        return {"source": source, "target": target, "weight": shortest(weight)}


def _nodes(focus: Focus, named: Collection[str], most: int) -> tuple[Int[np.ndarray, "k"], list[str]]:
    graph = focus.graph
    always = of_kind(graph, "token", "logit") | (graph.nodes["target_weight"] > 0).to_numpy()
    must = always.copy()
    must[[graph.index[name] for name in named if name in graph.index]] = True
    size = len(must)
    if size <= most:
        return np.arange(size), []
    share = np.nan_to_num(focus.arriving)
    candidates = np.flatnonzero(~must)
    ordered = candidates[np.argsort(-share[candidates], kind="stable")]
    must[ordered[: max(0, most - int(must.sum()))]] = True
    rows = np.flatnonzero(must)
    counted = share * ~always
    held = counted[rows].sum() / counted.sum() if counted.sum() > 0 else 1.0
    said = (
        f"Of {size:,} nodes {len(rows):,} are here: those of most influence, with {percent(float(held))} of"
        " the influence of all, and in any case words, outputs, and what the combinations, paths and"
        " interventions shown name."
    )
    return rows, [said]


def _edges(focus: Focus, rows: Int[np.ndarray, "k"], most: int) -> tuple[Int[np.ndarray, "m"], list[str]]:
    source, target = focus.graph.ends
    weight = focus.graph.edges["weight"].to_numpy()
    reached = np.divide(
        focus.arriving, focus.inflow, out=np.zeros(len(focus.inflow)), where=focus.inflow > 0
    ).astype(np.float32 if weight.dtype == np.float32 else np.float64)
    share = np.nan_to_num(np.abs(weight) * reached[target], posinf=0.0)
    inside = np.arange(len(source))
    if len(rows) < len(focus.graph.nodes):
        here = np.zeros(len(focus.graph.nodes), bool)
        here[rows] = True
        inside = np.flatnonzero(here[source] & here[target])
    strength = share[inside]
    if len(inside) > most:
        least = np.partition(strength, len(inside) - most)[len(inside) - most] if most else np.inf
        strong = strength >= least
        inside, strength = inside[strong], strength[strong]
    kept = inside[np.argsort(-strength, kind="stable")][:most]
    if len(kept) == len(source):
        return kept, []
    counted = np.where(of_kind(focus.graph, "bias", "rest")[source], 0, share).astype(np.float64)
    held = counted[kept].sum() / counted.sum() if counted.sum() > 0 else 1.0
    said = (
        f"Of {len(source):,} edges {len(kept):,} are here: of those between the nodes that are here the"
        " strongest, by their share of what flows into their target times its influence; they carry"
        f" {percent(float(held))} of what all edges carry."
    )
    return kept, [said]


def _name(focus: Focus, node: str, kind: str, layer: int | None, pos: int | None, label: str | None) -> str:
    naming = focus.naming
    if kind == "feature":
        return short(label, WIDEST) if label else node.split("@")[0]
    if kind == "error":
        return f"error of layer {layer}"
    if kind == "token":
        return short(naming.token(pos) or node, WIDEST)
    if kind == "position":
        return short(f"position of {naming.token(pos)}", WIDEST)
    return short(naming.output(node), WIDEST) if kind == "logit" else node
