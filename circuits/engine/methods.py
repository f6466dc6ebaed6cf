"""The one interface of all ways to find interactions: settings in, units of work out.

A `Method` is a frozen record of settings. It turns a graph into units that do not depend on each other;
each can be kept when it is done and skipped when the work is taken up again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import polars as pl

from circuits.graph.graph import Graph
from circuits.trace import Trace

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many so far, how many in all)."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a unit of work found.

    Attributes:
        hyperedges: columns of `circuits.schema.HYPEREDGE_SCHEMA`; ids may be empty.
        meta: settings, engines chosen, bounds, counts; JSON-compatible.
        loadings: which heads carry which edges, where the method tells; columns of `HEAD_SCHEMA`.
    """

    hyperedges: pl.DataFrame
    meta: Mapping[str, Any] = field(default_factory=dict)
    loadings: pl.DataFrame | None = None


@dataclass(frozen=True, eq=False)
class Unit:
    """A piece of work that depends on no other.

    Attributes:
        key: what it is; the same in every run with the same settings and graph.
        flops: floating-point operations it takes, about.
        run: does it.
    """

    key: str
    flops: float
    run: Callable[[Progress], Found]


@runtime_checkable
class Method(Protocol):
    """A way to find interactions, with its settings.

    `channel` is the channel of its hyperedges: "mlp", "qk" or "output". `needs_trace`: the graph alone
    is not enough.
    """

    channel: ClassVar[str]
    needs_trace: ClassVar[bool]

    def units(self, graph: Graph, trace: Trace | None) -> Sequence[Unit]:
        """Gives the work to be done; refuses what cannot be done before any of it is begun."""
        ...
