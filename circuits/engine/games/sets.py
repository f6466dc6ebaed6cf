"""Which sets of players are looked at: all of an order, or those grown from the strongest below."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.games.residual import Sets

ALL = 1 << 15
"""Sets of three and more are all looked at if there are no more than this; pairs always are."""

GROWN_FROM = 256
"""Sets of an order that the next larger ones are grown from."""


def every(players: int, order: int) -> Sets:
    """Gives all sets of one order, ascending."""
    members = np.array(list(combinations(range(players), order)), np.int64)
    return members.reshape(comb(players, order), order)


def complete(players: int, order: int) -> bool:
    """Gives whether all sets of an order are looked at."""
    return order <= 2 or comb(players, order) <= ALL


def grown(players: int, below: Sets, size: Float[np.ndarray, "sets"]) -> Int[np.ndarray, "more t+1"]:
    """Gives candidates of the next order: unions of two of the strongest sets that share all but one player.

    As frequent item sets are grown (Agrawal & Srikant 1994): a set all of whose subsets are weak is not
    looked at.

    Args:
        players: n.
        below: sets of one order.
        size: how strong each is.
    """
    strongest = below[np.argsort(-size, kind="stable")[:GROWN_FROM]]
    inside = np.zeros((len(strongest), players), bool)
    np.put_along_axis(inside, strongest, True, axis=1)
    shared = inside.astype(np.int64) @ inside.T.astype(np.int64)
    one, two = np.nonzero(np.triu(shared == below.shape[1] - 1, 1))
    union = np.unique(inside[one] | inside[two], axis=0)
    return np.nonzero(union)[1].reshape(-1, below.shape[1] + 1)
