"""What breaks: every number against the node-by-node loop; what turns off, on, round is told as such."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import gate
from literal_run import run_by_hand
from sample_graph import sample_graph
from strategies import random_graph

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.planted import plant
from circuits.query.breaks import breaks


def activations_by_hand(graph: Graph, off: set[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in graph.nodes.filter(kind="feature").iter_rows(named=True):
        z = run_by_hand(graph, row["node"], off)
        value = gate(row["gate"], z, row["threshold"] or 0.0) if row["expanded"] else row["activation"]
        found[row["node"]] = value
    return found


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_values_and_interactions_are_those_of_the_loop(seed: int, count: int) -> None:
    graph = random_graph(seed, gates=("relu", "jumprelu", "linear"))
    things = [*graph.nodes.filter(kind="feature")["node"][:2], "tok@0"][:count]
    answer = breaks(graph, things)
    whole = dict(answer.tables["subsets"].select("off", "value").iter_rows())
    for row in answer.tables["outputs"].iter_rows(named=True):
        target = row["target"]
        full = run_by_hand(graph, target)
        alone = [run_by_hand(graph, target, {one}) - full for one in things]
        joint = run_by_hand(graph, target, set(things)) - full
        assert (row["before"], row["after"]) == pytest.approx((full, full + joint), abs=1e-9)
        assert row["effect"] == pytest.approx(joint, abs=1e-9)
        if count > 1:
            assert [row[f"only {one} off"] for one in things] == pytest.approx(alone, abs=1e-9)
            assert row["interaction"] == pytest.approx(joint - sum(alone), abs=1e-9)
    if count == 3:
        assert len(whole) == 8
        two = run_by_hand(graph, graph.targets[0], set(things[:2]))
        assert whole[f"{things[0]} and {things[1]}"] == pytest.approx(two, abs=1e-9)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000))
def test_features_before_and_after_are_those_of_the_loop(seed: int) -> None:
    graph = random_graph(seed, layers=3, gates=("relu", "jumprelu", "linear", "gelu"))
    things = {graph.nodes.filter(kind="feature")["node"][0], "tok@0"}
    answer = breaks(graph, sorted(things))
    before, after = activations_by_hand(graph, set()), activations_by_hand(graph, things)
    for row in answer.tables["features"].iter_rows(named=True):
        node = row["node"]
        assert node not in things
        assert (row["before"], row["after"]) == pytest.approx((before[node], after[node]), abs=1e-9)
        what = {
            "goes out": before[node] != 0 and after[node] == 0,
            "turns on": before[node] == 0 and after[node] != 0,
            "turns round": before[node] * after[node] < 0,
            "weaker": 0 < abs(after[node]) < abs(before[node]),
            "stronger": abs(after[node]) > abs(before[node]) > 0,
        }
        assert what[row["change"]]


def test_a_gate_that_was_held_back_turns_on() -> None:
    """Planted: A keeps the gate off. Without A it is on, at 1, and brings 1 to the output."""
    made = plant("not")
    answer = breaks(attribute(made.trace, (Edges(tolerance=0),)), [made.names["A"]])
    row = answer.tables["features"].row(0, named=True)
    assert (row["node"], row["change"]) == (made.names["gate"], "turns on")
    assert (row["before"], row["after"]) == (0, pytest.approx(1))
    assert "1 turns on" in " ".join(answer.finding)
    assert answer.tables["outputs"]["effect"].to_list() == pytest.approx([1])


def test_two_that_stand_in_for_each_other_break_more_together() -> None:
    made = plant("or")
    graph = attribute(made.trace, (Edges(tolerance=0),))
    answer = breaks(graph, [made.names["A"], made.names["B"]])
    row = answer.tables["outputs"].row(0, named=True)
    assert row["interaction"] == pytest.approx(-1, abs=1e-6)
    assert "more than the sum: each makes up for the other" in " ".join(answer.finding)


def test_the_first_output_afterwards_is_told() -> None:
    answer = breaks(sample_graph(), ["24/1042@13", "tok@1"])
    outputs = answer.tables["outputs"]
    first = [outputs.sort(when, descending=True)["target"][0] for when in ("before", "after")]
    assert first == ["logit:Mary", "logit:the"]
    assert '" the" takes the first place from " Mary"' in " ".join(answer.finding)
    kept = breaks(sample_graph(), ["tok@2"])
    assert kept.tables["outputs"].sort("after", descending=True)["target"][0] == "logit:Mary"
    assert '" Mary" stays the first' in " ".join(kept.finding)
    assert json.dumps(answer.to_dict(), allow_nan=False)
    compile(answer.code, "code", "exec")
    assert "circuits.breaks(graph, ['24/1042@13', 'tok@1'])" in answer.code
    assert "SUBSETS" in str(answer)


def test_what_leads_nowhere_breaks_nothing() -> None:
    answer = breaks(sample_graph(), ["tok@13"], target="0/118@1")
    assert "nothing breaks" in answer.finding[0]
    assert "No other feature changes." in answer.finding


@pytest.mark.parametrize(
    ("off", "error", "match"),
    [
        ([], UsageError, "0 things"),
        (["tok@0", "tok@1", "tok@2", "tok@3", "tok@4"], UsageError, "5 things"),
        (["nothing such"], NotFound, "nothing such"),
        (["pos:13", "24/1042@13"], UsageError, "overlap"),
        (["logit:Mary"], UsageError, "target"),
    ],
)
def test_what_cannot_be_off(off: list[str], error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        breaks(sample_graph(), off)
