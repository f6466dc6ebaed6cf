"""What a query gave: its rows, how many there were, and the rows as text, CSV or JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from circuits.query.answer import finite
from circuits.query.text import columns_text, short

WIDEST: Final = 60
"""Characters of the widest cell of a printed table."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows a query gave.

    Attributes:
        sql: what was asked.
        table: the rows: numbers, truth values, text, lists and structs of them.
        code: Python that gives the same rows.
        cut: why there are no more: None if these are all, else "rows" or "result", the limit that was met.
        hint: where there are no rows, names of nodes in the query that the run has not.
    """

    sql: str
    table: pl.DataFrame
    code: str
    cut: str | None = None
    hint: str = ""

    @property
    def finding(self) -> str:
        """Gives how many rows there are, in words."""
        count = f"{len(self.table):,} row{'' if len(self.table) == 1 else 's'}"
        if self.cut is None:
            return f"{count}. {self.hint}".strip()
        why = "" if self.cut == "rows" else ": more would be too large a result"
        return f"First {count} of more{why}."

    def to_dict(self) -> dict[str, Any]:
        """Gives one JSON document: the query, the columns, the rows, whether there are more."""
        return {
            "sql": self.sql,
            "finding": self.finding,
            "columns": self.table.columns,
            "rows": [finite(row) for row in self.table.iter_rows(named=True)],
            "more": self.cut is not None,
            "code": self.code,
        }

    def text(self) -> str:
        """Gives all rows aligned in columns; numbers with six digits, long text cut. No line ends it."""
        names = self.table.columns
        rows = [[_cell(value) for value in row] for row in self.table.iter_rows()]
        right = [kind.is_numeric() for kind in self.table.dtypes]
        return columns_text([short(name, WIDEST) for name in names], rows, right=right)

    def csv(self) -> str:
        """Gives all rows as CSV with a header; lists and structs as JSON in a cell."""
        buffer = io.StringIO()
        nested = [name for name, kind in self.table.schema.items() if kind.is_nested()]
        texts = {
            name: pl.Series(
                [None if v is None else _json(v) for v in self.table[name].to_list()], dtype=pl.String
            )
            for name in nested
        }
        self.table.with_columns(**texts).write_csv(buffer)
        return buffer.getvalue()

    def json(self) -> str:
        """Gives all rows as a JSON array of objects, one a line; NaN and infinities are null."""
        return "[" + ",\n ".join(_json(row) for row in self.table.iter_rows(named=True)) + "]\n"

    def __str__(self) -> str:
        return "\n".join([*([self.text()] if self.table.width else []), self.finding])

    def __repr__(self) -> str:
        return f"Rows({short(self.sql, 80)!r}: {short(self.finding, 120)})"


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, allow_nan=False)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return short(", ".join(_cell(part) for part in value), WIDEST)
    if isinstance(value, Mapping):
        return short(", ".join(f"{name}: {_cell(part)}" for name, part in value.items()), WIDEST)
    return short(str(value), WIDEST)
