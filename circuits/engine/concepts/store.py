"""Concept tests kept in a graph: concepts in the node table, results as hyperedges and in `meta`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from circuits.engine.concepts.decide import NONE
from circuits.engine.concepts.measure import ConceptTest
from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.interact import merged
from circuits.graph.concepts import with_concepts
from circuits.graph.graph import Graph

LEAST = 0.1
"""Share of an interaction that must arise at a gate for it to have a row of its own."""


def with_tests(graph: Graph, tests: Sequence[ConceptTest]) -> Graph:
    """Gives the graph with tests as hyperedges between concepts.

    Their records are in `meta["concept_tests"]`. Earlier tests of the same concepts and target are replaced.
    """
    found = {one.name: one for test in tests for one in test.concepts}
    graph = with_concepts(graph, list(found.values()))
    graph = merged(graph, [hyperedges(test) for test in tests])
    new = [record(test) for test in tests]
    same = {(tuple(entry["concepts"]), entry["target"]) for entry in new}
    alive = set(graph.nodes["concept"].drop_nulls())
    stays = [
        entry
        for entry in graph.meta.get("concept_tests") or ()
        if (tuple(entry["concepts"]), entry["target"]) not in same and alive.issuperset(entry["concepts"])
    ]
    return graph.with_meta(concept_tests=[*stays, *new])


def hyperedges(test: ConceptTest) -> pl.DataFrame:
    """Gives a test's rows of the hyperedge table: the interaction, averaged over backgrounds, and its shares.

    A gate at which less than a tenth of it arises has no row; `record` has them all.
    """
    one = test.decision
    gates = (
        test.gates.filter(pl.col("share").abs() >= LEAST * abs(one.interaction))
        if test.graphs == 1
        else test.gates.clear()
    )
    count = 1 + len(gates)
    return hyperedge_table(
        {
            "members": [list(test.names)] * count,
            "target": test.target,
            "index": test.backgrounds.index,
            "weight": [one.interaction, *gates["share"]],
            "low": [one.low, *gates["low"]],
            "high": [one.high, *gates["high"]],
            "effect": [one.together, *[None] * len(gates)],
            "via": [None, *gates["gate"]],
            "gate": "additive" if one.gate == NONE else one.gate,
            "channel": "output",
            "engine": f"concept test R={test.backgrounds.count}" if test.free else "concept test, exact",
            "estimated": bool(test.free) or test.graphs > 1,
            "evaluations": test.evaluations,
        }
    )


def record(test: ConceptTest) -> dict[str, Any]:
    """Gives a test as JSON has it."""
    one = test.decision
    return {
        "concepts": {concept.name: list(concept.nodes) for concept in test.concepts},
        "target": test.target,
        "gate": one.gate,
        "nearest": one.nearest,
        "support": one.support,
        "interaction": one.interaction,
        "low": one.low,
        "high": one.high,
        "together": one.together,
        "alone": dict(zip(test.names, test.alone, strict=True)),
        "and_ness": one.and_ness,
        "crossover": one.crossover,
        "removable": one.removable,
        "table": test.mean.tolist(),
        "table_everything_on": test.here.tolist(),
        "gate_everything_on": test.gate_here,
        "span": test.span,
        "backgrounds": {
            "count": test.backgrounds.count,
            "index": test.backgrounds.index,
            "seed": test.backgrounds.seed,
        },
        "graphs": test.graphs,
        "free": test.free,
        "evaluations": test.evaluations,
        "gates": test.gates.to_dicts(),
        "scores": test.scores.to_dicts(),
        "words": str(test),
    }
