"""The concept test on graphs: truth tables under `graph.run`, decided and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from circuits.engine.concepts.backgrounds import Backgrounds
from circuits.engine.concepts.decide import FLOOR, NONE, Decision, decide, moebius
from circuits.engine.concepts.tables import as_tables, coalitions
from circuits.engine.concepts.through import gate_shares, scores_between
from circuits.engine.concepts.words import told
from circuits.engine.games.graph_game import GraphWorth
from circuits.engine.kinds import kinds
from circuits.errors import UsageError
from circuits.graph.concepts import Concept, concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, of_kind

STILL: Final = 1e-5
"""An output's range counts as at least this share of Σ |weights| into it: below that is rounding."""

HELD: Final = "all that is held"
"""Name of the player that holds what is on before every background."""


@dataclass(frozen=True, eq=False)
class ConceptTest:
    """What two or three concepts do together.

    Attributes:
        concepts: whose joint effect is asked about, of the first graph.
        target: towards what.
        decision: gate, interaction, interval; over backgrounds, or over graphs where there are several.
        mean: worths, averaged; entry s with the concepts on whose bits are set in s.
        here: the same with everything else on, as on the prompt.
        span: the output's range over all coalitions evaluated.
        backgrounds: how the rest was drawn.
        graphs: how many graphs (paraphrases) were tested.
        free: nodes that backgrounds differ in; where there are none, all numbers are exact.
        evaluations: coalitions evaluated.
        gates: what of the interaction arises at which gate: gate, share, and its 95% interval, the
            largest first; they add up to it. Of the first graph alone.
        scores: the attention scores two of the concepts meet in: score, weight, pairs; empty unless the
            first graph has interactions of channel qk.
        tables: worths by background (or graph): one a row, columns as in `mean`.
    """

    concepts: tuple[Concept, ...]
    target: str
    decision: Decision
    mean: Float[np.ndarray, "S"]
    here: Float[np.ndarray, "S"]
    span: float
    backgrounds: Backgrounds
    graphs: int
    free: int
    evaluations: int
    gates: pl.DataFrame
    scores: pl.DataFrame
    tables: Float[np.ndarray, "R S"]

    @property
    def names(self) -> tuple[str, ...]:
        """Gives the concepts' names."""
        return tuple(concept.name for concept in self.concepts)

    @property
    def alone(self) -> tuple[float, ...]:
        """Gives what each concept does without the others, averaged: a and b."""
        return tuple(float(self.mean[1 << bit] - self.mean[0]) for bit in range(len(self.concepts)))

    @property
    def gate_here(self) -> str:
        """Gives the gate with everything else on; exact, for that one background."""
        moved = float(np.abs(self.here - self.here[0]).max())
        return NONE if moved < FLOOR * self.span else kinds(self.here[None])[0]

    @property
    def interaction_here(self) -> float:
        """Gives the interaction with everything else on."""
        return float(moebius(self.here[None])[0, -1])

    def __str__(self) -> str:
        return told(self)

    def __repr__(self) -> str:
        return f"ConceptTest({', '.join(map(repr, self.concepts))} → {self.target!r}: {self.decision.gate})"


def concept_test(
    graph: Graph | Sequence[Graph],
    *given: str | Concept,
    target: str | None = None,
    backgrounds: Backgrounds | None = None,
) -> ConceptTest:
    """Gives whether two or three concepts act together on an output, through which gate, how certainly.

    Before R backgrounds, random coalitions of the nodes that no concept leads to and that lead to none
    (all others stay, and respond), the target is computed with none, each and all of the concepts on.
    What they do together beyond the sum of what they do apart is the interaction. See
    `circuits.engine.concepts.decide` for the interval and the decision.

    Args:
        graph: a graph, or several of paraphrases: each is then one observation, its tables averaged
            over its backgrounds.
        given: the concepts: ``NAME=SPEC`` (see `circuits.graph.concepts`) or `Concept`.
        target: the node whose value is asked for; each graph's heaviest target unless given.
        backgrounds: how many, and drawn how; see `Backgrounds` for the default.

    Raises:
        UsageError, NotFound: neither two nor three concepts; as for `circuits.graph.concepts.concepts`.

    Example:
        >>> print(concept_test(graph, "texas=token:Dallas", "capital=token:capital"))  # doctest: +SKIP
    """
    graphs = [graph] if isinstance(graph, Graph) else list(graph)
    if len(given) not in (2, 3):
        raise UsageError(f"{len(given)} concepts: the test takes two or three.")
    if not graphs:
        raise UsageError("No graph to test the concepts on: give one, or several of paraphrases.")
    how = backgrounds or Backgrounds()
    tests = [_Tables.of(one, given, target, how) for one in graphs]
    first = tests[0]
    tables = first.tables if len(tests) == 1 else np.stack([test.tables.mean(axis=0) for test in tests])
    span = max(test.span for test in tests)
    return ConceptTest(
        concepts=first.concepts,
        target=first.target,
        decision=decide(tables, span, seed=how.seed),
        mean=tables.mean(axis=0),
        here=np.mean([test.here for test in tests], axis=0),
        span=span,
        backgrounds=how,
        graphs=len(tests),
        free=sum(test.free for test in tests),
        evaluations=sum(test.evaluations for test in tests),
        gates=first.gates,
        scores=first.scores,
        tables=tables,
    )


@dataclass(frozen=True, eq=False)
class _Tables:
    """The truth tables of one graph, and what its gates do in them."""

    concepts: tuple[Concept, ...]
    target: str
    tables: Float[np.ndarray, "R S"]
    here: Float[np.ndarray, "S"]
    span: float
    free: int
    evaluations: int
    gates: pl.DataFrame
    scores: pl.DataFrame

    @classmethod
    def of(
        cls, graph: Graph, given: Sequence[str | Concept], target: str | None, how: Backgrounds
    ) -> _Tables:
        if target is None and not graph.targets:
            raise UsageError("No target: the graph names none, so name the node whose value you ask for.")
        aim = graph.targets[0] if target is None else target
        found = concepts(graph, given, targets=[aim])
        worth, drawn, free = _game(graph, found, aim, how)
        edges = np.array([[True], [False]]).repeat(drawn.shape[1], axis=1)  # everything, nothing
        groups = [np.array([at]) for at in range(len(found))]
        masks = coalitions(groups, np.concatenate([drawn, edges]))
        worths, seen = worth.observe(masks)
        tables = as_tables(worths, masks, len(drawn) + 2)
        inner = len(masks) - 2 * tables.shape[1]
        made_of = float(graph.edges.filter(pl.col("target") == aim)["weight"].abs().sum())
        return cls(
            concepts=found,
            target=aim,
            tables=tables[:-2],
            here=tables[-2],
            span=max(float(np.ptp(tables)), STILL * made_of),
            free=free,
            evaluations=len(masks),
            gates=gate_shares(worth, masks[:inner], seen[:inner], len(drawn)),
            scores=scores_between(graph, found),
        )


def _game(
    graph: Graph, found: Sequence[Concept], target: str, how: Backgrounds
) -> tuple[GraphWorth, Bool[np.ndarray, "R n"], int]:
    """Gives the game, its backgrounds, and how many nodes these differ in.

    Players are the concepts, the free nodes, and all that is held, as the last player.

    Held is what the concepts lead to and what leads to them; it is off where nothing is on, never else.
    """
    own = np.array([graph.row(node) for one in found for node in one.nodes])
    aim = np.array([graph.row(target)])
    players = _reached(graph, aim, upwards=True) & ~of_kind(graph, *CONSTANTS)
    players[[*own, *aim]] = False
    held = players & (_reached(graph, own) | _reached(graph, own, upwards=True))
    names = graph.nodes["node"]
    free = names.filter(pl.Series(players & ~held)).to_list()
    last = [Concept(HELD, tuple(names.filter(pl.Series(held))))] if held.any() else []
    drawn = how.draw(len(found), len(found) + len(free) + len(last))
    drawn[:, len(found) + len(free) :] = True
    drawn = drawn if free else drawn[:2]  # all are the same one
    return GraphWorth(graph, [*found, *free, *last], target), drawn, len(free)


def _reached(graph: Graph, rows: Int[np.ndarray, "k"], *, upwards: bool = False) -> Bool[np.ndarray, "N"]:
    """Gives the nodes that some path leads to from the rows, or (`upwards`) from which one leads to them."""
    source, target = graph.ends[::-1] if upwards else graph.ends
    size = len(graph.nodes)
    start = np.full(len(rows), size)  # one more node, before them all
    ends = np.append(source, start), np.append(target, rows)
    leads = sp.csr_array((np.ones(len(ends[0]), np.int8), ends), shape=(size + 1, size + 1))
    found = np.zeros(size + 1, bool)
    found[sp.csgraph.breadth_first_order(leads, size, return_predecessors=False)] = True
    return found[:size]
