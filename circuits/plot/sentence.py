"""The prompt itself, each token shaded by what it brings: a line an output, a line a concept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from circuits.errors import UsageError
from circuits.graph import concepts as spec
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.board import board, room
from circuits.plot.layout import LONG_PROMPT
from circuits.plot.marks import token_texts
from circuits.query.subject import Subject
from circuits.query.text import Naming, signed
from circuits.query.totals import Totals

WIDTH: Final = 7.0
MARGIN: Final = 0.12
HEAD: Final = 0.24  # the line above the tokens of a row
LINE: Final = 0.36  # a line of tokens with their numbers
BOX: Final = 0.19
PAD: Final = 0.05  # left and right of a token
GAP: Final = 0.14  # between rows
KEY: Final = 0.24
KEYS: Final = 3.2  # what the key takes from left to right
MOST: Final = 8
"""Concepts shown, at most."""
FAINT: Final = 0.01
"""Of a long prompt, tokens below this share of the largest contribution are left out."""


@dataclass(frozen=True, eq=False)
class Row:
    """What every token brings to one thing.

    Attributes:
        name: the target or the concept.
        title: its name as it is drawn.
        parts: by position, signed, in the target's unit.
        note: what the parts add up to.
    """

    name: str
    title: str
    parts: np.ndarray
    note: str


def sentence(
    graph: Graph,
    target: str | None = None,
    *,
    concepts: Sequence[str | Concept] | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Gives the prompt with its tokens shaded by what each brings to a target, and through which concepts.

    The first line is the target: what the embedding of each token brings to it along all paths
    (`circuits.query.totals`), so that the tokens, the errors and the constants add up to its value. A line
    more for each concept holds the part of it that runs through the concept. Blue tokens push up, orange
    ones, underlined with dashes, down; the darker, the more, on one scale for the whole figure.

    Args:
        graph: a graph that knows its prompt.
        target: which target, as for `circuits.why`; the heaviest unless given.
        concepts: concepts, their names, or texts ``NAME=SPEC``; of those the graph has the eight through
            which most comes, unless given.
        width: in inches, 7 or that of `ax` unless given; long prompts take more lines.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        NotFound: no such target or concept.
        UsageError: the graph does not know its tokens, or none of them is a node.

    Example:
        >>> save(sentence(graph), "sentence.svg")  # doctest: +SKIP
    """
    rows = contributions(graph, target, concepts)
    width = width or (WIDTH if ax is None else room(ax)[0])
    largest = max(float(np.abs(row.parts).max()) for row in rows) or 1.0
    lines = _lines(graph, rows, width - 2 * MARGIN, largest)
    ends = [place[2] + place[3] for line in lines for place in line]
    heads = [_title_width(row) + style.text_width(row.note, style.SMALL) for row in rows]
    width = max(KEYS, min(width, max(*ends, max(heads) + 2 * MARGIN + 0.3) + MARGIN))
    each = HEAD + LINE * len(lines)
    height = 2 * MARGIN + KEY + each * len(rows) + GAP * (len(rows) - 1)
    with board(width, height, ax) as axes:
        for i, row in enumerate(rows):
            top = height - MARGIN - (each + GAP) * i
            _head(axes, row, top, width)
            for j, line in enumerate(lines):
                for place in line:
                    _token(axes, row, place, top - HEAD - LINE * j, largest)
        _key(axes, largest)
    return axes


def contributions(
    graph: Graph, target: str | None = None, concepts: Sequence[str | Concept] | None = None
) -> list[Row]:
    """Gives the rows behind the figure; see `sentence`."""
    subject = Subject.of(graph, target)
    naming = subject.naming
    if not naming.tokens:
        raise UsageError("This graph does not hold the tokens of its prompt: there is no sentence to shade.")
    words = graph.nodes.with_row_index("row").filter(pl.col("kind").is_in(["token", "position"]))
    words = words.filter(pl.col("pos").is_not_null() & (pl.col("pos") < len(naming.tokens)))
    if not len(words):
        raise UsageError("No token of the prompt is a node of this graph: there is nothing to shade.")
    totals = Totals(subject)
    at, pos = words["row"].to_numpy(), words["pos"].to_numpy()

    def of(column: np.ndarray) -> np.ndarray:
        return np.bincount(pos, weights=column[at], minlength=len(naming.tokens))

    whole = of(totals.total)
    note = f"tokens bring {signed(float(whole.sum()))} of {signed(subject.value)}"
    rows = [Row(subject.node, subject.words(), whole, note)]
    chosen = spec.known(graph) if concepts is None else spec.concepts(graph, concepts)
    parts = [(one, of(totals.passing(one.nodes))) for one in chosen]
    if concepts is None:
        parts = sorted(parts, key=lambda pair: -float(np.abs(pair[1]).sum()))[:MOST]
    for one, part in parts:
        note = f"tokens bring {signed(float(part.sum()))} through it"
        rows.append(Row(one.name, f"through {one.name}", part, note))
    return rows


Place = tuple[int | None, str, float, float]
"""A token to be drawn: its position (None: several left out), text, left edge and width."""


def _lines(graph: Graph, rows: Sequence[Row], width: float, largest: float) -> list[list[Place]]:
    """Gives the tokens broken into lines, the same for each row."""
    texts = token_texts(Naming.of(graph), 0)
    shown: list[int | None] = list(range(len(texts)))
    if len(texts) >= LONG_PROMPT:
        strongest = np.max([np.abs(row.parts) for row in rows], axis=0)
        shown = []
        for i in range(len(texts)):
            if strongest[i] >= FAINT * largest:
                shown.append(i)
            elif not shown or shown[-1] is not None:
                shown.append(None)
    lines: list[list[Place]] = [[]]
    left = MARGIN
    for at in shown:
        text = "…" if at is None else texts[at]
        numbers = [] if at is None else [_number(row, at, largest) for row in rows]
        needed = [style.text_width(text), *(style.text_width(n, style.SMALL) for n in numbers)]
        wide = max(needed) + 2 * PAD
        if lines[-1] and left + wide > MARGIN + width:
            lines.append([])
            left = MARGIN
        lines[-1].append((at, text, left, wide))
        left += wide + 0.02
    return lines


def _number(row: Row, at: int, largest: float) -> str:
    """Gives the number under a token; nothing where it would be rounding."""
    part = float(row.parts[at])
    return signed(part) if abs(part) >= FAINT * largest else ""


def _title_width(row: Row) -> float:
    return style.text_width(style.drawable(row.title), weight="bold")


def _head(axes: Axes, row: Row, top: float, width: float) -> None:
    """Draws what a row is about, and what its tokens add up to."""
    note = style.drawable(row.note)
    taken = style.text_width(note, style.SMALL) + 0.2
    title = style.fitted(style.drawable(row.title), width - 2 * MARGIN - taken, weight="bold")
    look = style.type_of(weight="bold")
    axes.text(MARGIN + PAD, top - 0.08, title, va="center", gid=f"row:{row.name}", **look)
    small = style.type_of(style.SMALL, style.MUTED)
    axes.text(width - MARGIN, top - 0.08, note, ha="right", va="center", **small)


def _token(axes: Axes, row: Row, place: Place, top: float, largest: float) -> None:
    """Draws a token (gid `token:row→position`), its shade (`shade:…`) and its number."""
    at, text, left, wide = place
    middle = left + wide / 2
    if at is None:
        axes.text(middle, top - BOX / 2, text, ha="center", va="center", **style.type_of(color=style.MUTED))
        return
    part = float(row.parts[at])
    strength = min(1.0, abs(part) / largest)
    tone = style.POSITIVE if part >= 0 else style.NEGATIVE
    name = f"{row.name}→{at}"
    axes.add_patch(
        Rectangle((left, top - BOX), wide, BOX, fc=tone, ec="none", alpha=strength, gid=f"shade:{name}")
    )
    if part < 0 and strength >= FAINT:
        line = Line2D([left, left + wide], [top - BOX] * 2, color=tone, lw=1.0, gid=f"down:{name}")
        line.set_linestyle(style.DASHED)
        axes.add_line(line)
    ink = style.PAPER if strength > 0.8 else style.INK
    axes.text(
        middle, top - BOX / 2, text, ha="center", va="center", gid=f"token:{name}", **style.type_of(color=ink)
    )
    number = _number(row, at, largest)
    if number:
        small = style.type_of(style.SMALL, style.MUTED)
        axes.text(middle, top - BOX - 0.07, number, ha="center", va="center", **small)


def _key(axes: Axes, largest: float) -> None:
    """Draws what the shades mean, along the bottom."""
    x, y = MARGIN + PAD, MARGIN + 0.05
    small = style.type_of(style.SMALL, style.MUTED)
    for tone, said in ((style.POSITIVE, "pushes up"), (style.NEGATIVE, "pushes down")):
        axes.add_patch(Rectangle((x, y - 0.05), 0.16, 0.1, fc=tone, ec="none", alpha=0.6))
        if tone == style.NEGATIVE:
            under = Line2D([x, x + 0.16], [y - 0.05] * 2, color=tone, lw=1.0)
            under.set_linestyle(style.DASHED)
            axes.add_line(under)
        axes.text(x + 0.21, y, said, va="center", **small)
        x += 0.21 + style.text_width(said, style.SMALL) + 0.15
    axes.text(x, y, f"darkest: {signed(largest).lstrip('+')} either way", va="center", **small)
