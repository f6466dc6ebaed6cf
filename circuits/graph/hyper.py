"""Hyperedges of a graph that was cut or added to: what stays, what follows."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA


def with_hyperedges(part: Graph, whole: Graph) -> Graph:
    """Gives a part of a graph with the hyperedges and head loadings of the whole that name no node cut off.

    Members, targets and `via` may also be no nodes (concepts, attention scores, heads): those stay.

    Args:
        part: a graph of some of the nodes.
        whole: the graph it was cut from.
    """
    names = whole.nodes["node"]
    lost = names.filter(~names.is_in(part.nodes["node"].implode())).implode()
    ends = pl.col("source").is_in(lost) | pl.col("target").is_in(lost)
    part = replace(part, heads=whole.heads.filter(~ends), verdicts=whole.verdicts)
    if not len(whole.hyperedges):
        return part
    cut = (
        pl.col("members").list.eval(pl.element().is_in(lost)).list.any()
        | pl.col("target").is_in(lost)
        | pl.col("via").is_in(lost).fill_null(value=False)
    )
    return replace(part, hyperedges=whole.hyperedges.filter(~cut))


def minus(hyperedges: pl.DataFrame, one: str, other: str, name: str) -> pl.DataFrame:
    """Gives the interactions in the difference of two targets, where they are known of both.

    An interaction is linear in the worth, so that of `one` − `other` is the difference of the two;
    intervals and error bounds add up, which is the worst case. The kind of gate does not follow from
    the two kinds: it is null. Ids are joined by a minus sign.

    Args:
        hyperedges: the table.
        one: a target.
        other: another target, of the same members, index, channel and `via`.
        name: the target of the rows given.
    """
    keyed = hyperedges.with_columns(
        who=pl.col("members").list.sort().list.join("\n"), share=pl.col("via").fill_null("")
    )
    by = ["who", "index", "channel", "share"]
    pairs = keyed.filter(target=one).join(keyed.filter(target=other), on=by, suffix="_2")
    ids = pl.format("{}−{}", "hyperedge", "hyperedge_2")
    engines = pl.concat_list("engine", "engine_2").list.drop_nulls().list.unique(maintain_order=True)
    return pairs.with_columns(
        hyperedge=ids,
        target=pl.lit(name),
        weight=pl.col("weight") - pl.col("weight_2"),
        low=pl.col("low") - pl.col("high_2"),
        high=pl.col("high") - pl.col("low_2"),
        effect=pl.col("effect") - pl.col("effect_2"),
        gate=pl.lit(None, pl.String),
        engine=engines.list.join("; "),
        estimated=pl.col("estimated") | pl.col("estimated_2"),
        evaluations=pl.max_horizontal("evaluations", "evaluations_2"),
    ).select(*HYPEREDGE_SCHEMA)
