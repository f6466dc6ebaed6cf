"""Where an attention score stands: layer, head, query and key, written as `circuits.schema` names them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from circuits.errors import NotFound, UsageError
from circuits.trace import Trace

_WRITTEN = re.compile(r"^(?:(?:head|score|odds):)?(\d+)\.(\d+)(?:@(\d+)(?:,(\d+)(?:-(\d+))?)?)?$")


@dataclass(frozen=True, order=True)
class Place:
    """A head, perhaps at a query, perhaps looking at a key, perhaps rather than at another."""

    layer: int
    head: int
    query: int | None = None
    key: int | None = None
    other: int | None = None

    @property
    def written(self) -> str:
        """Gives "5.3", "5.3@7", "5.3@7,4" or "5.3@7,4-2"."""
        parts = (
            f"{self.layer}.{self.head}",
            "" if self.query is None else f"@{self.query}",
            "" if self.key is None else f",{self.key}",
            "" if self.other is None else f"-{self.other}",
        )
        return "".join(parts)

    @property
    def target(self) -> str:
        """Gives the name of the score, or of the log-odds of its two keys."""
        return f"{'score' if self.other is None else 'odds'}:{self.written}"

    @property
    def via(self) -> str:
        """Gives the name of the head, from its query to its key."""
        return f"head:{replace(self, other=None).written}"


def parse_place(text: str) -> Place:
    """Gives the place that a text names.

    Args:
        text: "5.3", "5.3@7", "5.3@7,4" or "5.3@7,4-2", or a name of a head, score or log-odds.

    Raises:
        UsageError: it is none of these.

    Example:
        >>> parse_place("5.3@7,4-2")
        Place(layer=5, head=3, query=7, key=4, other=2)
    """
    found = _WRITTEN.match(text.strip())
    if found is None:
        raise UsageError(
            f"{text!r} names no attention head: write layer.head, and where wanted the query, its key and"
            " another key, such as '5.3', '5.3@7', '5.3@7,4' or '5.3@7,4-2'."
        )
    return Place(*(None if part is None else int(part) for part in found.groups()))  # type: ignore[arg-type]


def check_place(trace: Trace, place: Place) -> None:
    """Refuses a place that the trace does not have.

    Raises:
        NotFound: no such layer, head or position.
        UsageError: the key is later than the query, or both keys are one.
    """
    layers, heads, n = (0, 0, 0) if trace.attention is None else trace.attention.pattern.shape[:3]
    if place.layer >= layers or place.head >= heads:
        raise NotFound(
            f"No head {place.layer}.{place.head}: the trace has {layers} layers of {heads} heads, 0.0 to"
            f" {layers - 1}.{heads - 1}."
            if layers
            else f"No head {place.layer}.{place.head}: the trace has no attention."
        )
    for what, at in (("query", place.query), ("key", place.key), ("key", place.other)):
        if at is not None and at >= n:
            raise NotFound(f"No {what} at position {at} for {place.written}: the prompt has 0 to {n - 1}.")
    for key in (place.key, place.other):
        if key is not None and place.query is not None and key > place.query:
            raise UsageError(
                f"{place.written} looks ahead, from {place.query} to {key}: a query sees no later key."
            )
    if place.key is not None and place.key == place.other:
        raise UsageError(f"{place.written} weighs key {place.key} against itself: name two keys.")
