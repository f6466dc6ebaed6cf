"""Smallest sets: by trying every set on planted and random graphs; certificates that hold when tried."""

from __future__ import annotations

import itertools
import json
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from literal_run import run_by_hand
from sample_graph import sample_graph
from strategies import random_graph

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.errors import NotFound, UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.planted import PLANTED, Planted, plant
from circuits.query.minimal import minimal

KINDS = ("sufficient", "necessary")


@lru_cache
def planted(name: str) -> tuple[Planted, Graph]:
    made = plant(name)
    return made, attribute(made.trace, (Edges(tolerance=0),))


def shares_by_hand(graph: Graph, target: str, players: list[tuple[str, ...]], kind: str) -> dict:
    """Every set's share, by the definition; empty where all together have no effect."""

    def worth(on: set[int]) -> float:
        off = {node for i, nodes in enumerate(players) if i not in on for node in nodes}
        return run_by_hand(graph, target, off)

    everyone = set(range(len(players)))
    full, empty = worth(everyone), worth(set())
    if abs(full - empty) < 1e-6:
        return {}
    subsets = [set(c) for k in range(1, len(players) + 1) for c in itertools.combinations(everyone, k)]
    moved = [worth(s) - empty if kind == "sufficient" else full - worth(everyone - s) for s in subsets]
    return {frozenset(s): m / (full - empty) for s, m in zip(subsets, moved, strict=True)}


def assert_smallest(
    graph: Graph, target: str, players: list[tuple[str, ...]], kind: str, among: object
) -> None:
    shares = shares_by_hand(graph, target, players, kind)
    if not shares:
        with pytest.raises(UsageError, match="no effect"):
            minimal(graph, target, kind=kind, among=among)
        return
    answer = minimal(graph, target, kind=kind, among=among)
    fit = {one: share for one, share in shares.items() if share >= 0.8 - 1e-6}
    names = {nodes if among is None else f"player {i}": i for i, nodes in enumerate(players)}
    chosen = frozenset(names[(one,) if among is None else one] for one in answer.meta["members"])
    assert chosen in fit
    assert len(chosen) == min(map(len, fit))
    assert answer.meta["share"] == pytest.approx(fit[chosen], rel=1e-6)
    assert answer.meta["proven"]
    table = answer.tables["set"]
    for member, without in table.select("member", "share without it").iter_rows():
        rest = chosen - {names[(member,) if among is None else member]}
        assert without == pytest.approx(shares.get(rest, 0.0), abs=1e-6)
        assert rest not in fit


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PLANTED)
def test_planted_concepts(name: str, kind: str) -> None:
    """The truth of the design: its table, all else on."""
    made, graph = planted(name)
    players = list(made.concepts.values())
    among = [Concept(f"player {i}", nodes) for i, nodes in enumerate(players)]
    table, count = made.truth.table, len(players)
    full, empty = table[-1], table[0]
    everyone = (1 << count) - 1
    if full == empty:
        with pytest.raises(UsageError, match="no effect"):
            minimal(graph, made.target, kind=kind, among=among)
        return
    shares = [
        (table[s] - empty if kind == "sufficient" else full - table[everyone ^ s]) / (full - empty)
        for s in range(1 << count)
    ]
    smallest = min(s.bit_count() for s in range(1, 1 << count) if shares[s] >= 0.8)
    answer = minimal(graph, made.target, kind=kind, among=among)
    chosen = sum(1 << int(one.split()[1]) for one in answer.meta["members"])
    assert shares[chosen] >= 0.8
    assert chosen.bit_count() == smallest
    assert answer.meta["share"] == pytest.approx(shares[chosen], abs=1e-6)
    assert_smallest(graph, made.target, players, kind, among)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PLANTED)
def test_planted_features(name: str, kind: str) -> None:
    made, graph = planted(name)
    reached = {made.target}
    for source, target, _, strength in reversed(list(graph.edges.iter_rows())):
        if target in reached and strength:
            reached.add(source)
    inner = graph.nodes.filter(graph.nodes["kind"].is_in(["feature", "error"]))["node"]
    assert_smallest(graph, made.target, [(node,) for node in inner if node in reached], kind, None)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(KINDS), st.sampled_from([0.5, 0.8, 0.95]))
def test_no_member_can_be_dropped_and_none_smaller_was_overlooked(seed: int, kind: str, share: float) -> None:
    """More players than all sets can be tried of; what is said of them holds when tried one by one."""
    graph = random_graph(seed, layers=3, features=8, tokens=2, gates=("relu", "jumprelu"), errors=False)
    target = graph.targets[0]
    try:
        answer = minimal(graph, target, kind=kind, share=share)
    except UsageError:
        assume(False)
        raise
    chosen = set(answer.meta["members"])
    steps = answer.tables["steps"]
    players = set(graph.nodes.filter(kind="feature")["node"])
    full = run_by_hand(graph, target)
    empty = run_by_hand(graph, target, players)

    def reached(members: set[str]) -> float:
        if kind == "sufficient":
            return (run_by_hand(graph, target, players - members) - empty) / (full - empty)
        return (full - run_by_hand(graph, target, members)) / (full - empty)

    assert steps["value"].to_list()[:2] == pytest.approx([full, empty], abs=1e-9)
    assert reached(chosen) == pytest.approx(answer.meta["share"], abs=1e-6)
    assert reached(chosen) >= share - 2e-6
    without = dict(answer.tables["set"].select("member", "share without it").iter_rows())
    assert set(without) == chosen
    for member in chosen:
        assert reached(chosen - {member}) == pytest.approx(without[member], abs=1e-6)
        assert len(chosen) == 1 or without[member] < share
    if answer.meta["proven"] and len(chosen) <= 3:
        for size in range(1, len(chosen)):
            assert all(reached(set(some)) < share for some in itertools.combinations(sorted(players), size))


def test_a_set_that_no_other_contains_is_found_by_trying_all_smaller() -> None:
    """Features hold each other back: by influence several come first, yet a weaker one alone may do."""
    for seed in range(40):
        graph = random_graph(seed, layers=3, features=8, tokens=2, errors=False)
        target = graph.targets[0]
        try:
            answer = minimal(graph, target, share=0.6)
        except UsageError:
            continue
        players = graph.nodes.filter(kind="feature")["node"].to_list()
        full, empty = run_by_hand(graph, target), run_by_hand(graph, target, set(players))
        alone = [run_by_hand(graph, target, set(players) - {p}) for p in players]
        single = max((value - empty) / (full - empty) for value in alone)
        assert (len(answer.meta["members"]) == 1) == (single >= 0.6)


def test_what_is_said_stands_in_the_tables() -> None:
    graph = sample_graph()
    answer = minimal(graph, "Mary", share=0.5, kind="necessary")
    table = answer.tables["set"]
    text = " ".join(answer.finding)
    assert f"{len(table)} of " in text or "One of" in text
    assert json.dumps(answer.to_dict(), allow_nan=False)
    compile(answer.code, "code", "exec")
    assert set(table["member"]) <= set(answer.highlight.nodes["node"])
    assert np.isclose(answer.tables["steps"]["share"][2], answer.meta["share"])
    assert "SET" in str(answer)


@pytest.mark.parametrize(
    ("more", "error", "match"),
    [
        ({"share": 0}, UsageError, "0 is no share"),
        ({"share": float("nan")}, UsageError, "nan is no share"),
        ({"kind": "enough"}, UsageError, "'enough' is no kind"),
        ({"target": "tok@1"}, UsageError, "nothing flows into it"),
        ({"target": "logit:Marie"}, NotFound, "Marie"),
        ({"among": ["tok@1", "tok@1"]}, UsageError, "Two concepts|overlap"),
        ({"among": ["logit:Mary"]}, UsageError, "target"),
        ({"among": []}, UsageError, "No concept to choose among"),
        ({"share": 40.0}, UsageError, "the most seen was"),
    ],
)
def test_sets_that_cannot_be_found(more: dict, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        minimal(sample_graph(), **{"target": "logit:Mary", **more})
