"""Which members act together on what was asked about: the hyperedges that matter, ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.graph import Graph
from circuits.graph.influence import inflow
from circuits.query.answer import LINKS
from circuits.query.subject import Subject
from circuits.query.text import Naming, signed

PREFERRED: Final = ("Co-Moebius", "FSII", "STII", "k-SII", "SII", "CHII", "BII", "Moebius")
"""Of several indices of the same members and target the first of these is shown."""

MATTERS: Final = 0.005
"""Share of the influence on the target below which a combination is not told in a sentence."""

_SAME: Final = ("who", "target", "index", "channel")
"""What shares of one interaction have in common; `who` is its members whatever their order."""

_HEAD: Final = r"^(?:score|odds|head):(\d+\.\d+)"
"""The head in the name of a score or log-odds."""

COLUMNS: Final = pl.Schema(
    {
        "kind": pl.String(),
        "weight": pl.Float64(),
        "interval": pl.String(),
        "effect": pl.Float64(),
        "share": pl.Float64(),
        "combination": pl.String(),
        "via": LINKS,
        "index": pl.String(),
        "members": pl.List(pl.String()),
        "where": pl.String(),
        "order": pl.Int32(),
        "channel": pl.String(),
        "low": pl.Float64(),
        "high": pl.Float64(),
        "estimated": pl.Boolean(),
        "evaluations": pl.Int64(),
        "engine": pl.String(),
        "hyperedge": pl.String(),
    }
)
"""One row a combination. `combination` and `interval` are the text of what the later columns hold exactly."""


def computed(graph: Graph) -> bool:
    """Tells whether interactions were computed, even if none was found."""
    return len(graph.hyperedges) > 0 or bool(graph.meta.get("interactions"))


def ranked(graph: Graph, arriving: Float[np.ndarray, "n"]) -> pl.DataFrame:
    """Gives the hyperedges that bear on the targets, those that move most of them first.

    The share of a hyperedge T → k is::

        share = |weight| / (Σ |incoming weights of k|, constants aside, + truncated) · arriving[k]

    that is, the part of k's input that T's members make up only together, times the part of the
    targets that k makes up. Into an attention score or log-odds, which is no node, it is |weight| over
    the sum of the |weights| of the same head, times what that head carries: Σ |loading| / (what flows
    into k) · arriving[k] over the edges known of it. Where no loadings are known the share is null;
    such rows stand last, by |weight| within their head. Order 1 and the shares of other rows (`via`)
    are left out, and so is what reaches no target; of several indices of the same members and target
    one is kept (`PREFERRED`). Shares of no other row (what runs through one head) stand for themselves.

    Args:
        graph: the graph.
        arriving: of each node, the share of the targets that passes through it, 1 in all at the
            targets themselves.

    Returns:
        The columns of `circuits.schema.HYPEREDGE_SCHEMA` and `share`.
    """
    preference = {index: i for i, index in enumerate(PREFERRED)}
    who = pl.col("members").list.sort().list.join("\n")
    whole = pl.col("via").is_null()
    table = graph.hyperedges.filter((pl.col("order") >= 2) & pl.col("weight").is_not_null())
    table = table.with_columns(who=who).filter(whole | ~whole.any().over(*_SAME))
    reached = arriving / np.maximum(inflow(graph), 1e-300)
    rows = np.array([graph.index.get(target, -1) for target in table["target"].to_list()], dtype=np.int64)
    size = pl.col("weight").abs()
    head = pl.col("target").str.extract(_HEAD)
    table = table.with_columns(
        into_node=pl.Series(np.append(reached, np.nan)[rows], dtype=pl.Float64).fill_nan(None),
        into_head=head.replace_strict(_carried(graph, reached), default=None, return_dtype=pl.Float64),
        within=size / size.sum().over(head),
        preference=pl.col("index").replace_strict(preference, default=len(preference), return_dtype=pl.Int64),
    ).with_columns(share=pl.coalesce(size * pl.col("into_node"), pl.col("within") * pl.col("into_head")))
    table = table.filter(pl.col("share").is_null() | (pl.col("share") > 0))
    once = table.sort("preference", maintain_order=True).unique(
        ["who", "target", "channel", "via"], keep="first", maintain_order=True
    )
    ordered = once.sort("share", "within", descending=True, nulls_last=True, maintain_order=True)
    return ordered.select(*graph.hyperedges.columns, "share")


def _carried(graph: Graph, reached: Float[np.ndarray, "n"]) -> dict[str, float]:
    """Gives, by layer.head, the share of the targets that the edges known of it bring through each head.

    Args:
        graph: the graph; its head loadings tell.
        reached: of each node, the share of the targets per unit of what flows into it.
    """
    found: dict[str, float] = {}
    for target, via, weight in graph.heads.select("target", "via", "weight").iter_rows():
        if target in graph.index:
            head = via.removeprefix("head:")
            found[head] = found.get(head, 0.0) + abs(weight) * float(reached[graph.index[target]])
    return found


def combinations_caption(table: pl.DataFrame) -> str:
    """Gives what the columns of a table of combinations mean, by the indices that occur in it."""
    indices = {
        words: table.filter(channel=channel)["index"].unique(maintain_order=True).to_list()
        for channel, words in _CHANNELS.items()
    }
    held = {words: ", ".join(names) for words, names in indices.items() if names}
    by = "; ".join(f"{names} for {words}" for words, names in held.items())
    by = next(iter(held.values())) if len(set(held.values())) == 1 else by
    heads = " (into an attention score: its part of the head's weights, times what the head carries)"
    scored = heads if table["where"].str.contains(_HEAD).any() else ""
    return (
        "What nodes do together beyond what fewer of them do. weight: the interaction, signed, in the units"
        f" of what it acts on (→){f', by the index {by}' if by else ''}. interval: where the weight lies;"
        " exact if nothing was estimated. effect: all that the members contribute, the rest being on."
        " share: |weight| over all that flows into what it acts on, times the influence of that on the"
        f" target{scored}. via: what the interaction runs through."
    )


_CHANNELS: Final = {"output": "the output", "mlp": "gates", "qk": "attention"}


def combinations_table(subject: Subject, top: int) -> pl.DataFrame:
    """Gives the `top` combinations that move most of the subject: columns of `COLUMNS`."""
    return combinations_told(subject, ranked(subject.graph, subject.influence).head(top))


def combinations_told(subject: Subject, rows: pl.DataFrame) -> pl.DataFrame:
    """Gives some rows of `ranked` as people are shown them: columns of `COLUMNS`."""
    graph, naming = subject.graph, subject.naming
    return pl.DataFrame([_row(graph, naming, row) for row in rows.to_dicts()], schema=COLUMNS)


def mediators(graph: Graph, row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Gives what a hyperedge runs through and the signed part of its weight, the largest first."""
    if row["via"] is not None:
        return [(row["via"], row["weight"])]
    shares = graph.hyperedges.filter(
        pl.col("via").is_not_null(), target=row["target"], index=row["index"], channel=row["channel"]
    )
    wanted = sorted(row["members"])
    mine = [
        (v, w) for m, v, w in shares.select("members", "via", "weight").iter_rows() if sorted(m) == wanted
    ]
    return sorted(mine, key=lambda pair: -abs(pair[1]))


def interval_text(row: Mapping[str, Any]) -> str:
    """Gives the interval of a weight as text, or that there is none to speak of.

    Example:
        >>> interval_text({"low": -0.1, "high": 0.3, "estimated": True})
        '−0.1 to +0.3'
    """
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return "unknown" if row["estimated"] else "exact"
    if low == high:
        return "estimated" if row["estimated"] else "exact"
    ends = signed(low), signed(high)
    return f"{ends[0]} to {ends[1]}" if ends[0] != ends[1] else "exact to 3 digits"


def _row(graph: Graph, naming: Naming, row: dict[str, Any]) -> dict[str, Any]:
    names = " & ".join(naming.terse(member) for member in row["members"])
    weight = row["weight"] or 1.0
    parts = [
        {"node": via, "name": naming.brief(via), "weight": part, "share": part / weight}
        for via, part in mediators(graph, row)
    ]
    kept = {name: row[name] for name in COLUMNS if name in row}
    return kept | {
        "kind": row["gate"] or "undecided",
        "interval": interval_text(row),
        "combination": f"{names} → {naming.terse(row['target'])}",
        "via": parts,
        "where": row["target"],
    }


def nodes_of(graph: Graph, members: Sequence[str]) -> list[str]:
    """Gives the nodes that members stand for: themselves, or all nodes of a concept."""
    concepts = graph.nodes.filter(pl.col("concept").is_in(list(members)))["node"].to_list()
    return [*(member for member in members if member in graph.index), *concepts]
