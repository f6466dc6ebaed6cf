"""`circuits report`: a run to read and to send on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuits.cli import options
from circuits.cli.console import Output, heading
from circuits.cli.contrast import SameFeatures
from circuits.cli.paths import check_output
from circuits.cli.why import open_run
from circuits.errors import CircuitsError, UsageError

if TYPE_CHECKING:
    from circuits.cards.record import Cards
    from circuits.graph.graph import Graph

Against = Annotated[
    Path | None,
    typer.Option(
        metavar="RUN2",
        rich_help_panel=options.WHAT,
        help="Compare with this run, as `circuits contrast` does.",
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="html|md|pdf",
        rich_help_panel=options.OUT,
        help="html: one page, with the interactive graph; md: text and tables; pdf: the page printed through"
        " a Chromium on this machine.",
        show_default="by the file's suffix",
    ),
]
CardsFile = Annotated[
    Path | None,
    typer.Option("--cards", metavar="FILE", help="Cards of features.", show_default="the dictionary's own"),
]
NoCards = Annotated[bool, typer.Option("--no-cards", help="Leave cards of features out.")]


def report(
    run: options.Run,
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FILE", rich_help_panel=options.OUT, help="An .html, .md or .pdf file."
        ),
    ],
    against: Against = None,
    target: options.Target = None,
    over: options.Over = None,
    top: options.Top = 10,
    cards: CardsFile = None,
    no_cards: NoCards = False,
    same_features: SameFeatures = False,
    format: Format = None,  # noqa: A002  # the option's name
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write one self-contained file: answer, trust, combinations, the graph, and how it was made.

    ```
    circuits report run/dallas -o dallas.html
    circuits report run/dallas --against run/seattle -o difference.html
    circuits report run/dallas -o dallas.pdf
    ```
    """
    if cards is not None and no_cards:
        raise UsageError("--cards and --no-cards contradict each other: give one of them.")
    from circuits.report.save import format_of, write

    how = format_of(out, format)
    check_output(out, overwrite=overwrite)
    output = Output(json, quiet)
    graph = open_run(run)
    second = None if against is None else open_run(against)
    if second is not None and same_features:
        from circuits.query.contrast_asked import same_features as taken_for_same

        second = taken_for_same(second, graph)
    from circuits.query.why import why
    from circuits.report.material import Material

    answer = why(graph, target, over=over, top=top)
    held = None if no_cards else _cards(graph, cards, output)
    write(Material(graph, answer, second, held), out, how, overwrite=overwrite)
    told = {"file": str(out), "run": str(run), "format": how, "cards": held is not None}
    output.result(heading(f"Wrote {out}."), told)


def _cards(graph: Graph, file: Path | None, output: Output) -> Cards | None:
    """Gives the cards of a run's dictionary: of a file, or those that lie beside the dictionary, if any."""
    from circuits.cards.store import find_cards, load_cards

    made_with = graph.meta.get("dictionary") or {}
    fingerprint = made_with.get("fingerprint")
    if file is not None:
        return load_cards(file, fingerprint=None if fingerprint is None else str(fingerprint))
    if not made_with.get("spec") or fingerprint is None:
        return None
    try:
        return find_cards(str(made_with["spec"]), str(fingerprint))
    except CircuitsError as cause:
        output.note(f"{cause} The report is written without cards.")
        return None
