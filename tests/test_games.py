"""Games: what is asked and how often, which coalitions are drawn, exact tables, graphs as games."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import gate
from strategies import random_graph

from circuits.engine.games.design import Design, check_budget, design, ends, minimum
from circuits.engine.games.estimate import interactions
from circuits.engine.games.game import Game, Gated, coalition
from circuits.engine.games.graph_game import GraphWorth, graph_game
from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.graph.run import Runner

QUIET = settings(max_examples=25, deadline=None)


def count_of(masks: np.ndarray) -> np.ndarray:
    return masks.sum(axis=1) ** 2.0


# --- the game


def test_a_coalition_is_asked_about_once() -> None:
    asked: list[np.ndarray] = []

    def worth(masks: np.ndarray) -> np.ndarray:
        asked.append(masks)
        return count_of(masks)

    game = Game(worth, ["a", "b", "c"], batch=2)
    masks = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
    assert game(masks).tolist() == [1, 4, 1, 9]
    assert game(masks[::-1]).tolist() == [9, 1, 4, 1]
    assert [len(part) for part in asked] == [2, 1]  # three different ones, two at once
    assert game.evaluations == 3
    assert game.table().tolist() == [0, 1, 1, 4, 1, 4, 4, 9]
    assert game.evaluations == 8


@given(st.integers(1, 6), st.integers(0, 30), st.integers(0, 2**16))
@QUIET
def test_the_budget_of_a_game_is_never_exceeded(players: int, budget: int, seed: int) -> None:
    seen: set[bytes] = set()

    def worth(masks: np.ndarray) -> np.ndarray:
        seen.update(row.tobytes() for row in masks)
        return count_of(masks)

    game = Game(worth, [f"p{i}" for i in range(players)], budget=budget, batch=3)
    rng = np.random.default_rng(seed)
    for _ in range(8):
        masks = rng.random((6, players)) < 0.5
        new = {row.tobytes() for row in masks} - seen
        if len(seen) + len(new) > budget:
            with pytest.raises(UsageError, match=f"more than the budget of {budget}"):
                game(masks)
        else:
            assert np.array_equal(game(masks), count_of(masks))
        assert len(seen) == game.evaluations <= budget


@pytest.mark.parametrize(
    ("worth", "sentence"),
    [
        (lambda masks: np.where(masks.all(axis=1), np.nan, 1.0), r"worth of \{a, b\} is nan"),
        (lambda masks: np.where(masks.any(axis=1), 1.0, -np.inf), "worth of no player at all is -inf"),
        (lambda masks: np.ones((len(masks), 2)), r"shape \(4, 2\) for 4 coalitions instead of \(4,\)"),
        (lambda masks: "much", "gave str instead of one number a coalition"),
        (lambda masks: 1.0, r"shape \(\) for 4 coalitions"),
    ],
)
def test_a_worth_that_is_not_a_finite_number_a_coalition_is_refused(worth: object, sentence: str) -> None:
    game = Game(worth, ["a", "b"])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence):
        game(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool))
    with pytest.raises(UsageError, match=sentence):
        interactions(worth, ["a", "b"])  # type: ignore[arg-type]


def test_senseless_players_and_masks_are_refused() -> None:
    with pytest.raises(UsageError, match="without players"):
        Game(count_of, [])
    with pytest.raises(UsageError, match="Player b is named more than once"):
        Game(count_of, ["a", "b", "b"])
    with pytest.raises(UsageError, match=r"shape \(1, 3\) instead of \(coalitions, 2\)"):
        Game(count_of, ["a", "b"])(np.ones((1, 3), bool))
    with pytest.raises(UsageError, match="Players are missing"):
        interactions(count_of)
    mask = np.arange(9) != 8
    assert coalition("abcdefghi", mask) == "{a, b, c, d, e, f and 2 more}"


# --- the design


@given(st.integers(1, 12), st.integers(2, 5000), st.integers(0, 2**16))
@QUIET
def test_a_design_keeps_to_its_budget_and_holds_every_size(players: int, budget: int, seed: int) -> None:
    budget = max(budget, min(2 * (players + 1), 2**players))
    drawn = design(players, budget, seed)
    assert budget - 1 <= len(drawn.masks) <= budget or drawn.whole
    assert len(np.unique(drawn.masks, axis=0)) == len(drawn.masks)
    assert set(drawn.sizes) == set(range(players + 1))
    assert drawn.whole == (budget >= 2**players) == (len(drawn.masks) == 2**players)
    order = np.argsort(drawn.unit, kind="stable")
    first, second = drawn.masks[order[::2]], drawn.masks[order[1::2]]
    assert np.array_equal(first, ~second)
    for size in range(players + 1):
        here = (drawn.sizes == size).sum()
        assert drawn.portion[size] == here / comb(players, size)
    sampled = [size for size in range(players + 1) if drawn.portion[size] < 1]
    quotas = [(drawn.sizes == size).sum() for size in sampled]
    assert not quotas or max(quotas) - min(quotas) <= players + 2  # equal, but for what is left over
    again = design(players, budget, seed)
    assert np.array_equal(again.masks, drawn.masks)


def test_a_large_design_is_drawn_too() -> None:
    drawn = design(300, 2000)
    assert len(drawn.masks) <= 2000
    assert len(np.unique(drawn.masks, axis=0)) == len(drawn.masks)
    assert not np.array_equal(design(300, 2000, 1).masks, drawn.masks)


def mean_over_sizes(drawn: Design, values: np.ndarray) -> float:
    return float(drawn.weights @ values)


def test_the_weights_give_the_mean_over_sizes_exactly_where_sizes_are_whole() -> None:
    """A worth that is 0 on all sizes that are not whole has its exact mean, whatever was drawn."""
    players, rng = 9, np.random.default_rng(0)
    drawn = design(players, 120)
    whole = drawn.portion == 1
    assert whole.sum() == 4
    assert abs(drawn.weights.sum() - 1) < 1e-12
    table = rng.normal(size=2**players)
    every = design(players, 2**players)
    number = 1 << np.arange(players)
    exact = np.mean(
        [table[every.masks @ number][every.sizes == s].mean() if whole[s] else 0 for s in range(players + 1)]
    )
    assert mean_over_sizes(drawn, np.where(whole[drawn.sizes], table[drawn.masks @ number], 0)) == (
        pytest.approx(exact, abs=1e-12)
    )
    # a player takes part in half of a coalition and its complement, and sizes are symmetric
    for player in range(players):
        assert mean_over_sizes(drawn, drawn.masks[:, player] * 1.0) == pytest.approx(0.5, abs=1e-12)


def test_minimum_budgets_are_said_with_their_number() -> None:
    assert (minimum(20, 2), minimum(20, 3), minimum(3, 2)) == (80, 120, 8)
    assert minimum(20, 2, "Moebius") == minimum(20, 2, "Co-Moebius") == 1 + 20 + 190 + 1
    check_budget(20, 2, "SII", 80)
    with pytest.raises(UsageError, match="79 evaluations are too few for SII of order 2 among 20 players"):
        check_budget(20, 2, "SII", 79)
    with pytest.raises(UsageError, match="budget of at least 80"):
        interactions(count_of, [f"p{i}" for i in range(20)], index="SII", budget=79)
    with pytest.raises(UsageError, match=r"Order 4 is larger than the 3 players"):
        interactions(count_of, ["a", "b", "c"], order=4)
    with pytest.raises(UsageError, match="5 coalitions of 5 players: give 12 or more"):
        design(5, 5)


def test_the_ends_are_what_moebius_values_are_made_of() -> None:
    small, large = ends(5, 2, "Moebius"), ends(5, 2, "Co-Moebius")
    assert sorted(small.sizes) == [0] + [1] * 5 + [2] * 10
    assert sorted(large.sizes) == [3] * 10 + [4] * 5 + [5]


# --- exact tables


def test_a_users_function_goes_through_in_three_lines() -> None:
    found = interactions(lambda masks: 3.0 * masks[:, :2].all(axis=1) - masks[:, 2], ["a", "b", "c"])
    assert found.exact
    assert found["b", "a"].value == pytest.approx(3)
    assert (found["c"].value, found["a", "c"].value) == (pytest.approx(-1), pytest.approx(0))
    assert str(found).splitlines()[0] == (
        "k-SII of 3 players, all 8 coalitions: worth 0 of nobody, 2 of everybody"
    )
    assert "  a + b  +3" in str(found)
    assert found.frame()["members"].to_list()[3] == ["a", "b"]
    with pytest.raises(NotFound, match=r"No player 'cc' in this game\. Did you mean 'c'"):
        found["cc"]
    with pytest.raises(NotFound, match="No interaction of a, b, c was computed: orders 1, 2 are held"):
        found["a", "b", "c"]
    with pytest.raises(UsageError, match="named twice"):
        found["a", "a"]


@pytest.mark.parametrize(("index", "total"), [("k-SII", True), ("STII", True), ("SII", False)])
def test_efficient_indices_add_up_to_what_everybody_adds(index: str, total: bool) -> None:
    table = np.random.default_rng(0).normal(size=2**6)
    number = 1 << np.arange(6)
    found = interactions(lambda masks: table[masks @ number], list("abcdef"), index=index, order=3)
    gap = sum(held.value.sum() for held in found.orders.values()) - (found.full - found.empty)
    assert (abs(gap) < 1e-10) == total
    assert (found.empty, found.full) == (table[0], table[-1])


# --- graphs as games


def literal_values(graph: Graph, off: set[str]) -> dict[str, float]:
    """DESIGN 2.3, node by node: the pre-activations of features and targets when some nodes are off."""
    incoming: dict[str, list[tuple[str, float]]] = {}
    for s, t, _, strength in graph.edges.cast({"source": str, "target": str}).iter_rows():
        incoming.setdefault(t, []).append((s, strength))
    now: dict[str, float] = {}
    z: dict[str, float] = {}
    for node in graph.nodes.iter_rows(named=True):
        name, on = node["node"], node["node"] not in off
        now[name] = on * node["activation"]
        if node["expanded"]:
            z[name] = sum(strength * now[s] for s, strength in incoming.get(name, []))
            if node["kind"] == "feature":
                now[name] = on * gate(node["gate"], z[name], node["threshold"] or 0.0)
    return z


PLAYERS = ["tok@0", "tok@1", "0/1@1", "1/0@0", "1/2@2", "err0@1"]


def test_a_graph_game_is_the_node_by_node_loop_pre_activations_included() -> None:
    for seed in range(3):
        graph = random_graph(seed, gates=("relu", "jumprelu", "silu"), unexpanded=0.1, rest=True)
        target = graph.targets[1]
        game = graph_game(graph, PLAYERS, target)
        assert isinstance(game.worth, Gated)
        assert game.gates is not None
        assert len(game.gates.names) > 4
        masks = np.random.default_rng(seed).random((9, len(PLAYERS))) < 0.5
        worths, seen = game.observe(masks)
        active = game.gates.activations(masks, seen)
        for row, mask in enumerate(masks):
            off = {name for name, on in zip(PLAYERS, mask, strict=True) if not on}
            z = literal_values(graph, off)
            assert worths[row] == pytest.approx(z[target], abs=1e-9)
            assert np.allclose(seen[row], [z[name] for name in game.gates.names], atol=1e-9)
            for k, name in enumerate(game.gates.names):
                node = graph.nodes.row(graph.row(name), named=True)
                a = gate(node["gate"], z[name], node["threshold"] or 0.0) * (name not in off)
                assert active[row, k] == pytest.approx(a, abs=1e-9)


class Group:
    def __init__(self, name: str, nodes: list[str]) -> None:
        self.name, self.nodes = name, nodes


def test_concepts_are_switched_together_and_others_stay_on() -> None:
    graph = random_graph(3)
    pair = Group("both", ["tok@0", "1/1@1"])
    found = graph_game(graph, [pair, "tok@2"])(np.array([[0, 1], [1, 0], [1, 1]], bool))
    target = graph.targets[0]
    for value, off in zip(found, [{"tok@0", "1/1@1"}, {"tok@2"}, set()], strict=True):
        assert value == pytest.approx(literal_values(graph, off)[target], abs=1e-9)


def test_players_of_a_runner_are_columns_of_its_masks() -> None:
    graph = random_graph(4, gates=("relu", "silu"), unexpanded=0.2, rest=True, dtype=np.float32)
    groups = [[0, 5], [1], [7, 9, 11]]
    masks = np.random.default_rng(0).random((40, 3))  # between on and off, too
    wide = np.ones((40, len(graph.nodes)))
    for player, rows in enumerate(groups):
        wide[:, rows] = masks[:, [player]]
    assert np.allclose(Runner(graph, players=groups, batch=16)(masks), Runner(graph)(wide), atol=1e-5)
    read = set(graph.edges.cast({"target": str}).filter(target=graph.targets[0])["source"])
    features = graph.nodes.filter(pl.col("expanded"), kind="feature")["node"]
    last = max(graph.row(name) for name in features if name in read)
    runner = Runner(graph, targets=graph.targets[:1], players=[[last]])
    assert runner.gates.tolist() == [last]  # nobody moves the others
    with pytest.raises(UsageError, match="in player 0 and in player 1"):
        Runner(graph, players=[[3], [3]])


def test_gains_are_what_a_linear_graph_adds() -> None:
    """With all gates linear, one unit more of an activation adds its gain; a severed gate passes on none."""
    graph = random_graph(6, gates=("linear",), density=1.0)
    worth = GraphWorth(graph, ["tok@0"])
    gains = worth.gains(np.ones(len(worth.gates.names)))
    full = np.ones((1, len(graph.nodes)))
    for k, name in enumerate(worth.gates.names):
        less = full.copy()
        less[0, graph.row(name)] = 0
        lost = Runner(graph)(full)[0, 0] - Runner(graph)(less)[0, 0]
        assert gains[k] * graph.nodes["activation"][graph.row(name)] == pytest.approx(lost, abs=1e-9)
    direct = graph.edges.filter(target=graph.targets[0]).cast({"source": str})
    strength = dict(direct.select("source", "strength").iter_rows())
    severed = worth.gains(np.zeros(len(worth.gates.names)))
    assert np.allclose(severed, [strength[name] for name in worth.gates.names])


def test_players_that_cannot_be_are_refused() -> None:
    graph = random_graph(0, rest=True)
    with pytest.raises(NotFound, match=r"No node 'tok@9'.*Did you mean 'tok@"):
        graph_game(graph, ["tok@9"])
    with pytest.raises(UsageError, match="tok@0 is in player one and in player tok@0"):
        graph_game(graph, [Group("one", ["tok@1", "tok@0"]), "tok@0"])
    with pytest.raises(UsageError, match="bias:own is a constant"):
        graph_game(graph, ["bias:own"])
    with pytest.raises(UsageError, match="is the target itself"):
        graph_game(graph, [graph.targets[0]])
    with pytest.raises(UsageError, match="Player none has no node"):
        graph_game(graph, [Group("none", [])])


@pytest.mark.parametrize(
    ("name", "table", "value"),
    [("and", [0, 0, 0, 1], 1), ("or", [0, 1, 1, 1], -1), ("xor", [0, 1, 1, 0], -2)],
)
def test_gates_of_two_have_the_interaction_of_their_truth_table(
    name: str, table: list[int], value: float
) -> None:
    worths = np.array(table, float)
    found = interactions(
        lambda masks: worths[masks[:, :2] @ np.array([1, 2])], ["a", "b", "dummy"], index="SII"
    )
    assert found["a", "b"].value == pytest.approx(value)
    assert found["dummy"].value == found["a", "dummy"].value == 0
    assert [set(pair) for pair in combinations("ab", 2)] == [{"a", "b"}]
