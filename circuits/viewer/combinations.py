"""Which combinations go into a document, and their table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.query.combinations import ranked
from circuits.query.pairs import WORDS, pair_sums
from circuits.query.text import short
from circuits.schema import PROVISIONAL
from circuits.viewer.focus import Focus, numbers

VIA: Final = 5
"""Mediators told of a combination, at most."""

WIDEST: Final = 48
"""Characters of a member's name, at most."""

_KEY: Final = ("who", "target", "index", "channel")


def chosen(focus: Focus, most: int) -> pl.DataFrame:
    """Gives the combinations that go in, those that move most first.

    Each channel gets an equal part of the places; what one does not fill goes to the others. Single
    members are there only where they are concepts, for what a node does alone is in the node table.

    Returns:
        The columns of `ranked`, and `via_name` and `via_weight`, lists, the largest first.
    """
    graph = focus.graph
    rows = ranked(graph, focus.arriving)
    counts = {str(channel): count for channel, count in rows["channel"].value_counts().iter_rows()}
    places = fair(counts, most)
    within = pl.int_range(pl.len()).over("channel")
    quota = pl.col("channel").replace_strict(places, default=0, return_dtype=pl.Int64)
    kept = rows.filter(within < quota)
    return _with_mediators(graph, pl.concat([kept, _alone(focus, kept)]))


def fair(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Gives how many of each kind are taken: equal parts, what one does not fill going to the others.

    Example:
        >>> fair({"mlp": 900, "output": 20, "qk": 500}, 300)
        {'output': 20, 'qk': 140, 'mlp': 140}
    """
    found, left = {}, most
    for place, name in enumerate(sorted(counts, key=lambda name: (counts[name], name))):
        found[name] = min(counts[name], left // (len(counts) - place))
        left -= found[name]
    return found


def table(focus: Focus, rows: pl.DataFrame) -> dict[str, list[Any]]:
    """Gives the hyperedge table of rows of `chosen`."""
    members = rows["members"].to_list()
    vias = rows.select("via_name", "via_weight").iter_rows()
    return {
        "hyperedge": rows["hyperedge"].to_list(),
        "members": members,
        "text": [_text(focus, who) for who in members],
        "target": rows["target"].to_list(),
        "order": rows["order"].to_list(),
        "index": rows["index"].to_list(),
        **{name: numbers(rows[name]) for name in ("weight", "low", "high", "effect")},
        "gate": rows["gate"].to_list(),
        "channel": rows["channel"].to_list(),
        "estimated": rows["estimated"].fill_null(value=False).to_list(),
        "share": numbers(rows["share"]),
        "via": [[list(part) for part in zip(*via, strict=True)] for via in vias],
    }


def players(graph: Graph, rows: pl.DataFrame) -> dict[str, list[str]]:
    """Gives the nodes of every member that is a concept."""
    members = set(rows["members"].explode().drop_nulls()) - set(graph.index)
    grouped = graph.nodes.filter(pl.col("concept").is_in(list(members)))
    listed = grouped.group_by("concept", maintain_order=True).agg("node")
    return dict(listed.iter_rows())


def matrix(focus: Focus) -> dict[str, Any] | None:
    """Gives the sums over all pairs of the run by the layers of their members, None where there are none."""
    try:
        sums = pair_sums(focus.graph, rows=ranked(focus.graph, focus.arriving))
    except UsageError:
        return None

    def lower(values: np.ndarray) -> list[list[float]]:
        return [row[: place + 1] for place, row in enumerate(values.tolist())]

    return {
        "layers": ["words" if level == WORDS else f"L{level}" for level in sums.levels],
        "up": lower(sums.up),
        "down": lower(sums.down),
        "pairs": lower(sums.pairs),
    }


def together(graph: Graph) -> pl.DataFrame:
    """Gives the combinations proper: rows of two members or more that are not a mediator's share."""
    return graph.hyperedges.filter((pl.col("order") > 1) & pl.col("via").is_null())


def told(graph: Graph, rows: pl.DataFrame) -> list[str]:
    """Gives in sentences which combinations were left out."""
    whole = graph.hyperedges
    if not len(whole):
        return []
    parts = whole["via"].count()
    several = together(graph)
    shown = rows.filter(pl.col("order") > 1)
    said = []
    if len(shown) < len(several):
        by = ", ".join(
            f"{len(shown.filter(channel=name)):,} of {len(several.filter(channel=name)):,} in {words}"
            for name, words in CHANNELS.items()
            if len(several.filter(channel=name))
        )
        said.append(
            f"Of {len(several):,} combinations {len(shown):,} are here, those of the largest share of what"
            f" moves the target, if they move it at all, each channel with its part of the places: {by}."
        )
    if parts:
        said.append(
            f"{parts:,} rows of the run are shares of combinations by what they run through: of each"
            f" combination the {VIA} largest are here."
        )
    single = len(whole.filter((pl.col("order") == 1) & pl.col("via").is_null())) - len(rows.filter(order=1))
    if single:
        said.append(
            f"{single:,} rows about single members are not here: what a node brings alone stands with it."
        )
    return said


CHANNELS: Final[Mapping[str, str]] = {"output": "the output", "mlp": "gates", "qk": "attention"}


def _text(focus: Focus, members: Sequence[str]) -> str:
    """Gives members for people: tested labels and words as they read, all else by name."""
    nodes, index = focus.graph.nodes, focus.graph.index
    said = []
    for member in members:
        label = nodes["label"][index[member]] if member in index else None
        tested = label is not None and not str(label).startswith(PROVISIONAL)
        said.append(short(str(label) if tested else focus.naming.brief(member), WIDEST))
    if len(set(said)) < len(said):  # several of one label
        said = [focus.naming.brief(member) for member in members]
    return " × ".join(said)


def _alone(focus: Focus, kept: pl.DataFrame) -> pl.DataFrame:
    """Gives what concepts among the members do alone to the same targets, as rows like these."""
    graph = focus.graph
    members = pl.Series(
        sorted(set(kept["members"].explode().drop_nulls()) - set(graph.index)), dtype=pl.String
    )
    single = (pl.col("order") == 1) & pl.col("via").is_null()
    rows = graph.hyperedges.filter(
        single
        & pl.col("members").list.first().is_in(members.implode())
        & pl.col("target").is_in(kept["target"].unique().implode())
    ).join(kept.select("target", "index", "channel").unique(), on=["target", "index", "channel"], how="semi")
    reached = focus.arriving / np.maximum(focus.inflow, 1e-300)
    at = [graph.index.get(name, -1) for name in rows["target"]]
    part = pl.Series(np.append(reached, np.nan)[np.array(at, np.int64)], dtype=pl.Float64).fill_nan(None)
    return rows.with_columns(share=pl.col("weight").abs() * part).select(kept.columns)


def _with_mediators(graph: Graph, rows: pl.DataFrame) -> pl.DataFrame:
    """Gives the rows with what each runs through: names and signed parts of its weight."""
    who = pl.col("members").list.sort().list.join("\n")
    keyed = rows.with_columns(who=who, own=pl.col("via").is_not_null())
    shares = graph.hyperedges.filter(pl.col("via").is_not_null()).with_columns(who=who)
    shares = shares.join(keyed.filter(~pl.col("own")).select(_KEY).unique(), on=_KEY, how="semi")
    best = shares.sort(pl.col("weight").abs(), descending=True, nulls_last=True, maintain_order=True)
    parts = best.group_by(_KEY, maintain_order=True).agg(
        via_name=pl.col("via").head(VIA), via_weight=pl.col("weight").head(VIA)
    )
    joined = keyed.join(parts, on=_KEY, how="left", maintain_order="left")
    return joined.with_columns(
        via_name=pl.when("own").then(pl.concat_list("via")).otherwise(pl.col("via_name").fill_null([])),
        via_weight=pl.when("own")
        .then(pl.concat_list("weight"))
        .otherwise(pl.col("via_weight").fill_null([])),
    ).drop("who", "own")


def names_in(graph: Graph, rows: pl.DataFrame, players_: Mapping[str, Sequence[str]]) -> set[str]:
    """Gives the nodes that the rows name: members, players' strongest nodes, targets, mediators."""
    named = {
        *rows["members"].explode().drop_nulls(),
        *rows["target"],
        *rows["via_name"].explode().drop_nulls(),
    }
    return {name for name in named if name in graph.index} | {n for part in players_.values() for n in part}
