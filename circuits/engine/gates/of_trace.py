"""The gated neurons of a trace as games: what each source adds to the gate and to the value, apart.

In the graph a gated neuron is linear, its product split in halves. Here the same rows are computed again,
twice: with the neuron reading only its gate's vector, and only its value's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.edges import Edges, EdgeStore
from circuits.engine.gates.games import GateGames, activate
from circuits.engine.gates.of_graph import players_of
from circuits.engine.gates.products import ProductGames
from circuits.engine.nodes import node_table
from circuits.engine.plan import plan
from circuits.engine.rows import Engine
from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.schema import feature_name
from circuits.trace import Gated, Terms, Trace


@dataclass(frozen=True, eq=False)
class ProductRow:
    """One gated neuron's game.

    Attributes:
        node: its row in the node table.
        players: rows of its inputs, ascending; constants and what is too small are left out.
        gate: what each adds to g.
        value: what each adds to u.
        gate_bias: what is left of g without them.
        value_bias: what is left of u.
    """

    node: int
    players: Int[np.ndarray, "n"]
    gate: Float[np.ndarray, "n"]
    value: Float[np.ndarray, "n"]
    gate_bias: float
    value_bias: float


def neurons_of(graph: Graph, trace: Trace) -> Int[np.ndarray, "k"]:
    """Gives the rows of the graph's expanded nodes that are gated neurons of the trace."""
    if trace.gated is None:
        return np.zeros(0, np.int64)
    rows = [graph.index.get(name, -1) for name in _names(trace, trace.gated.feature)]
    expanded = graph.nodes["expanded"].to_numpy()
    return np.array(sorted(row for row in rows if row >= 0 and expanded[row]), np.int64)


def _names(trace: Trace, features: Int[np.ndarray, "k"]) -> list[str]:
    f = trace.features
    places = zip(
        f.layer[features].tolist(), f.id[features].tolist(), f.position[features].tolist(), strict=True
    )
    return [feature_name(*place) for place in places]


class NeuronReader:
    """Reads gate and value of a trace's gated neurons; the engine is made when it is first needed.

    Args:
        graph: names the players.
        trace: what it was made from.
    """

    def __init__(self, graph: Graph, trace: Trace) -> None:
        if trace.gated is None:
            raise Incompatible("The trace tells of no gated neurons: extract it again.")
        self.graph, self.trace, self.gated = graph, trace, trace.gated
        names = _names(trace, self.gated.feature)
        self._entry = {graph.index[name]: at for at, name in enumerate(names) if name in graph.index}

    @property
    def activation(self) -> str:
        """Gives the name of act."""
        return self.gated.activation

    def rows(self, nodes: Sequence[int]) -> list[ProductRow]:
        """Gives the games of gated neurons, named by their rows in the node table, in that order."""
        entries = np.array([self._entry[node] for node in nodes])
        sums = [self._added(entries, vectors) for vectors in ("gate_vector", "value_vector")]
        found = []
        for node, at in zip(nodes, entries.tolist(), strict=True):
            feature = int(self.gated.feature[at])
            (a, g), (b, u) = (added.get(feature, _NONE) for added in sums)
            players = np.union1d(a, b)
            gate, value = np.zeros(len(players)), np.zeros(len(players))
            gate[np.searchsorted(players, a)], value[np.searchsorted(players, b)] = g, u
            rest = float(self.gated.gate[at]) - gate.sum(), float(self.gated.value[at]) - value.sum()
            found.append(ProductRow(node, players, gate, value, float(rest[0]), float(rest[1])))
        return found

    def _added(
        self, entries: Int[np.ndarray, "k"], vectors: str
    ) -> dict[int, tuple[Int[np.ndarray, "_"], Float[np.ndarray, "_"]]]:
        """Gives, by feature, which nodes add to what it reads with one of its two vectors, and how much."""
        trace, engine = self.trace, self._engines[vectors]
        store = EdgeStore(trace, engine.where, engine.sources, Edges())
        features = self.gated.feature[entries]
        chunks = plan(trace.features.layer[features], trace.features.position[features], features)
        for kept in engine.stream(chunks, store.keep):
            store.add(kept)
        source, target, weight, _ = store.columns()
        node = self._node[source]
        stays = (node >= 0) & (weight != 0)
        node, target, weight = node[stays], target[stays], weight[stays].astype(float)
        order = np.lexsort((node, target))
        node, target, weight = node[order], target[order], weight[order]
        ends = np.flatnonzero(np.diff(target)) + 1
        of_row = engine.where.features_of_rows
        return {
            int(of_row[t[0]]): (n, w)
            for t, n, w in zip(
                np.split(target, ends), np.split(node, ends), np.split(weight, ends), strict=True
            )
            if len(t)
        }

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        both = {name: _reading(self.gated, name, self.trace) for name in ("gate_vector", "value_vector")}
        engine = Engine(self.trace)
        return {name: engine.reading(terms) for name, terms in both.items()}

    @cached_property
    def _node(self) -> Int[np.ndarray, "N"]:
        """Gives the graph's row of each of the engine's nodes; -1 where it is no player of the graph."""
        where = self._engines["gate_vector"].where
        names, may_play = node_table(self.trace, where)["node"], players_of(self.graph)
        rows = np.array([self.graph.index.get(name, -1) for name in names])
        return np.where((rows >= 0) & may_play[rows], rows, -1)


_NONE = (np.zeros(0, np.int64), np.zeros(0))


def _reading(gated: Gated, name: str, trace: Trace) -> Terms:
    vector = getattr(gated, name)
    layer = trace.features.layer[gated.feature]
    return Terms(gated.feature, vector, layer, np.ones(len(gated), trace.dtype))


def product_games(rows: Sequence[ProductRow], activation: str, *, hold: bool) -> ProductGames:
    """Gives the games of gated neurons, with act(g)/g held or not."""
    gates = GateGames.of(activation, [row.gate for row in rows], [row.gate_bias for row in rows])  # type: ignore[arg-type]
    value = np.zeros_like(gates.inputs)
    for at, row in enumerate(rows):
        value[at, : len(row.value)] = row.value
    held = None
    if hold:
        g = gates.total
        g = np.where(np.abs(g) > 1e-9, g, 1e-9)  # at 0 the ratio is the slope
        held = activate(gates.gate, g) / g
    return ProductGames(gates, value, np.array([row.value_bias for row in rows]), held)
