"""Interactions straight from sampled coalitions: unbiased, for all pairs by one matrix product a size.

With Σ over the coalitions S of a design, I(T) = Σ_S share(S) · c_t(|T ∩ S|, |S|) · v(S) is the mean shift of
every size of coalition (maximum sample reuse: every worth serves every T); it is unbiased for any worth v,
and exact where the design is whole. `estimate` applies it to what a surrogate leaves: regression-adjusted
Monte Carlo (Witter, Liu & Musco 2025).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import bernoulli
from scipy.special import binom as binomial
from scipy.stats import binom

from circuits.engine.games.design import Design
from circuits.engine.indices import quadrature

Sets = Int[np.ndarray, "sets t"]
"""Sets of players of one order, one a row, ascending."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate for some sets of players, with the variance of its error."""

    value: Float[np.ndarray, "sets"]
    variance: Float[np.ndarray, "sets"]


def coefficients(
    index: str, order: int, players: int, top: int | None = None
) -> Float[np.ndarray, "k sizes"]:
    """Gives c_t(k, s): what the mean worth of the coalitions of size s that hold k of T counts in I(T).

    I(T) = Σ_{s, k} c(k, s) · mean over |S| = s of 1[|T ∩ S| = k] v(S), so that the mean runs over *all*
    coalitions of size s. From the definition, with p the chance that a Bernoulli(q) background has size
    s − k: c = (−1)^(t−k) · C(n, s) / C(n−t, s−k) · ∫ p(s − k; n − t, q) μ_t(dq).

    Args:
        index: the definition.
        order: t.
        players: n.
        top: the largest order asked for, `order` unless given. Below it STII is the Möbius transform and
            k-SII the sum Σ_{U ⊇ T, |U| ≤ top} B_{|U|−t} SII(U) with Bernoulli numbers.
    """
    if index == "k-SII":
        return _aggregated(order, players, order if top is None else top)
    n, t = players, order
    if index == "BII":
        q, w = np.array([0.5]), np.ones(1)
    else:
        q, w = quadrature("Moebius" if index == "STII" and t < (top or t) else index, t, n)
    found = np.zeros((t + 1, n + 1))
    for k in range(t + 1):
        size = np.arange(k, n - t + k + 1)
        chance = binom.pmf((size - k)[:, None], n - t, q[None, :]) @ w
        ratio = np.ones(len(size))  # C(n, s) / C(n−t, s−k) without the huge numbers
        for i in range(t):
            ratio *= n - i
        for i in range(k):
            ratio /= size - i
        for i in range(t - k):
            ratio /= n - size - i
        found[k, size] = (-1.0) ** (t - k) * ratio * chance
    return found


def _aggregated(order: int, players: int, top: int) -> Float[np.ndarray, "k sizes"]:
    """Gives the coefficients of k-SII: of the sets U around T, C(s−k, a) · C(n−t−s+k, e−a) hold a more."""
    t, found = order, np.zeros((order + 1, players + 1))
    size = np.arange(players + 1)
    for extra, number in enumerate(bernoulli(top - t)):
        wider = coefficients("SII", t + extra, players)
        for k in range(t + 1):
            inside, outside = np.maximum(size - k, 0), np.maximum(players - t - size + k, 0)
            for more in range(extra + 1):
                ways = binomial(inside, more) * binomial(outside, extra - more)
                found[k] += number * ways * wider[k + more]
    return found


def sampled(
    design: Design, worths: Float[np.ndarray, "m"], index: str, sets: Sets, top: int | None = None
) -> Estimate:
    """Gives the unbiased estimate of every set's interaction from the worths of a design's coalitions.

    The variance is that of stratified sampling without replacement, complements drawn together as one
    unit: Σ over sizes of (1 − portion) · (variance between units) / units. Sizes that are whole add
    none. A size with a single unit adds the square of what it gives.

    Args:
        design: the coalitions.
        worths: what each is worth, or what a surrogate leaves of it.
        index: the definition.
        sets: sets of one order.
        top: the largest order asked for, on which lower orders of k-SII and STII depend.
    """
    n, t = design.masks.shape[1], sets.shape[1]
    by_size = coefficients(index, t, n, top)
    value = np.zeros(len(sets))
    variance = np.zeros(len(sets))
    small = np.minimum(design.sizes, n - design.sizes)
    for size in np.unique(small):  # a size and its complement: the same units
        rows = np.flatnonzero(small == size)
        rows = rows[np.argsort(design.unit[rows], kind="stable")]
        first = np.diff(design.unit[rows], prepend=-1) > 0
        values = _unit_values(design, worths, by_size, rows, first)
        lead = rows[first]
        units, portion = len(lead), float(design.portion[design.sizes[rows]].min())
        total = _over_units(design, lead, values, sets)
        value += total
        if portion < 1:
            square = _over_units(design, lead, values**2, sets)
            spread = np.maximum(square - total**2 / units, 0) * units / (units - 1) if units > 1 else square
            variance += (1 - portion) * spread
    return Estimate(value, variance)


def _unit_values(
    design: Design,
    worths: Float[np.ndarray, "m"],
    by_size: Float[np.ndarray, "k sizes"],
    rows: Int[np.ndarray, "r"],
    first: Bool[np.ndarray, "r"],
) -> Float[np.ndarray, "u k"]:
    """Gives what each unit adds to I(T), by how many of T its first coalition holds."""
    each = (design.share * worths)[rows, None] * by_size[:, design.sizes[rows]].T
    found = each[first]
    found[np.cumsum(first)[~first] - 1] += each[~first][:, ::-1]  # complements hold the others
    return np.asarray(found)


def _over_units(
    design: Design, lead: Int[np.ndarray, "u"], values: Float[np.ndarray, "u k"], sets: Sets
) -> Float[np.ndarray, "sets"]:
    """Gives Σ over units of values[unit, |T ∩ S|] for every set T."""
    x = design.masks[lead].astype(np.float64)
    t = sets.shape[1]
    if t == 1:
        return np.asarray((values[:, 0].sum() + x.T @ (values[:, 1] - values[:, 0]))[sets[:, 0]])
    if t == 2:  # values are a polynomial in the two memberships: one product for all pairs
        one, two = values[:, 1] - values[:, 0], values[:, 2] - 2 * values[:, 1] + values[:, 0]
        single = x.T @ one
        pairs = x.T @ (two[:, None] * x)
        i, j = sets.T
        return np.asarray(values[:, 0].sum() + single[i] + single[j] + pairs[i, j])
    found = np.zeros(len(sets))
    every = np.arange(len(lead))[:, None]
    step = max(1, (1 << 22) // max(1, len(lead)))
    for start in range(0, len(sets), step):
        part = sets[start : start + step]
        held = x[:, part].sum(axis=2).astype(np.int64)
        found[start : start + step] = values[every, held].sum(axis=0)
    return found
