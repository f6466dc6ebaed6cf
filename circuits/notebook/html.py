"""Graphs and answers as static HTML: no script, no style sheet, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.notebook.picture import picture
from circuits.query.answer import Answer, cell, printed
from circuits.query.text import Naming, listing, percent, short
from circuits.shown import shown

ROWS: Final = 5
"""Features listed of a graph."""
LISTED: Final = 8
"""Rows listed of each table of an answer."""
WIDEST: Final = 60  # characters of a cell
LONGEST: Final = 600  # of a sentence
KINDS: Final = {"feature": "feature", "token": "word", "error": "error", "position": "position"}
"""Kinds of nodes that are counted in words, as one of them is called."""


def graph_html(graph: Graph) -> str:
    """Gives a graph as a small picture, its counts and its strongest features.

    Args:
        graph: any graph.
    """
    naming = Naming.of(graph)
    prompt = short("".join(naming.tokens), 120)
    outputs = [_output(naming, node) for node in graph.targets[:3]]
    title = " → ".join(filter(None, (prompt, ", ".join(outputs)))) or "graph"
    parts = [f"<p><b>{_text(title)}</b><br>{_text(_counts(graph))}</p>"]
    scored = with_influence(graph) if graph.targets and graph.nodes["influence"].null_count() else graph
    parts.append(picture(scored, f"The strongest nodes and edges of the graph. {_counts(graph)}"))
    best = scored.nodes.filter(pl.col("influence") > 0, kind="feature")
    best = best.sort("influence", descending=True, maintain_order=True).head(ROWS)
    if len(best):
        rows = [
            [
                row["node"],
                naming.token(row["pos"]),
                row["label"] or row["concept"] or "",
                percent(row["influence"]),
            ]
            for row in best.to_dicts()
        ]
        parts.append(_table(["feature", "at", "label", "influence"], rows, [False, False, False, True]))
    return f"<div>{''.join(parts)}</div>"


def answer_html(answer: Answer) -> str:
    """Gives an answer as its finding, a small picture, and its tables, the first of them open.

    Args:
        answer: any answer.
    """
    parts = [f"<p><b>{_text(answer.question)}</b></p>"]
    parts += [f"<p>{_text(sentence)}</p>" for sentence in answer.finding]
    parts.append(picture(answer.highlight, f"The part of the graph the answer is about: {answer.question}"))
    tables = [(name, table) for name, table in answer.tables.items() if len(table)]
    for i, (name, table) in enumerate(tables):
        caption = answer.captions.get(name, "")
        inside = f"<p>{_text(caption)}</p>" if caption else ""
        inside += _rows(table)
        parts.append(_folded(name, inside, opened=i == 0))
    parts.append(_folded("the same in Python", f"<pre>{_text(answer.code, keep=chr(10))}</pre>"))
    return f"<div>{''.join(parts)}</div>"


def _rows(table: pl.DataFrame) -> str:
    """Gives the rows of an answer's table that are shown, and how many are not."""
    names = printed(table)
    rows = [[cell(name, row[name]) for name in names] for row in table.head(LISTED).to_dicts()]
    made = _table(names, rows, [table.schema[name].is_numeric() for name in names])
    return made + (f"<p>… and {len(table) - LISTED:,} more</p>" if len(table) > LISTED else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> str:
    """Gives a table, numbers to the right; alignment as an attribute, for style is stripped in places."""
    sides = ["right" if to_right else "left" for to_right in right]

    def line(tag: str, cells: Sequence[str]) -> str:
        made = (
            f'<{tag} align="{side}"><bdi>{_text(short(text, WIDEST))}</bdi></{tag}>'
            for text, side in zip(cells, sides, strict=True)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f"<table><thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"


def _folded(name: str, inside: str, *, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{_text(name)}</summary>{inside}</details>"


def _text(text: str, keep: str = "") -> str:
    """Gives a text as HTML that is nothing but this text, cut where it is endless."""
    return html.escape(shown(text if len(text) <= LONGEST or keep else short(text, LONGEST), keep))


def _output(naming: Naming, node: str) -> str:
    chance = naming.probability(node)
    said = naming.output(node)
    return said if chance is None else f"{said} ({percent(chance)})"


def _counts(graph: Graph) -> str:
    """Gives how much a graph holds, in words."""
    kinds = graph.nodes["kind"].cast(pl.String)
    counted = {word: int((kinds == kind).sum()) for kind, word in KINDS.items()}
    parts = [f"{count:,} {word}{'s' * (count != 1)}" for word, count in counted.items() if count]
    said = f"{len(graph.nodes):,} nodes ({listing(parts)}), {len(graph.edges):,} edges"
    together = graph.hyperedges.filter((pl.col("order") > 1) & pl.col("via").is_null())
    more = [f"{len(together):,} interactions"] if len(together) else []
    if len(graph.verdicts):
        more.append(f"{int(graph.verdicts['holds'].sum())} of {len(graph.verdicts)} verdicts hold")
    return ", ".join([said, *more])
