"""The strongest interactions of games of one kind: ranked by the chosen engine, then computed finely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.enumeration import all_coalitions, exact_interactions
from circuits.engine.gates.ablation import ablated_sets, strongest_ablated
from circuits.engine.gates.choose import ENUMERATED, GRID, Choice, Rule
from circuits.engine.gates.columns import Columns, Nodes, Products, columns, multiply
from circuits.engine.gates.fourier import fourier
from circuits.engine.gates.games import GateGames
from circuits.engine.gates.lattice import lattice
from circuits.engine.gates.pairs import Strongest, best_of, strongest_pairs
from circuits.engine.gates.series import Series
from circuits.engine.gates.sets import chosen_sets, triples_among

STEPS = 4
"""What moved is taken four times for gates with a step, whose waves converge slowly and unevenly."""


@dataclass(frozen=True)
class Wanted:
    """Which interactions are asked for.

    Attributes:
        index: their definition; every order counts as its own top order.
        order: 2, or 3 for pairs and triples.
        top: at most so many sets of each order for each gate.
        threshold: the least |I| as a share of Σ|c| of the gate.
        candidates: triples are formed of so many players, those of the strongest pairs.
        double: compute in float64.
    """

    index: str
    order: int = 2
    top: int | None = None
    threshold: float = 0.0
    candidates: int = 12
    double: bool = False

    def floor(self, games: GateGames) -> Float[np.ndarray, "g"]:
        """Gives the least |I| of each game."""
        return np.asarray(self.threshold * np.abs(games.inputs).sum(1))


@dataclass(frozen=True, eq=False)
class Kept:
    """The sets of one order that are kept of one game, the strongest first.

    `error` bounds or estimates how far any of the values is off: see `strongest`.
    """

    members: Int[np.ndarray, "m t"]
    value: Float[np.ndarray, "m"]
    error: float
    evaluated: int


def strongest(games: GateGames, choice: Choice, wanted: Wanted) -> list[dict[int, Kept]]:
    """Gives, for each game, what is kept of each order from 2 on.

    Enumeration and ablation are exact. The other engines rank all sets coarsely and compute those kept
    again, finely; the error is the largest change among them, plus the bound on dropped columns, plus
    what float32 may lose. (The change overstates the fine values' own error: they converge.)

    Args:
        games: of one gate, with about the same number of players.
        choice: the engine.
        wanted: what is asked for.
    """
    if choice.engine == "enumeration":
        return [_enumerated(games.part([g]), wanted) for g in range(len(games))]
    if choice.engine == "ablation":
        return _ablated(games, wanted)
    assert choice.search is not None
    assert choice.final is not None
    coarse, fine = (_Engine.of(games, choice, rule, wanted) for rule in (choice.search, choice.final))
    floor = wanted.floor(games)
    pairs = strongest_pairs(coarse.series, coarse.columns(2), wanted.top, floor, double=wanted.double)
    kept = [{2: k} for k in _refined(fine, pairs)]
    if wanted.order > 2:
        for found, k in zip(kept, _refined(fine, _triples(coarse, pairs, floor)), strict=True):
            found[3] = k
    return kept


@dataclass(frozen=True, eq=False)
class _Engine:
    """The series of some games summed by one rule."""

    series: Series
    rule: Rule
    wanted: Wanted
    _products: dict[bytes, Products] = field(default_factory=dict)

    @classmethod
    def of(cls, games: GateGames, choice: Choice, rule: Rule, wanted: Wanted) -> _Engine:
        if choice.engine == "lattice":
            return cls(lattice(games, GRID, rounded=False, terms=rule.terms), rule, wanted)
        return cls(fourier(games, rule.terms), rule, wanted)

    def columns(self, order: int) -> Columns:
        """Gives the columns for sets of one order; products are shared by orders with the same nodes."""
        wanted, rule = self.wanted, self.rule
        nodes = Nodes.of(wanted.index, order, self.series.turns.shape[1], rule.nodes)
        key = nodes.kappa.tobytes()
        if key not in self._products:
            self._products[key] = multiply(self.series, nodes, double=wanted.double)
        known = self._products[key]
        return columns(self.series, nodes, double=wanted.double, share=rule.share, products=known)

    def values(
        self, found: Columns, members: Sequence[Int[np.ndarray, "_ t"]]
    ) -> list[Float[np.ndarray, "_"]]:
        """Gives the values of each game's own sets."""
        out = []
        for g, sets in enumerate(members):
            one = Columns(*(part[g : g + 1] for part in vars(found).values()))
            empty = not len(sets)
            out.append(
                np.zeros(0)
                if empty
                else chosen_sets(self.series.part([g]), one, sets[None], double=self.wanted.double)[0]
            )
        return out


def _triples(coarse: _Engine, pairs: Sequence[Strongest], floor: Float[np.ndarray, "g"]) -> list[Strongest]:
    """Gives the strongest triples among the players of each game's strongest pairs."""
    wanted = coarse.wanted
    members = [
        triples_among(candidates(turns, found.members, wanted.candidates))
        for turns, found in zip(coarse.series.turns, pairs, strict=True)
    ]
    values = coarse.values(coarse.columns(3), members)
    return [_best(m, v, wanted.top, float(f)) for m, v, f in zip(members, values, floor, strict=True)]


def candidates(
    inputs: Float[np.ndarray, "n"], pairs: Int[np.ndarray, "m 2"], count: int
) -> Int[np.ndarray, "k"]:
    """Gives `count` players to form triples of: those of the pairs, in their order, then the largest inputs.

    A triple can act where no two of its members do (three of which any one is enough). Of few players
    all are candidates.
    """
    players = np.flatnonzero(inputs)
    if len(players) <= ENUMERATED:
        return players
    largest = players[np.argsort(-np.abs(inputs[players]), kind="stable")]
    seen = dict.fromkeys([*pairs.ravel().tolist(), *largest.tolist()])
    return np.array(list(seen)[:count], np.int64)


def _refined(fine: _Engine, coarse: Sequence[Strongest]) -> list[Kept]:
    """Gives the sets found with their values computed finely, and how far they moved."""
    final = fine.columns(coarse[0].members.shape[1])
    values = fine.values(final, [found.members for found in coarse])
    eps = float(np.finfo(np.float64 if fine.wanted.double else np.float32).eps)
    kept = []
    for g, (found, value) in enumerate(zip(coarse, values, strict=True)):
        moved = float(np.abs(value - found.value).max(initial=0))
        moved *= 1 if np.isfinite(fine.series.tail[g]) else STEPS
        error = moved + float(final.dropped[g]) + eps * float(final.magnitude[g])
        order = np.argsort(-np.abs(value), kind="stable")
        kept.append(Kept(found.members[order], value[order], error, found.evaluated))
    return kept


def _best(
    members: Int[np.ndarray, "k t"], value: Float[np.ndarray, "k"], top: int | None, floor: float
) -> Strongest:
    place, kept = best_of(value, top, floor)
    return Strongest(members[place], kept, len(value))


def _enumerated(game: GateGames, wanted: Wanted) -> dict[int, Kept]:
    players = np.flatnonzero(game.inputs[0])
    kept = {}
    worths = None
    for order in range(2, wanted.order + 1):
        found = Strongest(np.zeros((0, order), int), np.zeros(0), 0)
        if len(players) >= order:
            if worths is None:
                sums = all_coalitions(len(players)) @ game.inputs[0, players]
                worths = game.worth(game.bias[:, None] + sums[None])[0]
            exact = exact_interactions(worths, wanted.index, order)
            crumbs = 64 * np.finfo(float).eps * float(np.abs(worths).max())
            floor = max(float(wanted.floor(game)[0]), crumbs)
            found = _best(players[exact.members(order)], exact.values[order - 1], wanted.top, floor)
        kept[order] = Kept(found.members, found.value, 0.0, found.evaluated)
    return kept


def _ablated(games: GateGames, wanted: Wanted) -> list[dict[int, Kept]]:
    floor = wanted.floor(games)
    kept = []
    for g, pairs in enumerate(strongest_ablated(games, wanted.index, wanted.top, floor)):
        found = {2: Kept(pairs.members, pairs.value, 0.0, pairs.evaluated)}
        if wanted.order > 2:
            members = triples_among(candidates(games.inputs[g], pairs.members, wanted.candidates))
            value = ablated_sets(games.part([g]), members[None], wanted.index)[0]
            best = _best(members, value, wanted.top, float(floor[g]))
            found[3] = Kept(best.members, best.value, 0.0, best.evaluated)
        kept.append(found)
    return kept
