"""Predicted against measured, as predictions: a point a verdict, where the verdict says."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sample_graph import sample_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.plot.agreement import SHAPES, agreement
from circuits.plot.save import render
from circuits.plot.style import FEATURE, NEGATIVE, POSITIVE
from circuits.schema import VERDICT_SCHEMA

FROZEN, FREE = "patterns, norms, mlps", "nothing"
ROW = {
    "claim": "Switching it off", "kind": "node", "members": ["tok@3"], "actions": ["tok@3=0"],
    "target": "logit:Mary", "order": 1, "layers": 2, "held": FREE, "before": 17.0, "forced": False,
}  # fmt: skip


def with_verdicts(*rows: dict[str, Any]) -> Graph:
    made = [ROW | {"verdict": f"v{i}"} | row for i, row in enumerate(rows, 1)]
    return replace(sample_graph(), verdicts=pl.DataFrame(made, schema=VERDICT_SCHEMA))


def tried() -> Graph:
    return with_verdicts(
        {"predicted": -4.0, "measured": -4.0, "tolerance": 0.01, "held": FROZEN, "holds": True},
        {"predicted": -4.0, "measured": -3.0, "tolerance": 2.0, "holds": True},
        {"predicted": 1.5, "measured": -0.5, "tolerance": 0.75, "holds": False},
        {"predicted": 2.0, "measured": 1.2, "tolerance": 1.0, "holds": True, "kind": "pair", "order": 2},
        {"predicted": 0.5, "measured": 9.0, "tolerance": 0.1, "holds": False, "kind": "path", "held": FROZEN},
    )


def points(axes: Axes, kind: str) -> dict[str, Any]:
    found = [(str(line.get_gid()), line) for line in axes.lines]
    return {gid.split(":")[1]: line for gid, line in found if gid.startswith(f"{kind}:")}


def test_each_verdict_is_a_point_where_it_says_with_its_tolerance() -> None:
    graph = tried()
    axes = agreement(graph)
    dots, bars = points(axes, "verdict"), points(axes, "tolerance")
    assert len(dots) == len(bars) == len(graph.verdicts)
    inside = []
    for row in graph.verdicts.to_dicts():
        (x,), (y,) = dots[row["verdict"]].get_data()
        assert (x, y) == (row["predicted"], row["measured"])
        across, upwards = bars[row["verdict"]].get_data()
        assert list(across) == [row["predicted"]] * 2
        np.testing.assert_allclose(np.diff(upwards), 2 * row["tolerance"])
        inside.append(upwards[0] <= y <= upwards[1])
        left, right = axes.get_xlim()
        assert left < x < right
        assert left < y < right
    assert inside == graph.verdicts["holds"].to_list()
    assert axes.get_xlim() == axes.get_ylim()


def test_colour_says_how_it_was_measured_and_hollow_that_it_failed() -> None:
    dots = points(agreement(tried()), "verdict")
    assert [dots[v].get_markerfacecolor() for v in ("v1", "v2", "v4")] == [FEATURE, POSITIVE, POSITIVE]
    for failed in ("v3", "v5"):
        assert dots[failed].get_markerfacecolor() == "none"
        assert to_hex(dots[failed].get_markeredgecolor()) == NEGATIVE
    marks = [dots[f"v{i}"].get_marker() for i in range(1, 6)]
    assert marks[:3] == [SHAPES["node"][0]] * 3
    assert len(set(marks)) == 3


def test_the_key_counts_what_holds_and_names_what_is_there() -> None:
    legend = agreement(tried()).get_legend()
    assert legend is not None
    said = [text.get_text() for text in legend.get_texts()]
    assert said[:3] == ["frozen: 1 of 2 hold", "free: 2 of 3 hold", "does not hold"]
    assert said[4:] == ["one node off", "two, beyond each alone", "a path"]
    all_hold = agreement(with_verdicts({"predicted": 1.0, "measured": 1.0, "tolerance": 0.5, "holds": True}))
    assert "does not hold" not in [t.get_text() for t in all_hold.get_legend().get_texts()]  # type: ignore[union-attr]


def test_it_is_drawn_into_axes_that_are_given() -> None:
    one, other = Figure().subplots(1, 2)
    assert agreement(tried(), ax=other) is other
    assert not one.lines
    assert len(points(other, "verdict")) == 5


def test_the_same_figure_has_the_same_bytes_and_fits() -> None:
    one, other = (agreement(tried()) for _ in range(2))
    assert render(one, "svg") == render(other, "svg")
    figure = one.figure
    box = one.get_tightbbox()
    assert box is not None
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.width
    assert box.y1 <= figure.bbox.height


def test_what_was_not_tried_is_not_drawn() -> None:
    with pytest.raises(UsageError, match="circuits verify RUN"):
        agreement(sample_graph())
    with pytest.raises(UsageError, match="No claim about"):
        agreement(tried(), target="logit:the")
    with pytest.raises(NotFound, match="Marx"):
        agreement(tried(), target="Marx")
    unknown = with_verdicts({"predicted": None, "measured": 1.0, "tolerance": 0.5, "holds": False})
    assert not points(agreement(unknown), "verdict")
