"""What each node looks like in a picture: its size, its text, the room it takes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.patches import Circle, Patch, RegularPolygon

from circuits.graph.graph import Graph
from circuits.plot import style
from circuits.plot.labels import Rectangle
from circuits.plot.layout import LOGIT_LEVEL, TOKEN_LEVEL
from circuits.query.text import Naming, probable

LABEL_WIDTH = 1.15
TOKEN_WIDTH = 0.85
LOGIT_WIDTH = 1.5
SMALLEST, LARGEST = 0.042, 0.115  # radii
HALF_BOX = 0.09  # half the height of a target's box
LEVELS: Mapping[str, int] = {"logit": LOGIT_LEVEL, "token": TOKEN_LEVEL, "position": TOKEN_LEVEL}
"""Kinds that stand on a level of their own; the others stand on their layer's."""


@dataclass(frozen=True)
class Mark:
    """One node as drawn.

    Attributes:
        node: its name.
        kind: its kind.
        x: its middle, inches from the left.
        y: its middle, inches from the bottom.
        radius: half its height.
        half_width: half its width; more than `radius` only for targets.
        text: its label, or what stands in a target's box.
    """

    node: str
    kind: str
    x: float
    y: float
    radius: float
    half_width: float
    text: str

    @property
    def rectangle(self) -> Rectangle:
        """Gives the rectangle it covers."""
        return (
            self.x - self.half_width,
            self.y - self.radius,
            self.x + self.half_width,
            self.y + self.radius,
        )


def feature_label(label: str | None, node: str) -> str:
    """Gives a feature's label as short as a picture needs it.

    Of a list of promoted tokens, spellings of the same word are given once; a feature without a
    label is called by layer and number.

    Example:
        >>> feature_label('→ " Mary", " mary", " Marie"', "24/1042@13"), feature_label(None, "24/1042@13")
        ('→ Mary · Marie', '24/1042')
    """
    if not label:
        return node.split("@")[0]
    if label.startswith("→"):
        quotes = re.findall(r'"(?:[^"\\]|\\.)*"', label)
        words = [_visible(json.loads(q)) for q in quotes]
        once = {word.casefold(): word for word in reversed(words)}
        label = "→ " + " · ".join(reversed(once.values())) if words else label
    return style.drawable(label)


def _called(row: dict[str, Any]) -> str:
    """Gives what is written beside a feature, or a concept."""
    concept = row["feature"] is None
    return style.drawable(row["node"]) if concept else feature_label(row["label"], str(row["node"]))


def _visible(token: str) -> str:
    """Gives a token as it reads in a list: blanks as a sign, punctuation in quotes."""
    word = token.strip(" ") or "␣"
    return word if word in "␣\n\t" or any(c.isalnum() for c in word) else f"‘{word}’"


def token_texts(naming: Naming, at_least: int) -> tuple[str, ...]:
    """Gives the tokens as they stand under a picture, positions beyond the known ones as numbers."""
    texts = [style.drawable(t.strip(" ") or "␣") for t in naming.tokens]
    texts += [str(p) for p in range(len(texts), at_least)]
    return tuple(style.fitted(text, TOKEN_WIDTH) for text in texts)


def mark_of(row: dict[str, Any], naming: Naming, largest: float) -> Mark:
    """Gives the mark of one row of the node table, not yet in its place.

    Args:
        row: the row.
        naming: readable names.
        largest: the largest influence of a feature in the picture.
    """
    kind, node = str(row["kind"]), str(row["node"])
    if kind == "logit":
        chance = naming.probability(node)
        words = re.sub(r'^"\s*|\s*"$', "", naming.output(node).replace('" over "', " over "))
        said = style.drawable(words) + (f"  {probable(chance)}" if chance is not None else "")
        text = style.fitted(said, LOGIT_WIDTH)
        return Mark(node, kind, 0, 0, HALF_BOX, style.text_width(text, weight="bold") / 2 + 0.07, text)
    area = min(1.0, float(row["influence"]) / largest)
    radius = SMALLEST + (LARGEST - SMALLEST) * area**0.5
    if row["target_weight"] > 0:
        radius = LARGEST
    text = style.fitted(_called(row), LABEL_WIDTH) if kind == "feature" else ""
    return Mark(node, kind, 0, 0, radius, radius, text)


def symbol(graph: Graph, node: str, x: float, y: float, *, gid: str | None = None) -> Patch:
    """Gives the shape of a node by its kind, of one size: words square, errors diamonds, outputs dark.

    Args:
        graph: whose node it is; what is no node of it is a concept.
        node: its name.
        x: its middle, inches from the left.
        y: its middle, inches from the bottom.
        gid: its name in the picture.
    """
    kind = str(graph.nodes["kind"][graph.index[node]]) if node in graph.index else "concept"
    look: dict[str, Any] = {"gid": gid, "zorder": 3, "lw": 0.7}
    if kind in ("token", "position", "logit"):
        fill = style.INK if kind == "logit" else style.WORD
        return RegularPolygon((x, y), 4, radius=0.075, orientation=np.pi / 4, fc=fill, ec="none", **look)
    if kind == "error":
        return RegularPolygon((x, y), 4, radius=0.07, fc=style.PAPER, ec=style.MUTED, **look)
    return Circle((x, y), 0.055, fc=style.FEATURE, ec="none", **look)
