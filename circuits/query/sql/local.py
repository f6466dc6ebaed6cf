"""A query of the user's own, in this process: the same file, read-only, with the same settings locked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from circuits.errors import CircuitsError, UsageError
from circuits.query.sql.budget import Budget
from circuits.query.sql.build import engine
from circuits.query.sql.sandbox import LOCKED, TOO_WIDE, Unopened, settings
from circuits.query.sql.words import READS_ONLY, refusal, too_long

if TYPE_CHECKING:
    import duckdb


READING: Final = ("SELECT", "EXPLAIN", "MULTI")
"""Kinds of statements, as the engine's parser names them; MULTI is a PIVOT."""

_busy: list[contextlib.ExitStack] = []
"""Connections whose query did not stop when told to: left alone until it does."""


@contextlib.contextmanager
def opened(database: Path, budget: Budget) -> Iterator[duckdb.DuckDBPyConnection]:
    """Gives a read-only connection to a database that reaches nothing else and cannot be set otherwise.

    Raises:
        Unopened: the engine does not open the file.
    """
    duckdb = engine()
    # attached, not opened: two connections to one file of a process would have to agree in all settings
    with contextlib.closing(duckdb.connect(":memory:", config=settings(budget))) as connection:
        try:
            path = str(database).replace("'", "''")
            connection.execute(f"ATTACH '{path}' AS run (READ_ONLY)")
        except duckdb.Error as cause:
            raise Unopened(str(cause)) from cause
        connection.execute("USE run")
        for name, value in LOCKED.items():
            connection.execute(f"SET {name} = '{value}'")
        yield connection


def ask(sql: str, database: Path, budget: Budget) -> tuple[pl.DataFrame, str | None]:
    """Gives the rows of a query and which cap cut them: "rows" or None.

    The engine works in a thread of its own, so that Ctrl-C and the deadline are heard even while it does
    something it does not interrupt.

    Args:
        sql: one statement that reads.
        database: of `build.database`.
        budget: what it may spend.

    Raises:
        UsageError: the query cannot be answered.
        Unopened: the engine does not open the database.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(opened(database, budget))
        work = _Work(connection, sql, None if budget.rows is None else budget.rows + 1)
        threading.Thread(target=work.run, daemon=True).start()
        try:
            ended = work.ended.wait(None if budget.seconds is None else budget.seconds + 1)
        finally:
            if not work.ended.is_set():
                connection.interrupt()
            if not work.ended.wait(1):  # closing would wait for it
                _busy.append(stack.pop_all())
        if not ended:
            raise too_long(budget)
        if isinstance(work.error, CircuitsError):
            raise work.error
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
    error: BaseException | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        try:
            _check_reads(self.connection.extract_statements(self.sql))
            relation = self.connection.sql(self.sql)
            if len(set(relation.columns)) < len(relation.columns) or self.most is not None:
                relation = relation.limit(self.most if self.most is not None else 1 << 62)
            self.frame = pl.DataFrame(relation)
        except BaseException as error:  # carried to the thread that asked
            self.error = error
        finally:
            self.ended.set()


def _check_reads(statements: Sequence[Any]) -> None:
    kinds = [str(statement.type).rsplit(".", 1)[-1] for statement in statements]
    if len(kinds) != 1:
        raise UsageError(f"A query is one statement, not {len(kinds)}.")
    if kinds[0] not in READING:
        raise UsageError(f"{READS_ONLY}; {kinds[0]} is not allowed.")


def plain(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives a frame of numbers, truth values, text, lists and structs of them: no categories, no decimals.

    Raises:
        UsageError: a whole number does not fit into 64 bits.
    """
    whole: dict[Any, Any] = {
        name: pl.Int128() for name, kind in frame.schema.items() if _is_whole_decimal(kind)
    }
    try:
        return frame.cast(whole).cast({name: _plain(kind) for name, kind in frame.schema.items()})
    except pl.exceptions.InvalidOperationError as cause:
        raise UsageError(TOO_WIDE) from cause


def _is_whole_decimal(kind: Any) -> bool:
    return isinstance(kind, pl.Decimal) and not kind.scale


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
