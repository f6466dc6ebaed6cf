"""Planted models are what they say: by the literal equations, by enumeration, and as the engine sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from math import factorial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from literal import gate, run_trace
from literal_scores import literal_scores

import circuits
from circuits.cli.main import run as run_command
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.kinds import kinds
from circuits.errors import NotFound, UsageError
from circuits.planted import PLANTED, Planted, plant
from circuits.trace_io import check_trace, load_trace, save_trace

CASES = [(name, seed, count) for name in PLANTED for seed, count in ((0, 0), (1, 3))]
every = pytest.mark.parametrize(("name", "seed", "distractors"), CASES)

NAMED = {
    "and": lambda on: float(all(on)),
    "or": lambda on: float(any(on)),
    "xor": lambda on: float(sum(on) == 1),
    "not": lambda on: float(not any(on)),
    "inhibit": lambda on: float(on[0] and not on[1]),
    "majority": lambda on: float(sum(on) >= 2),
    "none": lambda on: 1.0,
}


def table_of(planted: Planted, others: Mapping[str, float] | None = None) -> np.ndarray:
    """The output for every coalition of concepts, by the literal equations."""
    nodes = [node for (node,) in planted.concepts.values()]
    masks = [{node: float(s >> i & 1) for i, node in enumerate(nodes)} for s in range(1 << len(nodes))]
    return np.array([run_trace(planted.trace, {**mask, **(others or {})}).targets[0] for mask in masks])


def game_of(planted: Planted, feature: int) -> tuple[list[str], np.ndarray]:
    """A gate's players and worths: what it computes when only some of its inputs stay, by pencil."""
    f, name = planted.trace.features, names_of(planted)[feature]
    into = [edge for edge in planted.truth.edges if edge.target == name]
    players = [edge for edge in into if edge.source != "bias:own" and edge.weight]
    bias = sum(edge.weight for edge in into if edge.source == "bias:own")
    worth = [
        gate(
            f.gates[f.gate[feature]],
            bias + sum(e.weight for i, e in enumerate(players) if s >> i & 1),
            float(f.threshold[feature]),
        )
        for s in range(1 << len(players))
    ]
    return [edge.source for edge in players], np.array(worth)


def names_of(planted: Planted) -> list[str]:
    f = planted.trace.features
    return [f"{f.layer[i]}/{f.id[i]}@{f.position[i]}" for i in range(len(f))]


def interactions(worth: np.ndarray, members: int) -> dict[str, float]:
    """Moebius, Co-Moebius and SII of a set of members (bits), from their definitions."""
    n, t = len(worth).bit_length() - 1, members.bit_count()
    rest = [s for s in range(len(worth)) if not s & members]
    subsets = [part for part in range(len(worth)) if part & members == part]

    def delta(s: int) -> float:
        return float(sum((-1) ** (t - part.bit_count()) * worth[s | part] for part in subsets))

    def weight(s: int) -> float:
        size = s.bit_count()
        return factorial(n - size - t) * factorial(size) / factorial(n - t + 1)

    return {
        "Moebius": delta(0),
        "Co-Moebius": delta(rest[-1]),
        "SII": sum(weight(s) * delta(s) for s in rest),
    }


def check_game(planted: Planted, target: str, players: list[str], worth: np.ndarray) -> None:
    """What is listed has the values of the definitions, and what is not listed is 0."""
    listed = {frozenset(c.members): c for c in planted.truth.combinations if c.target == target}
    every_set = [frozenset(c) for k in range(2, len(players) + 1) for c in combinations(players, k)]
    assert set(listed) <= set(every_set)
    for chosen in every_set:
        members = sum(1 << i for i, player in enumerate(players) if player in chosen)
        known = listed[chosen].values if chosen in listed else {}
        for index, value in interactions(worth, members).items():
            assert value == pytest.approx(known.get(index, 0.0), abs=1e-12), (target, chosen, index)
        if chosen in listed and known["Co-Moebius"]:
            at = [part for part in range(len(worth)) if part | members == len(worth) - 1]
            assert kinds(worth[at][None]) == [listed[chosen].kind], (target, chosen)


@every
def test_the_concepts_switch_the_output_as_the_table_says(name: str, seed: int, distractors: int) -> None:
    planted = plant(name, seed=seed, distractors=distractors)
    np.testing.assert_allclose(table_of(planted), planted.truth.table, atol=1e-13)


@pytest.mark.parametrize("name", PLANTED)
def test_the_table_is_the_gate_it_is_called(name: str) -> None:
    truth, count = plant(name).truth, len(plant(name).concepts)
    table = np.array(truth.table)
    coalitions = [[bool(s >> i & 1) for i in range(count)] for s in range(1 << count)]
    steps = interactions(table, len(table) - 1)["Moebius"]
    if truth.gate == "additive":
        assert steps == 0
        assert np.ptp(table) > 0
    elif truth.gate == "undecided":  # an OR here, an AND without the third feature
        planted = plant(name)
        here, without = table_of(planted), table_of(planted, {planted.names["D"]: 0.0})
        np.testing.assert_allclose(here, [NAMED["or"](on) for on in coalitions], atol=1e-13)
        np.testing.assert_allclose(without, [NAMED["and"](on) for on in coalitions], atol=1e-13)
    else:
        shape = np.array([NAMED[truth.gate](on) for on in coalitions])
        np.testing.assert_array_equal(table, shape * table.max())


@every
def test_the_trace_holds_what_its_equations_give(name: str, seed: int, distractors: int) -> None:
    planted = plant(name, seed=seed, distractors=distractors, noise=0.1)
    check_trace(planted.trace)
    run, f = run_trace(planted.trace), planted.trace.features
    np.testing.assert_allclose(run.pre_activation, f.pre_activation, atol=1e-13)
    np.testing.assert_allclose(run.activation, f.activation, atol=1e-13)
    np.testing.assert_allclose(run.targets, planted.trace.targets.value, atol=1e-13)


@every
def test_every_edge_is_an_intervention_and_no_other_is_there(name: str, seed: int, distractors: int) -> None:
    planted = plant(name, seed=seed, distractors=distractors)
    trace, names = planted.trace, names_of(planted)
    known = {(e.source, e.target): e for e in planted.truth.edges}
    whole = run_trace(trace, frozen=True)
    sources = [*names, "bias:own", *(f"tok@{p}" for p in range(trace.n_positions))]
    for source in sources:
        without = run_trace(trace, {source: 0.0}, frozen=True)
        moved = dict(zip(names, whole.pre_activation - without.pre_activation, strict=True))
        moved["logit:yes"] = (whole.targets - without.targets)[0]
        for target, effect in moved.items():
            edge = known.get((source, target))
            assert effect == pytest.approx(edge.weight if edge else 0.0, abs=1e-13)
            if edge and source in names:
                activation = trace.features.activation[names.index(source)]
                assert edge.weight == pytest.approx(edge.strength * activation, abs=1e-13)


@every
def test_the_listed_combinations_are_all_there_are(name: str, seed: int, distractors: int) -> None:
    planted = plant(name, seed=seed, distractors=distractors)
    for feature, target in enumerate(names_of(planted)):
        check_game(planted, target, *game_of(planted, feature))
    concepts = [node for (node,) in planted.concepts.values()]
    check_game(planted, planted.target, concepts, np.array(planted.truth.table))
    order = max((c.order for c in planted.truth.combinations if c.target == planted.target), default=1)
    assert planted.truth.order == (0 if planted.truth.gate == "none" else order)


def test_the_score_is_what_two_features_make_together() -> None:
    planted = plant("query-key", seed=3)
    trace, a, b = planted.trace, *planted.truth.combinations[0].members
    made = planted.truth.combinations[0].values["Moebius"]

    def live(off: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray, float]:
        """Scores, and the output, when patterns follow what is switched off."""
        run = run_trace(trace, dict.fromkeys(off, 0.0))
        scores = np.nan_to_num(literal_scores(trace, run.residual[:-1]), nan=-np.inf)
        pattern = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
        attention = replace(trace.attention, pattern=pattern)
        output = run_trace(replace(trace, attention=attention), dict.fromkeys(off, 0.0)).targets[0]
        return pattern, scores[1, 0], output

    pattern, scores, output = live(())
    np.testing.assert_allclose(pattern, trace.attention.pattern, atol=1e-13)
    assert scores[2, 0] == pytest.approx(made)
    assert output == pytest.approx(3.0)
    for off in ((a,), (b,), (a, b)):
        _, scores, output = live(off)
        assert scores[2, 0] == pytest.approx(0, abs=1e-13)
        assert output == pytest.approx(2.0)


@every
def test_what_matters_has_a_path_to_the_output(name: str, seed: int, distractors: int) -> None:
    truth = plant(name, seed=seed, distractors=distractors).truth
    in_scores = {m for c in truth.combinations if c.target.startswith("score") for m in c.members}
    reached = {"logit:yes", *in_scores}
    for _ in truth.edges:
        reached |= {e.source for e in truth.edges if e.target in reached and e.strength}
    assert truth.nodes == reached - {"logit:yes", "bias:own"}
    for e in truth.edges:
        assert e.matters == ({e.source, e.target} <= reached | {"bias:own"})


@every
def test_distractors_are_on_and_do_nothing(name: str, seed: int, distractors: int) -> None:
    planted = plant(name, seed=seed, distractors=distractors)
    extra = [node for called, node in planted.names.items() if called.startswith("distractor")]
    assert len(extra) == distractors
    assert not set(extra) & planted.truth.nodes
    activation = dict(zip(names_of(planted), planted.trace.features.activation, strict=True))
    assert all(activation[node] > 0 for node in extra)
    whole = run_trace(planted.trace).targets
    for node in extra:
        np.testing.assert_allclose(run_trace(planted.trace, {node: 0.0}).targets, whole, atol=1e-13)


def test_seeds_turn_the_stream_and_number_the_features() -> None:
    one, two = plant("majority", seed=1), plant("majority", seed=2)
    assert np.abs(one.trace.vectors).min() > 0  # nothing is aligned with an axis
    assert not np.allclose(one.trace.vectors, two.trace.vectors)
    assert len({tuple(plant("majority", seed=s).names.values()) for s in range(6)}) > 1
    again = plant("majority", seed=1)
    np.testing.assert_array_equal(one.trace.vectors, again.trace.vectors)
    assert one.names == again.names


def test_noise_makes_features_write_where_they_should_not() -> None:
    clean, noisy = (
        attribute(plant("and", seed=4, noise=noise).trace, (Edges(tolerance=0.0),)).edges
        for noise in (0.0, 0.1)
    )
    assert len(noisy) > len(clean.filter(pl.col("weight").abs() > 1e-12))
    assert plant("and", seed=4, noise=0.1).truth == plant("and", seed=4).truth
    # per unit of activation, as large as was asked for
    weights, size = [], 0.05
    for seed in range(30):
        planted = plant("and", seed=seed, distractors=8, noise=size)
        run = run_trace(planted.trace, frozen=True)
        for called, node in planted.names.items():
            if called.startswith("distractor"):
                off = run_trace(planted.trace, {node: 0.0}, frozen=True)
                weights.append((run.targets - off.targets)[0] / run.activation[names_of(planted).index(node)])
    assert np.std(weights) == pytest.approx(size, rel=0.2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_planted_model_is_saved_and_comes_back(tmp_path: Path, dtype: type[np.floating]) -> None:
    planted = plant("across-positions", seed=2, distractors=2, dtype=dtype)
    assert planted.trace.dtype == dtype
    save_trace(planted.trace, tmp_path / "planted.safetensors")
    back = load_trace(tmp_path / "planted.safetensors")
    np.testing.assert_array_equal(back.vectors, planted.trace.vectors)
    assert back.labels[planted.names["gate"]] == "gate"
    assert back.meta["planted"]["name"] == "across-positions"


def test_a_planted_model_says_what_it_is() -> None:
    planted = plant("and-of-three")
    assert repr(planted) == "Planted('and-of-three': one gate that needs A, B and C)"
    assert planted.question == "How does logit:yes depend on A, B and C?"
    assert plant("not").question == "How does logit:yes depend on A?"
    assert len({plant(name).sentence for name in PLANTED}) == len(PLANTED)
    assert circuits.plant is plant


def test_what_cannot_be_planted_is_refused() -> None:
    with pytest.raises(NotFound, match=r"No planted model 'nand': there are and, .* Did you mean 'and'"):
        plant("nand")
    with pytest.raises(UsageError, match="-1 distractors"):
        plant("and", distractors=-1)
    for noise in (-0.5, float("nan")):
        with pytest.raises(UsageError, match="no standard deviation"):
            plant("and", noise=noise)


@pytest.mark.parametrize("name", PLANTED)
def test_attribute_recovers_nodes_and_edges(name: str) -> None:
    planted = plant(name, seed=1, distractors=3)
    graph = attribute(planted.trace, (Edges(tolerance=0.0),))
    assert graph.meta["completeness_residual"] < 1e-12
    found = {(s, t): (w, x) for s, t, w, x in graph.edges.iter_rows() if abs(x) > 1e-12}
    known = {(e.source, e.target): (e.weight, e.strength) for e in planted.truth.edges}
    assert found.keys() == known.keys()
    for ends, numbers in known.items():
        assert found[ends] == pytest.approx(numbers, abs=1e-12)
    values = dict(graph.nodes.filter(kind="feature").select("node", "activation").iter_rows())
    assert values.keys() == set(planted.names.values()) - {"logit:yes"}


def test_a_saved_one_goes_through_the_command_line(tmp_path: Path) -> None:
    save_trace(plant("decoys").trace, tmp_path / "decoys.safetensors")
    line = ["attribute", "--trace", str(tmp_path / "decoys.safetensors"), "-o", str(tmp_path / "run"), "-q"]
    assert run_command(line) == 0
    assert circuits.load_run(tmp_path / "run").meta["planted"]["name"] == "decoys"
