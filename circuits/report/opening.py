"""How a report begins: the prompt, what the model says next, the finding in three sentences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.text import Naming, percent
from circuits.report.blocks import Finding, Prompt
from circuits.report.tables import Table, table_of

FIRST = 3
"""Sentences a finding begins with."""

OUTPUTS = 6
"""Outputs that are listed, at most."""


def subtitle(graph: Graph) -> str:
    """Gives the line under the title: model, dictionary, size of the graph."""
    meta = graph.meta
    parts = [
        str((meta.get("model") or {}).get("name") or ""),
        str((meta.get("dictionary") or {}).get("kind") or ""),
        f"{len(graph.nodes):,} nodes",
        f"{len(graph.edges):,} edges",
    ]
    return " · ".join(part for part in parts if part)


def prompt(naming: Naming, words: pl.DataFrame | None, name: str = "") -> Prompt:
    """Gives the prompt's tokens, each shaded by its influence relative to the strongest.

    Args:
        naming: of the graph.
        words: a row a word, with columns `pos` and `influence`; None: no token is shaded.
        name: of the prompt, where there are two.
    """
    known = words is not None and {"pos", "influence"} <= set(words.columns)
    share = dict(words.select("pos", "influence").iter_rows()) if words is not None and known else {}
    return Prompt(name, _tokens(naming, share), INFLUENCE if known else "")


INFLUENCE = "The prompt; the stronger a token is tinted, the more of the influence starts there."


def _tokens(naming: Naming, share: dict[int, float]) -> tuple[dict[str, Any], ...]:
    largest = max(share.values(), default=0.0) or 1.0
    return tuple(
        {
            "text": text,
            "share": share.get(pos, 0.0),
            "shade": round(0.62 * share.get(pos, 0.0) / largest, 4),
            "tip": f"position {pos}: {percent(share.get(pos, 0.0))} of the influence",
        }
        for pos, text in enumerate(naming.tokens)
    )


def finding(answer: Answer, *without: str) -> Finding:
    """Gives the finding: the sentences `meta["brief"]` names, or the first, and then the others."""
    said = [sentence for sentence in answer.finding if sentence not in without]
    brief = [s for s in answer.meta.get("brief") or said[:FIRST] if s in said]
    return Finding(tuple(brief), tuple(s for s in said if s not in brief))


def outputs(graph: Graph, asked: str | None) -> Table | None:
    """Gives the outputs whose probability is known, the likeliest first, and what is left for all others.

    Args:
        graph: its `meta` lists the targets.
        asked: the node that is explained.
    """
    known = [
        (name, float(entry["probability"]))
        for name, entry in Naming.of(graph).outputs.items()
        if entry.get("probability") is not None
    ]
    if not known:
        return None
    naming = Naming.of(graph)
    rows = [
        (naming.output(name) + (" (explained here)" if name == asked and len(known) > 1 else ""), chance)
        for name, chance in sorted(known, key=lambda pair: -pair[1])[:OUTPUTS]
    ]
    rest = 1 - sum(chance for _, chance in rows)
    if rest > 5e-7:
        rows.append(("all others", rest))
    frame = pl.DataFrame(rows, schema={"output": pl.String, "probability": pl.Float64}, orient="row")
    table = table_of(frame, "outputs", "What the model says next")
    told = tuple((name, replace(cell, text=_chance(float(cell.value)))) for name, cell in table.rows)
    return replace(table, rows=told)


def _chance(probability: float) -> str:
    """Gives a probability as a percentage that is 100% only where nothing else is left."""
    if 0.995 <= probability < 1:
        return f"{100 * min(probability, 0.9999):.4g}%"
    return percent(probability)
