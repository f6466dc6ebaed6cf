"""From a trace to a graph: rows of the targets first, then of features, the most influential first."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

import jax
import numpy as np
import polars as pl
from jaxtyping import Bool, Int

import circuits
from circuits.engine.edges import Edges, EdgeStore
from circuits.engine.interact import interact
from circuits.engine.methods import Method
from circuits.engine.nodes import node_table
from circuits.engine.plan import Chunk, plan
from circuits.engine.rows import Engine, devices, widened
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import influence, scores, with_influence
from circuits.schema import feature_name
from circuits.trace import Trace

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many so far, how many in all)."""

REFINE_ABOVE = 5e-6
"""Rows that miss completeness by more, relative to max(1, |z|), are computed again in float64."""

ROUNDS = 6
"""Into how many rounds a budget is split: after each, influence says which features come next."""


@dataclass(frozen=True)
class Compute:
    """Where and how wide to compute.

    Attributes:
        device: "auto" (JAX's choice), "cpu" or "gpu". All devices of the kind share the rows.
        workers: calls under way at once on each device; None: enough to keep it busy.
    """

    device: Literal["auto", "cpu", "gpu"] = "auto"
    workers: int | None = None


def attribute(
    trace: Trace,
    methods: Sequence[Edges | Method] = (Edges(),),
    *,
    compute: Compute = Compute(),
    expand: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Gives the attribution graph of a trace.

    The weight of an edge is the signed contribution of the source, at its activation, to the target's
    pre-activation, attention patterns and normalisation scales frozen (Ameisen et al. 2025). The sum
    over a target's sources, constants and `rest` included, is its pre-activation.

    Args:
        trace: one prompt, from `extract` or a file.
        methods: what to compute: first-order `Edges`, then, if wanted, interactions among what the
            edges lead to, as for `circuits.interact`.
        compute: device and width.
        expand: features that get incoming edges, instead of the most influential; nodes the trace lacks
            are passed over.
        progress: told after every batch of rows.

    Raises:
        UsageError: the device is not there, not exactly one of the methods is `Edges`, or as for
            `interact`.

    Example:
        >>> graph = attribute(trace, [Edges(max_features=2000)])  # doctest: +SKIP
    """
    start = time.perf_counter()
    chosen = devices(compute.device)
    first = [method for method in methods if isinstance(method, Edges)]
    if len(first) != 1:
        raise UsageError(f"{len(first)} of the methods are Edges(...): give one, the interactions beside it.")
    settings = first[0]
    engine = Engine(trace, devices=chosen, workers=compute.workers or _default_workers(chosen))
    job = _Job(trace, settings, engine, progress)
    job.run(expand)
    graph = with_influence(job.graph())
    meta = {
        **trace.meta,
        "prompt": {"text": trace.prompt.text, "ids": trace.prompt.ids, "tokens": trace.prompt.tokens},
        "methods": {"edges": asdict(settings)},
        "scores": asdict(scores(graph)),
        "completeness_residual": completeness_residual(graph),
        "rows_refined": job.refined,
        "dormant_gap": _gap(trace),
        "versions": {"circuits": circuits.__version__, "jax": jax.__version__, "polars": pl.__version__},
        "device": chosen[0].platform,
        "timings": {**trace.meta.get("timings", {}), "attribute": time.perf_counter() - start},
    }
    others = [method for method in methods if not isinstance(method, Edges)]
    graph = graph.with_meta(**meta)
    return interact(graph, others, trace=trace, progress=progress) if others else graph


def completeness_residual(graph: Graph) -> float:
    """Gives the worst |Σ weight − z| / max(1, |z|) over all nodes whose incoming edges were computed."""
    sums = graph.matrix.astype(np.float64).sum(axis=1)
    table = graph.nodes.with_columns(sum=sums).filter("expanded")
    z = table["pre_activation"].to_numpy()
    gap = np.abs(table["sum"].to_numpy() - z) / np.maximum(1, np.abs(z))
    return float(gap.max(initial=0))


def _default_workers(chosen: tuple[jax.Device, ...]) -> int:
    return cpu_workers(len(os.sched_getaffinity(0))) if chosen[0].platform == "cpu" else 2


def cpu_workers(cores: int) -> int:
    """Gives the calls under way at once that keep so many cores busy: one more, to fill waits."""
    return 1 if cores == 1 else cores + 1


def _gap(trace: Trace) -> float | None:
    """Gives how far pre-activations may move before an absent feature could turn on."""
    gap = None if trace.dormant_gap is None else float(trace.dormant_gap.min())
    return gap if gap is not None and np.isfinite(gap) else None


@dataclass
class _Job:
    """The rows of one graph: which are done, which come next."""

    trace: Trace
    settings: Edges
    engine: Engine
    progress: Progress | None
    expanded: Int[np.ndarray, "F"] = field(init=False)
    done: int = 0
    refined: int = 0

    def __post_init__(self) -> None:
        where = self.engine.where
        self.store = EdgeStore(self.trace, where, self.engine.sources, self.settings)
        self.nodes = node_table(self.trace, where)
        self.expanded = np.zeros(len(self.trace.features), dtype=np.int32)
        most = self.settings.max_features
        self.budget = len(self.expanded) if most is None else min(most, len(self.expanded))

    def run(self, named: Sequence[str] | None = None) -> None:
        """Computes the rows of all targets, then of named features, or others until the budget is spent."""
        targets = self.trace.targets
        logits = np.flatnonzero(targets.feature < 0)
        layer = np.full(len(logits), self.trace.n_layers)
        self._rows(plan(layer, targets.position[logits], logits))
        self._expand(np.unique(targets.feature[targets.feature >= 0]))
        if named is None:
            self._spend()
        else:
            self._expand(np.flatnonzero(self._are(named) & (self.expanded == 0)))
        self._refine()

    def _are(self, names: Sequence[str]) -> Bool[np.ndarray, "F"]:
        """Tells which features bear one of the names."""
        at, asked = self.trace.features, set(names)
        keys = zip(at.layer.tolist(), at.id.tolist(), at.position.tolist(), strict=True)
        return np.array([feature_name(*key) in asked for key in keys], bool)

    def _spend(self) -> None:
        while (left := self.budget - int(self.expanded.sum())) > 0:
            chosen = self._next(left)
            if not len(chosen):
                break
            self._expand(chosen)

    def _refine(self) -> None:
        """Computes anew in float64 the rows whose sum misses the pre-activation.

        A few features read small differences of huge numbers (the first position's massive
        activations); float32 products cannot hold those to the promised 1e-5.
        """
        if self.trace.dtype == np.float64:
            return
        rows = np.flatnonzero(self.store.missing() > REFINE_ABOVE)
        where, targets = self.engine.where, self.trace.targets
        features = where.features_of_rows[rows]
        features = features[features >= 0]
        logits = np.flatnonzero((targets.feature < 0) & np.isin(where.target, rows))
        self.refined = len(features) + len(logits)
        if not self.refined:
            return
        wide = Engine(widened(self.trace), devices=(self.engine.operators[0].device,))
        self.store.drop(rows)
        at, layer = self.trace.features, np.full(len(logits), self.trace.n_layers)
        chunks = plan(at.layer[features], at.position[features], features)
        chunks += plan(layer, targets.position[logits], logits)
        for kept in wide.stream(chunks, self.store.keep):
            self.store.add(kept)

    def _next(self, left: int) -> Int[np.ndarray, "k"]:
        """Gives the features to expand next: all that are left if they fit, else the best."""
        waiting = np.flatnonzero(self.expanded == 0)
        if len(waiting) <= left:
            return waiting
        share = influence(self.graph())[self.engine.where.feature[waiting]]
        size = min(left, max(self.budget // ROUNDS, 256))
        best = np.argsort(-share, kind="stable")[:size]
        chosen: Int[np.ndarray, "k"] = waiting[best[share[best] > 0]]
        return chosen

    def _expand(self, members: Int[np.ndarray, "k"]) -> None:
        features = self.trace.features
        self._rows(plan(features.layer[members], features.position[members], members))
        self.expanded[members] = 1

    def _rows(self, chunks: list[Chunk]) -> None:
        total = self.budget + int((self.trace.targets.feature < 0).sum())
        for kept in self.engine.stream(chunks, self.store.keep):
            self.store.add(kept)
            self.done += len(kept.rows)
            if self.progress is not None:
                self.progress("rows", self.done, max(total, self.done))

    def graph(self) -> Graph:
        """Gives the graph of the rows so far."""
        expanded = np.zeros(len(self.nodes), dtype=bool)
        where = self.engine.where
        expanded[where.feature[self.expanded == 1]] = True
        expanded[where.target[self.trace.targets.feature < 0]] = True
        nodes = self.nodes.with_columns(
            expanded=pl.Series(expanded), truncated=pl.Series(self.store.truncated)
        )
        source, target, weight, strength = self.store.columns()
        return Graph.of(nodes, (source, target), (weight, strength))
