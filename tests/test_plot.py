"""Pictures as predictions: what is drawn, how signs look, that nothing overlaps, that bytes repeat."""

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.text import Text
from sample_graph import TOKENS, sample_graph
from strategies import graphs, random_graph

from circuits.errors import OutputExists, UsageError
from circuits.graph.graph import Graph
from circuits.plot import network, save, waterfall
from circuits.plot.labels import Label, overlap, placed
from circuits.plot.layout import Box, layout
from circuits.plot.marks import feature_label
from circuits.plot.save import inline_svg, render
from circuits.plot.style import DASHED, NEGATIVE, POSITIVE, drawable, fitted, text_width
from circuits.query.why import why


def named(axes: Axes, kind: str) -> dict[str, object]:
    artists = (*axes.patches, *axes.texts, *axes.lines)
    prefix = f"{kind}:"
    return {str(a.get_gid()).removeprefix(prefix): a for a in artists if str(a.get_gid()).startswith(prefix)}


def extents(axes: Axes, texts: list[Text]) -> list[tuple[float, float, float, float]]:
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [tuple(text.get_window_extent(renderer).extents) for text in texts]


@pytest.fixture(scope="module")
def picture() -> Axes:
    return network(sample_graph())


def test_every_chosen_node_is_drawn_once(picture: Axes) -> None:
    graph = sample_graph()
    drawn = named(picture, "node")
    influence = dict(zip(graph.nodes["node"], why_influence(graph), strict=True))
    can = graph.nodes.filter(pl.col("kind").is_in(["feature", "token", "error", "position"]))[
        "node"
    ].to_list()
    best = sorted(can, key=lambda node: -influence[node])[:40]
    assert set(drawn) == {*best, *graph.targets}


def why_influence(graph: Graph) -> np.ndarray:
    """By a series of matrix products, without the triangular solve of the package."""
    kinds = graph.nodes["kind"].cast(pl.String)
    weight = np.abs(graph.matrix.toarray())
    weight[:, kinds.is_in(["bias", "rest"]).to_numpy()] = 0
    total = weight.sum(axis=1) + graph.nodes["truncated"].to_numpy()
    share = np.divide(weight, total[:, None], out=np.zeros_like(weight), where=total[:, None] > 0)
    reached, step = np.zeros(len(total)), graph.nodes["target_weight"].to_numpy()
    while step.any():
        step = step @ share
        reached += step
    return reached


def test_larger_influence_is_drawn_larger(picture: Axes) -> None:
    influence = dict(zip(sample_graph().nodes["node"], why_influence(sample_graph()), strict=True))
    circles = {n: a.get_radius() for n, a in named(picture, "node").items() if "/" in n}  # type: ignore[attr-defined]
    ordered = sorted(circles, key=lambda node: influence[node])
    radii = [circles[node] for node in ordered]
    assert radii == sorted(radii)
    assert radii[-1] > 1.5 * radii[0]


def test_signs_show_by_colour_and_by_line_style(picture: Axes) -> None:
    graph = sample_graph()
    edges = named(picture, "edge")
    signs = set()
    for name, line in edges.items():
        source, target = name.split("→")
        weight = graph.matrix[graph.row(target), graph.row(source)]
        color = "#{:02x}{:02x}{:02x}".format(*(round(255 * c) for c in line.get_edgecolor()[:3]))  # type: ignore[attr-defined]
        assert color == (POSITIVE if weight > 0 else NEGATIVE)
        assert line.get_linestyle() in (("solid", "-") if weight > 0 else (DASHED, "--"))  # type: ignore[attr-defined]
        signs.add(weight > 0)
    assert signs == {True, False}


def test_edges_are_as_wide_as_their_share_of_the_receiver(picture: Axes) -> None:
    graph = sample_graph()
    width = {name: line.get_linewidth() for name, line in named(picture, "edge").items()}  # type: ignore[attr-defined]
    kinds = graph.nodes["kind"].cast(pl.String).to_list()
    for name, found in width.items():
        source, target = name.split("→")
        row = graph.matrix[[graph.row(target)]].toarray()[0]
        counted = sum(abs(w) for w, kind in zip(row, kinds, strict=True) if kind not in ("bias", "rest"))
        share = abs(row[graph.row(source)]) / (counted + graph.nodes["truncated"][graph.row(target)])
        assert found == pytest.approx(0.5 + 3.0 * share)


def test_no_node_is_drawn_alone_however_weak_its_edges() -> None:
    graph = random_graph(5, tokens=4, layers=3, features=6, density=1.0)  # more edges than are drawn
    axes = network(graph, nodes=60)
    edges = named(axes, "edge")
    assert len(edges) < len(graph.edges) / 2
    sources = {name.split("→")[0] for name in edges}
    assert sources >= {n for n in named(axes, "node") if not n.startswith("logit:")}


@pytest.mark.parametrize("size", [None, (7.0, 6.0), (20.0, 9.0)])
def test_no_two_texts_overlap_and_all_are_inside(size: tuple[float, float] | None) -> None:
    axes = network(sample_graph(), figsize=size, title='Why " Mary"?')
    boxes = extents(axes, list(axes.texts))
    width, height = axes.figure.get_size_inches() * axes.figure.dpi
    assert len(named(axes, "label")) == sum("/" in node for node in named(axes, "node"))
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if overlap(a, b)]
    assert all(b[0] >= 0 and b[1] >= 0 and b[2] <= width and b[3] <= height for b in boxes)
    if size is not None:
        assert tuple(axes.figure.get_size_inches()) == size


def test_labels_cover_no_node(picture: Axes) -> None:
    renderer = picture.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    shapes = {n: tuple(a.get_window_extent(renderer).extents) for n, a in named(picture, "node").items()}  # type: ignore[attr-defined]
    labels = named(picture, "label")
    for name, box in zip(labels, extents(picture, list(labels.values())), strict=True):  # type: ignore[arg-type]
        inner = (box[0] + 1, box[1] + 2, box[2] - 1, box[3] - 2)
        assert not [n for n, shape in shapes.items() if overlap(inner, shape)], name


def test_targets_stand_on_top_tokens_below_layers_in_between(picture: Axes) -> None:
    at = {n: np.mean(a.get_window_extent().intervaly) for n, a in named(picture, "node").items()}  # type: ignore[attr-defined]
    level = {
        n: -1
        if n.startswith("tok")
        else 99
        if n.startswith("logit")
        else int(n.split("/")[0].lstrip("er").split("@")[0])
        for n in at
    }
    for one, other in itertools.combinations(at, 2):
        if level[one] < level[other]:
            assert at[one] < at[other] + 1e-6


def test_tokens_stand_under_their_positions(picture: Axes) -> None:
    words = named(picture, "word")
    assert [w.get_text() for w in words.values()] == [t.strip() for t in TOKENS]  # type: ignore[attr-defined]
    place = {pos: w.get_position()[0] for pos, w in words.items()}  # type: ignore[attr-defined]
    assert list(place.values()) == sorted(place.values())
    square = named(picture, "node")["tok@3"]
    assert square.xy[0] == pytest.approx(place["3"])  # type: ignore[attr-defined]


def test_long_prompts_keep_positions_that_hold_nodes() -> None:
    graph = sample_graph()
    far = graph.nodes.with_columns(pos=pl.when(pl.col("pos") == 13).then(80).otherwise(pl.col("pos") * 2))
    far = far.with_columns(pos=pl.col("pos").cast(pl.Int32))
    tokens = [f"w{i}" for i in range(90)]
    moved = Graph(far, graph.edges, graph.hyperedges, {"prompt": {"tokens": tokens}})
    shown = [w.get_text() for w in named(network(moved, nodes=12), "word").values()]  # type: ignore[attr-defined]
    assert "…" in [t.get_text() for t in network(moved, nodes=12).texts]
    held = {int(t[1:]) for t in shown if t != "…"}
    assert 80 in held
    assert 13 not in held
    assert len(held) < 15


def test_layers_without_nodes_take_no_room() -> None:
    few = [Box("a", 0, 0, 0.3), Box("b", 28, 0, 0.3)]
    many = [*few, *(Box(f"c{i}", i, 0, 0.3) for i in range(1, 28))]
    plans = [layout(boxes, ["w"], titled=False, narrowest=0) for boxes in (few, many)]
    assert [row.skipped for row in plans[0].rows] == [0, 0, 27]
    assert plans[1].height > 5 * plans[0].height
    assert len(plans[1].rows) == 30


@settings(max_examples=20, deadline=None)
@given(graphs(), st.integers(1, 12))
def test_any_graph_can_be_drawn(graph: Graph, nodes: int) -> None:
    axes = network(graph, nodes=nodes)
    boxes = extents(axes, list(axes.texts))
    assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if overlap(a, b)]
    assert set(graph.targets) <= set(named(axes, "node"))


@pytest.mark.parametrize("kind", ["svg", "png", "pdf"])
def test_the_same_picture_has_the_same_bytes(kind: str) -> None:
    one, other = (render(network(sample_graph(), nodes=12), kind) for _ in range(2))
    assert one == other
    if kind == "svg":
        assert b"<dc:date>" not in one
        ET.fromstring(one)


def test_saving_picks_the_format_and_keeps_what_exists(tmp_path: Path) -> None:
    axes = network(sample_graph(), nodes=8)
    for name, magic in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG"), ("a.PDF", b"%PDF")):
        assert save(axes, tmp_path / name).read_bytes().startswith(magic)
    (tmp_path / "a.svg").write_text("mine")
    with pytest.raises(OutputExists):
        save(axes, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text() == "mine"
    assert save(axes, tmp_path / "a.svg", overwrite=True).read_bytes().startswith(b"<?xml")
    with pytest.raises(UsageError, match=r"\.svg, \.png or \.pdf"):
        save(axes, tmp_path / "a.jpeg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.PDF", "a.png", "a.svg"]


def test_pictures_of_nothing_are_refused() -> None:
    graph = sample_graph()
    with pytest.raises(UsageError, match="0 nodes"):
        network(graph, nodes=0)
    with pytest.raises(UsageError, match="no target"):
        network(graph.with_nodes(target_weight=pl.lit(0.0)))
    with pytest.raises(UsageError, match="inches"):
        network(graph, figsize=(0, 3))
    with pytest.raises(UsageError, match="part and total"):
        waterfall(pl.DataFrame({"a": [1]}))


def test_awkward_tokens_are_drawn_as_text() -> None:
    graph = sample_graph().with_meta(prompt={"tokens": ["$a$", "\n", "<b>", "猫", *TOKENS[4:]]})
    axes = network(graph, title="cost: $5 & $6")
    shown = [t.get_text() for t in axes.texts]
    assert {"$a$", "⏎", "<b>", "▯", "cost: $5 & $6"} <= set(shown)
    assert ">$a$</text>" in inline_svg(axes)  # no mathematics was made of it


def test_waterfall_bars_begin_where_the_last_ended() -> None:
    answer = why(sample_graph(), "Mary", over="John")
    bars = named(waterfall(answer), "bar")
    totals = dict(answer.tables["totals"].select("part", "total").iter_rows())
    unit = bars["sum"].get_width() / answer.meta["value"]  # type: ignore[attr-defined]
    start = reached = bars["sum"].get_x()  # type: ignore[attr-defined]
    for name, bar in bars.items():
        total = totals.get(name, answer.meta["value"])
        begin = start if name == "sum" else reached
        ends = sorted((begin, begin + total * unit))
        assert (bar.get_x(), bar.get_x() + bar.get_width()) == pytest.approx(tuple(ends))  # type: ignore[attr-defined]
        assert (bar.get_hatch() is not None) == (total < 0)  # type: ignore[attr-defined]
        reached = begin + total * unit


def test_waterfall_leaves_rounding_out() -> None:
    table = pl.DataFrame({"part": ["features", "not in this graph"], "total": [3.0, 1e-7]})
    assert set(named(waterfall(table), "bar")) == {"features", "sum"}


def test_labels_are_short_and_fit() -> None:
    assert feature_label('→ " a", "\\n", ",", " "', "1/2@3") == "→ a · ⏎ · ‘,’ · ␣"
    assert feature_label("names", "1/2@3") == "names"
    for width in (0.2, 0.5, 1.0):
        assert text_width(fitted("an uncommonly long label", width)) <= width
    assert drawable("ok") == "ok"


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0.05, 2)), max_size=25))
def test_placed_labels_never_overlap(spots: list[tuple[float, float, float]]) -> None:
    labels = [Label("x", width, 0.1, x, y, 0.05) for x, y, width in spots]
    taken = [(x - 0.05, y - 0.05, x + 0.05, y + 0.05) for x, y, _ in spots]
    found = placed(labels, taken, (0, 0, 5, 5))
    boxes = [
        (at[0] - label.width / 2, at[1] - 0.05, at[0] + label.width / 2, at[1] + 0.05)
        for label, at in zip(labels, found, strict=True)
        if at is not None
    ]
    assert not [1 for a, b in itertools.combinations([*boxes, *taken], 2) if overlap(a, b) and a not in taken]
    assert all(b[0] >= 0 and b[1] >= 0 and b[2] <= 5 and b[3] <= 5 for b in boxes)
