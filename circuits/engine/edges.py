"""First-order edges: which of a row's effects are kept, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.engine.nodes import NodeMap
from circuits.engine.rows import RowBatch
from circuits.engine.sources import Sources, scales
from circuits.errors import UsageError
from circuits.trace import Trace


@dataclass(frozen=True)
class Edges:
    """The settings of first-order attribution.

    Attributes:
        tolerance: an edge is kept if |weight| ≥ tolerance · Σ|weight| of its target's row, so a row
            keeps at most 1 / tolerance edges. What is left out is summed into the edge from `rest`
            and its absolute sum stands in the node's `truncated`: nothing vanishes. 0 keeps all.
        max_features: at most so many features get incoming edges, the most influential first; the
            others stay in the graph as sources. None expands all.
    """

    tolerance: float = 1e-4
    max_features: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise UsageError(f"Tolerance {self.tolerance} is not in [0, 1): give a small share or 0.")
        if self.max_features is not None and self.max_features < 0:
            raise UsageError(f"At most {self.max_features} features: give 0 or more.")


@dataclass(frozen=True)
class KeptEdges:
    """The edges into one batch of targets, by node rows.

    `truncated` is what falls below the tolerance, one number for each of `rows`.
    """

    rows: Int[np.ndarray, "k"]
    truncated: Float[np.ndarray, "k"]
    source: Int[np.ndarray, "e"]
    target: Int[np.ndarray, "e"]
    value: Float[np.ndarray, "e"]


@dataclass
class EdgeStore:
    """Edges as they arrive, in node rows. Grows by at most 1 / tolerance per target."""

    trace: Trace
    where: NodeMap
    sources: Sources
    settings: Edges
    truncated: Float[np.ndarray, "N"] = field(init=False)
    source: list[Int[np.ndarray, "e"]] = field(default_factory=list)
    target: list[Int[np.ndarray, "e"]] = field(default_factory=list)
    weight: list[Float[np.ndarray, "e"]] = field(default_factory=list)
    strength: list[Float[np.ndarray, "e"]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.truncated = np.zeros(self.where.size)
        dtype = self.trace.dtype
        # effects were computed at `scale`; the activation is 0 where a feature is dormant
        self._scale = np.ones(self.where.size, dtype)
        self._activation = np.ones(self.where.size, dtype)
        self._scale[self.where.feature] = scales(self.trace)
        self._activation[self.where.feature] = self.trace.features.activation
        self._any_dormant = bool((self._activation == 0).any())
        _, writes = np.unique(self.trace.writes.feature, return_counts=True)
        layers = np.unique(np.stack([self.trace.writes.feature, self.trace.writes.layer]), axis=1)
        self._shared = layers.shape[1] > len(writes)

    def keep(self, batch: RowBatch) -> KeptEdges:
        """Gives the edges of a batch. Changes nothing, so threads may work at the same time."""
        chunk, effects = batch.chunk, batch.effects
        size = len(chunk.members)
        logits = chunk.layer == self.trace.n_layers
        rows = self.where.target[chunk.members] if logits else self.where.feature[chunk.members]
        floor = self.settings.tolerance * batch.magnitude
        parts = []
        if effects.layers:
            blocks = np.stack([np.asarray(layer.blocks)[:, :size] for layer in effects.layers])
            node = self.sources.block_node[: chunk.layer, : blocks.shape[1]]
            blocks = blocks[:, : node.shape[1]]
            read = self._spread if self._shared else self._kept
            parts.append(read(blocks, node, floor))
        n = self.trace.n_positions
        inputs = np.stack([self.where.token, self.where.position][: len(effects.inputs)])
        seen = np.asarray(effects.inputs)[:, :n, :size, None]
        parts.append(self._kept(seen, inputs[:, : seen.shape[1], None], floor))
        source, target, value = (np.concatenate(column) for column in zip(*parts, strict=True))
        others = list(self._constants(batch, logits=logits))
        truncated = np.zeros(size)
        if self.settings.tolerance > 0:
            truncated, rest = self._left_out(batch, (source, target, value))
            others.append((self.where.rest, rest))
        some = [np.flatnonzero(values) for _, values in others]
        nodes = [np.full(len(at), node) for at, (node, _) in zip(some, others, strict=True)]
        values = [values[at] for at, (_, values) in zip(some, others, strict=True)]
        return KeptEdges(
            rows=rows,
            truncated=truncated,
            source=np.concatenate([source, *nodes], dtype=np.int32, casting="unsafe"),
            target=rows[np.concatenate([target, *some])],
            value=np.concatenate([value, *values]),
        )

    def add(self, kept: KeptEdges) -> None:
        """Takes the edges of a batch."""
        value = kept.value
        self.source.append(kept.source)
        self.target.append(kept.target.astype(np.int32, copy=False))
        self.strength.append(value / self._scale[kept.source])
        if self._any_dormant:
            value = np.where(self._activation[kept.source] == 0, np.zeros_like(value), value)
        self.weight.append(value)
        self.truncated[kept.rows] = kept.truncated

    def _kept(
        self,
        values: Float[np.ndarray, "L B T S"],
        node: Int[np.ndarray, "L B S"],
        floor: Float[np.ndarray, "T"],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gives source rows, target numbers and values of the effects that reach the floor."""
        large = np.abs(values) >= np.maximum(floor, np.finfo(values.dtype).tiny)[:, None]
        if self._any_dormant:
            dormant = (self._activation[node] == 0) & (node >= 0)
            large |= dormant[:, :, None, :] & (values != 0)
        # flat numbers and plain divisions: far cheaper than a nonzero over four axes
        flat = np.flatnonzero(large)
        kept = flat.astype(np.int32) if large.size <= np.iinfo(np.int32).max else flat
        size, width = values.shape[2:]
        cell = kept // width
        block = cell // size
        source = np.take(node.reshape(-1), kept - (cell - block) * width)
        return source, cell - block * size, np.take(values.reshape(-1), flat)

    def _spread(
        self,
        blocks: Float[np.ndarray, "L B T S"],
        node: Int[np.ndarray, "L B S"],
        floor: Float[np.ndarray, "T"],
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gives the same where features write into several layers: their effects add up first."""
        filled = node >= 0
        entries, size = int(filled.sum()), self.where.size
        sums = sp.csr_array((np.ones(entries), (node[filled], np.arange(entries))), shape=(size, entries))
        total = (sums @ blocks.transpose(0, 1, 3, 2)[filled]).astype(blocks.dtype)
        return self._kept(total.T[None, None], np.arange(size)[None, None], floor)

    def _left_out(
        self, batch: RowBatch, found: tuple[np.ndarray, np.ndarray, np.ndarray]
    ) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
        """Gives Σ |weight| and Σ weight of what was not kept."""
        source, target, value = found
        if self._any_dormant:
            on = self._activation[source] != 0
            target, value = target[on], value[on]
        size = len(batch.total)
        sums, absolute = np.bincount(target, value, size), np.bincount(target, np.abs(value), size)
        return np.maximum(batch.magnitude - absolute, 0), (batch.total - sums).astype(self.trace.dtype)

    def _constants(self, batch: RowBatch, *, logits: bool) -> Iterator[tuple[int, Float[np.ndarray, "k"]]]:
        """Gives what constants contribute: the target's own, attention's and the MLPs'."""
        effects, members, where = batch.effects, batch.chunk.members, self.where
        size = len(members)
        yield where.own, self.trace.targets.bias[members] if logits else self.trace.features.bias[members]
        if (where.attention_bias >= 0).any():
            if effects.own_attention_bias is not None:
                own = np.asarray(effects.own_attention_bias)[:size]
                yield int(where.attention_bias[batch.chunk.layer]), own
            for layer, found in enumerate(effects.layers):
                yield int(where.attention_bias[layer]), np.asarray(found.attention_bias)[:size]
        if self.trace.mlp.constant is not None:
            for layer, found in enumerate(effects.layers):
                yield int(where.mlp_bias[layer]), np.asarray(found.mlp_bias)[:size]

    def missing(self) -> Float[np.ndarray, "N"]:
        """Gives |Σ weight − z| / max(1, |z|) of every node that has incoming edges, 0 elsewhere."""
        _, target, weight, _ = self.columns()
        sums = np.bincount(target, weight.astype(np.float64), self.where.size)
        z, features = np.zeros(self.where.size), self.trace.features
        z[self.where.feature] = features.pre_activation
        logits = self.trace.targets.feature < 0
        z[self.where.target[logits]] = self.trace.targets.value[logits]
        some = np.bincount(target, minlength=self.where.size) > 0
        return np.where(some, np.abs(sums - z) / np.maximum(1, np.abs(z)), 0)

    def drop(self, rows: Int[np.ndarray, "k"]) -> None:
        """Forgets the edges into the given nodes, so that they can be added anew."""
        columns = self.columns()
        kept = ~np.isin(columns[1], rows)
        self.source, self.target, self.weight, self.strength = ([column[kept]] for column in columns)

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Gives source rows, target rows, weights and strengths of all edges so far."""
        lists = (self.source, self.target, self.weight, self.strength)
        kinds = (np.int32, np.int32, self.trace.dtype, self.trace.dtype)
        return tuple(  # type: ignore[return-value]
            np.concatenate(parts) if parts else np.zeros(0, kind)
            for parts, kind in zip(lists, kinds, strict=True)
        )
