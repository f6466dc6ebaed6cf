"""The sum behind a value as a picture: one bar a kind of source, each from where the last ended."""

from __future__ import annotations

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from circuits.errors import UsageError
from circuits.plot import style
from circuits.plot.board import board, room
from circuits.query.answer import Answer
from circuits.query.text import signed

LINE = 0.27
BAR = 0.15
MARGIN = 0.12
WIDTH = 5.6
GAP = 0.07
LEAST = 1e-4
"""Parts below this share of the largest bar are not drawn: rounding is no finding."""


def waterfall(totals: Answer | pl.DataFrame, *, width: float | None = None, ax: Axes | None = None) -> Axes:
    """Gives the waterfall of an answer's `totals`: bars up are solid, bars down hatched.

    Args:
        totals: an answer, or a table with columns `part` and `total`.
        width: in inches, 5.6 or that of `ax` unless given; the height follows from the number of parts.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        UsageError: the answer has no such table, or the table no such columns.
    """
    table = totals.tables.get("totals") if isinstance(totals, Answer) else totals
    if table is None or not {"part", "total"} <= set(table.columns):
        raise UsageError("A waterfall is drawn from a table with the columns part and total.")
    parts = [(str(part), float(total)) for part, total in table.select("part", "total").iter_rows()]
    largest = max((abs(total) for _, total in parts), default=0.0)
    bars = [bar for bar in parts if abs(bar[1]) > LEAST * largest]
    width = width or (WIDTH if ax is None else room(ax)[0])
    height = LINE * (len(bars) + 1) + 2 * MARGIN
    with board(width, height, ax) as axes:
        _draw(axes, bars, sum(total for _, total in parts), (width, height))
    return axes


def _draw(axes: Axes, bars: list[tuple[str, float]], value: float, size: tuple[float, float]) -> None:
    """Draws a bar a part, and the sum below them."""
    width, height = size
    names = max((style.text_width(part) for part in [*(n for n, _ in bars), "sum"]), default=0.0)
    left = MARGIN + names + 0.15
    scale = _Scale.of([total for _, total in bars], left, width - MARGIN)
    y, reached = height - MARGIN - LINE / 2, 0.0
    axes.add_line(Line2D([scale.at(0)] * 2, [MARGIN, height - MARGIN], color=style.HAIR, lw=0.8))
    for part, total in bars:
        axes.text(left - 0.12, y, part, ha="right", va="center", **style.type_of())
        _bar(axes, scale, (reached, reached + total), y, f"bar:{part}")
        _step(axes, scale, reached + total, y)
        reached += total
        y -= LINE
    bold = style.type_of(weight="bold")
    axes.text(left - 0.12, y, "sum", ha="right", va="center", **bold)
    _bar(axes, scale, (0.0, value), y, "bar:sum", color=style.INK)


class _Scale:
    """From amounts to inches."""

    def __init__(self, low: float, high: float, left: float, right: float) -> None:
        self.low, self.left = low, left
        self.unit = (right - left) / max(high - low, 1e-300)

    @classmethod
    def of(cls, totals: list[float], left: float, right: float) -> _Scale:
        """Gives a scale on which all running sums fit between left and right, numbers beside them."""
        reached, sums = 0.0, [0.0]
        for total in totals:
            reached += total
            sums.append(reached)
        room = 0.5  # for a number on either side
        return cls(min(sums), max(sums), left + (room if min(sums) < 0 else 0.0), right - room)

    def at(self, amount: float) -> float:
        """Gives the x of an amount."""
        return self.left + (amount - self.low) * self.unit


def _bar(
    axes: Axes, scale: _Scale, ends: tuple[float, float], y: float, gid: str, color: str | None = None
) -> None:
    up = ends[1] >= ends[0]
    x0, x1 = sorted((scale.at(ends[0]), scale.at(ends[1])))
    tone = color or (style.POSITIVE if up else style.NEGATIVE)
    hatched = not up and color is None
    box = Rectangle((x0, y - BAR / 2), x1 - x0, BAR, gid=gid, lw=0.8, ec=tone)
    box.set(fc=style.PAPER if hatched else tone, hatch="//////" if hatched else None)
    axes.add_patch(box)
    text = signed(ends[1] - ends[0])
    place = (x1 + GAP, "left") if up else (x0 - GAP, "right")
    axes.text(
        place[0], y, text, ha=place[1], va="center", **style.type_of(weight="bold" if color else "normal")
    )


def _step(axes: Axes, scale: _Scale, amount: float, y: float) -> None:
    """Draws the thin line from the end of a bar to the beginning of the next."""
    x = scale.at(amount)
    axes.add_line(Line2D([x, x], [y - BAR / 2, y - LINE + BAR / 2], color=style.MUTED, lw=0.6))
