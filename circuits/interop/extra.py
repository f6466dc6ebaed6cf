"""What an attribution-graph document has no place for, in the document's own object `circuits`.

::

    circuits
      format      1
      version     of this package
      checksum    of the document's node ids and links: what is here holds for these alone
      slug        what the document calls itself
      double      weights are float64
      nodes       the node table, a list a column
      ids         their node ids in the document; null where they have none
      strength    of the links, in order of target and source
      edges       those that are no links (from biases and `rest`): rows of the node table, weight, strength
      hyperedges, heads, verdicts    their tables, a list a column
      meta        of the graph

Viewers and the format's schema let unknown keys be. Read again, the graph is the same to the last bit; where
somebody changed nodes or links in between, this object is told to be out of date and left aside.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from circuits.errors import CircuitsError
from circuits.graph.graph import Graph, edge_frame
from circuits.interop.document import Read
from circuits.interop.write import PLACEHOLDER, Document
from circuits.schema import HEAD_SCHEMA, HYPEREDGE_SCHEMA, NODE_SCHEMA, VERDICT_SCHEMA

KEY: Final = "circuits"
FORMAT: Final = 1
TABLES: Final = {
    "nodes": NODE_SCHEMA,
    "hyperedges": HYPEREDGE_SCHEMA,
    "heads": HEAD_SCHEMA,
    "verdicts": VERDICT_SCHEMA,
}


def with_extra(graph: Graph, made: Document) -> dict[str, Any]:
    """Gives the document with all of the graph that it lacks, in its object `circuits`."""
    from circuits import __version__

    source, target = graph.ends
    weight, strength = (graph.edges[name].to_numpy() for name in ("weight", "strength"))
    lost = ~made.links
    tables = {name: columns(getattr(graph, name)) for name in TABLES if len(getattr(graph, name))}
    extra = {
        "format": FORMAT,
        "version": __version__,
        "checksum": checksum(made.document),
        "slug": made.document["metadata"].get("slug"),
        "double": weight.dtype == np.float64,
        **tables,
        "ids": [made.ids.get(name) for name in graph.nodes["node"]],
        "strength": plain(strength[made.links]),
        "edges": {
            "source": source[lost].tolist(),
            "target": target[lost].tolist(),
            "weight": plain(weight[lost]),
            "strength": plain(strength[lost]),
        },
        "meta": dict(graph.meta),
    }
    return {**made.document, KEY: extra}


def has_extra(document: Mapping[str, Any]) -> bool:
    """Tells whether a document was written here, of a format this package reads."""
    extra = document.get(KEY)
    return isinstance(extra, dict) and extra.get("format") == FORMAT


def graph_of_extra(read: Read) -> tuple[Graph, Read] | None:
    """Gives the graph of a document that was written here, and the document's nodes by the graph's names.

    None where nodes or links were changed since.

    Args:
        read: a document that `has_extra`.
    """
    document = read.document
    extra = document[KEY]
    if extra.get("checksum") != checksum(document):
        return None
    try:
        if not all(isinstance(extra.get(name, {}), dict) for name in (*TABLES, "edges", "meta")):
            return None
        frames = {name: table(extra.get(name), schema) for name, schema in TABLES.items()}
        nodes = frames.pop("nodes")
        number = np.float64 if extra["double"] else np.float32
        rows = _rows(read, nodes["node"].to_list(), extra["ids"])
        source, target = (rows[ends] for ends in read.ends)
        order = np.lexsort((source, target))
        lost = extra["edges"]
        ends = [
            np.concatenate([rows[order], np.array(lost[end], np.int64)])
            for rows, end in ((source, "source"), (target, "target"))
        ]
        values = [
            np.concatenate([one, array(lost[name])]).astype(number)
            for one, name in ((read.weights[order], "weight"), (array(extra["strength"]), "strength"))
        ]
        sort = np.lexsort((ends[0], ends[1]))
        if (ends[0] < 0).any() or (ends[1] < 0).any():
            return None
        edges = edge_frame(nodes["node"], *(one[sort] for one in ends), *(one[sort] for one in values))
        graph = Graph(nodes, edges, meta=extra["meta"], **frames)
        named = [
            replace(one, name=nodes["node"][int(row)]) for one, row in zip(read.found, rows, strict=True)
        ]
        return graph, replace(read, found=named)
    except (CircuitsError, pl.exceptions.PolarsError, KeyError, TypeError, ValueError, IndexError):
        return None  # somebody wrote into it


def _rows(read: Read, names: list[str], ids: list[str | None]) -> np.ndarray:
    """Gives the row of each of the document's nodes: by its id, by its name where two have one id."""
    by_name = {name: row for row, name in enumerate(names)}
    count = Counter(ids)
    by_id = {id_: row for row, id_ in enumerate(ids) if count[id_] == 1}
    return np.array([by_id.get(one.id, by_name.get(one.name, -1)) for one in read.found], np.int64)


def without_placeholders(document: Mapping[str, Any]) -> dict[str, Any]:
    """Gives a document without the nodes that stand for nothing."""
    nodes = document.get("nodes")
    if not isinstance(nodes, list):
        return dict(document)
    real = [node for node in nodes if not (isinstance(node, dict) and node.get(PLACEHOLDER) is True)]
    return {**document, "nodes": real}


def checksum(document: Mapping[str, Any]) -> str:
    """Gives the SHA-256 of a document's node ids and links, in any order; placeholders aside."""
    ids = sorted(node["node_id"] for node in without_placeholders(document)["nodes"])
    links = sorted((link["target"], link["source"], float(link["weight"])) for link in document["links"])
    return hashlib.sha256(json.dumps([ids, links]).encode()).hexdigest()


def state(graph: Graph) -> str:
    """Gives the SHA-256 of a graph's tables: whether it is still what it was when it was read."""
    found = hashlib.sha256(graph.nodes.write_json().encode())
    for values in (*graph.ends, graph.edges["weight"].to_numpy(), graph.edges["strength"].to_numpy()):
        found.update(np.ascontiguousarray(values).tobytes())
    found.update(str([len(getattr(graph, name)) for name in ("hyperedges", "heads", "verdicts")]).encode())
    return found.hexdigest()


def columns(frame: pl.DataFrame) -> dict[str, list[Any]]:
    """Gives a table as a list a column; numbers that JSON lacks are texts."""
    return {name: [_sayable(value) for value in frame[name].to_list()] for name in frame.columns}


def table(written: Any, schema: pl.Schema) -> pl.DataFrame:
    """Gives the table that `columns` wrote; an empty one for None."""
    if written is None:
        return pl.DataFrame(schema=schema)
    numbers = [name for name, kind in schema.items() if kind == pl.Float64()]
    read = {
        name: [_said(v) for v in values] if name in numbers else values for name, values in written.items()
    }
    return pl.DataFrame({name: pl.Series(name, read[name], dtype=kind) for name, kind in schema.items()})


def plain(values: np.ndarray) -> list[Any]:
    """Gives an array as JSON."""
    return [_sayable(value) for value in values.tolist()]


def array(written: Any) -> np.ndarray:
    """Gives the array that `plain` wrote."""
    return np.array([_said(value) for value in written], np.float64)


def _sayable(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _said(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value
