"""A graph run node by node, in plain Python: the slow twin of `graph.run` for whatever is off."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from literal import gate

from circuits.graph.graph import Graph

Edge = tuple[str, str]


def run_by_hand(
    graph: Graph, target: str, off: AbstractSet[str] = frozenset(), cut: AbstractSet[Edge] = frozenset()
) -> float:
    """The target's pre-activation with nodes off, and without what some edges bring."""
    into: dict[str, list[tuple[str, float]]] = {}
    for source, end, _, strength in graph.edges.iter_rows():
        if (source, end) not in cut:
            into.setdefault(end, []).append((source, strength))
    activation: dict[str, float] = {}
    for row in graph.nodes.iter_rows(named=True):
        name = row["node"]
        z = sum(strength * activation[source] for source, strength in into.get(name, ()))
        if name == target:
            return float(z)
        value = gate(row["gate"], z, row["threshold"] or 0.0) if row["kind"] == "feature" else z
        activation[name] = 0.0 if name in off else (value if row["expanded"] else row["activation"])
    raise AssertionError(target)
