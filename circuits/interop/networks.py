"""GraphML and GEXF, for Gephi, Cytoscape and networkx.

Nodes and edges bear the columns of their tables. An interaction is a node of its own, a diamond of kind
`hyperedge`: an edge of role `member` leads to it from each member, one of role `target` from it to what is
acted on. Members that are no nodes (concepts, heads, attention scores) become nodes of kind `concept` or
`head`. Values that are null are left out. XML has no place for control characters: they become �.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import networkx as nx
import polars as pl

from circuits.errors import InvalidFile
from circuits.files import atomic
from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA, NODE_SCHEMA

Network: TypeAlias = "nx.DiGraph[str]"

MANY: Final = 50_000
"""Edges beyond which a picture of them helps nobody: said, with what to do."""

_NOT_XML: Final = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SHAPES: Final = {
    "hyperedge": "diamond",
    "error": "diamond",
    "token": "square",
    "logit": "square",
    "head": "triangle",
}
_GEXF: Final = {"label": "text", "start": "begins", "end": "ends", "viz": "drawn"}
"""Names that mean something else in GEXF."""


def write_network(
    graph: Graph,
    path: Path,
    format: Literal["graphml", "gexf"],  # noqa: A002  # what it is called everywhere
    *,
    plain: bool,
    overwrite: bool,
) -> tuple[dict[str, int], dict[str, int], tuple[str, ...]]:
    """Gives how much was written and left out, and what to know of it; see `circuits.export_graph`.

    Args:
        graph: any graph.
        path: of the file.
        format: of the file.
        plain: without interactions.
        overwrite: replace what stands there.
    """
    clean = _Clean()
    drawn: Network = nx.DiGraph()
    names = clean.names(graph.nodes["node"].to_list())
    for row in graph.nodes.iter_rows(named=True):
        drawn.add_node(names[row["node"]], **clean.attributes(row, without="node"))
    for source, target, weight, strength in graph.edges.iter_rows():
        drawn.add_edge(
            names[source], names[target], weight=_finite(weight), strength=_finite(strength), role="edge"
        )
    counts = {"nodes": len(graph.nodes), "edges": len(graph.edges)}
    left_out: dict[str, int] = {}
    if not plain:
        counts["hyperedges"] = _add_hyperedges(drawn, graph, names, clean)
        left_out |= _some({"shares of hyperedges": len(graph.hyperedges) - counts["hyperedges"]})
    else:
        left_out |= _some({"hyperedges": len(graph.hyperedges)})
    left_out |= _some({"head loadings": len(graph.heads), "verdicts": len(graph.verdicts)})
    drawn.graph["meta"] = clean.text(json.dumps(dict(graph.meta), ensure_ascii=False, default=str))
    notes = []
    if clean.count:
        notes.append(f"{clean.count:,} characters that XML has no place for were replaced by �")
    if drawn.number_of_edges() > MANY:
        notes.append("that is much for a picture: --nodes 500 writes the most influential ones alone")
    with atomic(path, overwrite=overwrite) as temporary:
        _write(drawn, temporary, format)
    return counts, left_out, tuple(notes)


def _write(drawn: Network, path: Path, format: str) -> None:  # noqa: A002
    if format == "graphml":
        nx.write_graphml(drawn, path, infer_numeric_types=True)
        return
    renamed: Network = nx.DiGraph()
    for node, data in drawn.nodes(data=True):
        kept = {_GEXF.get(key, key): value for key, value in data.items()}
        shape = _SHAPES.get(str(data.get("kind")), "disc")
        renamed.add_node(node, label=node, viz={"shape": shape}, **kept)
    renamed.add_edges_from(drawn.edges(data=True))
    nx.write_gexf(renamed, path)


def _add_hyperedges(drawn: Network, graph: Graph, names: dict[str, str], clean: _Clean) -> int:
    """Adds a diamond for each interaction, joined to its members and its target; gives how many."""
    whole = graph.hyperedges.filter(pl.col("via").is_null())
    diamonds = clean.names(whole["hyperedge"].to_list(), taken=set(names.values()))
    for row in whole.iter_rows(named=True):
        diamond = diamonds[row["hyperedge"]]
        told = {key: value for key, value in row.items() if key not in ("members", "target", "hyperedge")}
        drawn.add_node(diamond, kind="hyperedge", **clean.attributes(told))
        for name in (*row["members"], row["target"]):
            if name not in names:
                names |= clean.names([name], taken={*names.values(), *diamonds.values()})
                kind = "head" if name.startswith(("head:", "score:", "odds:")) else "concept"
                drawn.add_node(names[name], kind=kind)
        for member in row["members"]:
            drawn.add_edge(names[member], diamond, role="member")
        drawn.add_edge(diamond, names[row["target"]], role="target", **_weight(row["weight"]))
    return len(whole)


class _Clean:
    """Texts as XML can hold them; counts the characters it replaced."""

    def __init__(self) -> None:
        self.count = 0

    def text(self, text: str) -> str:
        clean, replaced = _NOT_XML.subn("�", text)
        self.count += replaced
        return clean

    def names(self, names: list[str], taken: set[str] | None = None) -> dict[str, str]:
        """Gives a clean name for each, no two alike."""
        used = set(taken or ())
        found: dict[str, str] = {}
        for name in names:
            clean, number = self.text(name), 1
            while clean in used:
                number += 1
                clean = f"{self.text(name)}#{number}"
            used.add(clean)
            found[name] = clean
        return found

    def attributes(self, row: Mapping[str, Any], without: str = "") -> dict[str, Any]:
        """Gives a row's values that are not null, by type: GraphML and GEXF know no others."""
        return {
            key: self.text(value) if isinstance(value, str) else _finite(value)
            for key, value in row.items()
            if value is not None and key != without
        }


def _finite(value: Any) -> Any:
    """Gives a value as it is; NaN and infinities, which Gephi refuses, as texts would be, are refused."""
    if isinstance(value, float) and value != value:  # NaN
        raise InvalidFile("A number of the graph is NaN, which neither GraphML nor GEXF can hold.")
    return value


def _weight(value: float | None) -> dict[str, float]:
    return {} if value is None else {"weight": value}


def _some(counts: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


assert {"node", "label"} <= set(NODE_SCHEMA)
assert {"hyperedge", "members", "target", "via"} <= set(HYPEREDGE_SCHEMA)
