"""What the engine says of a query, as one sentence a person can act on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from circuits.errors import UsageError, near_matches
from circuits.query.sql.budget import Budget
from circuits.query.sql.tables import MACROS, TABLES

SCHEMA: Final = "`circuits query RUN --schema` lists tables, columns and macros"

READS_ONLY: Final = (
    "A query reads the tables of the run and nothing else: no file, no setting, no extension, no write"
)

_ENUM: Final = re.compile(r"ENUM\((?:'(?:[^']|'')*'(?:, )?)+(?:\)|$)")
_PREFIX: Final = re.compile(r"^(?:[A-Z][A-Za-z]*(?: [A-Z][A-Za-z]*)? Error|INTERRUPT Error): ")
_REFUSED: Final = (
    "operations are disabled by configuration",
    "has been disabled by configuration",
    "configuration has been locked",
    "in read-only mode",
    "is disabled through configuration",
)
_UNKNOWN: Final = re.compile(
    r"(Table Function|Table|Scalar Function|Aggregate Function|Macro)[\w ]* with name (\S+) does"
)


_MACRO: Final = re.compile(r"Macro (\w+)\(\) does not support the supplied arguments")


def refusal(kind: str, message: str, budget: Budget, database: Path) -> UsageError:
    """Gives what the engine said as an error: one sentence, without the database's path.

    Args:
        kind: the name of the engine's exception.
        message: its text.
        budget: what the query could spend.
        database: whose path is not told.
    """
    text = _plain(message, database)
    if kind == "InterruptException" or "maximum execution time" in text or "Query interrupted" in text:
        return too_long(budget)
    if kind in ("OutOfMemoryException", "MemoryError") or "Out of Memory" in text or "bad_alloc" in text:
        return too_large(budget)
    if any(sign in text for sign in _REFUSED):
        return UsageError(f"{READS_ONLY}.")
    if kind == "NotOneSelect":
        return UsageError(f"A query is one SELECT; the engine reads {text or 'nothing'}.")
    if "Deprecated lambda arrow" in text:
        return UsageError("The query cannot be answered: write lambda x: … for x -> ….")
    called = _MACRO.search(text)
    if called and called[1] in MACROS:
        return UsageError(f"{called[1]} takes ({MACROS[called[1]].parameters}): give it these. {SCHEMA}.")
    if kind == "Unknown":
        return UsageError(f"A query is one SELECT of what is known; the engine reads {text}.")
    return UsageError(f"The query cannot be answered: {_with_near_matches(text)}")


def too_long(budget: Budget) -> UsageError:
    """Gives the error of a query that was stopped at its deadline."""
    return UsageError(
        f"The query ran longer than its {budget.seconds:g} seconds and was stopped: ask for less, or allow"
        " it more seconds."
    )


def too_large(budget: Budget) -> UsageError:
    """Gives the error of a query that wanted more memory than it may have."""
    most = "" if budget.memory is None else f" than its {budget.memory / 1e6:,.0f} MB"
    return UsageError(f"The query needs more memory{most or ' than there is'}: ask for less.")


def _plain(message: str, database: Path) -> str:
    """Gives the first paragraph of a message on one line, its prefix, long types and our path taken out."""
    text = _ENUM.sub("a node's name", message.split("\n\nLINE ")[0])
    for path in (str(database), str(database.parent)):
        text = text.replace(path, "the run")
    text = text.split("Candidate functions:")[0].split("Candidate macros:")[0]
    return _PREFIX.sub("", " ".join(text.split()))


def _with_near_matches(text: str) -> str:
    """Gives a message about an unknown name with what may have been meant."""
    said, _, candidates = text.partition("Candidate bindings:")
    if candidates:
        near = " or ".join(repr(name) for name in re.findall(r'"([^"]+)"', candidates)[:3])
        return f"{said.strip().rstrip('!.')}. Did you mean {near}? {SCHEMA}."
    unknown = _UNKNOWN.search(text)
    if unknown is None:
        return text if text.endswith((".", "?")) else f"{text.rstrip('!')}."
    name = unknown[2].strip('"')
    if unknown[1] == "Table":
        what, known = "table", list(TABLES)
    else:
        meant = re.search(r'Did you mean "([^"]+)"', text)
        what, known = "function", [*MACROS, *([meant[1]] if meant else [])]
    return f"there is no {what} {name}.{near_matches(name.lower(), known) or f' {SCHEMA}.'}"
