"""Graphs from other tools, and for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from circuits.errors import InvalidFile, UsageError
from circuits.files import atomic
from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.interop.checks import checks
from circuits.interop.document import graph_of, read
from circuits.interop.extra import (
    KEY,
    graph_of_extra,
    has_extra,
    state,
    with_extra,
    without_placeholders,
)
from circuits.interop.problems import Problem, schema_problems, told
from circuits.interop.read_json import read_json, write_json
from circuits.interop.write import keeping, slug_of, with_changes, written
from circuits.schema import NODE_SCHEMA

Format = Literal["neuronpedia", "graphml", "gexf", "csv"]
SUFFIXES: Final[dict[str, Format]] = {
    ".json": "neuronpedia",
    ".graphml": "graphml",
    ".gexf": "gexf",
    "": "csv",
}
"""What a path's ending says of the format; a path without one is a folder of CSV tables."""

ZIP: Final = b"PK\x03\x04"
"""How a zip archive begins, which is what PyTorch writes."""

STALE: Final = (
    "nodes or links were changed since this package wrote the file, so that its interactions, biases and"
    " settings were left aside"
)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: where.
        format: in which format.
        counts: how many nodes, links and other things are in the file.
        left_out: how many nodes of each kind, links and others are not in it.
        notes: what a reader should know, in sentences.
    """

    path: Path
    format: Format
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    notes: tuple[str, ...] = ()


def import_graph(path: str | Path, *, gate: str | None = None) -> Graph:
    """Gives the graph of a file that another tool wrote, or `export_graph`.

    That is an attribution-graph document (JSON, as Neuronpedia and circuit-tracer show it) or
    circuit-tracer's own .pt. What a document of ours says in its object `circuits` comes back to the last
    bit. Of others, biases, pre-activations and how features respond are unknown: all questions about paths,
    influence, cuts and groups can be asked, those that run the graph refuse. Nothing in a file is ever run.

    Args:
        path: the file; its content tells what it is.
        gate: how features respond, where the file does not say: `relu` takes every feature's pre-activation
            to be its activation, which lets the graph be run.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it cannot be trusted; what is wrong is told with line and column, or the JSON path.
        UsageError: an unknown gate.

    Example:
        >>> graph = circuits.import_graph("austin.json")  # doctest: +SKIP
    """
    where = Path(path)
    if gate not in (None, "relu"):
        raise UsageError(f"Features can be taken as relu, not as {gate!r}: give relu or nothing.")
    if is_archive(where):
        from circuits.interop.circuit_tracer import graph_of_pt

        graph = graph_of_pt(where)
    else:
        graph = graph_of_document(read_json(where), where.name)
    return as_relu(graph) if gate else graph


def graph_of_document(document: Any, name: str = "the document") -> Graph:
    """Gives the graph of an attribution-graph document; see `import_graph`.

    Args:
        document: JSON, parsed.
        name: of the file.

    Raises:
        InvalidFile: as for `import_graph`.
    """
    real = without_placeholders(document) if isinstance(document, dict) else document
    found = read(real, name)
    if has_extra(real):
        ours = graph_of_extra(found)
        rest = {key: value for key, value in real.items() if key != KEY}
        if ours is not None:
            return with_changes(ours[0], replace(ours[1], document=rest), real[KEY].get("slug"))
        found = replace(found, document=rest)
        found.notes.append(STALE)
    graph = keeping(graph_of(found, name), found)
    return graph.with_meta(imported={**graph.meta["imported"], "state": state(graph)})


def export_graph(
    graph: Graph,
    path: str | Path,
    *,
    format: Format | None = None,  # noqa: A002  # what it is called everywhere
    nodes: int | None = None,
    plain: bool = False,
    overwrite: bool = False,
) -> Exported:
    """Gives what was written of a graph, in a format of other tools; the file is whole or not there.

    - `neuronpedia`: an attribution-graph document, version 1, held against its schema. What the format has
      no place for (interactions, intervals, verdicts, biases, settings) is in the object `circuits`.
    - `graphml`, `gexf`: for Gephi, Cytoscape and networkx; interactions are diamonds joined to members.
    - `csv`: a folder of nodes.csv, edges.csv and hyperedges.csv.

    Args:
        graph: any graph.
        path: a file, or for CSV a folder.
        format: by the path's ending unless given.
        nodes: the most features and errors, by influence; all unless given.
        plain: nodes and links alone, nothing that only this package reads.
        overwrite: replace what stands there.

    Raises:
        UsageError: the path's ending names no format.
        OutputExists: something stands there and `overwrite` is false.
        InvalidFile: the graph holds what the format cannot: NaN, half characters.
        WriteFailed: the file system refused.

    Example:
        >>> circuits.export_graph(graph, "austin.json").left_out  # doctest: +SKIP
        {'bias': 5, 'rest': 1, 'links': 1878}
    """
    where = Path(path)
    chosen = format or format_of(where)
    drawn = graph if nodes is None else graph.top(nodes)
    if chosen == "neuronpedia":
        return _export_document(drawn, where, plain=plain, overwrite=overwrite)
    if chosen == "csv":
        from circuits.interop.csv_tables import write_tables

        return Exported(where, chosen, *write_tables(drawn, where, plain=plain, overwrite=overwrite))
    from circuits.interop.networks import write_network  # networkx takes a while to load

    return Exported(where, chosen, *write_network(drawn, where, chosen, plain=plain, overwrite=overwrite))


def format_of(path: Path) -> Format:
    """Gives the format a path's ending names.

    Raises:
        UsageError: it names none.
    """
    ending = path.suffix.lower()
    if ending not in SUFFIXES:
        raise UsageError(
            f"{path.name} could be any format: end it in .json, .graphml or .gexf, give a folder for CSV, or"
            " say --format."
        )
    return SUFFIXES[ending]


def validate(path: str | Path) -> list[Problem]:
    """Gives everything that is wrong with an attribution-graph document, errors first; nothing is imported.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it is no JSON.

    Example:
        >>> [str(problem) for problem in circuits.validate("austin.json")]  # doctest: +SKIP
        ['nodes[17].node_id: "3_5_2" is also that of nodes[3]']
    """
    where = Path(path)
    document = read_json(where)
    return checks(document, where.stat().st_size)


def is_archive(path: Path) -> bool:
    """Tells whether a file is a zip archive, which is what PyTorch writes."""
    try:
        with path.open("rb") as file:
            return file.read(len(ZIP)) == ZIP
    except OSError:
        return False


def as_relu(graph: Graph) -> Graph:
    """Gives the graph with every feature that lacks a gate taken as ReLU: pre-activation = activation.

    Raises:
        InvalidFile: a feature's activation is unknown too.
    """
    lacking = (pl.col("kind") == "feature") & pl.col("gate").is_null() & pl.col("expanded")
    blank = graph.nodes.filter(lacking & pl.col("activation").is_null())["node"]
    if len(blank):
        raise InvalidFile(
            f"{len(blank)} features bear no activation ({blank[0]} …): they cannot be taken as ReLU."
        )
    gates = pl.when(lacking).then(pl.lit("relu")).otherwise(pl.col("gate").cast(pl.String))
    before = pl.when(lacking).then("activation").otherwise("pre_activation")
    taken = graph.with_nodes(gate=gates.cast(NODE_SCHEMA["gate"]), pre_activation=before)
    imported = {**(graph.meta.get("imported") or {}), "unknown": "biases", "gate": "taken as relu"}
    return taken.with_meta(imported=imported)


def _export_document(graph: Graph, path: Path, *, plain: bool, overwrite: bool) -> Exported:
    made = written(graph, slug=_own_slug(graph, path))
    imported = graph.meta.get("imported") or {}
    as_it_came = imported.get("state") == state(graph)
    document = made.document if plain or as_it_came else with_extra(graph, made)
    problems = list(schema_problems(document))
    if problems:
        raise InvalidFile(f"This graph cannot be a document of the format: {told(problems)}.")
    with atomic(path, overwrite=overwrite) as temporary:
        write_json(document, temporary)
    counts = {
        "nodes": len(made.ids),
        "links": len(document["links"]),
        "concepts": len(known(graph)),
    }
    left_out, notes = dict(made.left_out), []
    if plain:
        tables = {name: len(getattr(graph, name)) for name in ("hyperedges", "heads", "verdicts")}
        left_out |= {name: count for name, count in tables.items() if count}
    elif not as_it_came:
        counts["hyperedges"] = len(graph.hyperedges)
        if left_out:
            notes.append(
                "what the format has no place for is in the object circuits, which viewers pass over"
            )
    if made.mended:
        who = "1 error has" if made.mended == 1 else f"{made.mended} errors have"
        notes.append(f"{who} another id than in the file it came from, where a feature had the same")
    if len(document["nodes"]) > len(made.ids):
        notes.append(
            "a node without links stands on layer 1, for Neuronpedia's viewer shows no graph whose highest"
            " layer is 0"
        )
    return Exported(path, "neuronpedia", counts, left_out, tuple(notes))


def _own_slug(graph: Graph, path: Path) -> str | None:
    """Gives the file's name as the document's, unless the graph came with one."""
    kept = (graph.meta.get("imported") or {}).get("kept") or {}
    return None if kept else slug_of(path.stem)
