"""`circuits export`: a run for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, size, stack
from circuits.cli.exchange import counted
from circuits.cli.paths import check_output, check_run
from circuits.cli.progress import telling
from circuits.errors import OutputExists

FORMATS = {"neuronpedia": "attribution-graph JSON", "graphml": "GraphML", "gexf": "GEXF", "csv": "CSV tables"}


def export(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            rich_help_panel=options.OUT,
            help="Ends in .json, .graphml or .gexf; a folder is CSV.",
        ),
    ],
    to: Annotated[
        Literal["neuronpedia", "graphml", "gexf", "csv"] | None,
        typer.Option("--format", "-f", show_default="by the file's ending", help="In which format."),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", show_default="all", help="The most influential features and errors alone."
        ),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Nodes and edges alone: no interactions, nothing that only circuits reads."
        ),
    ] = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a run for Neuronpedia and circuit-tracer's viewer, or for Gephi, Cytoscape and networkx.

    What a format has no place for is told. **circuits import** makes the same run of the JSON again.

    ```
    circuits export runs/austin -o austin.json
    circuits export runs/austin -o austin.gexf --nodes 300
    ```
    """
    output = Output(json, quiet)
    from circuits.graph.io import load_run
    from circuits.interop.exchange import export_graph, format_of

    chosen = to or format_of(out)
    _check(out, chosen, overwrite)
    check_run(run)
    graph = load_run(run)
    with telling(output) as tell:
        tell(f"Writing {out}", 0, 0)
        done = export_graph(graph, out, format=chosen, nodes=nodes, plain=plain, overwrite=overwrite)
    n_bytes = sum(file.stat().st_size for file in ([out] if out.is_file() else out.iterdir()))
    rows = [("format", FORMATS[chosen]), ("holds", counted(done.counts)), ("size", size(n_bytes))]
    if nodes is not None:
        rows.append(("of the run", counted({"nodes": len(graph.nodes), "edges": len(graph.edges)})))
    if done.left_out:
        rows.append(("no place for", counted(done.left_out)))
    rows += [("note", note) for note in done.notes]
    line = (f"circuits validate {out}", "what viewers would stumble over")
    after = commands([line]) if chosen == "neuronpedia" else None
    document = {"file": str(out), "run": str(run), "format": chosen, "bytes": n_bytes}
    document |= {"counts": dict(done.counts), "left_out": dict(done.left_out), "notes": list(done.notes)}
    output.result(stack(heading(f"Wrote {out}."), facts(rows), after), document)


def _check(out: Path, chosen: str, overwrite: bool) -> None:
    """Refuses a path that exists or cannot be written, before the run is loaded."""
    from circuits.interop.csv_tables import is_export

    if chosen == "csv" and out.exists():
        if not is_export(out):
            raise OutputExists(f"{out} exists and is no folder of CSV tables: choose another path.")
        if not overwrite:
            raise OutputExists(f"{out} exists: choose another path, or pass --overwrite to replace it.")
    elif chosen != "csv":
        check_output(out, overwrite=overwrite)
