"""The method `Gates`: which inputs of a graph's features act together, because of the features' gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import ClassVar, Final

import numpy as np

from circuits.engine.gates.ablation import truth_tables
from circuits.engine.gates.batch import CHANNEL, Part, found_of
from circuits.engine.gates.choose import Choice, choose
from circuits.engine.gates.cost import flops
from circuits.engine.gates.found import Wanted, strongest
from circuits.engine.gates.of_graph import GateRow, games_of, gate_rows, gated_rows, most_influential
from circuits.engine.gates.of_trace import NeuronReader, neurons_of
from circuits.engine.gates.product_units import product_units
from circuits.engine.indices import check_order
from circuits.engine.methods import Found, Progress, Unit
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.trace import Trace

CELLS: Final = 2**15
"""A unit of work is so many inputs, some seconds' worth."""

TOGETHER: Final = 16
"""Gates computed in one go; one number, so that few shapes are compiled."""


@dataclass(frozen=True)
class Gates:
    """Interactions inside features: inputs that a feature's gate makes act together, or against each other.

    Every expanded feature with a gate is a game: its players are its inputs (not the constants, which
    stay on), a coalition's worth is φ(b + Σ c_i), the activation it would have with these inputs alone.
    Gated neurons are linear features of the graph; given the trace, their product is looked into as well.

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
        hold: of gated neurons act(g) · u, hold act(g)/g, as the graph does: what feeds the gate and what
            feeds the value then act together in pairs only. Else the activation moves with its inputs.

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
    hold: bool = True

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

    def units(self, graph: Graph, trace: Trace | None) -> Sequence[Unit]:
        """Gives the work: batches of gates of one kind and about the same number of inputs.

        Raises:
            UsageError: the graph has no gate to look at.
        """
        plain = gated_rows(graph)
        neurons = np.zeros(0, np.int64) if trace is None else neurons_of(graph, trace)
        if not len(plain) and not len(neurons):
            why = (
                "pass the trace it was made from" if trace is None else "its trace tells of no gated neurons"
            )
            raise UsageError(
                "No gate to look at: every feature of this graph with incoming edges is linear. If they are"
                f" gated neurons, {why}."
            )
        chosen = most_influential(graph, np.union1d(plain, neurons), self.gates)
        games = gate_rows(graph, np.intersect1d(chosen, plain))
        batches = list(_batches(games, self.index))
        units = [
            Unit(
                key=f"{batch[0].gate} {size} inputs, {at + 1} of {len(batches)}",
                flops=len(batch) * flops(choice, size, self.wanted),
                run=partial(_run, graph, batch, choice, self.wanted),
            )
            for at, (batch, size, choice) in enumerate(batches)
        ]
        neurons = np.intersect1d(chosen, neurons)
        if trace is not None and len(neurons):
            reader = NeuronReader(graph, trace)
            units += product_units(reader, neurons.tolist(), self.wanted, hold=self.hold)
        return units


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
    orders: list[list[Part]] = [[] for _ in range(2, wanted.order + 1)]
    for at in range(0, len(live), TOGETHER):
        some = live[at : at + TOGETHER]
        for g, kept in zip(some.tolist(), strongest(games.part(some), choice, wanted), strict=True):
            for order, sets in kept.items():
                tables = truth_tables(games.part([g]), sets.members[None])[0]
                orders[order - 2].append(Part(rows[g].node, rows[g].players, sets, tables, str(choice)))
        tell("gates", at + len(some), len(live))
    # settled: on one side of the kink whatever is removed, so that there is nothing to find
    counts = {"gates": len(rows), "settled": int(settled.sum())}
    return found_of(graph, orders, wanted, counts)
