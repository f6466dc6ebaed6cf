"""Triangles: counted and ranked by loops over networkx, signs by what patching both ways does."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_paths import shares_network
from sample_graph import sample_graph
from strategies import random_graph

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.query import motifs as room
from circuits.query.motifs import motifs


def triangles_by_hand(graph: Graph, target: str) -> list[tuple[float, bool, tuple[str, str, str]]]:
    """Strength, coherence and nodes of every triangle whose edges carry influence on the target."""
    net = shares_network(graph)
    net = net.subgraph(nx.ancestors(net, target) | {target})
    edges = graph.edges.with_columns(pl.col("source", "target").cast(pl.String))
    strength = {(s, t): v for s, t, _, v in edges.iter_rows()}
    arriving = dict.fromkeys(net, 0.0) | {target: 1.0}
    for node in reversed(list(nx.topological_sort(net))):
        arriving[node] += sum(arriving[t] * d["share"] for _, t, d in net.out_edges(node, data=True))
    found = []
    for s, t in net.edges:
        for m in set(net.successors(s)) & set(net.predecessors(t)):
            ways = net[s][t]["share"], net[s][m]["share"] * net[m][t]["share"]
            straight, through = net[s][t]["weight"], net[s][m]["weight"] * strength[m, t]
            found.append((arriving[t] * min(ways), straight * through > 0, (s, m, t)))
    return sorted(found, key=lambda one: -one[0])


@pytest.mark.parametrize("dense", [0.0, 2.0])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_triangles_are_those_of_the_loop(dense: float, seed: int) -> None:
    graph = random_graph(seed, layers=3, gates=("relu", "linear"), density=0.8)
    target = graph.targets[0]
    wanted = triangles_by_hand(graph, target)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(room, "DENSE", dense)
        answer = motifs(graph, target, k=5)
    counts = dict(answer.tables["counts"].iter_rows())
    assert counts["coherent"] == sum(same for _, same, _ in wanted)
    assert counts["incoherent"] == sum(not same for _, same, _ in wanted)
    table = answer.tables["motifs"]
    assert table["share"].to_list() == pytest.approx([share for share, *_ in wanted[:5]], rel=1e-6)
    known = {nodes: (share, same) for share, same, nodes in wanted}
    for row in table.iter_rows(named=True):
        share, same = known[tuple(row["nodes"])]
        assert row["share"] == pytest.approx(share, rel=1e-6) == min(row["straight"], row["through"])
        assert (row["kind"] == "coherent") == same


def test_an_answer_prints_and_nonsense_is_refused() -> None:
    answer = motifs(sample_graph(), "Mary", k=3)
    assert json.dumps(answer.to_dict(), allow_nan=False)
    compile(answer.code, "code", "exec")
    assert len(answer.tables["motifs"]) == 3
    assert "MOTIFS" in str(answer)
    with pytest.raises(UsageError, match="0 triangles"):
        motifs(sample_graph(), "Mary", k=0)
    lonely = random_graph(0, tokens=1, layers=0, logits=1, density=1.0)
    assert np.size(motifs(lonely).tables["motifs"]) == 0
    assert motifs(lonely).finding[0].startswith("No triangle leads")
