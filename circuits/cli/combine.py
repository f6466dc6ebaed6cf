"""From a run to the same run with its combinations: what `interact` and `demo` share."""

from __future__ import annotations

import datetime as dt
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from circuits.cli.again import kept_trace, trace_of
from circuits.cli.channels import TESTED, Asked, possible
from circuits.cli.console import Output
from circuits.cli.kept import Kept
from circuits.cli.progress import Teller
from circuits.errors import CircuitsError, UsageError

if TYPE_CHECKING:
    from circuits.engine.concepts.backgrounds import Backgrounds
    from circuits.engine.concepts.measure import ConceptTest
    from circuits.engine.methods import Method
    from circuits.graph.concepts import Concept
    from circuits.graph.graph import Graph
    from circuits.trace import Trace


@dataclass(frozen=True)
class Combined:
    """What was found.

    Attributes:
        graph: the graph with it.
        skipped: channels nothing was looked for in, and why.
        tests: of the concepts, if two or three were given.
    """

    graph: Graph
    skipped: Mapping[str, str] = field(default_factory=dict)
    tests: Sequence[ConceptTest] = ()


@dataclass(frozen=True)
class Job:
    """The work on one run, its settings checked.

    Attributes:
        source: the run.
        graph: its graph.
        asked: what was asked for.
        methods: one a channel.
        backgrounds: of the concept test, None where there is none.
        kept: where finished units are kept.
    """

    source: Path
    graph: Graph
    asked: Asked
    methods: Sequence[Method]
    backgrounds: Backgrounds | None
    kept: Kept

    @classmethod
    def of(cls, source: Path, where: Path, graph: Graph, asked: Asked, backgrounds: int) -> Job:
        """Gives the work; refuses settings before any of it."""
        from circuits.engine.concepts.backgrounds import Backgrounds
        from circuits.graph.io import load_manifest

        drawn = None
        if asked.tests:
            drawn = Backgrounds(backgrounds, asked.index or Backgrounds().index, asked.seed)
        kept = Kept.beside(where, load_manifest(source))
        return cls(source, graph, asked, asked.methods(), drawn, kept)

    def run(self, output: Output, tell: Teller) -> Combined:
        """Gives the graph with everything found. Units finished before an interruption are kept."""
        from circuits.engine.cache import use_compilation_cache
        from circuits.engine.interact import interact
        from circuits.graph.concepts import with_concepts

        use_compilation_cache()
        graph = with_concepts(self.graph, self.asked.concepts) if self.asked.concepts else self.graph
        methods, skipped, trace = self._able(graph, tell)
        if not methods and self.backgrounds is None:
            raise UsageError(f"There are no combinations to look for. {' '.join(skipped.values())}")
        for channel, reason in skipped.items():
            output.note(f"No combinations in {channel}: {reason}")
        try:
            graph = interact(
                graph, methods, trace=trace, done=self.kept.load(), keep=self.kept.keep, progress=tell
            )
            tests = self._tests(tell)
        except KeyboardInterrupt:
            finished = len(self.kept.load())
            if finished:
                output.note(
                    f"{finished} finished units are kept in {self.kept.path}: the same command goes on from"
                    " there."
                )
            raise
        if tests:
            from circuits.engine.concepts.store import with_tests

            graph = with_tests(graph, tests)
        return Combined(graph, skipped, tests)

    def _able(self, graph: Graph, tell: Teller) -> tuple[list[Method], dict[str, str], Trace | None]:
        """Gives the methods with work to do, why others have none, and the trace if one is of use."""
        apart = [method for method in self.methods if not _uses_trace(method, graph)]
        able, skipped = possible(
            apart, self.asked, graph, None
        )  # what is refused is, before a model is loaded
        others = [method for method in self.methods if method not in apart]
        trace = None
        if others:
            try:
                trace = trace_of(self.source, graph, tell)
            except CircuitsError as cause:
                if any(self.asked.insists(method.channel) for method in others if method.needs_trace):
                    raise
                skipped |= {method.channel: str(cause) for method in others if method.needs_trace}
                others = [method for method in others if not method.needs_trace]
        more, why = possible(others, self.asked, graph, trace)
        found = [method for method in self.methods if method in able or method in more]
        return found, skipped | why, trace

    def _tests(self, tell: Teller) -> list[ConceptTest]:
        """Gives the test of all concepts together and, of three, of every two."""
        if self.backgrounds is None:
            return []
        from circuits.engine.concepts.measure import concept_test

        concepts = self.asked.concepts
        sets = [some for size in TESTED for some in combinations(concepts, size)]
        tests = []
        for at, some in enumerate(sets):
            tell("concepts", at, len(sets))
            tests.append(
                concept_test(self.graph, *some, target=self.asked.target, backgrounds=self.backgrounds)
            )
        tell("concepts", len(sets), len(sets))
        return tests


def opened(run: Path, target: str | None, index: str | None) -> tuple[Graph, str | None]:
    """Gives the graph of a run and the target's node; refuses targets and indices there are not."""
    from circuits.engine.indices import check_order
    from circuits.graph.io import load_run
    from circuits.graph.names import resolve_target

    if index is not None:
        check_order(index, 2, 2)
    graph = load_run(run)
    return graph, None if target is None else resolve_target(graph, target)


def concepts_of(graph: Graph, given: Sequence[str] | None, target: str | None) -> tuple[Concept, ...]:
    """Gives the concepts as they were written."""
    from circuits.graph.concepts import concepts

    return concepts(graph, given or (), targets=None if target is None else [target])


def players_of(graph: Graph, given: str | None, target: str | None) -> tuple[str, ...]:
    """Gives the nodes that play towards the output: the most influential features, or those of a spec."""
    from circuits.graph.concepts import Concept, concepts

    if given is None:
        return ()
    if not given.strip().isdigit():
        named = concepts(graph, [f"players={given}"], targets=None if target is None else [target])
        return named[0].nodes
    from circuits.query.subject import Subject

    count, features = int(given), graph.nodes.filter(kind="feature")["node"].to_list()
    if not 2 <= count <= len(features):
        raise UsageError(f"{count} players: give 2 to {len(features)}, the features of this graph.")
    reached = Subject.of(graph, target).influence
    best = sorted(features, key=lambda node: -reached[graph.row(node)])[:count]
    return Concept("players", tuple(sorted(best, key=graph.row))).nodes


def stamped(graph: Graph, arguments: Sequence[str], seed: int, began: float) -> Graph:
    """Gives the graph with how its combinations came about."""
    return graph.with_meta(
        interact={
            "command": shlex.join(["circuits", *arguments]),
            "seed": seed,
            "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            "seconds": time.perf_counter() - began,
        }
    )


def save(graph: Graph, source: Path, where: Path) -> None:
    """Writes the run, with the trace its source keeps; other files that lie in it stay."""
    from circuits.graph.io import save_run

    save_run(graph, where, trace=kept_trace(source), overwrite=True, carry=True)


def _uses_trace(method: Method, graph: Graph) -> bool:
    """Tells whether a method needs the trace, or finds more with it: the products of gated neurons."""
    gated = method.channel == "mlp" and (graph.nodes["gate"] == "linear").any()
    return method.needs_trace or bool(gated)
