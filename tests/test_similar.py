"""Likeness by its definition: cosines over names, weighted Jaccard by loops; what is unexplained by sums."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_paths import shares_network
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.query.similar import similar
from circuits.query.unexplained import unexplained


def profile(graph: Graph, node: str, *, reads: bool) -> dict[str, float]:
    constants = set(graph.nodes.filter(pl.col("kind").is_in(["bias", "rest"]))["node"])
    edges = [(s, t, w) for s, t, w, _ in graph.edges.iter_rows() if s not in constants]
    return {(s if reads else t): w for s, t, w in edges if (t if reads else s) == node}


def cosine(one: Mapping[str, float], two: Mapping[str, float]) -> float | None:
    a, b = (np.linalg.norm(list(p.values())) if p else 0.0 for p in (one, two))
    return sum(v * two.get(k, 0.0) for k, v in one.items()) / (a * b) if a and b else None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_features_are_alike_by_the_cosines_of_what_they_read_and_write(seed: int) -> None:
    graph = random_graph(seed, density=0.8)
    on = graph.nodes.filter(pl.col("kind") == "feature", pl.col("activation") != 0)["node"].to_list()
    node = on[0]
    table = similar(graph, node, top=100).tables["alike"]
    assert set(table["node"]) == set(on) - {node}
    for row in table.iter_rows(named=True):
        parts = [
            cosine(profile(graph, node, reads=reads), profile(graph, row["node"], reads=reads))
            for reads in (True, False)
        ]
        assert (row["reads"], row["writes"]) == tuple(
            p if p is None else pytest.approx(p, abs=1e-6) for p in parts
        )
        known = [p for p in parts if p is not None]
        assert row["alike"] == pytest.approx(np.mean(known) if known else 0.0, abs=1e-6)
    assert table["alike"].is_sorted(descending=True)


def test_a_feature_is_itself_in_the_same_graph_and_moves_with_its_token() -> None:
    graph = sample_graph()
    tokens = graph.meta["prompt"]["tokens"]
    copy = graph.with_meta(run="elsewhere")
    found = similar(graph, "24/1042@13", copy).tables["alike"].row(0, named=True)
    assert (found["node"], found["same"]) == ("24/1042@13", "the same feature")
    assert found["alike"] == pytest.approx(1)
    shifted = moved(graph, ("Then", *tokens))
    found = similar(graph, "24/1042@13", shifted).tables["alike"].row(0, named=True)
    assert found["node"] == "24/1042@14"
    assert found["alike"] == pytest.approx(1)
    assert similar(graph, None, shifted).meta["nodes"] == pytest.approx(1)


def moved(graph: Graph, tokens: tuple[str, ...]) -> Graph:
    """The same graph with one more token in front."""
    names = [
        f"{n.rpartition('@')[0]}@{int(n.rpartition('@')[2]) + 1}" if "@" in n else n
        for n in graph.nodes["node"]
    ]
    nodes = graph.nodes.with_columns(node=pl.Series(names), pos=pl.col("pos") + 1)
    values = tuple(graph.edges[c].to_numpy() for c in ("weight", "strength"))
    meta = {**graph.meta, "prompt": {**graph.meta["prompt"], "tokens": list(tokens)}}
    return Graph.of(nodes, graph.ends, (values[0], values[1]), meta)


def carried(graph: Graph) -> tuple[dict[str, float], dict[tuple[str, str], float]]:
    """Influence of nodes and flow of edges on the heaviest target, by loops."""
    net, target = shares_network(graph), graph.targets[0]
    arriving = {name: float(name == target) for name in graph.nodes["node"]}
    for node in reversed(graph.nodes["node"].to_list()):
        arriving[node] += sum(arriving[t] * d["share"] for _, t, d in net.out_edges(node, data=True))
    flow = {(s, t): arriving[t] * d["share"] for s, t, d in net.edges(data=True)}
    return {n: v for n, v in arriving.items() if not n.startswith("logit")}, flow


def jaccard(one: Mapping, two: Mapping) -> float:
    keys = {*one, *two}
    most = sum(max(one.get(k, 0.0), two.get(k, 0.0)) for k in keys)
    return sum(min(one.get(k, 0.0), two.get(k, 0.0)) for k in keys) / most if most else 1.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(0, 1000))
def test_graphs_are_alike_by_the_weighted_jaccard_index(one: int, two: int) -> None:
    words = {"prompt": {"tokens": ["a", " b", " c"]}}
    first = random_graph(one).with_meta(**words)
    second = random_graph(two, features=5).with_meta(**words)
    answer = similar(first, None, second)
    (nodes, flow), (others, other_flow) = carried(first), carried(second)
    assert answer.meta["nodes"] == pytest.approx(jaccard(nodes, others), abs=1e-9)
    assert answer.meta["edges"] == pytest.approx(jaccard(flow, other_flow), abs=1e-9)
    turned = similar(second, None, first)
    assert turned.meta["nodes"] == pytest.approx(answer.meta["nodes"], abs=1e-9)
    itself = similar(first, None, first)
    assert (itself.meta["nodes"], itself.meta["edges"]) == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("node", "more", "error", "match"),
    [
        (None, {}, UsageError, "give a second graph"),
        ("24/1042@13", {"top": 0}, UsageError, "top 0"),
        ("24/1043@13", {}, NotFound, "24/1042@13"),
    ],
)
def test_likeness_that_cannot_be_asked(node: str | None, more: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        similar(sample_graph(), node, **more)


def test_answers_print_and_their_code_compiles() -> None:
    graph = sample_graph().with_meta(run="run/one")
    other = sample_graph().with_meta(run="run/two")
    for answer in (similar(graph, "24/1042@13"), similar(graph, None, other), unexplained(graph, "Mary")):
        assert json.dumps(answer.to_dict(), allow_nan=False)
        compile(answer.code, "code", "exec")
        assert str(answer)
    assert "circuits.similar(graph, None, other)" in similar(graph, None, other).code
    assert "circuits.load_run('run/two')" in similar(graph, None, other).code


@settings(max_examples=40, deadline=None)
@given(graphs(dtype=np.float64))
def test_what_is_unexplained_is_all_that_no_word_explains(graph: Graph) -> None:
    answer = unexplained(graph)
    ends = dict(answer.tables["ends"].iter_rows())
    traced = (
        ends["words of the prompt"]
        + ends.get("positions", 0.0)
        + ends.get("features driven by constants", 0.0)
    )
    lost = answer.meta["share"]
    assert lost + traced == pytest.approx(1 if sum(ends.values()) > 0.5 else 0, abs=1e-9)
    for table in ("layers", "positions"):
        assert answer.tables[table]["share"].sum() == pytest.approx(lost, abs=1e-9)
    sources = answer.tables["sources"]
    assert sources["share"].sum() <= lost + 1e-9
    assert len(sources) == 10 or sources["share"].sum() == pytest.approx(lost, abs=1e-9)


def test_the_largest_error_is_told_with_its_path() -> None:
    graph = sample_graph()
    answer = unexplained(graph, "Mary")
    best = answer.tables["sources"].row(0, named=True)
    (influence, _) = carried(
        graph.with_nodes(target_weight=(pl.col("node") == "logit:Mary").cast(pl.Float64))
    )
    errors = {n: v for n, v in influence.items() if n.startswith("err")}
    top = max(errors, key=lambda n: errors[n])
    first = answer.tables["sources"].filter(why="errors").row(0, named=True)
    assert first["node"] == top
    assert first["share"] == pytest.approx(errors[top], rel=1e-9)
    assert first["nodes"][0] == top
    assert first["nodes"][-1] == "logit:Mary"
    assert best["share"] >= first["share"]
    assert "dictionary errors" in answer.finding[0]
