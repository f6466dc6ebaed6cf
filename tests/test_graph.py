from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strategies import graphs, random_graph

from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import influence, normalised, scores, truncated_shares, with_influence
from circuits.graph.prune import prune, top
from circuits.graph.views import to_networkx, to_scipy
from circuits.schema import HYPEREDGE_SCHEMA

QUIET = settings(max_examples=25, deadline=None)
shares = st.floats(0.05, 0.99)


def column(graph: Graph, name: str) -> np.ndarray:
    return graph.nodes[name].to_numpy()


def is_kind(graph: Graph, *kinds: str) -> np.ndarray:
    return np.array([kind in kinds for kind in graph.nodes["kind"]], bool)


def sum_into(graph: Graph) -> np.ndarray:
    _, target = graph.ends
    total = np.zeros(len(graph.nodes))
    for t, weight in zip(target, graph.edges["weight"].to_list(), strict=True):
        total[t] += weight
    return total


# Oracle: circuit-tracer's published algorithm on a dense matrix, by power series. Rows are targets.


def dense(graph: Graph) -> np.ndarray:
    """|weight| between nodes that are neither biases nor `rest`."""
    matrix = np.zeros((len(graph.nodes),) * 2)
    out = is_kind(graph, "bias", "rest")
    for s, t, weight in zip(*graph.ends, graph.edges["weight"].to_list(), strict=True):
        matrix[t, s] = 0 if out[s] else abs(weight)
    return matrix


def dense_shares(matrix: np.ndarray, truncated: np.ndarray) -> np.ndarray:
    return matrix / np.maximum(matrix.sum(1) + truncated, 1e-300)[:, None]


def series(A: np.ndarray, w: np.ndarray) -> np.ndarray:
    term = w @ A
    total = np.zeros_like(term)
    while term.any():
        total, term = total + term, term @ A
    return total


def cut_at(values: np.ndarray, share: float) -> float:
    ordered = np.sort(values.ravel())[::-1]
    if ordered.sum() == 0:
        return 0.0
    reached = np.searchsorted(np.cumsum(ordered) / ordered.sum(), share - 1e-12)
    return ordered[min(reached, len(ordered) - 1)] * (1 - 1e-12)


def dense_prune(graph: Graph, node_share: float, edge_share: float) -> tuple[np.ndarray, np.ndarray]:
    truncated, w = column(graph, "truncated"), column(graph, "target_weight")
    matrix = dense(graph)
    stay = is_kind(graph, "token", "position", "logit")
    reach = series(dense_shares(matrix, truncated), w)
    nodes = ((reach >= cut_at(reach, node_share)) & ~is_kind(graph, "bias", "rest")) | stay
    matrix = matrix * nodes[None] * nodes[:, None]
    A = dense_shares(matrix, truncated)
    score = A * (series(A, w) + w)[:, None]
    present = np.zeros_like(matrix, bool)
    source, target = graph.ends
    present[target, source] = True
    edges = (score >= cut_at(score, edge_share)) & present & nodes[None] & nodes[:, None]
    sender = is_kind(graph, "feature", "error")
    receiver = is_kind(graph, "feature") & column(graph, "expanded")
    while True:
        after = nodes & (edges.any(0) | ~sender) & (edges.any(1) | ~receiver)
        if (after == nodes).all():
            return nodes, edges
        nodes = after
        edges &= nodes[None] & nodes[:, None]


@given(graphs())
@QUIET
def test_influence_is_the_power_series(graph: Graph) -> None:
    A = dense_shares(dense(graph), column(graph, "truncated"))
    assert np.allclose(normalised(graph).toarray(), A, atol=1e-14)
    assert np.allclose(influence(graph), series(A, column(graph, "target_weight")), atol=1e-12)


def test_influence_of_a_diamond_by_hand() -> None:
    """tok → a (all), tok → b (1 of 4), err → b (3 of 4); logit reads a (-1) and b (+3)."""
    graph = random_graph(0, tokens=1, layers=1, features=2, logits=1, errors=True, bias=True)
    nodes = graph.nodes.with_columns(expanded=pl.col("kind").is_in(["feature", "logit"]))
    names = nodes["node"].to_list()
    at = {name: row for row, name in enumerate(names)}
    order = ["tok@0", "bias:own", "err0@0", "0/0@0", "0/1@0", "logit: 0"]
    nodes = nodes[[at[name] for name in order]].with_columns(
        target_weight=pl.Series([0.0] * 5 + [0.5]), truncated=pl.Series([0.0] * 6)
    )
    source, target = np.array([0, 0, 2, 3, 4, 1], np.int32), np.array([3, 4, 4, 5, 5, 5], np.int32)
    weight = np.array([2.0, 1.0, -3.0, -1.0, 3.0, 100.0])
    small = Graph.of(nodes, (source, target), (weight, weight))
    # half the target: a 1/8, b 3/8; b passes a quarter of it to the token and the rest to the error
    assert np.allclose(influence(small), [1 / 8 + 3 / 32, 0, 9 / 32, 1 / 8, 3 / 8, 0])
    found = scores(small)
    assert found.replacement == pytest.approx((1 / 8 + 3 / 32) / (1 / 2))
    # arriving: logit 1/2, a 1/8, b 3/8 (a quarter not from errors), token 7/32, error 9/32
    arriving = 1 / 2 + 1 / 8 + 3 / 8 + 7 / 32 + 9 / 32
    assert found.completeness == pytest.approx((arriving - 3 / 8 * 3 / 4) / arriving)
    assert found.truncated_share == found.unexpanded_share == 0


@given(graphs())
@QUIET
def test_scores_are_circuit_tracers(graph: Graph) -> None:
    w = column(graph, "target_weight")
    A = dense_shares(dense(graph), column(graph, "truncated"))
    reach = series(A, w)
    tokens = reach[is_kind(graph, "token", "position")].sum()
    errors = reach[is_kind(graph, "error")].sum()
    found = scores(graph)
    assert found.replacement == pytest.approx(tokens / (tokens + errors) if tokens + errors else 0)
    without_errors = 1 - A[:, is_kind(graph, "error")].sum(1)
    assert found.completeness == pytest.approx(((reach + w) * without_errors).sum() / (reach + w).sum())


@given(graphs())
@QUIET
def test_influence_leaves_nowhere_unseen(graph: Graph) -> None:
    """What flows into the targets ends at the prompt, errors, the unexpanded, the truncated or dead ends."""
    w, reach, found = column(graph, "target_weight"), influence(graph), scores(graph)
    leaf = reach[is_kind(graph, "token", "position", "error")].sum()
    into = np.asarray(normalised(graph).sum(axis=1)) + truncated_shares(graph)
    idle = (into == 0) & ((is_kind(graph, "feature") & column(graph, "expanded")) | is_kind(graph, "logit"))
    ended = leaf / w.sum() + found.truncated_share + found.unexpanded_share
    assert ended + (reach + w)[idle].sum() / w.sum() == pytest.approx(1)


def test_bias_and_rest_have_no_influence_but_what_was_truncated_dilutes() -> None:
    graph = random_graph(1, rest=True, errors=False)
    assert not influence(graph)[is_kind(graph, "bias", "rest")].any()
    assert influence(graph)[is_kind(graph, "token")].sum() < 0.75
    whole = graph.with_nodes(truncated=pl.lit(0.0))
    assert influence(whole)[is_kind(whole, "token")].sum() == pytest.approx(0.75)
    assert with_influence(graph).nodes["influence"].to_list() == influence(graph).tolist()


def is_named(graph: Graph, mask: np.ndarray) -> set[str]:
    return {name for name, kept in zip(graph.nodes["node"], mask, strict=True) if kept}


def constant(name: str) -> bool:
    return name == "rest" or name.startswith("bias:")


@given(graphs(), shares, shares)
@QUIET
def test_pruning_is_circuit_tracers(graph: Graph, node_share: float, edge_share: float) -> None:
    nodes, edges = dense_prune(graph, node_share, edge_share)
    pruned = prune(graph, node_threshold=node_share, edge_threshold=edge_share)
    names = graph.nodes["node"].to_list()
    assert {n for n in pruned.nodes["node"] if not constant(n)} == is_named(graph, nodes)
    kept = {(s, t) for s, t in pruned.edges.select("source", "target").cast(pl.String).rows()}
    expected = {(names[s], names[t]) for t, s in np.argwhere(edges)}
    assert {(s, t) for s, t in kept if not constant(s)} == expected


def test_features_never_expanded_need_not_receive_anything() -> None:
    graph = random_graph(0, unexpanded=1.0, errors=False)
    pruned = prune(graph, node_threshold=0.9, edge_threshold=1)
    nodes, _ = dense_prune(graph, 0.9, 1)
    assert {name for name in pruned.nodes["node"] if "/" in name} == {
        name for name in is_named(graph, nodes) if "/" in name
    }
    assert any("/" in name for name in pruned.nodes["node"])


def test_what_hangs_on_a_removed_node_goes_too() -> None:
    """40 tokens → b → c → logit ← tok@0: cutting b's many thin inputs takes b, then c, which read b only."""
    frame = random_graph(0, tokens=40, layers=2, features=1, logits=1, errors=False, bias=False)
    b, c, logit = 40, 41, 42
    source = np.array([*range(40), b, c, 0], np.int32)
    target = np.array([b] * 40 + [c, logit, logit], np.int32)
    weight = np.array([1.0] * 40 + [1.0, 0.4, 0.6])
    pruned = prune(
        Graph.of(frame.nodes, (source, target), (weight, weight)), node_threshold=0.99, edge_threshold=0.7
    )
    # edge scores .6, .4, .4 and 40 of .01: the first three hold 78% of the sum
    left = {name for name in pruned.nodes["node"] if not name.startswith("tok")}
    assert left == {"rest", frame.nodes["node"][logit]}
    assert pruned.edges.drop("target", "strength").cast({"source": pl.String}).rows() == [
        ("rest", pytest.approx(0.4)),
        ("tok@0", 0.6),
    ]


def test_an_edge_threshold_of_one_keeps_every_edge_between_kept_nodes() -> None:
    """Also those into an output nobody asked about, which carry no influence."""
    graph = random_graph(0)
    last = graph.nodes["node"][-1]
    graph = graph.with_nodes(
        target_weight=pl.when(pl.col("node") == last).then(0.0).otherwise("target_weight")
    )
    pruned = prune(graph, node_threshold=0.7, edge_threshold=1)
    edges = graph.edges.cast({"source": pl.String, "target": pl.String})
    kept = pruned.edges.cast({"source": pl.String, "target": pl.String})
    names = pruned.nodes["node"].to_list()
    between = edges.filter(pl.col("source").is_in(names), pl.col("target").is_in(names))
    assert set(kept.filter(pl.col("source") != "rest").rows()) == set(between.rows())
    assert last in between["target"]
    assert len(names) < len(graph.nodes)


def check_accounts(graph: Graph, pruned: Graph) -> None:
    """Every target's incoming weights sum to what they summed to; |weights| too, with `truncated`."""
    before = dict(zip(graph.nodes["node"], sum_into(graph), strict=True))
    after = dict(zip(pruned.nodes["node"], sum_into(pruned), strict=True))
    close = 1e-12 if graph.edges["weight"].dtype == pl.Float64 else 1e-5
    assert after == pytest.approx({name: before.get(name, 0.0) for name in after}, abs=close)
    assert total_sizes(pruned) == pytest.approx(
        {k: v for k, v in total_sizes(graph).items() if k in after}, abs=close
    )
    assert bias_edges(pruned) == {edge for edge in bias_edges(graph) if edge[1] in after}
    source, _ = pruned.ends
    sends = set(pruned.nodes["node"].gather(source))
    assert all(name in sends for name in pruned.nodes["node"] if constant(name))


def bias_edges(graph: Graph) -> set[tuple[str, str, float]]:
    edges = graph.edges.cast({"source": pl.String, "target": pl.String})
    return set(edges.filter(pl.col("source").str.starts_with("bias")).drop("strength").rows())


def total_sizes(graph: Graph) -> dict[str, float]:
    """Σ|weight| of kept edges, biases included and `rest` not, plus what was truncated."""
    total = dict(zip(graph.nodes["node"], graph.nodes["truncated"], strict=True))
    for source, target, weight, _ in graph.edges.cast({"source": pl.String, "target": pl.String}).rows():
        total[target] += 0 if source == "rest" else abs(weight)
    return {k: v for k, v in total.items() if not constant(k)}


@given(graphs(), shares, shares, st.integers(0, 6))
@QUIET
def test_nothing_vanishes(graph: Graph, node_share: float, edge_share: float, n: int) -> None:
    check_accounts(graph, prune(graph, node_threshold=node_share, edge_threshold=edge_share))
    check_accounts(graph, top(graph, n))


@given(graphs(), st.lists(shares, min_size=2, max_size=2))
@QUIET
def test_higher_thresholds_keep_all_that_lower_ones_keep(graph: Graph, pair: list[float]) -> None:
    low, high = sorted(pair)
    few = prune(graph, node_threshold=low, edge_threshold=1)
    more = prune(graph, node_threshold=high, edge_threshold=1)
    assert set(few.nodes["node"]) - {"rest"} <= set(more.nodes["node"])
    few = prune(graph, node_threshold=1, edge_threshold=low)
    more = prune(graph, node_threshold=1, edge_threshold=high)
    assert set(few.nodes["node"]) - {"rest"} <= set(more.nodes["node"])


@given(graphs())
@QUIET
def test_thresholds_of_one_are_the_identity(graph: Graph) -> None:
    assert prune(graph, node_threshold=1, edge_threshold=1) is graph


@given(graphs(), st.integers(0, 8))
@QUIET
def test_top_keeps_the_most_influential(graph: Graph, n: int) -> None:
    reach = influence(graph)
    candidates = np.flatnonzero(is_kind(graph, "feature", "error") & (reach > 0))
    kept = top(graph, n)
    chosen = [name for name in kept.nodes["node"] if "/" in name or name.startswith("err")]
    assert len(chosen) == min(n, len(candidates))
    assert sorted(reach[[graph.row(c) for c in chosen]]) == sorted(reach[candidates])[-n:] * (n > 0)
    fixed = [name for name in graph.nodes["node"] if name.startswith(("tok", "logit"))]
    assert set(fixed) <= set(kept.nodes["node"])


def test_asked_features_stay_and_hyperedges_follow_their_members() -> None:
    graph = random_graph(3)
    weakest = graph.nodes["node"][int(np.flatnonzero(is_kind(graph, "feature"))[0])]
    graph = graph.with_nodes(
        target_weight=pl.when(pl.col("node") == weakest).then(0.01).otherwise("target_weight")
    )
    last = graph.nodes["node"][-1]
    rows = [
        dict.fromkeys(HYPEREDGE_SCHEMA, None) | {"hyperedge": str(i), "members": members, "target": target}
        for i, (members, target) in enumerate(
            [(["tok@0", weakest], last), (["tok@0", "1/0@0"], last), (["tok@0", "tok@1"], "1/0@0")]
        )
    ]
    graph = replace(graph, hyperedges=pl.DataFrame(rows, schema=HYPEREDGE_SCHEMA))
    pruned = top(graph, 0)
    assert weakest in pruned.nodes["node"]
    assert pruned.hyperedges["hyperedge"].to_list() == ["0"]
    assert pruned.meta["pruned"] == {
        "n_nodes": 0,
        "nodes_before": len(graph.nodes),
        "edges_before": len(graph.edges),
    }


def test_senseless_requests_are_refused() -> None:
    graph = random_graph(0)
    with pytest.raises(UsageError, match=r"node_threshold 1.5 is not a share"):
        prune(graph, node_threshold=1.5)
    with pytest.raises(UsageError, match="edge_threshold -1"):
        prune(graph, edge_threshold=-1)
    with pytest.raises(UsageError, match="Cannot keep -3 nodes"):
        top(graph, -3)
    with pytest.raises(NotFound, match=r"'0/0@1'.*Did you mean .*'0/0@0'"):
        graph.row("0/0@1")


def test_a_graph_checks_its_tables() -> None:
    graph = random_graph(0)
    twice = graph.nodes.with_columns(node=pl.lit("tok@0"))
    with pytest.raises(InvalidFile, match="names tok@0 more than once"):
        replace(graph, nodes=twice)
    with pytest.raises(InvalidFile, match=r"nodes lacks truncated, layer|nodes lacks layer .*truncated"):
        replace(graph, nodes=graph.nodes.drop("truncated").with_columns(pl.col("layer").cast(pl.Int64)))
    with pytest.raises(InvalidFile, match=r"edges lacks strength"):
        replace(graph, edges=graph.edges.drop("strength"))
    back = np.array([3], np.int32), np.array([1], np.int32)
    with pytest.raises(InvalidFile, match="runs against the order"):
        Graph.of(graph.nodes, back, (np.ones(1), np.ones(1)))


@given(graphs())
@QUIET
def test_networkx_and_scipy_hold_the_same_graph(graph: Graph) -> None:
    drawn = to_networkx(graph)
    assert list(drawn.nodes) == graph.nodes["node"].to_list()
    rows = [{"node": name} | drawn.nodes[name] for name in drawn]
    assert_frame_equal(pl.DataFrame(rows, schema=graph.nodes.schema), graph.nodes)
    names = {"source": pl.String, "target": pl.String}
    found = {(s, t, a["weight"], a["strength"]) for s, t, a in drawn.edges(data=True)}
    assert found == set(graph.edges.cast(names).rows())
    matrix, strength = to_scipy(graph), to_scipy(graph, "strength")
    index = {name: i for i, name in enumerate(graph.nodes["node"])}
    assert {(s, t, matrix[index[t], index[s]], strength[index[t], index[s]]) for s, t, *_ in found} == found
    assert matrix.nnz == strength.nnz == len(graph.edges)
    assert drawn.graph["seed"] == graph.meta["seed"]


def test_views_of_a_graph_are_the_callers_own() -> None:
    graph = random_graph(0)
    to_scipy(graph).data[:] = 0
    to_networkx(graph).clear()
    assert sorted(to_scipy(graph).data) == sorted(graph.matrix.data) == sorted(graph.edges["weight"])
    assert graph.edges["weight"].abs().max() > 0


@given(graphs())
@QUIET
def test_random_graphs_add_up(graph: Graph) -> None:
    """The generator itself: completeness holds in every graph it makes."""
    open_ = column(graph, "expanded")
    assert np.allclose(sum_into(graph)[open_], column(graph, "pre_activation")[open_], atol=1e-5)
