"""Which gate a truth table is nearest to: AND, OR, inhibition, XOR, or just a sum."""

from __future__ import annotations

from functools import cache
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float

from circuits.errors import UsageError

Kind = Literal["and", "or", "inhibit", "xor", "additive", "other"]
KINDS: Final[tuple[str, ...]] = get_args(Kind)

NEGLIGIBLE: Final = 0.1
"""An interaction below this share of the largest effect in the table is called additive."""

FAR: Final = 0.75
"""Squared distance, in units of the largest effect, beyond which no gate is named."""


def kinds(tables: Float[np.ndarray, "m S"]) -> list[Kind]:
    """Gives the gate each truth table is nearest to.

    Effects are the worths less that of the empty set, divided by the largest of them in size. The table
    is *additive* if its Möbius term of all members is below `NEGLIGIBLE`; else it is the nearest, sign
    included, of: and (something only with all members), or (the same as soon as there is one),
    inhibit (some members together, unless one of the others is there), xor (parity); or *other*.

    Args:
        tables: m tables of S = 2^t worths; entry s is the worth with the members on whose bits are set
            in s, member i being bit 2^i.

    Raises:
        UsageError: S is not 4, 8, 16, 32 or 64.

    Example:
        >>> kinds(np.array([[0, 0, 0, 1.0], [0, 1, 1, 1.0], [2, 5, 2, 2.0], [0, 1, 2, 3.0]]))
        ['and', 'or', 'inhibit', 'additive']
    """
    size = tables.shape[-1]
    members = size.bit_length() - 1
    if size != 1 << members or not 2 <= members <= 6:
        raise UsageError(f"A truth table of {size} worths is none of 2 to 6 members: give 2^members of them.")
    effects = tables[:, 1:] - tables[:, :1]
    scale = np.abs(effects).max(axis=1, initial=0.0)
    unit = effects / np.where(scale > 0, scale, 1)[:, None]
    together = unit @ _signs(members)
    names, shapes = _templates(members)
    both = np.concatenate([shapes, -shapes])
    distance = ((unit[:, None, :] - both) ** 2).sum(axis=2)
    nearest = distance.argmin(axis=1)
    return [
        "additive" if abs(i) <= NEGLIGIBLE else "other" if d > FAR else names[at % len(names)]
        for i, d, at in zip(together, distance.min(axis=1), nearest, strict=True)
    ]


def _signs(members: int) -> Float[np.ndarray, "effects"]:
    """Gives the signs with which effects add up to the Möbius term of all members."""
    return np.array([(-1.0) ** (members - s.bit_count()) for s in range(1, 1 << members)])


@cache
def _templates(members: int) -> tuple[tuple[Kind, ...], Float[np.ndarray, "k effects"]]:
    """Gives names and effects of all gates of so many members, scaled to 1, positive ones only."""
    sets = range(1, 1 << members)
    every = (1 << members) - 1
    found: list[tuple[Kind, list[bool]]] = [
        ("and", [s == every for s in sets]),
        ("or", [True for _ in sets]),
        ("xor", [s.bit_count() % 2 == 1 for s in sets]),
    ]
    # on with the exciters, off as soon as one of the others, the inhibitors, is there too
    found += [("inhibit", [s == exciters for s in sets]) for exciters in range(1, every)]
    found += [("other", [s.bit_count() >= least for s in sets]) for least in range(2, members)]  # majorities
    return tuple(name for name, _ in found), np.array([row for _, row in found], float)
