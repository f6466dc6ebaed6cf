"""An answer as the viewer reads it."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from circuits.query.answer import LINKS, Answer, cell, finite, links_text, printed

EDGES: Final = 2_000
"""Edges of an answer that are lit, at most: the heaviest."""


def answered(answer: Answer) -> dict[str, Any]:
    """Gives an answer as `AnswerPart` of `document.ts`."""
    trust = answer.meta.get("trust")
    edges = answer.highlight.edges
    if len(edges) > EDGES:
        edges = edges.sort(pl.col("weight").abs(), descending=True, maintain_order=True).head(EDGES)
    ends = edges.select(pl.col("source", "target").cast(pl.String)).iter_rows()
    return {
        "question": answer.question,
        "finding": list(answer.finding),
        "trust": None if trust is None else str(trust),
        "tables": {
            name: _table(frame, answer.captions.get(name, ""))
            for name, frame in answer.tables.items()
            if len(frame)
        },
        "highlight": {
            "nodes": answer.highlight.nodes["node"].to_list(),
            "edges": [list(pair) for pair in ends],
        },
        "code": answer.code,
    }


def _table(frame: pl.DataFrame, caption: str) -> dict[str, Any]:
    linked = [n for n, kind in frame.schema.items() if kind == LINKS and frame[n].list.len().sum()]
    columns = [name for name in frame.columns if name in (*printed(frame), *linked)]
    rows = list(frame.select(columns).iter_rows())
    return {
        "caption": caption,
        "columns": columns,
        "numeric": [frame.schema[name].is_numeric() for name in columns],
        "rows": [[_shown(name, value) for name, value in zip(columns, row, strict=True)] for row in rows],
        "values": [[_exact(value) for value in row] for row in rows],
    }


def _shown(column: str, value: Any) -> str:
    if isinstance(value, list):
        return links_text(value)
    return str(value) if column in ("pos", "node") and value is not None else cell(column, value)


def _exact(value: Any) -> Any:
    """Gives a cell's value; of links the text, as their numbers stand in it."""
    return links_text(value) if isinstance(value, list) else finite(value)
