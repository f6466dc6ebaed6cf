"""The combinations that a figure shows: who is in each, on what it acts, how much it makes up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.marks import feature_label
from circuits.query.answer import Answer
from circuits.query.combinations import combinations_table
from circuits.query.orders import NONE
from circuits.query.subject import Subject
from circuits.query.text import Naming, percent, signed

MOST: Final = 12
"""Combinations drawn, at most, unless more are asked for."""

NAME: Final = 2.6  # inches of a name, at most


@dataclass(frozen=True)
class Combined:
    """One combination: who, on what, its interaction with interval, the text of that.

    Attributes:
        name: its id.
        members: who acts together.
        where: what they act on.
        kind: its gate, "undecided" where it has none.
        value: the interaction: in its own units, or as a share of what moves the target.
        low: where its interval begins, in the same units.
        high: where that ends.
        text: the interaction as text.
        relative: whether it is a share.
        share: |interaction| as a share of what moves the target; None where unknown.
    """

    name: str
    members: tuple[str, ...]
    where: str
    kind: str
    value: float
    low: float
    high: float
    text: str
    relative: bool
    share: float | None


def combined(graph: Graph | Answer, target: str | None, most: int) -> tuple[Graph, list[Combined]]:
    """Gives the combinations to be drawn, the strongest first, and the graph that knows their nodes.

    Args:
        graph: a graph with interactions, or an answer that holds a table of combinations.
        target: which target, as for `circuits.why`; not beside an answer.
        most: how many, at most.

    Raises:
        NotFound: no such target.
        UsageError: no interactions, none that bear on the target, or `most` is below 1.
    """
    if most < 1:
        raise UsageError(f"The {most} strongest combinations were asked for: give 1 or more.")
    if isinstance(graph, Answer):
        table, whole = graph.tables.get("combinations"), graph.highlight
    else:
        whole = graph
        table = combinations_table(Subject.of(graph, target), most) if len(graph.hyperedges) else None
    if table is None:
        raise UsageError(NONE)
    found = _found(table, most)
    if not found:
        raise UsageError("No interaction bears on this target: there is nothing to draw.")
    return whole, found


def _found(table: pl.DataFrame, most: int) -> list[Combined]:
    """Gives the combinations of a table; those without the quantity drawn are left out."""
    rows = table.head(most).to_dicts()
    alone = len({row["where"] for row in rows}) == 1 or all(row["share"] is None for row in rows)
    found = []
    for row in rows:
        if not row["weight"] or (not alone and row["share"] is None):
            continue
        unit = 1.0 if alone else row["share"] / abs(row["weight"])
        value = row["weight"] * unit
        low, high = (value if row[end] is None else row[end] * unit for end in ("low", "high"))
        text = signed(value) if alone else ("−" if value < 0 else "+") + percent(abs(value))
        members = tuple(row["members"])
        who = (row["hyperedge"], members, row["where"], row["kind"])
        found.append(Combined(*who, value, low, high, text, not alone, row["share"]))
    return found


def called(graph: Graph, naming: Naming, name: str) -> str:
    """Gives the name of a member or of what is acted on: the node, and its label where it has one."""
    label = graph.nodes["label"][graph.index[name]] if name in graph.index else None
    said = f"{naming.brief(name)}  {feature_label(label, name)}" if label else naming.brief(name)
    return style.fitted(style.drawable(said), NAME)
