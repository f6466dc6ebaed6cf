"""What a document says that we would not write of ourselves, so that nothing of it is lost.

A graph made from a document keeps, in `meta["imported"]["kept"]`, how each part of the document differs from
what `circuits.interop.write` makes of the graph: keys that are other or more (`set`), keys that are not
there (`without`). Written again, the graph's own values stand where nothing differed; so labels, groups and
nodes changed here come out changed, and all else as it came in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Difference: TypeAlias = dict[str, Any]
"""`set`: keys to write over; `without`: keys to leave out. Empty where nothing differs."""


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Difference:
    """Gives what turns our object into theirs.

    Example:
        >>> difference({"a": 1, "b": 2}, {"a": 1, "c": 3})
        {'set': {'c': 3}, 'without': ['b']}
    """
    other = {key: value for key, value in theirs.items() if key not in ours or not same(ours[key], value)}
    absent = [key for key in ours if key not in theirs]
    return {**({"set": other} if other else {}), **({"without": absent} if absent else {})}


def applied(ours: Mapping[str, Any], kept: Difference | None) -> dict[str, Any]:
    """Gives our object with a difference put on it."""
    kept = kept or {}
    changed = {**ours, **kept.get("set", {})}
    return {key: value for key, value in changed.items() if key not in kept.get("without", ())}


def same(one: Any, other: Any) -> bool:
    """Tells whether two values are the same JSON: 1 and 1.0 are, 1 and true are not.

    Example:
        >>> same(1, 1.0), same(1, True), same({"a": [1]}, {"a": [1.0]})
        (True, False, True)
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (one, other))
    return bool(one == other) and (numbers or type(one) is type(other))
