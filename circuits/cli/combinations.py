"""What `circuits interact` found, for the terminal and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.text import Text

from circuits.cli.console import commands, duration, facts, heading, stack

if TYPE_CHECKING:
    import polars as pl

    from circuits.cli.combine import Combined
    from circuits.graph.graph import Graph

SHOWN: Final = 5
"""Combinations shown of each channel, at most."""

WHERE: Final[Mapping[str, str]] = {
    "output": "towards the output",
    "mlp": "inside features",
    "qk": "in attention scores",
}


def summary(graph: Graph, path: Path, found: Combined) -> Group:
    """Gives the result for people: the strongest combinations, how many there are, what was left out."""
    where, name = shlex.quote(str(path)), shlex.quote(path.name)
    count = graph.hyperedges["via"].is_null().sum()
    following = [
        (f"circuits why {where}", "the answer in words"),
        (f"circuits plot {where} --kind upset -o {name}.svg", "combinations as a picture"),
        (f"circuits report {where} -o {name}.html", "a page to send on"),
    ]
    tested = [Text(str(test)) for test in found.tests]
    counts = _counts(graph, found)
    return stack(
        heading(f"{path} holds {count:,} combinations."),
        *tested,
        *(_strongest(graph, channel) for channel in WHERE),
        Group(heading("How they were found"), facts(counts)) if counts else None,
        Group(heading("Next"), commands(following)),
    )


def document(graph: Graph, path: Path, found: Combined) -> dict[str, Any]:
    """Gives the result for --json."""
    told = graph.meta.get("interactions") or {}
    return {
        "run": str(path),
        "hyperedges": len(graph.hyperedges),
        "found": {channel: entry["found"] for channel, entry in told.items()},
        "skipped": dict(found.skipped),
        "strongest": {channel: strongest(graph, channel).to_dicts() for channel in WHERE},
        "concept_tests": list(graph.meta.get("concept_tests") or ()),
        "flops": {channel: entry["flops"] for channel, entry in told.items()},
        "seconds": (graph.meta.get("interact") or {}).get("seconds"),
    }


def strongest(graph: Graph, channel: str, count: int = SHOWN) -> pl.DataFrame:
    """Gives the rows of a channel's largest interactions, shares of others left out."""
    import polars as pl

    whole = graph.hyperedges.filter(pl.col("via").is_null() & (pl.col("channel") == channel))
    whole = whole.filter(pl.col("order") >= 2)
    return whole.sort(pl.col("weight").abs(), descending=True, maintain_order=True).head(count)


def _strongest(graph: Graph, channel: str) -> Group | None:
    table = strongest(graph, channel)
    if not len(table):
        return None
    from circuits.query.text import Naming, signed

    naming = Naming.of(graph)

    def words(name: str) -> str:
        return naming.brief(name) if name in graph.index else name

    rows = []
    for row in table.iter_rows(named=True):
        exact = row["low"] is None or row["low"] == row["high"]
        sure = "" if exact else f"  {signed(row['low'])} to {signed(row['high'])}"
        joined = " × ".join(words(member) for member in row["members"])
        rows.append(
            (signed(row["weight"]), (row["gate"] or "").upper(), f"{joined} → {words(row['target'])}{sure}")
        )
    wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines = [Text(f"  {w.rjust(wide[0])}  {kind.ljust(wide[1])}  {what}") for w, kind, what in rows]
    return Group(heading(f"Strongest {WHERE[channel]}"), *lines)


def _counts(graph: Graph, found: Combined) -> list[tuple[str, str, str]]:
    told = graph.meta.get("interactions") or {}
    rows = []
    for channel in WHERE:
        if channel in told:
            entry = told[channel]
            total = sum(entry["found"].values())
            engines = ", ".join(sorted(entry["engines"])[:3])
            took = f"{engines}; " if engines else ""
            rows.append(
                (
                    channel,
                    f"{total:,}",
                    f"{took}{entry['flops']:.1e} operations, {duration(entry['seconds'])}",
                )
            )
        elif channel in found.skipped:
            rows.append((channel, "none", found.skipped[channel]))
    return rows
