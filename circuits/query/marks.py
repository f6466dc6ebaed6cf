"""Marks on what an answer tells: which of it was tried on the model, and what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.text import signed
from circuits.query.verified import is_doubled, is_free, is_frozen, verdicts_of

NODES_CAPTION: Final = (
    " predicted: how much the target falls, as the graph has it, when the node is switched off. measured: the"
    " same on the model with nothing held, and whether that claim fails (blank: not tried)."
)

SETS_CAPTION: Final = (
    " predicted: what the members do together beyond their separate effects, all else on, by the graph."
    " measured: the same on the model with nothing held, and whether that claim fails (blank: not tried)."
)


@dataclass(frozen=True)
class Mark:
    """What was measured of one node or combination, nothing held: a change when it is switched off.

    Attributes:
        predicted: by the graph.
        measured: on the model.
        holds: free; frozen: with all else held.
    """

    predicted: float
    measured: float
    holds: bool
    frozen: bool

    @property
    def fails(self) -> str:
        """Gives how the claim failed: nothing where it holds."""
        return "" if self.holds and self.frozen else "fails" if self.frozen else "fails frozen"

    def text(self, sign: int) -> str:
        """Gives the cell of a table: the number, and a word where the claim failed."""
        return f"{signed(sign * self.measured) or '0'} {self.fails}".strip()


def measured_nodes(graph: Graph, target: str) -> dict[str, Mark]:
    """Gives, by node or concept, what switching it off did."""
    rows = verdicts_of(graph, target).filter(pl.col("kind").is_in(["node", "concept"]), order=1)
    return {members[0]: mark for members, mark in _marks(rows.filter(~is_doubled())) if len(members) == 1}


def measured_sets(graph: Graph, target: str) -> dict[frozenset[str], Mark]:
    """Gives, by members, what they did beyond their subsets."""
    return {
        frozenset(members): mark
        for members, mark in _marks(verdicts_of(graph, target).filter(pl.col("order") >= 2))
    }


def _marks(rows: pl.DataFrame) -> list[tuple[list[str], Mark]]:
    frozen = dict(rows.filter(is_frozen()).select("claimed", "holds").iter_rows())
    return [
        (
            row["members"],
            Mark(row["predicted"], row["measured"], row["holds"], frozen.get(row["claimed"], True)),
        )
        for row in rows.filter(is_free()).iter_rows(named=True)
    ]


def marked(graph: Graph, target: str, tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Gives an answer's tables with columns `predicted` and `measured` where something in them was tried.

    Both are contributions: what is lost when a node is switched off; for members of a combination, what of
    that is lost only together.
    """
    nodes, sets = measured_nodes(graph, target), measured_sets(graph, target)
    found = dict(tables)
    for name in ("features", "words"):
        found[name] = _with(tables[name], [nodes.get(node) for node in tables[name]["node"]], None)
    if "combinations" in tables:
        table = tables["combinations"]
        marks = [
            sets.get(frozenset(members)) if where == target else None
            for members, where in table.select("members", "where").iter_rows()
        ]
        found["combinations"] = _with(table, marks, table["order"].to_list())
    return found


def captions(tables: Mapping[str, pl.DataFrame], said: Mapping[str, str]) -> dict[str, str]:
    """Gives captions that also tell of the columns of `marked`."""
    more = {"features": NODES_CAPTION, "words": NODES_CAPTION, "combinations": SETS_CAPTION}
    return {
        name: caption + (more[name] if name in more and _is_marked(tables.get(name)) else "")
        for name, caption in said.items()
    }


def failed(graph: Graph, target: str, members: Sequence[str]) -> str:
    """Gives a clause for the sentence that tells of a node or combination, where its claim failed.

    Example:
        >>> failed(graph, "logit:Paris", ["12/4051@7"])  # doctest: +SKIP
        'fails on the model: +0.48 is lost without it, not +5.2'
    """
    if len(members) == 1:
        mark, lost = measured_nodes(graph, target).get(members[0]), "is lost without it"
    else:
        mark, lost = measured_sets(graph, target).get(frozenset(members)), "is only together"
    if mark is None or not mark.fails:
        return ""
    sign = (-1) ** len(members)
    frozen = " even frozen" if not mark.frozen else ""
    measured, predicted = (signed(sign * value) or "0" for value in (mark.measured, mark.predicted))
    return f"fails on the model{frozen}: {measured} {lost}, not {predicted}"


def _is_marked(table: pl.DataFrame | None) -> bool:
    return table is not None and "measured" in table.columns


def _with(table: pl.DataFrame, marks: Sequence[Mark | None], orders: Sequence[int] | None) -> pl.DataFrame:
    """Gives a table with its marks, before what flows over several lines; itself where there are none."""
    if not any(marks):
        return table
    signs = [(-1) ** order for order in orders or [1] * len(marks)]
    pairs = list(zip(marks, signs, strict=True))
    return table.with_columns(
        predicted=pl.Series([None if m is None else s * m.predicted for m, s in pairs], dtype=pl.Float64),
        measured=pl.Series([None if m is None else m.text(s) for m, s in pairs], dtype=pl.String),
    )
