"""Exact interactions of many games at once, in JAX: what `enumeration` does, for one table a row."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from circuits.engine.enumeration import all_sizes, players_of, sets_of_size, weights
from circuits.engine.indices import check_order


def batched_interactions(
    worths: Real[Array | np.ndarray, "games ..."], index: str = "SII", order: int = 2
) -> tuple[Float[Array, "games _"], ...]:
    """Gives the interactions of all sets of 1 to `order` players of each game.

    Compiled once per number of games and players, index and order. In float32, JAX's default, values are
    within 1e-6 · n of the game's largest worth; under `jax.enable_x64(True)` they are as good as NumPy's.

    Args:
        worths: a worth table a row, laid out as in `enumeration`; finite numbers.
        index: the definition.
        order: the largest order; the top order of k-SII, STII and FSII.

    Returns:
        One array for every order, its columns the sets in the order of `Interactions.members`.

    Raises:
        UsageError: as `enumeration.exact_interactions`, except that worths are not looked at.

    Example:
        >>> singles, pairs = batched_interactions(jnp.array([[0, 1, 2, 6.0], [0, 0, 0, 3.0]]))
        >>> singles.tolist(), pairs.tolist()
        ([[2.5, 3.5], [1.5, 1.5]], [[3.0], [3.0]])
    """
    check_order(index, order, players_of(worths.shape[1:]))
    table = jnp.asarray(worths, jnp.result_type(float))
    found: tuple[Array, ...] = _compiled(table, index, order)
    return found


@partial(jax.jit, static_argnames=("index", "order"))
def _compiled(worths: Float[Array, "games S"], index: str, order: int) -> tuple[Array, ...]:
    return jax.vmap(partial(_one, index=index, order=order))(worths)


def _one(table: Float[Array, "S"], index: str, order: int) -> tuple[Array, ...]:
    players = players_of(table.shape)
    sizes = all_sizes(players)
    for i in range(players):
        low, high = jnp.moveaxis(table.reshape(-1, 2, 1 << i), 1, 0)
        table = jnp.stack([(low + high) / 2, high - low], axis=1).reshape(-1)
    found = []
    for t in range(1, order + 1):
        terms = table * jnp.asarray(weights(index, t, order, players)[sizes], table.dtype)
        for i in range(players):
            low, high = jnp.moveaxis(terms.reshape(-1, 2, 1 << i), 1, 0)
            terms = jnp.stack([low + high, high], axis=1).reshape(-1)
        found.append(terms[sets_of_size(players, t).astype(np.int32)])  # one dtype, with or without x64
    return tuple(found)
