"""The strongest ways from words to an output: a line a path, its share, its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle, RegularPolygon

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.board import board
from circuits.plot.marks import feature_label, symbol
from circuits.query.answer import Answer
from circuits.query.paths import paths
from circuits.query.text import Naming, number, percent, signed

MARGIN: Final = 0.12
LINE: Final = 0.30
HEAD: Final = 0.22
BAR: Final = 0.9  # of the largest share
AMOUNT: Final = 0.42  # room for a number
STEP: Final = 0.34  # the line from one node to the next
NAME: Final = 1.25  # of a step, at most
KEY: Final = 0.2
MOST: Final = 10


@dataclass(frozen=True)
class _Way:
    """One path: its nodes, its share, its effect or only the sign of that."""

    nodes: tuple[str, ...]
    share: float
    effect: float | None
    up: bool


def strongest_paths(
    graph: Graph | Answer, *, target: str | None = None, most: int = MOST, ax: Axes | None = None
) -> Axes:
    """Gives the strongest paths into a target as lines of steps, each with the share of influence it carries.

    The bar is the share of everything that flows into the target that flows through exactly this path, and
    the number its effect on the target where that is known. Lines between steps are solid and blue where
    the edge pushes up, dashed and orange where down. Words are squares, features circles, errors diamonds.

    Args:
        graph: a graph, or an answer that holds a table of paths (`circuits.paths`, `circuits.why`).
        target: which target, as for `circuits.paths`; not beside an answer.
        most: paths drawn, at most.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        NotFound: no such target.
        UsageError: no path leads there, the answer tells of none, or `most` is below 1.

    Example:
        >>> save(strongest_paths(paths(graph, sources="Dallas")), "paths.svg")  # doctest: +SKIP
    """
    if most < 1:
        raise UsageError(f"The {most} strongest paths were asked for: give 1 or more.")
    answer = graph if isinstance(graph, Answer) else paths(graph, target, k=most)
    table = answer.tables.get("paths")
    if table is None or not len(table):
        raise UsageError("This answer tells of no paths: draw circuits.paths(graph) or circuits.why(graph).")
    whole = answer.highlight if isinstance(graph, Answer) else graph
    ways = [_way(row) for row in table.head(most).to_dicts()]
    naming = Naming.of(whole)
    texts = {node: _text(whole, naming, node) for way in ways for node in way.nodes}
    left = MARGIN + BAR + AMOUNT + (AMOUNT + 0.1 if ways[0].effect is not None else 0.0) + 0.1
    steps = [sum(_wide(texts[node], _name(whole, node)) + STEP for node in way.nodes) - STEP for way in ways]
    said = _said(answer, len(ways))
    width = max(left + max(steps), 4.2, MARGIN + style.text_width(said, style.SMALL)) + MARGIN
    height = 2 * MARGIN + HEAD + LINE * len(ways) + KEY
    with board(width, height, ax) as axes:
        _heads(axes, height - MARGIN - HEAD / 2, left, ways[0].effect is not None)
        largest = max(way.share for way in ways)
        for i, way in enumerate(ways):
            y = height - MARGIN - HEAD - LINE * (i + 0.5)
            _amounts(axes, way, i, y, largest)
            _steps(axes, whole, way, (i, left, y), texts)
        axes.text(MARGIN, MARGIN + 0.04, said, va="center", **style.type_of(style.SMALL, style.MUTED))
    return axes


def _way(row: Mapping[str, object]) -> _Way:
    effect = row.get("effect")
    known = float(effect) if isinstance(effect, float) else None
    up = row.get("sign") != "−" if known is None else known >= 0
    nodes, share = row["nodes"], row["share"]
    assert isinstance(nodes, list)
    assert isinstance(share, float)
    return _Way(tuple(nodes), share, known, up)


def _text(graph: Graph, naming: Naming, node: str) -> str:
    """Gives a step as short as a line of several needs it: a word, a label, a name."""
    label = graph.nodes["label"][graph.index[node]] if node in graph.index else None
    said = feature_label(label, node) if label else naming.brief(node).removeprefix("output ")
    return style.fitted(style.drawable(said), NAME)


def _wide(text: str, name: str) -> float:
    """Gives the room of a step: its shape, its text and, after a label, its name."""
    return 0.2 + style.text_width(text) + (0.06 + style.text_width(name, style.SMALL) if name else 0.0)


def _name(graph: Graph, node: str) -> str:
    """Gives the name of a step that goes by its label, else nothing."""
    labelled = node in graph.index and graph.nodes["label"][graph.index[node]]
    return node.split("@")[0] if labelled and graph.nodes["kind"][graph.index[node]] == "feature" else ""


def _said(answer: Answer, count: int) -> str:
    """Gives how much of all paths is shown, where the answer knows."""
    table = answer.tables["paths"].head(count)
    carried = percent(float(table["share"].sum()))
    said = f"these {count} carry {carried}" if count > 1 else f"it carries {carried}"
    totals = answer.tables.get("totals")
    if totals is None or "number" not in totals.columns:
        return f"{said} of what flows into the target"
    every = totals.filter(which="all such paths")
    many, whole = float(every["number"][0]), float(every["share"][0])
    return f"{said}, all {number(many)} such paths {percent(whole)} of what flows into the target"


def _heads(axes: Axes, y: float, left: float, effects: bool) -> None:
    """Draws what the columns are."""
    small = style.type_of(style.SMALL, style.MUTED)
    axes.text(MARGIN, y, "share", va="center", **small)
    if effects:
        axes.text(left - 0.12, y, "effect", ha="right", va="center", **small)
    axes.text(left, y, "path", va="center", **small)


def _amounts(axes: Axes, way: _Way, i: int, y: float, largest: float) -> None:
    """Draws a path's bar (gid `bar:number`), its share and its effect."""
    tone = style.POSITIVE if way.up else style.NEGATIVE
    box = Rectangle((MARGIN, y - 0.05), BAR * way.share / largest, 0.1, ec=tone, lw=0.8, gid=f"bar:{i}")
    box.set(fc=tone if way.up else style.PAPER, hatch=None if way.up else "//////")
    axes.add_patch(box)
    x = MARGIN + BAR * way.share / largest + 0.05
    axes.text(x, y, percent(way.share), va="center", gid=f"share:{i}", **style.type_of())
    if way.effect is not None:
        x = MARGIN + BAR + 2 * AMOUNT + 0.08
        axes.text(x, y, signed(way.effect), ha="right", va="center", gid=f"effect:{i}", **style.type_of())


def _steps(
    axes: Axes, graph: Graph, way: _Way, at: tuple[int, float, float], texts: Mapping[str, str]
) -> None:
    """Draws a path's nodes (gid `step:number→node`) and the edges between them (`way:number→node`)."""
    i, x, y = at
    for place, node in enumerate(way.nodes):
        if place:
            up = _pushes_up(graph, way.nodes[place - 1], node)
            tone = style.POSITIVE if up else style.NEGATIVE
            line = Line2D([x + 0.03, x + STEP - 0.05], [y, y], color=tone, lw=1.3, gid=f"way:{i}→{node}")
            line.set_linestyle(style.SOLID if up else style.DASHED)
            axes.add_line(line)
            tip = (x + STEP - 0.05, y)
            axes.add_patch(RegularPolygon(tip, 3, radius=0.045, orientation=-np.pi / 2, fc=tone, ec="none"))
            x += STEP
        axes.add_patch(symbol(graph, node, x + 0.06, y))
        last = place == len(way.nodes) - 1
        look = style.type_of(weight="bold" if last and len(texts[node]) < 24 else "normal")
        axes.text(x + 0.15, y, texts[node], va="center", gid=f"step:{i}→{node}", **look)
        name = _name(graph, node)
        beyond = x + 0.21 + style.text_width(texts[node])
        axes.text(beyond, y, name, va="center", **style.type_of(style.SMALL, style.MUTED))
        x += _wide(texts[node], name)


def _pushes_up(graph: Graph, source: str, target: str) -> bool:
    return float(graph.matrix[graph.row(target), graph.row(source)]) >= 0
