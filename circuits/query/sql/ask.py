"""`circuits.sql`: a question in SQL, answered at one of two levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from circuits.errors import InvalidFile
from circuits.graph.graph import Graph
from circuits.query.answer import table_text
from circuits.query.sql import local, sandbox
from circuits.query.sql.budget import LOCAL, UNTRUSTED, Budget
from circuits.query.sql.build import database
from circuits.query.sql.check import admitted


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows a query gave.

    Attributes:
        sql: what was asked.
        table: the rows: numbers, truth values, text, lists and structs of them.
        cut: why there are no more: None if these are all, else "rows" or "result", the limit that was met.
        code: Python that gives the same rows.
    """

    sql: str
    table: pl.DataFrame
    cut: str | None = None
    code: str = field(default="")

    @property
    def finding(self) -> str:
        """Gives how many rows there are, in words."""
        count = f"{len(self.table):,} row{'' if len(self.table) == 1 else 's'}"
        if self.cut is None:
            return f"{count}."
        why = "" if self.cut == "rows" else ": more would be too large a result"
        return f"First {count} of more{why}."

    def to_dict(self) -> dict[str, Any]:
        """Gives one JSON document: the query, the columns, the rows, whether there are more."""
        return {
            "sql": self.sql,
            "finding": self.finding,
            "columns": self.table.columns,
            "rows": self.table.to_dicts(),
            "more": self.cut is not None,
            "code": self.code,
        }

    def __str__(self) -> str:
        rows = [table_text(self.table, most=len(self.table))] if self.table.width else []
        return "\n".join([*rows, self.finding])


def sql(of: Graph | str | Path, query: str, *, trusted: bool = True, budget: Budget | None = None) -> Rows:
    """Gives the rows that answer a query in SQL over a run's tables.

    Tables, views and macros are those of `circuits query RUN --schema`; the dialect is DuckDB's. Neither
    level can write or read another file, load an extension or change a setting. What a stranger asks
    belongs at the untrusted level: one SELECT with known functions, in a process of its own that is
    killed when the budget is spent.

    Args:
        of: a run directory, or a graph.
        query: a SELECT.
        trusted: the query is the user's own.
        budget: what it may spend; `LOCAL` or `UNTRUSTED` of `circuits.query.sql.budget` unless given.

    Raises:
        UsageError: the query cannot be read, names what is not there, does what it may not, or does not
            end within its budget.
        MissingPackage: DuckDB or sqlglot is not installed.
        NotFound: no run stands at the path.
        InvalidFile: what stands there is no run.

    Example:
        >>> circuits.sql("runs/france", "FROM best_path('tok@3', 'logit:Paris')")  # doctest: +SKIP
    """
    allowed = budget or (LOCAL if trusted else UNTRUSTED)
    statement = query if trusted else admitted(query)
    ask: Callable[..., tuple[pl.DataFrame, str | None]] = local.ask if trusted else sandbox.ask
    table, cut = _asked(ask, statement, of, allowed)
    return Rows(query, table, cut, _code(of, query, trusted=trusted))


def _asked(
    ask: Callable[..., tuple[pl.DataFrame, str | None]],
    statement: str,
    of: Graph | str | Path,
    budget: Budget,
) -> tuple[pl.DataFrame, str | None]:
    """Asks; a database in the cache that does not open, half deleted perhaps, is made again once."""
    path = database(of)
    try:
        return ask(statement, path, budget)
    except sandbox.Unopened:
        if isinstance(of, Graph):
            raise
        path.unlink(missing_ok=True)
    try:
        return ask(statement, database(of), budget)
    except sandbox.Unopened as cause:
        raise InvalidFile(f"DuckDB does not open the database made of {of}: {cause}") from cause


def _code(of: Graph | str | Path, query: str, *, trusted: bool) -> str:
    run = "graph" if isinstance(of, Graph) else repr(str(of))
    level = "" if trusted else ", trusted=False"
    return f"circuits.sql({run}, {query!r}{level})"


def summary(of: Graph | str | Path) -> Mapping[str, int]:
    """Gives how many rows every table and view has."""
    from circuits.query.sql.tables import TABLES

    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in TABLES)  # noqa: S608
    return dict(sql(of, counts).table.iter_rows())
