"""What a query may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Final

from circuits.errors import UsageError


@dataclass(frozen=True)
class Budget:
    """What one query may spend; None is no limit, which only local queries may have.

    Attributes:
        seconds: from the first look at the statement to the last row.
        rows: rows of the result; further ones are left out, and it is said that there are more.
        memory: bytes the engine may hold. The process of an untrusted query may map `OVERHEAD` more.
        result: bytes of an untrusted query's result; a larger one is refused.

    Raises:
        UsageError: a limit is not a positive number.

    Example:
        >>> Budget(seconds=2, rows=100).rows
        100
    """

    seconds: float | None = 10.0
    rows: int | None = 10_000
    memory: int | None = 512_000_000
    result: int | None = 16_000_000

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            limit = getattr(self, name)
            if limit is not None and not (limit > 0 and math.isfinite(limit)):
                raise UsageError(f"A budget of {limit} {name} allows nothing: give a number above 0.")


LOCAL: Final = Budget(seconds=600.0, rows=None, memory=None, result=None)
"""What a query of the user's own may spend unless told otherwise; memory: 80% of the machine's."""

UNTRUSTED: Final = Budget()
"""What a query of a stranger may spend unless told otherwise."""

OVERHEAD: Final = 1_000_000_000
"""Bytes of address space a process needs beside what its engine holds: the interpreter, the engine's
code, stacks and the allocator's arenas, which map far more than they touch."""
