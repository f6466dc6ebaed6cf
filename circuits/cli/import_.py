"""`circuits import`: another tool's graph as a run."""

from __future__ import annotations

import datetime as dt
import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, stack
from circuits.cli.exchange import counted, source_name
from circuits.cli.paths import check_output
from circuits.cli.progress import telling


def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Attribution-graph JSON (Neuronpedia's), or circuit-tracer's .pt."
        ),
    ],
    out: options.RunOut,
    gate: Annotated[
        Literal["relu"] | None,
        typer.Option(
            help="Take features as ReLU: the file does not say how they respond. Lets the graph be run."
        ),
    ] = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a run of a graph that another tool wrote, and ask it everything its content allows.

    Nothing in the file is ever run. All keys of a document come out again with **export**.

    ```
    circuits import austin.json -o runs/austin
    circuits why runs/austin
    ```
    """
    output = Output(json, quiet)
    check_output(out, overwrite=overwrite, directory=True)
    with telling(output) as tell:
        tell(f"Reading {file}", 0, 0)
        from circuits import __version__
        from circuits.interop.exchange import import_graph

        graph = import_graph(file, gate=gate)
        if "format" in (graph.meta.get("imported") or {}):  # a graph of ours comes back as it was
            now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
            made = {"created": now, "command": shlex.join(["circuits", *ctx.obj])}
            graph = graph.with_meta(**made, versions={"circuits": __version__})
        tell(f"Writing {out}", 0, 0)
        graph.save(out, overwrite=overwrite)
    kinds = {str(kind): count for kind, count in graph.nodes["kind"].value_counts(sort=True).iter_rows()}
    counts = {**kinds, "edge": len(graph.edges), "hyperedge": len(graph.hyperedges)}
    counts["concept"] = graph.nodes["concept"].drop_nulls().n_unique()
    told = graph.meta.get("imported") or {}
    rows = [("from", source_name(told)), ("holds", counted(counts))]
    if told.get("unknown"):
        rows.append(("unknown", str(told["unknown"])))
    rows += [("note", note) for note in told.get("notes", ())]
    document = {"run": str(out), "file": str(file), "counts": counts}
    document |= {key: told[key] for key in ("format", "by", "unknown", "notes") if key in told}
    after = commands([(f"circuits why {out}", "which features produce the output")])
    output.result(stack(heading(f"Imported {file} as {out}."), facts(rows), after), document)
