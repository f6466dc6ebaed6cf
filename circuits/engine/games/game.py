"""A game: players, what every coalition of them is worth, and how many were asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.engine.enumeration import all_coalitions
from circuits.errors import UsageError
from circuits.graph.run import apply_gates, bucket

Coalitions = Bool[np.ndarray, "B n"]
Worth = Callable[[Bool[np.ndarray, "B n"]], Float[np.ndarray, "B"]]
"""What coalitions are worth: one a row, one player a column, true where the player takes part."""

Tell = Callable[[int, int], None]
"""Called with the coalitions done and their number."""

SHOWN = 6
"""Players of a coalition named in an error, at most."""


def quiet(_done: int, _total: int) -> None:
    """Tells nobody."""


@dataclass(frozen=True, eq=False)
class InnerGates:
    """The gates inside a game: a_k = x_owner(k) · φ_k(z_k), one entry each.

    Attributes:
        names: how they are called; features of a graph, by their node names.
        kinds: the function φ, a `circuits.schema.GateName`.
        threshold: of jumprelu, topk and abstopk.
        level: a gate depends on gates of lower levels only.
        owner: the player that switches the gate itself off, −1 for none.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    threshold: Float[np.ndarray, "K"]
    level: Int[np.ndarray, "K"]
    owner: Int[np.ndarray, "K"]

    def activations(
        self, masks: Coalitions, z: Float[np.ndarray, "B K2"], chosen: Int[np.ndarray, "K2"] | None = None
    ) -> Float[np.ndarray, "B K2"]:
        """Gives the activations of gates, all or the chosen ones, from the pre-activations of the same."""
        at = np.arange(len(self.names)) if chosen is None else chosen
        names = tuple(sorted({self.kinds[k] for k in at}))
        codes = np.array([names.index(self.kinds[k]) for k in at], np.int32)
        rows, more = bucket(len(z)) - len(z), bucket(len(at)) - len(at)  # few shapes, little compiled
        with jax.enable_x64(True):
            padded = jnp.asarray(np.pad(z.astype(np.float64), ((0, rows), (0, more))))
            kind, threshold = (jnp.asarray(np.pad(v, (0, more))) for v in (codes, self.threshold[at]))
            found = np.asarray(apply_gates(padded, threshold, kind, names))[: len(z), : len(at)]
        return np.asarray(found * self.taking_part(masks, at))

    def taking_part(self, masks: Coalitions, chosen: Int[np.ndarray, "K2"]) -> Bool[np.ndarray, "B K2"]:
        """Gives which of the chosen gates are left on by the players."""
        always = np.ones((len(masks), 1), bool)
        return np.concatenate([masks, always], axis=1)[:, self.owner[chosen]]


@runtime_checkable
class Gated(Protocol):
    """A worth whose inside is seen: its gates' pre-activations come with the values, from the same passes.

    A graph is one (`circuits.engine.games.graph_game`); the model itself under intervention can be.
    """

    gates: InnerGates

    def __call__(self, masks: Coalitions) -> Float[np.ndarray, "B"]:
        """Gives the worth of coalitions."""
        ...

    def observe(self, masks: Coalitions) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B K"]]:
        """Gives the worth of coalitions, and the pre-activations of `gates`."""
        ...

    def gains(self, slopes: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
        """Gives what one unit more of each activation adds to the worth, later gates following by slopes."""
        ...


class Game:
    """A worth and its players. Counts the coalitions asked about, keeps their worths, keeps to the budget.

    Args:
        worth: any function of a boolean array, one coalition a row, one player a column, that gives one
            finite number a row; a `Gated` one also shows its gates.
        players: their names, one a column.
        budget: distinct coalitions that may be asked about; any number unless given.
        batch: coalitions handed to `worth` at once.
        watch: keep the gates' pre-activations too, where the worth shows them.
        tell: called with the coalitions asked about and how many there will be, as far as is known.

    Attributes:
        players: the names.
        gates: the gates whose pre-activations are kept, or None.
        evaluations: distinct coalitions asked about so far.

    Raises:
        UsageError: no player, or a name twice.

    Example:
        >>> game = Game(lambda masks: masks.all(axis=1) * 1.0, ["a", "b"])
        >>> game(np.array([[True, True], [False, True], [True, True]])).tolist(), game.evaluations
        ([1.0, 0.0, 1.0], 2)
    """

    def __init__(
        self,
        worth: Worth,
        players: Sequence[str],
        *,
        budget: int | None = None,
        batch: int = 4096,
        watch: bool = True,
        tell: Tell = quiet,
    ) -> None:
        self.players = tuple(players)
        self.worth = worth
        self.budget = budget
        self.batch = batch
        self._tell = tell
        self.gates = worth.gates if watch and isinstance(worth, Gated) else None
        if not self.players:
            raise UsageError("A game without players: name at least one.")
        twice = sorted({name for name in self.players if self.players.count(name) > 1})
        if twice:
            raise UsageError(f"Player {', '.join(twice)} is named more than once: give each its own name.")
        self._place: dict[bytes, int] = {}
        self._worths: list[Float[np.ndarray, "b"]] = []
        self._seen: list[Float[np.ndarray, "b K"]] = []
        self._table: Float[np.ndarray, "S"] | None = None

    @property
    def evaluations(self) -> int:
        """Gives the number of distinct coalitions asked about so far."""
        return len(self._place) if self._table is None else len(self._table)

    @property
    def enumerated(self) -> bool:
        """Gives whether every coalition is known."""
        return self._table is not None

    def table(self) -> Float[np.ndarray, "S"]:
        """Gives the worth of all 2^n coalitions; entry s has the players in it whose bits are set in s.

        Raises:
            UsageError: more than 20 players, or a budget below 2^n; see also `__call__`.
        """
        if self._table is None:
            every = all_coalitions(len(self.players))
            self._check_budget(len(every))
            found = np.empty(len(every))
            for start in range(0, len(every), self.batch):
                part = every[start : start + self.batch]
                found[start : start + len(part)] = self._checked(part, self.worth(part))
                self._tell(start + len(part), len(every))
            self._table = found
        return self._table

    def __call__(self, masks: Coalitions) -> Float[np.ndarray, "B"]:
        """Gives the worth of each coalition; those known are not evaluated again.

        Raises:
            UsageError: masks of a wrong shape, more coalitions than the budget allows, or a worth that
                is not one finite number a coalition.
        """
        self._check_shape(masks)
        if self._table is not None:
            return np.asarray(self._table[masks @ (1 << np.arange(len(self.players)))])
        return self.observe(masks)[0]

    def observe(self, masks: Coalitions) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B K"]]:
        """Gives the worth of each coalition and its gates' pre-activations (no column if none are kept).

        Raises:
            UsageError: see `__call__`.
        """
        self._check_shape(masks)
        keys = [row.tobytes() for row in np.packbits(masks, axis=1)]
        new = list({key: row for row, key in enumerate(keys) if key not in self._place}.values())
        self._check_budget(len(self._place) + len(new))
        for start in range(0, len(new), self.batch):
            self._ask(
                masks[new[start : start + self.batch]], [keys[r] for r in new[start : start + self.batch]]
            )
        place = np.array([self._place[key] for key in keys], np.int64)
        self._worths, self._seen = [np.concatenate([*self._worths, np.zeros(0)])], self._joined()
        return self._worths[0][place], self._seen[0][place]

    def _check_shape(self, masks: Coalitions) -> None:
        if masks.ndim != 2 or masks.shape[1] != len(self.players):
            raise UsageError(
                f"Coalitions have shape {masks.shape} instead of (coalitions, {len(self.players)}): one"
                " column a player."
            )

    def _check_budget(self, evaluations: int) -> None:
        if self.budget is not None and evaluations > self.budget:
            raise UsageError(f"{evaluations} coalitions are more than the budget of {self.budget}.")

    def _ask(self, masks: Coalitions, keys: list[bytes]) -> None:
        if self.gates is not None and isinstance(self.worth, Gated):
            worths, seen = self.worth.observe(masks)
        else:
            worths, seen = self.worth(masks), np.zeros((len(masks), 0))
        self._worths.append(self._checked(masks, worths))
        self._seen.append(seen)
        for key in keys:
            self._place[key] = len(self._place)
        self._tell(self.evaluations, self.budget or self.evaluations)

    def _joined(self) -> list[Float[np.ndarray, "b K"]]:
        width = 0 if self.gates is None else len(self.gates.names)
        return [np.concatenate([*self._seen, np.zeros((0, width), np.float32)])]

    def _checked(self, masks: Coalitions, worths: object) -> Float[np.ndarray, "b"]:
        try:
            found = np.asarray(worths, np.float64)
        except (TypeError, ValueError):
            raise UsageError(
                f"The worth function gave {type(worths).__name__} instead of one number a coalition."
            ) from None
        if found.shape != (len(masks),):
            raise UsageError(
                f"The worth function gave shape {found.shape} for {len(masks)} coalitions instead of"
                f" ({len(masks)},): give one number a row of its masks."
            )
        if not np.isfinite(found).all():
            row = int(np.argmin(np.isfinite(found)))
            raise UsageError(
                f"The worth of {coalition(self.players, masks[row])} is {found[row]}: every coalition needs"
                " a finite worth."
            )
        return found


def coalition(players: Sequence[str], mask: Bool[np.ndarray, "n"]) -> str:
    """Gives a coalition in words, for a message.

    Example:
        >>> coalition(("a", "b", "c"), np.array([True, False, True]))
        '{a, c}'
    """
    names = [name for name, on in zip(players, mask, strict=True) if on]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return "{" + ", ".join(names[:SHOWN]) + more + "}" if names else "no player at all"
