"""A contrast as a picture: what only the one graph has, what only the other, and what both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.patches import Circle
from matplotlib.text import Text

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.plot import layout as lay
from circuits.plot import style
from circuits.plot.network import network

COLORS: Final[Mapping[str, str]] = {
    "only here": style.POSITIVE,
    "only there": style.NEGATIVE,
    "in both": style.FEATURE,
}
"""Of features, by where they are; the colours of the edges that push the output up here, or there."""


def difference(
    graph: Graph, *, nodes: int = 40, figsize: tuple[float, float] | None = None, ax: Axes | None = None
) -> Axes:
    """Gives the token × layer picture of what differs between two graphs.

    As `network`, of the features, words and edges that differ: features are blue where only the first
    graph has them, orange where only the second, grey where both. The area of a node grows with its part in
    the difference. An edge is the difference of its two weights, blue and solid where the first's is the
    higher. Under a word stands the one it replaces.

    Args:
        graph: the highlight of a contrast (`circuits.contrast(…).highlight`).
        nodes: how many nodes besides the target.
        figsize: width and height in inches; unless given, as large as 7-point type needs.
        ax: where to draw, filling it; a figure of its own unless given.

    Raises:
        UsageError: the graph is no contrast, or nothing differs.

    Example:
        >>> save(difference(contrast(graph, other).highlight), "difference.svg")  # doctest: +SKIP
    """
    told = graph.meta.get("contrast")
    if not told or "sides" not in told:
        raise UsageError("This graph is no contrast: draw the highlight of circuits.contrast(graph, other).")
    if not len(graph.edges):
        raise UsageError("Nothing differs between the two graphs, so there is nothing to draw.")
    axes = network(graph, nodes=nodes, figsize=figsize, title=" ", ax=ax)
    for patch in axes.patches:
        node = str(patch.get_gid() or "").removeprefix("node:")
        if isinstance(patch, Circle) and node in told["how"]:
            patch.set_facecolor(COLORS[told["how"][node]])
    words = told.get("words") or {}
    for text in axes.texts:
        position = str(text.get_gid() or "").removeprefix("word:")
        if position in words:
            one, other = text.get_text(), style.fitted(style.drawable(words[position].strip(" ")), WIDEST)
            text.set_text(f"{one}\n({other})" if other else one)
        elif text.get_text() in _SAID:
            text.set_text(_SAID[text.get_text()])
    _draw_sides(axes, told)
    return axes


WIDEST: Final = 0.85

_SAID: Final = {
    "pushes up": "more here",
    "pushes down": "less here",
    "area: influence · width: share of receiver's input": "area: part in the difference",
}
"""What the legend says in place of that of `network`; as long as that at most."""


def _draw_sides(axes: Axes, told: Mapping[str, Any]) -> None:
    """Draws, above the picture, what the colours of features mean."""
    title = next(text for text in axes.texts if text.get_gid() == "title")
    size = float(title.get_fontsize()) * style.SIZE / style.TITLE
    scale = size / style.SIZE
    x, y = float(title.get_position()[0]), float(title.get_position()[1]) - 0.07
    title.remove()
    here, there = told["sides"]
    for how, words in (
        ("only here", f"only {here} (here)"),
        ("only there", f"only {there} (there)"),
        ("in both", "in both"),
    ):
        said = style.drawable(words)
        axes.add_patch(Circle((x + 0.05, y), 0.05, fc=COLORS[how], ec="none", gid=f"side:{how}"))
        axes.add_artist(
            Text(x + 0.15, y, said, va="center_baseline", **(style.type_of() | {"fontsize": size}))
        )
        x += 0.15 + style.text_width(said) + lay.MARGIN + 0.1 * scale
