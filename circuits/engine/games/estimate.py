"""Interactions of any game: exact where every coalition can be asked about, else estimated with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuits.engine import enumeration
from circuits.engine.games.adjusted import Adjusted, adjusted
from circuits.engine.games.design import END_SIZES, check_budget, design, ends
from circuits.engine.games.game import Game, Worth
from circuits.engine.games.memory import check_memory, enumerable
from circuits.engine.games.residual import sampled
from circuits.engine.games.sets import complete, every, grown
from circuits.engine.games.surrogate import CENTRES, Seen, Surrogate, best, split
from circuits.engine.games.table import InteractionTable, Order, points
from circuits.engine.indices import check_order
from circuits.errors import UsageError


def interactions(
    game: Worth | Game,
    players: Sequence[str] | None = None,
    *,
    index: str = "k-SII",
    order: int = 2,
    budget: int = 1 << 14,
    seed: int = 0,
) -> InteractionTable:
    """Gives the interactions of a game's players up to an order.

    Exact if the budget reaches all 2^n coalitions and n ≤ 20. Else coalitions are drawn, all sizes
    alike; a surrogate is fitted to them (`circuits.engine.games.surrogate`), and what it leaves is
    estimated without bias and shrunk (`circuits.engine.games.adjusted`; Witter, Liu & Musco 2025). FSII is
    then given at its top order only. Of orders above 2, sets grown from the strongest smaller ones are
    looked at where there are too many.

    Args:
        game: a function of a boolean array, one coalition a row, one player a column, that gives one
            number a row; or a `Game`, such as `circuits.engine.games.graph_game` makes.
        players: the players' names, one a column; a `Game` has them already.
        index: "k-SII" (sums to the worth of everybody less that of nobody), "SII", "STII", "FSII",
            "BII", "CHII", "Moebius", "Co-Moebius".
        order: the largest set.
        budget: distinct coalitions to ask about, at most.
        seed: of the coalitions drawn.

    Raises:
        UsageError: players missing or named twice, an order no set has, a budget below
            `circuits.engine.games.design.minimum`, a worth that is not one finite number a coalition, or
            more than memory holds.

    Example:
        >>> found = interactions(lambda masks: masks.all(axis=1) * 1.0, ["a", "b"])
        >>> print(found)
        k-SII of 2 players, all 4 coalitions: worth 0 of nobody, 1 of everybody
        order 1
          a  +0
          b  +0
        order 2
          a + b  +1
    """
    asked = game if isinstance(game, Game) else _game(game, players)
    return learn(asked, index, order, budget, seed)[0]


def learn(
    game: Game, index: str, order: int, budget: int, seed: int
) -> tuple[InteractionTable, tuple[Seen, Surrogate] | None]:
    """Gives the interactions of a game, and what they were estimated from; see `interactions`."""
    check(game, index, order, budget)
    if enumerable(len(game.players), budget):
        return exact(game, index, order), None
    if index in END_SIZES:
        return _from_ends(game, index, order), None
    return estimated(game, index, order, budget, seed)


def check(game: Game, index: str, order: int, budget: int) -> None:
    """Refuses what cannot be estimated, before any coalition is asked about; see `interactions`."""
    n, gates = len(game.players), 0 if game.gates is None else len(game.gates.names)
    check_order(index, order, n)
    check_budget(n, order, index, budget)
    check_memory(n, gates, budget, CENTRES)
    whole = all(complete(n, t) for t in range(1, order + 1))
    if index == "k-SII" and not whole and not enumerable(n, budget):
        raise UsageError(
            f"k-SII of order {order} adds up all sets of {order} among {n} players, which are too many: ask"
            " for SII, or group the players."
        )


def exact(game: Game, index: str, order: int) -> InteractionTable:
    """Gives the interactions of a game of up to 20 players from the worths of all its coalitions."""
    worths = game.table()
    found = enumeration.exact_interactions(worths, index, order)
    sets = [found.members(t) for t in range(1, order + 1)]
    orders = points(sets, found.values)
    return _table(game, index, orders, (float(worths[0]), float(worths[-1])), {"engine": "enumeration"})


def _from_ends(game: Game, index: str, order: int) -> InteractionTable:
    """Gives Möbius or Co-Möbius values, exactly, from the coalitions they are made of."""
    n = len(game.players)
    asked = ends(n, order, index)
    worths = game(asked.masks)
    sets = [every(n, t) for t in range(1, order + 1)]
    values = [sampled(asked, worths, index, s).value for s in sets]
    diagnostics = {"engine": "enumeration of the coalitions it is made of"}
    return _table(game, index, points(sets, values), _both_ends(game), diagnostics)


def estimated(
    game: Game, index: str, order: int, budget: int, seed: int
) -> tuple[InteractionTable, tuple[Seen, Surrogate]]:
    """Gives estimates from a budget of coalitions, and what they were estimated from."""
    n = len(game.players)
    drawn = design(n, budget, seed)
    worths, gates = game.observe(drawn.masks)
    seen = Seen(drawn, worths, gates, split(drawn, seed))
    surrogate = best(seen, game.worth, seed)
    orders: dict[int, Order] = {}
    parts: dict[int, Adjusted] = {}
    for t in range(1, order + 1):
        if t < order and index == "FSII":
            continue
        if complete(n, t):
            sets = every(n, t)
        else:
            below = orders[t - 1]
            sets = grown(n, below.sets, np.abs(below.value))
        parts[t] = part = adjusted(seen, surrogate, index, sets, order)
        orders[t] = Order(sets, part.value, part.value - part.half, part.value + part.half)
    told = _diagnostics(seen, surrogate, parts)
    return _table(game, index, orders, _both_ends(game), told, exact=False), (seen, surrogate)


def _diagnostics(seen: Seen, surrogate: Surrogate, parts: Mapping[int, Adjusted]) -> dict[str, Any]:
    weights = seen.design.weights
    left = float(np.sqrt(np.mean([weights @ np.nan_to_num(row) ** 2 for row in surrogate.left])))
    return {
        "engine": f"sampling, {surrogate.name}",
        "surrogate": surrogate.name,
        "explained": surrogate.explained,
        "residual": left,
        "gates": len(surrogate.shape) - seen.design.masks.shape[1] if surrogate.networks else 0,
        "shrinkage": {str(t): part.shrinkage for t, part in parts.items()},
        "half_width": {str(t): float(part.half.mean()) for t, part in parts.items()},
    }


def _both_ends(game: Game) -> tuple[float, float]:
    empty, full = game(np.repeat([[False], [True]], len(game.players), axis=1))
    return float(empty), float(full)


def _table(
    game: Game,
    index: str,
    orders: Mapping[int, Order],
    ends: tuple[float, float],
    diagnostics: Mapping[str, Any],
    exact: bool = True,
) -> InteractionTable:
    return InteractionTable(
        players=game.players,
        index=index,
        orders=orders,
        evaluations=game.evaluations,
        exact=exact,
        empty=ends[0],
        full=ends[1],
        diagnostics=diagnostics,
    )


def _game(worth: Worth, players: Sequence[str] | None) -> Game:
    if players is None:
        raise UsageError("Players are missing: name them, one for each column of the masks.")
    return Game(worth, players)
