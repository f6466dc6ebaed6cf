"""How cards are made, and what makes a label: the numbers that every statement about a label rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from circuits.errors import UsageError

Role = Literal["on", "after", "say"]
"""What a label speaks of: the token itself, the token before it, or the token that follows."""
ROLES: Final[tuple[str, ...]] = get_args(Role)

BARS: Final = 10
"""Bars of a histogram, each a tenth of the largest activation of the choosing half; the last is open."""

BINS: Final = 5
"""Fifths of the largest activation, the uppermost first seen in the top contexts."""

PROMOTED: Final = 8
SUPPRESSED: Final = 5
"""Tokens that a card lists as promoted, and as suppressed."""

TESTED: Final = (
    "labels are chosen on one half of a text and tested on the other. A feature counts as on where it reaches"
    " half the largest activation of the choosing half; precision is the share of these tokens that are what"
    " the label says, recall the share of all such tokens at which the feature is on"
)
"""What the numbers of a label mean."""


@dataclass(frozen=True)
class Limits:
    """What a label must reach, on both halves, to be published.

    Attributes:
        precision: at least.
        recall: at least.
        lift: precision over the share of such tokens in the text, at least.
        on: tokens at which the feature is on, at least.
    """

    precision: float = 0.7
    recall: float = 0.05
    lift: float = 2.0
    on: int = 10

    def __str__(self) -> str:
        return (
            f"precision ≥ {self.precision:g}, recall ≥ {self.recall:g}, at least {self.lift:g} times as"
            f" precise as chance, on at {self.on} tokens or more"
        )


@dataclass(frozen=True)
class Describing:
    """How cards are made.

    Attributes:
        top: contexts of the largest activations, of different sequences.
        per_bin: contexts drawn from each lower fifth of the largest activation.
        before: tokens shown before the one in question.
        after: tokens shown after it.
        sample: tokens at which a feature is on, drawn at random, that its label is chosen by.
        limits: what a label must reach.
        seed: of all draws.
        at_once: sequences run together.
    """

    top: int = 4
    per_bin: int = 1
    before: int = 10
    after: int = 3
    sample: int = 256
    limits: Limits = Limits()
    seed: int = 0
    at_once: int = 32

    def __post_init__(self) -> None:
        if min(self.top, self.sample, self.at_once) < 1 or min(self.per_bin, self.before, self.after) < 0:
            raise UsageError(
                "Cards need at least one top context, one sampled token and one sequence at once, and no"
                " negative numbers."
            )

    @property
    def width(self) -> int:
        """Gives the tokens of a context."""
        return self.before + 1 + self.after
