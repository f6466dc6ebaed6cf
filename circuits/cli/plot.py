"""`circuits plot`: a picture of a run."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

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
Kind = Literal[
    "network", "sentence", "paths", "waterfall", "concepts", "hypergraph", "upset", "matrix", "orders",
    "agreement", "diff",
]  # fmt: skip
KINDS: Final = (
    "network: tokens across, layers upwards; sentence: the prompt, each token shaded by what it brings;"
    " paths: the strongest ways to the output; waterfall: what it is the sum of; concepts: those of the run"
    " as one node. Of interactions: hypergraph, who acts together on what; upset, the strongest side by side;"
    " matrix, layer by layer; orders, single nodes, pairs and triples as one sum. Of a run that was verified:"
    " agreement, predicted against measured. Of two runs (--against): diff."
)
INTERACTIONS: Final = ("hypergraph", "upset", "matrix", "orders")
WHOLE: Final = ("concepts", "matrix")
"""Pictures of all targets together."""
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
    kind: Annotated[Kind, typer.Option("--kind", help=KINDS)] = "network",
    against: Against = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="NODE", help="What the picture is about; the run's targets unless given."),
    ] = None,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, help="How many nodes to draw.")] = 40,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw a run: its strongest nodes and edges, which of them act together, how far it is right.

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
    elif against is not None or kind == "diff":
        raise UsageError("Two runs are drawn by --kind diff, which needs the second: --against RUN2.")
    if target is not None and kind in WHOLE:
        raise UsageError(f"--kind {kind} draws all of a run: leave out --target.")
    graph = open_run(run)
    _check_there(graph, run, kind)
    from circuits.plot.save import save

    if against is not None:
        drawn = _difference(graph, against, target, nodes)
    else:
        drawn = _drawn(graph, kind, target, nodes)
    save(drawn, out, overwrite=overwrite)
    Output(json, quiet).result(heading(f"Wrote {out}."), {"file": str(out), "run": str(run), "kind": kind})


def _check_there(graph: Graph, run: Path, kind: Kind) -> None:
    """Refuses to draw what the run does not hold, and says which command makes it."""
    where = shlex.quote(str(run))
    if kind == "concepts" and not graph.nodes["concept"].drop_nulls().len():
        command = f"circuits group {where} --save"
        raise UsageError(f"{run} holds no concepts to draw: find and keep them with `{command}`.")
    if kind in INTERACTIONS and not len(graph.hyperedges):
        command = f"circuits interact {where}"
        raise UsageError(f"{run} holds no interactions to draw: compute them with `{command}`.")
    if kind == "agreement" and not len(graph.verdicts):
        command = f"circuits verify {where}"
        raise UsageError(f"Nothing {run} predicts was tried on the model: do so with `{command}`.")


def _difference(graph: Graph, against: Path, target: str | None, nodes: int) -> Axes:
    from circuits.plot.difference import difference
    from circuits.query.contrast import contrast

    answer = contrast(graph, open_run(against), target=target, top=nodes)
    return difference(answer.highlight, nodes=nodes)


def _drawn(graph: Graph, kind: Kind, target: str | None, nodes: int) -> Axes:
    from circuits import plot as pictures
    from circuits.graph.concept_graph import concept_graph
    from circuits.query.grouping.answer import LOSS
    from circuits.query.subject import Subject
    from circuits.query.why import why

    made: Mapping[str, Callable[[], Axes]] = {
        "network": lambda: pictures.network(
            graph if target is None else Subject.of(graph, target).graph, nodes=nodes
        ),
        "sentence": lambda: pictures.sentence(graph, target),
        "paths": lambda: pictures.strongest_paths(graph, target=target),
        "waterfall": lambda: pictures.waterfall(why(graph, target)),
        "concepts": lambda: pictures.network(concept_graph(graph, only=True, loss=LOSS), nodes=nodes),
        "hypergraph": lambda: pictures.hypergraph(graph, target=target),
        "upset": lambda: pictures.upset(graph, target=target),
        "matrix": lambda: pictures.interaction_matrix(graph),
        "orders": lambda: pictures.interaction_orders(graph, target),
        "agreement": lambda: pictures.agreement(graph, target=target),
    }
    return made[kind]()
