"""All pairs of a gate's inputs: one real matrix product a game, or blocks of it, the strongest kept (JAX)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from circuits.engine.gates.columns import CELLS, HIGHEST, Columns, batch_size, device, directions
from circuits.engine.gates.games import precision
from circuits.engine.gates.series import Series

BLOCK = 256
"""Up to so many players all pairs of a game are one product; beyond, products of blocks of so many."""


@dataclass(frozen=True, eq=False)
class Strongest:
    """The sets kept of one game, the strongest first.

    Attributes:
        members: t players each.
        value: their interactions.
        evaluated: how many were computed; the bounds of other pairs say they cannot be stronger.
    """

    members: Int[np.ndarray, "m t"]
    value: Float[np.ndarray, "m"]
    evaluated: int


def all_pairs(series: Series, found: Columns, *, double: bool = False) -> Float[np.ndarray, "g n n"]:
    """Gives I({i, j}) of every pair, zeros on the diagonal: Re(Rᵀ diag(W) R), one real product a game.

    Args:
        series: of the games.
        found: their columns for pairs.
        double: compute in float64.
    """
    games, n = series.turns.shape
    out = np.empty((games, n, n))
    rows = batch_size(games, 4 * n * found.harmonic.shape[1])
    parts = device(series, found, double=double)
    with precision(double=double):
        for at in range(0, games, rows):
            pieces = [_rows(part, at, rows) for part in parts]
            out[at : at + rows] = np.asarray(_products(*pieces))[: games - at]
    out[:, np.arange(n), np.arange(n)] = 0
    return out


def _rows(part: np.ndarray, at: int, count: int) -> np.ndarray:
    here = part[at : at + count]
    return here if len(here) == count else np.concatenate([here, np.repeat(here[:1], count - len(here), 0)])


def _factors(
    turns: Float[Array, "n"],
    harmonic: Float[Array, "C"],
    kappa: Float[Array, "C"],
    re: Float[Array, "C"],
    im: Float[Array, "C"],
) -> tuple[Float[Array, "two_C n"], Float[Array, "two_C n"]]:
    """Gives X, Y with Re Σ W r_i r_j = (Xᵀ Y)_ij."""
    a, b = directions(turns, harmonic, kappa)
    re, im = re[:, None], im[:, None]
    return jnp.concatenate([a, b]), jnp.concatenate([re * a - im * b, -im * a - re * b])


def contract(x: Float[Array, "C n"], y: Float[Array, "C k"]) -> Float[Array, "n k"]:
    """Gives Xᵀ Y."""
    return lax.dot_general(x, y, (((0,), (0,)), ((), ())), precision=HIGHEST)


@jax.jit
@partial(jax.vmap, in_axes=0)
def _products(*parts: Array) -> Float[Array, "n n"]:
    return contract(*_factors(*parts))


def strongest_pairs(
    series: Series, found: Columns, top: int | None, floor: Float[np.ndarray, "g"], *, double: bool = False
) -> list[Strongest]:
    """Gives, for each game, its `top` pairs of |I| ≥ floor, all pairs of only a few games being held.

    By Cauchy–Schwarz |I_ij| ≤ ν_i ν_j, ν_i² = Σ |W| |r_i|². Players stand in order of ν; a block of pairs is
    computed only if its bound reaches the weakest pair kept so far, so nothing is lost.

    Args:
        series: of the games.
        found: their columns for pairs.
        top: at most so many; all unless given.
        floor: the least |I| of each game; exact zeros are never kept.
        double: compute in float64.
    """
    if series.turns.shape[1] > BLOCK:
        return [
            _blockwise(series.part([g]), _one(found, g), top, float(floor[g]), double=double)
            for g in range(len(series))
        ]
    kept = []
    rows = max(1, CELLS // series.turns.shape[1] ** 2)
    for at in range(0, len(series), rows):
        some = range(at, min(at + rows, len(series)))
        tables = all_pairs(series.part(some), _one(found, some), double=double)
        i, j = np.triu_indices(tables.shape[1], 1)
        for g, table in zip(some, tables, strict=True):
            place, value = best_of(table[i, j], top, float(floor[g]))
            kept.append(Strongest(np.stack([i[place], j[place]], 1), value, len(i)))
    return kept


def _one(found: Columns, rows: int | range) -> Columns:
    pick = [rows] if isinstance(rows, int) else list(rows)
    return Columns(*(part[pick] for part in vars(found).values()))


def best_of(
    values: Float[np.ndarray, "k"], top: int | None, floor: float
) -> tuple[Int[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """Gives places and values of the strongest of at least the floor, the strongest first."""
    size = np.abs(values)
    place = np.flatnonzero((size >= floor) & (size > 0))
    if top is not None and len(place) > top:
        place = place[np.argpartition(-size[place], top - 1)[:top]] if top else place[:0]
    place = place[np.argsort(-size[place], kind="stable")]
    return place, values[place]


def search(
    norm: Float[np.ndarray, "n"],
    block: Callable[[Int[np.ndarray, "b"], Int[np.ndarray, "b"]], Float[np.ndarray, "b b"]],
    top: int | None,
    floor: float,
) -> Strongest:
    """Gives the strongest pairs of one game of many players, block by block, the strongest bounds first.

    Args:
        norm: ν, so that no |I_ij| is larger than ν_i ν_j.
        block: the interactions of some players (rows) with others (columns); `BLOCK` of each.
        top: at most so many; all unless given.
        floor: the least |I|.
    """
    rank = np.argsort(-norm, kind="stable")[: int(np.count_nonzero(norm))]
    blocks = -(-len(rank) // BLOCK)
    order = np.concatenate([rank, np.zeros(blocks * BLOCK - len(rank), rank.dtype)]).reshape(blocks, BLOCK)
    first = norm[order[:, 0]]
    i, j, values = np.zeros(0, int), np.zeros(0, int), np.zeros(0)
    least, evaluated = floor, 0
    pairs = [(first[p] * first[q], p, q) for p in range(blocks) for q in range(p, blocks)]
    place = np.arange(BLOCK)
    for bound, p, q in sorted(pairs, reverse=True):
        if bound < least:
            break
        table = block(order[p], order[q])
        left, right = p * BLOCK + place, q * BLOCK + place
        fresh = (left[:, None] < right) & (right < len(rank))
        evaluated += int(fresh.sum())
        a, b = np.nonzero(fresh & (np.abs(table) >= least) & (table != 0))
        i, j = np.append(i, order[p][a]), np.append(j, order[q][b])
        values = np.append(values, table[a, b])
        best, values = best_of(values, top, floor)
        i, j = i[best], j[best]
        if top is not None and len(values) == top:
            least = max(floor, float(np.abs(values).min(initial=np.inf)))
    return Strongest(np.sort(np.stack([i, j], 1), 1), values, evaluated)


def _blockwise(series: Series, found: Columns, top: int | None, floor: float, *, double: bool) -> Strongest:
    """Gives the strongest pairs of one game of many players."""
    with precision(double=double):
        x, y, norm = _prepared(*[part[0] for part in device(series, found, double=double)])
        return search(
            np.asarray(norm, float), lambda i, j: np.asarray(contracted(x, y, i, j), float), top, floor
        )


@jax.jit
def _prepared(*parts: Array) -> tuple[Float[Array, "two_C n"], Float[Array, "two_C n"], Float[Array, "n"]]:
    """Gives X, Y and ν; ν a little larger than it is, so that rounding drops nothing."""
    x, y = _factors(*parts)
    squares = (x * x)[: len(x) // 2] + (x * x)[len(x) // 2 :]
    return x, y, jnp.sqrt(jnp.hypot(parts[3], parts[4]) @ squares) * 1.001


@jax.jit
def contracted(
    x: Float[Array, "C n"], y: Float[Array, "C n"], i: Int[Array, "b"], j: Int[Array, "b"]
) -> Float[Array, "b b"]:
    """Gives (Xᵀ Y)_ij of some players with others."""
    return contract(x[:, i], y[:, j])
