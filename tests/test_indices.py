"""Indices as measures: quadrature against their moments, moments against their densities, gates of tables."""

from __future__ import annotations

from math import comb

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from circuits.engine.hyperedges import hyperedge_table, named
from circuits.engine.indices import INDICES, check_order, moment, moments, quadrature
from circuits.engine.kinds import KINDS, kinds
from circuits.errors import UsageError
from circuits.schema import HYPEREDGE_SCHEMA

DENSITIES = {
    "SII": lambda t: stats.uniform(),
    "k-SII": lambda t: stats.uniform(),
    "STII": lambda t: stats.beta(1, t),
    "CHII": lambda t: stats.beta(t, 1),
    "FSII": lambda t: stats.beta(t, t),
}


@pytest.mark.parametrize("index", DENSITIES)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_moments_are_those_of_the_published_densities(index: str, order: int) -> None:
    density = DENSITIES[index](order)
    for extra in (0, 1, 4):
        expected, _ = integrate.quad(lambda q: q**extra * density.pdf(q), 0, 1)  # noqa: B023
        assert moment(index, order, extra) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("index", INDICES)
@given(players=st.integers(1, 40), order=st.integers(1, 4), nodes=st.none())
def test_the_quadrature_integrates_every_power_that_occurs(
    index: str, players: int, order: int, nodes: None
) -> None:
    if order > players:
        return
    q, w = quadrature(index, order, players, nodes)
    for extra in range(players - order + 1):
        # BII's node is split in two: its powers are right to second order in the distance
        close = 1e-12 if index != "BII" else 1e-7 * (1 + extra * extra)
        assert w @ q**extra == pytest.approx(moment(index, order, extra), abs=close)


@pytest.mark.parametrize("index", ["SII", "STII", "CHII", "FSII"])
def test_no_node_is_one_half(index: str) -> None:
    for players in range(3, 60):
        assert not (quadrature(index, 2, players)[0] == 0.5).any()
        assert len(quadrature(index, 2, players, 12)[0]) <= 12


def test_shapley_values_weigh_each_size_of_coalition_alike() -> None:
    n = 7  # Σ_S weight(|S|) over coalitions of each size is 1 / n: Shapley 1953
    q, w = quadrature("SII", 1, n)
    for size in range(n):
        chance = w @ (q**size * (1 - q) ** (n - 1 - size)) * comb(n - 1, size)
        assert chance == pytest.approx(1 / n)


def test_moments_by_size_are_zero_below_the_order() -> None:
    assert moments("SII", 2, 4).tolist() == [0, 0, 1, 1 / 2, 1 / 3]


@pytest.mark.parametrize(
    ("index", "order", "players", "sentence"),
    [
        ("SHAP", 2, 3, "No index 'SHAP'"),
        ("SII", 0, 3, "Interactions of order 0"),
        ("SII", 4, 3, "Order 4 is larger than the 3 players"),
    ],
)
def test_what_is_no_interaction_is_refused(index: str, order: int, players: int, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        check_order(index, order, players)


def table(rule: object, members: int = 2) -> np.ndarray:
    sets = np.arange(2**members)
    return np.array([float(rule(*(s >> np.arange(members) & 1))) for s in sets])  # type: ignore[operator]


GATES = {
    "and": [lambda a, b: a * b, lambda a, b: 3 - a * b, lambda a, b: 0.2 * a + 0.1 * b + a * b],
    "or": [lambda a, b: max(a, b), lambda a, b: -max(a, b)],
    "inhibit": [lambda a, b: a * (1 - b), lambda a, b: b * (1 - a), lambda a, b: 1 - a * (1 - b)],
    "xor": [lambda a, b: a != b, lambda a, b: 5 - 2 * (a != b)],
    "additive": [lambda a, b: 2 * a + b, lambda a, b: a - b, lambda a, b: 0, lambda a, b: a],
    "other": [lambda a, b: a + b - 3 * a * b],
}
TRIPLES = {
    "and": [lambda a, b, c: a * b * c],
    "or": [lambda a, b, c: max(a, b, c)],
    "inhibit": [lambda a, b, c: a * b * (1 - c), lambda a, b, c: a * (1 - b) * (1 - c)],
    "xor": [lambda a, b, c: (a + b + c) % 2],
    "additive": [lambda a, b, c: a + b + c, lambda a, b, c: a * b + c],
    "other": [lambda a, b, c: a + b + c >= 2],
}


@pytest.mark.parametrize("kind", KINDS)
def test_gates_are_recognised(kind: str) -> None:
    assert kinds(np.array([table(rule) for rule in GATES[kind]])) == [kind] * len(GATES[kind])
    assert kinds(np.array([table(rule, 3) for rule in TRIPLES[kind]])) == [kind] * len(TRIPLES[kind])


@given(
    rows=st.lists(st.floats(-10, 10).map(lambda x: round(x, 3)), min_size=4, max_size=4),
    shift=st.integers(-5, 5),
    scale=st.sampled_from([-4.0, -0.5, 0.25, 8.0]),
)
def test_a_kind_knows_no_origin_no_unit_and_no_order(rows: list[float], shift: int, scale: float) -> None:
    one = np.array([rows])
    assert kinds(one[:, [0, 2, 1, 3]]) == kinds(one)
    effects = one - one[:, :1]  # exact arithmetic below: powers of two, whole shifts of rounded numbers
    if np.abs(np.abs(effects @ [1, -1, -1, 1]) - 0.1 * np.abs(effects).max()).min() > 1e-6:
        assert kinds(scale * one) == kinds(one) or abs(_margin(effects)) < 1e-6
        assert kinds(one + shift) == kinds(one) or abs(_margin(effects)) < 1e-6


def _margin(effects: np.ndarray) -> float:
    """How much nearer the nearest gate is than the next, so that ties may fall either way."""
    unit = effects[0, 1:] / max(np.abs(effects).max(), 1e-300)
    shapes = np.array([[0, 0, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 0]])
    near = np.sort(((unit - np.concatenate([shapes, -shapes])) ** 2).sum(1))
    return float(min(near[1] - near[0], abs(near[0] - 0.75)))


def test_a_table_of_three_rows_is_no_truth_table() -> None:
    with pytest.raises(UsageError, match="A truth table of 3 worths"):
        kinds(np.zeros((1, 3)))


def test_hyperedges_are_filled_up_and_numbered_by_channel_order_and_strength() -> None:
    rows = {"members": [["a", "b"], ["a", "b", "c"], ["b", "c"]], "target": "t", "index": "SII"}
    made = hyperedge_table(
        rows | {"weight": [1.0, 9.0, -2.0], "channel": ["mlp", "mlp", "output"], "engine": "x"}
    )
    assert made.schema == HYPEREDGE_SCHEMA
    assert made["order"].to_list() == [2, 3, 2]
    assert made["low"].to_list() == made["weight"].to_list() == made["high"].to_list()
    sorted_ = named(pl.concat([made, made.with_columns(weight=pl.lit(-5.0), channel=pl.lit("mlp"))]))
    assert sorted_["hyperedge"].to_list() == [f"h{i}" for i in range(1, 7)]
    assert sorted_["channel"].to_list() == ["output"] + ["mlp"] * 5
    assert sorted_["order"].to_list() == [2, 2, 2, 2, 3, 3]
    assert sorted_["weight"].to_list() == [-2, -5, -5, 1, 9, -5]


def test_an_empty_table_has_the_columns_too() -> None:
    empty: dict[str, list[object]] = {
        name: [] for name in ("members", "target", "index", "weight", "channel", "engine")
    }
    assert hyperedge_table(empty).schema == HYPEREDGE_SCHEMA
