"""Head loadings: which attention heads carry an edge.

An edge's weight is a sum over all paths from source to target. A path passes each layer through its
attention at most once, through one head, so the weight is an affine function of the pattern of any one head:

    loading(layer, head) = weight − weight with that head's pattern set to 0
                         = the sum over the paths that pass through the head

The two are the same, and what it says is causal. Paths through two heads count for both, so loadings need
not sum to the weight; `none` is the sum over the paths that pass through no head at all, and what lacks is
`other`: the heads not listed, less what was counted more than once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
from jax import Array
from jaxtyping import Float, Int

from circuits.engine.operator import Layer
from circuits.engine.plan import position_bucket
from circuits.engine.qk.paths import ascend, descend, readers, writers
from circuits.engine.rows import Engine
from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, of_kind, propagate
from circuits.schema import HEAD_SCHEMA

Step = Callable[[int, int], None]
"""Told how many edges are done, and of how many."""

BLOCK: Final = 64
"""Targets, and sources, carried at once."""

CELLS: Final = 1024
"""Targets × positions carried at once, about."""

ROUNDING: Final = 1e-6

MISMATCH: Final = 1e-2
"""Largest difference between an edge's weight and what the trace gives, as a share of the largest weight."""


@dataclass(frozen=True)
class Loadings:
    """What heads carry of some edges. L layers, H heads, n positions, E edges.

    Attributes:
        source, target: rows of the node table.
        weight: of the edges, recomputed.
        head: of each edge, the loading of each head.
        none: of each edge, what passes no head.
        carried: share of the targets' influence that these edges bring through each head, by the query
            position it is written at and the source's own: Σ over edges of influence · |loading| / |weight|.
    """

    source: Int[np.ndarray, "E"]
    target: Int[np.ndarray, "E"]
    weight: Float[np.ndarray, "E"]
    head: Float[np.ndarray, "E L H"]
    none: Float[np.ndarray, "E"]
    carried: Float[np.ndarray, "L H n n"]


def strongest_edges(graph: Graph, most: int) -> tuple[Int[np.ndarray, "E"], Float[np.ndarray, "E"]]:
    """Gives the edges that bring the most influence, as row numbers of the edge table, and how much.

    The influence of an edge s → t is its share of t's incoming weight times the influence of t, a target's
    own weight included. Edges from constants and `rest` bring none. Half of the edges given lead from one
    position to another, if there are so many: those pass a head for certain, and the others, of which
    there are strong ones at the first position of most models, would crowd them out.

    Args:
        graph: any graph.
        most: at most so many, the strongest first.
    """
    asked = graph.nodes["target_weight"].to_numpy()
    shares = normalised(graph)
    arriving = propagate(shares, asked) + asked
    source, target = graph.ends
    kept = np.flatnonzero(~of_kind(graph, "bias", "rest")[source])
    brought = shares.data * arriving[target[kept]]  # the matrix holds exactly these edges, in this order
    order = np.argsort(-brought, kind="stable")
    order = order[brought[order] > 0]
    position = graph.nodes["pos"].to_numpy()
    between = position[source[kept[order]]] != position[target[kept[order]]]
    first = np.flatnonzero(between)[: most - most // 2]
    rest = np.setdiff1d(np.arange(len(order)), first)[: most - len(first)]
    order = order[np.sort(np.concatenate([first, rest]))]
    return kept[order], brought[order]


def head_loadings(
    engine: Engine,
    ends: tuple[Int[np.ndarray, "E"], Int[np.ndarray, "E"]],
    influence: Float[np.ndarray, "E"],
    step: Step | None = None,
) -> Loadings:
    """Gives the loadings of all heads on some edges.

    Per 64 targets and per 64 sources the cost is one pass down and one up the layers, and per layer one
    product of 64 × 64 for each head and position.

    Args:
        engine: of the trace.
        ends: rows of the node table: sources (no constants) and targets (features or logits).
        influence: what each edge brings, for `Loadings.carried`.
        step: told of progress.
    """
    trace, (source, target) = engine.trace, ends
    L, n, total = trace.n_layers, trace.n_positions, len(ends[0])
    H = 0 if trace.attention is None else trace.attention.pattern.shape[1]
    head, none, weight = np.zeros((total, L, H)), np.zeros(total), np.zeros(total)
    carried, done = np.zeros((L, H, n, n), np.float32), 0
    place = _positions(engine)[source]
    for members in _blocks(engine, np.unique(target)):
        edges = np.flatnonzero(np.isin(target, members))
        with engine.precision():
            block = _Block(engine, members, source[edges], target[edges])
            weight[edges], outputs = block.descend(heads=True)
            none[edges], _ = block.descend(heads=False)
            share = influence[edges] / np.maximum(np.abs(weight[edges]), np.finfo(np.float64).tiny)
            for some, layer, found in block.loads(outputs) if H else ():
                head[edges[some], layer] = found.sum(axis=2)
                brought = np.abs(found[:, :, :n]) * share[some, None, None]
                for p in np.unique(at := place[edges[some]]):
                    carried[layer, :, : brought.shape[2], p] += brought[at == p].sum(axis=0)
        done += len(edges)
        if step is not None:
            step(done, total)
    return Loadings(source, target, weight, head, none, carried)


def _positions(engine: Engine) -> Int[np.ndarray, "N"]:
    """Gives the position of every token, positional embedding, error and feature; 0 for other nodes."""
    where, n = engine.where, engine.trace.n_positions
    out = np.zeros(where.size + 1, int)
    out[where.token] = out[where.position] = np.arange(n)
    out[where.error] = np.arange(n)
    out[where.feature] = engine.trace.features.position
    return out[:-1]


def _blocks(engine: Engine, rows: Int[np.ndarray, "T"]) -> list[Int[np.ndarray, "k"]]:
    """Gives the targets in blocks that are carried together, those of one layer side by side."""
    size = _block_size(position_bucket(engine.trace.n_positions))
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _block_size(positions: int) -> int:
    """Gives how many targets or sources are carried at once: fewer where there are many positions."""
    return min(BLOCK, max(8, CELLS // positions))


class _Block:
    """Some targets, and the edges into them."""

    def __init__(self, engine: Engine, members: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
        self.engine = engine
        self.parallel = engine.trace.parallel
        self.source, self.at = source, np.searchsorted(members, target)
        self.size = _block_size(position_bucket(engine.trace.n_positions))
        self.asked = readers(engine, members, self.size)
        self.cut = engine.operators[0].cut(position_bucket(int(self.asked.position.max()) + 1))

    def descend(self, *, heads: bool) -> tuple[Float[np.ndarray, "e"], dict[int, Array]]:
        """Gives the edges' weights, and what targets read of each head's mixed values, by layer.

        Args:
            heads: whether paths through attention count; if not, nothing is read of heads.
        """
        outputs: dict[int, Array] = {}
        rows, place = np.unique(self.source, return_inverse=True)
        written = writers(self.engine, rows, len(rows))
        table = np.zeros((len(rows), self.size))
        m = self.cut.inputs.shape[1]
        for found in descend(self.cut, self.asked, parallel=self.parallel, heads=heads):
            here = np.flatnonzero((written.layer == found.layer) & (written.position < m))
            if len(here):
                # in NumPy: every number of entries would be another shape to compile for
                read = np.asarray(found.above)[written.position[here]]
                np.add.at(table, written.source[here], np.einsum("wd,wtd->wt", written.vector[here], read))
            layer = self.cut.layers[found.layer]
            if heads and found.middle is not None and layer.pattern is not None:
                outputs[found.layer] = _outputs(layer, found.middle)
        return table[place, self.at], outputs

    def loads(
        self, outputs: Mapping[int, Array]
    ) -> Iterator[tuple[Int[np.ndarray, "s"], int, Float[np.ndarray, "s H m"]]]:
        """Yields edges, a layer, and their loadings on its heads by query position."""
        rows = np.unique(self.source)
        for start in range(0, len(rows), self.size):
            block = rows[start : start + self.size]
            some = np.flatnonzero(np.isin(self.source, block))
            ends = np.searchsorted(block, self.source[some]), self.at[some]
            written = writers(self.engine, block, self.size)
            for layer, x in ascend(self.cut, written, max(outputs), parallel=self.parallel):
                found = np.asarray(_product(_mixed(self.cut.layers[layer], x), outputs[layer]))
                yield some, layer, found[ends]


@jax.jit
def _outputs(layer: Layer, middle: Float[Array, "m T d"]) -> Float[Array, "m T H R"]:
    """Gives what targets read of each head's mixed values."""
    assert layer.pattern is not None
    assert layer.output is not None
    m, targets, _ = middle.shape
    groups, shared = layer.pattern.shape[:2]
    return (middle @ layer.output).reshape(m, targets, groups * shared, -1)


@jax.jit
def _mixed(layer: Layer, x: Float[Array, "m S d"]) -> Float[Array, "m S H R"]:
    """Gives the values of sources as each head's pattern mixes them at the queries."""
    assert layer.pattern is not None
    assert layer.value is not None
    m, count, _ = x.shape
    groups, shared = layer.pattern.shape[:2]
    value = (x @ layer.value.T).reshape(m, count, groups, -1)
    mixed = jnp.einsum("cgqk,kscr->qscgr", layer.pattern, value)
    return mixed.reshape(m, count, groups * shared, -1)


@jax.jit
def _product(mixed: Float[Array, "m S H R"], outputs: Float[Array, "m T H R"]) -> Float[Array, "S T H m"]:
    return jnp.einsum("qshr,qthr->sthq", mixed, outputs)


def head_table(names: Sequence[str], found: Loadings, top: int) -> pl.DataFrame:
    """Gives the table of loadings: of each edge its `top` heads, `none` and `other`.

    The rows of an edge sum to its weight. Heads that carry nothing are left out.

    Args:
        names: of the nodes.
        found: loadings of some edges.
        top: at most so many heads an edge.
    """
    E, L, H = found.head.shape
    flat = found.head.reshape(E, L * H)
    order = np.argsort(-np.abs(flat), axis=1, kind="stable")[:, : min(top, L * H)]
    kept = np.take_along_axis(flat, order, axis=1)
    edge = np.repeat(np.arange(E), order.shape[1]).reshape(order.shape)
    edge, order, kept = (values[kept != 0] for values in (edge, order, kept))
    left = found.weight - found.none - np.bincount(edge, kept, E)
    left[np.abs(left) <= ROUNDING * np.abs(found.weight)] = 0  # what is not there but for rounding
    called = np.asarray(names, dtype=object)
    layer, head = order // max(H, 1), order % max(H, 1)
    parts = [(edge, [f"head:{a}.{b}" for a, b in zip(layer, head, strict=True)], layer, head, kept)]
    for name, values in (("none", found.none), ("other", left)):
        some = np.flatnonzero(values)
        parts.append((some, [name] * len(some), [None] * len(some), [None] * len(some), values[some]))
    tables = [
        pl.DataFrame(
            {
                "source": called[found.source[at]].tolist(),
                "target": called[found.target[at]].tolist(),
                "via": via,
                "layer": pl.Series(in_layer, dtype=pl.Int32),
                "head": pl.Series(of_head, dtype=pl.Int32),
                "weight": values,
                "edge": at,
            },
            schema={**HEAD_SCHEMA, "edge": pl.Int64},
        )
        for at, via, in_layer, of_head, values in parts
    ]
    return pl.concat(tables).sort("edge", maintain_order=True).drop("edge")


def check_weights(names: Sequence[str], told: Float[np.ndarray, "E"], found: Loadings) -> None:
    """Refuses weights of a graph that are not what the trace gives.

    Args:
        names: of the nodes.
        told: the weights of the graph.
        found: the loadings of the same edges.

    Raises:
        Incompatible: naming the worst edge and both numbers.
    """
    if not len(told):
        return
    worst = int(np.argmax(np.abs(told - found.weight)))
    if abs(told[worst] - found.weight[worst]) > MISMATCH * np.abs(told).max():
        raise Incompatible(
            f"The edge {names[found.source[worst]]} → {names[found.target[worst]]} weighs"
            f" {told[worst]:.4g} in the graph and {found.weight[worst]:.4g} by the trace: this graph was not"
            " made from this trace. Give the trace it was made from."
        )
