"""The method `Coalitions`: interactions on an output, players being nodes or concepts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import comb
from typing import Any, ClassVar

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.engine.enumeration import MOST_PLAYERS, all_coalitions
from circuits.engine.games.design import check_budget, design, minimum
from circuits.engine.games.estimate import learn
from circuits.engine.games.game import Game
from circuits.engine.games.graph_game import GraphWorth, Group
from circuits.engine.games.mediate import Shares, curves, mediate, mediate_sampled
from circuits.engine.games.memory import check_memory, enumerable
from circuits.engine.games.surrogate import CENTRES, Seen, Surrogate, out_of_fold
from circuits.engine.games.table import InteractionTable, Order
from circuits.engine.hyperedges import hyperedge_table
from circuits.engine.indices import check_order
from circuits.engine.kinds import kinds
from circuits.engine.methods import Found, Progress, Unit
from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.concepts import Concept, known
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, of_kind, propagate
from circuits.trace import Trace

PLAYERS = 16
"""Features that play unless players are named: as many as are enumerated in a second or so."""

LOOKED_AT = 2048
"""Coalitions by which the gates that bend are found."""

STOOD_IN = 1 << 15
"""Coalitions that networks of gates are asked about where there are too many to enumerate."""

LARGEST_TABLE = 6
"""Members a truth table can have."""


@dataclass(frozen=True)
class Coalitions:
    """Interactions on a target's value under `graph.run`, by asking about coalitions of players.

    Exact where the budget reaches all 2^n coalitions and n ≤ 20, else estimated, with 95% intervals. Rows
    of order 1 are the players' own values, of order 2 and more their interactions; rows with `via` say what
    of an interaction arises at which gate.

    Attributes:
        players: names of nodes, concepts (`circuits.graph.concepts`), or texts ``NAME=SPEC``; the 16
            features of most influence on the target unless given.
        target: the node whose value is the worth; the graph's heaviest target unless given.
        order: the largest set.
        index: the definition; see `circuits.engine.indices`.
        budget: distinct coalitions to ask about, at most.
        top: hyperedges of each order to keep, the strongest; all if None.
        share: of an interaction, that a gate must carry to be named in a `via` row; none if above 1.
        seed: of the coalitions drawn.
    """

    players: tuple[str | Group, ...] | None = None
    target: str | None = None
    order: int = 2
    index: str = "SII"
    budget: int = 1 << 16
    top: int | None = 50
    share: float = 0.1
    seed: int = 0

    channel: ClassVar[str] = "output"
    needs_trace: ClassVar[bool] = False

    def units(self, graph: Graph, trace: Trace | None = None) -> Sequence[Unit]:  # noqa: ARG002
        """Gives the one piece of work: the game of these players on this target.

        Raises:
            UsageError: no target, a player that cannot be one, players overlapping, an order no set has,
                a budget below the minimum (with its number), or more than memory holds (with both).
            NotFound: a name is no node or concept; near matches are offered.
        """
        if self.top is not None and self.top < 1:
            raise UsageError(f"The strongest {self.top} hyperedges are none: give top=1 or more, or None.")
        target = _target(graph, self.target)
        players = resolved(graph, self.players) if self.players is not None else _features(graph, target)
        check_order(self.index, self.order, len(players))
        check_budget(len(players), self.order, self.index, self.budget)
        worth = GraphWorth(graph, players, target)
        check_memory(len(players), len(worth.gates.names), self.budget, CENTRES)
        asked = min(self.budget, 1 << len(players))
        key = f"{target} {self.index} {self.order} {self.budget} {self.seed} {' '.join(worth.players)}"
        return [Unit(key, 2.0 * len(graph.edges) * asked, partial(self._run, worth, target))]

    def _run(self, worth: GraphWorth, target: str, progress: Progress) -> Found:
        game = Game(worth, worth.players, budget=self.budget, tell=partial(progress, "coalitions"))
        budget = self.budget - self._labels(len(worth.players))
        table, learnt = learn(game, self.index, self.order, budget, self.seed)
        chosen = {t: _strongest(held, self.top) for t, held in table.orders.items()}
        via = self._via(worth, table, learnt, chosen)
        rows = {t: _rows(game, table, t, order) for t, order in chosen.items()}
        parts = [*rows.values(), *(_via_rows(rows[t], shares, self.share) for t, shares in via.items())]
        frame = pl.concat([part for part in parts if len(part)])
        frame = frame.with_columns(target=pl.lit(target), evaluations=pl.lit(game.evaluations, pl.Int64))
        meta: dict[str, Any] = {"players": list(worth.players), "target": target, **table.diagnostics}
        meta |= {"empty": table.empty, "full": table.full}
        if table.exact:
            meta["unexplained"] = _left(via, chosen)
        return Found(frame, {**meta, "evaluations": game.evaluations})

    def _labels(self, players: int) -> int:
        """Gives the coalitions set aside for the truth tables of the hyperedges that are kept."""
        if enumerable(players, self.budget):
            return 0
        each = [1 << t if t <= LARGEST_TABLE else 2 for t in range(1, self.order + 1)]
        sets = [comb(players, t) for t in range(1, self.order + 1)]
        kept = [count if self.top is None else min(count, self.top) for count in sets]
        wanted = sum(count * size for count, size in zip(kept, each, strict=True))
        spare = self.budget - minimum(players, self.order, self.index)
        return min(wanted, spare, self.budget // 4)

    def _via(
        self,
        worth: GraphWorth,
        table: InteractionTable,
        learnt: tuple[Seen, Surrogate] | None,
        chosen: dict[int, Order],
    ) -> dict[int, Shares]:
        n, orders = len(worth.players), {t: held.sets for t, held in chosen.items() if t > 1}
        if self.share > 1:
            return {}
        if learnt is not None:
            return {t: _shares(worth, *learnt, self.index, sets) for t, sets in orders.items()}
        if not table.exact or n > MOST_PLAYERS:
            return {}
        drawn = design(n, max(LOOKED_AT, 2 * n + 2), self.seed)
        bent = curves(worth, drawn.masks, worth.observe(drawn.masks)[1], drawn.weights)
        names = tuple(worth.gates.names[k] for k in bent.gates)

        def values(masks: Bool[np.ndarray, "b n"]) -> Float[np.ndarray, "b k"]:
            return bent.values(worth.gates, masks, worth.observe(masks)[1])

        every = all_coalitions(n)
        found = {t: mediate(values, self.index, sets, every) for t, sets in orders.items()}
        return {t: Shares(names, share, np.zeros_like(share)) for t, share in found.items()}


def _shares(
    worth: GraphWorth, seen: Seen, surrogate: Surrogate, index: str, sets: Int[np.ndarray, "sets t"]
) -> Shares:
    """Gives shares estimated: from the surrogate's networks, if any, and what these leave of each gate."""
    masks = seen.design.masks
    if surrogate.networks:
        bent = surrogate.networks[0].curves
    else:
        bent = curves(worth, masks, seen.gates, seen.design.weights)
    left = bent.values(worth.gates, masks, seen.gates)
    share = spread = np.zeros((len(bent.gates), len(sets)))
    if surrogate.networks:
        left = left - out_of_fold(seen, surrogate.networks)
        if masks.shape[1] <= MOST_PLAYERS:
            share = mediate(surrogate.by_network, index, sets, all_coalitions(masks.shape[1]))
        else:
            drawn = design(masks.shape[1], STOOD_IN, 1)
            share, spread = mediate_sampled(surrogate.by_network(drawn.masks), drawn, index, sets)
    more, variance = mediate_sampled(left, seen.design, index, sets)
    names = tuple(worth.gates.names[k] for k in bent.gates)
    return Shares(names, share + more, 2 * np.sqrt(spread + variance))


def resolved(graph: Graph, players: Sequence[str | Group]) -> list[str | Group]:
    """Gives players, the texts among them read: nodes, the graph's concepts, or ``NAME=SPEC``.

    Raises:
        UsageError: a spec that is not written so.
        NotFound: a name is no node or concept; near matches are offered.
    """
    found: list[str | Group] = []
    have = {concept.name for concept in known(graph)}
    for player in players:
        if isinstance(player, str) and player not in graph.index:
            if "=" not in player and player not in have:
                close = near_matches(player, [*graph.index, *have])
                raise NotFound(f"No node or concept {player!r} in this graph.{close}")
            found.append(Concept.of(graph, player))
        else:
            found.append(player)
    return found


def _target(graph: Graph, target: str | None) -> str:
    if target is None and not graph.targets:
        raise UsageError("No target: the graph names none, so name the node whose value you ask for.")
    chosen = graph.targets[0] if target is None else target
    graph.row(chosen)
    return chosen


def _features(graph: Graph, target: str) -> list[str | Group]:
    """Gives the features of most influence on the target."""
    asked = np.zeros(len(graph.nodes))
    asked[graph.row(target)] = 1
    influence = propagate(normalised(graph), asked) * of_kind(graph, "feature")
    best = np.argsort(-influence, kind="stable")[:PLAYERS]
    names = graph.nodes["node"].gather(np.sort(best[influence[best] > 0])).to_list()
    if not names:
        raise UsageError(f"No feature has influence on {target}: name the players.")
    return list(names)


def _strongest(held: Order, top: int | None) -> Order:
    best = np.argsort(-np.abs(held.value), kind="stable")[:top]
    return Order(held.sets[best], held.value[best], held.low[best], held.high[best])


def _rows(game: Game, table: InteractionTable, t: int, order: Order) -> pl.DataFrame:
    """Gives the hyperedges of one order; gates by the truth tables with everybody else on.

    Where the budget is not enough for all, the weakest have no effect and no known gate.
    """
    worths = _truth_tables(game, order.sets)
    unknown = len(order.sets) - len(worths)
    gates = kinds(worths) if 2 <= t <= LARGEST_TABLE else ["additive" if t == 1 else "other"] * len(worths)
    return hyperedge_table(
        {
            "members": [[table.players[i] for i in row] for row in order.sets],
            "target": "",
            "index": table.index,
            "weight": order.value,
            "low": order.low,
            "high": order.high,
            "effect": [*(worths[:, -1] - worths[:, 0]).tolist(), *[None] * unknown],
            "gate": [*gates, *["other"] * unknown],
            "channel": "output",
            "engine": table.diagnostics["engine"],
            "estimated": not table.exact,
        }
    )


def _truth_tables(game: Game, sets: Int[np.ndarray, "sets t"]) -> Float[np.ndarray, "labelled S"]:
    """Gives the worths with the members of each set on whose bits are set, everybody else on.

    Of sets too large for a table of all, only those with no member and with all on. The first sets, as
    many as the budget allows.
    """
    t = sets.shape[1]
    on = all_coalitions(t) if t <= LARGEST_TABLE else np.array([[False] * t, [True] * t])
    if not game.enumerated and game.budget is not None:
        sets = sets[: (game.budget - game.evaluations) // len(on)]
    masks = np.ones((len(sets), len(on), len(game.players)), bool)
    for row, members in enumerate(sets):
        masks[row][:, members] = on
    return game(masks.reshape(-1, len(game.players))).reshape(len(sets), len(on))


def _via_rows(whole: pl.DataFrame, shares: Shares, least: float) -> pl.DataFrame:
    """Gives the shares of hyperedges that arise at gates: those that are large enough, and surely not 0."""
    size = np.abs(shares.share)
    large = size >= least * np.maximum(np.abs(whole["weight"].to_numpy()), 1e-300)
    gate, row = np.nonzero(large & (size > shares.half))
    share = shares.share[gate, row]
    found = whole[row.tolist()].with_columns(
        via=pl.Series([shares.gates[k] for k in gate], dtype=pl.String),
        weight=pl.Series(share),
        low=pl.Series(share - shares.half[gate, row]),
        high=pl.Series(share + shares.half[gate, row]),
        effect=pl.lit(None, pl.Float64),
    )
    return found.select(whole.columns).cast(whole.schema)


def _left(via: dict[int, Shares], chosen: dict[int, Order]) -> dict[str, float]:
    """Gives, by order, the largest part of an interaction that no gate accounts for."""
    return {
        str(t): float(np.abs(chosen[t].value - shares.share.sum(axis=0)).max(initial=0))
        for t, shares in via.items()
    }
