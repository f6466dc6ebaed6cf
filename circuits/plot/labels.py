"""Labels that never overlap: each takes the first free place around its node, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Rectangle = tuple[float, float, float, float]
"""Left, bottom, right, top, in inches."""

GAP = 0.025


@dataclass(frozen=True)
class Label:
    """A text to be put beside a node: its size and the node's middle and radius."""

    text: str
    width: float
    height: float
    x: float
    y: float
    radius: float


def placed(
    labels: Sequence[Label], taken: Sequence[Rectangle], bounds: Rectangle
) -> list[tuple[float, float] | None]:
    """Gives the middle of each label, or None where no place around its node is free.

    Args:
        labels: the most important first: they choose first.
        taken: rectangles nothing may cover, such as nodes.
        bounds: where labels must stay.
    """
    occupied = list(taken)
    found: list[tuple[float, float] | None] = []
    for label in labels:
        spot = next(
            (p for p in _places(label) if free(_rectangle(label, p), occupied, bounds)),
            None,
        )
        if spot is not None:
            occupied.append(_rectangle(label, spot))
        found.append(spot)
    return found


def overlap(one: Rectangle, other: Rectangle) -> bool:
    """Tells whether two rectangles share an area."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _places(label: Label) -> list[tuple[float, float]]:
    """Gives places below, above, right, left, then towards the corners."""
    up = label.radius + GAP + label.height / 2
    side = label.radius + GAP + label.width / 2
    x, y = label.x, label.y
    corners = [(x + sx * side * 0.8, y + sy * up) for sy in (-1, 1) for sx in (1, -1)]
    return [(x, y - up), (x, y + up), (x + side, y), (x - side, y), *corners]


def _rectangle(label: Label, at: tuple[float, float]) -> Rectangle:
    w, h = label.width / 2, label.height / 2
    return at[0] - w, at[1] - h, at[0] + w, at[1] + h


def free(box: Rectangle, occupied: Sequence[Rectangle], bounds: Rectangle) -> bool:
    """Tells whether a rectangle lies inside the bounds and covers nothing."""
    inside = box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3]
    return inside and not any(overlap(box, other) for other in occupied)
