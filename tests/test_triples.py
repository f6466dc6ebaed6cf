"""Triples through the pattern: against finite differences of the softmax, and against all coalitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from literal import run_trace
from strategies import random_trace
from test_qk import graph_of, run

from circuits.engine.indices import INDICES
from circuits.engine.nodes import node_table
from circuits.engine.qk.game import ScoreGame, ends_of, score_game
from circuits.engine.qk.method import QK
from circuits.engine.qk.places import Place
from circuits.engine.qk.scores import contributions, players
from circuits.engine.qk.triples import PatternGame, pattern_game, value_effects
from circuits.engine.rows import Engine
from circuits.errors import NotFound, UsageError

PARTS = {
    "plain": {"feature_target": True},
    "parallel": {"parallel": True},
    "MLPs that pass": {"passing": (0, 2)},
    "features on the stream": {"stream": (1,), "passing": (0, 1, 2)},
}


def with_score_raised(trace, place, by):
    """The trace with one score raised: the softmax of that query, and nothing else, follows."""
    pattern = trace.attention.pattern.copy()
    row = pattern[place.layer, place.head, place.query]
    row[place.key] *= np.exp(by)
    row /= row.sum()
    return replace(trace, attention=replace(trace.attention, pattern=pattern))


@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS.keys())
def test_value_effects_are_the_derivative_of_the_target_by_the_score(parts):
    """Source by source, everything else held, by central differences of the pattern."""
    trace = random_trace(3, scores=True, **parts)
    engine = Engine(trace)
    names = node_table(trace, engine.where)["node"].to_list()
    step = 1e-4
    for place in (Place(0, 1, 3, 1), Place(1, 2, 2, 0), Place(2, 3, 3, 3)):
        for t in range(len(trace.targets)):
            found = value_effects(engine, place, int(engine.where.target[t]))
            up, down = (with_score_raised(trace, place, by) for by in (step, -step))

            def slope(masks, up=up, down=down, t=t):
                values = [run_trace(x, masks, frozen=True).targets[t] for x in (up, down)]
                return (values[0] - values[1]) / (2 * step)

            # what constants write at the values does not move with the pattern: its shares sum to 1
            whole = slope({})
            for i in np.argsort(-np.abs(found))[:5]:
                if names[i] == "bias:own":
                    continue
                without = slope({names[i]: 0.0})
                assert found[i] == pytest.approx(whole - without, abs=1e-6)
            assert found.sum() == pytest.approx(whole, abs=1e-6)


@pytest.fixture(scope="module")
def small() -> PatternGame:
    """A game of five players and two constants, of random numbers."""
    rng = np.random.default_rng(1)
    free = np.array([True, True, False, True, True, True, False])
    score = ScoreGame(Place(0, 0, 1, 0), rng.normal(size=(7, 3)), rng.normal(size=(7, 3)), free)
    return PatternGame(score, "t", rng.normal(size=7))


def moebius(game: PatternGame) -> dict[tuple[int, ...], float]:
    """By its definition: m(T) = Σ_{L ⊆ T} (−1)^{|T| − |L|} v(L)."""
    rows = np.flatnonzero(game.score.free).tolist()
    sets = [t for size in range(len(rows) + 1) for t in combinations(rows, size)]
    on = np.array([[i in t for i in range(len(game.effect))] for t in sets])
    v = dict(zip(sets, game.worth(on), strict=True))
    return {t: sum((-1) ** (len(t) - len(s)) * v[s] for s in sets if set(s) <= set(t)) for t in sets}


def test_triples_and_pairs_are_those_of_the_game_by_every_index(small):
    terms = moebius(small)
    assert max(abs(m) for t, m in terms.items() if len(t) > 3) < 1e-12
    three = np.array([t for t in terms if len(t) == 3])
    np.testing.assert_allclose(small.triples(three), [terms[tuple(t)] for t in three.tolist()], atol=1e-12)
    two = np.array([t for t in terms if len(t) == 2])
    weight = {"Moebius": 0, "Co-Moebius": 1, "BII": 1 / 2, "SII": 1 / 2, "CHII": 2 / 3}
    weight |= {"STII": 0, "FSII": 0, "k-SII": 0}  # with top order 3 nothing above is left to share
    assert set(weight) == set(INDICES)
    for index, share in weight.items():
        expected = [
            terms[a, b] + share * sum(m for t, m in terms.items() if len(t) == 3 and {a, b} <= set(t))
            for a, b in two.tolist()
        ]
        np.testing.assert_allclose(small.pairs(two, index), expected, atol=1e-12)


def test_tables_are_worths_with_all_else_on(small):
    members = np.array([[0, 3, 5], [1, 4, 0]])
    for row, table in zip(members, small.tables(members), strict=True):
        for s, worth in enumerate(table):
            on = np.ones((1, 7), bool)
            on[0, [row[i] for i in range(3) if not s >> i & 1]] = False
            assert worth == pytest.approx(small.worth(on)[0])
        assert table[-1] == pytest.approx(0)


def test_the_strongest_are_found(small):
    (three, weights), (two, others) = small.strongest(4, "SII")
    terms = moebius(small)
    best = sorted((abs(m) for t, m in terms.items() if len(t) == 3), reverse=True)[:4]
    np.testing.assert_allclose(np.abs(weights), best)
    assert len({tuple(sorted(t)) for t in three.tolist()}) == 4
    every = np.array([t for t in terms if len(t) == 2])
    np.testing.assert_allclose(np.abs(others), np.sort(np.abs(small.pairs(every, "SII")))[::-1][:4])
    assert len(two) == 4


def test_a_triple_where_each_plays_one_part_is_the_product_of_the_three():
    """A(1 − A) (u_a · w_b) (o_c · e_target), with c writing at the key alone."""
    trace = random_trace(4, scores=True, layers=1, without={"error", "constant"})
    engine, place = Engine(trace), Place(0, 2, 3, 1)
    found = contributions(engine, ends_of(trace, place))
    game = score_game(trace, place, found, players(engine))
    towards = pattern_game(engine, game, int(engine.where.target[0]), "logit: one")
    at = engine.where
    a, b, c = int(at.token[3]), int(at.token[1]), int(at.position[1])
    share = trace.attention.pattern[0, 2, 3, 1]
    # what the embedding at the key writes through the head, at full attention, into the last stream
    full = np.zeros_like(trace.attention.pattern)
    full[0, 2, 3, 1] = 1.0
    read = [
        run_trace(replace(trace, attention=replace(trace.attention, pattern=p)), m, frozen=True).targets[0]
        for p in (full, 0 * full)
        for m in ({}, {"pos@1": 0.0})
    ]
    value = (read[0] - read[1]) - (read[2] - read[3])
    product = share * (1 - share) * (game.query[a] @ game.key[b]) * value
    others = game.query[a] @ game.key[c] * towards.effect[b]  # the other assignment: c as the key, b as value
    assert towards.triples(np.array([[a, b, c]]))[0] == pytest.approx(product + others, abs=1e-12)


def test_the_method_gives_triples_and_pairs_through_the_head():
    trace = random_trace(7, scores=True, features=4)
    graph = run(trace, QK(("1.2@3,1",), top=5, order=3, targets=("logit: one",)))
    rows = graph.hyperedges.filter(target="logit: one")
    assert set(rows["via"]) == {"head:1.2@3,1"}
    assert set(rows["order"]) == {2, 3}
    assert len(rows.filter(order=3)) == 5
    assert rows["engine"].unique().to_list() == ["bilinear, pattern to first order"]
    assert set(graph.hyperedges.filter(target="score:1.2@3,1")["order"]) == {2}
    engine, place = Engine(trace), Place(1, 2, 3, 1)
    game = score_game(trace, place, contributions(engine, ends_of(trace, place)), players(engine))
    towards = pattern_game(engine, game, int(engine.where.target[0]), "logit: one")
    names = graph.nodes["node"].to_list()
    for row in rows.filter(order=3).to_dicts():
        members = np.array([[names.index(name) for name in row["members"]]])
        assert row["weight"] == pytest.approx(towards.triples(members)[0])
        off = np.ones((1, len(names)), bool)
        off[0, members[0]] = False
        assert row["effect"] == pytest.approx(-towards.worth(off)[0])
    auto = run(trace, QK(top=3, top_heads=2, order=3))
    through = auto.hyperedges.filter(auto.hyperedges["via"].is_not_null())
    assert len(through)
    assert set(through["target"]) <= set(names)


def test_targets_that_are_none_are_refused():
    trace = random_trace(7, scores=True, features=4)
    graph = graph_of(trace)
    with pytest.raises(UsageError, match="tok@1 reads nothing"):
        QK(order=3, targets=("tok@1",)).units(graph, trace)
    with pytest.raises(NotFound, match="No node 'logit: tow'"):
        QK(order=3, targets=("logit: tow",)).units(graph, trace)
