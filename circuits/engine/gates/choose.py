"""Which engine answers for which gate, and how finely: INTERACTIONS "when which", as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from circuits.engine.gates.ablation import ABLATED
from circuits.engine.gates.games import KINKED
from circuits.schema import GateName

ENUMERATED: Final = 16
"""Up to so many players every coalition is enumerated."""

GRID: Final = 16384
"""Points of the lattice."""

SMALL: Final = 64
"""Below so many players a step's waves die out slowly: few coalitions, far between."""


@dataclass(frozen=True)
class Rule:
    """How finely a D_T is summed: K waves at Q nodes, columns dropped below a share of all bounds."""

    terms: int
    nodes: int
    share: float = 1e-4


@dataclass(frozen=True)
class Choice:
    """An engine with its settings.

    Attributes:
        engine: its name.
        search: how all sets are ranked; None where the engine is exact.
        final: how those kept are computed; the difference between both is the error stated.
    """

    engine: Literal["enumeration", "ablation", "fourier", "lattice"]
    search: Rule | None = None
    final: Rule | None = None

    def __str__(self) -> str:
        if self.final is None:
            return self.engine
        grid = f" M={GRID}" if self.engine == "lattice" else ""
        return f"{self.engine}{grid} K={self.final.terms} Q={self.final.nodes}"


def choose(gate: GateName, players: int, index: str) -> Choice:
    """Gives the engine for gates of one kind with so many players.

    ReLU waves fall as 1/k², so 256 of them leave some 1e-4 of the largest pair; the step of a JumpReLU or
    a frozen TopK falls as 1/k and needs thousands, most of all where there are few players. Smooth gates
    have no closed form: their waves come from a grid.

    Args:
        gate: the gate's name.
        players: n.
        index: the definition.

    Example:
        >>> str(choose("relu", 128, "SII")), str(choose("jumprelu", 12, "SII"))
        ('fourier K=256 Q=16', 'enumeration')
    """
    if index in ABLATED:
        return Choice("ablation")
    if players <= ENUMERATED:
        return Choice("enumeration")
    if gate == "relu":
        return Choice("fourier", Rule(64, 12), Rule(256, 16, 1e-6))
    if gate in KINKED and players < SMALL:
        return Choice("fourier", Rule(1024, 12), Rule(16384, 16, 1e-4))
    if gate in KINKED:
        return Choice("fourier", Rule(512, 16), Rule(2048, 16, 1e-5))
    return Choice("lattice", Rule(256, 12), Rule(1024, 16, 1e-6))
