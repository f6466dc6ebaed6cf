"""Which layers act together: pairs of members by the layers they stand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.board import board
from circuits.query.pairs import WORDS as WORDS
from circuits.query.pairs import PairSums
from circuits.query.pairs import level_name as level_name
from circuits.query.pairs import pair_sums as pair_sums
from circuits.query.text import percent, plain

WIDE, NARROW = 0.40, 0.21  # inches of a cell, with and without a number in it
NUMBERED = 10  # levels up to which cells hold numbers
MARGIN = 0.12
AXIS = 0.42
KEY = 0.36
LEAST = 0.06  # opacity of the weakest cell


def interaction_matrix(graph: Graph, *, values: str = "share", ax: Axes | None = None) -> Axes:
    """Gives the matrix layer × layer of how much pairs make up, layers upwards and to the right.

    A cell sums over all pairs with one member in the one layer and the other in the other. Above the
    diagonal stand the pairs that together push up (positive interactions), below it those that push
    down; a cell on the diagonal is cut in two. The darker, the more, by area the square root. Words
    (token and positional embeddings) are a layer of their own; a concept counts for each of its nodes
    in equal parts.

    Args:
        graph: a graph with interactions.
        values: "share", |weight| as a share of what moves the targets (`circuits.query.combinations`),
            which can be added across gates; or "weight", |weight| itself, whatever its units.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        UsageError: there are no interactions, none of pairs, or `values` is neither.

    Example:
        >>> save(interaction_matrix(graph), "matrix.svg")  # doctest: +SKIP
    """
    sums = pair_sums(graph, values)
    cell = WIDE if len(sums.levels) <= NUMBERED else NARROW
    side = cell * len(sums.levels)
    with board(max(side + AXIS + 2 * MARGIN, 3.4), side + AXIS + KEY + 2 * MARGIN, ax) as axes:
        _draw(axes, sums, cell, percent if values == "share" else plain)
    return axes


def _draw(axes: Axes, sums: PairSums, cell: float, write: Callable[[float], str]) -> None:
    """Draws the cells that hold something, and what they mean."""
    grid = _Grid(axes, MARGIN + AXIS, MARGIN + KEY + AXIS, cell)
    grid.ground(sums.levels)
    for i, j in np.argwhere((sums.up > 0) | (sums.down > 0)):
        if i > j:
            continue
        for up, table in ((True, sums.up), (False, sums.down)):
            value = float(table[i, j])
            if value > 0:
                text = write(value) if cell == WIDE else ""
                grid.cell((int(i), int(j)), value / sums.largest, up, text, sums.gid(int(i), int(j), up))
    grid.key(write(sums.largest))


@dataclass(frozen=True, eq=False)
class _Grid:
    """Axes in inches on which cells are drawn."""

    axes: Axes
    left: float
    bottom: float
    cell_size: float

    def ground(self, levels: tuple[int, ...]) -> None:
        """Draws the empty cells, the diagonal and the names of the levels."""
        c, n = self.cell_size, len(levels)
        for i in range(n):
            band = Rectangle(
                (self.left, self.bottom + i * c), n * c, c, fc=style.BAND, ec=style.PAPER, lw=0.8
            )
            self.axes.add_patch(band)
            self.axes.plot(
                [self.left + i * c] * 2, [self.bottom, self.bottom + n * c], color=style.PAPER, lw=0.8
            )
            name = "words" if levels[i] == WORDS else str(levels[i])
            look = style.type_of(color=style.MUTED)
            y = self.bottom + (i + 0.5) * c
            self.axes.text(self.left - 0.06, y, name, ha="right", va="center", **look)
            turned = 90 if name == "words" and c == NARROW else 0
            x = self.left + (i + 0.5) * c
            self.axes.text(x, self.bottom - 0.06, name, ha="center", va="top", rotation=turned, **look)
        middle = n * c / 2
        look = style.type_of(style.SMALL, style.MUTED)
        self.axes.text(MARGIN, self.bottom + middle, "layer", rotation=90, ha="center", va="center", **look)
        self.axes.text(self.left + middle, self.bottom - AXIS + 0.06, "layer", ha="center", **look)
        ends = [self.left, self.left + n * c], [self.bottom, self.bottom + n * c]
        self.axes.plot(*ends, color=style.WORD, lw=0.6, zorder=3)

    def cell(self, at: tuple[int, int], part: float, up: bool, text: str, gid: str) -> None:
        """Draws a cell: above the diagonal if up, else below, half of it on the diagonal."""
        i, j = at
        c = self.cell_size
        x, y = (i, j) if up else (j, i)
        left, bottom = self.left + x * c, self.bottom + y * c
        corner = (left, bottom + c) if up else (left + c, bottom)
        square = [(left, bottom), (left + c, bottom), (left + c, bottom + c), (left, bottom + c)]
        corners = [(left, bottom), corner, (left + c, bottom + c)] if i == j else square
        alpha = LEAST + (1 - LEAST) * part**0.5
        color = style.POSITIVE if up else style.NEGATIVE
        self.axes.add_patch(
            Polygon(corners, fc=color, ec=style.PAPER, lw=0.8, alpha=alpha, gid=gid, zorder=2)
        )
        if text and (i != j or style.text_width(text) < 0.6 * c):
            ink = style.PAPER if alpha > 0.7 else style.INK
            aside = 0.0 if i != j else -0.19 * c if up else 0.19 * c  # towards the triangle's middle
            middle = left + c / 2 + aside, bottom + c / 2 - aside
            self.axes.text(*middle, text, ha="center", va="center", zorder=4, **style.type_of(color=ink))

    def key(self, largest: str) -> None:
        """Draws what colours and shades mean, below."""
        x, y = MARGIN, MARGIN + 0.08
        for color, said in (
            (style.POSITIVE, "above: together push up"),
            (style.NEGATIVE, "below: push down"),
        ):
            self.axes.add_patch(Rectangle((x, y - 0.05), 0.1, 0.1, fc=color, ec="none"))
            self.axes.text(x + 0.15, y, said, va="center", **style.type_of(style.SMALL, style.MUTED))
            x += 0.15 + style.text_width(said, style.SMALL) + 0.15
        said = f"strongest: {largest}"
        self.axes.text(MARGIN, y + 0.17, said, va="center", **style.type_of(style.SMALL, style.MUTED))
