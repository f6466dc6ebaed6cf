"""The fidelity study measures what it says: rankings, claims, and a network that is the planted one."""

from __future__ import annotations

import importlib
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from literal import run_trace

ANALYSIS = str(Path(__file__).parent.parent / "analysis")


@pytest.fixture(scope="module", autouse=True)
def modules():
    """The scripts import one another by name, as they do when run."""
    sys.path.insert(0, ANALYSIS)
    yield
    sys.path.remove(ANALYSIS)


def load(name):
    return importlib.import_module(f"fidelity_{name}")


def test_precision_is_one_for_a_perfect_ranking_and_none_for_a_random_one():
    found = load("measures").average_precision
    positive = np.array([True, False, True, False, False, False, False, False])
    assert found(np.where(positive, 2.0, 1.0), positive) == pytest.approx(1)
    assert found(np.ones(8), positive) == pytest.approx(0)
    assert found(np.where(positive, 0.0, 1.0), positive) < -0.2
    rng = np.random.default_rng(0)
    assert abs(np.mean([found(rng.random(8), positive, seed) for seed in range(400)])) < 0.04
    assert np.isnan(found(np.ones(3), np.ones(3, bool)))


def test_precision_agrees_with_its_definition_over_all_orders_of_equal_scores():
    measures = load("measures")
    positive = np.array([True, False, True, False])
    scores = np.array([1.0, 1.0, 0.5, 0.2])  # the first two in either order
    one, other = 0.5 * (1 / 1 + 2 / 3), 0.5 * (1 / 2 + 2 / 3)
    orders = [np.array(order) for order in permutations(range(4))]
    chance = np.mean([measures._precision(positive[order]) for order in orders])
    by_hand = ((one + other) / 2 - chance) / (1 - chance)
    many = np.mean([measures.average_precision(scores, positive, seed) for seed in range(200)])
    assert many == pytest.approx(by_hand, abs=0.03)


def test_a_claim_is_right_with_the_same_players_the_same_sign_and_a_close_value():
    compare = load("measures").compare
    known = {frozenset("ab"): 1.0, frozenset("bc"): -2.0}
    claimed = {frozenset("ab"): 1.09, frozenset("bc"): 2.0, frozenset("ac"): 1.0}
    counts = compare(claimed, known)
    assert (counts.right, counts.wrong, counts.missed) == (1, 2, 1)
    assert counts.f1 == pytest.approx(2 / 5)
    assert compare({frozenset("ab"): 1.11}, known).right == 0
    assert np.isnan(compare({}, {}).f1)
    assert (counts + counts).wrong == 4


@pytest.mark.parametrize(
    "name", ["majority", "and-jumprelu", "or-dormant", "across-positions", "cross-layer"]
)
def test_the_network_is_the_planted_one(name):
    subject = load("net").Subject.of(name, 1, 3, 0.05)
    rng = np.random.default_rng(2)
    for _ in range(6):
        off = [feature for feature in subject.features if rng.random() < 0.4]
        literal = run_trace(subject.planted.trace, dict.fromkeys(off, 0.0)).targets[0]
        assert subject.without([off])[0] == pytest.approx(literal, abs=1e-9)
    slope = dict(zip(subject.net.names, subject.net.slopes(), strict=True))
    feature = subject.planted.names["A"]
    size = subject.net.activation[subject.graph.index[feature]]
    near = run_trace(subject.planted.trace, {feature: 1 - 1e-6}).targets[0]
    moved = (run_trace(subject.planted.trace).targets[0] - near) / (1e-6 * size)
    assert slope[feature] == pytest.approx(moved, abs=1e-4)


def test_the_truth_without_noise_is_what_was_planted_and_with_little_noise_close_to_it():
    net = load("net")
    clean, noisy = (net.Subject.of("and-of-three", 1, 3, noise) for noise in (0.0, 0.002))
    output, inside = clean.truths()
    assert sorted(output.values()) == sorted(inside.values()) == [0.5, 0.5, 0.5, 1.0]
    for near, exact in zip(noisy.truths(), (output, inside), strict=True):
        assert near.keys() == exact.keys()
        assert near != exact
        assert list(near.values()) == pytest.approx(list(exact.values()), abs=0.05)


def test_baselines_see_what_they_can_and_no_more():
    subject = load("net").Subject.of("or-dormant", 0, 4, 0.0)
    judged, ways = load("measures").judged, load("baselines").BASELINES
    said = {name: judged(subject, ask(subject, 0)) for name, ask in ways.items()}
    # everything is off on the prompt: gradients, influence and single knockouts see nothing at all
    for name in ("gradient × activation", "influence", "single knockout"):
        assert said[name]["nodes"] < 0.1
        assert said[name]["claims"] == 0
    assert said["pairwise knockout"]["gate"] == said["order-2 Möbius"]["gate"] == "or"
    assert said["pairwise knockout"]["output"] == [1, 0, 0]
    # a pair alone cannot tell that three are needed
    three = load("net").Subject.of("and-of-three", 0, 4, 0.0)
    assert judged(three, ways["pairwise knockout"](three, 0))["output"] == [0, 3, 4]
    assert judged(three, ways["order-2 Möbius"](three, 0))["output"] == [0, 0, 4]
