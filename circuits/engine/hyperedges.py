"""Hyperedge tables: made from columns, named, sorted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from circuits.schema import HYPEREDGE_SCHEMA

CHANNELS: Final = ("output", "mlp", "qk")
"""The order in which channels stand in a table."""

_DEFAULTS: Final[Mapping[str, Any]] = {
    "hyperedge": "",
    "low": pl.col("weight"),  # exact unless told otherwise
    "high": pl.col("weight"),
    "effect": None,
    "gate": "other",
    "via": None,
    "estimated": False,
    "evaluations": 0,
}


def hyperedge_table(columns: Mapping[str, Sequence[Any] | Any]) -> pl.DataFrame:
    """Gives a table of `circuits.schema.HYPEREDGE_SCHEMA` from columns.

    Args:
        columns: by name, a sequence or one value for all rows. `members`, `target`, `index`, `weight`,
            `channel` and `engine` are needed; `order` follows from the members, the others have
            defaults: exact, no known effect, through nothing in particular, no evaluations.
    """
    lists = {n: pl.Series(n, v, HYPEREDGE_SCHEMA[n]) for n, v in columns.items() if not _single(v)}
    frame = pl.DataFrame(lists)
    singles = {n: pl.lit(v) for n, v in columns.items() if _single(v)}
    frame = frame.with_columns(**singles)
    if "order" not in frame.columns:
        frame = frame.with_columns(order=pl.col("members").list.len())
    missing = {
        n: v if isinstance(v, pl.Expr) else pl.lit(v) for n, v in _DEFAULTS.items() if n not in columns
    }
    return frame.with_columns(**missing).select(*HYPEREDGE_SCHEMA).cast(HYPEREDGE_SCHEMA)


def named(frame: pl.DataFrame) -> pl.DataFrame:
    """Gives the table by channel and order, the strongest first, numbered h1, h2 and so on."""
    rank = pl.col("channel").replace_strict({c: i for i, c in enumerate(CHANNELS)}, default=len(CHANNELS))
    ordered = frame.sort(
        rank, "order", pl.col("weight").abs(), descending=[False, False, True], maintain_order=True
    )
    return ordered.with_columns(hyperedge=pl.format("h{}", pl.int_range(1, pl.len() + 1)))


def _single(value: Any) -> bool:
    return isinstance(value, str) or not (isinstance(value, Sequence | pl.Series) or hasattr(value, "shape"))
