"""Gated neurons whose activation moves: D_T of act(g) · u as a sum over columns (JAX).

As in `columns`, with F_i = cos α_i + iκ sin α_i, P = Π F_j, r_i = 2i sin α_i / F_i for the waves of act(g).
Differentiating the factors of players in and out of T by ε (each e^{2iα} times e^{εu}) gives

    D_T(q) = Re Σ_k a_k P_k [ B_k Π_{i∈T} r_i + Σ_{i∈T} h_i Π_{j∈T∖i} r_j ],
    h_i = u_i / F_i²,     B = b' + q Σ_j u_j e^{iα_j} / F_j.

The node 1 − q conjugates P, −r and h, and turns B into the conjugate of 2b' + Σ u − B: again both nodes share
a column, with one weight for each of the two terms. The straight part of the series adds its slope's product.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float, Int

from circuits.engine.gates.columns import (
    SHARE,
    Nodes,
    _fill,
    batch_size,
    column_bucket,
    directions,
    half_turns,
)
from circuits.engine.gates.games import precision
from circuits.engine.gates.pairs import Strongest, contracted, search
from circuits.engine.gates.series import Series

WAVES = 256
"""Waves multiplied at once."""


@dataclass(frozen=True, eq=False)
class ProductColumns:
    """The columns of g games that matter: as `Columns`, with a weight for each of the two terms."""

    harmonic: Float[np.ndarray, "g C"]
    kappa: Float[np.ndarray, "g C"]
    weight: Complex[np.ndarray, "g C"]
    derived: Complex[np.ndarray, "g C"]
    dropped: Float[np.ndarray, "g"]
    magnitude: Float[np.ndarray, "g"]

    def of(self, game: int) -> tuple[np.ndarray, ...]:
        """Gives the columns of one game: harmonic, κ, and real and imaginary parts of both weights."""
        w, d = self.weight[game], self.derived[game]
        return self.harmonic[game], self.kappa[game], w.real, w.imag, d.real, d.imag


@dataclass(frozen=True, eq=False)
class Factor:
    """The u of g games: u_i and b'."""

    inputs: Float[np.ndarray, "g n"]
    bias: Float[np.ndarray, "g"]


def product_columns(
    series: Series, factor: Factor, nodes: Nodes, *, double: bool = False, share: float = SHARE
) -> ProductColumns:
    """Gives the columns of each game that matter for sets of `nodes.order` players.

    Args:
        series: act of g.
        factor: u.
        nodes: of the index.
        double: compute in float64.
        share: drop the smallest columns while their bounds add up to less than this share of all bounds'.
    """
    product, factors, steep, derived = _multiply(series, factor, nodes, double=double)
    t, sign = nodes.order, (-1) ** nodes.order
    a = series.centred[:, :, None]
    near, far = nodes.weight * a, sign * nodes.mirror * a.conj()
    bias = factor.bias[:, None, None]
    mirrored = 2 * bias + factor.inputs.sum(1)[:, None, None] - factors
    first = product * (near * factors + far * mirrored)
    second = product * (near - far)
    size = np.abs(first) * steep**t + t * np.abs(second) * derived * steep ** (t - 1)
    size = size.reshape(len(series), -1)
    order = np.argsort(-size, axis=1)
    ranked = np.take_along_axis(size, order, 1)
    left = ranked[:, ::-1].cumsum(1)[:, ::-1]
    keep = left > share * left[:, :1]
    count = min(column_bucket(int(keep.sum(1).max(initial=1))), size.shape[1])
    order, kept = order[:, :count], keep[:, :count]
    weight, other = (np.take_along_axis(w.reshape(size.shape), order, 1) * kept for w in (first, second))
    return ProductColumns(
        series.harmonics.astype(float)[order // len(nodes)],
        nodes.kappa[order % len(nodes)],
        weight,
        other,
        np.where(keep, 0, ranked).sum(1),
        np.where(keep, ranked, 0).sum(1),
    )


def _multiply(
    series: Series, factor: Factor, nodes: Nodes, *, double: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives P, B, max |r| and max |h| of every wave at every node, each g × K × Q."""
    kind = np.float64 if double else np.float32
    (games, n), waves = series.turns.shape, len(series.harmonics)
    block = min(waves, WAVES)
    rows = batch_size(games, n * len(nodes) * block)
    out = np.empty((6, games, waves, len(nodes)))
    with precision(double=double):
        for at in range(0, games, rows):
            turns, values = (
                _fill(part[at : at + rows].astype(kind), rows) for part in (series.turns, factor.inputs)
            )
            for k in range(0, waves, block):
                harmonics = _fill(series.harmonics[k : k + block].astype(kind), block)
                found = _scan(turns, values, harmonics, nodes.kappa.astype(kind))
                here = out[:, at : at + rows, k : k + block]
                here[:] = np.stack([np.asarray(part) for part in found])[:, : here.shape[1], : here.shape[2]]
    bias = factor.bias[:, None, None]
    return out[0] + 1j * out[1], bias + out[2] + 1j * out[3], out[4], out[5]


Six = tuple[Array, Array, Array, Array, Array, Array]


@jax.jit
def _scan(
    turns: Float[Array, "g n"],
    values: Float[Array, "g n"],
    harmonics: Float[Array, "K"],
    kappa: Float[Array, "Q"],
) -> tuple[Float[Array, "g K Q"], ...]:
    """Gives P and B − b' (real and imaginary parts), max |r| and max |h|, player by player."""
    sine, cosine = half_turns(turns.T[:, :, None], harmonics)
    q = (1 + kappa) / 2

    def step(so_far: Six, player: tuple[Array, Array, Array]) -> tuple[Six, None]:
        a, b, x, y, steep, derived = so_far
        s, c, u = (part[..., None] for part in player)
        d = kappa * s
        square = c * c + d * d
        x += q * u * (c * c + kappa * s * s) / square
        y += q * u * (1 - kappa) * c * s / square
        steep = jnp.maximum(steep, 2 * jnp.abs(s) / jnp.sqrt(square))
        derived = jnp.maximum(derived, jnp.abs(u) / square)
        return (a * c - b * d, a * d + b * c, x, y, steep, derived), None

    zero = jnp.zeros((*sine.shape[1:], len(kappa)), turns.dtype)
    start = (zero + 1, zero, zero, zero, zero, zero)
    values = jnp.broadcast_to(values.T[:, :, None], sine.shape)
    found, _ = lax.scan(step, start, (sine, cosine, values), unroll=4)
    return found


def _derivatives(
    turns: Float[Array, "n"], values: Float[Array, "n"], harmonic: Float[Array, "C"], kappa: Float[Array, "C"]
) -> tuple[Float[Array, "C n"], Float[Array, "C n"]]:
    """Gives real and imaginary part of h_i = u_i / F_i² in every column."""
    sine, cosine = half_turns(turns[None, :], harmonic[:, None])
    d = kappa[:, None] * sine
    scale = values / (cosine * cosine + d * d) ** 2
    return (cosine * cosine - d * d) * scale, -2 * d * cosine * scale


@jax.jit
def _prepared(
    turns: Float[Array, "n"], values: Float[Array, "n"], *parts: Float[Array, "C"]
) -> tuple[Float[Array, "four_C n"], Float[Array, "four_C n"], Float[Array, "n"]]:
    """Gives X, Y with I_ij = (Xᵀ Y)_ij, and ν with |I_ij| ≤ ν_i ν_j."""
    harmonic, kappa, *weights = parts
    w, v, x, y = (part[:, None] for part in weights)
    a, b = directions(turns, harmonic, kappa)
    c, d = _derivatives(turns, values, harmonic, kappa)
    re, im = w * a - v * b + x * c - y * d, w * b + v * a + x * d + y * c
    left = jnp.concatenate([a, b, c, d])
    right = jnp.concatenate([re, -im, x * a - y * b, -(x * b + y * a)])
    rr, hh = a * a + b * b, c * c + d * d
    ratio = jnp.sqrt(hh.sum(1) / jnp.maximum(rr.sum(1), 1e-30))[:, None]
    ratio = jnp.where(ratio > 0, ratio, 1)  # any will do: this one lets both terms weigh the same
    squares = jnp.hypot(w, v) * rr + jnp.hypot(x, y) * (ratio * rr + hh / ratio)
    return left, right, jnp.sqrt(squares.sum(0)) * 1.001


def strongest_products(
    series: Series, factor: Factor, found: ProductColumns, top: int | None, floor: Float[np.ndarray, "g"]
) -> list[Strongest]:
    """Gives the `top` pairs of each game with |I| ≥ floor, in float32."""
    return [
        _strongest(series.part([k]), factor.inputs[k], found.of(k), top, float(floor[k]))
        for k in range(len(series))
    ]


def _strongest(
    series: Series, u: Float[np.ndarray, "n"], parts: tuple[np.ndarray, ...], top: int | None, floor: float
) -> Strongest:
    slope = series.slope[0]
    with precision(double=False):
        turns = series.turns[0].astype(np.float32)
        x, y, norm = _prepared(turns, u.astype(np.float32), *[p.astype(np.float32) for p in parts])
        straight = np.hypot(slope, u)  # by Cauchy–Schwarz for the straight part, too

        def block(i: Int[np.ndarray, "b"], j: Int[np.ndarray, "b"]) -> Float[np.ndarray, "b b"]:
            line = np.outer(slope[i], u[j]) + np.outer(u[i], slope[j])
            return np.asarray(np.asarray(contracted(x, y, i, j), float) + line)

        return search(np.hypot(np.asarray(norm, float), straight), block, top, floor)


def product_sets(
    series: Series,
    factor: Factor,
    found: ProductColumns,
    members: Int[np.ndarray, "g m t"],
    *,
    double: bool = False,
) -> Float[np.ndarray, "g m"]:
    """Gives the interactions of chosen sets of t players of each game."""
    kind = np.float64 if double else np.float32
    values = np.empty(members.shape[:2])
    with precision(double=double):
        for k, sets in enumerate(members):
            players, place = np.unique(sets, return_inverse=True)
            size = max(8, 1 << (len(players) - 1).bit_length())
            turns, u = (_fill(part[k][players].astype(kind), size) for part in (series.turns, factor.inputs))
            rows = 1 << (max(len(sets), 1) - 1).bit_length()
            at = _fill(place.reshape(sets.shape).astype(np.int32), rows)
            parts = [part.astype(kind) for part in found.of(k)]
            values[k] = np.asarray(_sums(turns, u, parts, at))[: len(sets)]
            if members.shape[2] == 2:
                (i, j), slope, straight = sets.T, series.slope[k], factor.inputs[k]
                values[k] += slope[i] * straight[j] + slope[j] * straight[i]
    return values


@jax.jit
def _sums(
    turns: Float[Array, "p"],
    values: Float[Array, "p"],
    parts: list[Float[Array, "C"]],
    members: Int[Array, "m t"],
) -> Float[Array, "m"]:
    harmonic, kappa, w, v, x, y = parts
    r = [part.T for part in directions(turns, harmonic, kappa)]
    h = [part.T for part in _derivatives(turns, values, harmonic, kappa)]
    one = jnp.ones((len(members), len(harmonic)), turns.dtype)
    a, b, c, d = one, 0 * one, 0 * one, 0 * one  # Π r, and Σ h Π r of the others
    for k in range(members.shape[1]):
        (e, f), (m, n) = ([part[members[:, k]] for part in parts] for parts in (r, h))
        c, d = c * e - d * f + a * m - b * n, c * f + d * e + a * n + b * m
        a, b = a * e - b * f, a * f + b * e
    return (w * a - v * b + x * c - y * d).sum(1)
