"""What all units of one call share: the engine, head loadings, and with them the heads that matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.engine.methods import Progress
from circuits.engine.nodes import node_table
from circuits.engine.qk.loadings import Loadings, check_weights, head_loadings, head_table, strongest_edges
from circuits.engine.qk.places import Place
from circuits.engine.qk.scores import players
from circuits.engine.rows import Engine
from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.trace import Trace


@dataclass
class Survey:
    """A graph and its trace, and what is computed of them once, when first asked for.

    Attributes:
        edges: how many of the strongest edges are followed through heads.
        influence: what each of them brings to the targets, once they are.
    """

    graph: Graph
    trace: Trace
    edges: int
    influence: Float[np.ndarray, "E"] = field(default_factory=lambda: np.zeros(0), init=False)
    _loadings: Loadings | None = field(default=None, init=False)

    @cached_property
    def engine(self) -> Engine:
        """Gives the operator of the trace."""
        return Engine(self.trace)

    @cached_property
    def names(self) -> list[str]:
        """Gives the trace's nodes."""
        return node_table(self.trace, self.engine.where)["node"].to_list()

    @cached_property
    def rows(self) -> Int[np.ndarray, "N"]:
        """Gives, for each node of the graph, its row among the trace's.

        Raises:
            Incompatible: the graph has nodes that the trace lacks.
        """
        where = {name: row for row, name in enumerate(self.names)}
        nodes = self.graph.nodes["node"].to_list()
        unknown = [name for name in nodes if name not in where]
        if unknown:
            raise Incompatible(
                f"The graph has {len(unknown)} nodes that the trace lacks, such as {unknown[0]}: give the"
                " trace the graph was made from."
            )
        return np.array([where[name] for name in nodes], int)

    @cached_property
    def position(self) -> Int[np.ndarray, "N"]:
        """Gives the position of each of the trace's nodes, -1 where it has none."""
        table = node_table(self.trace, self.engine.where)
        return table["pos"].fill_null(-1).to_numpy().astype(int)

    @cached_property
    def free(self) -> Bool[np.ndarray, "N"]:
        """Tells which of the trace's nodes are players: those of the graph that are no constants."""
        kept = np.zeros(len(self.names), bool)
        kept[self.rows] = True
        kept &= players(self.engine)
        return kept

    def loadings(self, tell: Progress) -> Loadings:
        """Gives the loadings of the strongest edges.

        Raises:
            Incompatible: the graph was not made from the trace.
        """
        if self._loadings is None:
            edges, self.influence = strongest_edges(self.graph, self.edges)
            source, target = (self.rows[end[edges]] for end in self.graph.ends)
            found = head_loadings(
                self.engine,
                (source, target),
                self.influence,
                lambda done, total: tell("head loadings", done, total),
            )
            check_weights(self.names, self.graph.edges["weight"].to_numpy()[edges], found)
            self._loadings = found
        return self._loadings

    def target(self, place: Place, tell: Progress) -> str | None:
        """Gives the node to which the head brings the most influence at all, or None."""
        found = self.loadings(tell)
        share = self.influence / np.maximum(np.abs(found.weight), np.finfo(np.float64).tiny)
        carried = np.abs(found.head[:, place.layer, place.head]) * share
        carried *= self.position[found.target] >= (place.query or 0)
        if not carried.any():
            return None
        by_target = np.bincount(found.target, carried, len(self.names))
        return self.names[int(by_target.argmax())]

    def table(self, top: int, tell: Progress) -> pl.DataFrame:
        """Gives the loadings as a table, `top` heads an edge."""
        return head_table(self.names, self.loadings(tell), top)

    def brought(self, tell: Progress) -> Float[np.ndarray, "L H n n"]:
        """Gives what each head carries to each query from each earlier position."""
        return np.tril(self.loadings(tell).carried, -1)

    def heads(self, count: int, tell: Progress) -> list[Place]:
        """Gives the heads that carry the most between positions, and of each the query where it does."""
        carried = self.brought(tell).sum(axis=3)
        best = carried.max(axis=2, initial=0)
        order = np.argsort(-best, axis=None, kind="stable")[:count]
        layers, heads = np.unravel_index(order, best.shape)
        return [
            Place(int(layer), int(head), int(carried[layer, head].argmax()))
            for layer, head in zip(layers, heads, strict=True)
            if best[layer, head] > 0
        ]

    def query(self, place: Place, tell: Progress) -> Place:
        """Gives the place at the query through which its head carries the most, or the last."""
        by_query = self.brought(tell)[place.layer, place.head].sum(axis=1)
        at = int(by_query.argmax()) if by_query.any() else self.trace.n_positions - 1
        return Place(place.layer, place.head, at)

    def keys(self, place: Place, count: int, tell: Progress) -> list[int]:
        """Gives the keys of a query from which its head carries the most, then those it attends to the most.

        What a head carries is counted at the position of the source, which is the key unless an earlier
        head has moved it.
        """
        assert self.trace.attention is not None
        at = (place.layer, place.head, place.query)
        seen: Float[np.ndarray, "n"] = self.trace.attention.pattern[at]
        carried = self.brought(tell)[at] if self.edges else np.zeros_like(seen)
        order = np.lexsort((-seen, -carried))
        return [int(key) for key in order if seen[key] > 0][:count]
