"""Gated neurons: the product of what feeds the gate and what feeds the value, against enumeration."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from literal import gate
from literal_gates import all_of_order

from circuits.engine.enumeration import all_coalitions, exact_interactions
from circuits.engine.gates.columns import Nodes
from circuits.engine.gates.found import Wanted
from circuits.engine.gates.games import GateGames
from circuits.engine.gates.lattice import lattice
from circuits.engine.gates.product_columns import (
    Factor,
    product_columns,
    product_sets,
    strongest_products,
)
from circuits.engine.gates.product_units import moving
from circuits.engine.gates.products import ProductGames, held_pairs, strongest_held
from circuits.engine.indices import INDICES


def drawn(seed: int, n: int, act: str = "silu", *, held: bool = False) -> ProductGames:
    rng = np.random.default_rng(seed)
    g, u = rng.normal(size=n), rng.normal(size=n)
    g[:: max(2, n // 3)] = 0  # some feed the value alone
    u[1 :: max(2, n // 3)] = 0  # some the gate alone
    bias, value_bias = np.array([0.3 - g.sum() / 2]), np.array([0.7])
    gates = GateGames.of(act, [g], bias)
    ratio = gates.worth(gates.total) / gates.total if held else None
    return ProductGames(gates, u[None], value_bias, ratio)


def worths(game: ProductGames) -> np.ndarray:
    g, u = game.gate.inputs[0], game.value[0]
    found = []
    for s in range(1 << len(g)):
        inside = [i for i in range(len(g)) if s >> i & 1]
        z = float(game.gate.bias[0]) + sum(g[i] for i in inside)
        v = float(game.value_bias[0]) + sum(u[i] for i in inside)
        found.append((float(game.held[0]) * z if game.held is not None else gate(game.gate.gate, z, 0.0)) * v)
    return np.array(found)


@pytest.mark.parametrize("index", INDICES)
def test_a_held_gate_is_bilinear_whatever_the_index(index: str) -> None:
    games = drawn(1, 7, held=True)
    table = worths(games)
    pairs = np.array(list(combinations(range(7), 2)))
    np.testing.assert_allclose(
        held_pairs(games)[0][tuple(pairs.T)], all_of_order(table, 2, index), atol=1e-12
    )
    np.testing.assert_allclose(all_of_order(table, 3, index), 0, atol=1e-12)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("act", ["silu", "gelu", "relu"])
def test_a_moving_gate_against_every_coalition(act: str, index: str) -> None:
    games = drawn(2, 8, act)
    series, factor = lattice(games.gate, 2048, rounded=False), Factor(games.value, games.value_bias)
    table = worths(games)
    near = 2e-3 if act == "relu" else 1e-5
    for order in (2, 3):
        sets = np.array(list(combinations(range(8), order)))
        found = product_columns(series, factor, Nodes.of(index, order, 8, None), double=True, share=1e-13)
        values = product_sets(series, factor, found, sets[None], double=True)[0]
        wanted = all_of_order(table, order, index)
        np.testing.assert_allclose(values, wanted, atol=near * np.abs(table).max())


def test_searching_finds_the_strongest_of_a_held_and_of_a_moving_gate() -> None:
    n, index = 9, "SII"
    held, live = drawn(3, n, held=True), drawn(3, n)
    pairs = np.array(list(combinations(range(n), 2)))
    for games in (held, live):
        exact = all_of_order(worths(games), 2, index)
        if games is held:
            found = strongest_held(games, 5, np.zeros(1))[0]
        else:
            series, factor = lattice(games.gate, 2048, rounded=False), Factor(games.value, games.value_bias)
            columns = product_columns(series, factor, Nodes.of(index, 2, n, None))
            found = strongest_products(series, factor, columns, 5, np.zeros(1))[0]
        best = np.argsort(-np.abs(exact))[:5]
        np.testing.assert_allclose(found.value, exact[best], rtol=1e-4, atol=1e-5)
        assert found.members.tolist() == pairs[best].tolist()


def test_a_wide_held_gate_is_searched_without_forming_all_pairs() -> None:
    rng = np.random.default_rng(0)
    g, u = rng.standard_t(2, (2, 900))
    games = ProductGames(GateGames.of("silu", [g], [0.1]), u[None], np.array([0.2]), np.array([-0.4]))
    every = held_pairs(games)[0][np.triu_indices(900, 1)]
    found = strongest_held(games, 30, np.zeros(1))[0]
    np.testing.assert_allclose(np.abs(found.value), np.sort(np.abs(every))[::-1][:30])
    assert found.evaluated < len(every) / 2
    floor = np.sort(np.abs(every))[-200]
    assert len(strongest_held(games, None, np.array([floor]))[0].value) == 200


@pytest.mark.parametrize("held", [False, True])
def test_truth_tables_of_a_product(held: bool) -> None:
    games = drawn(5, 6, held=held)
    table = worths(games)
    members = (4, 1)
    on, off = (games.truth_tables(np.array([[members]]), others=o)[0, 0] for o in (True, False))
    for s in range(4):
        inside = sum(1 << m for k, m in enumerate(members) if s >> k & 1)
        rest = sum(1 << i for i in range(6) if i not in members)
        assert on[s] == pytest.approx(table[inside | rest])
        assert off[s] == pytest.approx(table[inside])


@pytest.mark.parametrize("act", ["silu", "gelu_tanh"])
def test_the_stated_error_of_a_moving_gate_holds(act: str) -> None:
    """Just so many players that the columns are used, and just so few that they can be enumerated."""
    n = 17
    rng = np.random.default_rng(4)
    g, u = rng.laplace(size=(2, n))
    games = ProductGames(GateGames.of(act, [g], [0.2 - g.sum() / 2]), u[None], np.array([-0.3]))
    masks = all_coalitions(n)
    worth = games.worth(games.gate.bias[:, None] + masks @ g, games.value_bias[:, None] + masks @ u)[0]
    found = moving(games.padded(32), Wanted("SII", order=3, top=12))[0]
    for order, kept in found.items():
        exact = exact_interactions(worth, "SII", order)
        wanted = np.array([exact[members] for members in kept.members.tolist()])
        assert len(wanted) == 12
        assert (np.abs(kept.value - wanted) <= kept.error).all()
        assert 0 < kept.error < 0.02 * np.abs(wanted).max()
