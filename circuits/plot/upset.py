"""The strongest combinations side by side: who is in each, how much it makes up, how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.board import board
from circuits.plot.combined import MOST, Combined, called, combined
from circuits.plot.diamonds import SIGNS, WORDS
from circuits.query.answer import Answer
from circuits.query.text import Naming

PITCH = 0.44  # inches from column to column
LINE = 0.19
BARS = 1.5
SIGN = 0.24  # room for the signs of the kinds
GAP = 0.22
MARGIN = 0.12
KEY = 1.9  # what explains the bars, at least
DOT = 0.045


def upset(
    graph: Graph | Answer, *, target: str | None = None, most: int = MOST, ax: Axes | None = None
) -> Axes:
    """Gives the UpSet plot of the combinations that move most of a target (Lex et al. 2014).

    A column is a combination: its members are dots joined by a line, what they act on is a square. The
    bar above is the interaction, with its interval: in its own units if all act on one node, else as a
    share of what moves the target, with the interaction's sign, since different gates have different
    units. Bars that push down are hatched; the sign of the kind stands below them (& and, ∨ or, ⊣ one
    holds back the other, ⊕ xor, + additive, ∗ other, ? undecided).

    Args:
        graph: a graph with interactions, or an answer that holds a table of combinations.
        target: which target, as for `circuits.why`; not beside an answer.
        most: combinations drawn, at most.
        ax: where to draw, as large as fits; a figure of its own unless given. Dots and bars share it.

    Raises:
        NotFound: no such target.
        UsageError: no interactions, none that bear on the target, or `most` is below 1.

    Example:
        >>> save(upset(graph), "upset.svg")  # doctest: +SKIP
    """
    whole, columns = combined(graph, target, most)
    naming = Naming.of(whole)
    members = list(dict.fromkeys(name for column in columns for name in column.members))
    targets = list(dict.fromkeys(column.where for column in columns))
    texts = {name: called(whole, naming, name) for name in (*members, *targets)}
    left = MARGIN + max(KEY, *(style.text_width(text) for text in texts.values())) + 0.15
    floor = LINE * (len(members) + len(targets)) + GAP
    width, height = left + PITCH * len(columns) + MARGIN, floor + SIGN + BARS + 2 * MARGIN
    row = {name: MARGIN + LINE * (len(targets) - i - 0.5) for i, name in enumerate(targets)}
    base = MARGIN + LINE * len(targets) + GAP
    rows = {name: base + LINE * (len(members) - i - 0.5) for i, name in enumerate(members)}
    with board(width, height, ax) as axes:
        _names(axes, (rows, row), texts, (left, width - MARGIN))
        _dots(axes, columns, (rows, row), left)
        _bars(axes, columns, (left, base + LINE * len(members) + SIGN))
        _key(axes, columns, naming, (left - 0.14, base, height - MARGIN))
    return axes


Places = tuple[Mapping[str, float], Mapping[str, float]]
"""The y of each member and of each thing acted on."""


def _names(axes: Axes, rows: Places, texts: Mapping[str, str], ends: tuple[float, float]) -> None:
    left, right = ends
    for block, kind in zip(rows, ("member", "acted"), strict=True):
        for i, (name, y) in enumerate(block.items()):
            if i % 2 == 0:
                axes.add_patch(
                    Rectangle(
                        (left - 0.08, y - LINE / 2), right - left + 0.08, LINE, fc=style.BAND, ec="none"
                    )
                )
            color = style.INK if kind == "member" else style.MUTED
            said = texts[name]
            axes.text(
                left - 0.14,
                y,
                said,
                ha="right",
                va="center",
                gid=f"{kind}:{name}",
                **style.type_of(color=color),
            )


def _key(axes: Axes, columns: Sequence[Combined], naming: Naming, at: tuple[float, float, float]) -> None:
    """Draws what bars, signs and squares mean, left of the bars."""
    right, base, top = at
    kinds = {column.kind for column in columns}
    unit = (
        "as a share of what moves the target"
        if columns[0].relative
        else f"in {naming.brief(columns[0].where)}"
    )
    lines = ["the interaction,", unit, *(f"{WORDS[kind]} {SIGNS[kind]}" for kind in SIGNS if kind in kinds)]
    look = style.type_of(style.SMALL, style.MUTED)
    for i, said in enumerate(lines):
        text = style.fitted(style.drawable(said), right - MARGIN, style.SMALL)
        axes.text(right, top - 0.06 - 0.13 * i, text, ha="right", va="center", **look)
    axes.text(right, base - GAP / 2, "acts on", ha="right", va="center", **look)


def _dots(axes: Axes, columns: Sequence[Combined], rows: Places, left: float) -> None:
    """Draws members as joined dots (gid `dot:id→node`), what is acted on as a square."""
    members, targets = rows
    for i, column in enumerate(columns):
        x = left + PITCH * (i + 0.5)
        ys = [members[name] for name in column.members]
        below = targets[column.where]
        axes.add_line(Line2D([x, x], [min(ys), max(ys)], color=style.FEATURE, lw=1.2, zorder=2))
        axes.add_line(Line2D([x, x], [below, min(ys)], color=style.WORD, lw=0.6, zorder=1))
        for name, y in zip(column.members, ys, strict=True):
            axes.add_patch(
                Circle((x, y), DOT, fc=style.FEATURE, ec="none", zorder=3, gid=f"dot:{column.name}→{name}")
            )
        axes.add_patch(Rectangle((x - DOT, below - DOT), 2 * DOT, 2 * DOT, fc=style.INK, ec="none", zorder=3))


def _bars(axes: Axes, columns: Sequence[Combined], corner: tuple[float, float]) -> None:
    """Draws a bar (gid `bar:id`) with its interval and number above each column, and its sign."""
    left, bottom = corner
    low = min(0.0, *(min(c.value, c.low) for c in columns))
    high = max(0.0, *(max(c.value, c.high) for c in columns))
    room = 0.16  # for a number beyond the longest bar, on either side
    under, over = (room if low < 0 else 0.0), (room if high > 0 else 0.0)
    unit = (BARS - under - over) / max(high - low, 1e-300)
    zero = bottom + under - low * unit
    right = left + PITCH * len(columns)
    axes.add_line(Line2D([left, right], [zero, zero], color=style.WORD, lw=0.8))
    for i, column in enumerate(columns):
        x, up = left + PITCH * (i + 0.5), column.value >= 0
        tone = style.POSITIVE if up else style.NEGATIVE
        box = Rectangle(
            (x - 0.09, zero), 0.18, column.value * unit, ec=tone, lw=0.8, gid=f"bar:{column.name}"
        )
        box.set(fc=tone if up else style.PAPER, hatch=None if up else "//////")
        axes.add_patch(box)
        ends = np.array([column.low, column.high]) * unit + zero
        if column.low < column.high:
            axes.add_line(Line2D([x, x], ends, color=style.INK, lw=0.9, gid=f"interval:{column.name}"))
            for y in ends:
                axes.add_line(Line2D([x - 0.03, x + 0.03], [y, y], color=style.INK, lw=0.9))
        beyond = max(ends[1], zero) + 0.03 if up else min(ends[0], zero) - 0.03
        axes.text(x, beyond, column.text, ha="center", va="bottom" if up else "top", **style.type_of())
        axes.text(
            x,
            bottom - SIGN / 2,
            SIGNS.get(column.kind, "∗"),
            ha="center",
            va="center",
            gid=f"sign:{column.name}",
            **style.type_of(weight="bold"),
        )
