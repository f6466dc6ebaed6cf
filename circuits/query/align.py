"""Which positions of two prompts stand for one another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from itertools import pairwise
from typing import Final

from circuits.errors import UsageError, near_matches
from circuits.graph.graph import Graph

Pairs = tuple[tuple[int, int], ...]
Align = str | Sequence[tuple[int, int]]
"""A way to align two prompts: `end`, `start`, `text`, or the pairs of positions themselves."""

WAYS: Final = ("end", "start", "text")

_PAIR: Final = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")


@dataclass(frozen=True)
class Alignment:
    """Pairs of positions, one-to-one and in order: neither prompt is read backwards.

    Attributes:
        here: the tokens of the first prompt.
        there: the tokens of the second.
        pairs: (position in the first, position in the second), ascending in both.
        how: `end`, `start`, `text` or `given`.

    Raises:
        UsageError: a position outside its prompt, used twice, or out of order.

    Example:
        >>> Alignment.of(("The", " capital", " is"), ("A", " is"), "end").pairs
        ((1, 0), (2, 1))
    """

    here: tuple[str, ...]
    there: tuple[str, ...]
    pairs: Pairs
    how: str = "given"

    def __post_init__(self) -> None:
        for place, (which, tokens) in enumerate((("first", self.here), ("second", self.there))):
            for position in (pair[place] for pair in self.pairs):
                if not 0 <= position < len(tokens):
                    raise UsageError(
                        f"The {which} prompt has no position {position}: its {len(tokens)} tokens are at 0 to"
                        f" {len(tokens) - 1}."
                    )
        for (p, q), (r, s) in pairwise(self.pairs):
            if p >= r or q >= s:
                raise UsageError(
                    f"The pairs {p}:{q} and {r}:{s} do not both go forward: give each position once, in the"
                    " order of both prompts."
                )

    @classmethod
    def of(cls, here: Sequence[str], there: Sequence[str], align: Align = "end") -> Alignment:
        """Gives the alignment of two prompts.

        Args:
            here: tokens of the first prompt.
            there: tokens of the second.
            align: `end` counts from the last token back, `start` from the first on. `text` pairs the
                longest runs of equal tokens (difflib); of what was replaced by something else in between,
                the last tokens are paired as far as both go, for a word in several tokens is understood
                at its last. Or the pairs themselves, ascending.

        Raises:
            UsageError: no such way, or pairs that do not go forward.
        """
        n, m = len(here), len(there)
        if not isinstance(align, str):
            pairs, how = tuple((int(p), int(q)) for p, q in align), "given"
        elif align == "start":
            pairs, how = tuple((i, i) for i in range(min(n, m))), align
        elif align == "end":
            pairs, how = tuple((n - k, m - k) for k in range(min(n, m), 0, -1)), align
        elif align == "text":
            pairs, how = _by_text(here, there), align
        else:
            near = near_matches(align, WAYS)
            raise UsageError(
                f"Prompts cannot be aligned by {align!r}: take end, start or text, or give pairs such as"
                f" 3:4,5:5.{near}"
            )
        return cls(tuple(here), tuple(there), pairs, how)

    @classmethod
    def of_graphs(cls, graph: Graph, other: Graph, align: Align = "end") -> Alignment:
        """Gives the alignment of two graphs' prompts; see `of`."""
        return cls.of(tokens_of(graph), tokens_of(other), align)

    @cached_property
    def forward(self) -> dict[int, int]:
        """Gives, for a position of the first prompt, its partner in the second."""
        return dict(self.pairs)

    @cached_property
    def back(self) -> dict[int, int]:
        """Gives, for a position of the second prompt, its partner in the first."""
        return {q: p for p, q in self.pairs}

    @property
    def only_here(self) -> tuple[int, ...]:
        """Gives the positions of the first prompt that have no partner."""
        return tuple(p for p in range(len(self.here)) if p not in self.forward)

    @property
    def only_there(self) -> tuple[int, ...]:
        """Gives the positions of the second prompt that have no partner."""
        return tuple(q for q in range(len(self.there)) if q not in self.back)

    @property
    def changed(self) -> Pairs:
        """Gives the pairs whose tokens differ."""
        return tuple((p, q) for p, q in self.pairs if self.here[p] != self.there[q])

    def turned(self) -> Alignment:
        """Gives the same alignment with the prompts exchanged."""
        return Alignment(self.there, self.here, tuple((q, p) for p, q in self.pairs), self.how)

    def place(self, position: int) -> int:
        """Gives where a position of the second prompt stands among those of the first.

        That of its partner; positions without one come after the end of the first prompt, so that no two
        things ever share a place.
        """
        found = self.back.get(position)
        return len(self.here) + self.only_there.index(position) if found is None else found

    def merged(self) -> tuple[str, ...]:
        """Gives the tokens at every `place`: those of the first prompt, then those only in the second."""
        return (*self.here, *(self.there[q] for q in self.only_there))

    def renamed(self, name: str) -> str:
        """Gives what the second prompt's node, head or score is called at the places of the first.

        Example:
            >>> Alignment.of(("The", " big", " cat"), ("A", " cat"), "end").renamed("12/4051@1")
            '12/4051@2'
        """
        stem, at, places = name.rpartition("@")
        if not at or not _PLACES.fullmatch(places):
            return name
        known = len(self.there)
        return f"{stem}@" + _NUMBER.sub(
            lambda found: str(self.place(int(found[0]))) if int(found[0]) < known else found[0], places
        )


_PLACES: Final = re.compile(r"\d+(?:,\d+(?:-\d+)?)?")
_NUMBER: Final = re.compile(r"\d+")


def parse_align(text: str) -> Align:
    """Gives the alignment written on a command line: `end`, `start`, `text`, or pairs such as `3:4,5:5`.

    Raises:
        UsageError: it is neither.

    Example:
        >>> parse_align("3:4,5:5")
        ((3, 4), (5, 5))
    """
    found = [_PAIR.fullmatch(part) for part in text.split(",")]
    if ":" in text and all(found):
        return tuple((int(one[1]), int(one[2])) for one in found if one)
    if ":" in text:
        raise UsageError(
            f"{text!r} are no pairs of positions: write first:second,first:second as in 3:4,5:5."
        )
    return Alignment.of((), (), text.strip()).how  # refuses any other word


def tokens_of(graph: Graph) -> tuple[str, ...]:
    """Gives the tokens of a graph's prompt; empty texts, one a position, where the graph does not say."""
    prompt = graph.meta.get("prompt") or {}
    tokens = tuple(str(token) for token in prompt.get("tokens") or ())
    last = graph.nodes["pos"].max()
    return tokens or ("",) * (int(last) + 1 if isinstance(last, int) else 0)


def _by_text(here: Sequence[str], there: Sequence[str]) -> Pairs:
    matcher = SequenceMatcher(None, list(here), list(there), autojunk=False)
    found: list[tuple[int, int]] = []
    for what, a, b, c, d in matcher.get_opcodes():
        if what in ("equal", "replace"):
            found += [(b - k, d - k) for k in range(min(b - a, d - c), 0, -1)]
    return tuple(found)
