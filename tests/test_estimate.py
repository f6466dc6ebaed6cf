"""Estimated interactions: unbiased residuals, closed forms, left-out errors, gates, intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_games import interaction, n_shapley, tabled
from strategies import random_graph

from circuits.engine.enumeration import all_coalitions
from circuits.engine.games.adjusted import adjusted
from circuits.engine.games.design import Design, design
from circuits.engine.games.estimate import interactions, learn
from circuits.engine.games.game import Game
from circuits.engine.games.graph_game import GraphWorth
from circuits.engine.games.kernel import Kernel
from circuits.engine.games.kernel import learn as learn_kernel
from circuits.engine.games.mediate import curves
from circuits.engine.games.memory import check_memory, needed
from circuits.engine.games.network import chosen, fit_network
from circuits.engine.games.residual import sampled
from circuits.engine.games.ridge import ridge
from circuits.engine.games.sets import every, grown
from circuits.engine.games.surrogate import Seen, best, split
from circuits.engine.games.table import Order
from circuits.errors import UsageError

INDICES = ("SII", "BII", "STII", "FSII", "CHII", "Moebius", "Co-Moebius")


def number(masks: np.ndarray) -> np.ndarray:
    return masks @ (1 << np.arange(masks.shape[1]))


def gate_net(seed: int, players: int, gates: int = 8) -> np.ndarray:
    """The worths of all coalitions of a layer of ReLU and jumping gates."""
    rng = np.random.default_rng(seed)
    x = all_coalitions(players).astype(float)
    z = x @ rng.laplace(size=(players, gates))
    z -= np.quantile(z, 0.5, axis=0)
    a = np.where(z > np.where(np.arange(gates) % 2, 0, z.std(axis=0) / 3), z, 0)
    return np.asarray(a @ rng.normal(size=gates) + x @ rng.normal(size=players))


def names(players: int) -> list[str]:
    return [f"p{i}" for i in range(players)]


def in_order(held: Order, like: Order) -> np.ndarray:
    """The values of one order, its sets in the order of another table's."""
    value = {tuple(row): v for row, v in zip(held.sets, held.value, strict=True)}
    return np.array([value[tuple(row)] for row in like.sets])


# --- the unbiased part


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_from_all_coalitions_it_is_the_definition(index: str, order: int) -> None:
    players = 6
    table = np.random.default_rng(order).normal(size=2**players)
    whole = design(players, 2**players)
    sets = every(players, order)
    found = sampled(whole, table[number(whole.masks)], index, sets)
    wanted = [interaction(tabled(table), players, index, map(int, row)) for row in sets]
    assert np.allclose(found.value, wanted, atol=1e-12)
    assert (found.variance == 0).all()


def test_lower_orders_of_k_sii_depend_on_the_top_one() -> None:
    players = 6
    table = np.random.default_rng(0).normal(size=2**players)
    whole = design(players, 2**players)
    for top in (2, 3):
        for order in range(1, top + 1):
            sets = every(players, order)
            found = sampled(whole, table[number(whole.masks)], "k-SII", sets, top).value
            wanted = [n_shapley(tabled(table), players, top, map(int, row)) for row in sets]
            assert np.allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(("index", "order"), [("SII", 2), ("SII", 3), ("FSII", 2), ("BII", 2)])
def test_sampled_residuals_are_unbiased_and_know_their_variance(index: str, order: int) -> None:
    players, seeds = 7, 400
    table = np.random.default_rng(1).normal(size=2**players)
    sets = every(players, order)
    wanted = [interaction(tabled(table), players, index, map(int, row)) for row in sets]
    values, variances = [], []
    for seed in range(seeds):
        drawn = design(players, 70, seed)
        found = sampled(drawn, table[number(drawn.masks)], index, sets)
        values.append(found.value)
        variances.append(found.variance)
    spread = np.std(values, axis=0)
    off = np.abs(np.mean(values, axis=0) - wanted) / (spread / seeds**0.5)
    assert np.sqrt((off**2).mean()) < 1.3  # standard normal, over sets
    assert off.max() < 4
    assert np.mean(variances, axis=0).mean() == pytest.approx((spread**2).mean(), rel=0.1)


# --- closed forms


@pytest.mark.parametrize("index", INDICES)
def test_interactions_of_kernels_are_in_closed_form(index: str) -> None:
    players, rng = 5, np.random.default_rng(2)
    kernel = Kernel(rng.uniform(0.01, 0.9, players), 0.0, 0.0)
    at = all_coalitions(players)[rng.permutation(2**players)[:7]]
    amount = rng.normal(size=7)
    table = kernel.between(all_coalitions(players), at) @ amount
    s, c = 2 * all_coalitions(players)[:, None] - 1, 2 * at[None] - 1
    assert np.allclose(table, (np.prod(1 + kernel.rho * s * c, axis=2) @ amount) / np.prod(1 + kernel.rho))
    for order in (1, 2, 3):
        sets = every(players, order)
        wanted = [interaction(tabled(table), players, index, map(int, row)) for row in sets]
        precise = 1e-7 if index == "BII" else 1e-12  # BII's node stands beside ½
        assert np.allclose(kernel.index(at, amount, index, sets), wanted, atol=precise)


def test_the_kernel_is_learnt_by_its_own_slope() -> None:
    """The likeliest ρ of a worth that only one player moves lets nobody else matter."""
    masks = design(6, 40).masks
    worths = masks[:, 2] * 1.0 + 0.3 * masks[:, 2] * masks[:, 4]
    weights = np.full(len(masks), 1 / len(masks))
    kernel = learn_kernel(masks, worths, weights, np.zeros((len(masks), 0)))
    assert kernel.gates == 0
    assert set(np.argsort(-kernel.rho)[:2]) == {2, 4}
    assert kernel.rho[[0, 1, 3, 5]].max() < 0.02 < kernel.rho[[2, 4]].min()


# --- the regression


def refit(x: np.ndarray, y: np.ndarray, drawn: Design, noise: float, rows: np.ndarray) -> np.ndarray:
    weight = drawn.weights * len(y)
    gram = (x[rows] * weight[rows, None]).T @ x[rows] + noise * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(gram, (x[rows] * weight[rows, None]).T @ y[rows]))


def test_left_out_errors_are_those_of_a_regression_without_them() -> None:
    drawn = design(7, 76)
    fold = split(drawn, 0)
    assert set(fold) == {-1, *range(8)}
    assert ((fold < 0) == (drawn.portion[drawn.sizes] == 1)).all()
    for part in range(8):  # complements together, every size in every fold
        here = fold == part
        assert set(drawn.sizes[here]) == set(np.flatnonzero(drawn.portion < 1))
        assert not set(drawn.unit[here]) & set(drawn.unit[~here])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(len(drawn.masks), 9)), rng.normal(size=len(drawn.masks))
    y -= drawn.weights @ y
    fit = ridge(x, y, drawn, 0.3, fold)
    less = []
    for part in range(8):
        b = refit(x, y, drawn, 0.3, np.flatnonzero(fold != part))
        here = (fold == part) | (fold < 0)
        assert np.allclose(fit.left[part, here], (y - x @ b)[here])
        assert np.isnan(fit.left[part, ~here]).all()
        less.append(b)
    assert np.allclose(fit.coefficients, np.mean(less, axis=0))


# --- gates found again


def two_layers() -> tuple[GraphWorth, list[str]]:
    graph = random_graph(5, tokens=6, layers=3, features=6, gates=("relu", "jumprelu"), density=0.8)
    players = [f"tok@{p}" for p in range(6)] + [f"err0@{p}" for p in range(3)] + ["0/1@1", "1/2@2"]
    return GraphWorth(graph, players), players


def test_a_network_fitted_to_what_was_seen_is_the_circuit_itself() -> None:
    worth, players = two_layers()
    every_one = all_coalitions(len(players))
    worths, now = worth.observe(every_one)
    bent = curves(worth, every_one, now, np.full(len(now), 1 / len(now)))
    bent = chosen(bent, worth.gates, np.ones(len(bent.gates)))
    drawn = design(len(players), 150)
    _, seen = worth.observe(drawn.masks)
    assert (np.diff(worth.gates.level[bent.gates]) >= 0).all()
    network = fit_network(worth.gates, bent, drawn.masks, seen, drawn.weights)
    assert np.allclose(network.values(every_one), bent.values(worth.gates, every_one, now), atol=1e-8)
    linear = np.concatenate([np.ones((len(every_one), 1)), every_one], axis=1)
    left = worths - network.values(every_one).sum(axis=1)
    assert np.allclose(left, linear @ np.linalg.lstsq(linear, left, rcond=None)[0], atol=1e-8)


def test_where_gates_are_seen_few_coalitions_are_enough() -> None:
    worth, players = two_layers()
    exact = interactions(Game(worth, players), index="SII", order=3, budget=2 ** len(players))
    found, learnt = learn(Game(worth, players), "SII", 3, 300, 0)
    assert learnt is not None
    assert learnt[1].name == "gates and kernel"
    blind = interactions(Game(worth, players, watch=False), index="SII", order=3, budget=300)
    assert blind.diagnostics["surrogate"] == "kernel"
    for order in (1, 2, 3):
        size = np.linalg.norm(exact.orders[order].value)
        lookup = {
            tuple(s): v for s, v in zip(exact.orders[order].sets, exact.orders[order].value, strict=True)
        }
        wanted = np.array([lookup[tuple(s)] for s in found.orders[order].sets])
        off = np.linalg.norm(found.orders[order].value - wanted)
        assert off < 0.01 * size  # most gates that bend in none of the 300 coalitions are foreseen
        assert 5 * off < np.linalg.norm(blind.orders[order].value - wanted) < 0.7 * size


# --- estimates


def test_intervals_hold_their_values() -> None:
    """95% intervals over games and sets, hardly fewer from few coalitions, and not much too wide."""
    players, inside, widths = 9, [], []
    for seed in range(24):
        table = gate_net(seed, players)
        exact = interactions(lambda m, t=table: t[number(m)], names(players))
        found = interactions(lambda m, t=table: t[number(m)], names(players), budget=200, seed=seed)
        assert found.evaluations <= 200
        for order in (1, 2):
            assert [tuple(s) for s in every(players, order)] == [tuple(s) for s in found.orders[order].sets]
            held = found.orders[order]
            wanted = in_order(exact.orders[order], held)
            inside.append(((held.low <= wanted) & (wanted <= held.high)).mean())
            widths.append((held.high - held.low).mean() / 2 / np.sqrt(((held.value - wanted) ** 2).mean()))
    assert 0.93 < np.mean(inside) < 0.995
    assert np.median(widths) < 4


@given(st.integers(4, 8), st.integers(0, 2**8), st.integers(0, 2**16))
@settings(max_examples=12, deadline=None)
def test_budgets_are_kept_and_shrinkage_lies_between_0_and_1(players: int, budget: int, seed: int) -> None:
    table = gate_net(seed % 97, players)
    budget = max(4 * players, budget)
    asked: set[int] = set()

    def worth(masks: np.ndarray) -> np.ndarray:
        asked.update(number(masks).tolist())
        return np.asarray(table[number(masks)])

    found = interactions(worth, names(players), budget=budget, seed=seed)
    assert len(asked) == found.evaluations <= budget
    assert found.exact == (budget >= 2**players)
    if not found.exact:
        assert all(0 <= factor <= 1 for factor in found.diagnostics["shrinkage"].values())
        assert all(
            (held.low <= held.value).all() and (held.value <= held.high).all()
            for held in found.orders.values()
        )


def test_the_residual_makes_the_whole_unbiased() -> None:
    """Over designs, surrogate plus residual is the interaction within 3 standard errors of its mean."""
    players, seeds = 7, 150
    table = gate_net(3, players) + np.random.default_rng(0).normal(size=2**players)  # no surrogate fits noise
    sets = every(players, 2)
    wanted = np.array([interaction(tabled(table), players, "SII", map(int, row)) for row in sets])
    values = []
    for seed in range(seeds):
        drawn = design(players, 60, seed)
        seen = Seen(drawn, table[number(drawn.masks)], np.zeros((len(drawn.masks), 0)), split(drawn, seed))
        values.append(adjusted(seen, best(seen, None, seed), "SII", sets, 2).unbiased)
    off = (np.mean(values, axis=0) - wanted) / (np.std(values, axis=0) / seeds**0.5)
    assert np.sqrt((off**2).mean()) < 1.5
    assert np.abs(off).max() < 3.5


def test_a_seed_gives_the_same_again_and_dummies_have_nothing() -> None:
    def worth(masks: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(masks[:, :5].sum(axis=1) - 2.5, 0) + masks[:, 0] * masks[:, 1])

    first, again, other = (interactions(worth, names(10), budget=300, seed=s) for s in (0, 0, 1))
    assert np.array_equal(first.orders[2].value, again.orders[2].value)
    assert not np.array_equal(first.orders[2].value, other.orders[2].value)
    idle = [first[f"p{i}", f"p{j}"] for i, j in combinations(range(10), 2) if j > 4]
    assert all(abs(one.value) < 0.02 and one.low <= 0 <= one.high for one in idle)
    alike = [first[f"p{i}", f"p{j}"].value for i, j in combinations(range(2, 5), 2)]
    assert np.ptp(alike) < 0.05
    assert first["p0", "p1"].value == pytest.approx(1 + np.mean(alike), abs=0.1)


def test_many_players_larger_sets_are_grown_from_the_strongest() -> None:
    def worth(masks: np.ndarray) -> np.ndarray:
        together = masks[:, [3, 30, 50]].all(axis=1) * 5.0
        return np.asarray(together + masks[:, 3] * masks[:, 30] + masks.sum(axis=1))

    found = interactions(worth, names(64), index="SII", order=3, budget=3000)
    assert len(found.orders[2].value) == 64 * 63 // 2
    assert len(found.orders[3].value) < 5000
    strongest = found.strongest(1, 3)[0]
    assert strongest.members == ("p3", "p30", "p50")
    assert strongest.low < 5 < strongest.high
    assert {one.members for one in found.strongest(3, 2)} == {("p3", "p30"), ("p30", "p50"), ("p3", "p50")}
    with pytest.raises(UsageError, match="k-SII of order 3 adds up all sets of 3 among 64 players"):
        interactions(worth, names(64), index="k-SII", order=3, budget=3000)


def test_grown_sets_share_all_but_one_player() -> None:
    below = np.array([[0, 1], [0, 2], [1, 2], [3, 4]])
    assert grown(6, below, np.array([4.0, 3, 2, 1])).tolist() == [[0, 1, 2]]


def test_what_an_index_can_say_below_its_top_order() -> None:
    table = gate_net(0, 8)

    def worth(masks: np.ndarray) -> np.ndarray:
        return np.asarray(table[number(masks)])

    assert sorted(interactions(worth, names(8), index="FSII", order=2, budget=100).orders) == [2]
    taylor = interactions(worth, names(8), index="STII", order=2, budget=100)
    for i in range(8):  # below the top order STII is the Möbius transform, which single players show
        assert taylor[f"p{i}"].value == pytest.approx(table[1 << i] - table[0], abs=1e-9)
    shapley = interactions(worth, names(8), index="k-SII", order=2, budget=200)
    total = sum(held.value.sum() for held in shapley.orders.values())
    assert total == pytest.approx(table[-1] - table[0], abs=0.15 * np.abs(table).max())


@pytest.mark.parametrize("index", ["Moebius", "Co-Moebius"])
def test_values_at_the_ends_are_exact_from_few_coalitions(index: str) -> None:
    def worth(masks: np.ndarray) -> np.ndarray:
        return np.asarray(2.0 * masks[:, 0] * masks[:, 21] + masks[:, 3] - 1.0 * masks[:, 3] * masks[:, 4])

    found = interactions(worth, names(22), index=index, budget=300)
    assert found.exact
    assert found.evaluations == 1 + 22 + 231 + 1
    assert found["p0", "p21"].value == pytest.approx(2)
    assert found["p3"].value == pytest.approx(1 if index == "Moebius" else 0)


def test_memory_is_estimated_before_anything_is_asked() -> None:
    assert needed(20, 0, 1 << 20) == 68 << 20
    assert needed(200, 100, 8000, 2048) > 8 * 8000 * 2048
    with pytest.raises(UsageError, match=r"60 players with a budget of 1,000,000,000,000 coal"):
        check_memory(60, 0, 10**12)
    with pytest.raises(UsageError, match="lower the budget, or group the players"):
        interactions(lambda masks: masks[:, 0] * 1.0, names(60), budget=10**12)
