"""The disposable process of one untrusted query: a file run by itself that imports DuckDB and no more.

It reads one JSON request from stdin, and writes to stdout the byte `READY` once the database is open,
then one JSON answer. It limits itself before it opens anything: address space, processor time, no file
written, no core dumped; and once the database is open no file can be opened any more. Whoever started
it kills it at the deadline. `circuits.query.sql.sandbox` is that other side.
"""

from __future__ import annotations

import json
import sys
from typing import Any

READY = b"!"
"""Says that the database is open and the query's time begins."""

LONGEST = 1_000_000
"""Characters of an error's message; the type of a node's name lists all names."""

CATALOGUE = ("duckdb_", "pg_", "sqlite_", "pragma_", "information_schema")
"""How names of the engine's own tables begin."""

READING = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
NO_READING = ("SHOW_REF", "PARAMETER", "VALUE_PARAMETER", "PIVOT")
"""Parts of a SELECT, as the engine's parser names them: those that read, and those that are more."""

SIMPLE = {
    "BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL",
}  # fmt: skip
"""Types whose values JSON holds; lists and structs of them too. All others are written as text."""


def main() -> None:
    """Reads the request, answers it, ends."""
    request = json.load(sys.stdin.buffer)
    out = sys.stdout.buffer
    sys.path.extend(request["packages"])
    try:
        if request["limits"]:
            limit_process(request)
        connection, done = opened(request)
        if request["limits"]:
            forbid_opening()
        out.write(READY)
        out.flush()
        answer = {"error": done} if done else run(connection, request)
    except Unlimited as cause:
        answer = {"error": ["Unlimited", str(cause)]}
    except MemoryError:
        answer = {"error": ["MemoryError", "out of memory"]}
    out.write(json.dumps(answer).encode())
    out.flush()


class Unlimited(Exception):
    """This system does not let a process give up what it shall not have."""


def limit_process(request: dict[str, Any]) -> None:
    """Takes from this process what the query does not need; it cannot be taken back."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + request["seconds"]) + 2
    limits = {
        resource.RLIMIT_AS: request["address_space"],
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 64,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError) as cause:  # macOS, for the address space
            raise Unlimited(f"limit {kind}: {cause}") from cause


def forbid_opening() -> None:
    """Allows no further file, socket or pipe; those that are open stay open."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def opened(request: dict[str, Any]) -> tuple[Any, list[str] | None]:
    """Gives the connection, or (None, what the engine says) if it does not open the file."""
    import datetime as dt  # noqa: F401 - the engine imports these for its values: no file opens later
    import decimal  # noqa: F401
    import uuid  # noqa: F401

    import duckdb

    try:
        connection = duckdb.connect(request["database"], read_only=True, config=dict(request["settings"]))
        for name, value in request["locked"].items():
            connection.execute(f"SET {name} = '{value}'")
        return connection, None
    except duckdb.Error as error:
        return None, ["Unopened", str(error)]


def run(connection: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Gives the answer to a query: columns, their types, rows, and which cap cut them ("rows", "result").

    The engine's own parser must find one SELECT over what is known, and nothing else; it is read no
    further than one row past the cap.
    """
    import duckdb

    sql, most = request["sql"], request["rows"]
    try:
        connection.extract_statements(request["written"])  # what was written must be SQL to the engine too
        parsed = connection.extract_statements(sql)
        kinds = [str(statement.type).rsplit(".", 1)[-1] for statement in parsed]
        if request["known"] and kinds == ["SELECT"]:
            stranger = unknown(connection, sql, **request["known"])
            if stranger is not None:
                return {"error": ["Unknown", stranger]}
        if kinds == ["SELECT"]:
            sql = f"FROM (\n{parsed[0].query.strip().rstrip(';')}\n) LIMIT {most + 1}"
        elif request["known"]:
            return {"error": ["NotOneSelect", ", ".join(kinds)]}
        return fetched(connection.execute(sql), most, request["result"])
    except (duckdb.Error, RuntimeError, RecursionError, ValueError) as error:
        return {"error": [type(error).__name__, str(error)[:LONGEST]]}


def unknown(
    connection: Any, sql: str, functions: list[str], macros: list[str], tables: list[str]
) -> str | None:
    """Gives a function or table of a SELECT that is not known, as the engine's own parser reads it; or None.

    Args:
        connection: where to parse; nothing is run.
        sql: one SELECT.
        functions: allowed names; operators such as + are always allowed.
        macros: names allowed as tables.
        tables: allowed names; those of WITH are allowed too, but not the catalogue's.
    """
    text = connection.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()[0]
    called, read, named = set(), set(), set(tables)
    rest = [json.loads(text)]
    if rest[0]["error"]:
        return str(rest[0]["error_message"])
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            if "function_name" in part:
                called.add(part["function_name"].lower())
            if part.get("type") == "BASE_TABLE":
                schemas = {part["schema_name"].lower(), part["catalog_name"].lower()}
                read.add(part["table_name"].lower() if schemas <= {"", "main", "recurring"} else "a schema")
            kind = str(part.get("type"))
            if kind == "TABLE_FUNCTION" and part["function"]["function_name"].lower() not in macros:
                return f"{part['function']['function_name']} as a table"
            if kind in NO_READING or (kind.endswith("_NODE") and kind not in READING):
                return kind.lower()
            named.update(str(entry["key"]).lower() for entry in (part.get("cte_map") or {}).get("map", ()))
            rest.extend(part.values())
        elif isinstance(part, list):
            rest.extend(part)
    known = {*functions, *macros, "list_apply"}  # as the engine writes [f(x) for x in l]
    strange = sorted(name for name in called if name not in known and any(c.isalpha() for c in name))
    strange += sorted(name for name in read if name not in named or name.startswith(CATALOGUE))
    return strange[0] if strange else None


def fetched(cursor: Any, most: int, room: int) -> dict[str, Any]:
    """Gives the first `most` rows, or as many as fit into `room` bytes of JSON."""
    described = cursor.description or ()
    names, types = [name for name, *_ in described], [kind for _, kind, *_ in described]
    rows: list[list[Any]] = []
    cut = None
    while cut is None and (row := cursor.fetchone()) is not None:
        plain = [value_of(kind, value) for kind, value in zip(types, row, strict=True)]
        room -= len(json.dumps(plain))
        cut = "rows" if len(rows) == most else "result" if room < 0 else None
        if cut is None:
            rows.append(plain)
    return {"columns": names, "types": [type_of(kind) for kind in types], "rows": rows, "cut": cut}


def type_of(kind: Any) -> Any:
    """Gives a type as JSON: a name, ["list", of], ["struct", [[name, type], …]], or "TEXT"."""
    if kind.id in ("list", "array"):
        return ["list", type_of(kind.children[0][1])]
    if kind.id == "struct":
        return ["struct", [[name, type_of(part)] for name, part in kind.children]]
    name = str(kind.id).upper()
    return name if name in SIMPLE else "TEXT"


def value_of(kind: Any, value: Any) -> Any:
    """Gives a value as JSON holds it; NaN and infinities as Python's JSON writes them."""
    if value is None:
        return None
    if kind.id in ("list", "array"):
        return [value_of(kind.children[0][1], part) for part in value]
    if kind.id == "struct":
        return {name: value_of(part, value[name]) for name, part in kind.children}
    if kind.id == "decimal":
        return float(value)
    return value if str(kind.id).upper() in SIMPLE or isinstance(value, str) else str(value)


if __name__ == "__main__":
    main()
