"""Sentence, paths and hypergraph as predictions: their marks are the numbers behind them."""

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
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from sample_graph import TOKENS, sample_graph
from sample_interactions import sample_interactions
from strategies import random_graph
from test_plot_interactions import all_texts_inside, named, no_texts_overlap

from circuits.cli.main import run
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.plot import hypergraph, sentence, strongest_paths
from circuits.plot.save import render
from circuits.plot.sentence import contributions
from circuits.plot.style import NEGATIVE, PAPER, POSITIVE
from circuits.query.answer import Answer
from circuits.query.paths import paths
from circuits.query.subject import Subject
from circuits.query.text import percent, signed
from circuits.query.totals import Totals
from circuits.query.why import why


def grouped() -> Graph:
    held = pl.col("node").is_in(["21/1177@13", "18/1401@13"])
    other = pl.col("node").is_in(["24/1042@13"])
    name = pl.when(held).then(pl.lit("say it")).when(other).then(pl.lit("names"))
    return sample_graph().with_nodes(concept=name)


def along_paths(graph: Graph, source: str, target: str, meeting: set[str]) -> float:
    """What a node brings along the paths that meet some nodes, path by path."""
    totals = Totals(Subject.of(graph, target))
    net = nx.DiGraph()
    for one, other, _, strength in graph.edges.iter_rows():
        ratio = 1.0 if other == target else totals.ratio[graph.row(other)]
        net.add_edge(one, other, passed=strength * ratio)
    found = 0.0
    for way in nx.all_simple_paths(net, source, target):
        if meeting & set(way):
            found += float(np.prod([net.edges[edge]["passed"] for edge in itertools.pairwise(way)]))
    return found * totals.activation[graph.row(source)]


def test_what_runs_through_nodes_is_the_sum_over_paths_that_meet_them() -> None:
    graph = random_graph(3, tokens=3, layers=3, features=3, density=0.7)
    target = graph.targets[0]
    totals = Totals(Subject.of(graph, target))
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    chosen = [node for node in features if totals.total[graph.row(node)]][1:4]
    through = totals.passing(chosen)
    some = 0
    for node in graph.nodes.filter(kind="token")["node"]:
        wanted = along_paths(graph, node, target, set(chosen))
        assert through[graph.row(node)] == pytest.approx(wanted)
        some += abs(wanted) > 1e-6
    assert some
    assert not totals.passing([]).any()
    rows = [graph.row(node) for node in chosen]
    np.testing.assert_array_equal(through[rows], totals.total[rows])


def test_tokens_are_shaded_by_what_they_bring_on_one_scale() -> None:
    graph = grouped()
    axes = sentence(graph, "logit:Mary")
    totals = Totals(Subject.of(graph, "logit:Mary"))
    shades = named(axes, "shade")
    largest, seen = 0.0, []
    for name, column in (
        ("logit:Mary", totals.total),
        ("say it", totals.passing(["21/1177@13", "18/1401@13"])),
        ("names", totals.passing(["24/1042@13"])),
    ):
        for pos in range(len(TOKENS)):
            nodes = graph.nodes.filter(pl.col("kind").is_in(["token", "position"]), pos=pos)["node"]
            part = sum(column[graph.row(node)] for node in nodes)
            shade = shades.pop(f"{name}→{pos}")
            seen.append((abs(part), shade.get_alpha()))
            if part:
                assert to_hex(shade.get_facecolor()) == (POSITIVE if part > 0 else NEGATIVE)
            largest = max(largest, abs(part))
    assert not shades
    for amount, alpha in seen:
        assert alpha == pytest.approx(amount / largest)
    down = {gid for gid, _ in named(axes, "down").items()}
    assert down
    assert all(to_hex(named(axes, "shade")[gid].get_facecolor()) == NEGATIVE for gid in down)
    words = [text.get_text() for gid, text in named(axes, "token").items() if gid.startswith("logit:Mary→")]
    assert words == [token.strip() for token in TOKENS]
    no_texts_overlap(axes)
    all_texts_inside(axes)


def test_what_tokens_bring_is_told_beside_the_value() -> None:
    rows = contributions(grouped(), "logit:Mary")
    assert rows[0].note == f"tokens bring {signed(float(rows[0].parts.sum()))} of +17.4"
    assert [row.title for row in rows[1:]] == sorted(
        ["through say it", "through names"], key=lambda t: -abs({r.title: r for r in rows}[t].parts).sum()
    )
    (chosen,) = contributions(grouped(), "logit:Mary", ["just=24/1042@13"])[1:]
    by_name = {row.name: row for row in rows}
    np.testing.assert_allclose(chosen.parts, by_name["names"].parts)


def test_a_long_prompt_keeps_the_tokens_that_bring_something() -> None:
    graph = sample_graph()
    tokens = [*TOKENS, *("pad" for _ in range(300))]
    axes = sentence(graph.with_meta(prompt={"tokens": tokens}))
    shown = {int(name.split("→")[1]) for name in named(axes, "token")}
    assert max(shown) < len(TOKENS)
    texts = [text.get_text() for text in axes.texts]
    assert texts.count("…") >= 1
    assert axes.figure.get_size_inches()[0] <= 7.01  # type: ignore[union-attr]


def test_paths_are_drawn_with_their_shares_effects_and_signs() -> None:
    graph = sample_graph()
    answer = paths(graph, "logit:Mary", k=6)
    table = answer.tables["paths"]
    axes = strongest_paths(answer)
    bars, ways = named(axes, "bar"), named(axes, "way")
    unit = bars["0"].get_width() / table["share"][0]
    matrix = graph.matrix
    for i, row in enumerate(table.to_dicts()):
        bar = bars[str(i)]
        assert bar.get_width() == pytest.approx(unit * row["share"])
        assert (bar.get_hatch() is None) == (row["effect"] >= 0)
        assert named(axes, "share")[str(i)].get_text() == percent(row["share"])
        assert named(axes, "effect")[str(i)].get_text() == signed(row["effect"])
        steps = [gid.split("→")[1] for gid in named(axes, "step") if gid.startswith(f"{i}→")]
        assert steps == row["nodes"]
        for source, target in itertools.pairwise(row["nodes"]):
            up = matrix[graph.row(target), graph.row(source)] > 0
            line = ways[f"{i}→{target}"]
            assert to_hex(line.get_color()) == (POSITIVE if up else NEGATIVE)
            assert (line.get_linestyle() == "-") == up
    assert len(bars) == len(table) == 6
    said = axes.texts[-1].get_text()
    assert said.startswith(f"these 6 carry {percent(table['share'].sum())}, all ")
    no_texts_overlap(axes)
    all_texts_inside(axes)


def test_paths_of_a_graph_and_of_why_are_the_same_ones() -> None:
    graph = sample_graph()
    one = strongest_paths(graph, target="logit:Mary", most=5)
    other = strongest_paths(why(graph, "logit:Mary"), most=5)
    assert list(named(one, "step")) == list(named(other, "step"))
    assert named(one, "effect")
    assert not named(other, "effect")  # why tells only the sign
    with pytest.raises(UsageError, match="tells of no paths"):
        strongest_paths(Answer("", (), {}, graph, ""))
    with pytest.raises(UsageError, match="0 strongest paths"):
        strongest_paths(graph, most=0)


def test_a_hypergraph_joins_members_through_a_diamond_to_what_they_act_on() -> None:
    answer = why(sample_interactions(), "logit:Mary", top=40)
    table = answer.tables["combinations"].filter(pl.col("share").is_not_null()).head(12)
    axes = hypergraph(answer)
    diamonds, joins = named(axes, "hyperedge"), named(axes, "join")
    assert set(diamonds) == set(table["hyperedge"])
    signs = set()
    for row in table.to_dicts():
        name, up = row["hyperedge"], row["weight"] > 0
        ends = {gid.split("→")[1] for gid in joins if gid.startswith(f"{name}→")}
        assert ends == {*row["members"], row["where"]}
        assert to_hex(diamonds[name].get_facecolor()) == (POSITIVE if up else PAPER)
        line = joins[f"{name}→{row['where']}"]
        assert line.get_linewidth() == pytest.approx(0.6 + 6 * row["share"])
        assert to_hex(line.get_edgecolor()) == (POSITIVE if up else NEGATIVE)
        for member in row["members"]:
            begin = joins[f"{name}→{member}"].get_path().vertices[0]
            symbol = named(axes, "node")[member]
            np.testing.assert_allclose(begin, getattr(symbol, "center", None) or symbol.xy)
        said = named(axes, "amount")[name].get_text()
        assert said == ("+" if up else "−") + percent(row["share"])
        signs.add(up)
    assert signs == {True, False}
    assert set(named(axes, "acted")) == set(table["where"])
    no_texts_overlap(axes)
    all_texts_inside(axes)
    assert len(named(hypergraph(sample_interactions(), most=3), "hyperedge")) == 3


FIGURES: dict[str, Callable[..., Axes]] = {
    "sentence": lambda **to: sentence(grouped(), **to),
    "paths": lambda **to: strongest_paths(sample_graph(), **to),
    "hypergraph": lambda **to: hypergraph(sample_interactions(), **to),
}


@pytest.mark.parametrize("name", FIGURES)
def test_each_is_drawn_into_given_axes_and_the_same_each_time(name: str) -> None:
    one, other = (FIGURES[name]() for _ in range(2))
    assert render(one, "svg") == render(other, "svg")
    left, right = Figure(figsize=(8, 4), dpi=200).subplots(1, 2)
    assert FIGURES[name](ax=right) is right
    assert not left.texts
    right.figure.draw_without_rendering()
    around = right.bbox.padded(4)
    for text in right.texts:
        spot = text.get_window_extent()
        assert around.x0 <= spot.x0
        assert spot.x1 <= around.x1


def test_what_is_missing_is_said() -> None:
    graph = sample_graph()
    with pytest.raises(UsageError, match="does not hold the tokens"):
        sentence(graph.with_meta(prompt=None))
    with pytest.raises(NotFound, match="Marx"):
        sentence(graph, "Marx")
    with pytest.raises(UsageError, match="circuits interact"):
        hypergraph(graph)
    with pytest.raises(UsageError, match="0 strongest"):
        hypergraph(sample_interactions(), most=0)


def told(words: list[str]) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        code = run(words)
    return code, " ".join(said.getvalue().split())


def test_the_command_draws_each_or_says_which_command_makes_it(tmp_path: Path) -> None:
    sample_interactions().save(tmp_path / "run")
    sample_graph().save(tmp_path / "bare")
    for kind in ("sentence", "paths", "waterfall", "hypergraph"):
        out = tmp_path / f"{kind}.svg"
        code, said = told(["plot", str(tmp_path / "run"), "--kind", kind, "--target", "Mary", "-o", str(out)])
        assert code == 0, said
        assert out.read_bytes().startswith(b"<?xml")
    needs: dict[str, Any] = {
        "hypergraph": "circuits interact", "agreement": "circuits verify", "concepts": "circuits group",
    }  # fmt: skip
    for kind, command in needs.items():
        out = tmp_path / f"{kind}_bare.svg"
        code, said = told(["plot", str(tmp_path / "bare"), "--kind", kind, "-o", str(out)])
        assert code == 2
        assert f"`{command}{tmp_path}/bare".replace(" ", "") in said.replace(" ", "")
        assert not out.exists()
    code, said = told(["plot", str(tmp_path / "run"), "--kind", "matrix", "--target", "Mary", "-o", "x.svg"])
    assert code == 2
    assert "leave out --target" in said
    code, said = told(["plot", str(tmp_path / "run"), "--kind", "diff", "-o", "x.svg"])
    assert code == 2
    assert "--against RUN2" in said
