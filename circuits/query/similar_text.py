"""An answer about likeness in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from circuits.query.text import Naming, listing, percent

if TYPE_CHECKING:
    from circuits.query.similar import Pair

CAPTIONS: Final[Mapping[str, str]] = {
    "alike": "The features most like it. reads and writes: the cosine of what flows into the two, and of what"
    " they add to others, −1 to 1 (blank where one has none). alike: the mean of these.",
    "shares": "Σ min / Σ max over all nodes, and over all edges: 100% for equal graphs. shared: how many are"
    " in both.",
    "common": "What carries both. influence: the share of the first target's influence through the node; in"
    " the other: the same of the other graph's target.",
    "apart": "Where they differ most, of the first graph's nodes.",
}

CLOSE: Final = 0.9
"""Likeness from which two features are called nearly the same here."""


def node_sentences(
    pair: Pair, phrase: str, table: pl.DataFrame, twins: Sequence[tuple[str, float]]
) -> tuple[str, ...]:
    """Gives the finding on one feature: every number in it stands in the table."""
    naming = Naming.of(pair.other)
    upper = f"{phrase[:1].upper()}{phrase[1:]}"
    if not len(table):
        return (f"{upper} has no other feature to be like.",)
    best = table.row(0, named=True)
    near = "is nearly the same by what it reads and writes as" if best["alike"] >= CLOSE else "is most like"
    said = [f"{upper} {near} {naming.phrase(best['node'])} ({percent(best['alike'])} alike: {_parts(best)})."]
    if pair.other is not pair.graph:
        if twins:
            node, alike = twins[0]
            said.append(
                f"The same feature is there at {len(twins)} positions; {node} is {percent(alike)} like it."
            )
        else:
            said.append("The same feature is at no position of the other graph.")
    elif len(twins):
        listed = listing(f"{node} ({percent(alike)})" for node, alike in twins[:3])
        said.append(f"The same feature at other positions: {listed}.")
    return tuple(said)


def _parts(row: Mapping[str, Any]) -> str:
    parts = [f"{name} {percent(row[name])}" for name in ("reads", "writes") if row[name] is not None]
    return listing(parts)


def graph_sentences(
    pair: Pair, shares: pl.DataFrame, common: pl.DataFrame, apart: pl.DataFrame
) -> tuple[str, ...]:
    """Gives the finding on two graphs: every number in it stands in one of the tables."""
    nodes, edges = shares["share"].to_list()
    many = shares["shared"].to_list()
    said = [
        f"The two graphs are {percent(nodes)} alike by their nodes' influence, {percent(edges)} by their",
        f"edges' flow: they share {many[0]:,} nodes, and {many[1]:,} edges carry something in both.",
    ]
    found = [" ".join(said)]
    if len(common):
        found.append(f"What carries both most is {_three(pair, common, ', ')}.")
    if len(apart) and nodes < 1:
        found.append(f"They differ most in {_three(pair, apart, ' against ')}.")
    return tuple(found)


def _three(pair: Pair, table: pl.DataFrame, between: str) -> str:
    phrase = Naming.of(pair.graph).phrase
    rows = table.head(3).select("node", "influence", "in the other").iter_rows()
    return listing(f"{phrase(node)} ({percent(one)}{between}{percent(two)})" for node, one, two in rows)
