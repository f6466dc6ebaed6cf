"""A graph as a plain NumPy network, and what is asked of every method about a planted model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import factorial
from typing import Final

import numpy as np
import polars as pl

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.planted import Planted, plant

CLAIM: Final = 0.1
"""An interaction is claimed if it is at least this share of what the output is made of."""

CLAIM_INSIDE: Final = 0.05
"""The same in a gate, of its inputs: a gate has fewer of them, and no paths beside."""

CLOSE: Final = 0.1
"""A claimed value is right within this share of the truth."""


NOTHING: Final = 0.1
"""Concepts that move the output by less than this share of what it is made of do nothing to it."""

ENUMERATED: Final = 14
"""So many players' coalitions are all asked for the truth of a noisy model."""

Values = dict[frozenset[str], float]
Inside = dict[tuple[str, frozenset[str]], float]


@dataclass(frozen=True)
class Answer:
    """What a method says of a planted model. None: it has no way to say.

    Attributes:
        nodes: a score for each feature.
        edges: a score for each edge.
        interactions: the sets of players it claims act together on the output, with values.
        inside: the same for the inputs of each gate, by gate and set.
        gate: what it calls the output.
    """

    nodes: Mapping[str, float]
    edges: Mapping[tuple[str, str], float] | None
    interactions: Mapping[frozenset[str], float]
    inside: Mapping[tuple[str, frozenset[str]], float]
    gate: str

    @property
    def order(self) -> int:
        """Gives the largest order claimed."""
        return max((len(members) for members in self.interactions), default=1)


@dataclass(frozen=True, eq=False)
class Net:
    """The graph's features and output as a network. N nodes in the node table's order."""

    names: tuple[str, ...]
    strength: np.ndarray
    activation: np.ndarray
    threshold: np.ndarray
    feature: np.ndarray
    bias: np.ndarray

    @classmethod
    def of(cls, graph: Graph) -> Net:
        """Gives the network of a graph; planted features are ReLU or JumpReLU."""
        size = len(graph.nodes)
        strength = np.zeros((size, size))
        source, target = graph.ends
        strength[target, source] = graph.edges["strength"].to_numpy()
        own = graph.index["bias:own"]
        bias = strength[:, own].copy()
        strength[:, own] = 0
        return cls(
            names=tuple(graph.nodes["node"]),
            strength=strength,
            activation=graph.nodes["activation"].to_numpy(),
            threshold=graph.nodes["threshold"].fill_null(0).to_numpy(),
            feature=(graph.nodes["kind"] == "feature").to_numpy(),
            bias=bias,
        )

    def __call__(self, masks: np.ndarray, cut: tuple[int, int] | None = None) -> np.ndarray:
        """Gives the output (the last node) for masks B × N; `cut` leaves out one edge (target, source)."""
        strength = self.strength
        if cut is not None:
            strength = strength.copy()
            strength[cut] = 0
        return np.asarray(self.bias[-1] + self.states(masks, strength) @ strength[-1])

    def states(self, masks: np.ndarray, strength: np.ndarray | None = None) -> np.ndarray:
        """Gives the activations of all nodes for masks B × N."""
        into = self.strength if strength is None else strength
        state = masks * self.activation
        for row in np.flatnonzero(self.feature):
            z = self.bias[row] + state @ into[row]
            state[:, row] = masks[:, row] * np.where(z > self.threshold[row], z, 0)
        return np.asarray(state)

    def slopes(self) -> np.ndarray:
        """Gives the output's derivative by each activation, gates at their slopes on the prompt."""
        found = self.strength[-1].copy()
        for row in np.flatnonzero(self.feature)[::-1]:
            if self.activation[row] > 0:
                found += found[row] * self.strength[row]
        return np.asarray(found)


@dataclass(frozen=True, eq=False)
class Subject:
    """A planted model, its graph, and who plays.

    Attributes:
        planted: the model with its truth.
        graph: all edges kept.
        players: the concepts' features and every feature that does nothing but stands beside them.
    """

    planted: Planted
    graph: Graph
    players: tuple[str, ...]

    @classmethod
    def of(cls, name: str, seed: int, distractors: int, noise: float) -> Subject:
        """Gives the subject of a planted model."""
        planted = plant(name, seed=seed, distractors=distractors, noise=noise)
        graph = attribute(planted.trace, (Edges(tolerance=0.0),))
        # edges that are rounding would pass on influence where there are no others
        graph = with_influence(replace(graph, edges=graph.edges.filter(pl.col("strength").abs() > 1e-12)))
        concepts = [node for nodes in planted.concepts.values() for node in nodes]
        lowest = [n for n in planted.names.values() if n.startswith("0/")]
        beside = [n for n in lowest if n not in planted.truth.nodes]
        return cls(planted, graph, tuple(dict.fromkeys([*concepts, *sorted(beside)])))

    @cached_property
    def net(self) -> Net:
        """Gives the graph as a network."""
        return Net.of(self.graph)

    @cached_property
    def features(self) -> tuple[str, ...]:
        """Gives all features."""
        return tuple(name for name, is_one in zip(self.net.names, self.net.feature, strict=True) if is_one)

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Gives all edges but those of constants."""
        rows, columns = np.nonzero(np.abs(self.net.strength) > 1e-12)
        return tuple((self.net.names[s], self.net.names[t]) for t, s in zip(rows, columns, strict=True))

    @cached_property
    def gates(self) -> dict[str, tuple[str, ...]]:
        """Gives the features that read other features, with these inputs."""
        found: dict[str, list[str]] = {}
        for source, target in self.edges:
            if source in self.features and target in self.features:
                found.setdefault(target, []).append(source)
        return {gate: tuple(inputs) for gate, inputs in found.items()}

    @cached_property
    def scale(self) -> float:
        """Gives what the output is made of: Σ |weights|, or how far the concepts move it if that is more."""
        incoming = np.abs(self.net.strength[-1] * self.net.activation).sum() + abs(self.net.bias[-1])
        return float(max(incoming, np.ptp(self.planted.truth.table)))

    def without(self, sets: Sequence[Sequence[str]]) -> np.ndarray:
        """Gives the output with each set of nodes switched off."""
        masks = np.ones((len(sets), len(self.net.names)))
        for row, members in enumerate(sets):
            masks[row, [self.graph.index[name] for name in members]] = 0
        return self.net(masks)

    def only(self, sets: Sequence[Sequence[str]], among: Sequence[str]) -> np.ndarray:
        """Gives the output with only these of the nodes `among` on, and all others."""
        return self.without([[name for name in among if name not in members] for members in sets])

    def claimed(self, values: Values) -> Values:
        """Gives the interactions of the output that are large enough to be claimed."""
        return {s: v for s, v in values.items() if len(s) > 1 and abs(v) >= CLAIM * self.scale}

    def claimed_inside(self, values: Inside) -> Inside:
        """Gives the interactions in gates that are large enough against all the gate's inputs."""
        net = self.net
        size = np.abs(net.strength * net.activation).sum(axis=1)
        return {
            (gate, s): v
            for (gate, s), v in values.items()
            if abs(v) >= CLAIM_INSIDE * size[self.graph.index[gate]]
        }

    def truths(self, index: str = "SII") -> tuple[Values, Inside]:
        """Gives the planted interactions of the output and of gates that are not 0.

        With noise their values have moved: with so few players that all coalitions can be asked, they are
        those of the definition on this very network; else those planted.
        """
        known = [c for c in self.planted.truth.combinations if abs(c.values[index]) > 1e-9]
        output = {frozenset(c.members): c.values[index] for c in known if c.target == self.planted.target}
        inside = {(c.target, frozenset(c.members)): c.values[index] for c in known if c.target in self.gates}
        noisy = bool(self.graph.meta["planted"]["noise"])
        if noisy and output and len(self.players) <= ENUMERATED:
            worths = self.only(_all_sets(self.players), self.players)
            output = {s: _sii(worths, [self.players.index(n) for n in s]) for s in output}
        if noisy:
            games = {gate: self._gate_worths(gate) for gate, _ in inside}
            inside = {(g, s): _sii(games[g], [self.gates[g].index(n) for n in s]) for g, s in inside}
        return output, inside

    def _gate_worths(self, gate: str) -> np.ndarray:
        """Gives what a gate computes of every coalition of its inputs."""
        row, inputs = self.graph.index[gate], [self.graph.index[n] for n in self.gates[gate]]
        c = self.net.strength[row, inputs] * self.net.activation[inputs]
        bits = np.arange(1 << len(c))[:, None] >> np.arange(len(c)) & 1
        z = self.net.bias[row] + bits @ c
        return np.where(z > self.net.threshold[row], z, 0)


def _all_sets(names: Sequence[str]) -> list[list[str]]:
    return [[n for i, n in enumerate(names) if s >> i & 1] for s in range(1 << len(names))]


def _sii(worths: np.ndarray, members: Sequence[int]) -> float:
    """Gives the Shapley interaction of a set, from its definition."""
    n, t = len(worths).bit_length() - 1, len(members)
    inside = sum(1 << i for i in members)
    rest = np.array([s for s in range(len(worths)) if not s & inside])
    size = np.bitwise_count(rest.astype(np.uint32))
    weight = np.array([factorial(n - k - t) * factorial(k) / factorial(n - t + 1) for k in range(n - t + 1)])
    delta = np.zeros(len(rest))
    for part in range(1 << t):
        chosen = sum(1 << i for bit, i in enumerate(members) if part >> bit & 1)
        delta += (-1) ** (t - part.bit_count()) * worths[rest | chosen]
    return float(weight[size] @ delta)
