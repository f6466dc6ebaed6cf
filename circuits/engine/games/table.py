"""What is found about a game: every interaction by its members' names, with an interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import NotFound, UsageError, near_matches

SHOWN = 10
"""Interactions printed of each order, at most."""


@dataclass(frozen=True)
class Interaction:
    """One interaction: its value, and an interval around it, a point where it is exact."""

    members: tuple[str, ...]
    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Order:
    """The interactions of one order: sets of players (one a row, ascending), values, intervals."""

    sets: Int[np.ndarray, "sets t"]
    value: Float[np.ndarray, "sets"]
    low: Float[np.ndarray, "sets"]
    high: Float[np.ndarray, "sets"]


@dataclass(frozen=True, eq=False)
class InteractionTable:
    """The interactions of a game's players.

    Attributes:
        players: their names.
        index: the definition; see `circuits.engine.indices`.
        orders: by order, what was found; orders that the index has no estimate of are not in it.
        evaluations: distinct coalitions asked about.
        exact: every coalition was asked about; else values are estimates, and intervals 95% ones.
        empty: the worth of nobody.
        full: the worth of everybody.
        diagnostics: how the estimate was made; JSON-compatible.

    Example:
        >>> found = interactions(lambda masks: masks.all(axis=1) * 1.0, ["a", "b"])
        >>> found["a", "b"].value
        1.0
    """

    players: tuple[str, ...]
    index: str
    orders: Mapping[int, Order]
    evaluations: int
    exact: bool
    empty: float
    full: float
    diagnostics: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, members: str | Iterable[str]) -> Interaction:
        """Gives the interaction of one player, or of a set of players in any order.

        Raises:
            NotFound: no such player, or no value for this set.
            UsageError: a player named twice.
        """
        names = (members,) if isinstance(members, str) else tuple(members)
        for name in names:
            if name not in self.players:
                raise NotFound(f"No player {name!r} in this game.{near_matches(name, self.players)}")
        if len(set(names)) < len(names):
            raise UsageError(f"{', '.join(names)}: a player is named twice.")
        chosen = np.array(sorted(self.players.index(name) for name in names))
        order = self.orders.get(len(names))
        at = np.flatnonzero((order.sets == chosen).all(axis=1)) if order is not None else np.zeros(0, int)
        if order is None or not len(at):
            held = ", ".join(map(str, sorted(self.orders)))
            raise NotFound(f"No interaction of {', '.join(names)} was computed: orders {held} are held.")
        return self._interaction(order, int(at[0]))

    def strongest(self, count: int = SHOWN, order: int | None = None) -> list[Interaction]:
        """Gives the interactions largest in size, of one order, or of 2 and more."""
        chosen = [t for t in sorted(self.orders) if (t >= 2 if order is None else t == order)]
        found: list[Interaction] = []
        for held in (self.orders[t] for t in chosen):
            best = np.argsort(-np.abs(held.value), kind="stable")[:count]
            found += [self._interaction(held, int(at)) for at in best]
        return sorted(found, key=lambda one: -abs(one.value))[:count]

    def frame(self) -> pl.DataFrame:
        """Gives a table with columns members, order, value, low, high: by order, the strongest first."""
        parts = [
            pl.DataFrame(
                {
                    "members": [[self.players[i] for i in row] for row in held.sets],
                    "order": np.full(len(held.sets), t, np.int32),
                    "value": held.value,
                    "low": held.low,
                    "high": held.high,
                }
            )
            for t, held in sorted(self.orders.items())
        ]
        return pl.concat(parts).sort(
            "order", pl.col("value").abs(), descending=[False, True], maintain_order=True
        )

    def __str__(self) -> str:
        how = "all" if self.exact else "estimated from"
        asked = f"{self.index} of {len(self.players)} players, {how} {self.evaluations:,} coalitions"
        lines = [f"{asked}: worth {self.empty:.4g} of nobody, {self.full:.4g} of everybody"]
        for t in sorted(self.orders):
            found = self.strongest(SHOWN, t)
            count = len(self.orders[t].value)
            lines.append(f"order {t}" + (f", the strongest {len(found)} of {count}" if count > SHOWN else ""))
            width = max(len(" + ".join(one.members)) for one in found)
            lines += [_line(one, width, self.exact) for one in found]
        return "\n".join(lines)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(held.value)} of order {t}" for t, held in sorted(self.orders.items()))
        kind = "exact" if self.exact else "estimated"
        return f"InteractionTable({self.index}, {len(self.players)} players, {kind}: {counts})"

    def _interaction(self, held: Order, at: int) -> Interaction:
        names = tuple(self.players[i] for i in held.sets[at])
        return Interaction(names, float(held.value[at]), float(held.low[at]), float(held.high[at]))


def _line(one: Interaction, width: int, exact: bool) -> str:
    interval = "" if exact else f"   {one.low:+.4g} to {one.high:+.4g}"
    return f"  {' + '.join(one.members):<{width}}  {one.value:+.4g}{interval}"


def points(
    sets: Sequence[Int[np.ndarray, "_ _"]], values: Sequence[Float[np.ndarray, "_"]]
) -> dict[int, Order]:
    """Gives orders whose values are exact."""
    return {s.shape[1]: Order(s, v, v, v) for s, v in zip(sets, values, strict=True)}
