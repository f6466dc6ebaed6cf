"""Which methods a command line asks for: one a channel, with the settings its options give."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from circuits.errors import CircuitsError, UsageError, near_matches

if TYPE_CHECKING:
    from circuits.engine.methods import Method
    from circuits.graph.concepts import Concept
    from circuits.graph.graph import Graph
    from circuits.trace import Trace

Channel = Literal["mlp", "qk", "output"]
CHANNELS: Final[tuple[Channel, ...]] = ("output", "mlp", "qk")
METHODS: Final[Mapping[Channel, str]] = {  # imported when they are used: they bring JAX
    "output": "circuits.engine.games.method.Coalitions",
    "mlp": "circuits.engine.gates.method.Gates",
    "qk": "circuits.engine.qk.method.QK",
}
TESTED: Final = (2, 3)
"""Numbers of concepts for which the output channel is the concept test."""


def channels(given: Sequence[str] | None) -> tuple[Channel, ...]:
    """Gives the channels named, each once.

    Raises:
        UsageError: there is no such channel.
    """
    found: list[Channel] = []
    for name in given or ():
        known = next((channel for channel in CHANNELS if channel == name), None)
        if known is None:
            raise UsageError(
                f"No channel {name!r}: there are {', '.join(CHANNELS)}.{near_matches(name, CHANNELS)}"
            )
        found.append(known)
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Asked:
    """What was asked for; None where the method's own default holds.

    Attributes:
        channels: the channels named, none if all that are possible are meant.
        order: orders 2 to this.
        index: the definition of the interaction.
        concepts: players of the output game.
        players: other players of the output game, names of nodes.
        budget: coalitions the output game may evaluate.
        target: the node explained.
        top: how many interactions to keep.
        heads: attention heads, written layer.head.
        gates: how many gates to look into.
        seed: of what is drawn.
    """

    channels: tuple[Channel, ...] = ()
    order: int = 2
    index: str | None = None
    concepts: tuple[Concept, ...] = ()
    players: tuple[str, ...] = ()
    budget: int | None = None
    target: str | None = None
    top: int | None = None
    heads: tuple[str, ...] = ()
    gates: int | None = None
    seed: int = 0

    def insists(self, channel: str) -> bool:
        """Tells whether a channel was named, or an option was given that only it has."""
        own = {
            "mlp": self.gates is not None,
            "qk": bool(self.heads),
            "output": bool(self.concepts) or bool(self.players) or self.budget is not None,
        }
        return channel in self.channels or own[channel]

    @property
    def wanted(self) -> tuple[Channel, ...]:
        """Gives the channels to be tried."""
        return self.channels or CHANNELS

    @property
    def tests(self) -> bool:
        """Tells whether the output channel is the concept test."""
        return "output" in self.wanted and len(self.concepts) in TESTED

    def methods(self) -> list[Method]:
        """Gives the methods, their settings checked.

        Raises:
            UsageError: settings no method takes.
        """
        channels = [c for c in self.wanted if not (c == "output" and self.tests)]
        return [method_of(channel, self) for channel in channels]


def method_of(channel: Channel, asked: Asked) -> Method:
    """Gives a channel's method with what was asked of it."""
    settings: Mapping[Channel, Mapping[str, Any]] = {
        "mlp": {"index": asked.index, "top": asked.top, "gates": asked.gates, "order": min(asked.order, 3)},
        "qk": {
            "index": asked.index,
            "top": asked.top,
            "heads": asked.heads or None,
            "order": min(asked.order, 3),
            "targets": None if asked.target is None else (asked.target,),
        },
        "output": {
            "order": asked.order,
            "index": asked.index,
            "players": asked.concepts or asked.players or None,
            "top": asked.top,
            "budget": asked.budget,
            "target": asked.target,
            "seed": asked.seed,
        },
    }
    module, _, name = METHODS[channel].rpartition(".")
    given = {name: value for name, value in settings[channel].items() if value is not None}
    method: Method = getattr(importlib.import_module(module), name)(**given)
    return method


def possible(
    methods: Sequence[Method], asked: Asked, graph: Graph, trace: Trace | None
) -> tuple[list[Method], dict[str, str]]:
    """Gives the methods that have work on a graph, and why the others have none.

    Raises:
        CircuitsError: a channel that was insisted on has none.
    """
    able, reasons = [], {}
    for method in methods:
        channel: Any = method.channel
        try:
            method.units(graph, trace)
        except CircuitsError as cause:
            if asked.insists(channel):
                raise
            reasons[channel] = str(cause)
        else:
            able.append(method)
    return able, reasons
