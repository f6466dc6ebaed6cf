"""The part of a report about concepts: named groups of nodes, with the evidence for each."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from circuits.errors import CircuitsError
from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.plot.sentence import sentence
from circuits.query.grouping.answer import groups
from circuits.report.blocks import Block, Code, Finding, Picture, TableBlock, Text
from circuits.report.picture import themed
from circuits.report.tables import answer_table, table_of
from circuits.viewer.concepts import FOUND

TABLES: Final = {
    "concepts": "Each concept",
    "likeness": "How alike its features are",
    "edges": "How they feed each other",
}


def concept_blocks(graph: Graph, run: str, suggested: Sequence[Mapping[str, Any]]) -> tuple[Block, ...]:
    """Gives what is known of the concepts of a graph, or what the viewer has in their place.

    Args:
        graph: the graph.
        run: where it lies, for the command that keeps groups.
        suggested: the concepts of the viewer's document.
    """
    if not known(graph):
        return _suggested(run, suggested)
    try:
        answer = groups(graph)
    except CircuitsError as cause:
        return (Text((str(cause),), "prose"),)
    found: list[Block] = [Finding(answer.finding[:2], answer.finding[2:])]
    found += [] if (drawn := _sentence(graph)) is None else [drawn]
    for name, heading in TABLES.items():
        table = answer_table(answer, name, heading, within="concept-" if name != "concepts" else "")
        if table is not None:
            found.append(TableBlock(table))
    return tuple(found)


def _suggested(run: str, suggested: Sequence[Mapping[str, Any]]) -> tuple[Block, ...]:
    command = Code(
        f"circuits group {shlex.quote(run)} --save", "This finds groups of features, tests and keeps them."
    )
    if not suggested:
        return (Text(("No concepts are named in this run.",), "prose"), command)
    found = any(one["origin"] == FOUND for one in suggested)
    how = "Groups that were found while this page was made" if found else "Nodes of one word or label"
    frame = pl.DataFrame(
        {
            "concept": [one["name"] for one in suggested],
            "nodes": [len(one["nodes"]) for one in suggested],
            "influence": [float(one["influence"]) for one in suggested],
            "evidence": ["; ".join(_brief(one["evidence"])) for one in suggested],
        }
    )
    caption = "influence: the share of the target that passes through a member."
    return (
        Text(
            (f"No concepts are named in this run. {how} stand in their place, also in the graph below.",),
            "prose",
        ),
        TableBlock(table_of(frame, "suggested", "In their place", caption)),
        command,
    )


def _brief(evidence: Sequence[str]) -> list[str]:
    """Gives the stability without its explanation, and the labels."""
    return [
        line.partition(":")[0] if line.startswith("stability") else line
        for line in evidence
        if line.startswith(("stability", "label"))
    ]


def _sentence(graph: Graph) -> Picture | None:
    """Gives the prompt shaded by what tokens bring through each concept; None where that is not known."""
    try:
        drawn = sentence(graph)
    except CircuitsError:
        return None
    caption = "What each token brings to the output, in all and through each concept, along all paths."
    return Picture(themed(drawn, "sentence", {}, caption), "scroll", caption, "sentence")
