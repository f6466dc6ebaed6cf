"""Interactions and head loadings when several nodes become one: what is summed, what is set aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from circuits.schema import HEAD_SCHEMA, HYPEREDGE_SCHEMA

MOEBIUS: Final = "Moebius"
CO_MOEBIUS: Final = "Co-Moebius"
EXACT: Final = (MOEBIUS, CO_MOEBIUS)
"""Indices whose values for concepts follow from those for nodes."""


@dataclass(frozen=True)
class Merging:
    """What becomes of nodes.

    Attributes:
        into: by node, the node it becomes a part of; others stay.
        scale: by such a node, what its pre-activation is multiplied by in that of the whole.
    """

    into: Mapping[str, str]
    scale: Mapping[str, float]


def merged_hyperedges(table: pl.DataFrame, merging: Merging) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Gives the hyperedges between concepts, and those set aside, which stay as they are.

    Members and targets are replaced by their concepts; weights into a member are scaled as its edges are.
    Those of the same members, target, index, channel and `via` become one: the sum, with the sum of
    the intervals' ends, the worst case. Set aside is what acts on the concept of one of its own members.

    Where several members T fall into one concept each, T' in all, the sum is exactly the interaction
    of the game whose players are the concepts for two indices, all orders being known: ``Moebius`` (the
    plain sum) and ``Co-Moebius`` (each term times (−1)^(|T| − |T'|), since Σ over the non-empty subsets
    of a block of (−1)^(size − 1) is 1 if anything of the block is in the set, else 0). For the others,
    the row is the sum over one member of each concept and says so in `engine`; terms with two members
    of one concept are set aside.

    Args:
        table: columns of `circuits.schema.HYPEREDGE_SCHEMA`.
        merging: which node becomes part of which.
    """
    merged: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    aside: list[int] = []
    for place, row in enumerate(table.iter_rows(named=True)):
        members = tuple(dict.fromkeys(merging.into.get(m, m) for m in row["members"]))
        target = merging.into.get(row["target"], row["target"])
        merges = len(members) < len(row["members"])
        if target in members or (merges and row["index"] not in EXACT):
            aside.append(place)
            continue
        via = merging.into.get(row["via"], row["via"])
        # alternating signs undo what would be counted once for every member
        sign = -1.0 if row["index"] == CO_MOEBIUS and (len(row["members"]) - len(members)) % 2 else 1.0
        factor = sign * merging.scale.get(row["target"], 1.0)
        touched = members != tuple(row["members"]) or target != row["target"] or via != row["via"]
        key = (frozenset(members), target, row["index"], row["channel"], via)
        merged.setdefault(key, []).append(
            _scaled(row, factor) | {"members": list(members), "target": target, "via": via}
            if touched
            else {**row}
        )
    rows = [_sum(group) for group in merged.values()]
    return pl.DataFrame(rows, schema=HYPEREDGE_SCHEMA), table[aside]


def merged_heads(heads: pl.DataFrame, merging: Merging) -> pl.DataFrame:
    """Gives the head loadings of the summed edges: the sums of theirs, scaled as the edges are."""
    if not len(heads):
        return heads
    ends = {
        end: pl.col(end).replace_strict(dict(merging.into), default=pl.col(end), return_dtype=pl.String)
        for end in ("source", "target")
    }
    scale = pl.col("target").replace_strict(dict(merging.scale), default=1.0, return_dtype=pl.Float64)
    moved = heads.with_columns(weight=pl.col("weight") * scale, **ends).filter(
        pl.col("source") != pl.col("target")
    )
    by = [name for name in HEAD_SCHEMA if name != "weight"]
    return moved.group_by(by, maintain_order=True).agg(pl.col("weight").sum()).select(*HEAD_SCHEMA)


def _scaled(row: Mapping[str, Any], factor: float) -> dict[str, Any]:
    """Gives a row with its weight, interval and effect multiplied."""
    low, high = row["low"], row["high"]
    if factor < 0:
        low, high = high, low
    changed = {"weight": row["weight"], "low": low, "high": high, "effect": row["effect"]}
    return {**row, **{name: None if v is None else factor * v for name, v in changed.items()}}


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    if len(rows) == 1:
        return {**first, "order": len(first["members"])}

    def total(name: str) -> float | None:
        values = [row[name] for row in rows]
        return None if any(value is None for value in values) else sum(values)

    engines = "; ".join(dict.fromkeys(row["engine"] for row in rows if row["engine"]))
    return {
        **first,
        "hyperedge": f"{first['hyperedge']}+{len(rows) - 1}",
        "order": len(first["members"]),
        **{name: total(name) for name in ("weight", "low", "high")},
        "effect": None,
        "gate": None,
        "engine": f"{engines}; sum of {len(rows)}".removeprefix("; "),
        "estimated": any(row["estimated"] for row in rows),
        "evaluations": max((row["evaluations"] or 0 for row in rows), default=0),
    }
