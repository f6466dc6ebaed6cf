"""One batch of gates done: its hyperedges, and what is recorded of how they were found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.engine.gates.found import Kept, Wanted
from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.kinds import kinds
from circuits.engine.methods import Found
from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA

CHANNEL: Final = "mlp"


@dataclass(frozen=True, eq=False)
class Part:
    """What is kept of one order of one gate.

    Attributes:
        node: the gate's row in the node table.
        players: rows of its players, ascending.
        kept: sets of these players.
        tables: the worths of each set's coalitions with all other inputs on.
        engine: what computed them.
    """

    node: int
    players: Int[np.ndarray, "n"]
    kept: Kept
    tables: Float[np.ndarray, "m S"]
    engine: str


def found_of(graph: Graph, orders: Sequence[Sequence[Part]], wanted: Wanted, counts: dict[str, Any]) -> Found:
    """Gives the hyperedges of a batch.

    Args:
        graph: names the nodes.
        orders: the parts of each order from 2 on.
        wanted: what was asked for.
        counts: what else is recorded.
    """
    every = [part.kept for parts in orders for part in parts]
    meta: dict[str, Any] = {
        **counts,
        "engine": ", ".join(sorted({part.engine for parts in orders for part in parts})),
        "largest_error": max((kept.error for kept in every), default=0.0),
        "evaluated": {str(2 + at): sum(p.kept.evaluated for p in parts) for at, parts in enumerate(orders)},
    }
    tables = [_table(graph, [part for part in parts if len(part.kept.value)], wanted) for parts in orders]
    return Found(pl.concat([pl.DataFrame(schema=HYPEREDGE_SCHEMA), *tables]), meta)


def _table(graph: Graph, parts: Sequence[Part], wanted: Wanted) -> pl.DataFrame:
    """Gives the hyperedges of one order."""
    if not parts:
        return pl.DataFrame(schema=HYPEREDGE_SCHEMA)
    names = graph.nodes["node"].to_numpy()
    tables = np.concatenate([part.tables for part in parts])
    value = np.concatenate([part.kept.value for part in parts])
    error = np.concatenate([np.full(len(part.kept.value), part.kept.error) for part in parts])
    # players stand in the node table's order, so sorted members do too
    members = np.concatenate([part.players[np.sort(part.kept.members, axis=1)] for part in parts])
    targets = np.concatenate([np.full(len(part.kept.value), part.node) for part in parts])
    return hyperedge_table(
        {
            "members": names[members].tolist(),
            "target": names[targets].tolist(),
            "index": wanted.index,
            "weight": value,
            "low": value - error,
            "high": value + error,
            "effect": tables[:, -1] - tables[:, 0],
            "gate": [str(kind) for kind in kinds(tables)],
            "channel": CHANNEL,
            "engine": [part.engine for part in parts for _ in part.kept.value],
        }
    )
