"""Faithfulness and completeness of nested circuits: by hand, by brute force, by their definitions."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measured import GraphAsModel
from strategies import random_trace

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.intervene.faithfulness import SHARES, Ablation, areas, faithfulness


def graph_of(seed: int = 0) -> Graph:
    return attribute(random_trace(seed), (Edges(tolerance=0.0),))


def features(graph: Graph) -> list[str]:
    return graph.nodes.filter(pl.col("kind") == "feature")["node"].to_list()


def literal(graph: Graph, off: set[str], values: dict[str, float]) -> float:
    """The heaviest target with some features off, node by node through the tables."""
    a = {}
    edges = graph.edges.cast({"source": pl.String, "target": pl.String})
    incoming: dict[str, list[tuple[str, float]]] = {}
    for source, target, strength in edges.select("source", "target", "strength").iter_rows():
        incoming.setdefault(target, []).append((source, strength))
    for row in graph.nodes.iter_rows(named=True):
        name = row["node"]
        z = sum(a[source] * strength for source, strength in incoming.get(name, ()))
        if row["kind"] == "logit":
            a[name] = z
        elif name in off:
            a[name] = values.get(name, 0.0)
        elif row["kind"] == "feature":
            a[name] = max(z, 0.0)  # traces of this file have relu gates
        else:
            a[name] = row["activation"]
    return a[graph.targets[0]]


def test_the_whole_carries_all_and_nothing_carries_nothing() -> None:
    graph = graph_of()
    ranked = features(graph)
    curve = faithfulness(GraphAsModel(graph, graph), {"any": ranked}, shares=(0.0, 0.3, 1.0))["any"]
    assert curve.sizes.tolist() == [0, int(0.3 * len(ranked)), len(ranked)]
    assert curve.faithfulness[0] == 0
    assert curve.faithfulness[-1] == 1
    assert curve.completeness[0] == 1
    assert curve.completeness[-1] == 0
    assert abs(curve.faithfulness[1]) > 0
    assert curve.whole != curve.empty


@pytest.mark.parametrize("name", ["zero", "mean"])
def test_curves_are_what_brute_force_gives(name: str) -> None:
    graph = graph_of(3)
    ranked = features(graph)[::-1]
    values = {} if name == "zero" else {node: 0.1 * i for i, node in enumerate(ranked[: len(ranked) // 2])}
    ablation = Ablation(values=values, name=name)
    shares = (0.0, 0.1, 0.4, 0.7, 1.0)
    found = faithfulness(GraphAsModel(graph, graph), {"x": ranked}, shares=shares, ablation=ablation)["x"]
    everything = set(ranked)
    whole, empty = literal(graph, set(), values), literal(graph, everything, values)
    for share, f, left in zip(shares, found.faithfulness, found.completeness, strict=True):
        circuit = set(ranked[: int(share * len(ranked))])
        kept, without = literal(graph, everything - circuit, values), literal(graph, circuit, values)
        np.testing.assert_allclose(f, (kept - empty) / (whole - empty), atol=1e-9)
        np.testing.assert_allclose(left, (without - empty) / (whole - empty), atol=1e-9)
    assert found.table()["size"].to_list() == found.sizes.tolist()


def test_errors_and_words_belong_to_the_whole_only_where_they_are_named() -> None:
    graph = graph_of(1)
    all_of_it = Ablation(kinds=("feature", "error", "token", "position"))
    members = all_of_it.members(graph)
    assert set(features(graph)) < set(members)
    curve = faithfulness(GraphAsModel(graph, graph), {"x": members}, shares=(0.0, 1.0), ablation=all_of_it)[
        "x"
    ]
    plain = faithfulness(GraphAsModel(graph, graph), {"x": features(graph)}, shares=(0.0, 1.0))["x"]
    assert curve.members == len(members)
    assert plain.members == len(features(graph))
    assert curve.empty != plain.empty
    assert curve.whole == plain.whole


def test_areas_by_hand() -> None:
    # from .5 to 1: trapezoids over [.5, .75] and [.75, 1]; the empty circuit has no part in it
    cpr, cmd = areas((0.0, 0.5, 0.75, 1.0), np.array([0.0, 0.6, 1.2, 1.0]))
    assert cpr == pytest.approx(0.25 * 0.9 + 0.25 * 1.1)
    assert cmd == pytest.approx(0.25 * (0.4 + 0.2) / 2 + 0.25 * (0.2 + 0.0) / 2)


def test_a_circuit_that_is_the_model_at_every_size_has_the_areas_of_the_grid() -> None:
    cpr, cmd = areas(SHARES, np.array([0.0] + [1.0] * 10))
    assert cpr == pytest.approx(0.999)
    assert cmd == 0


@given(st.lists(st.floats(-3, 3), min_size=11, max_size=11))
def test_the_areas_differ_from_the_grid_s_by_what_overshoots(f: list[float]) -> None:
    cpr, cmd = areas(SHARES, np.array(f))
    over = areas(SHARES, np.maximum(np.array(f), 1.0)).cpr - 0.999
    # |1 − f| = 1 − f + 2 · max(f − 1, 0), node by node of the grid
    assert cmd == pytest.approx(0.999 - cpr + 2 * over, abs=1e-9)


@given(st.integers(0, 4), st.permutations(range(8)))
@settings(max_examples=15)
def test_what_a_circuit_keeps_another_ranking_leaves(seed: int, order: list[int]) -> None:
    # the complement of a ranking's first n are the other's last: f of one is the completeness of the other
    graph = graph_of(seed)
    nodes = features(graph)
    first = [nodes[i] for i in order if i < len(nodes)]
    rest = [node for node in nodes if node not in first]
    share = len(first) / len(nodes)
    both = {"a": first + rest, "b": rest + first}
    found = faithfulness(GraphAsModel(graph, graph), both, shares=(0.0, *sorted({share, 1 - share}), 1.0))
    a, b = found["a"], found["b"]
    at = {size: i for i, size in enumerate(a.sizes.tolist())}
    i, j = at[len(first)], at.get(len(rest))
    if j is not None:
        np.testing.assert_allclose(a.circuit[i], b.remainder[j], atol=1e-12)
        np.testing.assert_allclose(a.remainder[i], b.circuit[j], atol=1e-12)


def test_what_cannot_be_measured_is_refused() -> None:
    graph = graph_of()
    nodes, model = features(graph), GraphAsModel(graph, graph)
    with pytest.raises(UsageError, match="names tok@0, which is none of the"):
        faithfulness(model, {"r": ["tok@0"]})
    with pytest.raises(UsageError, match=f"Ranking r names {nodes[0]} twice"):
        faithfulness(model, {"r": [nodes[0], nodes[1], nodes[0]]})
    with pytest.raises(UsageError, match="do not rise"):
        faithfulness(model, {"r": nodes}, shares=(0.5, 0.1))
    with pytest.raises(UsageError, match="bias cannot be off"):
        Ablation(kinds=("bias",))
    with pytest.raises(NotFound, match="logit:nobody was not measured"):
        faithfulness(model, {"r": nodes}, "logit:nobody")


def test_where_nothing_depends_on_the_features_there_is_no_share() -> None:
    graph = graph_of()
    loose = Graph(graph.nodes, graph.edges.clear(), graph.hyperedges, graph.meta)
    found = faithfulness(GraphAsModel(loose, loose), {"r": features(graph)}, shares=(0.0, 0.5, 1.0))["r"]
    assert np.isnan(found.faithfulness).all()
    assert np.isnan(found.areas).all()
