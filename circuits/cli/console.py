"""What goes to the terminal: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from circuits.shown import shown

PIPE_WIDTH = 100
"""Columns of a result that goes to a file or pipe."""


WIDEST_VALUE = 12
"""Characters up to which values are padded, so that what is said of them stands in a column."""


@dataclass(frozen=True)
class Output:
    """How a command speaks.

    Attributes:
        json: results are one JSON document rather than text.
        quiet: nothing on stderr but errors.
    """

    json: bool = False
    quiet: bool = False

    def result(self, text: RenderableType, document: Mapping[str, Any]) -> None:
        """Prints a command's result, as text or as JSON."""
        if self.json:
            write_json(document)
            return
        screen = stdout()
        with screen.capture() as captured:
            screen.print(Harmless(text), crop=False)  # commands may be wider than the terminal
        write("\n".join(line.rstrip() for line in captured.get().splitlines()) + "\n")

    def note(self, sentence: str) -> None:
        """Prints a sentence on stderr, unless quiet."""
        if not self.quiet:
            print(shown(sentence, keep="\n"), file=sys.stderr)


@dataclass(frozen=True)
class Harmless:
    """What is printed, with whatever texts of a run could do to a terminal made visible (`circuits.shown`).

    Colours and layout are ours and stay: they are no part of the text.
    """

    inside: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Gives the segments of what is inside."""
        for segment in console.render(self.inside, options):
            yield segment if segment.control else Segment(shown(segment.text, keep="\n"), segment.style)


class LogHandler(logging.Handler):
    """Prints the package's log on stderr, wherever that leads at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Prints one record."""
        print(shown(record.getMessage(), keep="\n"), file=sys.stderr)


def stdout() -> Console:
    """Gives the console of results: as wide as the terminal, no colours where nobody can see them."""
    wide = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else PIPE_WIDTH
    return Console(file=sys.stdout, width=wide, highlight=False, emoji=False, markup=False)


def stderr() -> Console:
    """Gives the console of progress."""
    return Console(file=sys.stderr, highlight=False, emoji=False, markup=False)


def write(text: str) -> None:
    """Writes to stdout at once; a reader who has left, as in `circuits why RUN | head`, is no error."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()
        raise typer.Exit from None


def write_data(text: str) -> None:
    """Writes what a program may read: exact into a file or pipe, harmless to a terminal."""
    write(shown(text, keep="\n\t") if sys.stdout.isatty() else text)


def flush() -> None:
    """Gets out what was written, whether or not anybody still reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _leave_pipe()


def _leave_pipe() -> None:
    # the interpreter flushes once more when it ends
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def write_json(document: Mapping[str, Any]) -> None:
    """Writes one JSON document; NaN and infinities, which JSON lacks, become null."""
    write(_escaped(json.dumps(_plain(document), indent=2, ensure_ascii=False, default=str)) + "\n")


def _escaped(text: str) -> str:
    """Gives a JSON document in which control and bidirectional characters are written as escapes."""
    return _ACTING.sub(lambda found: json.dumps(found[0])[1:-1], text)


_ACTING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


def facts(rows: Sequence[tuple[str, str] | tuple[str, str, str]]) -> Table:
    """Gives rows of (name, value, what it means) as an aligned table without lines."""
    table = Table.grid(padding=(0, 2), pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    explained = [row[1] for row in rows if len(row) > 2 and row[2] and len(row[1]) <= WIDEST_VALUE]
    wide = max(map(len, explained), default=0)
    for name, value, *meaning in rows:
        text = Text(value)
        if meaning and meaning[0]:
            text = Text.assemble(value.ljust(wide), (f"  {meaning[0]}", "dim"))
        table.add_row(Text(f"  {name}"), text)
    return table


def stack(*parts: RenderableType | None) -> Group:
    """Gives parts under each other, a blank line between them; None is left out."""
    spaced: list[RenderableType] = []
    for part in parts:
        if part is not None:
            spaced += [part, ""]
    return Group(*spaced[:-1])


def heading(text: str) -> Text:
    """Gives the first line of a result."""
    return Text(text, style="bold")


def commands(lines: Sequence[tuple[str, str]]) -> Text:
    """Gives commands, each with what it does as a comment; never broken, so that they can be copied."""
    wide = max(len(line) for line, _ in lines)
    text = Text(no_wrap=True, overflow="ignore")
    for line, purpose in lines:
        text.append(f"\n  {line}" if text else f"  {line}")
        if purpose:
            text.append(f"{' ' * (wide - len(line))}  # {purpose}", "dim")
    return text


def size(n_bytes: float) -> str:
    """Gives a number of bytes in words.

    Example:
        >>> size(1_234_000_000), size(56_000_000), size(300)
        ('1.2 GB', '56 MB', '300 bytes')
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            number = n_bytes / factor
            return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
    return f"{n_bytes:.0f} bytes"


def duration(seconds: float) -> str:
    """Gives a time in words.

    Example:
        >>> duration(0.25), duration(42.3), duration(185)
        ('0.2 s', '42 s', '3 min 5 s')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"
