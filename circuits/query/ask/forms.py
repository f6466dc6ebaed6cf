"""The forms of questions, listed for people; and the form nearest to a sentence that is none."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lark.exceptions import LarkError

from circuits.errors import CircuitsError
from circuits.query.ask.grammar import QUOTED, joining, read
from circuits.query.ask.question import OUTPUT, Question, tidy


@dataclass(frozen=True)
class Form:
    """A kind of question.

    Attributes:
        says: what it answers.
        ways: how it is asked, words in capitals standing for what the user names (`SLOTS`).
    """

    says: str
    ways: tuple[str, ...]


SLOTS: Final = {
    "X": "an output or a feature: Austin, 12/4051@7; the heaviest output where it is left out",
    "Y": "another output",
    "A": 'a node, a feature, a concept, a label, a word of the prompt: 12/4051@7, texas, " Dallas"',
    "B": "another of the same",
    "N": "a number",
    "P": "a share: 80%",
    "L": "a layer, or from one to another: 3..5",
    "RUN2": "another run's directory",
}
"""What stands for what in a form."""

FORMS: Final = (
    Form("what made the model say X, or say X rather than Y", ("why X", "why X over Y", "why X not Y")),
    Form(
        "what acts only together, and as which gate",
        ("which pairs drive X", "which triples drive X", "which combinations drive X"),
    ),
    Form(
        "whether what A does needs B, and B needs A",
        ("does A need B", "does A need B for X", "what does A need", "what does A need for X"),
    ),
    Form(
        "what is lost when these are off, and whether they stood in for each other",
        ("what breaks if A is off", "what breaks if A and B are off", "what breaks if A is off for X"),
    ),
    Form(
        "what X becomes, as the graph predicts",
        (
            "what if A is off",
            "what if A is doubled",
            "what if A is set to N",
            "what if A and B are off",
            "what if A is off and B is doubled",
            "what happens to X if A is scaled by N",
            "what happens to X if A is raised by N",
        ),
    ),
    Form(
        "the strongest paths, exactly, with their share of the effect",
        (
            "paths from A to X",
            "paths to X",
            "paths from A to X top N",
            "paths from A to X through layer L",
            "paths from A to X through layer L top N",
        ),
    ),
    Form(
        "the fewest nodes or edges through which all of it runs",
        (
            "what carries A to X",
            "what carries A to X by edges",
            "cut X from A",
            "cut X from A by nodes",
            "cut X from A by edges",
        ),
    ),
    Form(
        "a smallest set that keeps a share of X, or without which it is lost",
        (
            "smallest set for P of X",
            "smallest set for X",
            "what is necessary for X",
            "what is necessary for P of X",
        ),
    ),
    Form(
        "features that do alike, here or in another run; how alike two runs are",
        ("what is like A", "what is like A in run RUN2", "how alike are this and RUN2"),
    ),
    Form(
        "how much of X runs through what the features do not explain, and where",
        ("what is unexplained", "what is unexplained of X"),
    ),
    Form(
        "what differs between two runs, and what of the difference each part makes",
        (
            "compare with RUN2",
            "compare X with RUN2",
            "compare X with Y in run RUN2",
            "compare with RUN2 aligned by start",
        ),
    ),
    Form("the concepts the run has", ("which concepts are there",)),
)
"""Every kind of question and how it is asked."""

_WORD = re.compile(rf"(?:{QUOTED}|[^\s,])+|,")
_SKIPPED, _ADDED, _WRONG, _OPEN = 0.5, 0.8, 1.2, 0.4
"""Costs: a word of the form left out, one of the sentence left out, one put for another, an open slot."""

_NUMBERS: Final = {
    "N": r"-?\d{1,9}(\.\d+)?",
    "P": r"\d+(\.\d+)?%|0\.\d+",
    "L": r"\d{1,9}((\.\.|-)\d{1,9})?",
}
"""Slots that only a number fills, and how it is written."""


@dataclass(frozen=True)
class Near:
    """The form nearest to a sentence, its slots filled from it.

    Attributes:
        text: the sentence meant, perhaps.
        cost: how far it is from what was written.
        whole: every slot is filled: it can be asked as it stands.
    """

    text: str
    cost: float
    whole: bool


def nearest(sentence: str) -> Near:
    """Gives the form nearest to a sentence, by the least number of words changed (edit distance).

    Words of the form count as the same in part where they are spelt alike; what is left fills the slots.
    """
    words = [_closed(word) for word in _WORD.findall(sentence)]
    found = (near for form in FORMS for way in form.ways if (near := _fitted(words, way)))
    return min(found, key=lambda near: near.cost)


def _closed(word: str) -> str:
    """Gives a word without a quotation mark that nothing closes."""
    return word if re.search(QUOTED, word) else word.strip('"“”„«»') or word


def _fitted(words: Sequence[str], way: str) -> Near | None:
    """Gives a form with the sentence's words in its slots, None where that is no question after all."""
    parts = way.split()
    cost, filled = _aligned(words, parts)
    said, whole = [], True
    for place, part in enumerate(parts):
        if part not in SLOTS:
            said.append(part)
            continue
        value = " ".join(filled.get(place, ()))
        if not value:
            whole = whole and part == "X"
            value = OUTPUT if part == "X" else part
        elif part not in _NUMBERS and value.casefold() != OUTPUT:
            value = tidy(value)
        said.append(value)
    text = " ".join(said)
    question = readable(text) if whole else None
    if question is None:
        return None if whole else Near(way, cost, whole=False)
    return Near(question.text() if len(question.text()) < len(text) else text, cost, whole=True)


def readable(sentence: str) -> Question | None:
    """Gives the question of a sentence, None where it is none."""
    try:
        return read(sentence)
    except (LarkError, CircuitsError):
        return None


def _aligned(words: Sequence[str], parts: Sequence[str]) -> tuple[float, dict[int, list[str]]]:
    """Gives the least cost of reading the words as the parts of a form, and which words fill which slot."""
    best: list[list[tuple[float, tuple[int, int, str]]]] = [
        [(math.inf, (0, 0, ""))] * (len(parts) + 1) for _ in range(len(words) + 1)
    ]
    best[0][0] = (0.0, (0, 0, ""))
    for i in range(len(words) + 1):
        for j in range(len(parts) + 1):
            for cost, (di, dj), step in _steps(words, parts, i, j):
                total = best[i - di][j - dj][0] + cost
                if total < best[i][j][0]:
                    best[i][j] = (total, (di, dj, step))
    filled: dict[int, list[str]] = {}
    i, j = len(words), len(parts)
    while i or j:
        di, dj, step = best[i][j][1]
        if step:
            filled.setdefault(j - 1, []).insert(0, words[i - 1])
        i, j = i - di, j - dj
    return best[-1][-1][0], filled


def _steps(
    words: Sequence[str], parts: Sequence[str], i: int, j: int
) -> Iterator[tuple[float, tuple[int, int], str]]:
    """Gives the last steps of reading i words as j parts: cost, words and parts taken, "slot" or ""."""
    if i:
        yield _ADDED, (1, 0), ""
    if j:
        yield (_OPEN if parts[j - 1] in SLOTS else _SKIPPED), (0, 1), ""
    if i and j:
        word, part = words[i - 1], parts[j - 1]
        if part not in SLOTS:
            yield _change(word, part), (1, 1), ""
            return
        fits = _fit(word, part)
        yield fits, (1, 1), "slot"
        if part not in _NUMBERS:
            yield fits + 0.3, (1, 0), "slot"  # one more word of the same name


def _change(word: str, part: str) -> float:
    if word.casefold() == part:
        return 0.0
    alike = difflib.SequenceMatcher(None, word.casefold(), part).ratio()
    return 1.15 - alike if alike > 0.5 else _WRONG


def _fit(word: str, slot: str) -> float:
    """Gives how badly a word fills a slot: a number must be one, a word of the grammar is seldom a name."""
    if slot in _NUMBERS:
        return 0.0 if re.fullmatch(_NUMBERS[slot], word) else math.inf
    return 0.8 if word.casefold() in joining() or word == "," else 0.0
