"""Pictures of interactions as predictions: what is drawn, where, and how large."""

import contextlib
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from sample_graph import sample_graph
from sample_interactions import GAME, MARY, gate_pairs, sample_interactions
from strategies import graphs, random_graph
from test_combinations import EXACT, PAIR, with_rows

from circuits.cli.main import run
from circuits.engine import enumeration
from circuits.engine.games.game import Game
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.plot import interaction_matrix, interaction_orders, network, upset, waterfall
from circuits.plot.labels import overlap
from circuits.plot.matrix import WORDS, pair_sums
from circuits.plot.save import render
from circuits.plot.style import INK, NEGATIVE, PAPER, POSITIVE
from circuits.query.orders import orders_table
from circuits.query.subject import Subject
from circuits.query.why import why

ART = Any


def named(axes: Axes, kind: str) -> dict[str, ART]:
    prefix = f"{kind}:"
    artists = (*axes.patches, *axes.texts, *axes.lines)
    found = [
        (str(a.get_gid()).removeprefix(prefix), a) for a in artists if str(a.get_gid()).startswith(prefix)
    ]
    assert len(found) == len(dict(found))
    return dict(found)


def box(axes: Axes, artist: ART) -> tuple[float, float, float, float]:
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return tuple(artist.get_window_extent(renderer).extents)


def no_texts_overlap(axes: Axes) -> None:
    boxes = [box(axes, text) for text in axes.texts]
    texts = [text.get_text() for text in axes.texts]
    pairs = itertools.combinations(zip(texts, boxes, strict=True), 2)
    assert not [(a[0], b[0]) for a, b in pairs if overlap(a[1], b[1])]


def all_texts_inside(axes: Axes) -> None:
    boxes = [box(axes, text) for text in axes.texts]
    width, height = axes.figure.get_size_inches() * axes.figure.dpi
    assert all(b[0] >= -1 and b[1] >= -1 and b[2] <= width + 1 and b[3] <= height + 1 for b in boxes)


@pytest.fixture(scope="module")
def picture() -> Axes:
    return network(sample_interactions())


def rows_by_id(graph: Graph) -> dict[str, dict[str, Any]]:
    return {row["hyperedge"]: row for row in graph.hyperedges.to_dicts()}


def test_a_diamond_is_joined_to_its_members_and_to_what_it_acts_on(picture: Axes) -> None:
    known, diamonds, joins = (
        rows_by_id(sample_interactions()),
        named(picture, "hyperedge"),
        named(picture, "join"),
    )
    nodes = named(picture, "node")
    assert len(diamonds) == 6
    ends: dict[str, set[str]] = {name: set() for name in diamonds}
    for name, line in joins.items():
        diamond, node = name.split("→")
        ends[diamond].add(node)
        (x0, x1), (y0, y1) = line.get_data()
        assert (x1, y1) == pytest.approx(diamonds[diamond].xy)
        inches = picture.transData.inverted()
        left, low, right, high = nodes[node].get_window_extent().transformed(inches).extents
        assert left - 0.06 <= x0 <= right + 0.06
        assert low - 0.06 <= y0 <= high + 0.06
    for name, joined in ends.items():
        assert joined == {*known[name]["members"], known[name]["target"]}


def test_diamonds_are_the_strongest_that_are_sure(picture: Axes) -> None:
    table = why(sample_interactions(), top=40).tables["combinations"]
    told = table.filter((pl.col("share") >= 0.005) & (pl.col("low") * pl.col("high") > 0))
    table = told.filter(pl.col("kind") != "additive")
    # the picture has four targets: take those into the first, where their order is the same
    mary = [h for h in named(picture, "hyperedge") if rows_by_id(sample_interactions())[h]["target"] == MARY]
    assert mary == table.filter(where=MARY)["hyperedge"].to_list()
    assert set(named(picture, "hyperedge")) <= set(told["hyperedge"])
    weak = with_rows(GAME | PAIR | {"weight": 1e-4, "low": 1e-5, "high": 1e-3, "gate": "and"})
    unsure = with_rows(GAME | PAIR | {"low": -0.1, "gate": "and"})
    additive = with_rows(GAME | PAIR | {"low": 1.0, "gate": "additive"})
    sure = with_rows(GAME | PAIR | {"low": 1.0, "gate": "and"})
    drawn = [len(named(network(graph), "hyperedge")) for graph in (weak, unsure, additive, sure)]
    assert drawn == [0, 0, 0, 1]


def test_signs_of_interactions_show_by_colour_fill_and_line(picture: Axes) -> None:
    known = rows_by_id(sample_interactions())
    joins, signs = named(picture, "join"), named(picture, "sign")
    seen = set()
    for name, diamond in named(picture, "hyperedge").items():
        up = known[name]["weight"] > 0
        assert to_hex(diamond.get_edgecolor()) == (POSITIVE if up else NEGATIVE)
        assert to_hex(diamond.get_facecolor()) == (POSITIVE if up else PAPER)
        assert joins[f"{name}→{known[name]['target']}"].get_linestyle() == ("-" if up else "--")
        assert all(joins[f"{name}→{member}"].get_color() == INK for member in known[name]["members"])
        assert (
            signs[name].get_text()
            == {"and": "&", "or": "∨", "inhibit": "⊣", "other": "∗"}[known[name]["gate"]]
        )
        seen.add(up)
    assert seen == {True, False}


def test_diamonds_cover_nothing_and_labels_keep_clear(picture: Axes) -> None:
    no_texts_overlap(picture)
    all_texts_inside(picture)
    diamonds = [box(picture, d) for d in named(picture, "hyperedge").values()]
    others = [box(picture, a) for kind in ("node", "label") for a in named(picture, kind).values()]
    inner = [(b[0] + 2, b[1] + 2, b[2] - 2, b[3] - 2) for b in others]
    assert not [1 for one in diamonds for other in inner if overlap(one, other)]
    assert not [1 for one, other in itertools.combinations(diamonds, 2) if overlap(one, other)]


def test_members_are_brought_in_without_drawing_more_nodes() -> None:
    graph = sample_interactions()
    for nodes in (4, 10, 20):
        axes = network(graph, nodes=nodes)
        drawn = set(named(axes, "node"))
        assert len(drawn) == nodes + len(graph.targets)
        joined = {name.split("→")[1] for name in named(axes, "join")}
        assert joined <= drawn
    plain = set(named(network(sample_graph(), nodes=10), "node"))
    far = with_rows(GAME | PAIR | {"members": ["23/14@13", "tok@4"], "low": 1.0, "gate": "and"})
    assert {"23/14@13", "tok@4"} - plain
    assert {"23/14@13", "tok@4"} <= set(named(network(far, nodes=10), "node"))


def test_a_picture_without_interactions_has_no_sign_of_them() -> None:
    axes = network(sample_graph(), nodes=8)
    assert not named(axes, "hyperedge")
    assert not [t for t in axes.texts if "together" in t.get_text()]
    assert [t for t in network(sample_interactions(), nodes=20).texts if "together" in t.get_text()]


def test_concepts_are_joined_through_their_nodes() -> None:
    held = ["21/1177@13", "18/1401@13"]
    graph = sample_graph().with_nodes(concept=pl.when(pl.col("node").is_in(held)).then(pl.lit("say it")))
    made = with_rows(GAME | {"members": ["say it", "24/1042@13"], "weight": 1.0, "gate": "or"}, graph=graph)
    axes = network(made)
    assert {name.split("→")[1] for name in named(axes, "join")} == {*held, "24/1042@13", MARY}
    (label,) = named(axes, "concepts").values()
    assert label.get_text() == "say it"
    no_texts_overlap(axes)


@settings(max_examples=8, deadline=None)
@given(graphs(), st.integers(1, 12))
def test_any_graph_with_interactions_can_be_drawn(graph: Graph, nodes: int) -> None:
    no_texts_overlap(network(gate_pairs(graph), nodes=nodes))


def level(name: str) -> int:
    return -1 if name.startswith("tok") else int(name.removeprefix("err").split("@")[0].split("/")[0])


def test_the_matrix_sums_pairs_by_the_layers_of_their_members() -> None:
    graph = gate_pairs(random_graph(5, tokens=4, layers=3, features=6, density=1.0), gates=20)
    sums = pair_sums(graph, "weight")
    wanted: dict[bool, dict[tuple[int, ...], float]] = {True: {}, False: {}}
    net = nx.DiGraph(
        (source, end) for source, end, weight, _ in graph.edges.iter_rows() if weight and source != "rest"
    )
    bearing = set().union(*(nx.ancestors(net, target) for target in graph.targets))
    for members, gate, weight in graph.hyperedges.select("members", "target", "weight").iter_rows():
        if gate in bearing:
            at = tuple(sorted(level(member) for member in members))
            wanted[weight > 0][at] = wanted[weight > 0].get(at, 0.0) + abs(weight)
    assert len(bearing) < len(net)
    assert sums.levels == tuple(sorted({k for table in wanted.values() for at in table for k in at}))
    assert WORDS in sums.levels
    for up, table in ((True, sums.up), (False, sums.down)):
        for i, j in itertools.product(range(len(sums.levels)), repeat=2):
            at = tuple(sorted((sums.levels[i], sums.levels[j])))
            assert table[i, j] == pytest.approx(wanted[up].get(at, 0.0))


def test_shares_in_the_matrix_are_those_of_the_pairs() -> None:
    graph = Subject.of(sample_interactions(), "logit:Mary").graph
    table = why(graph, "logit:Mary", top=40).tables["combinations"].filter(order=2)
    sums = pair_sums(graph)
    total = np.triu(sums.up).sum() + np.triu(sums.down).sum()
    assert total == pytest.approx(table["share"].sum())
    assert np.triu(sums.down).sum() == pytest.approx(table.filter(pl.col("weight") < 0)["share"].sum())


def test_cells_stand_above_the_diagonal_if_up_and_darker_if_more() -> None:
    graph = sample_interactions()
    axes = interaction_matrix(graph)
    sums = pair_sums(graph)
    no_texts_overlap(axes)
    all_texts_inside(axes)
    cells = named(axes, "cell")
    filled = sum(int((np.triu(table) > 0).sum()) for table in (sums.up, sums.down))
    assert len(cells) == filled
    shades = []
    for (i, one), (j, other) in itertools.combinations_with_replacement(enumerate(sums.levels), 2):
        for sign, table in (("+", sums.up), ("−", sums.down)):
            cell = cells.get(f"{one}·{other}{sign}")
            assert (cell is not None) == (table[i, j] > 0)
            if cell is not None:
                shades.append((table[i, j], cell.get_alpha()))
                x, y = cell.get_xy()[:-1].mean(axis=0) - diagonal_begins(axes)
                assert len(cell.get_xy()) == (4 if i == j else 5)  # a triangle or a square, closed
                assert (y > x) == (sign == "+")
    ordered = [alpha for _, alpha in sorted(shades)]
    assert ordered == sorted(ordered)
    assert ordered[-1] == pytest.approx(1)


def diagonal_begins(axes: Axes) -> np.ndarray:
    (diagonal,) = [line.get_data() for line in axes.lines if len(set(line.get_xdata())) == 2]
    return np.array([diagonal[0][0], diagonal[1][0]])


def test_a_concept_counts_in_all_its_layers() -> None:
    graph = sample_graph().with_nodes(
        concept=pl.when(pl.col("node").is_in(["21/1177@13", "18/1401@13"])).then(pl.lit("say it"))
    )
    for members in (["say it", "tok@1"], ["tok@1", "say it"]):
        sums = pair_sums(with_rows(GAME | {"members": members, "weight": 1.0}, graph=graph), "weight")
        assert sums.levels == (WORDS, 18, 21)
        np.testing.assert_allclose(np.triu(sums.up), [[0, 0.5, 0.5], [0, 0, 0], [0, 0, 0]])


def test_an_upset_plot_shows_who_and_how_much() -> None:
    answer = why(sample_interactions(), "logit:Mary", top=40)
    table = answer.tables["combinations"].filter(pl.col("share").is_not_null())
    axes = upset(answer)
    no_texts_overlap(axes)
    all_texts_inside(axes)
    bars, dots = named(axes, "bar"), named(axes, "dot")
    assert list(bars) == table["hyperedge"].to_list()[:12]
    unit = bars["h5"].get_height() / table["share"][0]
    lines = named(axes, "interval")
    for row in table.to_dicts():
        bar, sign = bars[row["hyperedge"]], 1 if row["weight"] > 0 else -1
        assert bar.get_height() == pytest.approx(unit * row["share"] * sign)
        assert (bar.get_hatch() is None) == (sign > 0)
        assert {n.split("→")[1] for n in dots if n.startswith(f"{row['hyperedge']}→")} == set(row["members"])
        if row["low"] < row["high"]:
            low, high = lines[row["hyperedge"]].get_ydata()
            scale = row["share"] / abs(row["weight"]) * unit
            assert (high - low) == pytest.approx((row["high"] - row["low"]) * scale)
            assert low - bar.get_y() == pytest.approx(row["low"] * scale)
        else:
            assert row["hyperedge"] not in lines
    names = {name: artist.get_position()[1] for name, artist in named(axes, "member").items()}
    for name, dot in dots.items():
        assert dot.center[1] == pytest.approx(names[name.split("→")[1]])
    assert upset(sample_interactions(), target="logit:Mary", most=3).figure.get_size_inches()[0] < 5.5


def test_bars_into_one_node_are_in_its_own_units() -> None:
    rows = [GAME | PAIR | {"weight": 2.0, "low": 1.5, "high": 2.5, "gate": "and"}]
    rows.append(GAME | {"members": ["tok@1", "tok@3"], "weight": -1.0, "gate": None})
    axes = upset(with_rows(*rows))
    heights = [bar.get_height() for bar in named(axes, "bar").values()]
    assert heights[0] == pytest.approx(-2 * heights[1])
    shown = [t.get_text() for t in axes.texts]
    assert {"+2", "−1", "&", "?", "the interaction,", 'in output " Mary"'} <= set(shown)


def test_orders_add_up_to_what_the_players_are_worth() -> None:
    graph = sample_interactions()
    table = dict(orders_table(graph, MARY).iter_rows())
    rows = graph.hyperedges.filter(pl.col("via").is_null(), channel="output").to_dicts()
    for order, part in ((1, "each alone"), (2, "pairs"), (3, "triples")):
        assert table[part] == pytest.approx(sum(row["weight"] for row in rows if row["order"] == order))
    assert sum(table.values()) == pytest.approx(17.42 - 11.0)
    assert list(table)[-1] == "remainder"
    bars = named(interaction_orders(graph), "bar")
    assert set(bars) == {*table, "sum"}
    bare = orders_table(graph.with_meta(interactions=None), MARY)
    assert bare["total"].sum() == pytest.approx(17.42)
    assert bare["part"][-1] == "all that did not play"


def test_orders_of_sii_are_made_to_add_up() -> None:
    game = Game(lambda masks: masks @ [1.0, -2.0, 0.5, 3.0] + 4.0 * masks.prod(axis=1) + 2.0 * masks[:, 0] * masks[:, 1], list("abcd"))  # fmt: skip  # noqa: E501
    worths = game.table()
    for order in (1, 2, 3):
        made = []
        for index in ("SII", "k-SII"):
            found = enumeration.exact_interactions(worths, index, order)
            rows = [
                EXACT
                | {"members": [f"tok@{i}" for i in who], "index": index, "target": MARY, "weight": float(w)}
                for t in range(1, order + 1)
                for who, w in zip(found.members(t), found.values[t - 1], strict=True)
            ]
            made.append(dict(orders_table(with_rows(*rows).with_meta(interactions=None), MARY).iter_rows()))
        sii, k_sii = made
        whole = float(worths[-1] - worths[0])
        assert sum(sii.values()) == pytest.approx(whole)
        for part in ("each alone", "pairs", "triples")[:order]:
            assert sii[part] == pytest.approx(k_sii[part])
        assert sii["remainder"] == pytest.approx(0, abs=1e-9)


def test_indices_that_do_not_add_up_are_not_added() -> None:
    rows = [EXACT | {"members": ["tok@1"], "target": MARY, "weight": 1.0, "index": "BII"}]
    with pytest.raises(UsageError, match="--index k-SII"):
        orders_table(with_rows(*rows), MARY)


@pytest.mark.parametrize("draw", [interaction_matrix, interaction_orders, upset])
def test_without_interactions_it_is_said_how_to_get_them(draw: Any) -> None:
    with pytest.raises(UsageError, match="circuits interact"):
        draw(sample_graph())


def test_what_cannot_be_drawn_is_refused() -> None:
    graph = sample_interactions()
    triple = with_rows(GAME | PAIR | {"members": ["tok@1", "tok@2", "tok@3"]})
    with pytest.raises(UsageError, match="no pairs"):
        interaction_matrix(triple)
    with pytest.raises(UsageError, match="give share or weight"):
        interaction_matrix(graph, values="size")
    with pytest.raises(UsageError, match="order 1 towards logit:the"):
        interaction_orders(graph, "the")
    with pytest.raises(UsageError, match="order 1 towards logit:Mary"):
        interaction_orders(triple)
    with pytest.raises(NotFound, match="Marx"):
        upset(graph, target="Marx")
    with pytest.raises(UsageError, match="0 strongest"):
        upset(graph, most=0)
    with pytest.raises(UsageError, match="bears on"):
        upset(with_rows(GAME | PAIR | {"target": "logit:her"}), target="logit:the")
    with pytest.raises(UsageError, match="circuits interact"):
        upset(why(sample_graph()))


@pytest.mark.parametrize("draw", [interaction_matrix, interaction_orders, upset])
def test_the_same_figure_has_the_same_bytes(draw: Any) -> None:
    assert render(draw(sample_interactions()), "svg") == render(draw(sample_interactions()), "svg")


def test_the_command_draws_each_kind_or_says_what_is_missing(tmp_path: Path) -> None:
    sample_interactions().save(tmp_path / "with")
    sample_graph().save(tmp_path / "without")
    for kind in ("network", "matrix", "upset", "orders"):
        with contextlib.redirect_stdout(io.StringIO()):
            assert (
                run(["plot", str(tmp_path / "with"), "--kind", kind, "-o", str(tmp_path / f"{kind}.svg")])
                == 0
            )
        assert (tmp_path / f"{kind}.svg").read_bytes().startswith(b"<?xml")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = run(["plot", str(tmp_path / "without"), "--kind", "upset", "-o", str(tmp_path / "x.svg")])
    assert code != 0
    assert "holds no interactions to draw: compute them with `circuits interact" in " ".join(
        said.getvalue().split()
    )
    assert not (tmp_path / "x.svg").exists()


FIGURES: dict[str, Callable[..., Axes]] = {
    "network": lambda **to: network(sample_interactions(), nodes=12, **to),
    "matrix": lambda **to: interaction_matrix(sample_interactions(), **to),
    "upset": lambda **to: upset(sample_interactions(), **to),
    "orders": lambda **to: interaction_orders(sample_interactions(), **to),
    "waterfall": lambda **to: waterfall(why(sample_graph()), **to),
}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_into_axes_that_are_given_and_fit_them(name: str) -> None:
    own = FIGURES[name]()
    figure = Figure(figsize=(8, 3), layout="constrained")
    one, other = figure.subplots(1, 2)
    one.plot([0, 1], linewidth=1.5)
    assert FIGURES[name](ax=other) is other
    assert [len(one.texts), one.lines[0].get_linewidth()] == [0, 1.5]
    assert {str(text.get_gid()) for text in other.texts} >= {
        str(text.get_gid()) for text in own.texts if name != "network"
    }
    sizes = [text.get_fontsize() for text in other.texts]
    natural = [text.get_fontsize() for text in own.texts]
    # half of eight inches is less than any needs but those that follow the width
    assert (max(sizes) < max(natural)) == (name not in ("orders", "waterfall"))
    figure.draw_without_rendering()
    around = other.bbox.padded(2)
    for text in other.texts:
        spot = text.get_window_extent()
        assert around.x0 <= spot.x0
        assert spot.x1 <= around.x1
        assert around.y0 <= spot.y0
        assert spot.y1 <= around.y1


def test_a_notebook_is_shown_the_picture_and_once() -> None:
    import matplotlib.pyplot as plt

    axes = interaction_matrix(sample_interactions())
    data, size = axes._repr_png_()  # type: ignore[attr-defined]
    image = Image.open(io.BytesIO(data))
    inches = axes.figure.get_size_inches()  # type: ignore[union-attr]
    assert image.width == pytest.approx(1.5 * size["width"], abs=1)
    assert size["width"] == pytest.approx(96 * inches[0], abs=1)
    exact = Image.open(io.BytesIO(render(axes, "png"))).convert("RGB").resize(image.size)
    apart = np.abs(np.asarray(image.convert("RGB"), float) - np.asarray(exact, float))
    assert apart.mean() < 4  # of 255: few colours, the same picture
    assert len(data) < 0.6 * len(render(axes, "png"))
    assert not plt.get_fignums()  # nothing is left over for the notebook to show again
