"""The concept graph by its definition: paths listed one by one, sums written out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from circuits.graph.graph import Graph

CONSTANTS = ("bias", "rest")


def edges(graph: Graph) -> list[tuple[str, str, float]]:
    """Every edge: source, target, weight."""
    table = graph.edges.select("source", "target", "weight")
    return [(str(s), str(t), float(w)) for s, t, w in table.iter_rows()]


def rows(graph: Graph) -> dict[str, dict[str, object]]:
    """Every node's row, by name."""
    return {row["node"]: row for row in graph.nodes.iter_rows(named=True)}


def inflows(graph: Graph) -> dict[str, float]:
    """Σ |weight| into every node, constants aside, and what was truncated."""
    nodes = rows(graph)
    found = {name: float(row["truncated"]) for name, row in nodes.items()}  # type: ignore[arg-type]
    for s, t, w in edges(graph):
        if nodes[s]["kind"] not in CONSTANTS:
            found[t] += abs(w)
    return found


def walks(graph: Graph) -> Iterator[tuple[list[str], float]]:
    """Every walk back from a target, however short, with its share of the targets: w times its shares."""
    nodes, flowing = rows(graph), inflows(graph)
    sources: dict[str, list[tuple[str, float]]] = {name: [] for name in nodes}
    for s, t, w in edges(graph):
        if nodes[s]["kind"] not in CONSTANTS and w:
            sources[t].append((s, abs(w) / flowing[t]))

    def back(walk: list[str], share: float) -> Iterator[tuple[list[str], float]]:
        yield walk, share
        for source, part in sources[walk[-1]]:
            yield from back([*walk, source], share * part)

    for name, row in nodes.items():
        if row["target_weight"]:
            yield from back([name], float(row["target_weight"]))  # type: ignore[arg-type]


def passing(graph: Graph, members: set[str]) -> float:
    """The share of the targets that passes through the set: walks that have just come to it first."""
    return sum(share for walk, share in walks(graph) if walk[-1] in members and not members & set(walk[:-1]))


def arriving_by_walks(graph: Graph) -> dict[str, float]:
    """The share of the targets that comes through each node: all walks that end there."""
    found = dict.fromkeys(graph.nodes["node"], 0.0)
    for walk, share in walks(graph):
        found[walk[-1]] += share
    return found


def flows(graph: Graph) -> dict[tuple[str, str], float]:
    """By edge (source, target), the share of the targets that runs along it."""
    found: dict[tuple[str, str], float] = {}
    for walk, share in walks(graph):
        if len(walk) > 1:
            key = (walk[-1], walk[-2])
            found[key] = found.get(key, 0.0) + share
    return found


def merged_flows(graph: Graph, into: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """The flows between the nodes that nodes become, without those inside one."""
    found: dict[tuple[str, str], float] = {}
    for (s, t), share in flows(graph).items():
        key = (into.get(s, s), into.get(t, t))
        if key[0] != key[1]:
            found[key] = found.get(key, 0.0) + share
    return found


def reachable(pairs: set[tuple[str, str]]) -> bool:
    """Whether a walk along the pairs comes back to where it started."""
    after: dict[str, set[str]] = {}
    for s, t in pairs:
        after.setdefault(s, set()).add(t)
    for start in after:
        seen, todo = set(), list(after[start])
        while todo:
            here = todo.pop()
            if here == start:
                return True
            if here not in seen:
                seen.add(here)
                todo += after.get(here, ())
    return False


def merged_game(
    moebius: Mapping[frozenset[str], float], into: Mapping[str, str]
) -> dict[frozenset[str], float]:
    """The Möbius values of the game whose players are the concepts, from its worths, set by set."""
    players = sorted({into.get(p, p) for members in moebius for p in members})
    members = {p: {m for s in moebius for m in s if into.get(m, m) == p} for p in players}

    def worth(on: frozenset[str]) -> float:
        alive = {m for p in on for m in members[p]}
        return sum(value for s, value in moebius.items() if s <= alive)

    found = {}
    for code in range(1, 2 ** len(players)):
        on = frozenset(p for i, p in enumerate(players) if code >> i & 1)
        subsets = [
            frozenset(p for i, p in enumerate(sorted(on)) if inner >> i & 1) for inner in range(2 ** len(on))
        ]
        found[on] = float(np.sum([(-1) ** (len(on) - len(s)) * worth(s) for s in subsets]))
    return found


def co_moebius(moebius: Mapping[frozenset[str], float]) -> dict[frozenset[str], float]:
    """Σ over all sets that contain it, of every non-empty set of players."""
    players = sorted({p for members in moebius for p in members})
    sets = [
        frozenset(p for i, p in enumerate(players) if code >> i & 1) for code in range(1, 2 ** len(players))
    ]
    return {t: sum(value for s, value in moebius.items() if t <= s) for t in sets}
