"""`circuits report`: a page of a run, to read and to send on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli import options
from circuits.cli.console import Output, heading
from circuits.cli.paths import check_output
from circuits.cli.why import open_run


def report(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE", rich_help_panel=options.OUT, help="An .html file."),
    ],
    target: options.Target = None,
    over: options.Over = None,
    top: options.Top = 10,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write one self-contained page: answer, picture, tables, scores, and how it was made."""
    check_output(out, overwrite=overwrite)
    graph = open_run(run)
    from circuits.query.why import why
    from circuits.report import save_report

    save_report(graph, out, answer=why(graph, target, over=over, top=top), overwrite=overwrite)
    Output(json, quiet).result(heading(f"Wrote {out}."), {"file": str(out), "run": str(run)})
