"""How interactions of order 1, 2, 3 add up to what a target is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.query.combinations import PREFERRED

ORDERS: Final[Mapping[int, str]] = {1: "each alone", 2: "pairs", 3: "triples"}
"""Orders in words."""

REMAINDER: Final = "remainder"
"""What higher orders make up, what was not kept, and what the estimate misses."""

OTHERS: Final = "all that did not play"
"""What the target is worth with every player off, where that is not recorded apart."""

NONE: Final = (
    "This graph holds no interactions: compute them with `circuits interact RUN`, or in Python with"
    " circuits.interact(graph, …)."
)


def orders_table(graph: Graph, target: str) -> pl.DataFrame:
    """Gives the sum over all sets of each order of their interactions towards a target.

    The parts add up to v(all) − v(none), the worth of all players less that of none, where the run
    records it, and else to the target's value; the last part is what the orders held leave. Indices
    that are not efficient (SII, BII, …) leave more than higher orders.

    Args:
        graph: a graph with interactions of order 1 of the output.
        target: a target of theirs.

    Returns:
        Columns `part` and `total`.

    Raises:
        UsageError: there are no interactions, or none of order 1 towards this target.
    """
    if not len(graph.hyperedges):
        raise UsageError(NONE)
    table = graph.hyperedges.filter(pl.col("via").is_null(), channel="output", target=target)
    single = set(table.filter(order=1)["index"])
    if not single:
        raise UsageError(
            f"This graph holds no interactions of order 1 towards {target}, so its orders do not add up:"
            " `circuits interact RUN --channel output` computes them."
        )
    index = min(single, key=lambda name: PREFERRED.index(name) if name in PREFERRED else len(PREFERRED))
    sums = table.filter(index=index).group_by("order").agg(pl.col("weight").sum()).sort("order")
    parts = [(ORDERS.get(order, f"order {order}"), total) for order, total in sums.iter_rows()]
    worths = _worths(graph, target)
    whole = _value(graph, target) if worths is None else worths[1] - worths[0]
    rest = whole - sum(total for _, total in parts)
    parts.append((OTHERS if worths is None else REMAINDER, rest))
    return pl.DataFrame(parts, schema={"part": pl.String, "total": pl.Float64}, orient="row")


def _worths(graph: Graph, target: str) -> tuple[float, float] | None:
    """Gives the worths of nobody and of everybody in the game towards a target, if `meta` has them."""
    units = ((graph.meta.get("interactions") or {}).get("output") or {}).get("units") or {}
    found: list[Any] = [u for u in units.values() if isinstance(u, Mapping) and u.get("target") == target]
    ends = [(u.get("empty"), u.get("full")) for u in found]
    return next(((float(a), float(b)) for a, b in ends if a is not None and b is not None), None)


def _value(graph: Graph, target: str) -> float:
    return float(graph.nodes["pre_activation"][graph.row(target)])
