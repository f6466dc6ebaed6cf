"""Interactions of one-gate games: every engine against enumeration, and the laws they must obey."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_games import coalition_weight
from literal_gates import all_of_order, worths

from circuits.engine.enumeration import all_coalitions, exact_interactions
from circuits.engine.gates.ablation import ablated_sets, truth_tables
from circuits.engine.gates.choose import Choice, Rule, choose
from circuits.engine.gates.columns import Columns, Nodes, columns, first_order
from circuits.engine.gates.found import Wanted, strongest
from circuits.engine.gates.fourier import fourier
from circuits.engine.gates.games import GateGames
from circuits.engine.gates.lattice import lattice
from circuits.engine.gates.pairs import all_pairs, strongest_pairs
from circuits.engine.gates.series import Series
from circuits.engine.gates.sets import chosen_sets
from circuits.engine.indices import INDICES


def one(gate: str, c: np.ndarray, b: float, threshold: float = 0.0) -> GateGames:
    return GateGames.of(gate, [c], [b], [threshold])


def drawn(seed: int, n: int, gate: str = "relu", *, whole: bool = False) -> GateGames:
    """A game whose kink lies among its coalitions' sums; `whole`: on a grid of whole numbers."""
    rng = np.random.default_rng(seed)
    c = rng.integers(-9, 10, n).astype(float) if whole else rng.laplace(0, 1, n)
    theta = {"relu": 0.0, "gelu": 0.0}.get(gate, 2.25)
    b = -0.5 * c.sum() + theta / 2 + (0.0 if whole else 0.1)
    return one(gate, c, np.floor(b) if whole else b, theta)


def of_order(series: Series, index: str, order: int, *, double: bool = True) -> np.ndarray:
    """All interactions of one order of the first game, in `combinations`' order."""
    n = series.turns.shape[1]
    found = columns(series, Nodes.of(index, order, n, None), double=double, share=1e-13)
    sets = np.array(list(combinations(range(n), order)))
    if order == 1:
        return first_order(series, found, double=double)[0]
    if order == 2:
        return all_pairs(series, found, double=double)[0][tuple(sets.T)]
    return chosen_sets(series, found, sets[None], double=double)[0]


def truth(games: GateGames, index: str, order: int) -> np.ndarray:
    table = worths(games.gate, games.inputs[0], float(games.bias[0]), float(games.threshold[0]))
    return all_of_order(table, order, index)


# -- engines against enumeration ------------------------------------------------------------------------


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("gate", ["relu", "jumprelu", "abstopk"])
def test_the_lattice_is_exact_for_whole_numbers(gate: str, index: str) -> None:
    games = drawn(3, 8, gate, whole=True)
    series = lattice(games, 128, step=1.0)
    # BII's nodes lie 1e-4 beside a half: that square is its error
    near = 1e-6 if index == "BII" else 1e-11
    for order in (1, 2, 3):
        found, wanted = of_order(series, index, order), truth(games, index, order)
        np.testing.assert_allclose(found, wanted, atol=near * np.abs(games.inputs).max())


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize(("gate", "near"), [("relu", 2e-4), ("jumprelu", 2e-3), ("abstopk", 2e-3)])
def test_the_fourier_engine_comes_as_close_as_its_waves_allow(gate: str, near: float, index: str) -> None:
    games = drawn(5, 8, gate, whole=True)
    series = fourier(games, 1024)
    for order in (1, 2, 3):
        found, wanted = of_order(series, index, order), truth(games, index, order)
        np.testing.assert_allclose(found, wanted, atol=near * np.abs(games.inputs).max())


def test_fourteen_players_two_and_three_at_a_time() -> None:
    games = drawn(7, 14, "jumprelu", whole=True)
    for order in (2, 3):
        found, wanted = of_order(lattice(games, 256, step=1.0), "SII", order), truth(games, "SII", order)
        np.testing.assert_allclose(found, wanted, atol=1e-10 * np.abs(wanted).max())


@pytest.mark.parametrize("gate", ["gelu", "gelu_tanh", "silu", "tanh"])
def test_smooth_gates_need_no_rounding(gate: str) -> None:
    games = drawn(2, 8, gate)
    series = lattice(games, 1024, rounded=False)
    for order in (1, 2, 3):
        found, wanted = of_order(series, "SII", order), truth(games, "SII", order)
        np.testing.assert_allclose(found, wanted, atol=2e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("gate", ["relu", "jumprelu"])
def test_rounding_to_the_grid_is_all_the_lattice_loses(gate: str) -> None:
    """The lattice of a game that is not on the grid is exact for the game that was rounded to it."""
    games = drawn(4, 8, gate)
    low, high = games.span
    step = float((high - low)[0]) / 500
    moves = np.round(games.inputs[0] / step)
    rounded = one(gate, moves * step, float(games.bias[0]), float(games.threshold[0]))
    found, wanted = of_order(lattice(games, 1024, step=step), "SII", 2), truth(rounded, "SII", 2)
    np.testing.assert_allclose(found, wanted, atol=1e-11)


def test_a_relu_series_keeps_its_promise() -> None:
    games = drawn(1, 6)
    c, b = games.inputs[0], float(games.bias[0])
    table = worths("relu", c, b, 0.0)
    x = np.array([[s >> i & 1 for i in range(6)] for s in range(64)])
    for terms in (8, 64):
        series = fourier(games, terms)
        turns = x @ series.turns[0]
        wave = np.exp(2j * np.pi * np.multiply.outer(turns, series.harmonics)) @ series.coefficient[0]
        value = x @ series.slope[0] + wave.real
        off = (value - table) - (value - table).mean()
        assert np.ptp(off) <= 2 * series.tail[0]
        assert np.ptp(off) > 0.01 * series.tail[0]


def size_and_sum(c: np.ndarray, b: float, theta: float, pair: tuple[int, int], index: str) -> float:
    """A pair's interaction by counting coalitions of the others by size and (whole-numbered) sum."""
    rest = [int(c[i]) for i in range(len(c)) if i not in pair]
    low = sum(min(x, 0) for x in rest)
    width = sum(abs(x) for x in rest) + 1
    # share[s, x]: of the coalitions of size s, the share whose sum is x + low
    share = np.zeros((len(rest) + 1, width))
    share[0, -low] = 1
    for r, x in enumerate(rest, 1):
        s = np.arange(r + 1)[:, None]
        moved = np.zeros_like(share[: r + 1])
        moved[1:] = np.roll(share[:r], x, axis=1)
        share[: r + 1] = share[: r + 1] * (r - s) / r + moved * s / r
    z = b + low + np.arange(width)
    i, j = (c[p] for p in pair)
    phi = [np.where(z + d > theta, z + d, 0) for d in (0, i, j, i + j)]
    by_size = share @ (phi[3] - phi[1] - phi[2] + phi[0])
    n = len(c)
    counts = np.array([comb(n - 2, s) * coalition_weight(index, n, 2, s) for s in range(n - 1)])
    return float(counts @ by_size)


@pytest.mark.parametrize("gate", ["relu", "jumprelu"])
def test_the_lattice_against_a_count_by_size_and_sum(gate: str) -> None:
    games = drawn(11, 64, gate, whole=True)
    series = lattice(games, 1024, step=1.0)
    for index in ("SII", "FSII", "STII", "CHII"):
        found = columns(series, Nodes.of(index, 2, 64, None), double=True, share=1e-14)
        pairs = all_pairs(series, found, double=True)[0]
        for pair in ((0, 1), (5, 40), (20, 63)):
            wanted = size_and_sum(games.inputs[0], games.bias[0], games.threshold[0], pair, index)
            assert abs(pairs[pair] - wanted) <= 1e-11 * np.abs(pairs).max()


def test_float32_and_few_waves_are_within_the_promised_share() -> None:
    """Relative error 2e-3 at 128 inputs with 64 waves at 12 nodes in float32, whole games as reference."""
    games = drawn(13, 128, whole=True)
    exact = lattice(games, 2048, step=1.0)
    nodes = Nodes.of("SII", 2, 128, None)
    truth = all_pairs(exact, columns(exact, nodes, double=True, share=1e-13), double=True)
    series = fourier(games, 64)
    found = all_pairs(series, columns(series, Nodes.of("SII", 2, 128, 12), share=1e-4))
    assert np.linalg.norm(found - truth) <= 2e-3 * np.linalg.norm(truth)


# -- ablation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gate", ["relu", "jumprelu", "abstopk", "gelu", "tanh"])
@pytest.mark.parametrize("index", ["Moebius", "Co-Moebius"])
@pytest.mark.parametrize("order", [2, 3])
def test_ablations_are_exact(gate: str, index: str, order: int) -> None:
    games = drawn(6, 7, gate)
    sets = np.array(list(combinations(range(7), order)))
    found = ablated_sets(games, sets[None], index)[0]
    np.testing.assert_allclose(found, truth(games, index, order), atol=1e-12)


def test_truth_tables_list_coalitions_by_their_bits() -> None:
    games = one("relu", np.array([1.0, 2.0, 4.0]), -1.5)
    members = np.array([[[2, 0]]])
    # player 2 is bit 1, player 0 is bit 2; player 1 is on
    np.testing.assert_allclose(truth_tables(games, members)[0, 0], [0.5, 4.5, 1.5, 5.5])
    np.testing.assert_allclose(truth_tables(games, members, others=False)[0, 0], [0, 2.5, 0, 3.5])


# -- laws -----------------------------------------------------------------------------------------------

numbers = st.floats(-3, 3).map(lambda x: round(x, 3))
inputs = st.lists(numbers, min_size=3, max_size=9).map(np.array)


def fine(games: GateGames, index: str = "SII") -> np.ndarray:
    """All pairs, of games padded to one number of players so that little is compiled."""
    n = games.players
    series = fourier(games.padded(16), 512)
    found = columns(series, Nodes.of(index, 2, 16, None), double=True, share=1e-13)
    return all_pairs(series, found, double=True)[:, :n, :n]


@given(c=inputs, b=numbers, index=st.sampled_from([i for i in INDICES if i != "BII"]))
@settings(deadline=None, max_examples=30)
def test_relu_pairs_have_the_sign_of_the_product_of_their_inputs(c: np.ndarray, b: float, index: str) -> None:
    games = one("relu", c, b)
    pairs, sign = fine(games, index)[0], np.sign(np.outer(c, c))
    # a wave cut off moves a pair by four times the tail at most
    clear = np.abs(pairs) > 4 * fourier(games, 512).tail[0] + 1e-9
    assert (np.sign(pairs)[clear] == sign[clear]).all()


def test_a_jump_may_turn_the_sign_and_is_reported_as_it_is() -> None:
    games = one("jumprelu", np.array([1.0, 1.0, 0.5]), 0.0, 0.9)  # either of two is enough
    wanted = truth(games, "SII", 2)
    assert wanted[0] < 0
    found = strongest(games, choose("jumprelu", 3, "SII"), Wanted("SII"))[0][2]
    assert dict(zip(map(tuple, found.members.tolist()), found.value, strict=True))[0, 1] == pytest.approx(
        wanted[0]
    )


@pytest.mark.parametrize("gate", ["relu", "jumprelu", "topk", "abstopk"])
def test_a_gate_that_never_nears_its_kink_has_no_interactions(gate: str) -> None:
    c = np.array([1.0, -2.0, 0.5, 1.5])
    on, off = one(gate, c, 4.0, 1.0 if gate != "relu" else 0.0), one(gate, c, -3.5, 0.5)
    crossing = one(gate, c, 0.0, 0.0 if gate == "relu" else 1.0)
    assert on.settled().all()
    assert truth(on, "SII", 2) == pytest.approx(0, abs=1e-12)
    assert not crossing.settled().any()
    assert off.settled().all() == (gate != "abstopk")
    assert np.abs(truth(crossing, "SII", 2)).max() > 0.1


@given(c=inputs, b=numbers, by=st.floats(0.1, 10))
@settings(deadline=None, max_examples=20)
def test_scaling_everything_scales_every_pair(c: np.ndarray, b: float, by: float) -> None:
    for gate, theta in (("relu", 0.0), ("jumprelu", 0.7)):
        a, scaled = fine(one(gate, c, b, theta)), fine(one(gate, by * c, by * b, by * theta))
        np.testing.assert_allclose(scaled, by * a, atol=1e-9 * by)


@given(c=inputs, b=numbers, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=20)
def test_players_are_only_what_they_add(c: np.ndarray, b: float, seed: int) -> None:
    """Equal players have equal rows, a player that adds nothing has none, and order does not matter."""
    twice = np.concatenate([c, c[:1], [0.0]])
    pairs = fine(one("relu", twice, b))[0]
    first, last, dummy = 0, len(c), len(c) + 1
    others = np.arange(1, len(c))
    np.testing.assert_allclose(pairs[first, others], pairs[last, others], atol=1e-11)
    assert (pairs[dummy] == 0).all()
    order = np.random.default_rng(seed).permutation(len(twice))
    np.testing.assert_allclose(fine(one("relu", twice[order], b))[0], pairs[np.ix_(order, order)], atol=1e-11)


def test_padding_changes_nothing_and_games_do_not_touch_each_other() -> None:
    games = [drawn(s, n) for s, n in ((1, 5), (2, 9), (3, 7))]
    together = GateGames.of("relu", [g.inputs[0] for g in games], np.concatenate([g.bias for g in games]))
    pairs = fine(together)
    for g, alone in enumerate(games):
        n = alone.players
        series = fourier(alone, 512)
        found = columns(series, Nodes.of("SII", 2, n, None), double=True, share=1e-13)
        unpadded = all_pairs(series, found, double=True)[0]
        np.testing.assert_allclose(pairs[g, :n, :n], unpadded, atol=1e-9)
        assert (pairs[g, n:] == 0).all()


def test_the_interactions_of_a_sum_of_gates_are_the_sum_of_theirs() -> None:
    games = [drawn(s, 6, whole=True) for s in range(3)]
    table = sum(worths("relu", g.inputs[0], float(g.bias[0]), 0.0) for g in games)
    summed = sum(of_order(lattice(g, 256, step=1.0), "FSII", 2) for g in games)
    np.testing.assert_allclose(summed, all_of_order(np.asarray(table), 2, "FSII"), atol=1e-10)


# -- keeping the strongest ------------------------------------------------------------------------------


def test_streaming_the_strongest_pairs_equals_sorting_them_all() -> None:
    rng = np.random.default_rng(0)
    c = rng.standard_t(2, 700)
    games = one("relu", c, -0.4 * c.sum())
    series = fourier(games, 32)
    found = columns(series, Nodes.of("SII", 2, 700, 8), double=True, share=1e-4)
    full = all_pairs(series, found, double=True)[0]
    every = np.abs(full[np.triu_indices(700, 1)])
    kept = strongest_pairs(series, found, 40, np.zeros(1), double=True)[0]
    np.testing.assert_allclose(np.abs(kept.value), np.sort(every)[::-1][:40], rtol=1e-9)
    assert kept.evaluated < len(every)
    floor = float(np.sort(every)[-300])
    passing = strongest_pairs(series, found, None, np.array([floor * (1 - 1e-9)]), double=True)[0]
    assert len(passing.value) == 300
    i, j = passing.members.T
    assert (i < j).all()
    np.testing.assert_allclose(full[i, j], passing.value, rtol=1e-9)


@pytest.mark.parametrize(
    ("gate", "index"),
    [
        ("relu", "SII"),
        ("relu", "BII"),
        ("jumprelu", "SII"),
        ("jumprelu", "FSII"),
        ("abstopk", "SII"),
        ("silu", "FSII"),
    ],
)
def test_the_stated_error_holds(gate: str, index: str) -> None:
    """The engines of many players, on games of just so few that they can still be enumerated."""
    n = 17
    games = drawn(8, n, gate)
    worths = games.worth(games.bias[:, None] + (all_coalitions(n) @ games.inputs[0])[None])[0]
    found = strongest(games, choose(gate, n, index), Wanted(index, order=3, top=16))[0]
    for order, kept in found.items():
        exact = exact_interactions(worths, index, order)
        wanted = np.array([exact[members] for members in kept.members.tolist()])
        assert len(wanted) == 16
        assert (np.abs(kept.value - wanted) <= kept.error).all()
        assert 0 < kept.error < 0.05 * np.abs(wanted).max()
        np.testing.assert_allclose(kept.value, wanted, atol=1e-3 * np.abs(games.inputs).max())


def test_what_is_enumerated_is_exact_and_complete() -> None:
    games = drawn(9, 8, "topk")
    found = strongest(games, choose("topk", 8, "STII"), Wanted("STII", order=3))[0]
    for order in (2, 3):
        wanted = truth(games, "STII", order)
        assert len(found[order].value) == np.count_nonzero(np.abs(wanted) > 1e-12)
        np.testing.assert_allclose(found[order].value.sum(), wanted.sum(), atol=1e-12)
        assert found[order].error == 0


def test_the_engine_follows_from_gate_and_size() -> None:
    assert choose("relu", 16, "SII") == Choice("enumeration")
    assert choose("silu", 4000, "Co-Moebius") == Choice("ablation")
    relu, small, large = (
        choose("relu", 64, "SII"), choose("jumprelu", 63, "SII"), choose("topk", 64, "SII"),
    )  # fmt: skip
    assert [c.engine for c in (relu, small, large)] == ["fourier"] * 3
    assert small.final is not None
    assert large.final is not None
    assert small.final.terms > large.final.terms
    assert str(choose("gelu", 100, "SII")).startswith("lattice M=16384")
    assert str(Choice("fourier", Rule(8, 4), Rule(16, 6))) == "fourier K=16 Q=6"


def test_dropped_columns_are_counted() -> None:
    games = drawn(3, 40)
    series = fourier(games, 64)
    nodes = Nodes.of("SII", 2, 40, 12)
    every, few = (columns(series, nodes, double=True, share=s) for s in (0.0, 1e-2))
    assert isinstance(few, Columns)
    assert np.count_nonzero(few.weight) < np.count_nonzero(every.weight)
    off = np.abs(all_pairs(series, few, double=True) - all_pairs(series, every, double=True))
    assert 0 < off.max() <= few.dropped[0]
    assert few.dropped[0] <= 1e-2 * (few.dropped[0] + few.magnitude[0])
