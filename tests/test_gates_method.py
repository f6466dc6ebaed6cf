"""The method `Gates` on graphs: hyperedges against the enumeration of each feature's own game."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from literal import gate
from literal_gates import interaction, worths
from strategies import random_graph

from circuits.engine.gates.method import Gates
from circuits.engine.gates.of_graph import gate_rows, gated_rows, most_influential
from circuits.engine.interact import interact
from circuits.engine.methods import Method
from circuits.errors import UsageError
from circuits.graph.graph import Graph

KINKED = ("relu", "jumprelu", "topk")


def game_of(graph: Graph, target: str) -> tuple[str, list[str], np.ndarray, float, float]:
    """Gate, players, what they add, bias and threshold of a feature, read off the tables one by one."""
    node = graph.nodes.row(graph.row(target), named=True)
    kinds = dict(graph.nodes.select("node", "kind").iter_rows())
    into = graph.edges.filter(pl.col("target") == target)
    edges = [(s, w) for s, w in into.select("source", "weight").iter_rows() if w != 0]
    edges = [(s, w) for s, w in edges if kinds[s] not in ("bias", "rest")]
    names, c = [s for s, _ in edges], np.array([w for _, w in edges], float)
    return node["gate"], names, c, node["pre_activation"] - c.sum(), node["threshold"] or 0.0


@pytest.mark.parametrize("index", ["SII", "FSII", "Co-Moebius"])
def test_hyperedges_are_what_enumeration_says(index: str) -> None:
    graph = random_graph(3, gates=(*KINKED, "silu"), features=4, layers=3, rest=True)
    settings = Gates(order=3, index=index, top=None, threshold=0, candidates=3)
    found = interact(graph, [settings]).hyperedges
    seen = 0
    for target in graph.nodes.filter(pl.col("kind") == "feature")["node"]:
        name, players, c, b, theta = game_of(graph, target)
        if not 0 < len(c) <= 11:
            continue
        table = worths(name, c, b, theta)
        rows = found.filter(pl.col("target") == target)
        told = {tuple(m): w for m, w in rows.select("members", "weight").iter_rows()}
        for order in (2, 3):
            for members in combinations(range(len(c)), order):
                wanted = interaction(table, members, index)
                weight = told.pop(tuple(players[i] for i in members), 0.0)
                assert weight == pytest.approx(wanted, abs=1e-9)
                seen += abs(wanted) > 1e-9
        assert not told
    assert seen > 50


def test_kind_and_effect_are_by_ablating_with_everything_else_on() -> None:
    graph = random_graph(8, gates=KINKED, density=0.5)
    found = interact(graph, [Gates(order=3, top=4)]).hyperedges
    assert set(found["order"]) == {2, 3}
    for row in found.iter_rows(named=True):
        name, players, c, b, theta = game_of(graph, row["target"])
        at = [players.index(m) for m in row["members"]]
        z = b + c.sum()
        worth = [
            gate(name, z - sum(c[i] for k, i in enumerate(at) if not s >> k & 1), theta)
            for s in range(1 << len(at))
        ]
        assert row["effect"] == pytest.approx(worth[-1] - worth[0], abs=1e-9)
        # one case is told by eye: nothing without both is AND, the same with either is OR
        top = max(abs(w - worth[0]) for w in worth)
        if len(at) == 2 and top > 0:
            shape = [(w - worth[0]) / top for w in worth[1:]]
            if shape == pytest.approx([0, 0, 1]):
                assert row["gate"] == "and"
            if shape == pytest.approx([1, 1, 1]):
                assert row["gate"] == "or"
        assert row["channel"] == "mlp"
        assert row["low"] <= row["weight"] <= row["high"]
        assert not row["estimated"]


def wide_graph(n: int = 40) -> Graph:
    """One ReLU feature with many inputs, and a second that its inputs never switch off."""
    graph = random_graph(5, tokens=n, layers=1, features=3, density=1.0, errors=False, logits=1)
    row = graph.row("0/1@1")
    z = graph.nodes["pre_activation"].to_numpy().copy()
    weights = graph.matrix[[row]].data
    z[row] += np.abs(weights).sum() + 1  # as if its bias were so large
    return replace(graph, nodes=graph.nodes.with_columns(pre_activation=pl.Series(z)))


def test_gates_of_many_inputs_say_how_far_off_they_may_be() -> None:
    found = interact(wide_graph(), [Gates(order=3, top=6, candidates=6)])
    rows = found.hyperedges
    assert rows["target"].n_unique() == 2  # the third stays on whatever is removed
    assert set(rows["engine"]) == {"fourier K=256 Q=16"}
    assert (rows["high"] > rows["low"]).all()
    assert (rows["high"] - rows["low"] < 0.2 * rows["weight"].abs().max()).all()
    told = found.meta["interactions"]["mlp"]
    units = told["units"].values()
    assert sum(unit["settled"] for unit in units) == 1
    assert sum(unit["gates"] for unit in units) == 3
    assert max(unit["largest_error"] for unit in units) == pytest.approx(
        ((rows["high"] - rows["low"]) / 2).max()
    )
    assert told["flops"] > 0


def test_float64_and_float32_agree() -> None:
    both = [interact(wide_graph(), [Gates(top=5, double=double)]).hyperedges for double in (False, True)]
    assert both[0]["members"].to_list() == both[1]["members"].to_list()
    np.testing.assert_allclose(both[0]["weight"], both[1]["weight"], rtol=1e-4)


def test_top_and_threshold_keep_the_strongest() -> None:
    graph = random_graph(2, features=3)
    every = interact(graph, [Gates(top=None, threshold=0)]).hyperedges
    few = interact(graph, [Gates(top=2, threshold=0)]).hyperedges
    for (target,), rows in every.group_by("target"):
        kept = few.filter(pl.col("target") == target)["weight"].abs().sort(descending=True)
        wanted = rows["weight"].abs().sort(descending=True).head(2)
        np.testing.assert_allclose(kept, wanted)
    strong = interact(graph, [Gates(top=None, threshold=0.05)]).hyperedges
    for row in every.iter_rows(named=True):
        _, _, c, _, _ = game_of(graph, row["target"])
        passes = abs(row["weight"]) >= 0.05 * np.abs(c).sum()
        assert passes == (
            row["members"] in strong.filter(pl.col("target") == row["target"])["members"].to_list()
        )


def test_the_most_influential_gates_are_looked_at() -> None:
    graph = random_graph(4, features=4, layers=3)
    rows = gated_rows(graph)
    best = most_influential(graph, rows, 3)
    assert len(best) == 3
    units = Gates(gates=3).units(graph, None)
    targets = {t for unit in units for t in unit.run(lambda *_: None).hyperedges["target"]}
    assert targets <= {graph.nodes["node"][int(i)] for i in best}
    assert all(unit.flops > 0 for unit in units)
    assert isinstance(Gates(), Method)


def test_constants_are_no_players_and_stay_on() -> None:
    graph = random_graph(6, rest=True)
    for row in gate_rows(graph, gated_rows(graph)):
        kinds = set(graph.nodes["kind"].cast(pl.String)[row.players.tolist()])
        assert not kinds & {"bias", "rest"}
        z = graph.nodes["pre_activation"][row.node]
        assert row.bias + row.inputs.sum() == pytest.approx(z)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"order": 4}, "order 4: give 2"),
        ({"order": 1}, "order 1: give 2"),
        ({"index": "SIII"}, "No index 'SIII'"),
        ({"top": 0}, "top=0"),
        ({"gates": 0}, "gates=0"),
        ({"threshold": 1.5}, "Threshold 1.5"),
        ({"candidates": 2}, "candidates=2"),
    ],
)
def test_bad_settings_are_refused_in_a_sentence(settings: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Gates(**settings)


def test_a_graph_without_gates_is_refused() -> None:
    with pytest.raises(UsageError, match="No gate to look at"):
        Gates().units(random_graph(1, gates=("linear",)), None)
