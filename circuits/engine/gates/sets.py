"""Interactions of chosen sets of players: triples among candidates, pairs computed again (JAX)."""

from __future__ import annotations

from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from circuits.engine.gates.columns import Columns, batch_size, device, directions
from circuits.engine.gates.games import precision
from circuits.engine.gates.series import Series


def chosen_sets(
    series: Series, found: Columns, members: Int[np.ndarray, "g m t"], *, double: bool = False
) -> Float[np.ndarray, "g m"]:
    """Gives Re Σ W Π_{i∈T} r_i for m sets of t players of each game.

    Args:
        series: of the games.
        found: their columns for sets of t.
        members: the players of each set; their number sets the order.
        double: compute in float64.
    """
    games, m, t = members.shape
    values = np.empty((games, m))
    turns, *parts = device(series, found, double=double)
    used = np.zeros(series.turns.shape, bool)
    for row, sets in zip(used, members, strict=True):
        row[sets] = True
    count = max(1, int(used.sum(1).max(initial=1)))
    players = np.argsort(~used, axis=1, kind="stable")[:, :count]
    place = np.zeros(series.turns.shape, np.int32)
    np.put_along_axis(place, players, np.arange(count, dtype=np.int32)[None], 1)
    size = max(8, 1 << (count - 1).bit_length())
    some = np.pad(np.take_along_axis(turns, players, 1), [(0, 0), (0, size - count)])
    chunk = batch_size(m, 4 * found.harmonic.shape[1])
    with precision(double=double):
        for g in range(games):
            r = _rows(some[g], parts[0][g], parts[1][g])
            at = place[g][members[g]]
            for k in range(0, m, chunk):
                here = np.pad(at[k : k + chunk], [(0, chunk - len(at[k : k + chunk])), (0, 0)])
                values[g, k : k + chunk] = np.asarray(_sums(*r, parts[2][g], parts[3][g], here))[: m - k]
    return values + (np.take_along_axis(series.slope, members[:, :, 0], 1) if t == 1 else 0)


@jax.jit
def _rows(
    turns: Float[Array, "p"], harmonic: Float[Array, "C"], kappa: Float[Array, "C"]
) -> tuple[Float[Array, "p C"], Float[Array, "p C"]]:
    a, b = directions(turns, harmonic, kappa)
    return a.T, b.T


@jax.jit
def _sums(
    a: Float[Array, "p C"],
    b: Float[Array, "p C"],
    re: Float[Array, "C"],
    im: Float[Array, "C"],
    members: Int[Array, "m t"],
) -> Float[Array, "m"]:
    x, y = jnp.broadcast_to(re, (len(members), len(re))), jnp.broadcast_to(im, (len(members), len(im)))
    for k in range(members.shape[1]):
        c, d = a[members[:, k]], b[members[:, k]]
        x, y = x * c - y * d, x * d + y * c
    return x.sum(1)


def triples_among(candidates: Int[np.ndarray, "k"]) -> Int[np.ndarray, "m 3"]:
    """Gives all triples of the candidates, each ascending."""
    return np.array(list(combinations(sorted(candidates.tolist()), 3)), np.int64).reshape(-1, 3)
