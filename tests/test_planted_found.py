"""The interactions of planted models are found, all of them and no others, by every engine."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest

from circuits.engine.attribute import attribute
from circuits.engine.concepts.measure import ConceptTest, concept_test
from circuits.engine.edges import Edges
from circuits.engine.games.estimate import interactions
from circuits.engine.games.game import Game
from circuits.engine.games.graph_game import graph_game
from circuits.engine.games.method import Coalitions
from circuits.engine.gates.method import Gates
from circuits.engine.interact import interact
from circuits.engine.qk.method import QK
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.planted import PLANTED, Planted, plant

every = pytest.mark.parametrize("name", PLANTED)
SEVERAL = [name for name in PLANTED if len(plant(name).concepts) > 1]
ADDITIVE = [name for name in PLANTED if plant(name).truth.order <= 1]
INDICES = ("SII", "Moebius", "Co-Moebius")


@cache
def model(name: str) -> tuple[Planted, Graph]:
    """A planted model among distractors, and its graph."""
    planted = plant(name, seed=5, distractors=4)
    return planted, attribute(planted.trace, (Edges(tolerance=0.0),))


@cache
def game_of(name: str) -> Game:
    """Concepts and distractors play for the output."""
    planted, graph = model(name)
    beside = [node for called, node in planted.names.items() if called.startswith("distractor")]
    return graph_game(graph, [node for (node,) in planted.concepts.values()] + beside)


def known(planted: Planted, index: str, *, output: bool) -> dict[tuple[str, frozenset[str]], float]:
    """The planted interactions that are not 0: towards the output, or in gates."""
    return {
        (c.target, frozenset(c.members)): c.values[index]
        for c in planted.truth.combinations
        if abs(c.values[index]) > 1e-9
        and (c.target == planted.target) == output
        and c.target in planted.names.values()
    }


def found(table: pl.DataFrame) -> dict[tuple[str, frozenset[str]], float]:
    return {(row["target"], frozenset(row["members"])): row["weight"] for row in table.iter_rows(named=True)}


def asked(name: str) -> ConceptTest:
    planted, graph = model(name)
    return concept_test(graph, *(Concept(called, nodes) for called, nodes in planted.concepts.items()))


@every
@pytest.mark.parametrize("index", INDICES)
def test_gates_find_exactly_what_acts_together_in_them(name: str, index: str) -> None:
    planted, graph = model(name)
    method = Gates(order=3, index=index, top=None, threshold=1e-9, double=True)
    table = interact(graph, [method]).hyperedges
    assert found(table) == pytest.approx(known(planted, index, output=False), abs=1e-9)
    kinds = {(c.target, frozenset(c.members)): c.kind for c in planted.truth.combinations}
    for row in table.iter_rows(named=True):
        assert row["gate"] == kinds[row["target"], frozenset(row["members"])]
        assert row["low"] <= row["weight"] <= row["high"]


@every
@pytest.mark.parametrize("index", INDICES)
def test_the_output_game_finds_what_concepts_do_together_and_no_distractor(name: str, index: str) -> None:
    planted, game = model(name)[0], game_of(name)
    table = interactions(game, index=index, order=3).frame()
    seen = {
        (planted.target, frozenset(members)): value
        for members, value in table.filter(pl.col("order") > 1).select("members", "value").iter_rows()
        if abs(value) > 1e-9
    }
    assert seen == pytest.approx(known(planted, index, output=True), abs=1e-9)


def shares(name: str) -> tuple[dict[frozenset[str], float], dict[frozenset[str], dict[str, float]]]:
    """The interactions of the concepts as hyperedges, and what of them runs through which gate."""
    planted, graph = model(name)
    concepts = [Concept(called, nodes) for called, nodes in planted.concepts.items()]
    table = interact(graph, [Coalitions(players=tuple(concepts), order=len(concepts), top=None)]).hyperedges
    rows = table.filter(pl.col("order") > 1)
    whole = {
        frozenset(r["members"]): r["weight"]
        for r in rows.filter(pl.col("via").is_null()).iter_rows(named=True)
    }
    parts: dict[frozenset[str], dict[str, float]] = {members: {} for members in whole}
    called = {node: unit for unit, node in planted.names.items()}
    for row in rows.filter(pl.col("via").is_not_null()).iter_rows(named=True):
        parts[frozenset(row["members"])][called[row["via"]]] = row["weight"]
    return whole, parts


def test_hyperedges_name_the_gates_a_combination_runs_through() -> None:
    ab = frozenset("AB")
    # by hand: what the pair does in each gate, times what the output reads of it
    for name, through in {
        "and": {"gate": 1.0},
        "or": {"low": 0.5, "high": -1.5},
        "xor": {"low": 0.5, "high": -2.5},
        "or-dormant": {"gate": -1.0},
        "and-not": {"gate": -1.0},
        "across-positions": {"gate": 1.0},
        "decoys": {"gate": 1.0},
    }.items():
        whole, parts = shares(name)
        assert parts[ab] == pytest.approx(through, abs=1e-9), name
        assert whole[ab] == pytest.approx(sum(through.values()), abs=1e-9)


def test_gates_that_cancel_are_both_named_and_the_sum_is_nothing() -> None:
    whole, parts = shares("cancelling-gates")
    assert whole[frozenset("AB")] == pytest.approx(0, abs=1e-9)
    assert parts[frozenset("AB")] == pytest.approx({"up": 1.0, "down": -1.0}, abs=1e-9)


@pytest.mark.parametrize("name", SEVERAL)
def test_the_concept_test_names_the_gate(name: str) -> None:
    planted, _ = model(name)
    called = {"majority": "other"}.get(planted.truth.gate, planted.truth.gate)
    test = asked(name)
    assert test.decision.gate == called
    table = np.array(planted.truth.table)
    np.testing.assert_allclose(test.here, table, atol=1e-9)


@pytest.mark.parametrize("name", [n for n in SEVERAL if n not in ("superposed", "entangled")])
def test_where_nothing_else_matters_the_interaction_is_exact(name: str) -> None:
    planted, _ = model(name)
    size = len(planted.truth.table)
    sign = [(-1) ** (len(planted.concepts) - s.bit_count()) for s in range(size)]
    truth = float(np.dot(sign, planted.truth.table))
    decision = asked(name).decision
    assert (decision.interaction, decision.low, decision.high) == pytest.approx((truth,) * 3, abs=1e-9)


def test_where_something_else_decides_the_gate_the_test_says_so() -> None:
    # an OR (−1) or an AND (+1), by a third feature: neither is chosen, and the interval is wide
    decision = asked("entangled").decision
    assert decision.gate == "undecided"
    assert decision.high - decision.low > 0.2
    # leaning features move the interaction a little, the gate not
    decision = asked("superposed").decision
    assert decision.low < 1 < decision.high
    assert decision.gate == "and"


def test_the_head_that_looks_because_of_two_features_is_told_so() -> None:
    planted, graph = model("query-key")
    (combination,) = planted.truth.combinations
    for heads in (None, ("1.0@2,0",), ("1.0@2,0-1",)):
        table = interact(graph, [QK(heads=heads, top=5)], trace=planted.trace).hyperedges
        pairs = table.filter(pl.col("order") == 2, pl.col("weight").abs() > 1e-9)
        # all other keys have a score of 0, so the log-odds are the score
        assert [set(members) for members in pairs["members"]] == [set(combination.members)]
        assert pairs["weight"].to_list() == pytest.approx([combination.values["SII"]], abs=1e-9)
        assert pairs["gate"].to_list() == [combination.kind]
        name = "odds:1.0@2,0-1" if heads == ("1.0@2,0-1",) else combination.target
        assert pairs["target"].to_list() == [name]


def test_query_key_and_value_act_together_on_the_output() -> None:
    planted, graph = model("query-key")
    table = interact(graph, [QK(heads=("1.0@2,0",), order=3)], trace=planted.trace).hyperedges
    (triple,) = table.filter(pl.col("order") == 3, pl.col("weight").abs() > 1e-9).iter_rows(named=True)
    assert set(triple["members"]) == {planted.names[unit] for unit in "ABV"}
    # half of the attention is on a value of 6: ½ (1 − ½) · 6 for each unit of score, and that is ln 2
    assert triple["weight"] == pytest.approx(0.25 * 6 * np.log(2), abs=1e-9)


@pytest.mark.parametrize("name", ADDITIVE)
def test_nothing_is_claimed_where_concepts_only_add(name: str) -> None:
    planted, graph = model(name)
    features = [node for node in planted.names.values() if node.startswith("0/")]
    table = interactions(graph_game(graph, features), index="SII", order=2).frame()
    assert table.filter(pl.col("order") > 1)["value"].abs().max() < 1e-9
    if len(planted.concepts) > 1:
        assert asked(name).decision.gate in ("additive", "none")
