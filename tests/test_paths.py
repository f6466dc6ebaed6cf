"""Paths between sets, through layers: against enumeration; their shares add up to what one sweep says."""

from __future__ import annotations

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_paths import paths_between
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised
from circuits.graph.run import apply_gates
from circuits.graph.slopes import slopes
from circuits.query.between import Between
from circuits.query.ends import Ends
from circuits.query.limit import Limit
from circuits.query.paths import paths, top_paths
from circuits.query.text import number
from circuits.schema import GATES


def rows(graph: Graph, names: set[str]) -> np.ndarray:
    return np.isin(graph.nodes["node"].to_numpy(), sorted(names))


@st.composite
def asked(draw: st.DrawFn) -> tuple[Graph, set[str], dict[str, float], set[str] | None]:
    """A graph, sources, weighted targets, and perhaps nodes that paths must pass."""
    graph = draw(graphs())
    causes = graph.nodes.filter(~pl.col("kind").is_in(["bias", "rest"]))["node"].to_list()
    inner = [n for n in causes if not n.startswith("logit")]
    ends = graph.nodes.filter(pl.col("expanded"))["node"].to_list()
    sources = draw(st.sets(st.sampled_from(inner), min_size=1, max_size=4))
    targets = draw(st.sets(st.sampled_from(ends), min_size=1, max_size=3))
    inside = draw(st.none() | st.sets(st.sampled_from(inner), max_size=5))
    weights = {name: (i + 1.0) for i, name in enumerate(sorted(targets))}
    whole = sum(weights.values())
    return graph, sources, {name: w / whole for name, w in weights.items()}, inside


def between(graph: Graph, sources: set[str], targets: dict[str, float], inside: set[str] | None) -> Between:
    weights = np.array([targets.get(name, 0.0) for name in graph.nodes["node"]])
    passed = None if inside is None else rows(graph, inside)
    return Between.of(normalised(graph), rows(graph, sources), weights, passed)


@settings(max_examples=150, deadline=None)
@given(asked())
def test_sums_over_all_paths_are_those_of_enumeration(case: tuple) -> None:
    graph, sources, targets, inside = case
    network = between(*case)
    listed = paths_between(graph, sources, targets, inside)
    assert network.total == pytest.approx(sum(share for share, _ in listed), rel=1e-6, abs=1e-12)
    assert network.count == len(listed)
    assert network.total <= 1 + 1e-9
    carried = dict.fromkeys(graph.nodes["node"], 0.0)
    for share, nodes in listed:
        for node in nodes:
            carried[node] += share
    np.testing.assert_allclose(network.through, list(carried.values()), rtol=1e-6, atol=1e-9)


@settings(max_examples=150, deadline=None)
@given(asked(), st.sampled_from([1, 3, 10_000]))
def test_the_strongest_paths_are_those_of_enumeration(case: tuple, k: int) -> None:
    graph, sources, targets, inside = case
    names = graph.nodes["node"]
    found = [
        (share, tuple(names[row] for row in path))
        for path, share in itertools.islice(between(*case).strongest(), k)
    ]
    wanted = paths_between(graph, sources, targets, inside)
    assert len(found) == min(k, len(wanted)) == len({nodes for _, nodes in found})
    by_nodes = {nodes: share for share, nodes in wanted}
    for (share, nodes), (best, _) in zip(found, wanted, strict=False):
        assert share == pytest.approx(best, rel=1e-6)
        assert share == pytest.approx(by_nodes[nodes], rel=1e-6)


def test_an_answer_tells_the_shares_of_all_paths_where_it_lists_them_all() -> None:
    graph = sample_graph()
    ends = Ends.of(graph, "logit:Mary", "tok@1")
    answer = paths(graph, "logit:Mary", sources="tok@1", k=10_000)
    table = answer.tables["paths"]
    assert len(table) == answer.meta["paths"] == ends.between.count
    assert table["share"].sum() == pytest.approx(answer.meta["share"], rel=1e-9)
    assert table["part"].sum() == pytest.approx(1, rel=1e-9)
    assert "All of them are listed." in answer.finding
    totals = dict(answer.tables["totals"].select("which", "share").iter_rows())
    assert totals["all such paths"] == pytest.approx(totals[f"the {len(table)} given"], rel=1e-9)


def test_layers_split_the_paths_into_those_that_pass_and_those_that_do_not() -> None:
    graph = sample_graph()
    whole = paths(graph, "logit:Mary", sources="tok@1", k=10_000)
    first, last = 18, 21
    some = paths(graph, "logit:Mary", sources="tok@1", through=(first, last), k=10_000)
    layer = dict(graph.nodes.select("node", "layer").iter_rows())

    def passes(nodes: list[str]) -> bool:
        return any(layer[n] is not None and first <= layer[n] <= last for n in nodes[:-1])

    wanted = {tuple(nodes) for nodes in whole.tables["paths"]["nodes"].to_list() if passes(nodes)}
    assert {tuple(nodes) for nodes in some.tables["paths"]["nodes"].to_list()} == wanted
    assert 0 < len(wanted) < whole.meta["paths"]
    assert some.meta["share"] == pytest.approx(some.tables["paths"]["share"].sum(), rel=1e-9)
    assert "through layers 18 to 21" in some.question


def test_several_targets_count_by_their_influence() -> None:
    graph = sample_graph()
    names = ("24/1042@13", "26/1219@13")
    ends = Ends.of(graph, Concept("movers", names), None)
    asked = graph.nodes["target_weight"].to_numpy()
    size = len(asked)
    inverse = np.linalg.inv(np.eye(size) - normalised(graph).toarray())
    arriving = asked @ inverse
    wanted = arriving[[graph.row(n) for n in names]]
    found = ends.weights[[graph.row(n) for n in names]]
    np.testing.assert_allclose(found, wanted / wanted.sum(), rtol=1e-9)
    assert ends.weights.sum() == pytest.approx(1)


def test_the_effect_of_a_path_is_what_patching_it_alone_does() -> None:
    """One edge after the other: what the source's loss does to the next node, that to the next one."""
    for seed in range(5):
        graph = random_graph(seed, gates=("relu", "jumprelu", "linear"))
        edges = graph.edges.with_columns(pl.col("source", "target").cast(pl.String))
        strength = {(s, t): v for s, t, _, v in edges.iter_rows()}
        activation = dict(graph.nodes.select("node", "activation").iter_rows())
        found = top_paths(graph, graph.targets[0], k=50)
        assert found
        for path in found:
            moved = activation[path.nodes[0]]
            for one, next_ in itertools.pairwise(path.nodes):
                moved = strength[one, next_] * moved  # gates on a path are on and straight
            assert path.effect == pytest.approx(moved, rel=1e-6)
            assert path.sign == (1 if moved > 0 else -1)


def test_slopes_are_the_gates_derivatives() -> None:
    for gate in GATES:
        graph = random_graph(3, layers=3, gates=(gate,))
        table = graph.nodes.filter(kind="feature")
        z = table["pre_activation"].to_numpy()
        threshold = table["threshold"].fill_null(0).to_numpy()
        number_of = np.full(len(z), GATES.index(gate))
        with jax.enable_x64(True):
            z, threshold, number_of = (jnp.asarray(part) for part in (z, threshold, number_of))
            wanted = jax.grad(lambda at, t=threshold, n=number_of: apply_gates(at, t, n, GATES).sum())(z)
        found = slopes(graph)[[graph.row(node) for node in table["node"]]]
        np.testing.assert_allclose(found, np.asarray(wanted), rtol=1e-6, atol=1e-9)


def test_limits_stop_a_search_and_are_told() -> None:
    graph = sample_graph()
    whole = paths(graph, "logit:Mary", k=1000)
    shares = whole.tables["paths"]["share"]
    least = float(shares[4])
    some = paths(graph, "logit:Mary", k=1000, limit=Limit(share=least))
    assert some.tables["paths"]["share"].to_list() == shares.head(len(some.tables["paths"])).to_list()
    assert len(some.tables["paths"]) == int((shares >= least).sum()) < len(shares)
    assert some.meta["stopped"] == "share"
    assert some.meta["share"] == whole.meta["share"]
    three = paths(graph, "logit:Mary", k=1000, limit=Limit(paths=3))
    assert three.tables["paths"]["share"].to_list() == shares.head(3).to_list()
    hasty = paths(graph, "logit:Mary", k=1000, limit=Limit(seconds=1e-9))
    assert hasty.meta["stopped"] == "seconds"
    assert len(hasty.tables["paths"]) == 1
    assert "ran out" in " ".join(hasty.finding)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"seconds": 0}, "0 seconds"),
        ({"seconds": float("nan")}, "nan seconds"),
        ({"paths": 0}, "0 paths"),
        ({"share": 1.0}, "1 is no share"),
        ({"share": -0.1}, "-0.1 is no share"),
    ],
)
def test_limits_that_are_none(wrong: dict, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        Limit(**wrong)


@pytest.mark.parametrize(
    ("target", "more", "error", "match"),
    [
        ("logit:Mary", {"k": 0}, UsageError, "0 paths"),
        ("logit:Mary", {"sources": "99/1@1"}, NotFound, "99/1@1"),
        ("nonsense", {}, NotFound, "nonsense"),
        ("tok@1", {}, UsageError, "nothing flows into it"),
        ("0/118@1", {"sources": "24/1042@13"}, UsageError, "They lead the other way"),
        ("0/118@1", {"sources": "tok@9"}, UsageError, "No path leads from"),
        ("logit:Mary", {"through": (97, 98)}, UsageError, "layers 97 to 98: they go from 0 to 29"),
        ("logit:Mary", {"through": (5, 3)}, UsageError, "run backwards: write 3 to 5"),
        ("0/118@1", {"through": (20, 22)}, UsageError, "has a node of layers 20 to 22"),
        ("24/1042@13", {"sources": Concept("same", ("24/1042@13",))}, UsageError, "name other sources"),
    ],
)
def test_paths_that_do_not_exist_are_refused(target: str, more: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        paths(sample_graph(), target, **more)


def test_an_answer_prints_and_its_code_runs() -> None:
    graph = sample_graph().with_meta(run="run/ioi")
    answer = paths(graph, "Mary", sources='token:" John"', through=(2, 3), k=2, limit=Limit(seconds=5))
    compile(answer.code, "code", "exec")
    assert "circuits.paths(graph, 'Mary', sources='token:\" John\"', through=(2, 3), k=2" in answer.code
    assert json.dumps(answer.to_dict(), allow_nan=False)
    printed = str(answer)
    assert all(part in printed for part in ("PATHS", "TOTALS", "THROUGH", "STARTS", "The same in Python"))
    assert number(3.21e12) == "3.2 × 10^12"
