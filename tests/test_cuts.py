"""Cuts: every path of the network is cut, and no cheaper set cuts them all (by trying every set)."""

from __future__ import annotations

import itertools
import json

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from literal_paths import paths_between, shares_network
from literal_run import run_by_hand
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.query.cuts import Problem, cuts
from circuits.query.ends import Ends
from circuits.query.flow import cut_edges, cut_nodes


def network_of(problem: Problem) -> nx.DiGraph:
    """The edges of a problem's network, by name."""
    names = problem.ends.graph.nodes["node"]
    net = nx.DiGraph()
    net.add_edges_from((names[int(s)], names[int(t)]) for s, t in zip(*problem.edges, strict=True))
    return net


def left(net: nx.DiGraph, sources: set[str], targets: set[str]) -> bool:
    """Whether any path is left."""
    return any(
        nx.has_path(net, s, t) for s, t in itertools.product(sources, targets) if s in net and t in net
    )


@st.composite
def wanted(draw: st.DrawFn) -> tuple[Graph, str | None, float]:
    """A graph, where paths begin, and the share a cut shall carry."""
    graph = draw(graphs(dtype=np.float64))
    sources = draw(st.none() | st.sampled_from(graph.nodes.filter(kind="token")["node"].to_list()))
    return graph, sources, draw(st.sampled_from([0.5, 0.8, 1.0]))


def posed(case: tuple[Graph, str | None, float], by: str) -> Problem:
    graph, sources, share = case
    try:
        return Problem.of(Ends.of(graph, graph.targets[0], sources or "words"), by, share)
    except UsageError:
        assume(False)
        raise


def prices(problem: Problem, cost: str) -> dict[object, float]:
    """What each thing that can be cut costs, from the edge table by hand."""
    net = shares_network(problem.ends.graph)
    names = problem.ends.graph.nodes["node"]
    target = str(problem.ends.node)
    arriving = dict.fromkeys(names, 0.0)
    arriving[target] = 1.0
    for node in reversed(list(names)):
        for _, after, data in net.out_edges(node, data=True):
            arriving[node] += arriving[after] * data["share"]
    own = network_of(problem)
    if problem.by == "edges":
        return {(s, t): 1.0 if cost == "count" else arriving[t] * net[s][t]["share"] for s, t in own.edges}
    kinds = dict(problem.ends.graph.nodes.select("node", pl.col("kind").cast(pl.String)).iter_rows())
    inner = [n for n in own if kinds[n] in ("feature", "error") and n != target]
    inner = [n for n in inner if not problem.between.sources[problem.ends.graph.row(n)]]
    return {n: 1.0 if cost == "count" else arriving[n] for n in inner}


def assert_cheapest(problem: Problem, cost: str) -> None:
    names = problem.ends.graph.nodes["node"]
    sources = {names[int(row)] for row in np.flatnonzero(problem.between.sources)}
    targets = {str(problem.ends.node)}
    found = problem.cheapest(cost)
    assert problem.disconnects(found)
    if problem.by == "edges":
        cut = {
            (names[int(s)], names[int(t)])
            for s, t in zip(*(e[found.cut] for e in problem.edges), strict=True)
        }
    else:
        cut = {names[int(row)] for row in np.flatnonzero(found.cut)}
    price, net = prices(problem, cost), network_of(problem)
    assert left(net, sources, targets)

    def without(things: set[object]) -> nx.DiGraph:
        rest = net.copy()
        (rest.remove_edges_from if problem.by == "edges" else rest.remove_nodes_from)(things)
        return rest

    assert cut <= set(price)
    assert not left(without(cut), sources, targets)
    assert found.price == pytest.approx(sum(price[one] for one in cut), rel=1e-9)
    for size in range(len(price) + 1 if len(price) <= 10 else 4):
        for some in itertools.combinations(price, size):
            cheaper = sum(price[one] for one in some) < found.price - found.resolution - 1e-9
            assert not cheaper or left(without(set(some)), sources, targets)


@settings(max_examples=40, deadline=None)
@given(wanted(), st.sampled_from(["count", "flow"]))
def test_a_cut_of_nodes_disconnects_and_none_is_cheaper(case: tuple, cost: str) -> None:
    assert_cheapest(posed(case, "nodes"), cost)


@settings(max_examples=40, deadline=None)
@given(wanted(), st.sampled_from(["count", "flow"]))
def test_a_cut_of_edges_disconnects_and_none_is_cheaper(case: tuple, cost: str) -> None:
    assert_cheapest(posed(case, "edges"), cost)


def test_all_that_can_be_cut_may_have_to_be() -> None:
    """The cheapest cut costs as much as everything together: rounding must not make that dearer than none."""
    count = 3
    tail = np.array([0] * count + list(range(1, count + 1)))
    head = np.array([*range(1, count + 1), count + 1, count + 1, count + 1])
    ends = np.arange(count + 2)
    for price in (0.61508244, 0.01799003, 0.03451001):
        cost = np.full(count + 2, price) * np.array([1, 1, 0.3, 0.7, 1])
        found = cut_nodes((tail, head), cost, ends == 0, ends == count + 1)
        assert found.cut.tolist() == [False, True, True, True, False]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_flow_cuts_are_those_of_networkx(seed: int, whole: bool) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(3, 12))
    source, target = np.triu_indices(size, 1)
    kept = rng.random(len(source)) < 0.5
    source, target = source[kept], target[kept]
    price = np.ones(len(source)) if whole else rng.random(len(source))
    first, last = np.arange(size) == 0, np.arange(size) == size - 1
    net = nx.DiGraph()
    net.add_nodes_from(range(size))
    net.add_weighted_edges_from(
        zip(source.tolist(), target.tolist(), price.tolist(), strict=True), "capacity"
    )
    found = cut_edges((source, target), price, first, last)
    assert found.price == pytest.approx(nx.minimum_cut_value(net, 0, size - 1), abs=1e-6)
    assert found.resolution < 1e-6 * max(1.0, price.sum())
    through = net.copy()
    if through.has_edge(0, size - 1):
        through.remove_edge(0, size - 1)
    inner = (source != 0) | (target != size - 1)
    found = cut_nodes((source[inner], target[inner]), np.ones(size), first, last)
    reached = nx.has_path(through, 0, size - 1)
    assert found.cut.sum() == (len(nx.minimum_node_cut(through, 0, size - 1)) if reached else 0)


@settings(max_examples=30, deadline=None)
@given(wanted())
def test_the_network_and_so_the_cut_carries_the_share(case: tuple) -> None:
    graph, problem = case[0], posed(case, "nodes")
    sources = {str(graph.nodes["node"][int(r)]) for r in np.flatnonzero(problem.between.sources)}
    listed = [one for one in paths_between(graph, sources, {str(problem.ends.node): 1.0}) if len(one[1]) > 2]
    whole = sum(share for share, _ in listed)
    net = network_of(problem)
    inside = sum(s for s, nodes in listed if all(net.has_edge(*pair) for pair in itertools.pairwise(nodes)))
    assert inside >= problem.share * whole * (1 - 1e-9)
    found = problem.cheapest("count")
    cut = {str(graph.nodes["node"][int(row)]) for row in np.flatnonzero(found.cut)}
    through = sum(share for share, nodes in listed if cut & set(nodes))
    assert problem.carried(found) == pytest.approx(through / whole, rel=1e-6)
    assert problem.carried(found) >= problem.share - 1e-9


@pytest.mark.parametrize("by", ["nodes", "edges"])
@pytest.mark.parametrize("cost", ["count", "flow"])
@pytest.mark.parametrize("seed", [0, 3, 5])
def test_what_is_predicted_for_a_cut_is_the_loop(by: str, cost: str, seed: int) -> None:
    graph = random_graph(seed, layers=3, gates=("relu", "jumprelu"))
    answer = cuts(graph, graph.targets[0], by=by, cost=cost)
    cut, told = answer.tables["cut"], answer.tables["predicted"].row(0, named=True)
    assert len(cut)
    off = set(cut["node"]) if by == "nodes" else set()
    edges = set() if by == "nodes" else set(cut.select("source", "target").iter_rows())
    assert told["before"] == pytest.approx(run_by_hand(graph, graph.targets[0]), rel=1e-9)
    assert told["after"] == pytest.approx(
        run_by_hand(graph, graph.targets[0], off, edges), rel=1e-9, abs=1e-12
    )
    assert told["effect"] == pytest.approx(told["after"] - told["before"])


def test_what_is_told_adds_up() -> None:
    answer = cuts(sample_graph(), "logit:Mary", sources="tok@1")
    totals = dict(answer.tables["totals"].iter_rows())
    whole = totals.pop(next(iter(totals)))
    assert sum(totals.values()) == pytest.approx(whole, rel=1e-9)
    assert answer.meta["disconnects"]
    assert answer.meta["price"] == len(answer.tables["cut"])
    assert "no set of fewer nodes" in answer.finding[1]
    drawn = set(answer.highlight.nodes["node"])
    assert {*answer.tables["cut"]["node"], "logit:Mary", "tok@1"} <= drawn
    assert json.dumps(answer.to_dict(), allow_nan=False)
    compile(answer.code, "code", "exec")
    assert "CUT" in str(answer)


def test_one_edge_alone_has_no_node_to_cut() -> None:
    graph = random_graph(1, tokens=2, layers=0, logits=1)
    with pytest.raises(UsageError, match="by='edges'"):
        cuts(graph)
    assert len(cuts(graph, by="edges", share=1).tables["cut"]) == len(
        graph.edges.filter(pl.col("source").cast(pl.String).str.starts_with("tok"))
    )


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"by": "words"}, UsageError, "'words' cannot be cut"),
        ({"cost": "money"}, UsageError, "'money' is no cost"),
        ({"share": 0}, UsageError, "0 is no share"),
        ({"share": 1.5}, UsageError, "1.5 is no share"),
        ({"sources": "nothing such"}, NotFound, "nothing such"),
        ({"sources": "logit:John"}, UsageError, "No path leads"),
        ({"target": "tok@1"}, UsageError, "nothing flows into it"),
    ],
)
def test_cuts_that_cannot_be_made(more: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        cuts(sample_graph(), **{"target": "logit:Mary", **more})
