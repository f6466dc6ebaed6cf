"""First-order edges: which of a row's effects are kept, and what becomes of the others."""

from __future__ import annotations

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

    def add(self, batch: RowBatch) -> None:
        """Takes one batch of rows."""
        chunk, effects = batch.chunk, batch.effects
        size = len(chunk.members)
        logits = chunk.layer == self.trace.n_layers
        rows = self.where.target[chunk.members] if logits else self.where.feature[chunk.members]
        floor = self.settings.tolerance * batch.magnitude
        depth = chunk.layer  # layers above hold zeros
        node = self.sources.block_node[:depth, : effects.blocks.shape[1]]
        blocks = np.asarray(effects.blocks)[:depth, : node.shape[1], :size]
        parts = [self._spread(blocks, node, floor)] if self._shared else [self._kept(blocks, node, floor)]
        n = self.trace.n_positions
        inputs = np.stack([self.where.token, self.where.position][: len(effects.inputs)])
        seen = np.asarray(effects.inputs)[:, :n, :size, None]
        parts.append(self._kept(seen, inputs[:, : seen.shape[1], None], floor))
        found = [np.concatenate(column) for column in zip(*parts, strict=True)]
        self._append(found[0], rows[found[1]], found[2])
        self._leave_out(batch, rows, found)
        self._constants(batch, rows, logits=logits)

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
        # flat numbers and two divisions: far cheaper than a nonzero over four axes
        kept = np.flatnonzero(large)
        width = (
            np.int64(values.shape[3]) if large.size > np.iinfo(np.int32).max else np.int32(values.shape[3])
        )
        cell, entry = np.divmod(kept.astype(width.dtype), width)
        block, target = np.divmod(cell, width.dtype.type(values.shape[2]))
        return node.reshape(-1, values.shape[3])[block, entry], target, values.reshape(-1)[kept]

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

    def _append(self, source: np.ndarray, target: np.ndarray, value: np.ndarray) -> None:
        self.source.append(source.astype(np.int32, copy=False))
        self.target.append(target.astype(np.int32, copy=False))
        self.strength.append(value / self._scale[source])
        self.weight.append(
            np.where(self._activation[source] == 0, np.zeros_like(value), value)
            if self._any_dormant
            else value
        )

    def _leave_out(self, batch: RowBatch, rows: np.ndarray, found: list[np.ndarray]) -> None:
        """Sums what was not kept into `rest`."""
        if self.settings.tolerance == 0:
            return
        source, target, value = found
        if self._any_dormant:
            on = self._activation[source] != 0
            target, value = target[on], value[on]
        size = len(rows)
        sums, absolute = np.bincount(target, value, size), np.bincount(target, np.abs(value), size)
        self.truncated[rows] = np.maximum(batch.magnitude - absolute, 0)
        self._append(np.full(size, self.where.rest), rows, (batch.total - sums).astype(self.trace.dtype))

    def _constants(self, batch: RowBatch, rows: np.ndarray, *, logits: bool) -> None:
        """Adds what constants contribute: the target's own, attention's and the MLPs'."""
        effects, members, size = batch.effects, batch.chunk.members, len(rows)
        own = self.trace.targets.bias[members] if logits else self.trace.features.bias[members]
        columns = [(np.array([self.where.own]), own[None])]
        columns.append((self.where.attention_bias, np.asarray(effects.attention_bias)[:, :size]))
        columns.append((self.where.mlp_bias, np.asarray(effects.mlp_bias)[:, :size]))
        for node, values in columns:
            some = (values != 0) & (node >= 0)[:, None]
            at = np.nonzero(some)
            self._append(node[at[0]], rows[at[1]], values[some])

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
