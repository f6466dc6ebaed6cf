"""Which combinations appear, vanish or change between two graphs, beyond what their intervals allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from circuits.graph.graph import Graph
from circuits.query.combinations import PREFERRED, computed, interval_text
from circuits.query.contrast_asked import Asked
from circuits.query.contrast_pair import BOTH, ONLY_HERE, ONLY_THERE, Pair
from circuits.query.contrast_tables import ROUNDING, share_of
from circuits.query.totals import Totals

NOT_COMPARED: Final = "not compared"
"""What only one run computed, or kept: no finding."""

BY: Final = ("who", "target", "index", "channel")
_VALUES: Final = ("weight", "low", "high", "gate", "estimated", "order")

SCHEMA: Final = pl.Schema(
    {
        "how": pl.String(),
        "kind": pl.String(),
        "weight_here": pl.Float64(),
        "weight_there": pl.Float64(),
        "interval": pl.String(),
        "change": pl.Float64(),
        "share": pl.Float64(),
        "combination": pl.String(),
        "index": pl.String(),
        "members": pl.List(pl.String()),
        "where": pl.String(),
        "order": pl.Int32(),
        "channel": pl.String(),
    }
)
"""One row a combination; names are those at the positions of the first prompt."""


def combinations_known(pair: Pair) -> tuple[bool, bool]:
    """Tells of either graph whether interactions were computed."""
    first, second = (computed(graph) for graph in pair.graphs())
    return first, second


def contrast_combinations(pair: Pair, asked: Asked, top: int) -> pl.DataFrame:
    """Gives the combinations that differ, those that bear most on the target first.

    A hyperedge of the one graph is that of the other if its members, mapped through the alignment, its
    target, index and channel are the same. What its change makes of the difference is that of its weight
    times what one unit of the gate it acts on brings (`Totals.gain`, the mean of both graphs); into an
    attention score, which is no node, that is unknown and the change is null. Of two outputs of one graph
    what the same weight brings to the one and the other differs. Nothing is told where the
    intervals overlap and the kind is the same; where one run did not compute or keep what the other did,
    `how` says so and there is no change.

    Args:
        pair: the two graphs.
        asked: what is compared.
        top: rows given.
    """
    one, two = (_rows(pair, side) for side in (0, 1))
    if not len(one) and not len(two):
        return pl.DataFrame(schema=SCHEMA)
    both = one.join(two, on=list(BY), how="full", suffix="_2", coalesce=True, maintain_order="left_right")
    both = both.with_columns(
        moved=pl.col("weight").fill_null(0) - pl.col("weight_2").fill_null(0),
        gain_1="gain",
        gain=(pl.coalesce("gain", "gain_2") + pl.coalesce("gain_2", "gain")) / 2,
        node=pl.coalesce("node", "node_2"),
    )
    if asked.same_graph:  # the combinations are the same; what they bring to the one and the other is not
        other = pl.col("weight_2").fill_null(0) * pl.col("gain_2").fill_null(0)
        both = both.with_columns(change=pl.col("weight").fill_null(0) * pl.col("gain_1").fill_null(0) - other)
        both = both.filter(pl.col("change").abs() > ROUNDING * pair.scale)
    else:
        both = both.with_columns(change=pl.col("moved") * pl.col("gain")).filter(~_alike())
    both = both.sort(
        pl.col("node").not_(), pl.col("change").abs(), pl.col("moved").abs(), descending=[False, True, True]
    )
    found = [_row(pair, asked, row) for row in both.head(8 * top).to_dicts()]
    kept = [row for row in found if row["how"] != NOT_COMPARED]
    return pl.DataFrame((kept or found)[:top], schema=SCHEMA)


def _rows(pair: Pair, side: int) -> pl.DataFrame:
    """Gives the whole interactions of one graph, at the places of the first prompt, each once."""
    totals: Totals = (pair.one, pair.two)[side]
    table = totals.graph.hyperedges.filter(
        pl.col("order") >= 2, pl.col("weight").is_not_null(), pl.col("via").is_null()
    )
    name = pair.alignment.renamed if side else str
    asked_about = totals.subject.node
    target = [pair.one.subject.node if t == asked_about else name(t) for t in table["target"]]
    who = ["\n".join(sorted(map(name, members))) for members in table["members"]]
    rows = [totals.graph.index.get(t, -1) for t in table["target"]]
    gain = np.append(totals.gain, 0.0)[rows] if rows else np.zeros(0)
    preference = {index: i for i, index in enumerate(PREFERRED)}
    found = table.select(
        pl.Series("who", who, dtype=pl.String),
        pl.Series("target", target, dtype=pl.String),
        "index",
        "channel",
        *_VALUES,
        gain=pl.Series(gain, dtype=pl.Float64),
        node=pl.Series([row >= 0 for row in rows], dtype=pl.Boolean),
        rank=pl.col("index").replace_strict(preference, default=99, return_dtype=pl.Int64),
    )
    found = found.filter(~pl.col("node") | (pl.col("gain") != 0))
    best = found.sort("rank", maintain_order=True)
    return best.unique(["who", "target", "channel"], keep="first", maintain_order=True)


def _alike() -> pl.Expr:
    """Tells which rows are no difference: intervals overlap, kinds agree."""
    slack = ROUNDING * pl.max_horizontal(pl.lit(1.0), pl.col("weight").abs())
    low, high = (pl.coalesce(name, "weight") for name in ("low", "high"))
    low_2, high_2 = (pl.coalesce(f"{name}_2", "weight_2") for name in ("low", "high"))
    overlap = (low - slack <= high_2) & (low_2 - slack <= high)
    return (overlap & pl.col("gate").eq_missing(pl.col("gate_2"))).fill_null(value=False)


def _row(pair: Pair, asked: Asked, row: dict[str, Any]) -> dict[str, Any]:
    members = row["who"].split("\n")
    how = _how(pair, row, members)
    kinds = [
        str(row[name] or "undecided") for name in ("gate", "gate_2") if row[f"weight{name[4:]}"] is not None
    ]
    change = float(row["change"]) if row["node"] and how != NOT_COMPARED else None
    side = 1 if how == ONLY_THERE else 0
    names = " & ".join(pair.terse(member, side) for member in members)
    return {
        "how": how,
        "kind": " vs ".join(dict.fromkeys(kinds)),
        "weight_here": row["weight"],
        "weight_there": row["weight_2"],
        "interval": _intervals(row),
        "change": change,
        "share": None if change is None else share_of(pair, asked, change),
        "combination": f"{names} → {pair.terse(row['target'], side)}",
        "index": row["index"],
        "members": members,
        "where": row["target"],
        "order": row["order"] or row["order_2"],
        "channel": row["channel"],
    }


def _how(pair: Pair, row: Mapping[str, Any], members: list[str]) -> str:
    """Gives whether a combination is in both graphs or only in one, or that this cannot be told.

    It is only in one if, in the other, what it acts on or a member is off. Were all of them on, the other
    run either did not ask (other players, another channel) or found too little to keep.
    """
    here, there = row["weight"] is not None, row["weight_2"] is not None
    if here and there:
        return BOTH
    lacking = 1 if here else 0
    graph = pair.graphs()[lacking]
    if not computed(graph) or not _channel(graph, row):
        return NOT_COMPARED
    on = pair.on[lacking]
    named = [name for name in (*members, row["target"]) if name in pair.place_of]
    if all(on[pair.place_of[name]] for name in named):
        return NOT_COMPARED
    return ONLY_HERE if here else ONLY_THERE


def _channel(graph: Graph, row: Mapping[str, Any]) -> bool:
    """Tells whether a graph has interactions of a row's channel by its index."""
    return bool(len(graph.hyperedges.filter(channel=row["channel"], index=row["index"])))


def _intervals(row: Mapping[str, Any]) -> str:
    """Gives whether the weights are exact, or else their intervals."""
    texts = [
        interval_text({name: row[f"{name}{end}"] for name in ("low", "high", "estimated")})
        for end in ("", "_2")
        if row[f"weight{end}"] is not None
    ]
    return " vs ".join(dict.fromkeys(texts))
