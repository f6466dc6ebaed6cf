"""From a sentence to a question, by the grammar in `questions.lark` (LALR, lark)."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, Literal

from lark import Lark, Token, Transformer

from circuits.query.ask.question import Question
from circuits.query.ask.questions import (
    Act,
    Breaks,
    Combinations,
    Concepts,
    Contrast,
    Cuts,
    Minimal,
    Needs,
    Paths,
    Similar,
    Unexplained,
    WhatIf,
    Why,
)

QUOTED: Final = r'"(?:[^"\\]|\\.)*"|(?<!\S)\'[^\']*\'(?!\w)|“[^”]*”|(?<!\S)‘[^’]*’(?!\w)|„[^“”]*[“”]|«[^»]*»'
"""Text in quotation marks; single ones count at the start of a word only, for there are apostrophes."""

_SPACES = re.compile(rf"({QUOTED})|\s+")
_END = re.compile(r"\s*[?!]+\s*$|(?<=[^\s./])\.\s*$")
NAME: Final = "ATOM"
"""The terminal that names are made of."""


def plain(text: str) -> str:
    """Gives a sentence with single spaces outside quotes, without its question mark or full stop."""
    return _END.sub("", _SPACES.sub(lambda found: found[1] or " ", text).strip()).strip()


def read(sentence: str) -> Question:
    """Gives the question of a `plain` sentence.

    Raises:
        lark.exceptions.LarkError: it is none; `VisitError` where it is, but of nonsense.
    """
    found: Question = _Reader().transform(parser().parse(sentence))
    return found


@functools.cache
def parser() -> Lark:
    """Gives the parser, made once."""
    return Lark.open(
        "questions.lark", rel_to=__file__, parser="lalr", lexer="contextual", maybe_placeholders=True
    )


@functools.cache
def words_of(terminal: str) -> frozenset[str]:
    """Gives the words by which a terminal of the grammar can begin or go on, in small letters."""
    pattern = next(t.pattern.to_regexp() for t in parser().terminals if t.name == terminal)
    spelt = re.sub(r"\\.|\(\?[a-z]*:?", " ", pattern.casefold())
    plural = {found[:-2] for found in re.findall(r"[a-z]{3,}\?", spelt)}  # needs? is need too
    return frozenset(re.findall(r"[a-z]{2,}", spelt)) | plural


@functools.cache
def joining() -> frozenset[str]:
    """Gives every word that has a meaning somewhere in the grammar, in small letters."""
    return frozenset().union(*(words_of(t.name) for t in parser().terminals if t.name != NAME))


class _Reader(Transformer[Token, Any]):
    """Makes the question of a parse tree; an optional part that is not there comes as None."""

    def start(self, parts: Sequence[Question]) -> Question:
        return parts[0]

    def name(self, atoms: Sequence[Token]) -> str:
        return " ".join(atoms)

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(names)

    def target(self, parts: Sequence[str]) -> str | None:
        part = parts[0]
        return None if isinstance(part, Token) else part

    def top(self, parts: Sequence[Token]) -> int:
        return int(parts[0])

    def why(self, parts: Sequence[Any]) -> Why:
        target, over, top = parts
        return Why(target, over, _count(top))

    def combinations(self, parts: Sequence[Any]) -> Combinations:
        order, target, kind, top = parts
        size = {"pai": 2, "tri": 3}.get(order[:3].lower())
        return Combinations(target, size, kind and kind.lower(), _count(top))

    def needs(self, parts: Sequence[Any]) -> Needs:
        return Needs(*parts)

    def needs_what(self, parts: Sequence[Any]) -> Needs:
        return Needs(parts[0], None, parts[1])

    def breaks(self, parts: Sequence[Any]) -> Breaks:
        return Breaks(*parts)

    def what_if(self, parts: Sequence[Any]) -> WhatIf:
        return WhatIf(*parts)

    def what_happens(self, parts: Sequence[Any]) -> WhatIf:
        return WhatIf(parts[1], parts[0])

    def acts(self, parts: Sequence[Act]) -> tuple[Act, ...]:
        return tuple(parts)

    def group(self, parts: Sequence[Any]) -> Act:
        names, (done, value) = parts
        return Act(names, done, value)

    def off(self, _: Sequence[Token]) -> tuple[str, float]:
        return "set", 0.0

    def doubled(self, _: Sequence[Token]) -> tuple[str, float]:
        return "scale", 2.0

    def tripled(self, _: Sequence[Token]) -> tuple[str, float]:
        return "scale", 3.0

    def halved(self, _: Sequence[Token]) -> tuple[str, float]:
        return "scale", 0.5

    def set_to(self, parts: Sequence[Token]) -> tuple[str, float]:
        return "set", _number(parts[0])

    def scaled(self, parts: Sequence[Token]) -> tuple[str, float]:
        return "scale", _number(parts[0])

    def raised(self, parts: Sequence[Token]) -> tuple[str, float]:
        return "add", _number(parts[0])

    def lowered(self, parts: Sequence[Token]) -> tuple[str, float]:
        return "add", -_number(parts[0])

    def paths(self, parts: Sequence[Any]) -> Paths:
        before, source, target, layers, after = parts
        return Paths(
            target,
            source,
            None if layers is None else _layers(layers),
            _count(before if after is None else after, 20),
        )

    def carries(self, parts: Sequence[Any]) -> Cuts:
        return Cuts(parts[1], parts[0], _by(parts[2]))

    def carries_all(self, parts: Sequence[Any]) -> Cuts:
        return Cuts(parts[0], None, _by(parts[1]))

    def cut(self, parts: Sequence[Any]) -> Cuts:
        return Cuts(parts[0], parts[1], _by(parts[2]))

    def sufficient(self, parts: Sequence[Any]) -> Minimal:
        return Minimal(parts[1], _share(parts[0]), "sufficient")

    def necessary(self, parts: Sequence[Any]) -> Minimal:
        return Minimal(parts[1], _share(parts[0]), "necessary")

    def similar(self, parts: Sequence[Any]) -> Similar:
        node, run, top = parts
        return Similar(node, run, _count(top))

    def alike(self, parts: Sequence[Any]) -> Similar:
        return Similar(None, parts[0], _count(parts[1]))

    def unexplained(self, parts: Sequence[Any]) -> Unexplained:
        return Unexplained(*parts)

    def compare(self, parts: Sequence[Any]) -> Contrast:
        target, other, run, side, top = parts
        where, other_target = (other, None) if run is None else (run, other)
        return Contrast(where, target, other_target, _side(side), _count(top))

    def differ(self, parts: Sequence[Any]) -> Contrast:
        run, side, top = parts
        return Contrast(run, align=_side(side), top=_count(top))

    def concepts(self, _: Sequence[Any]) -> Concepts:
        return Concepts()


def _count(given: int | None, usual: int = 10) -> int:
    return usual if given is None else given


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _share(text: str | None) -> float:
    if text is None:
        return 0.8
    digits = re.sub(r"\s*(%|percent)$", "", text, flags=re.IGNORECASE)
    return float(Decimal(digits) / (1 if digits == text else 100))


def _layers(text: str) -> tuple[int, int]:
    first, *last = (int(number) for number in re.findall(r"\d+", text))
    return first, last[0] if last else first


def _by(text: str | None) -> Literal["nodes", "edges"]:
    return "edges" if text is not None and text.lower() == "edges" else "nodes"


def _side(text: str | None) -> Literal["start", "end"]:
    return "start" if text is not None and text.lower() == "start" else "end"
