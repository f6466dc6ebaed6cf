"""What queries, keys and values do together: triples towards a target, through the pattern.

To first order, a change of the score s(q, k) moves the pattern by ∂A(q, k′)/∂s = A(q, k′)(δ_{kk′} − A(q, k)),
and with it what the head brings from every key. So the part of a target that goes through this score is

    v(S) = (s(S) − s(N)) · f(S),     f(S) = Σ_{c∈S} f_c

with f_c what the value of source c does to the target per unit of score: A(1 − A) o_c · e_target where c
writes at k alone, less A(q, k) A(q, k′) o_c · e_target for what it writes at other keys. v is cubic:

    I(a, b, c) = B_ab f_c + B_ac f_b + B_bc f_a,        B_ab = u_a · w_b + u_b · w_a

by every index, and 0 for four or more; where a feeds only the query, b the key and c the value it is
A(1 − A) (u_a · w_b)(o_c · e_target). A pair of sources has an interaction towards the target too, for
instance a query and a key that is also what is brought.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.indices import TOP_ORDER_ONLY, moment
from circuits.engine.kinds import kinds
from circuits.engine.plan import position_bucket
from circuits.engine.qk.game import NOISE, ScoreGame
from circuits.engine.qk.paths import descend, readers
from circuits.engine.qk.places import Place
from circuits.engine.qk.scores import key_group, pulled
from circuits.engine.rows import Engine

ENGINE: Final = "bilinear, pattern to first order"

CANDIDATES: Final = 4
"""Triples are sought among so many times as many of the strongest pairs, and of the strongest values."""


@dataclass(frozen=True)
class PatternGame:
    """The part of a target that goes through one score, to first order, as a game of the sources.

    `effect` is f: what each node's value does to the target per unit of score.
    """

    score: ScoreGame
    target: str
    effect: Float[np.ndarray, "N"]

    def worth(self, on: Bool[np.ndarray, "B N"]) -> Float[np.ndarray, "B"]:
        """Gives (s(S) − s(N)) · f(S) of coalitions; nodes that are no players count as on."""
        seen = np.where(self.score.free, on, True).astype(np.float64)
        return np.asarray((self.score.worth(on) - self.score.value) * (seen @ self.effect))

    def triples(self, members: Int[np.ndarray, "k 3"]) -> Float[np.ndarray, "k"]:
        """Gives the interactions of three different players each."""
        a, b, c = members.T
        f, both = self.effect, self._both
        return np.asarray(both(a, b) * f[c] + both(a, c) * f[b] + both(b, c) * f[a])

    def pairs(self, members: Int[np.ndarray, "k 2"], index: str) -> Float[np.ndarray, "k"]:
        """Gives the interactions of two different players each, by an index whose top order is 3.

        Args:
            members: rows of nodes.
            index: one of `circuits.engine.indices.INDICES`.
        """
        a, b = members.T
        f, both = self.effect.astype(np.float64), self._both(a, b)
        held = ~self.score.free
        alone, with_all = self._alone, self._with_all
        # s(∅) − s(N) has no part in a pair: it multiplies f, which has no pairs
        found = both * (f[held].sum() + f[a] + f[b]) + alone[a] * f[b] + alone[b] * f[a]
        share = 0.0 if index in TOP_ORDER_ONLY else moment(index, 2, 1)
        others = both * (f[~held].sum() - f[a] - f[b])
        others += f[b] * (with_all[a] - both) + f[a] * (with_all[b] - both)
        out: Float[np.ndarray, "k"] = found + share * others
        return out

    def tables(self, members: Int[np.ndarray, "k t"]) -> Float[np.ndarray, "k S"]:
        """Gives the worths of all subsets of each set of players, all else on; member i is bit 2^i."""
        size = members.shape[1]
        query, key, f = (side.astype(np.float64) for side in (*self._sides, self.effect))
        out = np.empty((len(members), 2**size))
        for s, on in enumerate(product((False, True), repeat=size)):
            off = members[:, [not bit for bit in reversed(on)]]
            left, right = query.sum(0) - query[off].sum(1), key.sum(0) - key[off].sum(1)
            score = np.einsum("kq,kq->k", left, right)
            out[:, s] = (score - self.score.value) * (f.sum() - f[off].sum(1))
        return out

    def strongest(self, top: int, index: str) -> list[tuple[Int[np.ndarray, "k t"], Float[np.ndarray, "k"]]]:
        """Gives the strongest triples, then the strongest pairs, found among candidates.

        Candidates are the players of the strongest pairs of the score and those of the strongest values;
        a triple also holds one of these pairs. Their interactions are exact.

        Args:
            top: how many of each.
            index: of the pairs.
        """
        free = np.flatnonzero(self.score.free)
        found = self.score.pairs(CANDIDATES * top)
        values = free[np.argsort(-np.abs(self.effect[free]), kind="stable")][: CANDIDATES * top + 2]
        values = values[self.effect[values] != 0]
        pairs = np.stack([found.row, found.column], axis=1)
        three = np.array(
            [(*pair, c) for pair, c in product(pairs.tolist(), values.tolist()) if c not in pair], int
        )
        alone = free[np.argsort(-np.abs(self._alone[free]), kind="stable")][:top]
        some = np.unique(np.concatenate([pairs.ravel(), values, alone]))
        two = np.stack(np.triu_indices(len(some), 1), axis=1)
        three, two = _distinct(three.reshape(-1, 3)), some[two]
        return [self._best(three, self.triples(three), top), self._best(two, self.pairs(two, index), top)]

    def hyperedges(self, names: Sequence[str], top: int, index: str) -> pl.DataFrame:
        """Gives the strongest triples and pairs towards the target, as shares that run through the head.

        Args:
            names: of the nodes.
            top: how many of each order.
            index: what the interactions are.
        """
        tables = []
        for members, weights in self.strongest(top, index):
            worths = self.tables(members)
            columns = {
                "members": [[names[i] for i in row] for row in members],
                "target": self.target,
                "index": index,
                "weight": weights,
                "effect": worths[:, -1] - worths[:, 0],
                "gate": kinds(worths) if len(worths) else [],
                "channel": "qk",
                "via": self.score.place.via,
                "engine": ENGINE,
            }
            tables.append(hyperedge_table(columns))
        return pl.concat(tables)

    @property
    def _sides(self) -> tuple[np.ndarray, np.ndarray]:
        return self.score.query, self.score.key

    def _both(self, a: np.ndarray, b: np.ndarray) -> Float[np.ndarray, "k"]:
        query, key = self._sides
        one = np.einsum("kq,kq->k", query[a], key[b], dtype=np.float64)
        out: Float[np.ndarray, "k"] = one + np.einsum("kq,kq->k", query[b], key[a], dtype=np.float64)
        return out

    @cached_property
    def _alone(self) -> Float[np.ndarray, "N"]:
        """Gives what each player alone does to the score, beside the constants."""
        query, key = (side.astype(np.float64) for side in self._sides)
        held = ~self.score.free
        own = np.einsum("nq,nq->n", query, key)
        return np.asarray(own + query @ key[held].sum(0) + key @ query[held].sum(0))

    @cached_property
    def _with_all(self) -> Float[np.ndarray, "N"]:
        """Gives Σ_{c ≠ a} B_ac over the players."""
        query, key = (side.astype(np.float64) for side in self._sides)
        free = self.score.free
        own = np.einsum("nq,nq->n", query, key)
        return np.asarray(query @ key[free].sum(0) + key @ query[free].sum(0) - 2 * own)

    def _best(
        self, members: np.ndarray, weights: np.ndarray, top: int
    ) -> tuple[Int[np.ndarray, "k t"], Float[np.ndarray, "k"]]:
        floor = NOISE * float(np.finfo(self.score.query.dtype).eps) * np.abs(weights).max(initial=0)
        order = np.argsort(-np.abs(weights), kind="stable")[:top]
        order = order[np.abs(weights[order]) > floor]
        return members[order], weights[order]


def pattern_game(engine: Engine, score: ScoreGame, target: int, name: str) -> PatternGame:
    """Gives the part of a target that goes through a score.

    Args:
        engine: of the trace.
        score: of one key, not log-odds.
        target: row of the node table: a feature or a logit.
        name: its name.
    """
    return PatternGame(score, name, value_effects(engine, score.place, target))


def value_effects(engine: Engine, place: Place, target: int) -> Float[np.ndarray, "N"]:
    """Gives f: what every node's value does to a target per unit of one score, features held.

    Their sum is ∂target / ∂score through the softmax of this query.

    Args:
        engine: of the trace.
        place: layer, head, query and key.
        target: row of the node table.
    """
    trace, attention = engine.trace, engine.trace.attention
    assert attention is not None
    assert place.query is not None
    layer, head, q = place.layer, place.head, place.query
    with engine.precision():
        asked = readers(engine, np.array([target]), 1)
        reached = max(int(asked.position[0]), q) + 1
        cut = engine.operators[0].cut(position_bucket(reached))
        read = np.zeros(trace.width, trace.dtype)
        for found in descend(cut, asked, parallel=trace.parallel):
            if found.layer == layer and found.middle is not None:
                read = np.asarray(found.middle)[q, 0]
                break
    value = attention.value[layer, key_group(trace, head)]
    row = (read @ attention.output[layer, head]) @ value
    pattern = attention.pattern[layer, head, q, : q + 1].astype(np.float64)
    moved = pattern * ((np.arange(q + 1) == place.key) - pattern[place.key])
    moved *= attention.write_scale[layer, q] * attention.read_scale[layer, : q + 1]
    seen = np.flatnonzero(moved)
    rows = (moved[seen, None] * row).astype(trace.dtype)
    effects = pulled(engine, rows, seen, layer, position_bucket(q + 1))
    return np.asarray(effects.sum(axis=1, dtype=np.float64))


def _distinct(members: Int[np.ndarray, "k t"]) -> Int[np.ndarray, "_ t"]:
    """Gives each set once, in the order of its first mention."""
    _, first = np.unique(np.sort(members, axis=1), axis=0, return_index=True)
    return members[np.sort(first)]
