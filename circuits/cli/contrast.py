"""`circuits contrast`: why here and not there, in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from circuits.cli import options
from circuits.cli.checked import Check, checked
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.why import open_run
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.query.answer import Answer
    from circuits.query.contrast_asked import Target

HOW = "How to compare"

AlignWords = Annotated[
    str,
    typer.Option(
        metavar="end|start|text|P:Q,…",
        rich_help_panel=HOW,
        help="Which words stand for one another: counted from the end, or from the start; equal words; or"
        " pairs of positions such as 3:4,5:5.",
    ),
]
SameFeatures = Annotated[
    bool,
    typer.Option(
        "--same-features",
        rich_help_panel=HOW,
        help="Take features of different dictionaries for the same by layer and number: the neurons of a"
        " model and of its fine-tuned copy, for one.",
    ),
]


def contrast(
    run: options.Run,
    other: Annotated[
        Path,
        typer.Argument(metavar="RUN2", help="The run to compare with; RUN itself for two outputs of it."),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            metavar="NODE",
            rich_help_panel=options.WHAT,
            help="What RUN is asked about: a target such as logit:Paris, or a feature such as 12/4051@7;"
            " alone, both runs.",
            show_default="the likeliest of both, if both runs hold them",
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(metavar="NODE", rich_help_panel=options.WHAT, help="Ask for --target over this."),
    ] = None,
    other_target: Annotated[
        str | None,
        typer.Option(metavar="NODE", rich_help_panel=options.WHAT, help="What RUN2 is asked about."),
    ] = None,
    align: AlignWords = "end",
    same_features: SameFeatures = False,
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Rows of the longer tables.")] = 10,
    check: Check = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say what differs between two prompts, two models or two outputs, and what makes the difference.

    ```
    circuits contrast run/dallas run/seattle --target Austin
    circuits contrast run/france run/france --target Paris --other-target London
    ```
    """
    if over is not None and (target is None or other_target is not None):
        raise UsageError("--over goes with --target alone: both runs are asked about --target over it.")
    from circuits.cli.answer import rendered
    from circuits.query import contrast_asked
    from circuits.query.align import parse_align
    from circuits.query.contrast import contrast as ask

    pairs = parse_align(align)
    graph = open_run(run)
    second = graph if other.resolve() == run.resolve() else open_run(other)
    if same_features:
        second = contrast_asked.same_features(second, graph)
    asked: Target | None = target if over is None or target is None else (target, over)
    answer = ask(graph, second, target=asked, other_target=other_target, align=pairs, top=top)
    output = Output(json, quiet)
    if check:
        answer = checked(answer, graph, force, output)
    output.result(stack(rendered(answer), _next(answer)), answer.to_dict())


def _next(answer: Answer) -> Group | None:
    lines = [(line, what) for line, what in answer.meta["commands"]]
    return Group(heading("Next"), commands(lines)) if lines else None
