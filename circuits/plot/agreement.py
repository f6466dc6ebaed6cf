"""What the graph predicted against what the model did: a point a claim, on or off the diagonal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.names import resolve_target
from circuits.plot import style
from circuits.plot.board import plane
from circuits.query.text import Naming
from circuits.query.verified import is_free

SIDE: Final = 3.2  # inches of the square of points
LEFT: Final = 0.62
MARGIN: Final = 0.12
AXIS: Final = 0.46

NONE: Final = (
    "Nothing this graph predicts was tried on the model: do so with circuits.verify or `circuits verify RUN`."
)

SHAPES: Final[Mapping[str, tuple[str, str]]] = {
    "node": ("o", "one node off"),
    "pair": ("D", "two off"),
    "beyond": ("X", "two, beyond each alone"),
    "set": ("s", "several off"),
    "path": ("^", "a path"),
    "edge": ("v", "an edge"),
    "concept": ("h", "a concept off"),
    "circuit": ("P", "all but a circuit off"),
}
"""The marker of a kind of claim, and what it says; `beyond` is what a set does beyond its subsets."""

SIZE: Final = 3.6  # points of a marker


def agreement(graph: Graph, *, target: str | None = None, ax: Axes | None = None) -> Axes:
    """Gives the picture of predicted against measured: a point a verdict, its tolerance as a bar.

    Across stands what the graph predicts of a target's change, upwards what was measured on the model. The
    light bar through the diagonal is where the point may lie for the claim to hold. Filled grey points were
    measured frozen, with all but the run's features held, where the graph must be right; blue ones free,
    with nothing held, the honest figure; hollow orange ones failed. The shape says what was claimed.

    Args:
        graph: a graph with verdicts (`circuits.verify(…).graph`).
        target: draw only what was measured at this target; all unless given.
        ax: where to draw; a figure of its own unless given.

    Raises:
        NotFound: no such target.
        UsageError: there are no verdicts, or none at the target.

    Example:
        >>> save(agreement(verify(graph, model, dictionary).graph), "agreement.svg")  # doctest: +SKIP
    """
    rows = graph.verdicts
    if not len(rows):
        raise UsageError(NONE)
    naming = Naming.of(graph)
    if target is not None:
        node = resolve_target(graph, target)
        rows = rows.filter(target=node)
        if not len(rows):
            raise UsageError(f"No claim about {naming.phrase(node)} was tried on the model.")
    said = _said(rows)
    key = 0.42 + max(style.text_width(text, style.SMALL) for _, text in said)
    axes = plane(LEFT + SIDE + key + MARGIN, AXIS + SIDE + MARGIN, (LEFT, AXIS, SIDE, SIDE), ax)
    known = rows.filter(pl.col("predicted").is_finite() & pl.col("measured").is_finite())
    _ground(axes, known)
    for row in known.sort(is_free(), maintain_order=True).to_dicts():
        _point(axes, row)
    _key(axes, said)
    who = rows["target"].unique().to_list()
    of = f" of {naming.brief(who[0])}" if len(who) == 1 else ""
    look = style.type_of(style.SMALL, style.MUTED)
    axes.set_xlabel(style.drawable(f"change{of}, predicted by the graph"), labelpad=3, **look)
    axes.set_ylabel("measured on the model", labelpad=3, **look)
    return axes


def _ground(axes: Axes, rows: pl.DataFrame) -> None:
    """Draws the diagonal and zero, and sets both scales alike."""
    ends = [0.0, *rows["predicted"], *rows["measured"]]
    low, high = min(ends), max(ends)
    room = 0.06 * (high - low) or 1.0
    ends = [low - room, high + room]
    axes.set(xlim=ends, ylim=ends)
    axes.set_aspect("equal", adjustable="box", anchor="W")
    axes.add_line(Line2D(ends, ends, color=style.WORD, lw=0.8, zorder=1.5, gid="diagonal"))
    for x, y in ((ends, [0, 0]), ([0, 0], ends)):
        axes.add_line(Line2D(x, y, color=style.HAIR, lw=0.6, zorder=0.5))


def _point(axes: Axes, row: Mapping[str, Any]) -> None:
    """Draws a verdict (gid `verdict:id`) and where it may lie (`tolerance:id`)."""
    x, y, tolerance = row["predicted"], row["measured"], row["tolerance"]
    axes.add_line(
        Line2D(
            [x, x], [x - tolerance, x + tolerance], color=style.HAIR, lw=2.2, solid_capstyle="butt",
            zorder=1, gid=f"tolerance:{row['verdict']}",
        )
    )  # fmt: skip
    axes.add_line(
        Line2D(
            [x], [y], marker=SHAPES[_kind(row)][0], zorder=3, gid=f"verdict:{row['verdict']}", **_look(row)
        )
    )


def _look(row: Mapping[str, Any]) -> dict[str, Any]:
    free = row["held"] in ("nothing", "other features")
    tone = style.POSITIVE if free else style.FEATURE
    edge = tone if row["holds"] else style.NEGATIVE
    return {
        "markersize": SIZE,
        "markerfacecolor": tone if row["holds"] else "none",
        "markeredgecolor": edge,
        "markeredgewidth": 0.4 if row["holds"] else 0.9,
        "linestyle": "none",
    }


def _kind(row: Mapping[str, Any]) -> str:
    return "beyond" if row["order"] > 1 else row["kind"] if row["kind"] in SHAPES else "set"


def _said(rows: pl.DataFrame) -> list[tuple[dict[str, Any], str]]:
    """Gives the lines of the legend: what colours and shapes mean, and how many claims hold."""
    free = rows.filter(is_free())
    frozen = rows.filter(~is_free())
    lines: list[tuple[dict[str, Any], str]] = []
    for some, held, name in ((frozen, "patterns", "frozen"), (free, "nothing", "free")):
        if len(some):
            text = f"{name}: {int(some['holds'].sum())} of {len(some)} hold"
            lines.append(({"marker": "o", **_look({"held": held, "holds": True})}, text))
    if not rows["holds"].all():
        lines.append(({"marker": "o", **_look({"held": "nothing", "holds": False})}, "does not hold"))
    lines.append(({"color": style.HAIR, "lw": 2.2}, "within its tolerance"))
    kinds = {_kind(row) for row in rows.select("kind", "order").to_dicts()}
    plain = {
        "markersize": SIZE,
        "markerfacecolor": style.MUTED,
        "markeredgecolor": "none",
        "linestyle": "none",
    }
    return lines + [
        ({"marker": mark, **plain}, text) for kind, (mark, text) in SHAPES.items() if kind in kinds
    ]


def _key(axes: Axes, lines: list[tuple[dict[str, Any], str]]) -> None:
    """Draws the legend right of the points."""
    legend = axes.legend(
        [Line2D([], [], **look) for look, _ in lines], [text for _, text in lines],
        loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, borderaxespad=0.0, handlelength=1.2,
        labelspacing=0.55, labelcolor=style.MUTED, prop={"family": style.FAMILY, "size": style.SMALL},
    )  # fmt: skip
    legend.set_gid("key")
