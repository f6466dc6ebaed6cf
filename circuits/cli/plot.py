"""`circuits plot`: a picture of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from circuits.cli import options
from circuits.cli.console import Output, heading
from circuits.cli.paths import check_output
from circuits.cli.why import open_run
from circuits.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from circuits.graph.graph import Graph

FORMATS = (".svg", ".png", ".pdf")
Kind = Literal["network", "concepts", "matrix", "upset", "orders", "diff"]
Against = Annotated[
    Path | None,
    typer.Option(metavar="RUN2", help="Draw what differs from this run, as `circuits contrast` tells it."),
]


def plot(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", rich_help_panel=options.OUT, help="An .svg, .png or .pdf file."
        ),
    ],
    kind: Annotated[
        Kind,
        typer.Option(
            "--kind",
            help="network: tokens across, layers upwards; concepts: each concept of the run as one node. Of"
            " interactions: matrix, layer by layer; upset, the strongest combinations; orders, single nodes,"
            " pairs and triples as one sum. Of two runs (--against): diff.",
        ),
    ] = "network",
    against: Against = None,
    target: Annotated[
        str | None, typer.Option(metavar="NODE", help="Of two runs, what both are asked about.")
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, help="How many nodes to draw.")] = 40,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a run: its strongest nodes and edges, or which of them act together.

    ```
    circuits plot run/france -o france.svg
    circuits plot run/france --kind upset -o combinations.pdf
    circuits plot run/dallas --against run/seattle -o difference.svg
    ```
    """
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"{out} does not say which kind of picture: end it in {', '.join(FORMATS)}.")
    check_output(out, overwrite=overwrite)
    if against is not None and kind in ("network", "diff"):
        kind = "diff"
    elif against is not None or target is not None or kind == "diff":
        raise UsageError(
            "Two runs are drawn by --kind diff: give --against RUN2, and --target with it alone."
        )
    graph = open_run(run)
    if kind == "concepts" and not graph.nodes["concept"].drop_nulls().len():
        command = f"circuits group {shlex.quote(str(run))} --save"
        raise UsageError(f"{run} holds no concepts to draw: find and keep them with `{command}`.")
    if kind not in ("network", "concepts", "diff") and not len(graph.hyperedges):
        command = f"circuits interact {shlex.quote(str(run))}"
        raise UsageError(f"{run} holds no interactions to draw: compute them with `{command}`.")
    from circuits.plot.save import save

    drawn = _figure(graph, kind, nodes) if against is None else _difference(graph, against, target, nodes)
    save(drawn, out, overwrite=overwrite)
    Output(json, quiet).result(heading(f"Wrote {out}."), {"file": str(out), "run": str(run), "kind": kind})


def _difference(graph: Graph, against: Path, target: str | None, nodes: int) -> Axes:
    from circuits.plot.difference import difference
    from circuits.query.contrast import contrast

    answer = contrast(graph, open_run(against), target=target, top=nodes)
    return difference(answer.highlight, nodes=nodes)


def _figure(graph: Graph, kind: Kind, nodes: int) -> Axes:
    from circuits import plot as pictures

    if kind == "matrix":
        return pictures.interaction_matrix(graph)
    if kind == "upset":
        return pictures.upset(graph)
    if kind == "orders":
        return pictures.interaction_orders(graph)
    if kind == "concepts":
        from circuits.graph.concept_graph import concept_graph
        from circuits.query.grouping.answer import LOSS

        graph = concept_graph(graph, only=True, loss=LOSS)
    return pictures.network(graph, nodes=nodes)
