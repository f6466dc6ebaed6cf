"""A query of the user's own, in this process: the same file, read-only, with the same settings locked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from circuits.errors import UsageError
from circuits.query.sql.budget import Budget
from circuits.query.sql.build import engine
from circuits.query.sql.sandbox import LOCKED, Unopened, settings
from circuits.query.sql.words import refusal, too_long

if TYPE_CHECKING:
    import duckdb


_busy: list[contextlib.ExitStack] = []
"""Connections whose query did not stop when told to: left alone until it does."""


@contextlib.contextmanager
def opened(database: Path, budget: Budget) -> Iterator[duckdb.DuckDBPyConnection]:
    """Gives a read-only connection to a database that reaches nothing else and cannot be set otherwise.

    Raises:
        Unopened: the engine does not open the file.
    """
    duckdb = engine()
    try:
        connection = duckdb.connect(str(database), read_only=True, config=settings(budget))
    except duckdb.Error as cause:
        raise Unopened(str(cause)) from cause
    with contextlib.closing(connection):
        for name, value in LOCKED.items():
            connection.execute(f"SET {name} = '{value}'")
        yield connection


def ask(sql: str, database: Path, budget: Budget) -> tuple[pl.DataFrame, str | None]:
    """Gives the rows of a query and which cap cut them: "rows" or None.

    The engine works in a thread of its own, so that Ctrl-C and the deadline are heard even while it does
    something it does not interrupt.

    Args:
        sql: any statement that gives rows; of several, the last one's are given.
        database: of `build.database`.
        budget: what it may spend.

    Raises:
        UsageError: the query cannot be answered.
        Unopened: the engine does not open the database.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(opened(database, budget))
        work = _Work(connection, sql, None if budget.rows is None else budget.rows + 1)
        thread = threading.Thread(target=work.run, daemon=True)
        thread.start()
        try:
            thread.join(None if budget.seconds is None else budget.seconds + 1)
        finally:
            if thread.is_alive():
                connection.interrupt()
                thread.join(1)
            if thread.is_alive():  # closing would wait for it
                _busy.append(stack.pop_all())
        if thread.is_alive():
            raise too_long(budget)
        if work.error is not None:
            raise refusal(type(work.error).__name__, str(work.error), budget, database) from work.error
        assert work.frame is not None
        frame = plain(work.frame)
    if budget.rows is not None and len(frame) > budget.rows:
        return frame.head(budget.rows), "rows"
    return frame, None


@dataclass
class _Work:
    connection: Any
    sql: str
    most: int | None
    frame: pl.DataFrame | None = None
    error: Exception | None = field(default=None)

    def run(self) -> None:
        try:
            relation = self.connection.sql(self.sql)
            if relation is None:
                self.frame = pl.DataFrame()
                return
            if len(set(relation.columns)) < len(relation.columns) or self.most is not None:
                relation = relation.limit(self.most if self.most is not None else 1 << 62)
            self.frame = pl.DataFrame(relation)
        except Exception as error:  # carried to the thread that asked
            self.error = error


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives a frame of numbers, truth values, text, lists and structs of them: no categories, no decimals.

    Raises:
        UsageError: a whole number does not fit into 64 bits.
    """
    try:
        return frame.cast({name: _plain(kind) for name, kind in frame.schema.items()})
    except pl.exceptions.InvalidOperationError as cause:
        raise UsageError(
            "A whole number of the result does not fit into 64 bits: cast it to DOUBLE."
        ) from cause


def _plain(kind: Any) -> Any:
    if isinstance(kind, pl.List | pl.Array):
        return pl.List(_plain(kind.inner))
    if isinstance(kind, pl.Struct):
        return pl.Struct({part.name: _plain(part.dtype) for part in kind.fields})
    if isinstance(kind, pl.Decimal):
        return pl.Float64() if kind.scale else pl.Int64()
    if isinstance(kind, pl.Int128):
        return pl.Int64()
    if kind.is_numeric() or isinstance(kind, pl.Boolean | pl.String):
        return kind
    return pl.String()
