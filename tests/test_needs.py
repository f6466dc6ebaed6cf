"""Needs: verdicts on planted models follow from their truth tables, numbers from the node-by-node loop."""

from __future__ import annotations

import itertools
import json
from functools import lru_cache

import pytest
from hypothesis import given, settings
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
from circuits.query.needs import need, needs


@lru_cache
def planted(name: str) -> tuple[Planted, Graph]:
    made = plant(name)
    return made, attribute(made.trace, (Edges(tolerance=0),))


def verdict(with_it: float, without: float) -> str:
    """The definition, for tables of whole numbers."""
    if with_it == 0:
        return "no" if without else "no effect"
    left = without / with_it
    if left <= -0.2:
        return "reversed"
    return "yes" if left <= 0.2 else "no" if left >= 0.8 else "partly"


PAIRS = [
    (name, pair) for name in PLANTED for pair in itertools.permutations(range(len(plant(name).concepts)), 2)
]


@pytest.mark.parametrize(("name", "pair"), PAIRS)
def test_planted_pairs(name: str, pair: tuple[int, int]) -> None:
    """With everything else on: v(both) − v(only B), against v(only A) − v(neither)."""
    made, graph = planted(name)
    concepts = [Concept(called, nodes) for called, nodes in made.concepts.items()]
    a, b = (1 << i for i in pair)
    rest = (1 << len(concepts)) - 1 - a - b
    v = made.truth.table
    answer = needs(graph, concepts[pair[0]], concepts[pair[1]], target=made.target)
    first, second = answer.tables["needs"].iter_rows(named=True)
    one = (v[rest + a + b] - v[rest + b], v[rest + a] - v[rest])
    other = (v[rest + a + b] - v[rest + a], v[rest + b] - v[rest])
    assert (first["with"], first["without"]) == pytest.approx(one, abs=1e-6)
    assert (second["with"], second["without"]) == pytest.approx(other, abs=1e-6)
    assert answer.meta["verdicts"] == [verdict(*one), verdict(*other)]
    said = {"yes": "needs", "no": "does not need", "no effect": "does nothing", "partly": "in part"}
    assert said.get(first["verdict"], "opposite") in answer.finding[0]


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_concept_needs_the_word_it_reads(name: str) -> None:
    """Without its word it is off, so that what it did is gone; unless it did nothing to begin with."""
    made, graph = planted(name)
    for called, (node,) in made.concepts.items():
        word = f"tok@{node.rpartition('@')[2]}"
        effect = run_by_hand(graph, made.target) - run_by_hand(graph, made.target, {node})
        answer = needs(graph, Concept(called, (node,)), word, target=made.target)
        assert answer.meta["verdicts"][0] == ("yes" if abs(effect) > 1e-9 else "no effect")
        found = needs(graph, Concept(called, (node,)), target=made.target)
        table = found.tables["needs"].filter(needs=f'the word "{made.trace.prompt.tokens[int(word[4:])]}"')
        assert table["verdict"].to_list() == ["yes" if abs(effect) > 1e-9 else "no effect"]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100))
def test_effects_are_those_of_the_loop(seed: int) -> None:
    graph = random_graph(seed, gates=("relu", "jumprelu", "linear"))
    target = graph.targets[0]
    inner = graph.nodes.filter(kind="feature")["node"].to_list()
    a, b = inner[seed % len(inner)], graph.nodes["node"][seed % 3]
    answer = needs(graph, a, b, target=target)

    def worth(*off: str) -> float:
        return run_by_hand(graph, target, set(off))

    first, second = answer.tables["needs"].iter_rows(named=True)
    floor = 1e-3 * 10
    for row, wanted in (
        (first, (worth() - worth(a), worth(b) - worth(a, b))),
        (second, (worth() - worth(b), worth(a) - worth(a, b))),
    ):
        assert row["without"] == pytest.approx(wanted[1], abs=1e-9)
        assert row["with"] == pytest.approx(wanted[0], abs=1e-9) or abs(wanted[0]) < floor
    truth = dict(answer.tables["truth"].select("off", "here").iter_rows())
    assert truth["nothing"] == pytest.approx(worth(), abs=1e-9)
    assert truth[f"{a} and {b}"] == pytest.approx(worth(a, b), abs=1e-9)


@pytest.mark.parametrize(
    ("with_it", "without", "wanted"),
    [
        (1.0, 0.0, "yes"), (1.0, 0.2, "yes"), (1.0, 0.21, "partly"), (1.0, 0.79, "partly"), (1.0, 0.8, "no"),
        (1.0, 3.0, "no"), (-2.0, -0.1, "yes"), (1.0, -0.1, "yes"), (1.0, -0.3, "reversed"),
        (-1.0, 1.0, "reversed"), (0.0, 0.0, "no effect"), (1e-4, 1e-4, "no effect"), (1e-4, 1.0, "no"),
    ],
)  # fmt: skip
def test_thresholds(with_it: float, without: float, wanted: str) -> None:
    assert need("a", "b", with_it, without, 1.0).verdict == wanted


def test_what_is_needed_most_comes_first_and_all_are_evaluated() -> None:
    graph = sample_graph()
    target, a = "logit:Mary", "24/1042@13"
    answer = needs(graph, a, target=target)
    table = answer.tables["needs"]
    assert table["kept"].drop_nulls().is_sorted()
    base = run_by_hand(graph, target) - run_by_hand(graph, target, {a})
    assert table["with"].to_list() == pytest.approx([base] * len(table), rel=1e-5)
    words = table.filter(table["needs"].str.starts_with("the word"))
    assert len(words) == len(graph.nodes.filter(kind="token"))
    for name, kept in words.select("needs", "kept").iter_rows():
        place = [p for p in range(14) if answer_word(p) == name]
        off = {f"tok@{place[0]}"}
        left = run_by_hand(graph, target, off) - run_by_hand(graph, target, off | {a})
        assert kept == pytest.approx(left / base, rel=1e-4)
    assert str(table["needs"][0]) in answer.finding[0]


def answer_word(position: int) -> str:
    from circuits.query.text import Naming

    return f"the word {Naming.of(sample_graph()).token(position)}"


def test_an_answer_prints_and_its_code_compiles() -> None:
    answer = needs(sample_graph(), "24/1042@13", 'token:" John"', target="Mary")
    assert json.dumps(answer.to_dict(), allow_nan=False)
    compile(answer.code, "code", "exec")
    assert "circuits.needs(graph, '24/1042@13', 'token:\" John\"', target='Mary')" in answer.code
    assert all(part in str(answer) for part in ("NEEDS", "TRUTH"))
    assert "backgrounds" in " ".join(answer.finding)


@pytest.mark.parametrize(
    ("a", "b", "target", "error", "match"),
    [
        ("24/1042@13", "24/1042@13", "logit:Mary", UsageError, "Two concepts are called"),
        ("pos:13", "24/1042@13", "logit:Mary", UsageError, "overlap in 24/1042@13"),
        ("24/1042@13", "nothing such", "logit:Mary", NotFound, "nothing such"),
        ("24/1043@13", None, "logit:Mary", NotFound, "24/1042@13"),
        ("24/1042@13", "logit:Mary", "logit:Mary", UsageError, "target"),
        ("24/1042@13", "tok@1", "tok@3", UsageError, "nothing flows into it"),
    ],
)
def test_needs_that_cannot_be_asked(a: str, b: str | None, target: str, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        needs(sample_graph(), a, b, target=target)
