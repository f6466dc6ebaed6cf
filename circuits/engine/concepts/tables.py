"""Truth tables of concepts over backgrounds, from any worth function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.engine.games.game import Coalitions, Worth
from circuits.errors import UsageError


def coalitions(
    groups: Sequence[Int[np.ndarray, "_"]], backgrounds: Bool[np.ndarray, "R n"]
) -> Bool[np.ndarray, "RS n"]:
    """Gives, for every background, the 2^t coalitions with some of the concepts on.

    Args:
        groups: the players of each concept, by column.
        backgrounds: what else is on; what it says of the concepts' own players is ignored.

    Returns:
        Rows of one background stand together; in its row s the concepts are on whose bits are set in s.
    """
    size = 1 << len(groups)
    rows = np.repeat(backgrounds, size, axis=0)
    subset = np.tile(np.arange(size), len(backgrounds))
    for bit, players in enumerate(groups):
        rows[:, players] = (subset >> bit & 1 > 0)[:, None]
    return rows


def truth_tables(
    worth: Worth, groups: Sequence[Int[np.ndarray, "_"]], backgrounds: Bool[np.ndarray, "R n"]
) -> Float[np.ndarray, "R S"]:
    """Gives the worth of every set of concepts, before every background: see `coalitions`.

    The worth may be anything that can be asked about coalitions: a graph under `graph.run`, the model
    itself under intervention, an array.

    Raises:
        UsageError: the worth gives other than one finite number a coalition.
    """
    masks = coalitions(groups, backgrounds)
    return as_tables(worth(masks), masks, len(backgrounds))


def as_tables(worths: object, masks: Coalitions, backgrounds: int) -> Float[np.ndarray, "R S"]:
    """Gives worths of the coalitions of `coalitions` as one table a background.

    Raises:
        UsageError: they are other than one finite number a coalition.
    """
    found = np.asarray(worths, np.float64)
    if found.shape != (len(masks),) or not np.isfinite(found).all():
        told = f"shape {found.shape}" if found.shape != (len(masks),) else "NaN or infinity"
        raise UsageError(
            f"The worth function gave {told} for {len(masks)} coalitions: one finite number each."
        )
    return found.reshape(backgrounds, -1)
