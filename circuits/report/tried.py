"""The part of a report about interventions: what the graph predicts against what was measured."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.plot.agreement import agreement
from circuits.query.verified import CAPTION, verdicts_of, verified_sentences, verified_table
from circuits.report.blocks import Block, Code, Picture, TableBlock, Text
from circuits.report.picture import themed
from circuits.report.tables import Table, table_of

AGREEMENT: Final = (
    "Free predictions against measurements, by group. claims: how many; hold: how many of them hold."
    " spearman: rank correlation. slope: of measured on predicted, through the origin; 1 where the graph is"
    " right, below 1 where the model makes up for what is done. sign: share with the right one. In brackets"
    " a 95% bootstrap interval; blank: too few claims to say."
)

DRAWN: Final = (
    "Each point is a claim: across, what the graph predicts to change; upwards, what was measured. A claim"
    " holds where its point lies on the light bar. Grey: frozen; blue: free; hollow orange: failed."
)


def tried_blocks(graph: Graph, target: str, run: str) -> tuple[Block, ...]:
    """Gives what became of the claims on a target; where none was tried, the command that tries them."""
    if not len(verdicts_of(graph, target)):
        told = f" {shlex.quote(target)}" if graph.targets[:1] != [target] else ""
        command = f"circuits verify {shlex.quote(run)}{' --target' + told if told else ''}"
        return (
            Text(("Nothing of this answer was tried on the model yet.",), "prose"),
            Code(command, "This tries what the graph predicts, and writes the verdicts into the run."),
        )
    claims = table_of(verified_table(graph, target), "verified", "Each claim", CAPTION)
    summary = (graph.meta.get("verified") or {}).get(target) or {}
    found: list[Block] = [Text(verified_sentences(graph, target), "prose")]
    drawn = themed(agreement(graph, target=target), "agreement", {}, "Predicted against measured changes.")
    found.append(Picture(drawn, "scroll", DRAWN, "agreement"))
    table = agreement_table(summary)
    if table is not None:
        found.append(TableBlock(table))
    found.append(TableBlock(claims))
    return tuple(found)


def agreement_table(summary: Mapping[str, Any]) -> Table | None:
    """Gives how predictions agree with measurements by group, from what `circuits verify` wrote."""
    rows = [
        {
            "group": group["group"],
            "claims": group["claims"],
            "hold": group["hold"],
            **{name: _interval(group.get(name)) for name in ("spearman", "slope", "sign")},
        }
        for group in summary.get("groups") or ()
    ]
    if not rows:
        return None
    schema = {"group": pl.String(), "claims": pl.Int64(), "hold": pl.Int64()}
    schema |= dict.fromkeys(("spearman", "slope", "sign"), pl.String())
    return table_of(pl.DataFrame(rows, schema=schema), "agreement", "Agreement by group", AGREEMENT)


def _interval(numbers: Sequence[float | None] | None) -> str:
    value, low, high = numbers or (None, None, None)
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{ends}".replace("-", "−")
