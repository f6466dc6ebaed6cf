"""Every index of every set of players as one sum over columns: a column is a wave at a quadrature node (JAX).

At node q and half-angle α_i = π · harmonic · turns_i, a player contributes the factor
f_i = 1 − q + q e^{2iα_i} = e^{iα_i}(cos α_i + iκ sin α_i), κ = 2q − 1, and being in T replaces it by
f_i r_i with r_i = (e^{2iα_i} − 1)/f_i = 2i sin α_i / (cos α_i + iκ sin α_i). So with
P = Π_j (cos α_j + iκ sin α_j) and the phases of the e^{iα_j} put into the coefficient a,

    D_T(q) = Re Σ_k a_k P_k Π_{i∈T} r_i   (order 1: + slope_i).

The node 1 − q has κ negated, hence P and −r conjugated: both nodes share one column,
W = P · (w_q a + (−1)^t w_{1−q} ā). That halves the work. Only products of numbers of size ≤ 1 are ever
accumulated, no logarithms, no long sums of phases: float32 loses about √n roundings, relative to each
column (an underflow is a column that does not matter).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from circuits.engine.gates.games import precision
from circuits.engine.gates.series import Series
from circuits.engine.indices import quadrature

CELLS = 2**21
"""Games × waves × nodes × players held at once."""

SHARE = 1e-6
"""Columns are dropped, the smallest first, while what they could add is below this share of all."""


@dataclass(frozen=True)
class Nodes:
    """A quadrature with q and 1 − q paired. `fold` is (−1)^t.

    Attributes:
        kappa: 2q − 1 of one node of each pair.
        weight: of that node.
        mirror: weight of 1 − q.
        order: t.
    """

    kappa: Float[np.ndarray, "Q"]
    weight: Float[np.ndarray, "Q"]
    mirror: Float[np.ndarray, "Q"]
    order: int

    @classmethod
    def of(cls, index: str, order: int, players: int, nodes: int | None) -> Nodes:
        """Gives the nodes of an index: see `circuits.engine.indices.quadrature`."""
        q, w = quadrature(index, order, players, nodes)
        kappa = 2 * q - 1
        low = kappa < 0
        mirrored = {round(-k, 12): x for k, x in zip(kappa[~low], w[~low], strict=True)}
        mirror = np.array([mirrored.pop(round(k, 12), 0.0) for k in kappa[low]])
        # what has no partner below ½ stands as the mirror of a node of weight 0
        alone = np.array(list(mirrored.items())).reshape(-1, 2)
        return cls(
            np.concatenate([kappa[low], alone[:, 0]]),
            np.concatenate([w[low], np.zeros(len(alone))]),
            np.concatenate([mirror, alone[:, 1]]),
            order,
        )

    def __len__(self) -> int:
        return len(self.kappa)


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that matter, of g games, padded to one number C by columns of weight 0.

    Attributes:
        harmonic: of each column.
        kappa: of each column.
        weight: W.
        dropped: at most so much is missing from any D_T because columns were dropped.
        magnitude: Σ |W| max|r|^t over the columns kept, what rounding errors are relative to.
    """

    harmonic: Float[np.ndarray, "g C"]
    kappa: Float[np.ndarray, "g C"]
    weight: Complex[np.ndarray, "g C"]
    dropped: Float[np.ndarray, "g"]
    magnitude: Float[np.ndarray, "g"]


def columns(
    series: Series,
    nodes: Nodes,
    *,
    double: bool = False,
    share: float = SHARE,
    products: Products | None = None,
) -> Columns:
    """Gives the columns of each game that matter for sets of `nodes.order` players.

    Args:
        series: of the games.
        nodes: of the index.
        double: compute in float64.
        share: drop the smallest columns while their bounds add up to less than this share of all bounds'.
        products: those of the series at these nodes, if another order has them already.
    """
    known = products or multiply(series, nodes, double=double)
    a = series.centred[:, :, None]
    sign = (-1) ** nodes.order
    weight = known.product * (nodes.weight * a + sign * nodes.mirror * a.conj())
    size = (np.abs(weight) * _largest(known.steepest, nodes)).reshape(len(series), -1)
    order = np.argsort(-size, axis=1)
    ranked = np.take_along_axis(size, order, 1)
    left = ranked[:, ::-1].cumsum(1)[:, ::-1]  # what this column and all smaller ones could add
    keep = left > share * left[:, :1]
    count = min(column_bucket(int(keep.sum(1).max(initial=1))), size.shape[1])
    order = order[:, :count]
    kept = np.where(keep[:, :count], np.take_along_axis(weight.reshape(size.shape), order, 1), 0)
    harmonic = series.harmonics.astype(float)[order // len(nodes)]
    return Columns(
        harmonic,
        nodes.kappa[order % len(nodes)],
        kept,
        np.where(keep, 0, ranked).sum(1),
        np.where(keep, ranked, 0).sum(1),
    )


STEEPEST = 3
"""So many of the largest |sin α_i| are remembered; sets of more players repeat the last of them."""


def _largest(steepest: Float[np.ndarray, "g K S"], nodes: Nodes) -> Float[np.ndarray, "g K Q"]:
    """Gives the largest Π_{i∈T} |r_i| of any set of the nodes' order."""
    sine = steepest[:, :, None, np.minimum(np.arange(nodes.order), STEEPEST - 1)]
    kappa = nodes.kappa[:, None]
    return np.asarray((2 * sine / np.sqrt(1 - (1 - kappa**2) * sine**2)).prod(-1))


@dataclass(frozen=True, eq=False)
class Products:
    """P of every wave at every node, and the largest |sin α_i| of every wave."""

    product: Complex[np.ndarray, "g K Q"]
    steepest: Float[np.ndarray, "g K S"]


def column_bucket(count: int) -> int:
    """Gives the padded number of columns: 64, 128, then 192, 256, 384, …, so that few shapes are compiled.

    Example:
        >>> [column_bucket(count) for count in (1, 65, 130, 300)]
        [64, 128, 192, 384]
    """
    power = 1 << max(6, (max(count, 1) - 1).bit_length())
    return 3 * power // 4 if power > 128 and count <= 3 * power // 4 else power


def multiply(series: Series, nodes: Nodes, *, double: bool = False) -> Products:
    """Gives the products of all players' factors, a block of waves and some games at a time."""
    kind = np.float64 if double else np.float32
    games, n = series.turns.shape
    waves = len(series.harmonics)
    product = np.empty((games, waves, len(nodes)), complex)
    steepest = np.empty((games, waves, STEEPEST))
    block = max(1, min(waves, CELLS // max(1, n * len(nodes))))
    rows = batch_size(games, n * len(nodes) * block)
    kappa = nodes.kappa.astype(kind)
    with precision(double=double):
        for at in range(0, games, rows):
            turns = _fill(series.turns[at : at + rows].astype(kind), rows)
            for k in range(0, waves, block):
                harmonics = _fill(series.harmonics[k : k + block].astype(kind), block)
                re, im, sine = _multiplied(turns, harmonics, kappa)
                here = product[at : at + rows, k : k + block]
                size = here.shape[:2]
                here[:] = np.asarray(re)[: size[0], : size[1]] + 1j * np.asarray(im)[: size[0], : size[1]]
                steepest[at : at + rows, k : k + block] = np.asarray(sine)[: size[0], : size[1]]
    return Products(product, np.minimum(steepest, 1))


def batch_size(games: int, cells: int) -> int:
    """Gives how many games are computed at once, a power of two: all, or as many as `CELLS` allow.

    Example:
        >>> [batch_size(games, CELLS // 8) for games in (1, 3, 100)]
        [1, 4, 8]
    """
    most = 1 << (max(1, CELLS // max(1, cells)).bit_length() - 1)
    return min(most, 1 << (max(games, 1) - 1).bit_length())


def _fill(values: np.ndarray, size: int) -> np.ndarray:
    """Gives the array zero-padded along its first axis."""
    return np.pad(values, [(0, size - len(values)), *[(0, 0)] * (values.ndim - 1)])


def half_turns(
    turns: Float[Array, "..."], harmonics: Float[Array, "..."]
) -> tuple[Float[Array, "*k"], Float[Array, "*k"]]:
    """Gives sin and cos of π · harmonic · turn, whole periods taken off first; the two are broadcast."""
    x = harmonics * turns
    x = jnp.pi * (x - 2 * jnp.round(x / 2))
    return jnp.sin(x), jnp.cos(x)


@jax.jit
def _multiplied(
    turns: Float[Array, "g n"], harmonics: Float[Array, "K"], kappa: Float[Array, "Q"]
) -> tuple[Float[Array, "g K Q"], Float[Array, "g K Q"], Float[Array, "g K S"]]:
    """Gives P = Π_j (cos α_j + iκ sin α_j), player by player, and the largest |sin α_j|."""
    sine, cosine = half_turns(turns.T[:, :, None], harmonics)

    def step(so_far: tuple[Array, Array], player: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        (a, b), c, d = so_far, player[1][..., None], player[0][..., None] * kappa
        return (a * c - b * d, a * d + b * c), None

    one = jnp.ones((*sine.shape[1:], len(kappa)), turns.dtype)
    # a scan keeps the running products in cache: ten times faster than halving an array of all factors
    (re, im), _ = lax.scan(step, (one, jnp.zeros_like(one)), (sine, cosine), unroll=8)
    steep, found = jnp.abs(sine), []
    for _ in range(STEEPEST):
        found.append(steep.max(0))
        steep = jnp.where(jnp.arange(len(steep))[:, None, None] == steep.argmax(0), 0, steep)
    return re, im, jnp.stack(found, -1)


def directions(
    turns: Float[Array, "n"], harmonic: Float[Array, "C"], kappa: Float[Array, "C"]
) -> tuple[Float[Array, "C n"], Float[Array, "C n"]]:
    """Gives real and imaginary part of r_i in every column."""
    sine, cosine = half_turns(turns[None, :], harmonic[:, None])
    k = kappa[:, None]
    scale = 2 * sine / (cosine * cosine + k * k * sine * sine)
    return k * sine * scale, cosine * scale


def first_order(series: Series, found: Columns, *, double: bool = False) -> Float[np.ndarray, "g n"]:
    """Gives I({i}) of every player."""
    with precision(double=double):
        sums = _singles(*device(series, found, double=double))
    return np.asarray(np.asarray(sums, float) + series.slope)


def device(
    series: Series, found: Columns, *, double: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Gives turns, harmonics, κ and the two parts of W in the precision to compute in."""
    kind = np.float64 if double else np.float32
    parts = (series.turns, found.harmonic, found.kappa, found.weight.real, found.weight.imag)
    return tuple(part.astype(kind) for part in parts)  # type: ignore[return-value]


@jax.jit
@partial(jax.vmap, in_axes=0)
def _singles(
    turns: Float[Array, "n"],
    harmonic: Float[Array, "C"],
    kappa: Float[Array, "C"],
    re: Float[Array, "C"],
    im: Float[Array, "C"],
) -> Float[Array, "n"]:
    a, b = directions(turns, harmonic, kappa)
    return lax.dot(re, a, precision=HIGHEST) - lax.dot(im, b, precision=HIGHEST)


HIGHEST = lax.Precision.HIGHEST
