"""What is held still in the model while something is done to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from circuits.errors import UsageError


@dataclass(frozen=True)
class Hold:
    """What stays as it is on the untouched prompt.

    Attributes:
        patterns: the attention patterns.
        norms: the scales of all norms.
        mlps: what MLPs do beyond the run's features: those respond through their gates, thresholds as
            recorded, all else (features not kept, errors, held neurons' ratios) stays. Else the model's
            own MLPs run.
        until: all this up to and including this layer; later layers are free. None: to the end.
    """

    patterns: bool = False
    norms: bool = False
    mlps: bool = False
    until: int | None = None

    def __post_init__(self) -> None:
        if self.until is not None and self.until < 0:
            raise UsageError(f"Until layer {self.until}: layers count from 0.")

    def at(self, layer: int) -> Hold:
        """Gives what is held in one layer."""
        return self if self.until is None or layer <= self.until else FREE

    def __str__(self) -> str:
        held = [name for name in ("patterns", "norms", "mlps") if getattr(self, name)]
        until = f" until layer {self.until}" if held and self.until is not None else ""
        return (", ".join(held) or "nothing") + until


FREE: Final = Hold()
"""The model as it is."""

FROZEN: Final = Hold(patterns=True, norms=True, mlps=True)
"""The local replacement model: what the graph is a picture of."""
