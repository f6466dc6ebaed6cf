"""An answer's tables as a report shows them: text to read beside the exact value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from circuits.query.answer import LINKS, SHARES, SIGNED, Answer, cell, printed
from circuits.query.text import signed

FOLDED: Final = 16
"""Rows above which a table is folded."""

NAMES: Final = ("node", "path", "token", "concept", "score", "part", "acting", "group", "from", "to")
"""Columns whose cells stay on one line."""

WIDE: Final = ("combination", "claim", "meaning", "edge")
"""Columns that hold a phrase."""


FIRST: Final = ("combination", "claim", "edge")
"""Columns that say what a row is about, and stand first on a page, also where it is narrow."""


@dataclass(frozen=True)
class Cell:
    """One table cell: its text, its exact value for sorting and reading by programs, its look."""

    text: str
    value: str
    look: str
    bar: float | None = None
    links: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: its name in the page, heading, caption, columns (name, whether numbers), rows of cells."""

    name: str
    heading: str
    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def long(self) -> bool:
        """Tells whether it is folded."""
        return len(self.rows) > FOLDED


def answer_table(answer: Answer, name: str, heading: str, *, within: str = "") -> Table | None:
    """Gives a table of an answer; None where it has none, or no rows.

    Args:
        answer: the answer.
        name: of the table.
        heading: above it.
        within: put before its name in the page, where another answer has one of the same name.
    """
    frame = answer.tables.get(name)
    if frame is None or not len(frame):
        return None
    return table_of(frame, f"{within}{name.replace(' ', '-')}", heading, answer.captions.get(name, ""))


def table_of(frame: pl.DataFrame, name: str, heading: str, caption: str = "") -> Table:
    """Gives a table of a frame: the columns people are shown, but for blank ones, with exact values."""
    linked = [c for c, kind in frame.schema.items() if kind == LINKS and frame[c].list.len().sum()]
    told = [c for c in printed(frame) if frame[c].null_count() < len(frame)]
    shown = [c for c in frame.columns if c in (*told, *linked)]
    shown.sort(key=lambda column: column not in FIRST)  # what a row is about; the order of the others stays
    shares = [c for c in shown if c in SHARES and frame.schema[c].is_numeric()]
    largest = {c: max((abs(v) for v in frame[c] if v is not None), default=0.0) for c in shares}
    rows = tuple(
        tuple(_cell(column, row[column], largest.get(column)) for column in shown)
        for row in frame.iter_rows(named=True)
    )
    columns = tuple((column.replace("_", " "), frame.schema[column].is_numeric()) for column in shown)
    return Table(name, heading, caption, columns, rows)


def exact(value: Any) -> str:
    """Gives a value as programs read it: a float by the digits that give it back."""
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def _cell(column: str, value: Any, largest: float | None) -> Cell:
    if isinstance(value, list):
        links = tuple(dict(link) | {"text": signed(link["weight"])} for link in value)
        return Cell("", "", "links", links=links)
    look = "text"
    if isinstance(value, int | float) and not isinstance(value, bool):
        look = "number"
        if column in SIGNED and value:
            look += " up" if value > 0 else " down"
    bar = abs(value) / largest if largest and isinstance(value, float) else None
    text = str(value) if column in ("pos", "node") else cell(column, value)
    look += " name" if column in NAMES else " wide" if column in WIDE else ""
    return Cell(text, exact(value), look, bar)
