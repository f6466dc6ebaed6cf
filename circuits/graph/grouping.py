"""Nodes grouped without being told how: by what they stand for and where, at once and from labels alone.

`circuits.group` looks at what features read and write instead, and says how well its groups hold.

One group for every tested label at every position (``cities in states at Dallas``), and one for the
token and all features without a tested label at a position (``Dallas``). Provisional labels, which
list the tokens a feature promotes, are nearly all different, so they do not group. The groups with the
largest summed influence are kept; influence summed over nodes of one chain counts what flows through
twice, so it ranks groups and measures nothing.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

import polars as pl

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.graph.specs import PLACED, tokens
from circuits.schema import PROVISIONAL

AUTO: Final = "auto"
GROUPS: Final = 12
"""Groups that ``auto`` gives: few enough that every coalition of them can be evaluated."""


def automatic(
    graph: Graph, text: str, taken: AbstractSet[str] = frozenset()
) -> list[tuple[str, tuple[str, ...]]]:
    """Gives the groups that ``auto`` or ``auto:N`` means, the most influential first: names and nodes.

    Args:
        graph: any graph; unscored ones rank groups by number of nodes.
        text: ``auto`` or ``auto:N``, N the number of groups.
        taken: nodes that already belong elsewhere; targets are never grouped.

    Raises:
        UsageError: N is no number of groups.
        NotFound: no node is left to group.
    """
    most = _most(text)
    outside = set(taken) | set(graph.targets)
    table = graph.nodes.filter(pl.col("kind").is_in(PLACED) & ~pl.col("node").is_in(list(outside)))
    table = table.filter(pl.col("influence").is_null() | (pl.col("influence") > 0))
    if not len(table):
        raise NotFound("No token or feature is left to group: all have no influence or a concept already.")
    label = pl.col("label")
    tested = (pl.col("kind") == "feature") & ~label.str.starts_with(PROVISIONAL)
    grouped = (
        table.with_columns(means=pl.when(tested).then(label))
        .group_by("pos", "means", maintain_order=True)
        .agg("node", size=pl.col("influence").fill_null(1.0).sum())
        .sort("size", descending=True, maintain_order=True)
        .head(most)
    )
    words = tokens(graph)
    return [
        (_name(words, pos, means), tuple(nodes))
        for pos, means, nodes in grouped.select("pos", "means", "node").iter_rows()
    ]


def _most(text: str) -> int:
    _, colon, number = text.partition(":")
    if not colon:
        return GROUPS
    if not number.strip().isdigit() or int(number) < 2:
        raise UsageError(f"{text!r}: write {AUTO} or {AUTO}:N, N being at least 2 groups.")
    return int(number)


def _name(words: tuple[str, ...], pos: int | None, means: str | None) -> str:
    if pos is None:
        return means or "everywhere"
    bare = [word.strip() for word in words]
    place = f"position {pos}"
    if pos < len(bare) and bare[pos]:
        place = bare[pos] + (f"@{pos}" if bare.count(bare[pos]) > 1 else "")
    return f"{means} at {place}" if means else place
