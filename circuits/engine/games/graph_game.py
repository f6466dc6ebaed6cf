"""Games on a graph: players are nodes or concepts, the worth is a target's value under `graph.run`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from circuits.engine.games.game import Coalitions, Game, InnerGates
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS
from circuits.graph.run import Runner


@runtime_checkable
class Group(Protocol):
    """A named set of nodes, such as `circuits.graph.concepts.Concept`."""

    @property
    def name(self) -> str:
        """Gives how it is called."""
        ...

    @property
    def nodes(self) -> Sequence[str]:
        """Gives the names of its nodes."""
        ...


class GraphWorth:
    """A target's value when only some players stay on, and the gates in between; a `Gated` worth.

    Nodes of no player stay on. All of a player's nodes are on or off together.

    Args:
        graph: any graph.
        players: names of nodes, or groups of nodes.
        target: the node whose value is the worth; the graph's heaviest target unless given.
        batch: coalitions evaluated at once; memory grows with it.

    Attributes:
        players: the players' names.
        target: the target's name.
        members: rows of the node table, by player.
        gates: the features between players and target, in the order of `observe`'s columns.

    Raises:
        UsageError: no player, a node in two players, a constant or the target itself as a player, no
            target or one never expanded.
        NotFound: a name is no node; near matches are offered.
    """

    def __init__(
        self, graph: Graph, players: Sequence[str | Group], target: str | None = None, *, batch: int = 1024
    ) -> None:
        if target is None and not graph.targets:
            raise UsageError("No target: the graph names none, so name the node whose value you ask for.")
        self.target = graph.targets[0] if target is None else target
        self.players = tuple(player if isinstance(player, str) else player.name for player in players)
        self.members = [member_rows(graph, player, self.target) for player in players]
        self._check_overlap(graph)
        self._runner = Runner(graph, targets=[self.target], batch=batch, players=self.members)
        rows = self._runner.gates
        owner = np.full(len(graph.nodes), -1)
        for player, member in enumerate(self.members):
            owner[member] = player
        nodes = graph.nodes[rows.tolist()]
        self.gates = InnerGates(
            names=tuple(nodes["node"]),
            kinds=tuple(nodes["gate"].fill_null("linear")),
            # rounded as the runner rounds it: a gate at its threshold stays on the same side
            threshold=nodes["threshold"].fill_null(0).to_numpy().astype(self._runner.dtype).astype(float),
            level=self._runner.level,
            owner=owner[rows],
        )

    def __call__(self, masks: Coalitions) -> Float[np.ndarray, "B"]:
        """Gives the target's value for each coalition (row)."""
        return self._runner(masks)[:, 0].astype(np.float64)

    def observe(self, masks: Coalitions) -> tuple[Float[np.ndarray, "B"], Float[np.ndarray, "B K"]]:
        """Gives the target's value and the pre-activations of `gates`, from the same passes."""
        values, seen = self._runner.observe(masks)
        return values[:, 0].astype(np.float64), seen

    def gains(self, slopes: Float[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
        """Gives what one unit more of each activation adds to the target, later gates following by slopes."""
        return self._runner.gains(slopes)[:, 0]

    def _check_overlap(self, graph: Graph) -> None:
        seen: dict[int, str] = {}
        for name, rows in zip(self.players, self.members, strict=True):
            for row in rows:
                if seen.setdefault(row, name) != name:
                    raise UsageError(
                        f"{graph.nodes['node'][row]} is in player {seen[row]} and in player {name}: players"
                        " must not overlap."
                    )


def member_rows(graph: Graph, player: str | Group, target: str) -> list[int]:
    """Gives the rows of a player's nodes.

    Raises:
        UsageError: it has none, or holds a constant or the target.
        NotFound: a name is no node.
    """
    names = [player] if isinstance(player, str) else list(player.nodes)
    if not names:
        raise UsageError(f"Player {player.name if not isinstance(player, str) else player} has no node.")
    rows = [graph.row(name) for name in dict.fromkeys(names)]
    for name, row in zip(dict.fromkeys(names), rows, strict=True):
        if graph.nodes["kind"][row] in CONSTANTS:
            raise UsageError(f"{name} is a constant, which explains nothing about the prompt: no player.")
        if name == target:
            raise UsageError(f"{name} is the target itself: its value does not depend on its own mask.")
    return rows


def graph_game(
    graph: Graph,
    players: Sequence[str | Group],
    target: str | None = None,
    *,
    budget: int | None = None,
    watch: bool = True,
) -> Game:
    """Gives the game of nodes or concepts on a target's value under `graph.run`: see `GraphWorth`.

    Example:
        >>> game = graph_game(graph, ["tok@3", "12/4051@7"], "logit:Austin")  # doctest: +SKIP
        >>> game(np.array([[True, False]]))  # doctest: +SKIP
    """
    worth = GraphWorth(graph, players, target)
    return Game(worth, worth.players, budget=budget, watch=watch)
