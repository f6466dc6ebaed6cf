"""Head loadings against edges with heads taken out, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from strategies import random_trace

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.engine.qk.loadings import check_weights, head_loadings, head_table, strongest_edges
from circuits.engine.rows import Engine
from circuits.errors import Incompatible, InvalidFile
from circuits.graph.influence import influence
from circuits.graph.io import load_run, save_run
from circuits.schema import HEAD_SCHEMA

PARTS = {
    "plain": {},
    "parallel": {"parallel": True},
    "cross-layer, feature target": {"cross_layer": True, "feature_target": True, "features": 3},
    "features on the stream": {"stream": (1,), "passing": (0, 1, 2)},
    "parallel, on the stream": {"stream": (0, 2), "passing": (0, 1), "parallel": True},
    "past the unrolled positions": {
        "n": 17,
        "layers": 2,
        "features": 1,
        "heads": 2,
        "groups": 1,
        "without": {"error", "position"},
    },
}


def without_head(trace, layer, head):
    pattern = trace.attention.pattern.copy()
    pattern[layer, head] = 0
    return replace(trace, attention=replace(trace.attention, pattern=pattern))


def found_of(trace, most=10_000):
    graph = attribute(trace, (Edges(tolerance=0.0),))
    edges, brought = strongest_edges(graph, most)
    source, target = (end[edges] for end in graph.ends)
    return graph, edges, head_loadings(Engine(trace), (source, target), brought), brought


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
def test_a_loading_is_what_the_edge_loses_without_the_head(parts):
    trace = random_trace(3, **{"features": 3, **parts})
    graph, _, found, _ = found_of(trace)
    names = graph.nodes["node"].to_list()
    edges = [(names[s], names[t]) for s, t in zip(found.source, found.target, strict=True)]
    assert len(edges) > 20

    def weights(of):
        table = exact_weights(of)
        return np.array([table[t].get(s, 0.0) for s, t in edges])

    whole = weights(trace)
    np.testing.assert_allclose(found.weight, whole, atol=1e-11)
    for layer in range(trace.n_layers):
        for head in range(trace.attention.pattern.shape[1])[:: 2 if trace.n_positions < 9 else 1]:
            lost = whole - weights(without_head(trace, layer, head))
            np.testing.assert_allclose(found.head[:, layer, head], lost, atol=1e-11)
    still = replace(trace, attention=replace(trace.attention, pattern=0 * trace.attention.pattern))
    np.testing.assert_allclose(found.none, weights(still), atol=1e-11)
    assert (np.abs(found.head).max((0, 2)) > 1e-3).all()  # in every layer some head carries something


def test_the_strongest_edges_bring_the_most_influence():
    graph, edges, _, brought = found_of(random_trace(4))
    # influence of a source is the sum of what its edges bring, of a node's own weight counted at targets
    total = np.bincount(graph.ends[0][edges], brought, len(graph.nodes))
    np.testing.assert_allclose(total, influence(graph) * (total > 0), atol=1e-12)
    assert (np.diff(brought) <= 0).all()
    kinds = graph.nodes["kind"].cast(pl.String).to_numpy()[graph.ends[0][edges]]
    assert not set(kinds) & {"bias", "rest"}
    position = graph.nodes["pos"].to_numpy()
    between = position[graph.ends[0][edges]] != position[graph.ends[1][edges]]
    few, _ = strongest_edges(graph, 7)
    assert set(few) >= set(edges[between][:4])
    assert set(few) == set(edges[between][:4]) | set(edges[~np.isin(edges, edges[between][:4])][:3])


def test_carried_is_influence_by_head_query_and_source():
    trace = random_trace(5)
    graph, _, found, brought = found_of(trace)
    share = brought / np.abs(found.weight)
    position = graph.nodes["pos"].to_numpy()
    last, expected = np.abs(found.head[:, -1]), np.zeros_like(found.carried[-1])
    for e in range(len(share)):  # at the last layer all targets read a head at their own position
        expected[:, int(position[found.target[e]]), int(position[found.source[e]])] += last[e] * share[e]
    np.testing.assert_allclose(found.carried[-1], expected, atol=1e-6)
    whole = np.einsum("elh,e->lh", np.abs(found.head), share)
    assert (found.carried.sum((2, 3)) >= whole - 1e-6).all()


def test_the_table_keeps_the_top_heads_and_its_rows_sum_to_the_weights():
    graph, edges, found, _ = found_of(random_trace(6), 30)
    table = head_table(graph.nodes["node"].to_list(), found, top=2)
    assert table.schema == HEAD_SCHEMA
    sums = table.group_by("source", "target", maintain_order=True).agg(pl.col("weight").sum())
    told = graph.edges[edges].with_columns(pl.col("source", "target").cast(pl.String))
    both = told.join(sums, on=["source", "target"])
    assert len(both) == 30
    np.testing.assert_allclose(both["weight"], both["weight_right"], atol=1e-12)
    heads = table.filter(pl.col("via").str.starts_with("head:"))
    assert heads.group_by("source", "target").len()["len"].max() == 2
    assert (
        heads["via"] == pl.format("head:{}.{}", "layer", "head").pipe(lambda e: heads.select(e).to_series())
    ).all()
    for e in (0, 7, 20):
        name = (graph.nodes["node"][int(found.source[e])], graph.nodes["node"][int(found.target[e])])
        rows = heads.filter((pl.col("source") == name[0]) & (pl.col("target") == name[1]))
        best = np.sort(np.abs(found.head[e]).ravel())[::-1][:2]
        np.testing.assert_allclose(rows["weight"].abs(), best[best > 0])


def test_single_precision():
    small = {"n": 3, "layers": 2, "features": 2}
    _, _, found, _ = found_of(random_trace(3, dtype=np.float32, **small))
    _, _, double, _ = found_of(random_trace(3, **small))
    assert found.head.shape == double.head.shape
    assert np.abs(found.head - double.head).max() < 1e-5 * np.abs(double.head).max()


def test_a_trace_without_attention_has_no_loadings():
    graph, _, found, _ = found_of(random_trace(2, without={"attention"}))
    assert found.head.shape[2] == 0
    np.testing.assert_allclose(found.none, found.weight, atol=1e-12)
    assert set(head_table(graph.nodes["node"].to_list(), found, 3)["via"]) == {"none"}


def test_another_traces_graph_is_refused():
    graph, edges, found, _ = found_of(random_trace(2))
    names, told = graph.nodes["node"].to_list(), graph.edges["weight"].to_numpy()[edges]
    check_weights(names, told, found)
    other = replace(found, weight=found.weight + 0.5)
    with pytest.raises(Incompatible, match=r"weighs .* in the graph and .* by the trace"):
        check_weights(names, told, other)


def test_loadings_stay_with_their_nodes_and_survive_a_run(tmp_path):
    graph, _, found, _ = found_of(random_trace(6), 200)
    graph = replace(graph, heads=head_table(graph.nodes["node"].to_list(), found, top=3))
    save_run(graph, tmp_path / "run")
    assert_frame_equal(load_run(tmp_path / "run").heads, graph.heads)
    few = graph.top(4)
    left = set(few.nodes["node"])
    assert 0 < len(few.heads) < len(graph.heads)
    assert few.heads.equals(graph.heads.filter(pl.col("source").is_in(left) & pl.col("target").is_in(left)))
    bare = replace(graph, heads=graph.heads.clear())
    save_run(bare, tmp_path / "bare")
    assert not (tmp_path / "bare" / "heads.parquet").exists()
    assert len(load_run(tmp_path / "bare").heads) == 0
    (tmp_path / "run" / "heads.parquet").unlink()
    with pytest.raises(InvalidFile, match=r"heads\.parquet missing"):
        load_run(tmp_path / "run")
