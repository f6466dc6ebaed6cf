"""Combinations as a hypergraph: members on the left, a diamond for each combination, what it acts on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch, RegularPolygon
from matplotlib.path import Path as Outline

from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.board import board, halo
from circuits.plot.combined import MOST, Combined, called, combined
from circuits.plot.diamonds import MEMBER, RADIUS, SIGNS, WORDS, shape
from circuits.plot.marks import symbol
from circuits.query.answer import Answer
from circuits.query.text import Naming

MARGIN: Final = 0.12
PITCH: Final = 0.29  # from one diamond to the next
LINE: Final = 0.20  # from one name to the next, at least
ACROSS: Final = 1.35  # from a member to the diamonds, and from these to what they act on
KEY: Final = 0.34
SWEEPS: Final = 8


def hypergraph(
    graph: Graph | Answer, *, target: str | None = None, most: int = MOST, ax: Axes | None = None
) -> Axes:
    """Gives the picture of who acts together on what: members, a diamond a combination, what it acts on.

    Dotted lines lead from the members to their diamond, which is filled where together they push up and
    hollow where down, and holds the sign of the kind (& and, ∨ or, ⊣ one holds back the other, ⊕ xor,
    + additive, ∗ other, ? undecided). A line leads on to what they act on: solid and blue up, dashed and
    orange down, as wide as the combination's share of what moves the target. Beside the diamond stands the
    interaction, as in `upset`.

    Args:
        graph: a graph with interactions, or an answer that holds a table of combinations.
        target: which target, as for `circuits.why`; not beside an answer.
        most: combinations drawn, at most.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        NotFound: no such target.
        UsageError: no interactions, none that bear on the target, or `most` is below 1.

    Example:
        >>> save(hypergraph(graph), "hypergraph.svg")  # doctest: +SKIP
    """
    whole, found = combined(graph, target, most)
    naming = Naming.of(whole)
    members, order, targets = _ordered(found)
    texts = {name: called(whole, naming, name) for name in (*members, *targets)}
    left = MARGIN + max(style.text_width(texts[name]) for name in members) + 0.2
    right = left + 2 * ACROSS
    width = right + 0.2 + max(style.text_width(texts[name], weight="bold") for name in targets) + MARGIN
    tall = max(PITCH * len(order), LINE * len(members), LINE * len(targets))
    kinds = [kind for kind in SIGNS if kind in {one.kind for one in found}]
    width = max(width, sum(style.text_width(WORDS[kind], style.SMALL) + 0.36 for kind in kinds) + 2 * MARGIN)
    with board(width, tall + KEY + 2 * MARGIN, ax) as axes:
        top = tall + KEY + MARGIN
        places = {name: (left, y) for name, y in zip(members, _spread(len(members), top, tall), strict=True)}
        ends = {name: (right, y) for name, y in zip(targets, _spread(len(targets), top, tall), strict=True)}
        middle = left + ACROSS
        for one, y in zip(order, _spread(len(order), top, tall), strict=True):
            _combination(axes, one, (middle, y), places, ends)
        _names(axes, whole, texts, places, ends)
        _key(axes, kinds, found[0].relative)
    return axes


def _ordered(found: Sequence[Combined]) -> tuple[list[str], list[Combined], list[str]]:
    """Gives members, combinations and targets from top to bottom, so that few lines cross.

    Each takes the mean place of those it is joined to, in turns (Sugiyama, Tagawa & Toda 1981).
    """
    order = list(found)
    members = list(dict.fromkeys(name for one in order for name in one.members))
    targets = list(dict.fromkeys(one.where for one in order))
    for _ in range(SWEEPS):
        place = {name: i / max(1, len(members) - 1) for i, name in enumerate(members)}
        ends = {name: i / max(1, len(targets) - 1) for i, name in enumerate(targets)}
        order.sort(key=lambda one: np.mean([place[n] for n in one.members]) + ends[one.where])
        rank = {one.name: i for i, one in enumerate(order)}
        members.sort(key=lambda name: np.mean([rank[one.name] for one in order if name in one.members]))
        targets.sort(key=lambda name: np.mean([rank[one.name] for one in order if name == one.where]))
    return members, order, targets


def _spread(count: int, top: float, tall: float) -> list[float]:
    """Gives heights for things below each other, evenly over the picture."""
    return [top - tall * (i + 0.5) / count for i in range(count)]


Places = Mapping[str, tuple[float, float]]


def _combination(axes: Axes, one: Combined, at: tuple[float, float], places: Places, ends: Places) -> None:
    """Draws a diamond (gid `hyperedge:id`) with its sign, number and lines (`join:id→node`)."""
    up = one.value >= 0
    color = style.POSITIVE if up else style.NEGATIVE
    for name in one.members:
        _curve(axes, places[name], at, f"join:{one.name}→{name}", style.INK, (MEMBER, 0.8))
    share = min(1.0, one.share or 0.0)
    look = (style.SOLID if up else style.DASHED, 0.6 + 6.0 * share)
    _curve(axes, at, ends[one.where], f"join:{one.name}→{one.where}", color, look)
    axes.add_patch(shape(*at, up=up, gid=f"hyperedge:{one.name}"))
    sign = style.type_of(color=style.PAPER if up else color, weight="bold")
    sign |= {"ha": "center", "va": "center_baseline", "zorder": 6, "gid": f"sign:{one.name}"}
    axes.text(*at, SIGNS.get(one.kind, "∗"), **sign)
    aside = -0.075 if ends[one.where][1] > at[1] + 0.05 else 0.075  # where the line does not go
    axes.text(
        at[0] + RADIUS + 0.04, at[1] + aside, one.text, va="center", zorder=5, path_effects=halo(),
        gid=f"amount:{one.name}", **style.type_of(style.SMALL, color),
    )  # fmt: skip


def _curve(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    gid: str,
    color: str,
    look: tuple[object, float],
) -> None:
    """Draws a line that leaves and arrives level."""
    (x0, y0), (x1, y1) = start, end
    bend = 0.5 * (x1 - x0)
    way = Outline(
        [(x0, y0), (x0 + bend, y0), (x1 - bend, y1), (x1, y1)],
        [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4],
    )
    line = PathPatch(way, fc="none", ec=color, lw=look[1], alpha=0.85, capstyle="butt", gid=gid, zorder=2)
    line.set_linestyle(look[0])
    axes.add_patch(line)


def _names(axes: Axes, graph: Graph, texts: Mapping[str, str], places: Places, ends: Places) -> None:
    """Draws members (gid `node:name`) with their names on the left, targets on the right."""
    for name, (x, y) in places.items():
        axes.add_patch(symbol(graph, name, x, y, gid=f"node:{name}"))
        axes.text(x - 0.11, y, texts[name], ha="right", va="center", gid=f"member:{name}", **style.type_of())
    for name, (x, y) in ends.items():
        box = RegularPolygon(
            (x, y), 4, radius=0.075, orientation=np.pi / 4, fc=style.INK, ec="none", zorder=3
        )
        axes.add_patch(box)
        bold = style.type_of(weight="bold")
        axes.text(x + 0.11, y, texts[name], va="center", gid=f"acted:{name}", **bold)


def _key(axes: Axes, kinds: Sequence[str], relative: bool) -> None:
    """Draws what signs, fills and numbers mean, along the bottom."""
    x, y = MARGIN + 0.06, MARGIN + 0.05
    small = style.type_of(style.SMALL, style.MUTED)
    for kind in kinds:
        axes.text(x, y, SIGNS[kind], ha="center", va="center", **style.type_of(style.SMALL, weight="bold"))
        axes.text(x + 0.09, y, WORDS[kind], va="center", **small)
        x += 0.09 + style.text_width(WORDS[kind], style.SMALL) + 0.22
    unit = "as a share of what moves the target" if relative else "in its own units"
    x, y = MARGIN + 0.06, y + 0.16
    for up, said in ((True, "together push up"), (False, "down")):
        axes.add_patch(shape(x, y, up=up, radius=0.06))
        axes.text(x + 0.1, y, said, va="center", **small)
        x += 0.1 + style.text_width(said, style.SMALL) + 0.22
    axes.text(x - 0.06, y, f"number: the interaction, {unit}", va="center", **small)
