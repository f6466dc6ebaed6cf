"""Units of work on gated neurons: pairs with act(g)/g held, or pairs and triples with the gate moving."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.enumeration import all_coalitions, exact_interactions
from circuits.engine.gates.ablation import ABLATED, alternating, search_ablated
from circuits.engine.gates.batch import Part, found_of
from circuits.engine.gates.choose import ENUMERATED, GRID, Choice, Rule
from circuits.engine.gates.columns import Nodes
from circuits.engine.gates.cost import flops
from circuits.engine.gates.found import Kept, Wanted, candidates
from circuits.engine.gates.lattice import lattice
from circuits.engine.gates.of_trace import NeuronReader, ProductRow, product_games
from circuits.engine.gates.pairs import Strongest, best_of
from circuits.engine.gates.product_columns import Factor, product_columns, product_sets, strongest_products
from circuits.engine.gates.products import ProductGames, strongest_held
from circuits.engine.gates.sets import triples_among
from circuits.engine.methods import Found, Progress, Unit

TOGETHER = 256
"""Gated neurons of one unit: their rows are computed together."""

HELD = "bilinear"
MOVING = Choice("lattice", Rule(64, 12), Rule(256, 16, 1e-6))


def product_units(reader: NeuronReader, nodes: Sequence[int], wanted: Wanted, *, hold: bool) -> list[Unit]:
    """Gives the work on gated neurons, named by their rows in the node table."""
    batches = [nodes[at : at + TOGETHER] for at in range(0, len(nodes), TOGETHER)]
    inputs = len(reader.graph.nodes) // 2
    one = 4.0 * inputs * reader.trace.width + (6.0 * inputs**2 if hold else 2 * flops(MOVING, inputs, wanted))
    return [
        Unit(
            key=f"gated neurons, {at + 1} of {len(batches)}",
            flops=len(batch) * one,
            run=partial(_run, reader, batch, wanted, hold),
        )
        for at, batch in enumerate(batches)
    ]


def _run(reader: NeuronReader, nodes: Sequence[int], wanted: Wanted, hold: bool, tell: Progress) -> Found:
    rows = reader.rows(nodes)

    def size(row: ProductRow) -> int:
        return max(8, 1 << (max(len(row.players), 1) - 1).bit_length())

    orders: list[list[Part]] = [[] for _ in range(2, wanted.order + 1)]
    done = 0
    for players, group in groupby(sorted(rows, key=size), key=size):
        some = list(group)
        for at in range(0, len(some), 16):
            here = some[at : at + 16]
            games = product_games(here, reader.activation, hold=hold).padded(players)
            found = _held(games, wanted) if hold else moving(games, wanted)
            for g, (row, kept) in enumerate(zip(here, found, strict=True)):
                for order, sets in kept.items():
                    tables = games.part([g]).truth_tables(sets.members[None])[0]
                    engine = HELD if hold else _moving_engine(row, wanted)
                    orders[order - 2].append(Part(row.node, row.players, sets, tables, engine))
            done += len(here)
            tell("gated neurons", done, len(rows))
    return found_of(reader.graph, orders, wanted, {"gates": len(rows), "settled": 0})


def _moving_engine(row: ProductRow, wanted: Wanted) -> str:
    if wanted.index in ABLATED:
        return "ablation"
    return "enumeration" if len(row.players) <= ENUMERATED else str(MOVING)


def _held(games: ProductGames, wanted: Wanted) -> list[dict[int, Kept]]:
    """Gives the strongest pairs; no larger set interacts."""
    pairs = strongest_held(games, wanted.top, wanted.threshold * games.size)
    return [{2: _exact(found)} for found in pairs]


def _exact(found: Strongest) -> Kept:
    return Kept(found.members, found.value, 0.0, found.evaluated)


def moving(games: ProductGames, wanted: Wanted) -> list[dict[int, Kept]]:
    """Gives what is kept of each order, with the activation moving: as `found.strongest` for plain gates.

    Args:
        games: gated neurons with nothing held.
        wanted: what is asked for.
    """
    if wanted.index in ABLATED:
        return [_ablated(games.part([g]), wanted) for g in range(len(games))]
    few = ((games.gate.inputs != 0) | (games.value != 0)).sum(1) <= ENUMERATED
    found: dict[int, dict[int, Kept]] = {
        g: _enumerated(games.part([g]), wanted) for g in np.flatnonzero(few).tolist()
    }
    many = np.flatnonzero(~few)
    if len(many):
        found |= dict(zip(many.tolist(), _summed(games.part(many), wanted), strict=True))
    return [found[g] for g in range(len(games))]


def _summed(games: ProductGames, wanted: Wanted) -> list[dict[int, Kept]]:
    assert MOVING.search is not None
    assert MOVING.final is not None
    factor, floor = Factor(games.value, games.value_bias), wanted.threshold * games.size
    series = [
        lattice(games.gate, GRID, rounded=False, terms=rule.terms) for rule in (MOVING.search, MOVING.final)
    ]

    def values(at: int, members: Int[np.ndarray, "g m t"]) -> tuple[np.ndarray, np.ndarray]:
        rule = (MOVING.search, MOVING.final)[at]
        assert rule is not None
        nodes = Nodes.of(wanted.index, members.shape[2], games.gate.players, rule.nodes)
        found = product_columns(series[at], factor, nodes, double=wanted.double, share=rule.share)
        eps = float(np.finfo(np.float64 if wanted.double else np.float32).eps)
        sums = product_sets(series[at], factor, found, members, double=wanted.double)
        return sums, found.dropped + eps * found.magnitude

    nodes = Nodes.of(wanted.index, 2, games.gate.players, MOVING.search.nodes)
    ranked = product_columns(series[0], factor, nodes, share=MOVING.search.share)
    pairs = strongest_products(series[0], factor, ranked, wanted.top, floor)
    kept = [{2: k} for k in _refined(pairs, values)]
    if wanted.order > 2:
        weight = np.abs(games.gate.inputs) + np.abs(games.value)
        sets = [
            triples_among(candidates(w, p.members, wanted.candidates))
            for w, p in zip(weight, pairs, strict=True)
        ]
        coarse, _ = values(0, _stacked(sets))
        triples = []
        for members, value, least in zip(sets, coarse, floor, strict=True):
            place, best = best_of(value[: len(members)], wanted.top, float(least))
            triples.append(Strongest(members[place], best, len(members)))
        for found, k in zip(kept, _refined(triples, values), strict=True):
            found[3] = k
    return kept


def _stacked(sets: Sequence[Int[np.ndarray, "_ t"]]) -> Int[np.ndarray, "g m t"]:
    """Gives each game's sets as one array, the shorter lists filled with their first set's kind."""
    most = max(len(members) for members in sets)
    order = sets[0].shape[1]
    filler = np.tile(np.arange(order), (most, 1))
    return np.stack([np.concatenate([members, filler[len(members) :]]) for members in sets])


Values = Callable[[int, Int[np.ndarray, "g m t"]], tuple[np.ndarray, np.ndarray]]
"""Gives the values of sets by the coarse (0) or the fine rule (1), and what may be missing from them."""


def _refined(coarse: Sequence[Strongest], values: Values) -> list[Kept]:
    """Gives the sets found with their values computed finely, and how far they moved."""
    fine, missing = values(1, _stacked([found.members for found in coarse]))
    kept = []
    for found, row, least in zip(coarse, fine, missing, strict=True):
        value = row[: len(found.value)]
        error = float(np.abs(value - found.value).max(initial=0)) + float(least)
        order = np.argsort(-np.abs(value), kind="stable")
        kept.append(Kept(found.members[order], value[order], error, found.evaluated))
    return kept


def _enumerated(game: ProductGames, wanted: Wanted) -> dict[int, Kept]:
    """Gives the strongest sets of a game of few players, exactly."""
    g, u = game.gate.inputs[0], game.value[0]
    players = np.flatnonzero((g != 0) | (u != 0))
    kept = {}
    for order in range(2, wanted.order + 1):
        if len(players) < order:
            kept[order] = Kept(np.zeros((0, order), np.int64), np.zeros(0), 0.0, 0)
            continue
        masks = all_coalitions(len(players))
        sums = game.gate.bias[:, None] + masks @ g[players], game.value_bias[:, None] + masks @ u[players]
        worths = game.worth(*sums)[0]
        exact = exact_interactions(worths, wanted.index, order)
        crumbs = 64 * np.finfo(float).eps * float(np.abs(worths).max())
        floor = max(float((wanted.threshold * game.size)[0]), crumbs)
        place, value = best_of(exact.values[order - 1], wanted.top, floor)
        members = players[exact.members(order)]
        kept[order] = Kept(members[place], value, 0.0, len(members))
    return kept


def _ablated(game: ProductGames, wanted: Wanted) -> dict[int, Kept]:
    """Gives the strongest Möbius or Co-Möbius interactions of one game, exactly."""
    g, u, all_on = game.gate.inputs[0], game.value[0], wanted.index == "Co-Moebius"
    sign = -1.0 if all_on else 1.0
    start = (
        float((game.gate.total if all_on else game.gate.bias)[0]),
        float(game.value_bias[0]) + (float(u.sum()) if all_on else 0.0),
    )

    def worth(of_gate: Float[np.ndarray, "*k"], of_value: Float[np.ndarray, "*k"]) -> np.ndarray:
        changed = (start[0] + sign * of_gate)[None], (start[1] + sign * of_value)[None]
        return np.asarray(game.worth(*changed)[0])

    def both(rows: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r n"]:
        return worth(g[rows, None] + g, u[rows, None] + u)

    floor = float((wanted.threshold * game.size)[0])
    nothing = np.zeros(1)
    pairs = search_ablated(float(worth(nothing, nothing)[0]), worth(g, u), both, wanted.top, floor)
    kept = {2: _exact(pairs)}
    if wanted.order > 2:
        members = triples_among(candidates(np.abs(g) + np.abs(u), pairs.members, wanted.candidates))
        tables = game.truth_tables(members[None], others=all_on)[0]
        place, value = best_of(alternating(tables), wanted.top, floor)
        kept[3] = Kept(members[place], value, 0.0, len(members))
    return kept
