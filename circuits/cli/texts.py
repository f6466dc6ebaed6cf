"""Other texts for a command: a file with one a line, or those that ship."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from circuits.cli import options
from circuits.errors import InvalidFile, NotFound, UsageError

Texts = Annotated[
    Path | None,
    typer.Option(
        "--texts",
        metavar="FILE",
        rich_help_panel=options.HOW,
        help="Other texts, one a line.",
        show_default="40 beginnings of neutral sentences",
    ),
]


def texts_of(path: Path | None) -> Sequence[str]:
    """Gives the lines of a file that are not blank, or the neutral texts that ship.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it is not text.
        UsageError: it is empty.
    """
    if path is None:
        from circuits.intervene.neutral import NEUTRAL

        return NEUTRAL
    if not path.is_file():
        raise NotFound(f"No file {str(path)!r} of texts: write one text a line.")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InvalidFile(f"{path} is no text in UTF-8.") from error
    found = [line for line in lines if line.strip()]
    if not found:
        raise UsageError(f"{path} has no text: write one a line.")
    return found
