"""Which pairs, triples or larger sets drive an output, and as which gate."""

from __future__ import annotations

import shlex

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.ask.code import same
from circuits.query.ask.questions import Combinations
from circuits.query.combination_text import combination_sentences
from circuits.query.combinations import (
    combinations_caption,
    combinations_told,
    computed,
    nodes_of,
    ranked,
)
from circuits.query.subject import Subject, induced
from circuits.query.text import listing, percent

_WHICH = {2: "pairs", 3: "triples", None: "combinations"}


def combinations(graph: Graph, asked: Combinations) -> Answer:
    """Gives the combinations of one size, or kind, that move most of a target.

    Raises:
        NotFound: no such target.
        UsageError: the run holds no interactions: how to compute them is said.
    """
    if not computed(graph):
        run = shlex.quote(str(graph.meta.get("run") or "RUN"))
        raise UsageError(
            "This run holds no interactions, so nothing is known of what acts only together:"
            f" circuits interact {run} computes them."
        )
    subject = Subject.of(graph, asked.target)
    everything = ranked(subject.graph, subject.influence)
    everything = everything.with_columns(kind=pl.col("gate").fill_null("undecided"))
    table = everything
    if asked.order is not None:
        table = table.filter(order=asked.order)
    if asked.kind is not None:
        table = table.filter(kind=asked.kind)
    shown = combinations_told(subject, table.head(asked.top))
    which = _WHICH[asked.order] + (f" of kind {asked.kind}" if asked.kind else "")
    names = {subject.node}
    for members, where in shown.select("members", "where").iter_rows():
        names |= set(nodes_of(graph, [*members, where]))
    return Answer(
        question=f"Which {which} drive {subject.words()}?",
        finding=(*_counts(subject, everything, table, which, asked.top), *_told(subject, shown)),
        tables={"combinations": shown, "kinds": _kinds(table)},
        highlight=induced(
            subject.graph, np.array([graph.index[name] for name in names if name in graph.index])
        ),
        code=same(graph, asked),
        captions={
            "combinations": combinations_caption(shown),
            "kinds": "How many of each kind: and (only jointly), or (either does),"
            " inhibit (one holds back the other), xor, additive (each adds its own).",
        },
        meta={"query": "combinations", "asked": {"question": asked.text()}, "target": subject.node},
    )


def _told(subject: Subject, shown: pl.DataFrame) -> tuple[str, ...]:
    return combination_sentences(subject, shown) if len(shown) else ()


def _counts(
    subject: Subject, everything: pl.DataFrame, table: pl.DataFrame, which: str, top: int
) -> tuple[str, ...]:
    if not len(table):
        held = listing(
            f"{count:,} of order {order}"
            for order, count in everything.group_by("order").len().sort("order").iter_rows()
        )
        return (
            f"No {which} that bear on {subject.words()} are in this run; it holds {held or 'no others'}.",
        )
    share = float(table["share"].sum())
    first = f"{len(table):,} {which} bear on {subject.words()}"
    if share > 0:
        part = float(table.head(top)["share"].sum())
        first += (
            f"; the first {min(top, len(table))} make up {percent(part / share)} of what all of them move"
        )
    kinds = _kinds(table)
    said = listing(f"{count:,} {kind}" for kind, count in kinds.iter_rows())
    return f"{first}.", f"By kind: {said}."


def _kinds(table: pl.DataFrame) -> pl.DataFrame:
    """Gives how many combinations there are of each kind."""
    return table["kind"].value_counts(sort=True).with_columns(pl.col("count").cast(pl.Int64))
