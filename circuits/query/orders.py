"""How interactions of order 1, 2, 3 add up to what a target is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph

ORDERS: Final[Mapping[int, str]] = {1: "each alone", 2: "pairs", 3: "triples"}
"""Orders in words."""

REMAINDER: Final = "remainder"
"""What higher orders make up, what was not kept, and what the estimate misses."""

OTHERS: Final = "all that did not play"
"""What the target is worth with every player off, where that is not recorded apart."""

ADDING: Final = ("k-SII", "SII", "STII", "FSII", "Moebius")
"""Indices whose orders can be added, the first of those a run holds being taken."""

NONE: Final = (
    "This graph holds no interactions: compute them with `circuits interact RUN`, or in Python with"
    " circuits.interact(graph, …)."
)


def orders_table(graph: Graph, target: str) -> pl.DataFrame:
    """Gives the sum over all sets of each order of their interactions towards a target.

    The parts add up to v(all) − v(none), the worth of all players less that of none, where the run
    records it, and else to the target's value; the last part is what the orders held leave. SII does
    not add up by itself: Shapley values alone do, and what pairs and triples hold is in them. Its sums
    T1, T2, T3 are therefore given as those of k-SII (Bordt & von Luxburg 2023): T1 − T2 + T3/2,
    T2 − 3/2 T3 and T3, which add up to T1 = v(all) − v(none).

    Args:
        graph: a graph with interactions of order 1 of the output.
        target: a target of theirs.

    Returns:
        Columns `part` and `total`.

    Raises:
        UsageError: there are no interactions, or none of order 1 that add up, towards this target.
    """
    if not len(graph.hyperedges):
        raise UsageError(NONE)
    table = graph.hyperedges.filter(pl.col("via").is_null(), channel="output", target=target)
    single = set(table.filter(order=1)["index"])
    index = next((name for name in ADDING if name in single), None)
    if index is None:
        raise UsageError(
            f"This graph holds no interactions of order 1 towards {target} whose orders add up:"
            " `circuits interact RUN --channel output --index k-SII` computes them."
        )
    held = table.filter(index=index).group_by("order").agg(pl.col("weight").sum())
    sums = {int(order): float(total) for order, total in held.sort("order").iter_rows()}
    worths = _worths(graph, target)
    whole = None if worths is None else worths[1] - worths[0]
    if index == "SII":
        whole = sums[1] if whole is None else whole
        sums = _adding(sums)
    parts = [(ORDERS.get(order, f"order {order}"), total) for order, total in sums.items()]
    last = OTHERS if whole is None else REMAINDER
    rest = (_value(graph, target) if whole is None else whole) - sum(sums.values())
    parts.append((last, rest))
    return pl.DataFrame(parts, schema={"part": pl.String, "total": pl.Float64}, orient="row")


def _adding(sums: Mapping[int, float]) -> dict[int, float]:
    """Gives the sums of k-SII by order from those of SII, up to order 3; see `orders_table`."""
    one, two, three = (sums.get(order, 0.0) for order in (1, 2, 3))
    found = {1: one - two + three / 2, 2: two - 1.5 * three, 3: three}
    return {order: total for order, total in found.items() if order in sums}


def _worths(graph: Graph, target: str) -> tuple[float, float] | None:
    """Gives the worths of nobody and of everybody in the game towards a target, if `meta` has them."""
    units = ((graph.meta.get("interactions") or {}).get("output") or {}).get("units") or {}
    found: list[Any] = [u for u in units.values() if isinstance(u, Mapping) and u.get("target") == target]
    ends = [(u.get("empty"), u.get("full")) for u in found]
    return next(((float(a), float(b)) for a, b in ends if a is not None and b is not None), None)


def _value(graph: Graph, target: str) -> float:
    return float(graph.nodes["pre_activation"][graph.row(target)])
