"""An answer for the terminal, as wide as the terminal is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.text import Text

from circuits.cli.console import heading, stack
from circuits.query.answer import LINKS, Answer, cell, links_text, printed
from circuits.query.text import percent, short, wrapped
from circuits.schema import parse_feature

FLOWING = ("path", "meaning", "label", "combination", "claim", "writes")
"""Columns that take what room is left and go on in the next line; all others stay on one."""

ROWS = 15
"""Rows of a table that are shown."""

WIDEST = 24
"""Characters of a cell that stays on one line."""

NARROWEST = 20
"""Characters a flowing column has at least."""


def rendered(answer: Answer) -> Group:
    """Gives an answer: the question, the finding in sentences, then the tables behind it."""
    tables = [
        Group(_Caption(name, answer.captions.get(name, "")), _Rows(table))
        for name, table in answer.tables.items()
        if len(table)
    ]
    lines = "\n".join(f"  {line}" for line in answer.code.splitlines())
    code = Text(lines, no_wrap=True, overflow="ignore")  # never broken, so that it can be copied
    return stack(found(answer), *tables, Group(heading("The same in Python"), code))


def found(answer: Answer) -> Group:
    """Gives the question, the finding, and how to read the names in it."""
    names = _Sentences((_names(answer), *_labels(answer)), "dim")
    return stack(heading(answer.question), _Sentences(answer.finding), names)


def _names(answer: Answer) -> str:
    """Gives how to read the names of nodes, by a feature of this answer if it has one."""
    features = (name for name in answer.highlight.nodes["node"] if parse_feature(name))
    name = next(features, "12/4051@7")
    layer, feature, position = parse_feature(name) or (12, 4051, 7)
    return (
        f"Names: {name} is feature {feature} of layer {layer} at position {position}, the first being 0;"
        f" tok@{position} is the word there, err{layer}@{position} what that layer's features left"
        " unexplained."
    )


def _labels(answer: Answer) -> tuple[str, ...]:
    """Gives how far labels are to be trusted, by one of this answer, if any of them was tested."""
    tested = answer.highlight.meta.get("tested_labels") or {}
    features = (str(name).partition("@")[0] for name in answer.highlight.nodes["node"])
    name = next((feature for feature in features if feature in tested), None)
    if name is None:
        return ()
    label, right, all_such = (tested[name][key] for key in ("label", "precision", "recall"))
    sentence = (
        f"Labels without → were tested on text they were not chosen on: {label} is right for"
        f" {percent(right)} of the tokens at which {name} is on, and it is on at {percent(all_such)} of all"
        " such. Those with → list the tokens a feature promotes, untested."
    )
    return (sentence,)


@dataclass(frozen=True)
class _Sentences:
    """Sentences, each from a new line, never broken inside a quoted token."""

    sentences: Sequence[str]
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for sentence in self.sentences:
            lines = wrapped(sentence, options.max_width - 2).split("\n")
            yield Text("\n  ".join(lines), self.style)


@dataclass(frozen=True)
class _Caption:
    """A table's name, and what its columns mean."""

    name: str
    meaning: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        name = self.name.upper()
        text = Text(wrapped(f"{name}. {self.meaning}" if self.meaning else name, options.max_width), "dim")
        text.stylize("not dim bold", 0, len(name))
        yield text


@dataclass(frozen=True)
class _Rows:
    """A table without lines; what a feature reads and writes stands below it."""

    table: pl.DataFrame

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        schema = self.table.schema
        shown = sorted(printed(self.table), key=lambda name: name in FLOWING)  # else as they come
        linked = [name for name, kind in schema.items() if kind == LINKS]
        listed = list(self.table.head(ROWS).iter_rows(named=True))
        cells = [[_cell(name, row[name]) for name in shown] for row in listed]
        widths = [max(len(line[i]) for line in (shown, *cells)) for i in range(len(shown))]
        right = [schema[name].is_numeric() for name in shown]
        yield Text(_line(shown, widths, right), "dim")
        for line, row in zip(cells, listed, strict=True):
            yield from _flowing(line, widths, right, options.max_width, flows=shown[-1] in FLOWING)
            for name in linked:
                yield from _links(name, row[name], options.max_width)
        if len(self.table) > ROWS:
            yield Text(f"  … and {len(self.table) - ROWS} more", "dim")


def _cell(name: str, value: Any) -> str:
    text = cell(name, value)
    return text if name in FLOWING else short(text, WIDEST)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
    return ("  " + "  ".join(padded)).rstrip()


def _flowing(
    cells: Sequence[str], widths: Sequence[int], right: Sequence[bool], room: int, *, flows: bool
) -> Iterator[Text]:
    """Gives a row, its last cell on as many lines as it needs."""
    if not flows:
        yield Text(_line(cells, widths, right))
        return
    left = _line(cells[:-1], widths[:-1], right[:-1]).ljust(sum(widths[:-1]) + 2 * len(cells))
    first, *more = wrapped(cells[-1], max(room - len(left), NARROWEST)).split("\n")
    yield Text((left + first).rstrip())
    for line in more:
        yield Text(" " * len(left) + line)


def _links(name: str, links: Any, room: int) -> Iterator[Text]:
    if not links:
        return
    hanging = " " * 13
    first, *more = wrapped(links_text(links), max(room - len(hanging), NARROWEST)).split("\n")
    yield Text.assemble((f"      {name}".ljust(13), "dim"), first)
    for line in more:
        yield Text(hanging + line)
