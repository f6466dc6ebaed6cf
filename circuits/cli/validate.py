"""`circuits validate`: everything that is wrong with an attribution-graph document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from circuits.cli import options
from circuits.cli.console import Output, heading, stack
from circuits.errors import InvalidFile

LISTED = 100
"""Problems shown in the terminal, at most; --json has all."""


def validate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Attribution-graph JSON.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Tell everything that is wrong with an attribution graph, and what the web viewers stop at.

    Each problem with its JSON path. Exit code 4 where a viewer shows nothing or a reader cannot go on, 0
    where there are warnings alone.
    """
    from circuits.interop.exchange import validate as check

    problems = check(file)
    errors = [problem for problem in problems if problem.level != "warning"]
    warnings = len(problems) - len(errors)
    told = (
        f"{_count(len(errors), 'error')}, {_count(warnings, 'warning')}" if problems else "nothing is wrong"
    )
    rows = Table.grid(padding=(0, 2))
    for problem in problems[:LISTED]:
        word = {"error": "error", "viewer": "viewers stop", "warning": "warning"}[problem.level]
        rows.add_row(Text(f"  {word}", style="dim"), Text(str(problem)))
    more = (
        Text(f"  and {len(problems) - LISTED:,} more: --json lists all") if len(problems) > LISTED else None
    )
    document = {
        "file": str(file),
        "valid": not errors,
        "errors": len(errors),
        "warnings": warnings,
        "problems": [{"level": one.level, "path": one.path, "text": one.text} for one in problems],
    }
    shown = stack(heading(f"{file}: {told}."), rows if problems else None, more)
    Output(json, quiet).result(shown, document)
    if errors:
        raise typer.Exit(InvalidFile.exit_code)


def _count(number: int, word: str) -> str:
    return f"1 {word}" if number == 1 else f"{number or 'no'} {word}s"
