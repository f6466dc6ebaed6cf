"""How single members, pairs and triples add up to what a target is worth."""

from __future__ import annotations

from matplotlib.axes import Axes

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.names import resolve_target
from circuits.plot.waterfall import waterfall
from circuits.query.orders import NONE, orders_table


def interaction_orders(
    graph: Graph, target: str | None = None, *, width: float | None = None, ax: Axes | None = None
) -> Axes:
    """Gives the waterfall of a target's interactions by order: see `circuits.query.orders`.

    Args:
        graph: a graph with interactions of the output, order 1 among them.
        target: a node, or a token as the targets spell it; unless given the first target such
            interactions are known of.
        width: in inches, as for `waterfall`.
        ax: where to draw, as large as fits; a figure of its own unless given.

    Raises:
        NotFound: no such node.
        UsageError: there are no interactions, or none of order 1 towards the target.

    Example:
        >>> save(interaction_orders(graph), "orders.svg")  # doctest: +SKIP
    """
    if not len(graph.hyperedges):
        raise UsageError(NONE)
    if target is not None:
        node = resolve_target(graph, target)
    else:
        known = set(graph.hyperedges.filter(channel="output", order=1)["target"])
        node = next((name for name in graph.targets if name in known), (graph.targets or ["any target"])[0])
    return waterfall(orders_table(graph, node), width=width, ax=ax)
