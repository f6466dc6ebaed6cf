"""The graph: nodes, edges and hyperedges as tables, checked once, never changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from circuits.errors import InvalidFile, NotFound, near_matches
from circuits.graph.display import in_notebook
from circuits.schema import HEAD_SCHEMA, HYPEREDGE_SCHEMA, NODE_SCHEMA, VERDICT_SCHEMA, edge_schema
from circuits.trace import Trace

Masks = Float[np.ndarray, "B N"] | Bool[np.ndarray, "B N"] | Int[np.ndarray, "B N"]
"""Coalitions by nodes: 1 on, 0 off, or between."""


@dataclass(frozen=True, eq=False)
class Graph:
    """An attribution graph. Made by `circuits.attribute`, by pruning, or by `circuits.load_run`.

    Attributes:
        nodes: one row a node, columns of `circuits.schema.NODE_SCHEMA`, in topological order: every
            edge runs from an earlier row to a later one.
        edges: `source`, `target` (Enums over the node names), `weight` (the signed contribution of
            the source, at its activation, to the target's pre-activation, all else frozen) and
            `strength` (weight per unit of the source's activation), sorted by (target, source).
        hyperedges: interactions, columns of `circuits.schema.HYPEREDGE_SCHEMA`.
        meta: prompt, fingerprints, methods, settings, versions, timings; JSON-compatible.
        heads: which attention heads carry which edges, columns of `circuits.schema.HEAD_SCHEMA`; empty
            unless asked for (`QK`).
        verdicts: predictions tried on the model, columns of `circuits.schema.VERDICT_SCHEMA`; empty
            until `circuits.verify`.

    Raises:
        InvalidFile: a table lacks a column, names a node twice, or has an edge that runs backwards.
    """

    nodes: pl.DataFrame
    edges: pl.DataFrame
    hyperedges: pl.DataFrame
    meta: Mapping[str, Any] = field(default_factory=dict)
    heads: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HEAD_SCHEMA))
    verdicts: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=VERDICT_SCHEMA))

    def __post_init__(self) -> None:
        _check_columns("nodes", self.nodes, NODE_SCHEMA)
        _check_columns("hyperedges", self.hyperedges, HYPEREDGE_SCHEMA)
        _check_columns("heads", self.heads, HEAD_SCHEMA)
        _check_columns("verdicts", self.verdicts, VERDICT_SCHEMA)
        names = self.nodes["node"]
        if names.n_unique() != len(names):
            twice = names.filter(names.is_duplicated()).unique(maintain_order=True).head(3).to_list()
            raise InvalidFile(f"The node table names {', '.join(twice)} more than once.")
        _check_columns(
            "edges", self.edges, edge_schema(names, double=self.edges.schema.get("weight") == pl.Float64)
        )
        source, target = self.ends
        if (source >= target).any():
            row = int(np.argmax(source >= target))
            raise InvalidFile(
                f"Edge {names[int(source[row])]} → {names[int(target[row])]} runs against the order of"
                " the node table: an attribution graph has no cycles."
            )

    @classmethod
    def of(
        cls,
        nodes: pl.DataFrame,
        ends: tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]],
        values: tuple[Float[np.ndarray, "e"], Float[np.ndarray, "e"]],
        meta: Mapping[str, Any] | None = None,
    ) -> Graph:
        """Gives a graph without hyperedges from row numbers of its node table.

        Args:
            nodes: the node table, in topological order.
            ends: source rows and target rows, in any order.
            values: weights and strengths.
            meta: see the class.
        """
        order = np.lexsort((ends[0], ends[1]))
        frame = edge_frame(nodes["node"], ends[0][order], ends[1][order], values[0][order], values[1][order])
        return cls(nodes, frame, pl.DataFrame(schema=HYPEREDGE_SCHEMA), dict(meta or {}))

    @cached_property
    def ends(self) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
        """Gives the row numbers (in `nodes`) of every edge's source and target."""
        return (
            self.edges["source"].to_physical().to_numpy().astype(np.int32),
            self.edges["target"].to_physical().to_numpy().astype(np.int32),
        )

    @cached_property
    def matrix(self) -> sp.csr_array:
        """Gives the weights as CSR: row = target, column = source, in node-table order."""
        source, target = self.ends
        shape = (len(self.nodes), len(self.nodes))
        return sp.csr_array((self.edges["weight"].to_numpy(), (target, source)), shape=shape)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Gives each node's row in `nodes`."""
        return {name: row for row, name in enumerate(self.nodes["node"])}

    @property
    def targets(self) -> list[str]:
        """Gives the names of the nodes that were asked about, heaviest first."""
        asked = self.nodes.filter(pl.col("target_weight") > 0)
        return asked.sort("target_weight", descending=True, maintain_order=True)["node"].to_list()

    def row(self, node: str) -> int:
        """Gives a node's row in `nodes`.

        Raises:
            NotFound: no such node; near matches are offered.
        """
        if node not in self.index:
            raise NotFound(
                f"No node {node!r} among the {len(self.nodes)} of this graph."
                + near_matches(node, self.index)
            )
        return self.index[node]

    def with_nodes(self, **columns: pl.Series | pl.Expr) -> Graph:
        """Gives the same graph with node columns replaced (not names, not order)."""
        if "node" in columns:
            raise ValueError("Node names are identities: make a new graph instead.")
        return replace(self, nodes=self.nodes.with_columns(**columns).select(*NODE_SCHEMA))

    def with_meta(self, **entries: Any) -> Graph:
        """Gives the same graph with entries of `meta` added or replaced."""
        return replace(self, meta={**self.meta, **entries})

    def prune(self, *, node_threshold: float = 0.8, edge_threshold: float = 0.98) -> Graph:
        """Gives the graph cut to what carries most of the influence: see `circuits.graph.prune`."""
        from circuits.graph.prune import prune

        return prune(self, node_threshold=node_threshold, edge_threshold=edge_threshold)

    def top(self, n_nodes: int) -> Graph:
        """Gives the graph cut to its `n_nodes` most influential features and errors."""
        from circuits.graph.prune import top

        return top(self, n_nodes)

    def run(
        self,
        masks: Masks | None = None,
        *,
        off: Sequence[str] = (),
        targets: Sequence[str] | None = None,
        batch: int = 1024,
    ) -> Float[np.ndarray, "B T"]:
        """Gives the targets' values when only some nodes stay on: see `circuits.graph.run`."""
        from circuits.graph.run import run  # JAX, loaded only when a graph is run

        return run(self, masks, off=off, targets=targets, batch=batch)

    def save(self, path: str | Path, *, overwrite: bool = False, trace: Trace | None = None) -> None:
        """Gives nothing; writes a run directory, which `circuits.load_run` reads."""
        from circuits.graph.io import save_run

        save_run(self, path, overwrite=overwrite, trace=trace)

    def to_networkx(self) -> Any:
        """Gives a `networkx.DiGraph`, all columns as attributes: see `circuits.graph.views`."""
        from circuits.graph.views import to_networkx  # networkx takes a while to load

        return to_networkx(self)

    def to_scipy(self, values: str = "weight") -> sp.csr_array:
        """Gives the edges as a sparse matrix, rows = targets, columns = sources."""
        from circuits.graph.views import to_scipy

        return to_scipy(self, values)

    def widget(self, *, against: Graph | None = None, answer: Any = None, height: int = 560) -> Any:
        """Gives the interactive graph for a notebook, an `anywidget.AnyWidget`: see `circuits.notebook`.

        Args:
            against: a second graph, to show what differs.
            answer: an answer to show beside it.
            height: in pixels.

        Raises:
            MissingPackage: anywidget is not installed.
        """
        return in_notebook("widget", self, against=against, answer=answer, height=height)

    def _repr_html_(self) -> str:
        return str(in_notebook("graph_html", self))

    def __repr__(self) -> str:
        kinds = self.nodes["kind"].value_counts(sort=True)
        parts = ", ".join(f"{count} {kind}" for kind, count in kinds.iter_rows())
        edges = f"{len(self.edges)} edges, {len(self.hyperedges)} hyperedges"
        return f"{type(self).__name__}({len(self.nodes)} nodes ({parts}), {edges})"


def edge_frame(
    names: pl.Series,
    source: Int[np.ndarray, "e"],
    target: Int[np.ndarray, "e"],
    weight: Float[np.ndarray, "e"],
    strength: Float[np.ndarray, "e"],
) -> pl.DataFrame:
    """Gives an edge table from row numbers, without making a string of any of them."""
    schema = edge_schema(names, double=weight.dtype == np.float64)
    ends = {
        "source": pl.Series(source.astype(np.uint32)).cat.to(schema["source"]),
        "target": pl.Series(target.astype(np.uint32)).cat.to(schema["target"]),
    }
    return pl.DataFrame({**ends, "weight": weight, "strength": strength}, schema_overrides=schema)


def _check_columns(table: str, frame: pl.DataFrame, schema: Mapping[str, Any]) -> None:
    wrong = [
        f"{name} ({frame.schema[name]} instead of {kind})" if name in frame.columns else name
        for name, kind in schema.items()
        if frame.schema.get(name) != kind
    ]
    if wrong:
        raise InvalidFile(f"The table of {table} lacks {', '.join(wrong)}.")
