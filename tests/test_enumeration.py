"""The exact tables against sums over coalitions, orderings and least squares; axioms; JAX against NumPy."""

from __future__ import annotations

from itertools import combinations, permutations

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_games import faith_shap, interaction, n_shapley, shapley_taylor, subsets, tabled

from circuits.engine.enumeration import Interactions, all_coalitions, exact_interactions, moebius
from circuits.engine.enumeration_batch import batched_interactions
from circuits.engine.indices import INDICES
from circuits.errors import UsageError

INTEGRAL = ("Moebius", "Co-Moebius", "SII", "BII", "CHII")
EFFICIENT = ("k-SII", "STII", "FSII")


def random_table(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=2**n)


def table_of(found: Interactions) -> dict[frozenset[int], float]:
    return {
        frozenset(map(int, s)): float(v)
        for t in range(1, found.order + 1)
        for s, v in zip(found.members(t), found.values[t - 1], strict=True)
    }


def assert_same(found: dict[frozenset[int], float], truth: dict[frozenset[int], float]) -> None:
    assert found.keys() == truth.keys()
    for s, value in truth.items():
        assert found[s] == pytest.approx(value, abs=1e-10), set(s)


# ------------------------------------------------------------------ definitions


@pytest.mark.parametrize("index", INTEGRAL)
@pytest.mark.parametrize("n", [3, 8, 9])
def test_every_interaction_is_the_textbook_sum_over_coalitions(index: str, n: int) -> None:
    worths = random_table(n)
    truth = {s: interaction(tabled(worths), n, index, s) for s in subsets(range(n), [1, 2, 3])}
    assert_same(table_of(exact_interactions(worths, index, 3)), truth)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_top_orders_of_twelve_players_are_the_textbook_sum(index: str, order: int) -> None:
    n, worths = 12, random_table(12, seed=order)
    found = exact_interactions(worths, index, order)
    name = "SII" if index == "k-SII" else index
    dice = np.random.default_rng(order)
    for _ in range(4):
        s = [int(i) for i in dice.permutation(n)[:order]]
        assert found[s] == pytest.approx(interaction(tabled(worths), n, name, s), abs=1e-10)


@pytest.mark.parametrize("n", [2, 5])
def test_all_orders_up_to_n_are_the_textbook_sum(n: int) -> None:
    worths = random_table(n)
    for index in INTEGRAL:
        truth = {s: interaction(tabled(worths), n, index, s) for s in subsets(range(n)) if s}
        assert_same(table_of(exact_interactions(worths, index, n)), truth)


@pytest.mark.parametrize("top", [1, 2, 3])
def test_stii_is_the_mean_over_all_orderings(top: int) -> None:
    n, worths = 6, random_table(6, seed=top)
    truth = {s: shapley_taylor(tabled(worths), n, top, s) for s in subsets(range(n), range(1, top + 1))}
    assert_same(table_of(exact_interactions(worths, "STII", top)), truth)


@pytest.mark.parametrize(("n", "top"), [(8, 1), (8, 2), (8, 3), (6, 4), (6, 5), (5, 5)])
def test_k_sii_is_the_recursion_of_bordt_and_von_luxburg(n: int, top: int) -> None:
    worths = random_table(n, seed=top)
    truth = {s: n_shapley(tabled(worths), n, top, s) for s in subsets(range(n), range(1, top + 1))}
    assert_same(table_of(exact_interactions(worths, "k-SII", top)), truth)


@pytest.mark.parametrize(("n", "top"), [(8, 1), (8, 2), (8, 3), (7, 4), (5, 5), (10, 2)])
def test_fsii_is_the_least_squares_polynomial(n: int, top: int) -> None:
    worths = random_table(n, seed=top)
    assert_same(table_of(exact_interactions(worths, "FSII", top)), faith_shap(tabled(worths), n, top))


def test_the_moebius_table_adds_up_to_the_worths() -> None:
    n, worths = 8, random_table(8)
    m = moebius(worths)
    inside = all_coalitions(n)
    below = (inside[None, :] <= inside[:, None]).all(axis=2)
    assert below @ m == pytest.approx(worths, abs=1e-12)


# ------------------------------------------------------------------ axioms


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 9), index=st.sampled_from(EFFICIENT), top=st.integers(1, 9), seed=st.integers(0, 999))
def test_efficient_indices_share_out_the_whole_worth(n: int, index: str, top: int, seed: int) -> None:
    worths = random_table(n, seed)
    found = exact_interactions(worths, index, min(top, n))
    assert sum(v.sum() for v in found.values) == pytest.approx(worths[-1] - worths[0], abs=1e-9)
    shapley = exact_interactions(worths, "SII", 1).values[0]
    assert shapley.sum() == pytest.approx(worths[-1] - worths[0], abs=1e-10)


def test_sii_of_order_two_is_not_efficient() -> None:
    worths = random_table(6)
    total = sum(v.sum() for v in exact_interactions(worths, "SII", 2).values)
    assert abs(total - (worths[-1] - worths[0])) > 0.1


@pytest.mark.parametrize("index", INDICES)
def test_a_player_that_changes_nothing_has_no_interaction(index: str) -> None:
    n, dummy = 7, 2
    inside = all_coalitions(n)
    without = inside.copy()
    without[:, dummy] = False
    worths = random_table(n)[without @ (1 << np.arange(n))]
    found = table_of(exact_interactions(worths, index, 3))
    assert {v for s, v in found.items() if dummy in s} == {0.0}
    assert max(abs(v) for s, v in found.items() if dummy not in s) > 0.1


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 7), index=st.sampled_from(INDICES), seed=st.integers(0, 999), data=st.data())
def test_renaming_the_players_renames_their_interactions(
    n: int, index: str, seed: int, data: st.DataObject
) -> None:
    new = np.array(data.draw(st.permutations(range(n))))
    worths, inside = random_table(n, seed), all_coalitions(n)
    renamed = worths[inside[:, new] @ (1 << np.arange(n))]  # old player i is now called new[i]
    order = min(3, n)
    before, after = (
        table_of(exact_interactions(worths, index, order)),
        table_of(exact_interactions(renamed, index, order)),
    )
    moved = {frozenset(int(new[i]) for i in s): v for s, v in before.items()}
    assert_same(after, moved)


@pytest.mark.parametrize("index", INDICES)
def test_players_that_do_the_same_have_the_same_interactions(index: str) -> None:
    n, inside = 6, all_coalitions(6)
    swapped = inside[:, [4, 1, 2, 3, 0, 5]] @ (1 << np.arange(n))
    worths = random_table(n)
    found = table_of(exact_interactions(worths + worths[swapped], index, 3))
    for s, value in found.items():
        other = frozenset({0: 4, 4: 0}.get(i, i) for i in s)
        assert found[other] == pytest.approx(value, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(index=st.sampled_from(INDICES), a=st.floats(-3, 3), b=st.floats(-3, 3), seed=st.integers(0, 999))
def test_interactions_are_linear_in_the_game(index: str, a: float, b: float, seed: int) -> None:
    one, two = random_table(6, seed), random_table(6, seed + 1)
    mixed = exact_interactions(a * one + b * two, index, 3).values
    parts = [exact_interactions(w, index, 3).values for w in (one, two)]
    for order in range(3):
        assert mixed[order] == pytest.approx(a * parts[0][order] + b * parts[1][order], abs=1e-10)


def test_sii_of_a_pair_is_what_one_adds_to_the_shapley_value_of_the_other() -> None:
    n, worths = 8, random_table(8)
    pairs, inside = exact_interactions(worths, "SII", 2), all_coalitions(8)
    for i, j in permutations(range(n), 2):
        others = [k for k in range(n) if k != j]
        at = others.index(i)
        there, absent = (
            exact_interactions(worths[inside[:, j] == on], "SII", 1).values[0][at] for on in (True, False)
        )
        assert pairs[i, j] == pytest.approx(there - absent, abs=1e-12)


def test_a_game_of_one_term_keeps_it_whole() -> None:
    worths = np.where(all_coalitions(16)[:, [3, 7, 12]].all(axis=1), 5.0, 0.0)
    for index in INDICES:
        found = exact_interactions(worths, index, 3)
        assert found[12, 3, 7] == pytest.approx(5, abs=1e-12)
        assert found.strongest(1, order=3) == [((3, 7, 12), pytest.approx(5, abs=1e-12))]


# ------------------------------------------------------------------ the record


def test_members_values_lookup_matrix_and_ranking_agree() -> None:
    n, found = 7, exact_interactions(random_table(7), "SII", 3)
    for t in (1, 2, 3):
        sets = [tuple(map(int, s)) for s in found.members(t)]
        assert sorted(sets) == list(combinations(range(n), t))
        assert [found[s] for s in sets] == found.values[t - 1].tolist()
    matrix = found.matrix()
    assert all(matrix[i, j] == found[i, j] == matrix[j, i] for i, j in combinations(range(n), 2))
    assert not matrix.diagonal().any()
    values = [abs(v) for s, v in table_of(found).items() if len(s) > 1]
    assert [abs(v) for _, v in found.strongest(5)] == sorted(values, reverse=True)[:5]
    assert all(found[s] == v for s, v in found.strongest(5))


def test_the_given_table_is_left_as_it_was() -> None:
    worths = random_table(5)
    kept = worths.copy()
    exact_interactions(worths, "FSII", 3)
    moebius(worths)
    assert np.array_equal(worths, kept)


def test_whole_numbers_are_taken_too() -> None:
    assert exact_interactions(np.array([0, 0, 0, 3]), "SII", 2)[0, 1] == 3.0


# ------------------------------------------------------------------ JAX


@pytest.mark.parametrize(("n", "index"), [*((4, index) for index in INDICES), (11, "SII")])
def test_batched_games_are_the_single_games(n: int, index: str) -> None:
    worths = np.stack([random_table(n, seed) for seed in range(3)])
    truth = [exact_interactions(w, index, 3).values for w in worths]
    single = batched_interactions(worths, index, 3)
    with jax.enable_x64(True):
        double = batched_interactions(worths, index, 3)
    for t in range(3):
        rows = np.stack([values[t] for values in truth])
        assert single[t].dtype == np.float32
        assert np.abs(np.asarray(double[t]) - rows).max() <= 1e-12 * np.abs(rows).max()
        assert np.abs(np.asarray(single[t]) - rows).max() <= 1e-6 * n * np.abs(worths).max()


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("worths", "index", "order", "words"),
    [
        (np.zeros(12), "SII", 2, "shape (12,)"),
        (np.zeros((4, 4)), "SII", 2, "shape (4, 4)"),
        (np.zeros(1), "SII", 1, "shape (1,)"),
        (np.zeros(8), "SII", 4, "Order 4 is larger than the 3 players"),
        (np.zeros(8), "SII", 0, "order 0"),
        (np.zeros(8), "STI", 2, "Did you mean 'STII'"),
        (np.array([0, 1, np.nan, 2]), "SII", 2, "coalition 2 (players 1) is nan"),
        (np.array([-np.inf, 1, 3, 2]), "SII", 2, "coalition 0 (no player) is -inf"),
    ],
)
def test_what_cannot_be_computed_is_refused(worths: np.ndarray, index: str, order: int, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        exact_interactions(worths, index, order)
    assert words in str(caught.value)


def test_too_many_players_are_refused_with_the_memory_they_would_need() -> None:
    with pytest.raises(UsageError, match=r"24 players takes 16,777,216 worths and 0\.5 GB: at most 20"):
        all_coalitions(24)
    with pytest.raises(UsageError, match="21 players"):
        exact_interactions(np.broadcast_to(0.0, 2**21), "SII", 2)


@pytest.mark.parametrize("members", [[0, 0], [0, 5], [-1, 2], [], [0, 1, 2]])
def test_sets_not_held_are_refused(members: list[int]) -> None:
    found = exact_interactions(random_table(4), "SII", 2)
    with pytest.raises(UsageError):
        found[members]
    with pytest.raises(UsageError, match="order 2"):
        exact_interactions(random_table(4), "SII", 1).matrix()
