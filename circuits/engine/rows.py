"""Streams rows: the effects of all sources on one chunk of targets after another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, is_dataclass, replace
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import Float

from circuits.engine.nodes import NodeMap
from circuits.engine.operator import Effects, Operator, pull
from circuits.engine.plan import Chunk
from circuits.engine.sources import Sources, combine
from circuits.errors import UsageError
from circuits.trace import Terms, Trace

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class RowBatch:
    """One chunk's effects, computed. They have the chunk's padded size.

    `total` and `magnitude` are each row's Σ weight and Σ |weight| over all sources but the constants.
    """

    chunk: Chunk
    effects: Effects
    total: Float[np.ndarray, "k"]
    magnitude: Float[np.ndarray, "k"]

    @classmethod
    def of(cls, chunk: Chunk, effects: Effects) -> RowBatch:
        """Gives the batch of a chunk, waiting for its effects."""
        size = len(chunk.members)
        inputs = np.asarray(effects.inputs)[:, :, :size]
        total, magnitude = (values.sum((0, 1), dtype=np.float64) for values in (inputs, np.abs(inputs)))
        for layer in effects.layers:  # in float64: one long float32 sum would lose two digits
            total += np.asarray(layer.total)[:size]
            magnitude += np.asarray(layer.magnitude)[:size]
        return cls(chunk, effects, total, magnitude)


class Engine:
    """The operators of one trace, one for each device, and what they need to make rows.

    Chunks are independent of each other, so they are dealt to `workers` threads; each device has its
    own copy of the operator. On a CPU one worker per core, each computing single-threaded, wastes
    less than one computation spread over the cores.

    Args:
        trace: the prompt.
        devices: where to compute; the default device unless given.
        workers: calls under way at once, per device.
    """

    def __init__(self, trace: Trace, *, devices: tuple[jax.Device, ...] = (), workers: int = 1) -> None:
        self.trace = trace
        self.where = NodeMap.of(trace)
        self.sources = Sources.of(trace, self.where)
        with self.precision():
            self.operators = [
                Operator(trace, self.sources, device) for device in devices or (jax.devices()[0],)
            ]
        self._reads = combine(trace.reads, len(trace.features), len(trace.vectors))
        self._workers = workers

    def reading(self, reads: Terms) -> Engine:
        """Gives this engine with features that read something else; operators and sources are shared."""
        twin = copy(self)
        twin._reads = combine(reads, len(self.trace.features), len(self.trace.vectors))
        return twin

    def precision(self) -> AbstractContextManager[object]:
        """Gives a context in which JAX computes in the trace's precision. Per thread."""
        return jax.enable_x64(True) if self.trace.dtype == np.float64 else nullcontext()

    def stream(self, chunks: Iterable[Chunk], keep: Callable[[RowBatch], Kept]) -> Iterator[Kept]:
        """Gives what `keep` makes of the effects of each chunk, in order, computing the next meanwhile.

        Args:
            chunks: what to compute, best in order of positions.
            keep: called in the worker's thread, so that the host's share is spread over the cores too.
        """
        slots = len(self.operators) * self._workers
        pending: deque[Future[Kept]] = deque()
        with ThreadPoolExecutor(slots) as pool:
            try:
                for i, chunk in enumerate(chunks):
                    operator = self.operators[i % len(self.operators)]
                    pending.append(pool.submit(lambda c, o: keep(self._compute(c, o)), chunk, operator))
                    if len(pending) > slots:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _compute(self, chunk: Chunk, operator: Operator) -> RowBatch:
        reads, positions = self.reads(chunk)
        padding = chunk.size - len(positions)
        with self.precision():
            effects = pull(
                operator.cut(chunk.positions),
                jax.device_put(np.pad(reads, [(0, padding), (0, 0)]), operator.device),
                jax.device_put(np.pad(positions, (0, padding)).astype(np.int32), operator.device),
                chunk.layer,
                parallel=operator.parallel,
            )
            return RowBatch.of(chunk, effects)

    def reads(self, chunk: Chunk) -> tuple[Float[np.ndarray, "k d"], np.ndarray]:
        """Gives what a chunk's members read from the residual stream, scales applied, and where."""
        trace, members = self.trace, chunk.members
        if chunk.layer == trace.n_layers:
            return trace.targets.vector[members], trace.targets.position[members]
        at = trace.features.position[members]
        scale = trace.mlp.read_scale[chunk.layer, at]
        vectors = (self._reads[members] @ trace.vectors) * scale[:, None]
        return vectors.astype(trace.dtype), at


def widened(trace: Trace) -> Trace:
    """Gives the trace with every float array in float64."""
    wide: Trace = _widened(trace)
    return wide


def _widened(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        return value.astype(np.float64)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{name: _widened(part) for name, part in vars(value).items()})
    return value


def devices(kind: str) -> tuple[jax.Device, ...]:
    """Gives the devices of a kind: "auto" (JAX's choice), "cpu", "gpu".

    Raises:
        UsageError: there is none.
    """
    try:
        return tuple(jax.devices(None if kind == "auto" else kind))
    except RuntimeError as cause:
        found = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise UsageError(f"JAX finds no {kind!r} device here, only {found}: choose --device auto.") from cause
