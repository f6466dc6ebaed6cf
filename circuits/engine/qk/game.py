"""An attention score, or the log-odds of two keys, as a game of the sources that feed it.

v(S) = (β_q + Σ_{a∈S} u_a) · (β_k + Σ_{b∈S} w_b), with the constants in β. A node may feed both sides, so

    the interaction of {a, b} = u_a · w_b + u_b · w_a

by every index (the game is quadratic: Moebius, SII, STII and the others agree), and 0 for three or more.
Where a feeds only the query and b only the key, this is u_a · w_b. Softmax makes shares of scores, and the
logarithm of two shares' ratio is the difference of two scores, so log-odds are such a game too, with
w = w_k − w_k′.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.kinds import kinds
from circuits.engine.qk.places import Place
from circuits.engine.qk.scores import Contributions, End, key_group
from circuits.engine.qk.topk import Pairs, Sign, top_symmetric
from circuits.trace import Trace

ENGINE: Final = "bilinear"

NOISE: Final = 16
"""Products below so many roundings of the largest possible one are taken for 0."""


@dataclass(frozen=True)
class ScoreGame:
    """A score or log-odds: what every node gives to the query and to the key (or difference of keys).

    `free` tells which nodes are players; all others are always on.
    """

    place: Place
    query: Float[np.ndarray, "N Q"]
    key: Float[np.ndarray, "N Q"]
    free: Bool[np.ndarray, "N"]

    @property
    def value(self) -> float:
        """Gives the score, or the difference of two, with everything on."""
        return float(self.query.sum(0, dtype=np.float64) @ self.key.sum(0, dtype=np.float64))

    def worth(self, on: Bool[np.ndarray, "B N"]) -> Float[np.ndarray, "B"]:
        """Gives the worth of coalitions of nodes; nodes that are no players count as on."""
        seen = np.where(self.free, on, True).astype(np.float64)
        worths: Float[np.ndarray, "B"] = np.einsum("bq,bq->b", seen @ self.query, seen @ self.key)
        return worths

    def pairs(self, top: int, sign: Sign = "both") -> Pairs:
        """Gives the strongest pairs of players; the first of a pair feeds the query more than the key."""
        rows = np.flatnonzero(self.free)
        query, key = self.query[rows], self.key[rows]
        found = top_symmetric(query, key, top, sign)
        sizes = [float(np.linalg.norm(side, axis=1).max(initial=0)) for side in (query, key)]
        found = found.where(
            np.abs(found.value) > NOISE * float(np.finfo(query.dtype).eps) * sizes[0] * sizes[1]
        )
        return Pairs(rows[found.row], rows[found.column], found.value)

    def tables(self, pairs: Pairs) -> Float[np.ndarray, "k 4"]:
        """Gives the worths without both, with the first, with the second, with both, all else on."""
        query, key = (side.astype(np.float64) for side in (self.query, self.key))
        ends = (pairs.row, pairs.column)
        out = np.empty((len(pairs), 4))
        for s in range(4):
            off = [rows for bit, rows in enumerate(ends) if not s >> bit & 1]
            none = np.zeros((len(pairs), query.shape[1]))
            left, right = (side.sum(0) - sum((side[rows] for rows in off), none) for side in (query, key))
            out[:, s] = np.einsum("kq,kq->k", left, right)
        return out

    def hyperedges(self, names: Sequence[str], top: int, index: str) -> pl.DataFrame:
        """Gives the strongest pairs as hyperedges towards the score.

        Args:
            names: of the nodes.
            top: how many.
            index: what the interactions are called; they are the same by each.
        """
        found = self.pairs(top)
        worths = self.tables(found)
        return hyperedge_table(
            {
                "members": [[names[a], names[b]] for a, b in zip(found.row, found.column, strict=True)],
                "target": self.place.target,
                "index": index,
                "weight": found.value,
                "effect": worths[:, 3] - worths[:, 0],
                "gate": kinds(worths) if len(worths) else [],
                "channel": "qk",
                "engine": ENGINE,
            }
        )


def ends_of(trace: Trace, place: Place) -> list[End]:
    """Gives the query of a place and its key or keys."""
    assert place.query is not None
    assert place.key is not None
    keys = [place.key] if place.other is None else [place.key, place.other]
    group = key_group(trace, place.head)
    return [
        End(place.layer, "query", place.head, place.query),
        *(End(place.layer, "key", group, k) for k in keys),
    ]


def score_game(
    trace: Trace, place: Place, found: Mapping[End, Contributions], free: Bool[np.ndarray, "N"]
) -> ScoreGame:
    """Gives the game of a score, or of log-odds where the place has two keys.

    Args:
        trace: one with scores.
        place: with a query and a key.
        found: what nodes contribute to its ends, at least.
        free: which nodes are players.
    """
    query, key, *other = (found[end] for end in ends_of(trace, place))
    return ScoreGame(place, query, key - other[0] if other else key, free)


def attended(trace: Trace, place: Place) -> Int[np.ndarray, "k"]:
    """Gives the keys a head sees from its query, the most attended first."""
    assert trace.attention is not None
    row = trace.attention.pattern[place.layer, place.head, place.query]
    return np.argsort(-row, kind="stable")[: int((row > 0).sum())]
