"""`circuits query`: a question in SQL, answered as a table, CSV, JSON or Parquet."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, stack, write_data
from circuits.cli.paths import check_output, check_run
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.query.sql.budget import Budget
    from circuits.query.sql.rows import Rows

Format = Literal["table", "csv", "json", "parquet"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".json": "json", ".parquet": "parquet", ".pq": "parquet"}

SHOWN = 100
"""Rows of a table in the terminal, unless another number was asked for."""


Sql = Annotated[
    str | None, typer.Argument(metavar="SQL", help="A SELECT in DuckDB's dialect; - reads it from stdin.")
]
Schema = Annotated[
    bool,
    typer.Option("--schema", help="List the tables, their columns, and the macros with an example each."),
]
How = Annotated[
    Format | None,
    typer.Option(
        "--format",
        rich_help_panel=options.OUT,
        show_default="by the suffix of FILE, else table",
        help="How to write.",
    ),
]
File = Annotated[
    Path | None,
    typer.Option("--out", "-o", metavar="FILE", rich_help_panel=options.OUT, help="The file to write."),
]
LimitRows = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        rich_help_panel=options.OUT,
        show_default=f"{SHOWN} in a table, 10000 if untrusted, else none",
        help="Give the first N rows, and say if there are more.",
    ),
]
Seconds = Annotated[
    float | None,
    typer.Option(
        metavar="S",
        rich_help_panel=options.HOW,
        show_default="600; 10 if untrusted",
        help="Stop the query after S seconds.",
    ),
]
Untrusted = Annotated[
    bool,
    typer.Option(
        "--untrusted",
        rich_help_panel=options.HOW,
        help="Treat the query as a stranger's: one SELECT with known functions, in a process of its own"
        " with little memory, killed when its time is up.",
    ),
]


def query(
    run: options.Run,
    sql: Sql = None,
    schema: Schema = False,
    how: How = None,
    out: File = None,
    limit_rows: LimitRows = None,
    seconds: Seconds = None,
    untrusted: Untrusted = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask a run in SQL: nodes, edges, hyperedges, heads and verdicts are tables.

    A query reads the run and nothing else: it writes nothing, opens no other file, changes no setting.
    Macros answer the common questions: inputs_of(node), outputs_of(node), neighbours(node, hops),
    best_path(source, target), layer_sums(target), by_position(target), combinations_of(node).

    ```
    circuits query RUN "FROM inputs_of('logit:Paris') LIMIT 10"
    circuits query RUN "SELECT layer, sum(weight) FROM inputs_of('logit:Paris') GROUP BY layer"
    circuits query RUN "FROM edges" -o edges.parquet
    ```
    """
    output = Output(json, quiet)
    check_run(run)
    if schema:
        _show_schema(run, output)
        return
    form = _format(how, out, json=json)
    if out is not None:
        check_output(out, overwrite=overwrite)
    text = _statement(sql)
    from circuits.query.sql.ask import sql as ask

    budget = _budget(limit_rows, seconds, untrusted=untrusted, shown=form == "table" and out is None)
    rows = ask(run, text, trusted=not untrusted, budget=budget)
    if out is not None:
        _save(rows, out, form, overwrite=overwrite)
        output.result(heading(f"{out}: {rows.finding}"), {"file": str(out), **_told(rows)})
    elif form == "table":
        output.result(_table(rows), rows.to_dict())
    elif json:
        output.result("", rows.to_dict())
    else:
        write_data(_text(rows, form))
        if rows.cut is not None:
            output.note(rows.finding)


def _statement(sql: str | None) -> str:
    if sql is None:
        raise UsageError("No query: give a SELECT, - to read it from stdin, or --schema to see the tables.")
    text = sys.stdin.read() if sql == "-" else sql
    if not text.strip():
        raise UsageError("The query is empty: give a SELECT, or --schema to see the tables.")
    return text


def _format(how: Format | None, out: Path | None, *, json: bool) -> Format:
    if how is not None and json and how != "json":
        raise UsageError(f"--json and --format {how} contradict each other: give one of them.")
    if how == "parquet" and out is None:
        raise UsageError("Parquet is no text for a terminal: say where to write it with -o FILE.")
    if how is not None:
        return how
    if out is not None and out.suffix.lower() not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{out} does not say how to write: give --format, or a name that ends in {known}.")
    return SUFFIXES[out.suffix.lower()] if out is not None else "json" if json else "table"


def _budget(rows: int | None, seconds: float | None, *, untrusted: bool, shown: bool) -> Budget:
    from dataclasses import replace

    from circuits.query.sql.budget import LOCAL, UNTRUSTED

    budget = UNTRUSTED if untrusted else LOCAL
    if seconds is not None:
        budget = replace(budget, seconds=seconds)
    if rows is not None or shown:
        budget = replace(budget, rows=rows or SHOWN)
    return budget


def _told(rows: Rows) -> dict[str, Any]:
    return {"rows": len(rows.table), "more": rows.cut is not None, "finding": rows.finding}


def _table(rows: Rows) -> Group:
    parts: list[RenderableType] = [Text(rows.text()), "", heading(rows.finding)]
    if rows.cut is not None:
        parts.append("Others: --limit-rows N, or all of them into a file with -o FILE.")
    return Group(*parts)


def _text(rows: Rows, how: Format) -> str:
    return rows.json() if how == "json" else rows.csv() if how == "csv" else rows.text() + "\n"


def _save(rows: Rows, path: Path, how: Format, *, overwrite: bool) -> None:
    from circuits.files import atomic

    with atomic(path, overwrite=overwrite) as temporary:
        if how == "parquet":
            rows.table.write_parquet(temporary, compression="zstd")
        else:
            temporary.write_text(_text(rows, how), encoding="utf-8")


def _show_schema(run: Path, output: Output) -> None:
    from circuits.query.sql.ask import described, examples, summary
    from circuits.query.sql.functions import FUNCTIONS
    from circuits.query.sql.tables import MACROS, TABLES

    counts, shown = summary(run), examples(run)
    tables = [
        Group(
            heading(f"{name}: {counts[name]:,} row{'' if counts[name] == 1 else 's'}, each {table.row}"),
            facts([(column, meaning) for column, meaning in table.columns.items()]),
        )
        for name, table in TABLES.items()
    ]
    macros = [
        Group(
            heading(f"{name}({macro.parameters})"),
            Padding(macro.gives, (0, 0, 0, 2)),
            Text(f"  {shown[name]}"),
        )
        for name, macro in MACROS.items()
    ]
    quoted = shlex.quote(str(run))
    first = shown["inputs_of"]
    argument = shlex.quote(first) if set(first) & set('"$`\\!') else f'"{first}"'
    more = [(f"circuits query {quoted} {argument}", "a first query")]
    document = described(counts, shown) | {"untrusted_functions": sorted(FUNCTIONS)}
    output.result(stack(*tables, *macros, Group(heading("Next"), commands(more))), document)
