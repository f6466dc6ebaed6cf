"""An answer about what is unexplained in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from circuits.query.orders import OTHERS, REMAINDER
from circuits.query.subject import Subject
from circuits.query.text import listing, percent, signed

CAPTIONS: Final[Mapping[str, str]] = {
    "ends": "Where influence comes from when it is followed back as far as the graph goes; the shares add up"
    " to 100%.",
    "sources": "Where most of it stops. why: errors, what the features of a layer leave of it at a position;"
    " not opened up, a feature whose own inputs were not computed; small edges, inputs of this node that were"
    " not kept. weight: what it adds to the target directly. path: the strongest way from there.",
    "layers": "What stops in each layer (small edges: into the nodes there).",
    "positions": "What stops at each position.",
    "orders": "What sets of one, two and three players make up together; remainder: higher orders, what was"
    " not kept, and what the estimate misses.",
}

MATTERS: Final = 0.05
"""Share from which something is advised."""


def sentences(subject: Subject, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    said = [
        _whole(subject, tables["ends"]),
        _where(tables["layers"], tables["positions"]),
        _largest(subject, tables["sources"]),
        _orders(tables.get("orders")),
        _advice(tables["ends"]),
    ]
    return tuple(sentence for sentence in said if sentence)


_ENDS: Final = {
    "dictionary errors": "stops at dictionary errors",
    "features not opened up": "at features that were not opened up",
    "edges too small to keep": "in edges too small to keep",
}


def _whole(subject: Subject, ends: pl.DataFrame) -> str:
    share = dict(ends.iter_rows())
    lost = {end: share[end] for end in _ENDS if share.get(end, 0) > 0}
    total = sum(lost.values())
    name = subject.words()
    if total < 1e-9:
        return f"Nothing of {name} is unexplained: all of its influence is traced back to the prompt."
    listed = listing(f"{percent(value)} {_ENDS[end]}" for end, value in lost.items())
    return f"{percent(total)} of the influence on {name} is traced to no word of the prompt: {listed}."


def _where(layers: pl.DataFrame, positions: pl.DataFrame) -> str:
    known = layers.filter(pl.col("layer").is_not_null()).sort("share", descending=True)
    places = positions.filter(pl.col("pos").is_not_null()).sort("share", descending=True)
    parts = []
    if len(known):
        few = known.head(3)
        listed = listing(f"{row['layer']} ({percent(row['share'])})" for row in few.iter_rows(named=True))
        parts.append(f"in layer{'' if len(few) == 1 else 's'} {listed}")
    if len(places):
        few = places.head(3)
        listed = listing(f"{row['token']} ({percent(row['share'])})" for row in few.iter_rows(named=True))
        parts.append(f"at {listed}")
    return f"Most of that is {', by position '.join(parts)}." if parts else ""


def _largest(subject: Subject, sources: pl.DataFrame) -> str:
    if not len(sources):
        return ""
    row = sources.row(0, named=True)
    what = subject.naming.phrase(row["node"])
    if row["why"] == "small edges":
        return f"The largest single part is in the small inputs of {what}: {percent(row['share'])}."
    direct = f", {signed(row['weight'])} directly" if row["weight"] else ""
    return (
        f"The largest single part is {what}: {percent(row['share'])}{direct}; it acts most by {row['path']}."
    )


def _orders(orders: pl.DataFrame | None) -> str:
    if orders is None:
        return ""
    parts = dict(orders.iter_rows())
    listed = listing(f"{signed(v) or '0'} {k}" for k, v in parts.items() if k not in (REMAINDER, OTHERS))
    last = next(k for k in parts if k in (REMAINDER, OTHERS))
    left = parts[last] if abs(parts[last]) > 1e-9 * max(map(abs, parts.values())) else 0.0
    what = "higher orders and what was not kept" if last == REMAINDER else last
    rest = f"{signed(left) or '0'} is left ({what})"
    return f"Of what acts together, the run holds {listed}; {rest}."


def _advice(ends: pl.DataFrame) -> str:
    share = dict(ends.iter_rows())
    said = []
    if share.get("dictionary errors", 0) >= MATTERS:
        said.append(
            "more features (--max-features, --select) or another dictionary would leave less to errors"
        )
    if share.get("features not opened up", 0) >= MATTERS:
        said.append("a larger --max-features would open more features up")
    if share.get("edges too small to keep", 0) >= MATTERS:
        said.append("a smaller --tolerance would keep more edges")
    if not said:
        return ""
    return f"What could be done: {'; '.join(said)}."
