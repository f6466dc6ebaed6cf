"""An untrusted query in a process of its own, killed with its whole group at the deadline.

Four fences, each of which holds alone (tests/test_sql_attacks.py takes them down one by one):

1. `check`: one SELECT over known tables with known functions, written anew.
2. The engine. Its own parser finds the same: one SELECT of known names. Its settings: a read-only file, no
   other file, no extension, no setting changed, limits of time and memory, nothing spilled to disk.
3. The process: limits of address space, processor time, open files and written bytes, an empty environment,
   no open file but three pipes' ends and the database; killed at the deadline, for a single call such as
   `len(range(300000000))` is not interrupted by the engine.
4. The result: at most so many rows and bytes, read as JSON.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from circuits.errors import CircuitsError, UsageError
from circuits.query.sql import child
from circuits.query.sql.budget import OVERHEAD, Budget
from circuits.query.sql.build import engine
from circuits.query.sql.check import admitted
from circuits.query.sql.functions import FUNCTIONS
from circuits.query.sql.tables import MACROS, TABLES
from circuits.query.sql.words import refusal, too_long

SYSTEM = os.name

GRACE: Final = 0.5
"""Seconds past the deadline in which the engine may stop by itself and say so."""
UNLIMITED: Final = (
    "Untrusted queries are answered only where the memory of a process can be limited, as on Linux: this"
    " system refuses that."
)
TOO_WIDE: Final = "A whole number of the result does not fit into 64 bits: cast it to DOUBLE."
STARTING: Final = 30.0
"""Seconds a process may take to open the database."""
THREADS: Final = 1

_TYPES: Final[Mapping[str, Any]] = {
    "BOOLEAN": pl.Boolean, "TINYINT": pl.Int8, "SMALLINT": pl.Int16, "INTEGER": pl.Int32, "BIGINT": pl.Int64,
    "UTINYINT": pl.UInt8, "USMALLINT": pl.UInt16, "UINTEGER": pl.UInt32, "UBIGINT": pl.UInt64,
    "FLOAT": pl.Float32, "DOUBLE": pl.Float64, "DECIMAL": pl.Float64, "TEXT": pl.String,
}  # fmt: skip


class Unopened(CircuitsError):
    """The engine does not open the database: it is to be made again."""


@dataclass(frozen=True)
class Fences:
    """Which fences stand, besides the kill and the caps; tests take them down one by one.

    Attributes:
        gate: `check.admitted`.
        settings: the engine's settings.
        limits: the limits of the process.
        reading: the engine's own parser must find one SELECT of known functions and tables.
    """

    gate: bool = True
    settings: bool = True
    limits: bool = True
    reading: bool = True


def ask(
    sql: str, database: Path, budget: Budget, fences: Fences = Fences()
) -> tuple[pl.DataFrame, str | None]:
    """Gives the rows of a query and which cap cut them: "rows", "result" or None.

    Args:
        sql: what somebody asked.
        database: of `build.database`.
        budget: what it may spend; no limit may be None.
        fences: all, but in tests.

    Raises:
        UsageError: the query cannot be answered within the budget, or at all.
        Unopened: the engine does not open the database.
    """
    _check_possible(budget)
    rewritten = admitted(sql) if fences.gate else sql
    answer = _answer(_request((sql, rewritten), database, budget, fences), budget)
    if "error" in answer:
        kind, message = answer["error"]
        if kind == "Unlimited":
            raise UsageError(UNLIMITED)
        if kind == "Unopened":
            raise Unopened(message)
        raise refusal(kind, message, budget, database)
    if str(database.parent) in json.dumps(answer):
        raise UsageError("The result names the file of the database, so it is not given.")
    if answer["cut"] == "result" and not answer["rows"]:
        raise UsageError(
            f"The first row alone is larger than the {(budget.result or 0) / 1e6:g} MB a result may have."
        )
    return _frame(answer), answer["cut"]


def _check_possible(budget: Budget) -> None:
    if SYSTEM != "posix":
        raise UsageError(UNLIMITED)
    unlimited = [name for name in ("seconds", "rows", "memory", "result") if getattr(budget, name) is None]
    if unlimited:
        raise UsageError(f"An untrusted query needs a limit of {', '.join(unlimited)}.")


def settings(budget: Budget, *, threads: int | None = None) -> dict[str, str]:
    """Gives the settings the engine is opened with, at either level."""
    some = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "python_enable_replacements": "false",
        "temp_directory": "",  # nothing is spilled to disk
        "max_temp_directory_size": "0B",
    }
    if budget.seconds is not None:
        some["max_execution_time"] = str(math.ceil(1000 * budget.seconds))
    if budget.memory is not None:
        some["memory_limit"] = f"{budget.memory}B"
    if threads is not None:
        some["threads"] = str(threads)
    return some


KNOWN: Final = {
    "functions": sorted(FUNCTIONS),
    "macros": sorted({*MACROS, "unnest"}),
    "tables": sorted(TABLES),
}
"""What a stranger's query may name."""

LOCKED: Final = {"enable_external_access": "false", "lock_configuration": "true"}
"""What is set, in this order, once the file is open; neither can be taken back."""


def _request(sql: tuple[str, str], database: Path, budget: Budget, fences: Fences) -> bytes:
    # the engine is found in these directories alone: the process reads no site, no PYTHONPATH
    packages = str(Path(engine().__file__).parent.parent)
    request = {
        "written": sql[0],
        "sql": sql[1],
        "database": str(database),
        "packages": [packages],
        "settings": settings(budget, threads=THREADS) if fences.settings else {},
        "locked": LOCKED if fences.settings else {},
        "limits": fences.limits,
        "known": KNOWN if fences.reading else None,
        "rows": budget.rows,
        "result": budget.result,
        "seconds": math.ceil((budget.seconds or 0) * THREADS),
        "address_space": (budget.memory or 0) + OVERHEAD,
    }
    return json.dumps(request, ensure_ascii=False).encode()


def _answer(request: bytes, budget: Budget) -> dict[str, Any]:
    """Gives what a new process answers to a request, or raises for what it died of."""
    most = 2 * (budget.result or 0) + 1_000_000  # no process makes us hold more
    with _process() as process:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.close()
        text = _read(process, len(child.READY), most, STARTING)
        if text[:1] == child.READY:
            text = text[1:] + _read(process, 1 << 62, most, (budget.seconds or 0) + GRACE)
        elif text:
            text += _read(process, 1 << 62, most, GRACE)
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if isinstance(answer, dict):
            return answer
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        if process.returncode in (None, -signal.SIGXCPU, -signal.SIGKILL):
            raise too_long(budget)
        raise UsageError(
            "The query's process broke off before it answered, most likely for want of memory"
            f" ({(budget.memory or 0) / 1e6:,.0f} MB): ask for less."
        )


@contextlib.contextmanager
def _process() -> Iterator[subprocess.Popen[bytes]]:
    """Gives a child in a group of its own, with an empty environment; the group is killed in the end."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH") if name in os.environ}
    process = subprocess.Popen(  # noqa: S603 - our own file
        [sys.executable, "-I", "-S", "-B", child.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=kept,
        cwd="/",
        close_fds=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                assert pipe is not None
                pipe.close()
        process.wait()


def _read(process: subprocess.Popen[bytes], count: int, most: int, seconds: float) -> bytes:
    """Gives what the process writes: `count` bytes, or all until it ends, time is up or `most` is reached.

    A process that is late is killed, so that nothing half-written is taken for an answer.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + seconds
    got = bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(process.stdout, selectors.EVENT_READ)
        while len(got) < count:
            if len(got) > most or not ready.select(max(deadline - time.monotonic(), 0)):
                return b""
            part = os.read(process.stdout.fileno(), min(count - len(got), 1 << 20))
            if not part:
                break
            got += part
    return bytes(got)


def _frame(answer: Mapping[str, Any]) -> pl.DataFrame:
    kinds = [_type(kind) for kind in answer["types"]]
    columns = list(zip(*answer["rows"], strict=True)) or [()] * len(kinds)
    try:
        series = [
            pl.Series(name, list(values), dtype=kind, strict=True)
            for name, kind, values in zip(answer["columns"], kinds, columns, strict=True)
        ]
    except (TypeError, OverflowError, pl.exceptions.PolarsError) as cause:
        raise UsageError(TOO_WIDE) from cause
    return pl.DataFrame(series)


def _type(kind: Any) -> Any:
    if isinstance(kind, list):
        what, parts = kind
        return pl.List(_type(parts)) if what == "list" else pl.Struct({n: _type(k) for n, k in parts})
    return _TYPES.get(kind, pl.Int64)  # HUGEINT, of sums and counts
