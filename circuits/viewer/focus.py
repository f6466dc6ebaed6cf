"""What of a run is shown: the node that is explained, and what every other node does to it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import arriving, inflow, normalised, truncated_shares
from circuits.query.answer import Answer
from circuits.query.subject import Subject
from circuits.query.text import Naming
from circuits.query.totals import Totals

Column = Float[np.ndarray, "n"]


@dataclass(frozen=True, eq=False)
class Focus:
    """A run and the node of it that is explained.

    Attributes:
        run: the graph as it was given.
        subject: the node with what flows into it; None where the run has nothing to explain.
    """

    run: Graph
    subject: Subject | None

    @classmethod
    def of(cls, run: Graph, answer: Answer | None = None) -> Focus:
        """Gives the focus an answer has, or the run's heaviest target."""
        for asked in [*_asked(answer), (None, None)]:
            try:
                return cls(run, Subject.of(run, *asked))
            except (NotFound, UsageError):
                continue
        return cls(run, None)

    @property
    def graph(self) -> Graph:
        """Gives the graph with the node for its only target, where there is one."""
        return self.run if self.subject is None else self.subject.graph

    @cached_property
    def naming(self) -> Naming:
        """Gives readable names."""
        return Naming.of(self.graph)

    @cached_property
    def targets(self) -> list[str]:
        """Gives the node that is explained, then the run's other outputs, the heaviest first."""
        mine = [] if self.subject is None else [self.subject.node]
        logits = self.run.nodes.filter(kind="logit")["node"].to_list()
        return list(dict.fromkeys([*mine, *self.run.targets, *logits]))

    @cached_property
    def arriving(self) -> Column:
        """Gives the share of what is explained that passes through each node, 1 at the node itself."""
        return arriving(self.run) if self.subject is None else self.subject.influence

    @cached_property
    def totals(self) -> Totals | None:
        """Gives what every node brings to the node that is explained."""
        return None if self.subject is None else Totals(self.subject)

    @cached_property
    def total(self) -> Column:
        """Gives what every node brings in all, signed; NaN where there is nothing to explain."""
        if self.totals is None:
            return np.full(len(self.graph.nodes), np.nan)
        with np.errstate(all="ignore"):  # what is not finite is told as unknown
            return self.totals.total

    @cached_property
    def inflow(self) -> Column:
        """Gives what flows into every node."""
        return inflow(self.graph)

    @cached_property
    def cut_off(self) -> float:
        """Gives the share of the influence that ends in edges the run did not keep."""
        shares = normalised(self.graph) if self.subject is None else self.subject.shares
        asked = float(self.graph.nodes["target_weight"].to_numpy().sum()) or 1.0
        return float(self.arriving @ truncated_shares(self.graph, shares)) / asked


def numbers(values: pl.Series | Column) -> list[float | None]:
    """Gives numbers for JSON: those that are not finite as None."""
    series = pl.Series("value", values)
    if series.dtype.is_float():
        series = series.to_frame().select(pl.when(pl.col("value").is_finite()).then("value")).to_series()
    return series.to_list()


def shortest(values: pl.Series) -> list[float | None]:
    """Gives float32 numbers as the shortest decimals that are them; others as they are.

    Example:
        >>> shortest(pl.Series([0.1, 2.5], dtype=pl.Float32))
        [0.1, 2.5]
    """
    if values.dtype == pl.Float32:
        return numbers(values.cast(pl.String).cast(pl.Float64))
    return numbers(values)


def _asked(answer: Answer | None) -> list[tuple[str, str | None]]:
    """Gives what an answer may have been asked about, as target and over, the likeliest first."""
    if answer is None:
        return []
    found: list[tuple[str, str | None]] = []
    asked = answer.meta.get("asked")
    if isinstance(asked, dict) and isinstance(asked.get("target"), str):
        over = asked.get("over")
        found.append((asked["target"], over if isinstance(over, str) else None))
    node, over = answer.meta.get("target"), answer.meta.get("over")
    if isinstance(node, str) and not isinstance(over, str):
        found.append((node, None))
    return found
