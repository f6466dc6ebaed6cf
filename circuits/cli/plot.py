"""`circuits plot`: a picture of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli import options
from circuits.cli.console import Output, heading
from circuits.cli.paths import check_output
from circuits.cli.why import open_run
from circuits.errors import UsageError

FORMATS = (".svg", ".png", ".pdf")


def plot(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", rich_help_panel=options.OUT, help="An .svg, .png or .pdf file."
        ),
    ],
    nodes: Annotated[int, typer.Option(metavar="N", min=1, help="How many nodes to draw.")] = 40,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw the strongest nodes of a run: tokens across, layers upwards."""
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"{out} does not say which kind of picture: end it in {', '.join(FORMATS)}.")
    check_output(out, overwrite=overwrite)
    graph = open_run(run)
    from circuits.plot.network import network
    from circuits.plot.save import save

    save(network(graph, nodes=nodes), out, overwrite=overwrite)
    Output(json, quiet).result(heading(f"Wrote {out}."), {"file": str(out), "run": str(run)})
