"""Interactions of any game: exact where every coalition can be asked about, else estimated with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from circuits.engine import enumeration
from circuits.engine.games.design import check_budget
from circuits.engine.games.game import Game, Worth
from circuits.engine.games.table import InteractionTable, points
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

    Args:
        game: a function of a boolean array, one coalition a row, one player a column, that gives one
            number a row; or a `Game`, such as `circuits.engine.games.graph_game` makes.
        players: the players' names, one a column; a `Game` has them already.
        index: "k-SII" (sums to the worth of everybody less that of nobody), "SII", "STII", "FSII",
            "BII", "CHII", "Moebius", "Co-Moebius".
        order: the largest set.
        budget: distinct coalitions to ask about, at most. Exact if it reaches 2^n and n ≤ 20.
        seed: of the coalitions drawn.

    Raises:
        UsageError: players missing or named twice, an order no set has, a budget below
            `circuits.engine.games.design.minimum`, or a worth that is not one finite number a coalition.

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
    n = len(asked.players)
    check_order(index, order, n)
    check_budget(n, order, index, budget)
    if n <= enumeration.MOST_PLAYERS and 1 << n <= budget:
        return exact(asked, index, order)
    raise UsageError(
        f"{n} players: give a budget of 2^n = {1 << n}; estimates (seed {seed}) are being built."
    )


def exact(game: Game, index: str, order: int) -> InteractionTable:
    """Gives the interactions of a game of up to 20 players from the worths of all its coalitions."""
    worths = game.table()
    found = enumeration.interactions(worths, index, order)
    sets = [found.members(t) for t in range(1, order + 1)]
    return InteractionTable(
        players=game.players,
        index=index,
        orders=points(sets, found.values),
        evaluations=game.evaluations,
        exact=True,
        empty=float(worths[0]),
        full=float(worths[-1]),
        diagnostics={"engine": "enumeration"},
    )


def _game(worth: Worth, players: Sequence[str] | None) -> Game:
    if players is None:
        raise UsageError("Players are missing: name them, one for each column of the masks.")
    return Game(worth, players)
