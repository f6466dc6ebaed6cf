"""A report as GitHub Markdown: one file of text and tables; the pictures are the page's."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from typing import Any

from circuits.query.text import quoted, signed
from circuits.report.blocks import (
    Badge,
    Block,
    Code,
    Facts,
    FeatureCards,
    Finding,
    Prompt,
    Report,
    Scores,
    Shares,
    TableBlock,
    Terms,
    Text,
)
from circuits.report.tables import Cell, Table
from circuits.report.texts import shortened, visible

PICTURES = "*Pictures, the interactive graph and the exact numbers are in the HTML report.*"

_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$]|:(?=//))")
"""What means something to Markdown wherever it stands."""

_BEGINS = re.compile(r"^(\s*)(#|[+-](?=\s|$)|[-=](?=[-=]))|^(\s*\d+)([.)](?=\s|$))")
"""What means something where a line begins with it."""


def markdown(made: Report) -> str:
    """Gives a report as Markdown: the same sections and tables, no pictures.

    Every text from outside is escaped: none of it becomes markup, a link, a mention or HTML.
    """
    lines = [f"# {escaped(made.title)}", "", escaped(made.subtitle), "", PICTURES]
    for section in made.sections:
        lines += ["", f"## {section.heading}"]
        for block in section.blocks:
            lines += _block(block)
    return "\n".join(lines) + "\n"


def escaped(text: object) -> str:
    r"""Gives a text that Markdown and HTML show as it is, on one line.

    Example:
        >>> escaped("a|b `c` <d>")
        'a\\|b \\`c\\` &lt;d&gt;'
    """
    said = html.escape(re.sub(r"\s+", " ", shortened(text)), quote=False)
    return _BEGINS.sub(r"\1\3\\\2\4", _SPECIAL.sub(r"\\\1", said))


def fenced(text: str, language: str = "") -> list[str]:
    """Gives a block of code whose fence nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}{language}", *visible(text).splitlines(), fence]


def _block(block: Block) -> Iterator[str]:
    match block:
        case TableBlock():
            yield from _table(block.table, titled=block.titled)
        case Prompt() if block.tokens:
            name = f"{escaped(block.name)}: " if block.name else ""
            text = "".join(str(token["text"]) for token in block.tokens)
            yield from ["", f"> {name}{escaped(text)}"]
        case Finding():
            yield from (line for said in (*block.first, *block.more) for line in ("", escaped(said)))
        case Badge():
            of = f" ({escaped(block.name)}, the less to be trusted)" if block.name else ""
            yield from ["", f"**{block.word.capitalize()}.** {escaped(block.meaning)}{of}", ""]
            yield from (f"- {escaped(name)}: {escaped(text)}" for name, text, _ in block.numbers)
            yield from ["", escaped(block.rule)]
        case Shares():
            yield from ["", f"### {escaped(block.title)}", ""]
            yield from (f"- {escaped(part['name'])}: {escaped(part['text'])}" for part in block.parts)
        case Scores():
            yield from ["", "### Scores", ""]
            yield from (
                f"- **{escaped(row['text'])}** {escaped(row['score'])}: {escaped(row['meaning'])}"
                for row in block.rows
            )
        case Text():
            yield from ["", f"### {escaped(block.heading)}"] if block.heading else []
            yield from (line for said in block.sentences for line in ("", escaped(said)))
        case Code():
            yield from ["", escaped(block.note)] if block.note else []
            yield from ["", *fenced(block.text, block.language)]
        case Terms():
            yield from (
                line for term, said in block.rows for line in ("", f"**{escaped(term)}.** {escaped(said)}")
            )
        case Facts():
            yield from ["", f"### {escaped(block.title)}", "", "| name | value |", "|---|---|"]
            yield from (f"| {escaped(name)} | {escaped(text)} |" for name, text in block.rows)
        case FeatureCards():
            yield from (line for card in block.cards for line in _card(card))


def _table(table: Table, *, titled: bool) -> Iterator[str]:
    if titled:
        yield from ["", f"### {escaped(table.heading)}"]
    if table.caption:
        yield from ["", escaped(table.caption)]
    yield ""
    yield f"| {' | '.join(escaped(name) or '&nbsp;' for name, _ in table.columns)} |"
    yield f"|{'|'.join('---:' if number else '---' for _, number in table.columns)}|"
    yield from (f"| {' | '.join(map(_cell, row))} |" for row in table.rows)


def _cell(cell: Cell) -> str:
    if cell.links:
        return "<br>".join(
            f"{escaped(link['name'])} {escaped(signed(link['weight']))}" for link in cell.links
        )
    return escaped(cell.text)


def _card(card: Mapping[str, Any]) -> Iterator[str]:
    yield from ["", f"### {escaped(card['name'])}: {escaped(card['label'])}", ""]
    yield f"{escaped(card['influence'])} of the influence; {escaped(card['on'])}. {escaped(card['tested'])}"
    yield ""
    for name in ("promoted", "suppressed"):
        yield f"- {name}: {', '.join(escaped(quoted(token)) for token in card[name])}"
