"""How much work a question may take: a deadline, a number of paths, a smallest share."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from circuits.errors import UsageError


@dataclass(frozen=True)
class Limit:
    """The budget of a search. What it stops short is given as far as it came, and told.

    Attributes:
        seconds: after so many no further one is looked for.
        paths: so many are given at most; paths explode, a graph of 600 nodes has more than 10^30.
        share: paths that carry less are not looked for.

    Raises:
        UsageError: no second, no path, or a share that is none.

    Example:
        >>> Limit(seconds=2, share=0.001).paths
        100000
    """

    seconds: float = 30.0
    paths: int = 100_000
    share: float = 0.0

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise UsageError(f"A limit of {self.seconds:g} seconds leaves no time: give more than 0.")
        if self.paths < 1:
            raise UsageError(f"A limit of {self.paths} paths leaves none: give 1 or more.")
        if not 0 <= self.share < 1:
            raise UsageError(f"{self.share:g} is no share to stop at: give a number from 0 up to 1.")

    def start(self) -> Clock:
        """Gives a clock that runs from now."""
        return Clock(self)


@dataclass(frozen=True)
class Clock:
    """A limit that has begun to run.

    Attributes:
        limit: what was granted.
        begun: when, in seconds of the monotonic clock.
    """

    limit: Limit
    begun: float = field(default_factory=time.monotonic)

    def over(self) -> bool:
        """Tells whether the time is up."""
        return time.monotonic() - self.begun >= self.limit.seconds
