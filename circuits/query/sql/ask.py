"""`circuits.sql`: a question in SQL, answered at one of two levels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import polars as pl

from circuits.errors import InvalidFile, UsageError, near_matches
from circuits.graph.graph import Graph
from circuits.query.sql import local, sandbox
from circuits.query.sql.budget import LOCAL, UNTRUSTED, Budget
from circuits.query.sql.build import database
from circuits.query.sql.rows import Rows
from circuits.query.sql.tables import MACROS, TABLES

_NAMES: Final = re.compile(r"'((?:\d+/\d+@\d+|(?:tok|pos|err\d+)@\d+|logit:(?:[^']|'')+))'")
"""Literals that can only be meant as nodes."""

_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"[^\"]*\"")
_BARE: Final = re.compile(r"\b(?:\d+/\d+|tok|pos|err\d+)@\d+\b")
"""Names of nodes outside quotes, where they are no SQL."""


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
    ask: Callable[..., tuple[pl.DataFrame, str | None]] = local.ask if trusted else sandbox.ask
    try:
        table, cut = _asked(ask, query, of, allowed)
    except UsageError as cause:
        bare = _BARE.search(_QUOTED.sub("", query))
        if bare is None:
            raise
        raise UsageError(f"A node's name goes into single quotes: '{bare[0]}'. {cause}") from cause
    hint = "" if len(table) else _hint(of, query)
    return Rows(query, table, _code(of, query, trusted=trusted), cut, hint)


def _asked(
    ask: Callable[..., tuple[pl.DataFrame, str | None]],
    query: str,
    of: Graph | str | Path,
    budget: Budget,
) -> tuple[pl.DataFrame, str | None]:
    """Asks; a database in the cache that does not open, half deleted perhaps, is made again once."""
    path = database(of)
    try:
        return ask(query, path, budget)
    except sandbox.Unopened:
        if isinstance(of, Graph):
            raise
        path.unlink(missing_ok=True)
    try:
        return ask(query, database(of), budget)  # made anew
    except sandbox.Unopened as cause:
        raise InvalidFile(f"DuckDB does not open the database made of {of}: {cause}") from cause


def _code(of: Graph | str | Path, query: str, *, trusted: bool) -> str:
    run = "graph" if isinstance(of, Graph) else repr(str(of))
    level = "" if trusted else ", trusted=False"
    return f"circuits.sql({run}, {query!r}{level})"


def _hint(of: Graph | str | Path, query: str) -> str:
    """Gives what may be wrong with a query that found nothing: nodes it names that are not there."""
    named = {name.replace("''", "'") for name in _NAMES.findall(query)}
    known = sql(of, "SELECT node FROM nodes").table["node"].to_list() if named else []
    return " ".join(
        f"There is no node {name!r} in this run.{near_matches(name, known)}"
        for name in sorted(named - set(known))[:3]
    )


def summary(of: Graph | str | Path) -> Mapping[str, int]:
    """Gives how many rows every table and view has."""
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in TABLES)  # noqa: S608
    return dict(sql(of, counts).table.iter_rows())


def examples(of: Graph | str | Path) -> Mapping[str, str]:
    """Gives an example of every macro, about nodes of this run: its heaviest target, strongest feature."""
    first = "SELECT node FROM nodes WHERE kind = '{}' ORDER BY {} DESC NULLS LAST LIMIT 1"
    named = [
        sql(of, first.format(*which)).table["node"].to_list()
        for which in (("feature", "influence"), ("logit", "target_weight"), ("token", "influence"))
    ]
    feature, target, token = (str(found[0]).replace("'", "''") if found else "…" for found in named)
    return {
        name: macro.example.format(source=feature, target=target, token=token)
        for name, macro in MACROS.items()
    }


def described(counts: Mapping[str, int], shown: Mapping[str, str]) -> dict[str, Any]:
    """Gives what can be asked of a run as one JSON document: tables and views, functions.

    Args:
        counts: what `summary` gives.
        shown: what `examples` gives.
    """
    return {
        "tables": {
            name: {"row": table.row, "rows": counts[name], "columns": dict(table.columns)}
            for name, table in TABLES.items()
        },
        "macros": {
            name: {"parameters": macro.parameters, "gives": macro.gives, "example": shown[name]}
            for name, macro in MACROS.items()
        },
    }
