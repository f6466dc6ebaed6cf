"""The gates of a graph as games: which features have one, who plays, in what order they are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.engine.gates.games import GateGames
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, influence, of_kind
from circuits.schema import GateName


@dataclass(frozen=True, eq=False)
class GateRow:
    """One feature's game.

    Attributes:
        node: its row in the node table.
        players: rows of its inputs, constants and those that add nothing left out.
        inputs: what each adds.
        bias: what is left of the pre-activation without them.
        threshold: θ.
    """

    node: int
    gate: GateName
    players: Int[np.ndarray, "n"]
    inputs: Float[np.ndarray, "n"]
    bias: float
    threshold: float


def gated_rows(graph: Graph) -> Int[np.ndarray, "k"]:
    """Gives the rows of the expanded features whose gate is not linear."""
    gate = graph.nodes["gate"].cast(pl.String)
    bent = (gate.is_not_null() & (gate != "linear")).fill_null(False).to_numpy()
    return np.flatnonzero(bent & graph.nodes["expanded"].to_numpy())


def most_influential(graph: Graph, rows: Int[np.ndarray, "k"], count: int | None) -> Int[np.ndarray, "m"]:
    """Gives at most `count` of the rows, those with the largest share of the targets, ascending."""
    if count is None or len(rows) <= count:
        return rows
    known = graph.nodes["influence"]
    share = influence(graph) if known.is_null().any() else known.to_numpy()
    best = rows[np.argsort(-share[rows], kind="stable")[:count]]
    return np.sort(best)


def players_of(graph: Graph) -> Bool[np.ndarray, "N"]:
    """Tells which nodes may be players: all but the constants, which belong to a gate's bias."""
    return ~of_kind(graph, *CONSTANTS)


def gate_rows(graph: Graph, rows: Int[np.ndarray, "k"]) -> list[GateRow]:
    """Gives the games of features, from the edges into them.

    Args:
        graph: any graph.
        rows: of its node table; features whose incoming edges were computed.
    """
    may_play, matrix = players_of(graph), graph.matrix
    gates = graph.nodes["gate"].cast(pl.String)
    z, theta = graph.nodes["pre_activation"], graph.nodes["threshold"].fill_null(0).to_numpy()
    found = []
    for row in rows.tolist():
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        sources, weights = matrix.indices[part], matrix.data[part].astype(float)
        plays = may_play[sources] & (weights != 0)
        total = float(weights.sum()) if z[row] is None else float(z[row])
        found.append(
            GateRow(
                node=row,
                gate=cast("GateName", gates[row]),
                players=sources[plays],
                inputs=weights[plays],
                bias=total - float(weights[plays].sum()),
                threshold=float(theta[row]),
            )
        )
    return found


def games_of(rows: Sequence[GateRow]) -> GateGames:
    """Gives the games of rows that share a gate."""
    return GateGames.of(
        rows[0].gate,
        [row.inputs for row in rows],
        [row.bias for row in rows],
        [row.threshold for row in rows],
    )
