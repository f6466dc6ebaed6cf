"""Targets carried down, sources carried up, and both held at every layer, to see what passes between.

The engine carries only targets and reads sources out on the way. What passes through one head of one
layer needs both at that layer: the cotangents of the targets above its attention, and what the sources
have become below it. Going up is the transpose of the engine's own step down, so the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int

from circuits.engine.operator import Cut, Layer, attend_back, below, pass_beside, placed
from circuits.engine.plan import Chunk
from circuits.engine.rows import Engine


@dataclass(frozen=True)
class Readers:
    """Targets: what each reads, scales applied, at which layer (L for logits) and position."""

    reads: Float[np.ndarray, "T d"]
    layer: Int[np.ndarray, "T"]
    position: Int[np.ndarray, "T"]


@dataclass(frozen=True)
class Writers:
    """What S sources write: entry i adds `vector[i]` for source `source[i]` at a position.

    `layer` is the layer whose output it joins, -1 for embeddings. A source may have several entries.
    """

    source: Int[np.ndarray, "W"]
    layer: Int[np.ndarray, "W"]
    position: Int[np.ndarray, "W"]
    vector: Float[np.ndarray, "W d"]
    count: int


@dataclass(frozen=True)
class Cotangents:
    """What T targets read at one layer: `above` of the stream that leaves it, `middle` of attention's output.

    The layer -1 has only `above`: the embeddings.
    """

    layer: int
    above: Float[Array, "m T d"]
    middle: Float[Array, "m T d"] | None


def readers(engine: Engine, rows: Int[np.ndarray, "T"], size: int) -> Readers:
    """Gives what some nodes of the node table read, padded to `size`; they are features or logit targets."""
    trace, where = engine.trace, engine.where
    features = where.features_of_rows[rows]
    logits = {int(row): t for t, row in enumerate(where.target) if trace.targets.feature[t] < 0}
    members = np.array([logits[int(row)] if f < 0 else f for row, f in zip(rows, features, strict=True)], int)
    at = np.where(features < 0, trace.n_layers, trace.features.layer[features])
    reads = np.zeros((size, trace.width), trace.dtype)
    layer, position = np.full(size, -1), np.zeros(size, int)
    layer[: len(rows)] = at
    for one in np.unique(at):
        here = np.flatnonzero(at == one)
        chunk = Chunk(int(one), members[here], positions=0, size=0)
        reads[here], position[here] = engine.reads(chunk)
    return Readers(reads, layer, position)


def writers(engine: Engine, rows: Int[np.ndarray, "S"], size: int) -> Writers:
    """Gives what some nodes of the node table write, padded to `size`; constants write nothing here."""
    where, sources = engine.where, engine.sources
    number = np.full(where.size + 1, -1)
    number[rows] = np.arange(len(rows))
    number[-1] = -1  # answers for padding
    parts = []
    for table, vectors in zip((where.token, where.position), sources.inputs, strict=False):
        at = np.flatnonzero(number[table] >= 0)
        parts.append((number[table[at]], np.full(len(at), -1), at, vectors[at]))
    layer, block, slot = np.nonzero((number[sources.block_node] >= 0) & (sources.live > 0))
    found = sources.blocks[layer, block, slot]
    parts.append(
        (number[sources.block_node[layer, block, slot]], layer, sources.block_position[layer, block], found)
    )
    source, layer, position, vector = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Writers(source, layer, position, vector, size)


def descend(cut: Cut, targets: Readers, *, parallel: bool, heads: bool = True) -> Iterator[Cotangents]:
    """Yields what targets read at every layer that one reads at or sees, the last first, then the embeddings.

    Args:
        cut: the operator's arrays for m positions, all of the targets' among them.
        targets: any targets, of different layers too.
        parallel: attention stands beside the MLP.
        heads: whether paths through attention count.
    """
    m = cut.inputs.shape[1]
    reads, position = jnp.asarray(targets.reads), jnp.asarray(targets.position, dtype=np.int32)
    count = len(cut.layers)

    def own(layer: int) -> Float[Array, "m T d"]:
        here: Array = placed(reads * jnp.asarray(targets.layer == layer)[:, None], position, m=m)
        return here

    g, top = own(count), int(targets.layer.max())
    for at in reversed(range(min(top + 1, count))):
        layer = cut.layers[at]
        above = g
        if layer.stream:  # nothing passes beside features that are the stream; they read what passes to it
            middle, g = _step(layer, own(at), jnp.zeros_like(g), parallel=parallel, heads=heads)
        elif parallel:
            middle, g = _step(layer, g, jnp.zeros_like(g), parallel=True, heads=heads)
            g = g + own(at)
        else:
            middle, g = _step(layer, g, own(at), parallel=False, heads=heads)
        yield Cotangents(at, above, middle)
    yield Cotangents(-1, g, None)


def ascend(
    cut: Cut, sources: Writers, top: int, *, parallel: bool
) -> Iterator[tuple[int, Float[Array, "m S d"]]]:
    """Yields what sources have become in the stream that enters each layer, once one of them has written.

    Args:
        cut: the operator's arrays for m positions; what is written later is left out.
        sources: any sources.
        top: the last layer to reach.
        parallel: attention stands beside the MLP.
    """
    m, width = cut.inputs.shape[1:]
    first = int(sources.layer.min(initial=top))
    x = jnp.zeros((m, sources.count, width), sources.vector.dtype)
    for at in range(first, top):
        if at > first:
            layer = cut.layers[at]
            x = jnp.zeros_like(x) if layer.stream else _lift(layer, x, parallel=parallel)
        here = np.flatnonzero((sources.layer == at) & (sources.position < m))
        if len(here):
            added = np.zeros(x.shape, x.dtype)  # in NumPy, else compiled for every number of entries
            np.add.at(added, (sources.position[here], sources.source[here]), sources.vector[here])
            x = x + added
        yield at + 1, x


@partial(jax.jit, static_argnames=("parallel", "heads"))
def _step(
    layer: Layer, g: Float[Array, "m T d"], own: Float[Array, "m T d"], *, parallel: bool, heads: bool
) -> tuple[Float[Array, "m T d"], Float[Array, "m T d"]]:
    """Gives the cotangents at what attention adds, and those below the layer; `own` join at the former."""
    beside = pass_beside(layer, g)
    middle = own + (g if parallel else g + beside)
    lower = middle + (attend_back(middle, layer) if heads else 0)
    return middle, (lower + beside if parallel else lower)


@partial(jax.jit, static_argnames=("parallel",))
def _lift(layer: Layer, x: Float[Array, "m S d"], *, parallel: bool) -> Float[Array, "m S d"]:
    """Gives what enters the next layer: the transpose of the step down."""
    down = jax.linear_transpose(lambda g: below(layer, g, parallel=parallel)[0], x)
    up: Array = down(x)[0]
    return up
