"""Answers, rows and tables as the API gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import polars as pl
from starlette.responses import Response

from circuits.query.answer import Answer, finite
from circuits.server.refusals import Refused
from circuits.viewer.answers import answered

SIMPLE: Final = (str, int, float, bool)
HIGHLIGHTED: Final = 2_000
"""Nodes of a highlight at most."""


def sent(document: Mapping[str, Any], most: int) -> Response:
    """Gives a document as JSON.

    Raises:
        Refused: it takes more than `most` bytes.
    """
    text = json.dumps(
        finite(document), ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=str
    )
    data = text.encode("utf-8", "replace")
    if len(data) > most:
        raise Refused(
            413,
            f"The result has {len(data):,} bytes, more than the {most:,} that are sent: ask for less of it.",
        )
    return Response(data, media_type="application/json")


def answer_part(answer: Answer, rows: int) -> dict[str, Any]:
    """Gives an answer as the viewer reads it; at most `rows` rows of a table, and it is told of more."""
    left_out = [
        f"{name}: the first {rows:,} of {len(table):,} rows."
        for name, table in answer.tables.items()
        if len(table) > rows
    ]
    part = answered(replace(answer, tables={name: table.head(rows) for name, table in answer.tables.items()}))
    lit = part["highlight"]
    if len(lit["nodes"]) > HIGHLIGHTED:
        left_out.append(f"Highlighted: the first {HIGHLIGHTED:,} of {len(lit['nodes']):,} nodes.")
        lit["nodes"] = lit["nodes"][:HIGHLIGHTED]
    return {**part, "left_out": left_out}


def plain_table(table: pl.DataFrame, caption: str) -> dict[str, Any]:
    """Gives all columns of a table; lists and structs as JSON in a cell."""
    rows = [
        [value if value is None or isinstance(value, SIMPLE) else _json(value) for value in row]
        for row in table.iter_rows()
    ]
    return {
        "caption": caption,
        "columns": table.columns,
        "numeric": [kind.is_numeric() for kind in table.dtypes],
        "rows": [[_cell(value) for value in row] for row in rows],
        "values": rows,
    }


def _json(value: Any) -> str:
    return json.dumps(finite(value), ensure_ascii=False, default=str)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
