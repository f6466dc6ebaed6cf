"""`circuits ask`: a question in words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from circuits.cli import options
from circuits.cli.checked import Check, checked
from circuits.cli.console import Output, heading, stack
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.query.limit import Limit


def ask(
    run: Annotated[Path | None, typer.Argument(metavar="RUN", help="A run directory.")] = None,
    question: Annotated[
        str | None, typer.Argument(metavar="QUESTION", help="In quotes: 'does \" Dallas\" need capital'.")
    ] = None,
    forms: Annotated[bool, typer.Option("--forms", help="List all that can be asked.")] = False,
    limit_seconds: Annotated[
        float | None,
        typer.Option(metavar="S", help="Search no longer than this.", rich_help_panel=options.HOW),
    ] = None,
    check: Check = False,
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask a run a question in words.

    *why* " Austin" · *which pairs drive* X · *does* A *need* B · *what breaks if* A *is off* · *what if* A
    *is doubled* · *paths from* A *to* X · *what carries* A *to* X · *smallest set for* 80% *of* X · *what is
    like* A · *what is unexplained* · *compare with* RUN2 · *which concepts are there*. **--forms** lists
    them all. The grammar is fixed: no language model reads the question.
    """
    output = Output(json, quiet)
    if forms:
        output.result(_forms(), {"forms": _forms_document()})
        return
    if run is None or question is None:
        raise UsageError(
            "Give a run and a question: circuits ask RUN 'why'. All that can be asked: circuits ask --forms."
        )
    from circuits.query.ask.parse import parse

    asked = parse(question)  # before the run is loaded: a slip of the pen costs no time
    from circuits.cli.answer import rendered
    from circuits.cli.why import open_run
    from circuits.query.ask.builder import Asked

    graph = open_run(run)
    answer = Asked(graph, asked, _limit(limit_seconds), question).answer(_other)
    if check:
        answer = checked(answer, graph, force, output)
    output.result(rendered(answer), {**answer.to_dict(), "asked": asked.text()})


def _other(path: str) -> Graph:
    from circuits.cli.why import open_run

    return open_run(Path(path))


def _limit(seconds: float | None) -> Limit | None:
    from circuits.query.limit import Limit

    return None if seconds is None else Limit(seconds=seconds)


def _forms() -> Group:
    """Gives all forms, and what the letters in them stand for."""
    from circuits.query.ask.forms import FORMS, SLOTS

    lines = []
    for form in FORMS:
        lines += [Text(f"  {form.says}", "dim"), *(Text(f"      {way}") for way in form.ways)]
    letters = [Text(f"  {letter.ljust(5)} {means}") for letter, means in SLOTS.items()]
    asked, named = Group(heading("What can be asked"), *lines), Group(heading("The letters"), *letters)
    return stack(asked, named)


def _forms_document() -> list[dict[str, object]]:
    from circuits.query.ask.forms import FORMS

    return [{"says": form.says, "ways": list(form.ways)} for form in FORMS]
