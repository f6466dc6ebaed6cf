"""What a figure is drawn on: axes of its own, or axes that were given, in inches or in its own units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text

from circuits.plot import style

HALO: Final = 2.0
"""Points of paper around a label that has a halo."""


def halo(scale: float = 1.0) -> list[AbstractPathEffect]:
    """Gives the paper around a label, so that lines do not cross it out."""
    return [withStroke(linewidth=HALO * scale, foreground=style.PAPER)]


class Board(Axes):
    """The axes of a figure of its own: a notebook shows them as the picture, once."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        from circuits.plot.save import page_png

        return page_png(self)


def whole(drawn: Axes | Figure) -> Figure:
    """Gives the figure that axes belong to, whatever figures are in between."""
    if isinstance(drawn, Figure):
        return drawn
    found = drawn.get_figure(root=True)
    assert found is not None  # axes are made by a figure
    return found


def room(ax: Axes) -> tuple[float, float]:
    """Gives the width and height of axes in inches, once the figure's own layout has settled."""
    figure = whole(ax)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()
    box = ax.get_window_extent()
    return box.width / figure.dpi, box.height / figure.dpi


@contextmanager
def board(
    width: float, height: float, ax: Axes | None = None, figsize: tuple[float, float] | None = None
) -> Iterator[Axes]:
    """Gives axes whose units are inches, and afterwards brings what was drawn to their size.

    Args:
        width: of the picture at its natural size, where type has 7 points.
        height: the same.
        ax: where to draw, as large as fits; a figure of its own unless given.
        figsize: of that figure; the natural size unless given.
    """
    ax = ax or style.figure(*(figsize or (width, height))).add_axes((0, 0, 1, 1), axes_class=Board)
    wide, high = room(ax)
    before = set(ax.get_children())
    ax.set_axis_off()
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_aspect("equal", adjustable="box", anchor="C")
    yield ax
    scale = min(wide / width, high / height)
    if abs(scale - 1) > 1e-9:
        for artist in ax.get_children():
            if artist not in before:
                _scale(artist, scale)


def plane(width: float, height: float, rect: tuple[float, float, float, float], ax: Axes | None) -> Axes:
    """Gives axes with scales of their own, dressed as all figures are.

    Args:
        width: of a new figure, in inches.
        height: the same.
        rect: left, bottom, width and height of its axes, in inches.
        ax: where to draw instead.
    """
    if ax is None:
        left, bottom, wide, high = rect
        place = (left / width, bottom / height, wide / width, high / height)
        ax = style.figure(width, height).add_axes(place, axes_class=Board)
    ax.set_facecolor(style.PAPER)
    ax.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set(color=style.WORD, linewidth=0.6)
    ax.tick_params(
        labelsize=style.SMALL, labelcolor=style.MUTED, color=style.WORD, width=0.6, length=2.5,
        labelfontfamily=style.FAMILY,
    )  # fmt: skip
    return ax


def _scale(artist: Artist, scale: float) -> None:
    """Brings type and lines, drawn for the natural size, to another."""
    if isinstance(artist, Text):
        artist.set_fontsize(float(artist.get_fontsize()) * scale)
        if artist.get_path_effects():
            artist.set_path_effects(halo(scale))
    elif isinstance(artist, Patch | Line2D):
        artist.set_linewidth(float(artist.get_linewidth()) * scale)
