"""The legend under a network: kinds of nodes, signs of edges, what size and width mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Patch, RegularPolygon

from circuits.plot import style
from circuits.plot.diamonds import MEMBER, SIGNS, WORDS, shape
from circuits.plot.layout import AXIS, LEGEND_HEIGHT, LEGEND_LINE, MARGIN

GAP = 0.16


def draw_legend(
    axes: Axes, width: float, counts: str, kinds: Sequence[str] = (), *, circle: str = "feature"
) -> None:
    """Draws the legend along the bottom of axes whose units are inches.

    Args:
        axes: where to.
        width: of the figure.
        counts: how much of the graph is shown; left out where there is no room.
        kinds: of the hyperedges shown; they take a line of their own.
        circle: what a circle stands for.
    """
    y = MARGIN + LEGEND_HEIGHT / 2 - 0.06
    if kinds:
        _hyperedges(axes, y, kinds)
        y += LEGEND_LINE
    left = MARGIN + AXIS
    axes.add_line(Line2D([left, width - MARGIN], [y + 0.16] * 2, color=style.HAIR, lw=0.6))
    x = left
    for symbol, text in _nodes(y, circle):
        symbol.set(zorder=3)
        x = _entry(axes, x, y, symbol, text)
    for color, line, text in (
        (style.POSITIVE, style.SOLID, "pushes up"),
        (style.NEGATIVE, style.DASHED, "pushes down"),
    ):
        axes.add_line(Line2D([x, x + 0.28], [y, y], color=color, linestyle=line, lw=1.6))
        axes.text(x + 0.33, y, text, va="center", **_type())
        x += 0.33 + style.text_width(text, style.SMALL) + GAP
    said = "area: influence · width: share of receiver's input"
    axes.text(x, y, said, va="center", **_type())
    x += style.text_width(said, style.SMALL) + GAP
    if x + style.text_width(counts, style.SMALL) < width - MARGIN:
        axes.text(width - MARGIN, y, counts, va="center", ha="right", gid="counts", **_type())


def _hyperedges(axes: Axes, y: float, kinds: Sequence[str]) -> None:
    """Draws what diamonds mean: their fill, the signs of the kinds that occur."""
    x = MARGIN + AXIS
    for up, text in ((True, "together push up"), (False, "together push down")):
        axes.add_patch(shape(x + 0.06, y, up=up, radius=0.06))
        axes.text(x + 0.17, y, text, va="center", **_type())
        x += 0.17 + style.text_width(text, style.SMALL) + GAP
    axes.add_line(Line2D([x, x + 0.28], [y, y], color=style.INK, linestyle=MEMBER, lw=0.8))
    axes.text(x + 0.33, y, "from its members", va="center", **_type())
    x += 0.33 + style.text_width("from its members", style.SMALL) + GAP
    said = "  ".join(f"{SIGNS[kind]} {WORDS[kind]}" for kind in SIGNS if kind in kinds)
    axes.text(x, y, said, va="center", **_type())


def _nodes(y: float, circle: str) -> list[tuple[Patch, str]]:
    box = FancyBboxPatch(
        (0, y - 0.045), 0.16, 0.09, boxstyle="round,pad=0,rounding_size=0.03", fc=style.INK, ec="none"
    )
    return [
        (Circle((0, y), 0.05, fc=style.FEATURE, ec="none"), circle),
        (
            RegularPolygon((0, y), 4, radius=0.062, orientation=0.7853981633974483, fc=style.WORD, ec="none"),
            "word",
        ),
        (RegularPolygon((0, y), 4, radius=0.06, fc=style.PAPER, ec=style.MUTED, lw=0.7), "error"),
        (box, "output"),
    ]


def _entry(axes: Axes, x: float, y: float, shape: Patch, text: str) -> float:
    """Draws one symbol with its word and gives where the next begins."""
    half = 0.08 if isinstance(shape, FancyBboxPatch) else 0.05
    if isinstance(shape, FancyBboxPatch):
        shape.set_x(x)
    elif isinstance(shape, Circle):
        shape.center = (x + half, y)
    elif isinstance(shape, RegularPolygon):
        shape.xy = (x + half, y)
    axes.add_patch(shape)
    axes.text(x + 2 * half + 0.05, y, text, va="center", **_type())
    return x + 2 * half + 0.05 + style.text_width(text, style.SMALL) + GAP


def _type() -> dict[str, Any]:
    return style.type_of(style.SMALL, style.MUTED)
