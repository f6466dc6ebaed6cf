"""The method `Gates`: which inputs of a graph's features act together, because of the features' gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

from circuits.engine.gates.ablation import truth_tables
from circuits.engine.gates.choose import Choice, choose
from circuits.engine.gates.cost import flops
from circuits.engine.gates.found import Kept, Wanted, strongest
from circuits.engine.gates.of_graph import GateRow, games_of, gate_rows, gated_rows, most_influential
from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.indices import check_order
from circuits.engine.kinds import kinds
from circuits.engine.methods import Found, Progress, Unit
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA
from circuits.trace import Trace

CHANNEL: Final = "mlp"

CELLS: Final = 2**15
"""A unit of work is so many inputs, some seconds' worth."""

TOGETHER: Final = 16
"""Gates computed in one go; one number, so that few shapes are compiled."""


@dataclass(frozen=True)
class Gates:
    """Interactions inside features: inputs that a feature's gate makes act together, or against each other.

    Every expanded feature with a gate is a game: its players are its inputs (not the constants, which
    stay on), a coalition's worth is φ(b + Σ c_i), the activation it would have with these inputs alone.

    Attributes:
        order: 2 for pairs, 3 for pairs and triples.
        index: their definition, see `circuits.engine.indices`; k-SII, STII and FSII are taken with each
            order as the top order.
        top: at most so many of each order for each gate; None keeps all that pass the threshold.
        threshold: the least |interaction|, as a share of Σ |inputs' contributions| of its gate.
        gates: at most so many gates, the most influential on the targets; None looks at all.
        candidates: triples are looked for among so many inputs, those of a gate's strongest pairs; a gate
            of up to 16 inputs has all its triples looked at.
        double: compute in float64.

    Example:
        >>> graph = interact(graph, [Gates(order=3, gates=100)])  # doctest: +SKIP
    """

    order: int = 2
    index: str = "SII"
    top: int | None = 16
    threshold: float = 1e-4
    gates: int | None = None
    candidates: int = 12
    double: bool = False

    channel: ClassVar[str] = CHANNEL
    needs_trace: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_order(self.index, self.order, max(self.order, 1))
        if self.order not in (2, 3):
            raise UsageError(f"Gates are asked for order {self.order}: give 2 (pairs) or 3 (and triples).")
        for name, least in (("top", 1), ("gates", 1), ("candidates", 3)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{name}={value} leaves nothing to find: give {least} or more.")
        if not 0 <= self.threshold < 1:
            raise UsageError(f"Threshold {self.threshold} is not in [0, 1): give a small share or 0.")

    @property
    def wanted(self) -> Wanted:
        """Gives what is asked of every gate."""
        return Wanted(
            self.index, self.order, self.top, self.threshold, candidates=self.candidates, double=self.double
        )

    def units(self, graph: Graph, trace: Trace | None) -> Sequence[Unit]:  # noqa: ARG002
        """Gives the work: batches of gates of one kind and about the same number of inputs.

        Raises:
            UsageError: the graph has no gate to look at.
        """
        rows = gated_rows(graph)
        if not len(rows):
            raise UsageError(
                "No gate to look at: no feature of this graph with incoming edges has a gate that is not"
                " linear."
            )
        games = gate_rows(graph, most_influential(graph, rows, self.gates))
        batches = list(_batches(games, self.index))
        return [
            Unit(
                key=f"{batch[0].gate} {size} inputs, {at + 1} of {len(batches)}",
                flops=len(batch) * flops(choice, size, self.wanted),
                run=partial(_run, graph, batch, choice, self.wanted),
            )
            for at, (batch, size, choice) in enumerate(batches)
        ]


def player_bucket(players: int) -> int:
    """Gives the padded number of players: 4, 8, 16, 32, …, so that few shapes are compiled.

    Example:
        >>> [player_bucket(n) for n in (0, 5, 13, 100, 1500)]
        [4, 8, 16, 128, 2048]
    """
    return 1 << max(2, (max(players, 1) - 1).bit_length())


Batch = tuple[list[GateRow], int, Choice]


def _batches(games: Sequence[GateRow], index: str) -> list[Batch]:
    """Gives games that are computed together, in the node table's order within a kind."""

    def kind(row: GateRow) -> tuple[str, int]:
        return row.gate, player_bucket(len(row.players))

    batches = []
    for (_, size), group in groupby(sorted(games, key=kind), key=kind):
        members = list(group)
        choice = choose(members[0].gate, size, index)
        step = max(1, CELLS // size)
        batches += [(members[at : at + step], size, choice) for at in range(0, len(members), step)]
    return batches


def _run(graph: Graph, rows: Sequence[GateRow], choice: Choice, wanted: Wanted, tell: Progress) -> Found:
    """Gives the hyperedges of one batch of gates."""
    games = games_of(rows)
    games = games.padded(player_bucket(games.players))
    settled = games.settled()
    live = np.flatnonzero(~settled)
    found: dict[int, list[tuple[int, Kept]]] = {order: [] for order in range(2, wanted.order + 1)}
    for at in range(0, len(live), TOGETHER):
        some = live[at : at + TOGETHER]
        for g, kept in zip(some.tolist(), strongest(games.part(some), choice, wanted), strict=True):
            for order, sets in kept.items():
                found[order].append((g, sets))
        tell("gates", at + len(some), len(live))
    every = [kept for sets in found.values() for _, kept in sets]
    meta: dict[str, Any] = {
        "gates": len(rows),
        "settled": int(settled.sum()),  # on one side of the kink whatever is removed: nothing to find
        "engine": str(choice),
        "largest_error": max((kept.error for kept in every), default=0.0),
        "evaluated": {str(order): sum(k.evaluated for _, k in sets) for order, sets in found.items()},
    }
    tables = [_table(graph, rows, sets, choice, wanted) for sets in found.values()]
    return Found(pl.concat([pl.DataFrame(schema=HYPEREDGE_SCHEMA), *tables]), meta)


def _table(
    graph: Graph, rows: Sequence[GateRow], found: Sequence[tuple[int, Kept]], choice: Choice, wanted: Wanted
) -> pl.DataFrame:
    """Gives the hyperedges of one order."""
    parts = [(rows[g], kept) for g, kept in found if len(kept.value)]
    if not parts:
        return pl.DataFrame(schema=HYPEREDGE_SCHEMA)
    names = graph.nodes["node"].to_numpy()
    tables = np.concatenate([truth_tables(games_of([row]), kept.members[None])[0] for row, kept in parts])
    value = np.concatenate([kept.value for _, kept in parts])
    error = np.concatenate([np.full(len(kept.value), kept.error) for _, kept in parts])
    # players stand in the node table's order, so sorted members are in it too
    members = np.concatenate([row.players[np.sort(kept.members, axis=1)] for row, kept in parts])
    targets = np.concatenate([np.full(len(kept.value), row.node) for row, kept in parts])
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
            "engine": str(choice),
        }
    )
