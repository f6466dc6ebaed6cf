"""The best n of each row, kept while events stream by: bounded memory, no loop over events."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

_NONE = -np.inf


class Best:
    """Keeps, for each of some rows, the n events of largest key.

    With activations as keys these are a feature's strongest tokens; with random keys a uniform sample.

    Attributes:
        key: keys of what is held, -inf where nothing is; in no order.
        at: where each event was, -1 where nothing is held.
        around: numbers that go with each event.
    """

    def __init__(self, rows: int, n: int, width: int) -> None:
        self.key: Float[np.ndarray, "rows n"] = np.full((rows, n), _NONE, np.float32)
        self.at: Int[np.ndarray, "rows n"] = np.full((rows, n), -1, np.int64)
        self.around: Float[np.ndarray, "rows n width"] = np.zeros((rows, n, width), np.float32)
        self._least: Float[np.ndarray, "rows"] = np.full(rows, _NONE, np.float32)

    def entering(
        self,
        row: Int[np.ndarray, "e"],
        key: Float[np.ndarray, "e"],
        group: Int[np.ndarray, "e"] | None = None,
    ) -> Int[np.ndarray, "k"]:
        """Gives which of some events may enter, at most n of a row, best first within it.

        Args:
            row: of each event.
            key: of each event.
            group: of each event, below 2**31; only the best of each row and group may enter.
        """
        chosen = np.flatnonzero(key > self._least[row])
        if group is not None:
            pair = (row[chosen].astype(np.int64) << 31) | group[chosen]
            chosen = chosen[np.lexsort((-key[chosen], pair))]
            pair = (row[chosen].astype(np.int64) << 31) | group[chosen]
            chosen = chosen[np.flatnonzero(np.diff(pair, prepend=-1))]
        chosen = chosen[np.lexsort((-key[chosen], row[chosen]))]
        return np.asarray(chosen[ranks(row[chosen]) < self.key.shape[1]])

    def add(
        self,
        row: Int[np.ndarray, "k"],
        key: Float[np.ndarray, "k"],
        at: Int[np.ndarray, "k"],
        around: Float[np.ndarray, "k width"],
    ) -> None:
        """Adds events, sorted by row and at most n of each, as `entering` gives them."""
        touched, place = np.unique(row, return_inverse=True)
        count, n = len(touched), self.key.shape[1]
        spot = place, ranks(row)
        keys, ats = np.full((count, n), _NONE, np.float32), np.full((count, n), -1, np.int64)
        rounds = np.zeros((count, n, self.around.shape[2]), np.float32)
        keys[spot], ats[spot], rounds[spot] = key, at, around
        keys = np.concatenate([self.key[touched], keys], axis=1)
        best = np.argpartition(-keys, n - 1, axis=1)[:, :n]
        lines = np.arange(count)[:, None]
        self.key[touched] = keys[lines, best]
        self.at[touched] = np.concatenate([self.at[touched], ats], axis=1)[lines, best]
        self.around[touched] = np.concatenate([self.around[touched], rounds], axis=1)[lines, best]
        self._least[touched] = self.key[touched].min(axis=1)

    def drop(self, which: np.ndarray) -> None:
        """Forgets some of what is held: a mask of the shape of `key`."""
        self.key[which], self.at[which] = _NONE, -1
        self._least = self.key.min(axis=1)

    def order(self) -> Int[np.ndarray, "rows n"]:
        """Gives each row's events best first."""
        return np.argsort(-self.key, axis=1, kind="stable")


def ranks(row: Int[np.ndarray, "k"]) -> Int[np.ndarray, "k"]:
    """Gives for sorted rows the place of each entry among those of its row.

    Example:
        >>> ranks(np.array([4, 4, 7])).tolist()
        [0, 1, 0]
    """
    first = np.flatnonzero(np.diff(row, prepend=-1))
    return np.arange(len(row)) - np.repeat(first, np.diff(first, append=len(row)))
