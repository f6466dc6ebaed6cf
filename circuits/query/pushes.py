"""Which features push one output, which another, and which both: what a difference of two is made of."""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.graph import Graph
from circuits.graph.influence import of_kind
from circuits.query.text import Naming, listing, signed

CAPTION = (
    "Features by the outputs they push up, by the sign of their direct effects, and what they bring to each"
    " together. What both get alike drops out of the difference."
)

SCHEMA = pl.Schema(
    {
        "pushes": pl.String(),
        "features": pl.Int64(),
        "for the first": pl.Float64(),
        "for the second": pl.Float64(),
        "change": pl.Float64(),
        "strongest": pl.String(),
    }
)


def pushes_table(graph: Graph, one: str, two: str) -> pl.DataFrame:
    """Gives the features that push only the one output, only the other, and both; columns of `SCHEMA`.

    Args:
        graph: a graph that holds both outputs.
        one: a node of it.
        two: another.
    """
    names = Naming.of(graph)
    first, second = (_direct(graph, node) for node in (one, two))
    feature = of_kind(graph, "feature")
    up, up_there = feature & (first > 0), feature & (second > 0)
    rows = []
    for words, mine, size in (
        (f"only {names.output(one)}", up & ~up_there, first - second),
        (f"only {names.output(two)}", up_there & ~up, second - first),
        ("both", up & up_there, np.minimum(first, second)),
    ):
        best = np.flatnonzero(mine)[np.argsort(-size[mine], kind="stable")][:2]
        strongest = listing(names.phrase(graph.nodes["node"][int(row)]) for row in best)
        sums = float(first[mine].sum()), float(second[mine].sum())
        rows.append((words, int(mine.sum()), *sums, sums[0] - sums[1], strongest))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def pushes_sentences(table: pl.DataFrame, outputs: tuple[str, str]) -> tuple[str, ...]:
    """Gives a table of pushes in sentences.

    Args:
        table: from `pushes_table`.
        outputs: the two outputs in words.
    """
    found = []
    for row in table.to_dicts():
        if row["features"]:
            counted = "1 feature pushes" if row["features"] == 1 else f"{row['features']:,} features push"
            brings = "it brings" if row["features"] == 1 else "together they bring"
            sums = [signed(row[name]) or "0" for name in ("for the first", "for the second")]
            found.append(
                f"{counted} {row['pushes']} directly, most of all {row['strongest']}; {brings} {sums[0]} to"
                f" {outputs[0]} and {sums[1]} to {outputs[1]}."
            )
    return tuple(found)


def _direct(graph: Graph, node: str) -> Float[np.ndarray, "n"]:
    return np.asarray(graph.matrix[[graph.row(node)]].toarray()[0], np.float64)
