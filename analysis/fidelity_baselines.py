"""What simpler methods say: written out plainly, on the network itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Final
from zlib import crc32

import numpy as np
from fidelity_net import NOTHING, Answer, Subject  # type: ignore[import-not-found]

from circuits.engine.kinds import kinds

Values = dict[frozenset[str], float]


def random(subject: Subject, seed: int) -> Answer:
    """Gives random scores, one random pair of players, a random gate."""
    rng = np.random.default_rng([seed, crc32(subject.planted.name.encode())])
    pair = frozenset(str(n) for n in rng.choice(subject.players, 2, replace=False)) if _two(subject) else None
    size = subject.scale * rng.choice([-1, 1])
    gates = ("and", "or", "xor", "inhibit", "additive", "none", "other")
    inside = {}
    for gate, inputs in subject.gates.items():
        if len(inputs) > 1:
            chosen = frozenset(str(n) for n in rng.choice(inputs, 2, replace=False))
            inside[gate, chosen] = float(subject.scale * rng.choice([-1, 1]))
    return Answer(
        nodes={name: float(rng.random()) for name in subject.features},
        edges={edge: float(rng.random()) for edge in subject.edges},
        interactions={pair: float(size)} if pair else {},
        inside=inside,
        gate=str(rng.choice(gates)),
    )


def _two(subject: Subject) -> bool:
    return len(subject.players) > 1


def _first_order(nodes: Mapping[str, float], edges: Mapping[tuple[str, str], float] | None) -> Answer:
    """Gives the answer of a method that knows sums only."""
    return Answer(nodes, edges, {}, {}, "additive")


def gradient(subject: Subject, seed: int) -> Answer:  # noqa: ARG001
    """Gives |gradient × activation| of nodes, and of edges |contribution × gradient of the target|."""
    net, at = subject.net, subject.graph.index
    slope, active = net.slopes(), net.activation > 0
    passes = np.where(net.feature, active, 1) * slope
    passes[-1] = 1
    nodes = {n: abs(slope[at[n]] * net.activation[at[n]]) for n in subject.features}
    edges = {
        (s, t): abs(passes[at[t]] * net.strength[at[t], at[s]] * net.activation[at[s]])
        for s, t in subject.edges
    }
    return _first_order(nodes, edges)


def influence(subject: Subject, seed: int) -> Answer:  # noqa: ARG001
    """Gives Ameisen's influence: of a node, and of an edge its share of the target's inputs times that."""
    net, at = subject.net, subject.graph.index
    share = subject.graph.nodes["influence"].to_numpy().copy()
    share[-1] = 1
    size = np.abs(net.strength * net.activation)
    part = size / np.maximum(size.sum(axis=1, keepdims=True), 1e-30)
    nodes = {n: float(share[at[n]]) for n in subject.features}
    return _first_order(nodes, {(s, t): float(part[at[t], at[s]] * share[at[t]]) for s, t in subject.edges})


def single_knockout(subject: Subject, seed: int) -> Answer:  # noqa: ARG001
    """Gives how far the output moves when one node is switched off, or one edge cut."""
    at = subject.graph.index
    every = np.ones((1, len(subject.net.names)))
    whole = subject.net(every)[0]
    moved = np.abs(whole - subject.without([[n] for n in subject.features]))
    edges = {(s, t): float(abs(whole - subject.net(every, (at[t], at[s]))[0])) for s, t in subject.edges}
    return _first_order(dict(zip(subject.features, moved.tolist(), strict=True)), edges)


def pairwise_knockout(subject: Subject, seed: int) -> Answer:  # noqa: ARG001
    """Gives v(N) − v(N∖i) − v(N∖j) + v(N∖ij) of all pairs, and with single knockouts the nodes' scores."""

    def values(names: tuple[str, ...]) -> Values:
        single = subject.without([[n] for n in names])
        pairs = list(combinations(names, 2))
        both = subject.without(pairs)
        whole = float(subject.without([[]])[0])
        one = dict(zip(names, single, strict=True))
        found = {frozenset([n]): whole - float(v) for n, v in one.items()}
        for (i, j), v in zip(pairs, both, strict=True):
            found[frozenset((i, j))] = float(whole - one[i] - one[j] + v)
        return found

    def table(concepts: list[str]) -> np.ndarray:
        sets = [[c for i, c in enumerate(concepts) if not s >> i & 1] for s in range(1 << len(concepts))]
        return np.asarray(subject.without(sets))

    inside = _inside(subject, lambda gate, inputs: _pairs_of(subject, gate, inputs, ablate=True))
    return _second_order(subject, values, table, inside)


def order_two_moebius(subject: Subject, seed: int) -> Answer:  # noqa: ARG001
    """Gives v(ij) − v(i) − v(j) + v(∅) of all pairs, all other players off."""

    def values(names: tuple[str, ...]) -> Values:
        pairs = list(combinations(names, 2))
        single, both = subject.only([[n] for n in names], names), subject.only(pairs, names)
        none = float(subject.only([[]], names)[0])
        one = dict(zip(names, single, strict=True))
        found = {frozenset([n]): float(v) - none for n, v in one.items()}
        for (i, j), v in zip(pairs, both, strict=True):
            found[frozenset((i, j))] = float(v - one[i] - one[j] + none)
        return found

    def table(concepts: list[str]) -> np.ndarray:
        sets = [[c for i, c in enumerate(concepts) if s >> i & 1] for s in range(1 << len(concepts))]
        return np.asarray(subject.only(sets, subject.players))

    inside = _inside(subject, lambda gate, inputs: _pairs_of(subject, gate, inputs, ablate=False))
    return _second_order(subject, values, table, inside)


def _second_order(
    subject: Subject,
    values: Callable[[tuple[str, ...]], Values],
    table: Callable[[list[str]], np.ndarray],
    inside: dict[tuple[str, frozenset[str]], float],
) -> Answer:
    """Gives the answer of a method that knows singles and pairs."""
    nodes = dict.fromkeys(subject.features, 0.0)
    for members, value in values(subject.features).items():
        for name in members:
            nodes[name] += abs(value) / len(members)
    claimed = subject.claimed(values(subject.players))
    concepts = [node for (node,) in subject.planted.concepts.values()]
    return Answer(nodes, None, claimed, subject.claimed_inside(inside), named(subject, concepts, table))


def named(subject: Subject, concepts: list[str], table: Callable[[list[str]], np.ndarray]) -> str:
    """Gives the gate of a truth table of pairs of concepts: theirs if all pairs agree, else `other`."""
    found = set()
    for pair in combinations(concepts, 2):
        seen = table(list(pair))
        found.add("none" if np.ptp(seen) < NOTHING * subject.scale else str(kinds(seen[None])[0]))
    return found.pop() if len(found) == 1 else "other"


def _inside(
    subject: Subject, pairs: Callable[[str, tuple[str, ...]], Values]
) -> dict[tuple[str, frozenset[str]], float]:
    return {(g, s): v for g, inputs in subject.gates.items() for s, v in pairs(g, inputs).items()}


def _pairs_of(subject: Subject, gate: str, inputs: tuple[str, ...], *, ablate: bool) -> Values:
    """Gives the pairs of a gate's inputs, all other inputs on (`ablate`) or off."""
    net, row = subject.net, subject.graph.index[gate]
    c = {
        n: net.strength[row, subject.graph.index[n]] * net.activation[subject.graph.index[n]] for n in inputs
    }
    total, b, threshold = sum(c.values()), net.bias[row], net.threshold[row]

    def value(z: float) -> float:
        return float(z) if z > threshold else 0.0

    found = {}
    for i, j in combinations(inputs, 2):
        low = total - c[i] - c[j] if ablate else 0.0
        four = [value(b + low + x) for x in (0.0, c[i], c[j], c[i] + c[j])]
        found[frozenset((i, j))] = four[3] - four[1] - four[2] + four[0]
    return found


BASELINES: Final[Mapping[str, Callable[[Subject, int], Answer]]] = {
    "random": random,
    "gradient × activation": gradient,
    "influence": influence,
    "single knockout": single_knockout,
    "pairwise knockout": pairwise_knockout,
    "order-2 Möbius": order_two_moebius,
}
