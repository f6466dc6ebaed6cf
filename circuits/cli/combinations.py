"""What `circuits interact` found, for the terminal and as JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from circuits.cli.console import commands, duration, facts, heading, stack

if TYPE_CHECKING:
    import polars as pl

    from circuits.cli.combine import Combined
    from circuits.engine.concepts.measure import ConceptTest
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
    from circuits.engine.interact import distinct

    where, name = shlex.quote(str(path)), shlex.quote(path.name)
    count = (distinct(graph.hyperedges)["order"] > 1).sum()
    following = [
        (f"circuits why {where}", "the answer in words"),
        (f"circuits plot {where} --kind upset -o {name}.svg", "combinations as a picture"),
        (f"circuits report {where} -o {name}.html", "a page to send on"),
    ]
    counts = _counts(graph, found)
    return stack(
        heading(f"{path} holds {count:,} combinations."),
        *map(_told, found.tests),
        *(_listed(graph, channel, table) for channel, table in strongest(graph).items()),
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
        "strongest": {channel: table.to_dicts() for channel, table in strongest(graph).items()},
        "concept_tests": list(graph.meta.get("concept_tests") or ()),
        "flops": {channel: entry["flops"] for channel, entry in told.items()},
        "seconds": (graph.meta.get("interact") or {}).get("seconds"),
    }


def strongest(graph: Graph) -> dict[str, pl.DataFrame]:
    """Gives, by channel, the combinations that move most of the targets (see `ranked`)."""
    from circuits.graph.influence import arriving
    from circuits.query.combinations import ranked

    table = ranked(graph, arriving(graph))
    return {channel: table.filter(channel=channel).head(SHOWN) for channel in WHERE}


def _listed(graph: Graph, channel: str, table: pl.DataFrame) -> Group | None:
    if not len(table):
        return None
    from circuits.query.text import Naming, percent, signed

    naming = Naming.of(graph)

    def words(name: str) -> str:
        return naming.brief(name) if name in graph.index else name

    rows = Table.grid(padding=(0, 2), pad_edge=False)
    for justify in ("right", "right", "left", "left"):
        rows.add_column(justify=justify, no_wrap=justify == "right", overflow="fold")
    for row in table.iter_rows(named=True):
        joined = " × ".join(words(member) for member in row["members"])
        through = f" through {words(row['via'])}" if row["via"] else ""
        sure = f"  {signed(row['low'])} to {signed(row['high'])}" if row["estimated"] else ""
        what = f"{joined} → {words(row['target'])}{through}{sure}"
        cells = (percent(row["share"]), signed(row["weight"]), (row["gate"] or "").upper(), what)
        rows.add_row(*map(Text, (f"  {cells[0]}", *cells[1:])))
    title = Text.assemble(
        heading(f"Strongest {WHERE[channel]}"), (", by their share of what moves the targets", "dim")
    )
    return Group(title, rows)


def _told(test: ConceptTest) -> Group:
    """Gives a test in lines that hang together: the verdict, and below it what it rests on."""
    first, *more = str(test).splitlines()
    return Group(heading(first), *(Padding(Text(line.strip()), (0, 0, 0, 2)) for line in more))


def _counts(graph: Graph, found: Combined) -> list[tuple[str, str, str]]:
    told = graph.meta.get("interactions") or {}
    rows = []
    for channel in WHERE:
        if channel in told:
            entry = told[channel]
            total = sum(count for order, count in entry["found"].items() if int(order) > 1)
            engines = "; ".join(sorted(entry["engines"])[:3])
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
