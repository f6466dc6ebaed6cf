"""Hyperedges in a network: a small diamond each, joined to its members and to what they act on."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import RegularPolygon

from circuits.plot import style
from circuits.plot.choose import Joined
from circuits.plot.labels import Rectangle, free
from circuits.plot.marks import Mark

RADIUS: Final = 0.095
NAME: Final = 1.6  # inches of the names of concepts, at most
SIGNS: Final[Mapping[str, str]] = {
    "and": "&",
    "or": "∨",
    "inhibit": "⊣",
    "xor": "⊕",
    "additive": "+",
    "other": "∗",
    "undecided": "?",
}
"""What stands in a diamond, by kind."""

WORDS: Final[Mapping[str, str]] = {
    "and": "and",
    "or": "or",
    "inhibit": "holds back",
    "xor": "xor",
    "additive": "adds up",
    "other": "other",
    "undecided": "undecided",
}
"""What the sign means, in the legend."""

MEMBER: Final = (0, (1.0, 1.4))
"""The line from a member to its diamond: dotted, so that it is no edge."""


@dataclass(frozen=True)
class Diamond:
    """A hyperedge and where it stands, in inches."""

    joined: Joined
    x: float
    y: float

    @property
    def rectangle(self) -> Rectangle:
        """Gives the rectangle it covers."""
        return self.x - RADIUS, self.y - RADIUS, self.x + RADIUS, self.y + RADIUS

    @property
    def text(self) -> str:
        """Gives the names of the concepts it joins, as short as a picture needs them."""
        names = " & ".join(self.joined.concepts)
        return style.fitted(style.drawable(names), NAME) if names else ""


def stand(hyperedges: Sequence[Joined], marks: Mapping[str, Mark], bounds: Rectangle) -> list[Diamond]:
    """Gives each hyperedge the free place nearest to the way from its members to its target.

    Args:
        hyperedges: the strongest first: they choose first.
        marks: the nodes, by name, in their places.
        bounds: where diamonds must stay.
    """
    taken = [mark.rectangle for mark in marks.values()]
    found: list[Diamond] = []
    for joined in hyperedges:
        target = marks[joined.target]
        members = [marks[name] for name in joined.members]
        middle = float(np.mean([m.x for m in members])), float(np.mean([m.y for m in members]))
        places = (Diamond(joined, x, y) for x, y in _ways((target.x, target.y), middle))
        open_ = (d for d in places if free(d.rectangle, taken, bounds))
        diamond = next(open_, Diamond(joined, (target.x + middle[0]) / 2, (target.y + middle[1]) / 2))
        taken.append(diamond.rectangle)
        found.append(diamond)
    return found


def draw(axes: Axes, diamonds: Sequence[Diamond], marks: Mapping[str, Mark]) -> None:
    """Draws diamonds (gid `hyperedge:id`), their signs (`sign:id`) and lines (`join:id→node`)."""
    for diamond in diamonds:
        joined = diamond.joined
        up = joined.weight >= 0
        color = style.POSITIVE if up else style.NEGATIVE
        at = np.array([diamond.x, diamond.y])
        for name in joined.members:
            _line(axes, marks[name], at, joined, style.INK, (MEMBER, 0.8))
        _line(
            axes,
            marks[joined.target],
            at,
            joined,
            color,
            (style.SOLID if up else style.DASHED, 0.5 + 3.0 * min(joined.share, 1.0)),
        )
        axes.add_patch(shape(diamond.x, diamond.y, up=up, gid=f"hyperedge:{joined.name}"))
        axes.text(
            diamond.x, diamond.y, SIGNS.get(joined.kind, "∗"),
            ha="center", va="center_baseline", zorder=6, gid=f"sign:{joined.name}",
            **style.type_of(color=style.PAPER if up else color, weight="bold"),
        )  # fmt: skip


def shape(x: float, y: float, *, up: bool, gid: str | None = None, radius: float = RADIUS) -> RegularPolygon:
    """Gives a diamond: filled where the interaction pushes up, hollow where down."""
    color = style.POSITIVE if up else style.NEGATIVE
    fill = color if up else style.PAPER
    return RegularPolygon((x, y), 4, radius=radius, fc=fill, ec=color, lw=0.9, zorder=5, gid=gid)


def _line(
    axes: Axes, mark: Mark, at: np.ndarray, joined: Joined, color: str, look: tuple[object, float]
) -> None:
    """Draws a straight line from a node's rim to the diamond."""
    node = np.array([mark.x, mark.y])
    away = at - node
    length = float(np.hypot(*away)) or 1.0
    start = node + away * min(1.0, mark.radius / length)
    line = Line2D(
        [start[0], at[0]], [start[1], at[1]], color=color, lw=look[1], alpha=0.85,
        zorder=2.5, gid=f"join:{joined.name}→{mark.node}",
    )  # fmt: skip
    line.set_linestyle(look[0])
    axes.add_line(line)


def _ways(target: tuple[float, float], middle: tuple[float, float]) -> Iterator[tuple[float, float]]:
    """Gives places on the way from the target to its members' middle, then beside it, ever further."""
    way = np.subtract(middle, target)
    length = float(np.hypot(*way))
    along = way / length if length > 1e-9 else np.array([0.0, -1.0])
    across = np.array([-along[1], along[0]])
    for aside, part in itertools.product(
        (0.0, 0.16, -0.16, 0.32, -0.32, 0.5, -0.5, 0.8, -0.8), (0.4, 0.5, 0.6, 0.3, 0.7)
    ):
        x, y = np.asarray(target) + along * max(part * length, 2.5 * RADIUS) + across * aside
        yield float(x), float(y)
