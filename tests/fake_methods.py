"""A way to find interactions that finds what it is told to, unit by unit; it can be stopped on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import polars as pl

from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.methods import Found, Progress, Unit
from circuits.graph.graph import Graph
from circuits.trace import Trace


def found(
    target: str, weights: Sequence[float], members: Sequence[Sequence[str]], **more: Any
) -> pl.DataFrame:
    columns = {"members": [list(m) for m in members], "weight": list(weights), "target": target}
    return hyperedge_table(columns | {"index": "SII", "channel": "mlp", "engine": "fake"} | more)


@dataclass(frozen=True)
class Fake:
    """Pairs of tokens towards each of the graph's targets: one unit a target, its weights from `scale`."""

    scale: float = 1.0
    orders: tuple[int, ...] = (2,)
    ran: list[str] = field(default_factory=list, repr=False, compare=False)
    before: Callable[[str], None] = field(default=lambda _: None, repr=False, compare=False)
    needs: bool = False

    channel: ClassVar[str] = "mlp"
    needs_trace: ClassVar[bool] = False

    def units(self, graph: Graph, trace: Trace | None) -> Sequence[Unit]:
        return [Unit(target, 1e6, self._work(at, target)) for at, target in enumerate(graph.targets)]

    def _work(self, at: int, target: str) -> Callable[[Progress], Found]:
        def run(progress: Progress) -> Found:
            self.before(target)
            progress("inside", 1, 2)
            self.ran.append(target)
            sets = [[f"tok@{k}" for k in range(at, at + order)] for order in self.orders]
            values = [self.scale * (at + 1) * (-1) ** order for order in self.orders]
            return Found(found(target, values, sets, channel=self.channel), {"engine": "fake", "at": at})

        return run


@dataclass(frozen=True)
class FakeOutput(Fake):
    channel: ClassVar[str] = "output"


@dataclass(frozen=True)
class FakeTraced(Fake):
    channel: ClassVar[str] = "qk"
    needs_trace: ClassVar[bool] = True
