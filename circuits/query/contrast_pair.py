"""Two graphs laid over one another: every node of either has one place, and what it brings in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from circuits.graph.graph import Graph
from circuits.query.align import Alignment
from circuits.query.contrast_asked import keeps_all
from circuits.query.subject import Subject
from circuits.query.text import Naming, plain
from circuits.query.totals import Totals

BOTH: Final = "in both"
ONLY_HERE: Final = "only here"
ONLY_THERE: Final = "only there"
NOT_KEPT: Final = "not kept"
"""Said of the activation of a feature that a graph lacks though it may be on."""

HOW: Final = (BOTH, ONLY_HERE, ONLY_THERE)

Places = Float[np.ndarray, "k"]


@dataclass(frozen=True)
class Split:
    """A product in two graphs, what it changes by, and why: exact, and the same from either side.

    ``Δ(a·s) = Δa · (s₁ + s₂)/2 + (a₁ + a₂)/2 · Δs``

    Attributes:
        here: a₁ · s₁.
        there: a₂ · s₂.
        by_activation: the part that is the change of the activation a.
        by_effect: the part that is the change of the effect s of one unit of it.
    """

    here: Places
    there: Places
    by_activation: Places
    by_effect: Places

    @property
    def change(self) -> Places:
        """Gives here − there."""
        return np.asarray(self.here - self.there)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two subjects, their nodes matched by kind, layer, feature and aligned position.

    Nodes of the first graph keep their rows as places; those of the second take the place of their
    partner, or one after all of the first. The two nodes asked about stand for one another, whatever they
    are called; other outputs stand for none.

    Attributes:
        one: the first subject, with what its nodes bring.
        two: the second.
        alignment: of the positions.
    """

    one: Totals
    two: Totals
    alignment: Alignment

    @classmethod
    def of(cls, one: Subject, two: Subject, alignment: Alignment) -> Pair:
        """Gives the pair of two subjects."""
        return cls(Totals(one), Totals(two), alignment)

    @cached_property
    def places(self) -> Int[np.ndarray, "m"]:
        """Gives the place of every row of the second graph."""
        first, second = self.one.graph, self.two.graph
        found = np.full(len(second.nodes), -1)
        kinds = second.nodes["kind"].cast(pl.String)
        for row, (name, kind) in enumerate(zip(second.nodes["node"], kinds, strict=True)):
            partner = first.index.get(self.alignment.renamed(name), -1)
            if kind != "logit" and partner >= 0 and partner != self.one.subject.row:
                found[row] = partner
        found[self.two.subject.row] = self.one.subject.row
        lone = np.flatnonzero(found < 0)
        found[lone] = len(first.nodes) + np.arange(len(lone))
        return found

    @cached_property
    def size(self) -> int:
        """Gives the number of places."""
        return max(len(self.one.graph.nodes), int(self.places.max()) + 1)

    @cached_property
    def rows(self) -> Int[np.ndarray, "k 2"]:
        """Gives the row of every place in the first and in the second graph, −1 where it has none."""
        found = np.full((self.size, 2), -1)
        found[: len(self.one.graph.nodes), 0] = np.arange(len(self.one.graph.nodes))
        found[self.places, 1] = np.arange(len(self.places))
        return found

    def spread(self, first: Float[np.ndarray, "n"], second: Float[np.ndarray, "m"]) -> tuple[Places, Places]:
        """Gives one number a node of either graph by places, 0 where there is no node."""
        found = np.zeros(self.size), np.zeros(self.size)
        found[0][: len(first)] = first
        found[1][self.places] = second
        return found

    @cached_property
    def kind(self) -> list[str]:
        """Gives the kind of every place."""
        return self.column("kind")

    @cached_property
    def name(self) -> list[str]:
        """Gives the name of every place, at the positions of the first prompt."""
        first = self.one.graph.nodes["node"].to_list()
        second = self.two.graph.nodes["node"]
        lone = {int(p): second[row] for row, p in enumerate(self.places) if p >= len(first)}
        taken = set(first)
        found = []
        for place in range(len(first), self.size):
            name = self.alignment.renamed(lone[place])
            found.append(f"{name}, there" if name in taken else name)
        return first + found

    def column(self, name: str) -> list[str]:
        """Gives a text column of the node tables by places, that of the first graph where both have one."""
        mine, other = (t.graph.nodes[name].cast(pl.String).to_list() for t in (self.one, self.two))
        return [str(mine[a] if a >= 0 else other[b]) for a, b in self.rows.tolist()]

    @cached_property
    def on(self) -> tuple[Bool[np.ndarray, "k"], Bool[np.ndarray, "k"]]:
        """Tells which places are on in each graph: there at all, and features not off."""
        a, b = self.spread((~self.one.off).astype(np.float64), (~self.two.off).astype(np.float64))
        return a > 0, b > 0

    @cached_property
    def how(self) -> list[str]:
        """Gives whether every place is on in both graphs, or only in one (in neither: in both)."""
        first, second = self.on
        return [HOW[int(a and not b) + 2 * int(b and not a)] for a, b in zip(first, second, strict=True)]

    @cached_property
    def total(self) -> Split:
        """Gives what every place brings in all (`Totals.total`)."""
        return self._split(self.one.total, self.two.total, (self.one.gain, self.two.gain))

    @cached_property
    def direct(self) -> Split:
        """Gives the weight of every place's edge into the target."""
        (w1, s1), (w2, s2) = self.one.direct, self.two.direct
        return self._split(w1, w2, (s1, s2))

    @cached_property
    def passed(self) -> tuple[sp.csr_array, sp.csr_array]:
        """Gives what every edge carries to the target in all, by places."""
        return self._placed(self.one.passed, 0), self._placed(self.two.passed, 1)

    def _placed(self, matrix: sp.csr_array, side: int) -> sp.csr_array:
        """Gives a matrix over a graph's rows as one over places."""
        table = matrix.tocoo()
        places = self.places if side else np.arange(len(self.one.graph.nodes))
        ends = places[table.coords[0]], places[table.coords[1]]
        return sp.csr_array((table.data, ends), shape=(self.size, self.size))

    @cached_property
    def begun(self) -> Split:
        """Gives what begins at every place: the totals of leaves (`Totals.leaf`), 0 elsewhere."""
        first, second = (np.where(t.leaf, t.total, 0) for t in (self.one, self.two))
        return self._split(first, second, (self.one.gain, self.two.gain))

    @property
    def values(self) -> tuple[float, float]:
        """Gives the value of the target in each graph."""
        return self.one.subject.value, self.two.subject.value

    @property
    def difference(self) -> float:
        """Gives the value in the first graph less that in the second."""
        return self.values[0] - self.values[1]

    @property
    def scale(self) -> float:
        """Gives the size below which (times 1e-6) a change is rounding."""
        return max(1.0, *map(abs, self.values))

    @cached_property
    def other_word(self) -> Bool[np.ndarray, "k"]:
        """Tells at which places the two prompts do not hold the same word, or only one has any."""
        changed = {p for p, _ in self.alignment.changed}
        where = self.one.graph.nodes["pos"]
        return np.array([min(a, b) < 0 or where[a] in changed for a, b in self.rows.tolist()], bool)

    def levels(self, place: int) -> str:
        """Gives a feature's activation in either graph, `3.21 vs off`, `3.21 vs not kept`; once if equal."""
        return " vs ".join(dict.fromkeys(self._level(place, side) for side in (0, 1)))

    def known_there(self, place: int) -> bool:
        """Tells whether the activation of a place of the first graph is known in the second."""
        absent = self.rows[place, 1] < 0
        return not absent or (keeps_all(self.two.graph) and self._has_position(place, 1))

    def _level(self, place: int, side: int) -> str:
        row, totals = int(self.rows[place, side]), (self.one, self.two)[side]
        if row < 0:
            placed = self._has_position(place, side)
            return "no such word" if not placed else "off" if keeps_all(totals.graph) else NOT_KEPT
        return "off" if totals.off[row] else plain(float(totals.activation[row]))

    def _has_position(self, place: int, side: int) -> bool:
        """Tells whether the position of a place that one graph has is one of the other's as well."""
        known = self.graphs()[1 - side].nodes["pos"][int(self.rows[place, 1 - side])]
        partners = self.alignment.forward if side else self.alignment.back
        return known is None or known in partners

    def naming(self) -> tuple[Naming, Naming]:
        """Gives the readable names of either graph's nodes."""
        return self.one.subject.naming, self.two.subject.naming

    def brief(self, place: int, side: int = 0) -> str:
        """Gives a place in a word or two, as one of the graphs says it, the other if that has none."""
        return self._named(place, "brief", side)

    def phrase(self, place: int, side: int = 0) -> str:
        """Gives a place in a few words, in the same way."""
        return self._named(place, "phrase", side)

    @cached_property
    def place_of(self) -> dict[str, int]:
        """Gives the place of every name."""
        return {name: place for place, name in enumerate(self.name)}

    def terse(self, name: str, side: int = 0) -> str:
        """Gives a name for a line of several; heads, scores and concepts as the first graph says them."""
        place = self.place_of.get(name)
        return self.naming()[0].terse(name) if place is None else self._named(place, "terse", side)

    def _named(self, place: int, way: str, side: int) -> str:
        side = side if self.rows[place, side] >= 0 else 1 - side
        node = self.graphs()[side].nodes["node"][int(self.rows[place, side])]
        return str(getattr(self.naming()[side], way)(node))

    def graphs(self) -> tuple[Graph, Graph]:
        """Gives the two graphs."""
        return self.one.graph, self.two.graph

    def _split(
        self,
        first: Float[np.ndarray, "n"],
        second: Float[np.ndarray, "m"],
        effects: tuple[Float[np.ndarray, "n"], Float[np.ndarray, "m"]],
    ) -> Split:
        """Gives the change of a product and its two parts.

        Of a node that one graph does not have, the effect of one unit is not known there: it is taken to
        be the same, so that all of the change is that of its activation.
        """
        here, there = self.spread(first, second)
        a1, a2 = self.spread(self.one.activation, self.two.activation)
        s1, s2 = self.spread(*effects)
        has_first, has_second = self.rows.T >= 0
        s1, s2 = np.where(has_first, s1, s2), np.where(has_second, s2, s1)
        by_activation = (a1 - a2) * (s1 + s2) / 2
        return Split(here, there, by_activation, here - there - by_activation)
