"""The concept test: its tables against loops, its interval and decisions against gates known beforehand."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
from fake_methods import found
from planted_gates import GATES, UNITS, gate_graph, gate_table
from scipy import stats
from strategies import random_graph

from circuits.engine.concepts.backgrounds import Backgrounds
from circuits.engine.concepts.decide import UNDECIDED, decide, interval, moebius
from circuits.engine.concepts.measure import concept_test
from circuits.engine.concepts.store import hyperedges
from circuits.engine.concepts.tables import truth_tables
from circuits.engine.interact import merged
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.schema import NODE_SCHEMA

SKEWED = stats.gamma(1.5)


def noise(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> np.ndarray:
    """Of mean 0 and standard deviation 1."""
    if kind == "normal":
        return rng.standard_normal(shape)
    return (SKEWED.rvs(shape, random_state=rng) - SKEWED.mean()) / SKEWED.std()


@pytest.mark.parametrize("kind", ["normal", "skewed"])
@pytest.mark.parametrize("count", [16, 40])
def test_intervals_cover_and_decisions_are_seldom_wrong(count: int, kind: str) -> None:
    rng = np.random.default_rng([count, kind == "skewed"])
    covered, wrong, right = [], [], []
    for gate, spread, _ in product(GATES, (0.1, 0.3, 0.6), range(10)):
        table = gate_table(gate)
        truth = moebius(table[None])[0, -1]
        shared = rng.standard_normal((count, 1))  # backgrounds move all cells together
        seen = decide(table + shared + spread * noise(rng, (count, len(table)), kind), 1.0)
        covered.append(seen.low <= truth <= seen.high)
        wrong.append(seen.gate not in (gate.split()[0], UNDECIDED))
        right.append(seen.gate == gate.split()[0])
    assert np.mean(covered) >= 0.93
    assert np.mean(wrong) <= 0.01
    assert np.mean(right) >= 0.4  # not by deciding nothing


def test_noisy_sums_are_seldom_called_gates() -> None:
    rng = np.random.default_rng(0)
    tables = gate_table("additive") + 0.6 * rng.standard_normal((300, 16, 4))
    called = [decide(table, 1.0).gate for table in tables]
    assert sum(gate not in ("additive", UNDECIDED) for gate in called) <= 3


def test_few_backgrounds_are_trusted_as_student_would() -> None:
    """Of 5 backgrounds a mean 1.8 standard errors off is on its side with chance 0.927, not 0.978."""
    spread = np.array([-1.2, -0.4, 0.1, 0.3, 1.2])
    spread = (spread - spread.mean()) / stats.sem(spread)
    assert stats.t(4).cdf(1.8) < 0.95 < stats.norm.cdf(1.8 / np.sqrt(4 / 5))
    for error, gate in ((1.8, UNDECIDED), (2.6, "none")):
        effects = 0.1 + 0.01 * (spread - error)
        assert decide(gate_table("and") * effects[:, None], 1.0).gate == gate


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_gate_without_noise_is_decided(gate: str, sign: int) -> None:
    rng = np.random.default_rng(0)
    tables = 3 + sign * gate_table(gate) * (1 + 0.02 * rng.random((20, 1)))
    seen = decide(tables, 1.0)
    assert (seen.gate, seen.support) == (gate.split()[0], 1.0)
    assert seen.low <= seen.interaction <= seen.high


def test_none_is_said_by_the_outputs_range_alone() -> None:
    tables = gate_table("and") * np.linspace(0.9, 1.1, 20)[:, None]
    assert decide(tables, 8.0).gate == "and"
    assert decide(tables, 20.0).gate == "none"
    assert decide(tables * 1e-6, 8e-6).gate == "and"


def test_a_sum_is_not_called_one_before_it_is_shown() -> None:
    rng = np.random.default_rng(1)
    loose = gate_table("additive") + 0.3 * rng.standard_normal((12, 4))
    assert decide(loose, 1.0).gate == UNDECIDED
    close = gate_table("additive") + 0.01 * rng.standard_normal((12, 4))
    assert decide(close, 1.0).gate == "additive"


def test_and_ness_crossover_and_scale() -> None:
    one = {gate: decide(gate_table(gate) + np.linspace(0, 1, 9)[:, None], 1.0) for gate in GATES}
    assert one["and"].and_ness == pytest.approx(1)
    assert one["or"].and_ness == pytest.approx(-1)
    assert one["additive"].and_ness == pytest.approx(0)
    assert one["xor"].and_ness is None  # together they do nothing
    crosses = {gate: seen.crossover for gate, seen in one.items() if len(gate_table(gate)) == 4}
    assert {gate for gate, crossed in crosses.items() if crossed} == {"xor"}
    # log(1 + v) of a product of sums is a sum: no gate whose effects keep their signs is safe from that
    assert one["and"].removable is True
    assert one["xor"].removable is False
    assert one["additive"].removable is None
    reversing = np.array([0.0, 1.0, 0.6, 0.2]) + np.linspace(0, 1, 9)[:, None]  # B's effect: +0.6 or −0.8
    assert decide(reversing, 1.0).crossover is True
    unsure = np.array([0.0, 1.0, 0.2, 0.9]) + 0.6 * np.random.default_rng(2).standard_normal((12, 4))
    assert decide(unsure, 1.0).removable is None


def test_the_interval_is_students() -> None:
    values = np.random.default_rng(3).standard_normal(17)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert interval(values) == pytest.approx((expected.low, expected.high))


def test_moebius_terms_are_signed_sums_over_subsets() -> None:
    table = np.random.default_rng(4).standard_normal((3, 8))
    for s in range(8):
        subsets = [r for r in range(8) if r & s == r]
        literal = sum((-1.0) ** (s.bit_count() - r.bit_count()) * table[:, r] for r in subsets)
        assert moebius(table)[:, s] == pytest.approx(literal)


def test_tables_are_the_worth_of_each_set_before_each_background() -> None:
    rng = np.random.default_rng(5)
    weight = rng.standard_normal((7, 7))
    groups = [np.array([1, 4]), np.array([0]), np.array([6])]
    drawn = rng.random((5, 7)) < 0.5
    tables = truth_tables(lambda masks: ((masks @ weight) * masks).sum(axis=1), groups, drawn)
    for row, background in enumerate(drawn):
        for s in range(8):
            on = background.copy()
            for bit, players in enumerate(groups):
                on[players] = bool(s >> bit & 1)
            assert tables[row, s] == pytest.approx(
                sum(weight[i, j] for i in range(7) for j in range(7) if on[i] and on[j])
            )
    assert drawn.shape == (5, 7)


@pytest.mark.parametrize("worth", [lambda m: m, lambda m: np.full(len(m), np.nan), lambda m: m.sum()])
def test_a_worth_that_is_not_one_finite_number_each_is_refused(worth: object) -> None:
    with pytest.raises(UsageError, match="one finite number each"):
        truth_tables(worth, [np.array([0]), np.array([1])], np.ones((3, 4), bool))  # type: ignore[arg-type]


WEIGHTS = {  # over backgrounds of k of the m others: the classical formulas, per coalition
    "SII": lambda k, m, t: 1 / ((m + 1) * stats.binom(m, 0.5).pmf(k) * 2**m),
    "BII": lambda k, m, t: 0.5**m,
}


@pytest.mark.parametrize("index", WEIGHTS)
@pytest.mark.parametrize("order", [2, 3])
def test_the_mean_over_backgrounds_is_the_index_of_the_merged_players(index: str, order: int) -> None:
    rng = np.random.default_rng(6)
    n, groups = 7, [np.array([0, 1]), np.array([2]), np.array([3])][:order]
    value = rng.standard_normal(2**n)
    worth = lambda masks: value[masks @ (1 << np.arange(n))]  # noqa: E731
    rest = [i for i in range(n) if not any(i in group for group in groups)]
    every = np.zeros((2 ** len(rest), n), bool)
    every[:, rest] = np.arange(len(every))[:, None] >> np.arange(len(rest)) & 1
    terms = moebius(truth_tables(worth, groups, every))[:, -1]
    weights = [WEIGHTS[index](int(row.sum()), len(rest), order) for row in every]
    exact = float(np.dot(weights, terms))
    drawn = Backgrounds(4000, index, seed=7).draw(order, n)
    sampled = moebius(truth_tables(worth, groups, drawn))[:, -1]
    assert abs(sampled.mean() - exact) < 4 * sampled.std() / np.sqrt(4000)


@pytest.mark.parametrize(
    ("index", "mean"), [("SII", 1 / 2), ("BII", 1 / 2), ("CHII", 2 / 3), ("STII", 1 / 3), ("FSII", 1 / 2)]
)
def test_backgrounds_keep_the_share_their_index_says(index: str, mean: float) -> None:
    drawn = Backgrounds(3000, index, seed=8).draw(2, 40)
    assert drawn.mean() == pytest.approx(mean, abs=0.02)
    assert (drawn == Backgrounds(3000, index, seed=8).draw(2, 40)).all()


@pytest.mark.parametrize("gate", GATES)
def test_a_gate_built_into_a_graph_is_found_in_it(gate: str) -> None:
    graph = gate_graph(gate)
    names = "abc"[: len(gate_table(gate)).bit_length() - 1]
    test = concept_test(graph, *(f"{name}=tok@{place}" for place, name in enumerate(names)))
    assert test.decision.gate == gate.split()[0]
    assert test.names == tuple(names)
    assert test.here - test.here[0] == pytest.approx(gate_table(gate), abs=1e-6)
    assert test.gate_here == gate.split()[0]
    assert test.interaction_here == pytest.approx(moebius(gate_table(gate)[None])[0, -1], abs=1e-6)
    assert test.evaluations == len(gate_table(gate)) * (128 + 2)
    assert gate.split()[0].upper() in str(test).splitlines()[0]


@pytest.mark.parametrize("gate", [gate for gate in GATES if gate not in ("none", "additive")])
def test_what_arises_at_the_gates_adds_up_to_the_interaction(gate: str) -> None:
    graph = gate_graph(gate)
    names = "abc"[: len(gate_table(gate)).bit_length() - 1]
    test = concept_test(graph, *(f"{name}=tok@{place}" for place, name in enumerate(names)))
    # no gate leads to another here, so that what arises at one is its gain times its own term
    literal = {
        f"0/{at}@7": gain * moebius(np.maximum(constant + bits(len(names)) @ weights, 0.0)[None])[0, -1]
        for at, (constant, weights, gain) in enumerate(UNITS[gate])
    }
    found = dict(test.gates.select("gate", "share").iter_rows())
    assert found == pytest.approx({k: v for k, v in literal.items() if k in found}, abs=1e-6)
    assert all(abs(value) < 1e-9 for name, value in literal.items() if name not in found)
    assert sum(found.values()) == pytest.approx(test.decision.interaction, abs=1e-6)
    assert (test.gates["low"] <= test.gates["share"] + 1e-9).all()
    assert f"arises at {test.gates['gate'][0]}" in str(test)


def bits(members: int) -> np.ndarray:
    return np.arange(2**members)[:, None] >> np.arange(members) & 1


def test_gates_that_lead_to_gates_are_told_apart() -> None:
    graph = random_graph(3)
    early = graph.nodes.filter(pl.col("kind") == "token")["node"].to_list()[:2]
    test = concept_test(graph, f"a={early[0]}", f"b={early[1]}", backgrounds=Backgrounds(12))
    assert len(test.gates) > 3
    assert test.gates["share"].sum() == pytest.approx(test.decision.interaction, abs=1e-9)
    assert test.gates["share"].abs().is_sorted(descending=True)


def test_scores_the_concepts_meet_in_are_summed() -> None:
    graph = gate_graph("and")
    members = [
        ["tok@0", "tok@1"],
        ["tok@2", "tok@0"],
        ["tok@0", "tok@3"],
        ["tok@1", "tok@3"],
        ["tok@1", "tok@2"],
    ]
    targets = ["score:1.0@7,0"] * 4 + ["score:2.1@7,0"]
    rows = [1.0, 2.0, 4.0, 8.0, -16.0]
    parts = [
        found(target, [weight], [pair], channel="qk")
        for target, weight, pair in zip(targets, rows, members, strict=True)
    ]
    graph = merged(graph, [pl.concat(parts[:4]), parts[4]])
    test = concept_test(graph, "a=tok@0,tok@3", "b=tok@1,tok@2")
    assert test.scores.rows() == [("score:1.0@7,0", 11.0, 3)]
    assert "In attention they meet in score:1.0@7,0 +11" in str(test)


def test_paraphrases_are_each_one_observation() -> None:
    graphs = [gate_graph("and", scale=1 + 0.1 * k) for k in range(5)]
    test = concept_test(graphs, "a=tok@0", "b=tok@1")
    alone = [concept_test(graph, "a=tok@0", "b=tok@1").decision.interaction for graph in graphs]
    assert (test.decision.low, test.decision.high) == pytest.approx(interval(np.array(alone)))
    assert (test.graphs, test.decision.gate) == (5, "and")
    assert "5 graphs" in str(test)


def test_without_a_node_that_is_free_the_numbers_are_exact() -> None:
    graph = gate_graph("or")
    rest = ",".join(f"tok@{place}" for place in range(1, 7))
    test = concept_test(graph, "a=tok@0", f"b={rest}")
    assert (test.free, test.evaluations) == (0, 4 * 4)
    assert test.decision.low == test.decision.high == test.interaction_here
    assert "Exact: every other node" in str(test)
    assert "interval" not in str(test)
    assert hyperedges(test)["estimated"].to_list() == [False] * len(hyperedges(test))


def test_what_stops_what_is_told() -> None:
    test = concept_test(gate_graph("inhibit"), "brake=tok@1", "engine=tok@0")
    assert "engine acts unless brake is there" in str(test)


@pytest.mark.parametrize(
    ("given", "settings", "kind", "sentence"),
    [
        (["a=tok@0"], {}, UsageError, "1 concepts: the test takes two or three"),
        (["a=tok@0", "b=tok@1", "c=tok@2", "d=tok@3"], {}, UsageError, "4 concepts"),
        (["a=tok@0", "b=tok@0"], {}, UsageError, "a and b overlap in tok@0"),
        (["a=tok@0", "b=logit:y"], {}, UsageError, "names the target logit:y"),
        (["a=tok@0", "b=tok@77"], {}, NotFound, "No node 'tok@77'"),
        (["a=tok@0", "b=tok@1"], {"target": "logit:z"}, NotFound, "No node 'logit:z'"),
    ],
)
def test_what_cannot_be_tested_is_refused(
    given: list[str], settings: dict, kind: type, sentence: str
) -> None:
    with pytest.raises(kind, match=sentence):
        concept_test(gate_graph("and"), *given, **settings)


def test_impossible_settings_and_tables_are_refused() -> None:
    with pytest.raises(UsageError, match="3 backgrounds give no interval"):
        Backgrounds(3)
    with pytest.raises(UsageError, match="No index 'SHAP'"):
        Backgrounds(index="SHAP")
    with pytest.raises(UsageError, match="Co-Moebius has one background"):
        Backgrounds(index="Co-Moebius")
    with pytest.raises(UsageError, match=r"Truth tables of shape \(3, 5\)"):
        decide(np.ones((3, 5)), 1.0)
    with pytest.raises(UsageError, match="NaN or infinity"):
        decide(np.full((3, 4), np.inf), 1.0)
    with pytest.raises(UsageError, match="No graph"):
        concept_test([], "a=tok@0", "b=tok@1")
    aimless = gate_graph("and").with_nodes(target_weight=pl.lit(0.0))
    with pytest.raises(UsageError, match="No target"):
        concept_test(aimless, "a=tok@0", "b=tok@1")


def test_the_graph_of_a_planted_gate_is_a_graph() -> None:
    graph = gate_graph("xor")
    assert isinstance(graph, Graph)
    assert graph.nodes.schema == NODE_SCHEMA
