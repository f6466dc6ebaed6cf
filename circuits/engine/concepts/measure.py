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
from circuits.engine.concepts.tables import truth_tables
from circuits.engine.concepts.words import told
from circuits.engine.kinds import kinds
from circuits.errors import UsageError
from circuits.graph.concepts import Concept, concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, of_kind
from circuits.graph.run import Runner

STILL: Final = 1e-5
"""An output's range counts as at least this share of Σ |weights| into it: below that is rounding."""


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
        evaluations: coalitions evaluated.
    """

    concepts: tuple[Concept, ...]
    target: str
    decision: Decision
    mean: Float[np.ndarray, "S"]
    here: Float[np.ndarray, "S"]
    span: float
    backgrounds: Backgrounds
    graphs: int
    evaluations: int

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
        evaluations=sum(test.evaluations for test in tests),
    )


@dataclass(frozen=True, eq=False)
class _Tables:
    """The truth tables of one graph."""

    concepts: tuple[Concept, ...]
    target: str
    tables: Float[np.ndarray, "R S"]
    here: Float[np.ndarray, "S"]
    span: float
    evaluations: int

    @classmethod
    def of(
        cls, graph: Graph, given: Sequence[str | Concept], target: str | None, how: Backgrounds
    ) -> _Tables:
        if target is None and not graph.targets:
            raise UsageError("No target: the graph names none, so name the node whose value you ask for.")
        aim = graph.targets[0] if target is None else target
        found = concepts(graph, given, targets=[aim])
        groups = [np.array([graph.row(node) for node in one.nodes]) for one in found]
        own = np.concatenate(groups)
        fixed = of_kind(graph, *CONSTANTS) | _reached(graph, own) | _reached(graph, own, upwards=True)
        drawn = how.draw(len(found), len(graph.nodes)) | fixed
        everything, nothing = np.ones(len(graph.nodes), bool), of_kind(graph, *CONSTANTS)
        runner = Runner(graph, targets=[aim])
        every = np.concatenate([drawn, everything[None], nothing[None]])
        tables = truth_tables(lambda masks: runner(masks)[:, 0], groups, every)
        made_of = float(graph.edges.filter(pl.col("target") == aim)["weight"].abs().sum())
        span = max(float(np.ptp(tables)), STILL * made_of)
        return cls(found, aim, tables[:-2], tables[-2], span, tables.size)


def _reached(graph: Graph, rows: Int[np.ndarray, "k"], *, upwards: bool = False) -> Bool[np.ndarray, "N"]:
    """Gives the nodes that some path leads to from the rows, or (`upwards`) from which one leads to them."""
    source, target = graph.ends[::-1] if upwards else graph.ends
    size = len(graph.nodes)
    first = np.full(len(rows), size)  # one more node, before them all
    ends = np.append(source, first), np.append(target, rows)
    leads = sp.csr_array((np.ones(len(ends[0]), np.int8), ends), shape=(size + 1, size + 1))
    reached = sp.csgraph.breadth_first_order(leads, size, return_predecessors=False)
    found = np.zeros(size + 1, bool)
    found[reached] = True
    return found[:size]
