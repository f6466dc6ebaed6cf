"""Runs: a graph as a directory of plain files, written whole or not at all, readable without this package.

::

    RUN/
      manifest.json       format, version, checksums, row counts, and the graph's meta
      nodes.parquet       the node table; a node's id is its row number, and ids are in topological order
      edges.parquet       source and target (int32 ids), weight, strength, sorted by (target, source)
      hyperedges.parquet  the interactions, members as a list of node names
      heads.parquet       optional: which attention heads carry which edges
      verdicts.parquet    optional: predictions tried on the model
      trace.safetensors   optional: the trace, as `circuits.trace` documents it
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from circuits.errors import CircuitsError, InvalidFile, NotFound, OutputExists
from circuits.files import atomic, checksum
from circuits.graph.graph import Graph, edge_frame
from circuits.schema import HEAD_SCHEMA, HYPEREDGE_SCHEMA, NODE_SCHEMA, RUN_VERSION, VERDICT_SCHEMA
from circuits.trace import Trace
from circuits.trace_io import load_trace, save_trace

MANIFEST: Final = "manifest.json"
TRACE: Final = "trace.safetensors"
TABLES: Final = ("nodes", "edges", "hyperedges")
OPTIONAL: Final = {"heads": HEAD_SCHEMA, "verdicts": VERDICT_SCHEMA}
"""Tables a run has only where they have rows."""
OWN: Final = (*sorted(f"{name}.parquet" for name in (*TABLES, *OPTIONAL)), TRACE)
ADDED: Final = ("effect", "via", "engine")
ROW_GROUP: Final = 131_072  # edges of one target are read without the other row groups


def save_run(
    graph: Graph,
    path: str | Path,
    *,
    overwrite: bool = False,
    trace: Trace | None = None,
    carry: bool = False,
) -> None:
    """Gives nothing; writes the graph as a run directory, whole or not at all.

    Args:
        graph: any graph whose `meta` is JSON-compatible.
        path: the directory to make.
        overwrite: replace a run that stands there; it stays until the new one is complete. What is
            no run is never replaced.
        trace: written beside the graph, so that interventions can be run without extracting again.
        carry: other files that lie in the run replaced, such as its report, are taken over.

    Raises:
        OutputExists: `path` exists and `overwrite` is false, or it holds something other than a run.
        InvalidFile: `meta` cannot be written as JSON, or the trace breaks its contract.
        WriteFailed: the file system refused; nothing is left behind.
    """
    where = Path(path)
    if overwrite:
        _check_replaceable(where)
    source, target = graph.ends
    numbers = graph.edges.select("weight", "strength")
    edges = numbers.select(pl.Series("source", source), pl.Series("target", target), pl.all())
    tables = {"nodes": graph.nodes, "edges": edges, "hyperedges": graph.hyperedges}
    some = {"heads": graph.heads, "verdicts": graph.verdicts}
    tables |= {name: table for name, table in some.items() if len(table)}
    with atomic(where, directory=True, overwrite=overwrite) as temporary:
        if carry:
            _carry_over(where, temporary)
        for name, table in tables.items():
            _write_table(table, temporary / f"{name}.parquet")
        if trace is not None:
            save_trace(trace, temporary / TRACE)
        manifest = {
            "format": "run",
            "version": RUN_VERSION,
            "checksums": {name: checksum(temporary / name) for name in OWN if (temporary / name).exists()},
            "rows": {name: len(table) for name, table in tables.items()},
            "edge_ids": "row numbers of nodes.parquet, counted from 0, in topological order",
            "meta": dict(graph.meta),
        }
        (temporary / MANIFEST).write_text(_json(manifest), encoding="utf-8")


def load_run(path: str | Path) -> Graph:
    """Gives the graph of a run directory.

    Raises:
        NotFound: nothing stands there.
        InvalidFile: it is no run, of an unknown version, or a file is missing, truncated, tampered
            with or not what the manifest says.
    """
    where = Path(path)
    manifest = load_manifest(where)
    _check_files(where, manifest)
    tables = {name: _read_table(where / f"{name}.parquet") for name in _tables(manifest)}
    for name, table in tables.items():
        if len(table) != manifest["rows"].get(name):
            raise InvalidFile(
                f"{where}: {name}.parquet has {len(table)} rows instead of {manifest['rows'].get(name)}."
            )
    try:
        nodes = _typed(tables["nodes"], NODE_SCHEMA)
        hyperedges = _typed(tables["hyperedges"], HYPEREDGE_SCHEMA)
        some = {
            name: _typed(tables.get(name, pl.DataFrame(schema=schema)), schema)
            for name, schema in OPTIONAL.items()
        }
        return Graph(nodes, _named(nodes, tables["edges"]), hyperedges, manifest["meta"], **some)
    except (CircuitsError, pl.exceptions.PolarsError) as cause:
        raise InvalidFile(f"{where}: {cause}") from cause


def load_run_trace(path: str | Path) -> Trace:
    """Gives the trace kept in a run directory.

    Raises:
        NotFound: nothing stands there, or the run was saved without its trace.
        InvalidFile: as for `load_run` and `circuits.load_trace`.
    """
    where = Path(path)
    manifest = load_manifest(where)
    if TRACE not in manifest["checksums"]:
        raise NotFound(f"The run {where} holds no trace: attribute again and ask to keep it.")
    _check_files(where, manifest, only=TRACE)
    return load_trace(where / TRACE)


def load_manifest(path: str | Path) -> Mapping[str, Any]:
    """Gives the manifest of a run directory, its format and version checked, no other file read.

    Raises:
        NotFound: nothing stands there.
        InvalidFile: it is no run, or of an unknown version.
    """
    where = Path(path)
    if not where.exists():
        raise NotFound(f"No run at {where}.")
    if not (where / MANIFEST).is_file():
        raise InvalidFile(f"{where} is no run: it holds no {MANIFEST}.")
    try:
        manifest = json.loads((where / MANIFEST).read_text(encoding="utf-8"))
    except ValueError as cause:  # not UTF-8, or not JSON
        raise InvalidFile(f"{where}: {MANIFEST} is truncated or no JSON ({cause}).") from cause
    if not isinstance(manifest, dict) or manifest.get("format") != "run":
        raise InvalidFile(f"{where} is no run: its {MANIFEST} does not say format 'run'.")
    if manifest.get("version") != RUN_VERSION:
        raise InvalidFile(
            f"{where} has run format version {manifest.get('version')!r}: this package reads version"
            f" {RUN_VERSION}."
        )
    wrong = [name for name in ("checksums", "rows", "meta") if not isinstance(manifest.get(name), dict)]
    if wrong:
        raise InvalidFile(f"{where}: {MANIFEST} lacks {', '.join(wrong)}.")
    return manifest


def _check_files(where: Path, manifest: Mapping[str, Any], *, only: str | None = None) -> None:
    """Refuses missing files and files whose content is not what was written."""
    listed = manifest["checksums"]
    wanted = [only] if only else [f"{name}.parquet" for name in _tables(manifest)]
    missing = [name for name in wanted if name not in listed or not (where / name).is_file()]
    if missing:
        raise InvalidFile(f"{where} is incomplete: {', '.join(missing)} missing.")
    for name in wanted:
        has = checksum(where / name)
        if has != listed[name]:
            raise InvalidFile(
                f"{where} was tampered with or truncated: {name} has SHA-256 {has[:12]}… instead of"
                f" {str(listed[name])[:12]}…."
            )


def _tables(manifest: Mapping[str, Any]) -> list[str]:
    """Gives the tables of a run: those every run has, and the optional ones it keeps."""
    return [*TABLES, *(name for name in OPTIONAL if name in manifest["rows"])]


def _typed(table: pl.DataFrame, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Gives the table with the schema's types, for files that another program wrote without Enums.

    Hyperedge columns that came later than version 1's first runs are null where they are missing.
    """
    later = {name: pl.lit(None) for name in ADDED if name in schema and name not in table.columns}
    table = table.with_columns(**later)
    if later:
        table = table.select(*schema)
    return table.cast({name: kind for name, kind in schema.items() if name in table.columns})


def _named(nodes: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Gives the edge table with names for ids."""
    number = pl.Float64 if edges.schema.get("weight") == pl.Float64 else pl.Float32
    kinds = {"source": pl.Int32, "target": pl.Int32, "weight": number, "strength": number}
    if "node" not in nodes.columns or dict(edges.schema) != kinds:
        found = ", ".join(f"{name} {kind}" for name, kind in edges.schema.items())
        raise InvalidFile(f"The edge table holds {found} instead of source, target, weight, strength.")
    ends = [edges[end].to_numpy() for end in ("source", "target")]
    outside = [end for end in ends if len(end) and (end.min() < 0 or end.max() >= len(nodes))]
    if outside:
        raise InvalidFile(f"The edge table names node {outside[0].max()} of only {len(nodes)}.")
    return edge_frame(nodes["node"], *ends, *(edges[value].to_numpy() for value in ("weight", "strength")))


def _write_table(table: pl.DataFrame, path: Path) -> None:
    try:
        table.write_parquet(path, compression="zstd", row_group_size=ROW_GROUP)
    except pl.exceptions.PolarsError as cause:  # a full disk, as polars reports it
        raise OSError(str(cause)) from cause


def _read_table(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as cause:
        raise InvalidFile(f"{path} is no Parquet file ({cause}).") from cause


def _json(manifest: Mapping[str, Any]) -> str:
    try:
        return json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as cause:
        raise InvalidFile(f"The graph's meta cannot be written as JSON: {cause}.") from cause


def _carry_over(old: Path, new: Path) -> None:
    """Copies what lies in an old run and is none of a run's own files."""
    for file in old.iterdir() if old.is_dir() else ():
        if file.name in (*OWN, MANIFEST):
            continue
        if file.is_dir():
            shutil.copytree(file, new / file.name)
        else:
            shutil.copy2(file, new / file.name)


def _check_replaceable(where: Path) -> None:
    """Refuses to replace what is neither a run (of any version) nor empty."""
    if not where.exists() or (where.is_dir() and not any(where.iterdir())):
        return
    try:
        is_run = json.loads((where / MANIFEST).read_text(encoding="utf-8")).get("format") == "run"
    except (OSError, ValueError, AttributeError):
        is_run = False
    if not is_run:
        raise OutputExists(f"{where} is no run, so it is not replaced: choose another path.")
