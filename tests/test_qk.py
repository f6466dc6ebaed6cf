"""The method QK: what it finds is what the score game says, by the literal equations and as planted."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from strategies import random_trace
from test_qk_scores import score_game as literal_game

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.interact import interact
from circuits.engine.methods import Method
from circuits.engine.qk.game import ScoreGame
from circuits.engine.qk.method import QK
from circuits.engine.qk.places import Place, parse_place
from circuits.engine.rows import Engine
from circuits.errors import Incompatible, NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.planted.plant import plant
from circuits.schema import HEAD_SCHEMA, HYPEREDGE_SCHEMA
from circuits.trace import Trace


def graph_of(trace: Trace) -> Graph:
    return attribute(trace, (Edges(tolerance=0.0),))


def run(trace: Trace, method: QK, graph: Graph | None = None) -> Graph:
    return interact(graph or graph_of(trace), [method], trace=trace)


@pytest.fixture(scope="module")
def trace() -> Trace:
    return random_trace(7, scores=True, features=4)


@pytest.fixture(scope="module")
def found(trace: Trace) -> Graph:
    return run(trace, QK(("1.2@3,1", "2.0@3,2-0"), top=6))


def test_it_is_a_method() -> None:
    assert isinstance(QK(), Method)
    assert QK.channel == "qk"
    assert QK.needs_trace


def test_hyperedges_are_the_pairs_of_the_literal_game(trace: Trace, found: Graph) -> None:
    assert found.hyperedges.schema == HYPEREDGE_SCHEMA
    rows = found.hyperedges.filter(target="score:1.2@3,1").to_dicts()
    assert len(rows) == 6
    worth = literal_game(trace, 1, 2, 3, 1)
    every = set(found.nodes.filter(pl.col("kind") != "rest")["node"]) - {"logit: one", "logit: two"}
    assert worth(every) == pytest.approx(
        found.meta["interactions"]["qk"]["units"]["1.2@3,1"]["scores"]["score:1.2@3,1"]
    )
    for row in rows:
        a, b = row["members"]
        v = {t: worth(every - {a, b} | set(t)) for t in [(), (a,), (b,), (a, b)]}
        assert row["weight"] == pytest.approx(v[a, b] - v[(a,)] - v[(b,)] + v[()], abs=1e-10)
        assert row["effect"] == pytest.approx(v[a, b] - v[()], abs=1e-10)
        assert row["low"] == row["high"] == row["weight"]
        assert (row["order"], row["channel"], row["engine"], row["estimated"]) == (2, "qk", "bilinear", False)
        assert row["via"] is None
    players = found.nodes.filter(pl.col("kind").is_in(["feature", "token", "position", "error"]))["node"]
    largest = max(
        abs(worth({a, b} | consts) - worth({a} | consts) - worth({b} | consts) + worth(consts))
        for consts in [every - set(players)]
        for a, b in combinations([p for p in players if "@3" in p or "@1" in p][:24], 2)
    )
    assert abs(rows[0]["weight"]) >= largest - 1e-10


def test_log_odds_are_the_difference_of_two_scores(trace: Trace, found: Graph) -> None:
    rows = found.hyperedges.filter(target="odds:2.0@3,2-0").to_dicts()
    one, two = literal_game(trace, 2, 0, 3, 2), literal_game(trace, 2, 0, 3, 0)
    assert len(rows) == 6
    for row in rows:
        a, b = row["members"]
        pair = [v({a, b}) - v({a}) - v({b}) + v(set()) for v in (one, two)]
        assert row["weight"] == pytest.approx(pair[0] - pair[1], abs=1e-10)
    assert found.meta["interactions"]["qk"]["units"]["2.0@3,2-0"]["log_odds_error"] < 1e-10


def test_the_game_itself(trace: Trace) -> None:
    rng = np.random.default_rng(0)
    free = np.array([True, True, True, False, True])
    game = ScoreGame(Place(0, 0, 1, 0), rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), free)
    every = np.array([[bool(s >> i & 1) for i in range(5)] for s in range(32)])
    worth = game.worth(every)
    assert worth[-1] == pytest.approx(game.value)
    assert worth[0] == pytest.approx(worth[8])  # node 3 is no player
    pairs = game.pairs(10)
    assert {frozenset(p) for p in zip(pairs.row.tolist(), pairs.column.tolist(), strict=True)} == {
        frozenset(p) for p in combinations((0, 1, 2, 4), 2)
    }
    for a, b, value, table in zip(pairs.row, pairs.column, pairs.value, game.tables(pairs), strict=True):
        i, j, rest = 1 << int(a), 1 << int(b), 0b10111
        assert value == pytest.approx(worth[i | j] - worth[i] - worth[j] + worth[0])
        off = rest & ~i & ~j
        np.testing.assert_allclose(table, [worth[off], worth[off | i], worth[off | j], worth[rest]])


def test_heads_that_carry_the_most_are_found(trace: Trace) -> None:
    graph = run(trace, QK(top=3, top_heads=2, keys=2, odds=True, loadings=2))
    units = graph.meta["interactions"]["qk"]["units"]
    assert set(units) == {"loadings", "head 1", "head 2"}
    assert graph.heads.schema == HEAD_SCHEMA
    assert (
        graph.heads.filter(pl.col("via").str.starts_with("head:"))
        .group_by("source", "target")
        .len()["len"]
        .max()
        == 2
    )
    targets = graph.hyperedges["target"].unique().to_list()
    assert len([t for t in targets if t.startswith("score:")]) >= 3
    assert [t for t in targets if t.startswith("odds:")]
    for unit in ("head 1", "head 2"):
        assert units[unit]["log_odds_error"] < 1e-10
    # without a head that carries nothing: the share of the best two, from the loadings of all edges
    full = run(trace, QK(top=1, top_heads=99, loadings=99, edges=10**6))
    heads = full.heads.filter(pl.col("via").str.starts_with("head:"))
    assert {units[u]["head"] for u in ("head 1", "head 2")} <= set(heads["via"])


def test_a_pruned_graph_has_fewer_players(trace: Trace) -> None:
    few = graph_of(trace).top(5)
    graph = run(trace, QK(("2.1@3",), top=50), few)
    named = {name for row in graph.hyperedges["members"] for name in row}
    assert named
    assert named <= set(few.nodes["node"])


def test_the_planted_head() -> None:
    planted = plant("query-key")
    graph = run(planted.trace, QK(("1.0@2,0",), top=5))
    (truth,) = planted.truth.combinations
    row = graph.hyperedges.row(0, named=True)
    assert len(graph.hyperedges) == 1
    assert row["target"] == truth.target
    assert row["weight"] == pytest.approx(np.log(2))
    assert row["gate"] == "and"


def test_what_cannot_be_asked_is_refused(trace: Trace) -> None:
    graph = graph_of(trace)

    def refused(method: QK, of: Trace = trace) -> str:
        with pytest.raises((UsageError, NotFound)) as caught:
            method.units(graph, of)
        return str(caught.value)

    assert "3 layers of 4 heads, 0.0 to 2.3" in refused(QK(("99.3",)))
    assert "0.0 to 2.3" in refused(QK(("1.4",)))
    assert "looks ahead, from 1 to 3" in refused(QK(("1.0@1,3",)))
    assert "looks ahead, from 1 to 2" in refused(QK(("1.0@1,1-2",)))
    assert "No query at position 4" in refused(QK(("1.0@4",)))
    assert "against itself" in refused(QK(("1.0@3,2-2",)))
    assert "'five' names no attention head" in refused(QK(("five",)))
    assert "Extraction(scores=True)" in refused(QK(), random_trace(1))
    assert "edges=0" in refused(QK(edges=0))
    assert "no attention" in refused(QK(("0.0",)), replace(trace, attention=None))
    for settings, sentence in [
        ({"top": 0}, "top=0"),
        ({"heads": "5.3"}, r"heads=\('5.3',\)"),
        ({"order": 4}, "order=4"),
        ({"keys": 0}, "keys=0"),
        ({"index": "Shapley"}, "No index 'Shapley'"),
    ]:
        with pytest.raises(UsageError, match=sentence):
            QK(**settings)


def test_a_graph_of_another_trace_is_refused(trace: Trace) -> None:
    other = graph_of(random_trace(8, scores=True, features=5))
    with pytest.raises(Incompatible, match="nodes that the trace lacks"):
        run(trace, QK(), other)
    with pytest.raises(Incompatible, match=r"weighs .* in the graph and .* by the trace"):
        run(trace, QK(), graph_of(random_trace(8, scores=True, features=4)))


def test_places_are_written_as_they_are_read() -> None:
    for text in ("5.3", "5.3@7", "5.3@7,4", "5.3@7,4-2"):
        assert parse_place(text).written == text
    assert parse_place("odds:5.3@7,4-2").target == "odds:5.3@7,4-2"
    assert parse_place("head:5.3@7,4").target == "score:5.3@7,4"
    assert parse_place("5.3@7,4-2").via == "head:5.3@7,4"


def test_resuming_skips_what_is_done(trace: Trace) -> None:
    graph, kept = graph_of(trace), {}
    method = QK(top=2, top_heads=2)
    whole = interact(graph, [method], trace=trace, keep=kept.__setitem__)
    half = {key: unit for key, unit in kept.items() if "loadings" not in key.split()[-1]}
    again = interact(graph, [method], trace=trace, done=half)
    assert again.hyperedges.equals(whole.hyperedges)
    assert again.heads.equals(whole.heads)
    assert Engine(trace).where.size == len(graph.nodes)
