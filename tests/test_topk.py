"""Top pairs against sorting all products."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuits.engine.qk import topk
from circuits.engine.qk.topk import top_pairs, top_symmetric
from circuits.errors import UsageError

SIGNS = ("both", "positive", "negative")


def dense(products: np.ndarray, k: int, sign: str) -> list[tuple[int, int, float]]:
    """The k largest of all products, in order of size, row, column; zeros and wrong signs left out."""
    size = {"both": abs, "positive": float, "negative": lambda v: -float(v)}[sign]
    every = [(a, b, float(v)) for (a, b), v in np.ndenumerate(products) if size(v) > 0]
    return sorted(every, key=lambda pair: (-size(pair[2]), pair[0], pair[1]))[:k]


def triples(found: topk.Pairs) -> list[tuple[int, int, float]]:
    return list(zip(found.row.tolist(), found.column.tolist(), found.value.tolist(), strict=True))


@st.composite
def vector_sets(draw: st.DrawFn, *, same: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, so that products are exact and ties abound; norms spread over decades."""
    r, n = draw(st.integers(1, 4)), draw(st.integers(1, 150))
    m = n if same else draw(st.integers(1, 150))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0, 2, 8]))

    def vectors(count: int) -> np.ndarray:
        scale = 2.0 ** rng.integers(0, spread + 1, size=(count, 1))
        return rng.integers(-3, 4, size=(count, r)) * scale

    kind = draw(st.sampled_from([np.float32, np.float64]))
    return vectors(n).astype(kind), vectors(m).astype(kind)


@settings(max_examples=150, deadline=None)
@given(vector_sets(), st.integers(1, 60), st.sampled_from(SIGNS), st.integers(1, 70))
def test_equal_sorting_all_products(sets: tuple, k: int, sign: str, tile: int) -> None:
    u, w = sets
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "TILE", tile)
        found = top_pairs(u, w, k, sign)
    assert triples(found) == dense(u.astype(float) @ w.astype(float).T, k, sign)


@settings(max_examples=100, deadline=None)
@given(vector_sets(same=True), st.integers(1, 60), st.sampled_from(SIGNS))
def test_symmetric_pairs_equal_sorting_all_sums(sets: tuple, k: int, sign: str) -> None:
    u, w = (side.astype(float) for side in sets)
    both = np.triu(u @ w.T + w @ u.T, 1)
    found = top_symmetric(*sets, k, sign)
    ends = np.sort(np.stack([found.row, found.column], axis=1), axis=1)
    assert [(*pair, v) for pair, v in zip(ends.tolist(), found.value.tolist(), strict=True)] == [
        (a, b, v) for a, b, v in dense(both, k, sign)
    ]
    asked, other = (
        np.abs((u[a] * w[b]).sum(1)) for a, b in ((found.row, found.column), (found.column, found.row))
    )
    assert (asked >= other).all()


@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("sign", SIGNS)
def test_log_normal_norms_in_single_precision(sigma: float, sign: str) -> None:
    rng = np.random.default_rng(int(sigma))
    u, w = (
        (rng.normal(size=(700, 64)) * np.exp(sigma * rng.normal(size=(700, 1)))).astype(np.float32)
        for _ in range(2)
    )
    found, expected = (
        triples(top_pairs(u, w, 100, sign)),
        dense(u.astype(float) @ w.astype(float).T, 100, sign),
    )
    assert [pair[:2] for pair in found] == [pair[:2] for pair in expected]
    np.testing.assert_allclose([p[2] for p in found], [p[2] for p in expected], rtol=1e-12)


def test_few_products_are_computed_where_norms_are_spread_out(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    u, w = (rng.normal(size=(4000, 64)) * np.exp(rng.normal(size=(4000, 1))) for _ in range(2))
    seen = []
    sizes = topk._Search._sizes
    monkeypatch.setattr(topk._Search, "_sizes", lambda self, *at: seen.append(sizes(self, *at)) or seen[-1])
    assert len(top_pairs(u, w, 100)) == 100
    assert sum(tile.size for tile in seen) < 0.02 * 4000 * 4000


def test_nothing_from_nothing() -> None:
    assert len(top_pairs(np.zeros((3, 2)), np.ones((4, 2)), 5)) == 0
    assert len(top_pairs(np.zeros((0, 2)), np.ones((4, 2)), 5)) == 0
    assert len(top_pairs(np.ones((3, 2)), np.ones((0, 2)), 5)) == 0
    assert len(top_symmetric(np.ones((1, 2)), np.ones((1, 2)), 5)) == 0


def test_what_cannot_be_ranked_is_refused() -> None:
    with pytest.raises(UsageError, match="The 0 largest"):
        top_pairs(np.ones((1, 2)), np.ones((1, 2)), 0)
    with pytest.raises(UsageError, match="second set of vectors holds NaN"):
        top_pairs(np.ones((1, 2)), np.array([[1, np.nan]]), 1)
