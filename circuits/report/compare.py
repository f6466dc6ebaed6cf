"""The part of a report that sets two runs side by side: what `contrast` says, its tables and picture."""

from __future__ import annotations

from typing import Final

from circuits.errors import UsageError
from circuits.plot.difference import difference
from circuits.query.answer import Answer
from circuits.report.blocks import Block, Picture, TableBlock
from circuits.report.picture import themed
from circuits.report.tables import answer_table

HEADINGS: Final = {
    "totals": "What makes up the two values",
    "pushes": "What pushes the one, the other, and both",
    "words": "Where the difference begins",
    "features": "Features that differ",
    "edges": "Edges that carry the difference",
    "combinations": "Combinations that differ",
    "swaps": "Setting features to what they are in the other run",
}


def difference_blocks(contrast: Answer, nodes: int) -> tuple[Block, ...]:
    """Gives the picture of a contrast and its tables.

    Args:
        contrast: of two runs.
        nodes: how many nodes the picture shows.
    """
    found: list[Block] = []
    try:
        drawn = themed(difference(contrast.highlight, nodes=nodes), "diff", {}, _alternative(contrast))
        caption = (
            "Tokens from left to right, layers upwards. Blue features are only here, orange ones only there,"
            " grey ones in both; an edge is the difference of its two weights, solid where it is the higher"
            " here, dashed where it is the lower."
        )
        found.append(Picture(drawn, "scroll", caption, "difference"))
    except UsageError:
        pass  # nothing differs, which the finding says
    for name, heading in HEADINGS.items():
        table = answer_table(contrast, name, heading, within="diff-")
        if table is not None:
            found.append(TableBlock(table))
    return tuple(found)


def trust_of_both(contrast: Answer) -> TableBlock | None:
    """Gives the scores of both graphs side by side."""
    table = answer_table(contrast, "trust", "Both runs", within="diff-")
    return None if table is None else TableBlock(table)


def _alternative(contrast: Answer) -> str:
    return "Network of what differs between the two runs. " + (
        contrast.finding[0] if contrast.finding else ""
    )
