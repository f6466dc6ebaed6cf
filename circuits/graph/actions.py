"""What can be done to nodes, said once for the graph, which predicts, and for the model, which is measured.

Whatever is done to a node comes to two numbers: its activation becomes ``scale · a' + offset``, a' being
what it would have been after all that was done below it.

==========  ==============================  =================
done        written                         scale, offset
==========  ==============================  =================
set         ``12/4051@7=3.5``               0, 3.5
switch off  ``12/4051@7=0``                 0, 0
scale       ``12/4051@7*2``                 2, 0
add         ``12/4051@7+1.5``               1, 1.5
==========  ==============================  =================

A feature without a position (``12/4051``) is meant at every position, also where it is off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, NamedTuple

from circuits.errors import UsageError


class Affine(NamedTuple):
    """What becomes of an activation: scale · a' + offset."""

    scale: float
    offset: float

    def after(self, earlier: Affine) -> Affine:
        """Gives this done after another."""
        return Affine(self.scale * earlier.scale, self.scale * earlier.offset + self.offset)


UNTOUCHED: Final = Affine(1.0, 0.0)


@dataclass(frozen=True)
class Intervention:
    """Things done to nodes at once.

    Attributes:
        name: how it is called in tables.
        nodes: what becomes of each node, by name; the others only respond.

    Raises:
        UsageError: a number is NaN or infinite.

    Example:
        >>> Intervention.of("off", scale({"12/4051@7": 0.0}), add({"13/5@7": 1.5})).nodes["13/5@7"]
        Affine(scale=1.0, offset=1.5)
    """

    name: str
    nodes: Mapping[str, Affine] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for node, done in self.nodes.items():
            if not (math.isfinite(done.scale) and math.isfinite(done.offset)):
                raise UsageError(f"{node} cannot be set, scaled or moved by NaN or infinity: give a number.")

    @classmethod
    def of(cls, name: str, *parts: Mapping[str, Affine]) -> Intervention:
        """Gives the intervention that does the parts one after the other."""
        nodes: dict[str, Affine] = {}
        for part in parts:
            for node, done in part.items():
                nodes[node] = done.after(nodes.get(node, UNTOUCHED))
        return cls(name, nodes)

    def written(self) -> tuple[str, ...]:
        """Gives what is done to each node, as it would be written.

        Example:
            >>> ablate(["12/4051@7"]).written()
            ('12/4051@7=0',)
        """
        return tuple(f"{node}{_written(done)}" for node, done in self.nodes.items())


def setting(values: Mapping[str, float]) -> dict[str, Affine]:
    """Gives nodes set to values, whatever is done below them."""
    return {node: Affine(0.0, float(value)) for node, value in values.items()}


def scale(factors: Mapping[str, float]) -> dict[str, Affine]:
    """Gives nodes multiplied by factors, after they have responded to what is done below them."""
    return {node: Affine(float(factor), 0.0) for node, factor in factors.items()}


def add(amounts: Mapping[str, float]) -> dict[str, Affine]:
    """Gives nodes with amounts added, after they have responded to what is done below them."""
    return {node: Affine(1.0, float(amount)) for node, amount in amounts.items()}


def ablate(nodes: Iterable[str], name: str | None = None) -> Intervention:
    """Gives the intervention that switches nodes off."""
    listed = list(nodes)
    return Intervention(name or "without " + ", ".join(listed), setting(dict.fromkeys(listed, 0.0)))


def named_nodes(interventions: Sequence[Intervention]) -> list[str]:
    """Gives every node that any of the interventions names, each once, in order of appearance."""
    return list(dict.fromkeys(node for one in interventions for node in one.nodes))


def _written(done: Affine) -> str:
    if done.scale == 0:
        return f"={done.offset:g}"
    times = "" if done.scale == 1 and done.offset else f"*{done.scale:g}"
    return times + (f"{done.offset:+g}" if done.offset else "")
