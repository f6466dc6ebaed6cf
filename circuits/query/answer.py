"""What every question gives back: a finding, the tables behind it, the part of the graph it is about."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import polars as pl

from circuits.graph.actions import Intervention
from circuits.graph.display import in_notebook
from circuits.graph.graph import Graph
from circuits.query.text import columns_text, percent, plain, short, signed, wrapped

WIDTH = 100
"""Characters a line of a printed answer, about."""


@dataclass(frozen=True)
class Prediction:
    """What an answer says would happen, so that it can be tried on the model (`circuits.check`).

    Attributes:
        says: what is done, in words.
        intervention: the same, exactly.
        target: whose value is watched.
        value: what the graph predicts it to be.
        over: a second node; the value is then that of `target` less that of this.
    """

    says: str
    intervention: Intervention
    target: str
    value: float
    over: str | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """An answered question.

    Attributes:
        question: what was asked, in words.
        finding: the answer in plain sentences, the most important first.
        tables: the numbers behind it, by name.
        captions: by the name of a table, what it shows and what its columns mean.
        highlight: the part of the graph the answer is about.
        code: Python that gives the same answer.
        meta: the target, settings and scores; JSON-compatible.
        predictions: what the answer says would happen if something were done.
    """

    question: str
    finding: tuple[str, ...]
    tables: Mapping[str, pl.DataFrame]
    highlight: Graph
    code: str
    captions: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    predictions: tuple[Prediction, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Gives one JSON document: sentences, tables as lists of rows, the highlighted subgraph."""
        edges = self.highlight.edges.cast({"source": pl.String, "target": pl.String})
        return {
            "question": self.question,
            "finding": list(self.finding),
            "tables": {name: _records(table) for name, table in self.tables.items()},
            "captions": dict(self.captions),
            "highlight": {
                "nodes": _records(self.highlight.nodes),
                "edges": _records(edges),
                "hyperedges": _records(self.highlight.hyperedges),
            },
            "code": self.code,
            "meta": finite(dict(self.meta)),
            "predictions": [
                {
                    "says": one.says,
                    "nodes": {node: list(done) for node, done in one.intervention.nodes.items()},
                    "target": one.target,
                    "value": one.value,
                    "over": one.over,
                }
                for one in self.predictions
            ],
        }

    def __str__(self) -> str:
        parts = [self.question, ""]
        parts += [wrapped(sentence, WIDTH) for sentence in self.finding]
        for name, table in self.tables.items():
            if len(table):
                caption = self.captions.get(name, "")
                parts += ["", wrapped(f"{name.upper()}. {caption}".strip(), WIDTH), table_text(table)]
        parts += ["", "The same in Python:", textwrap.indent(self.code, "  ")]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        return str(in_notebook("answer_html", self))

    def __repr__(self) -> str:
        return f"Answer({short(self.question, 120)!r}, tables: {', '.join(self.tables)})"


LINKS: Final = pl.List(
    pl.Struct({"node": pl.String, "name": pl.String, "weight": pl.Float64, "share": pl.Float64})
)
"""What a feature reads or writes: other nodes, the signed weight, the share of the receiver's input."""

SHARES = (
    *("share", "part", "kept", "share without it", "influence", "probability", "alike", "closed"),
    *("errors", "not opened up", "small edges", "in the other", "straight", "through"),
)
"""Columns that hold shares and are written as percentages."""

SIGNED = (
    *("weight", "total", "up", "down", "direct", "effect", "interaction"),
    *("change", "weight_here", "weight_there", "for the first", "for the second"),
    *("predicted", "frozen", "free"),
)
"""Columns that hold signed contributions and are written with their sign."""

UNPRINTED = (
    "index",
    "where",
    "order",
    "channel",
    "low",
    "high",
    "estimated",
    "evaluations",
    "engine",
    "hyperedge",
    "edge_source",
    "edge_target",
    "activation_here",
    "activation_there",
    "by_activation",
    "by_effect",
    "direct_change",
    "presence",
)
"""Columns for programs: what they say is in another column's text, or in the caption."""


def cell(column: str, value: Any) -> str:
    """Gives one table cell as text: shares as percentages, contributions with their sign."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, float):
        return (percent if column in SHARES else signed if column in SIGNED else plain)(value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def printed(table: pl.DataFrame) -> list[str]:
    """Gives the columns of a table whose cells people are shown as text."""
    return [n for n, kind in table.schema.items() if not isinstance(kind, pl.List) and n not in UNPRINTED]


def table_text(table: pl.DataFrame, *, widest: int = 44, most: int = 15) -> str:
    """Gives a table for the terminal: at most `most` rows, links of a row on lines below it.

    Args:
        table: any table of an answer; columns that hold plain lists are left out.
        widest: characters of the widest cell; paths may be wider.
        most: rows shown; how many were left out is said.
    """
    shown = printed(table)
    linked = [name for name, kind in table.schema.items() if kind == LINKS]
    listed = list(table.head(most).iter_rows(named=True))
    rows = [
        [
            short(cell(n, row[n]), WIDTH if n in ("path", "meaning", "combination", "writes") else widest)
            for n in shown
        ]
        for row in listed
    ]
    lines = columns_text(shown, rows, right=[table.schema[name].is_numeric() for name in shown]).split("\n")
    text = [lines[0]]
    for line, row in zip(lines[1:], listed, strict=True):
        text.append(line)
        text += [f"      {n.ljust(6)} {links_text(row[n])}" for n in linked if row[n]]
    if len(table) > most:
        text.append(f"  … and {len(table) - most} more")
    return "\n".join(text)


def links_text(links: list[dict[str, Any]]) -> str:
    """Gives what a feature reads or writes on one line: names and signed weights."""
    return " · ".join(f"{link['name']} {signed(link['weight'])}" for link in links)


def _records(table: pl.DataFrame) -> list[dict[str, Any]]:
    return [finite(row) for row in table.iter_rows(named=True)]


def finite(value: Any) -> Any:
    """Gives the same value with NaN and infinities, which JSON lacks, as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return value
