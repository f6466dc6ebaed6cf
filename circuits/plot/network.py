"""The circuit as a picture: tokens from left to right, layers upwards, signs by colour and line style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, PathPatch, RegularPolygon
from matplotlib.path import Path as Outline

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.plot import layout as lay
from circuits.plot import style
from circuits.plot.board import board, halo, room
from circuits.plot.choose import Chosen, choose
from circuits.plot.diamonds import RADIUS, Diamond, draw, stand
from circuits.plot.labels import Label, Rectangle, placed
from circuits.plot.legend import draw_legend
from circuits.plot.marks import LEVELS, Mark, mark_of, token_texts
from circuits.query.text import Naming

NARROWEST = 7.0  # the legend's
LABEL_HEIGHT = 0.105


def network(
    graph: Graph,
    *,
    nodes: int = 40,
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Gives the token × layer picture of a graph's most influential nodes.

    Features are circles, token embeddings squares, dictionary errors diamonds, targets boxes. The
    area of a node grows with its influence on the targets; the width of an edge with its share of
    what flows into its receiver; edges that push up are solid and blue, those that push down dashed
    and orange. Constants and edges summed into `rest` have no position and are not drawn.

    Where the graph holds interactions, the strongest are small diamonds with the sign of their kind
    (& and, ∨ or, ⊣ one holds back the other, ⊕ xor), filled where together they push up and hollow
    where down; dotted lines lead from the members, a line as wide as their share to what they act on.

    Args:
        graph: any graph with targets; influence is computed if missing.
        nodes: how many nodes besides the targets.
        figsize: width and height in inches; unless given, as large as 7-point type needs. In a
            smaller figure everything is smaller, type included.
        title: a line above the picture.
        ax: where to draw, filling it; a figure of its own unless given.

    Raises:
        UsageError: no nodes were asked for, a size is not positive, or the graph has no target.

    Example:
        >>> save(network(graph), "circuit.svg")  # doctest: +SKIP
    """
    if figsize is not None and min(figsize) <= 0:
        raise UsageError(
            f"A picture of {figsize[0]} by {figsize[1]} inches was asked for: give sizes above 0."
        )
    size = figsize if ax is None else room(ax)
    plan = _Plan.of(choose(graph, nodes), size, titled=bool(title))
    with board(plan.layout.width, plan.layout.height, ax, figsize) as axes:
        _draw(_Canvas(axes, **vars(plan)), title)
    return axes


def _draw(canvas: _Canvas, title: str | None) -> None:
    """Draws everything, at its natural size."""
    _draw_ground(canvas)
    _draw_edges(canvas)
    _draw_nodes(canvas)
    diamonds = stand(canvas.chosen.hyperedges, canvas.marks, canvas.bounds)
    draw(canvas.axes, diamonds, canvas.marks)
    _draw_labels(canvas, diamonds)
    kinds = [diamond.joined.kind for diamond in diamonds]
    draw_legend(
        canvas.axes, canvas.layout.width, _counts(canvas.chosen), kinds, circle=_circle(canvas.chosen)
    )
    if title:
        canvas.axes.text(
            lay.MARGIN,
            canvas.layout.height - lay.MARGIN,
            style.fitted(style.drawable(title), canvas.layout.width - 2 * lay.MARGIN, style.TITLE),
            va="top",
            gid="title",
            **style.type_of(style.TITLE, weight="bold"),
        )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is drawn, and where, in inches of the natural size, at which type is 7 points."""

    chosen: Chosen
    layout: lay.Layout
    tokens: tuple[str, ...]
    marks: dict[str, Mark]

    @classmethod
    def of(cls, chosen: Chosen, size: tuple[float, float] | None, *, titled: bool) -> _Plan:
        table = chosen.graph.nodes[chosen.rows.tolist()]
        naming = Naming.of(chosen.graph)
        tokens = token_texts(naming, 1 + max(table["pos"].drop_nulls().to_list(), default=0))
        features = table.filter(kind="feature")["influence"].to_list()
        largest = max([1e-12, *features])
        marks, boxes = [], []
        for row in table.iter_rows(named=True):
            mark = mark_of(row, naming, largest)
            label = style.text_width(mark.text) if mark.kind == "feature" else 0.0
            pos = len(tokens) - 1 if row["pos"] is None else row["pos"]
            at = LEVELS.get(mark.kind, row["layer"])
            boxes.append(lay.Box(mark.node, at, pos, max(2 * mark.half_width, label)))
            marks.append(mark)
        legend = lay.LEGEND_HEIGHT + (lay.LEGEND_LINE if chosen.hyperedges else 0.0)
        wider = style.text_width(_circle(chosen), style.SMALL) - style.text_width("feature", style.SMALL)
        narrowest = NARROWEST + max(0.0, wider)
        plan = lay.layout(boxes, tokens, titled=titled, narrowest=narrowest, legend=legend)
        width, height = size or (plan.width, plan.height)
        scale = min(width / plan.width, height / plan.height)
        plan = lay.stretched(plan, width / scale, height / scale)
        stand = {
            m.node: Mark(m.node, m.kind, *plan.place[m.node], m.radius, m.half_width, m.text) for m in marks
        }
        return cls(chosen, plan, tokens, stand)


@dataclass(frozen=True, eq=False)
class _Canvas:
    """A plan and the axes it is drawn on."""

    axes: Axes
    chosen: Chosen
    layout: lay.Layout
    tokens: tuple[str, ...]
    marks: dict[str, Mark]

    @property
    def bounds(self) -> Rectangle:
        """Gives where labels and diamonds must stay."""
        plan = self.layout
        return lay.MARGIN + lay.AXIS - 0.02, plan.rows[0].bottom, plan.width - 0.02, plan.height - 0.02


def _draw_ground(canvas: _Canvas) -> None:
    """Draws bands and numbers of layers, and the tokens below."""
    axes, plan = canvas.axes, canvas.layout
    left, right = lay.MARGIN + lay.AXIS, plan.width - lay.MARGIN
    for i, row in enumerate(plan.rows):
        if i % 2 == 0:
            band = FancyBboxPatch(
                (left, row.bottom),
                right - left,
                row.height,
                boxstyle="square,pad=0",
                fc=style.BAND,
                ec="none",
            )
            axes.add_patch(band)
        name = {lay.TOKEN_LEVEL: "words", lay.LOGIT_LEVEL: "output"}.get(row.level, str(row.level))
        axes.text(left - 0.07, row.middle, name, ha="right", va="center", **style.type_of(color=style.MUTED))
        if row.skipped:
            for k in (-1, 0, 1):
                dot = (left - 0.12, row.bottom - lay.SKIPPED / 2 + 0.03 * k)
                axes.add_patch(Circle(dot, 0.006, fc=style.MUTED, ec="none"))
    axes.text(
        lay.MARGIN + 0.04,
        (plan.rows[0].bottom + plan.rows[0].height + plan.rows[-1].bottom) / 2,
        "layer",
        rotation=90,
        ha="center",
        va="center",
        **style.type_of(color=style.MUTED),
    )
    for column in plan.columns:
        text = "…" if column.pos is None else canvas.tokens[column.pos]
        held = column.pos is not None and f"tok@{column.pos}" in canvas.marks
        color = style.INK if held else style.MUTED
        y = plan.rows[0].bottom - 0.06
        axes.text(
            column.middle,
            y,
            text,
            ha="center",
            va="top",
            gid=f"word:{column.pos}",
            **style.type_of(color=color),
        )


def _draw_edges(canvas: _Canvas) -> None:
    """Draws edges, the strongest last; gid `edge:source→target`."""
    names = canvas.chosen.graph.nodes["node"]
    chosen = canvas.chosen
    for s, t, weight, share, flow in zip(
        chosen.source, chosen.target, chosen.weight, chosen.share, chosen.flow, strict=True
    ):
        one, other = canvas.marks[names[int(s)]], canvas.marks[names[int(t)]]
        positive = weight >= 0
        line = PathPatch(
            _curve(one, other),
            fc="none",
            ec=style.POSITIVE if positive else style.NEGATIVE,
            linestyle=style.SOLID if positive else style.DASHED,
            linewidth=0.5 + 3.0 * float(share),
            alpha=0.2 + 0.7 * float(np.sqrt(flow)),
            capstyle="butt",
            gid=f"edge:{one.node}→{other.node}",
            zorder=2,
        )
        canvas.axes.add_patch(line)


def _curve(one: Mark, other: Mark) -> Outline:
    """Gives the way of an edge: up from its source, then across; bowed where it would cross nodes."""
    x0, y0, x1 = one.x, one.y + one.radius, other.x
    y1 = other.y - other.radius
    dx, dy = x1 - x0, y1 - y0
    bow = 0.0
    if abs(dx) < 0.25 and dy > lay.LINE:
        bow = -min(0.85, 0.10 + 0.16 * dy)
    points = [(x0, y0), (x0 + bow, y0 + 0.45 * dy), (x1 - 0.25 * dx + bow, y1 - 0.3 * dy), (x1, y1)]
    return Outline(points, [Outline.MOVETO, Outline.CURVE4, Outline.CURVE4, Outline.CURVE4])


def _draw_nodes(canvas: _Canvas) -> None:
    """Draws nodes; gid `node:name`."""
    for mark in canvas.marks.values():
        common: dict[str, Any] = {"gid": f"node:{mark.node}", "zorder": 3, "lw": 0.7}
        at = (mark.x, mark.y)
        if mark.kind == "logit":
            box = FancyBboxPatch(
                (mark.x - mark.half_width, mark.y - mark.radius),
                2 * mark.half_width,
                2 * mark.radius,
                boxstyle="round,pad=0,rounding_size=0.06",
                fc=style.INK,
                ec=style.PAPER,
                **common,
            )
            canvas.axes.add_patch(box)
            bold = style.type_of(color=style.PAPER, weight="bold")
            canvas.axes.text(*at, mark.text, ha="center", va="center_baseline", zorder=4, **bold)
        elif mark.kind == "error":
            canvas.axes.add_patch(
                RegularPolygon(at, 4, radius=mark.radius, fc=style.PAPER, ec=style.MUTED, **common)
            )
        elif mark.kind in ("token", "position"):
            fill = style.WORD if mark.kind == "token" else style.PAPER
            canvas.axes.add_patch(
                RegularPolygon(
                    at, 4, radius=mark.radius * 1.2, orientation=np.pi / 4, fc=fill, ec=style.WORD, **common
                )
            )
        else:
            canvas.axes.add_patch(Circle(at, mark.radius, fc=style.FEATURE, ec=style.PAPER, **common))


def _draw_labels(canvas: _Canvas, diamonds: list[Diamond]) -> None:
    """Draws the labels that find a free place: of concepts, then of features, the most influential first.

    Their gids are `label:name` and, for the concepts a diamond joins, `concepts:id`.
    """
    influence = canvas.chosen.graph.nodes["influence"].to_numpy()
    index = canvas.chosen.graph.index
    marks = [m for m in canvas.marks.values() if m.kind == "feature"]
    marks.sort(key=lambda mark: -influence[index[mark.node]])
    named = [d for d in diamonds if d.joined.concepts]
    labels = [_label(d.text, d.x, d.y, RADIUS) for d in named]
    labels += [_label(m.text, m.x, m.y, m.radius) for m in marks]
    gids = [f"concepts:{d.joined.name}" for d in named] + [f"label:{m.node}" for m in marks]
    taken = [d.rectangle for d in diamonds] + [m.rectangle for m in canvas.marks.values()]
    for label, gid, spot in zip(labels, gids, placed(labels, taken, canvas.bounds), strict=True):
        if spot is not None:
            canvas.axes.text(
                *spot,
                label.text,
                ha="center",
                va="center",
                gid=gid,
                path_effects=halo(),
                zorder=5,
                **style.type_of(),
            )


def _label(text: str, x: float, y: float, radius: float) -> Label:
    return Label(text, style.text_width(text) + 0.03, LABEL_HEIGHT, x, y, radius)


def _circle(chosen: Chosen) -> str:
    """Gives what circles stand for: features, concepts, or both."""
    table = chosen.graph.nodes[chosen.rows.tolist()].filter(kind="feature")
    concepts = table["feature"].null_count()
    return "feature" if not concepts else "concept" if concepts == len(table) else "feature or concept"


def _counts(chosen: Chosen) -> str:
    nodes, edges = len(chosen.graph.nodes), len(chosen.graph.edges)
    said = f"{len(chosen.rows)} of {nodes:,} nodes · {len(chosen.source)} of {edges:,} edges"
    if not chosen.hyperedges:
        return said
    every = chosen.graph.hyperedges.filter((pl.col("order") > 1) & pl.col("via").is_null())
    return f"{said} · {len(chosen.hyperedges)} of {len(every):,} interactions"
