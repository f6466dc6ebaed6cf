"""The part of a report about concepts: named groups of nodes, with the evidence for each."""

from __future__ import annotations

import shlex
from typing import Final

from circuits.errors import CircuitsError
from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.plot.sentence import sentence
from circuits.query.grouping.answer import groups
from circuits.report.blocks import Block, Code, Finding, Picture, TableBlock, Text
from circuits.report.picture import themed
from circuits.report.tables import answer_table

TABLES: Final = {
    "concepts": "Each concept",
    "likeness": "How alike its features are",
    "edges": "How they feed each other",
}


def concept_blocks(graph: Graph, run: str, *, interactive: bool) -> tuple[Block, ...]:
    """Gives what is known of the concepts of a graph; where there are none, the command that finds them."""
    if not known(graph):
        instead = " The interactive graph has nodes by their word instead." if interactive else ""
        return (
            Text((f"No concepts are named in this run.{instead}",), "prose"),
            Code(
                f"circuits group {shlex.quote(run)} --save", "This finds groups of features and keeps them."
            ),
        )
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


def _sentence(graph: Graph) -> Picture | None:
    """Gives the prompt shaded by what tokens bring through each concept; None where that is not known."""
    try:
        drawn = sentence(graph)
    except CircuitsError:
        return None
    caption = "What each token brings to the output, in all and through each concept, along all paths."
    return Picture(themed(drawn, "sentence", {}, caption), "scroll", caption, "sentence")
