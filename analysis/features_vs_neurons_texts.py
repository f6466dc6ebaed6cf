"""The texts that concepts are made of: passages of many groups, among them hard negatives, in three splits.

A *group* is one kind of text. Every passage is cut from one document of the corpus. The search and
validation splits take different documents of the training text, the test split documents of the held-out
text, which neither the model nor a dictionary has seen. What is made from a text (shuffled bases, other
letters, capitals) stays in the split of its document.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

SPLITS: Final = ("search", "validation", "test")
LENGTH: Final = 64
"""Tokens of a passage, the beginning-of-text token included."""
READ_FIRST: Final = 8
"""Tokens of a passage that no text concept is scored on: too little has been read there."""
COUNTS: Final = {"search": 30, "validation": 20, "test": 40}
NAMED: Final = {"search": 500, "validation": 300, "test": 700}
CHARACTERS: Final = 420  # about a passage; Arabic and DNA have fewer letters to a token

GOD: Final = re.compile(r"\b(gods?|goddess(es)?|deity|deities|heavens?|lord|mytholog\w+)\b", re.I)
GENES: Final = re.compile(r"\b(genes?|genetic\w*|chromosom\w+|DNA|RNA|nucleotid\w+|genom\w+|ribosom\w+)\b")
ARABIC: Final = "ابتثجحخدذرزسشصضطظعغفقكلمنهويىءآأإؤئة"
LATIN: Final = dict(zip(ARABIC, "abtvjHxd*rzs$SDTZEgfqklmnhwyY'|><}&p", strict=True))  # Buckwalter's
HEBREW: Final = dict(zip(ARABIC, "אבתתגחכדדרזסשצצטטעגפקכלמנהויאאאאאואה", strict=True))

Make = Callable[[str, random.Random], str | None]
"""Gives a passage's text from a document's, or None where the document has none."""


@dataclass(frozen=True)
class Passage:
    """One run of text.

    Attributes:
        group: what it is.
        split: which split its document is in.
        document: the document, the same for all passages made from it.
        ids: its tokens, the beginning-of-text token first.
    """

    group: str
    split: str
    document: int
    ids: tuple[int, ...]


def window(text: str, dice: random.Random) -> str:
    """Gives a piece of a text from a random word on."""
    at = dice.randrange(max(1, len(text) - CHARACTERS))
    space = text.find(" ", at)
    return text[space + 1 if 0 <= space < at + 40 else at :][:CHARACTERS]


def around(pattern: re.Pattern[str]) -> Make:
    """Gives what cuts a piece in which a pattern stands, some words after its beginning."""

    def make(text: str, dice: random.Random) -> str | None:
        found = [m.start() for m in pattern.finditer(text) if 60 < m.start() < len(text) - 60]
        if not found:
            return None
        at = text.find(" ", max(0, dice.choice(found) - 60))
        return text[at + 1 :][:CHARACTERS]

    return make


def entries(pattern: re.Pattern[str], between: str) -> Make:
    """Gives what keeps the entries of a document in which a pattern stands."""

    def make(text: str, dice: random.Random) -> str | None:  # noqa: ARG001
        return " ".join(part for part in re.split(between, text) if pattern.search(part)) or None

    return make


def neutral(text: str, dice: random.Random) -> str | None:
    """Gives a piece of a text in which neither gods nor genes stand."""
    return None if GOD.search(text) or GENES.search(text) else window(text, dice)


def prose(text: str, dice: random.Random) -> str | None:
    """Gives paragraphs of documentation that hold no code and no reference."""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    plain = [p for p in paragraphs if len(p) > 80 and not re.search(r"[=<>_{}\[\]]|\(\)|>>>|Node:|\.\.\.", p)]
    return window(" ".join(plain), dice) if plain else None


def symbols(text: str, dice: random.Random) -> str:
    """Gives prose with a programmer's punctuation after every other word, at random."""
    marks = ("()", ":", "=", "==", "[]", "{}", ".", ",", " +", " -", " *", "_", "#", '"', "'", " ->")
    words = window(text, dice).split()
    return " ".join(word + (dice.choice(marks) if dice.random() < 0.5 else "") for word in words)


def identifiers(text: str, dice: random.Random) -> str | None:
    """Gives a module's longer names in random order, run together."""
    found = sorted(set(re.findall(r"[A-Za-z_][A-Za-z0-9_]{5,}", text)))
    return "".join(dice.sample(found, len(found)))[:CHARACTERS] if len(found) > 20 else None


def bases(text: str, dice: random.Random) -> str:
    """Gives a run of a sequence, its header left out."""
    letters = text.split("\n")[-1]
    at = dice.randrange(max(1, len(letters) - 150))
    return letters[at : at + 150]


def shuffled(text: str, dice: random.Random) -> str:
    """Gives the same bases in random order: the composition of the sequence, and nothing else of it."""
    letters = list(bases(text, dice))
    dice.shuffle(letters)
    return "".join(letters)


def letters(table: Mapping[str, str]) -> Make:
    """Gives what writes Arabic in other letters."""
    return lambda text, dice: "".join(
        table.get(letter, letter) for letter in window(text, dice)[:220] if letter == " " or letter in table
    )


def plain_code(text: str, dice: random.Random) -> str | None:
    """Gives code without docstrings and comments, which are prose."""
    if '"""' in text or "'''" in text:
        return None
    lines = [line for line in text.split("\n")[1:-1] if line.strip() and "#" not in line]
    if len(lines) < 20:
        return None
    at = dice.randrange(len(lines) - 12)
    return "\n".join(lines[at : at + 24])[:CHARACTERS]


def encoded(pattern: str) -> Make:
    """Gives what takes a piece of a document made of some characters only."""
    whole = re.compile(pattern)
    return lambda text, dice: window(text, dice)[:200] if whole.fullmatch(text) else None


GROUPS: Final[Mapping[str, tuple[tuple[str, Make], ...]]] = {
    "scripture": (("scripture", window),),
    "literature": (("literature", window),),
    "god in literature": (("literature", around(GOD)),),
    "god in definitions and quotations": (
        ("definitions", entries(GOD, r"(?<=\.) (?=[^:.;\"]{1,40}: )")),
        ("quotations", entries(re.compile(r"\b([Gg]ods?|Lord|heaven)\b"), "\n\n")),
    ),
    "genetics prose": (("definitions", entries(GENES, r"(?<=\.) (?=[^:.;\"]{1,40}: )")),),
    "DNA": (("dna", bases),),
    "random ACGT": (("dna", shuffled),),
    "code": (("code", plain_code),),
    "documentation prose": (("docs", prose),),
    "prose with symbols": (("quotations", symbols),),
    "arithmetic": (("arithmetic", window),),
    "identifiers": (("code", identifiers),),
    "Arabic": (("arabic", lambda text, dice: window(text, dice)[:220]),),
    "Arabic in Latin letters": (("arabic", letters(LATIN)),),
    "Arabic in Hebrew letters": (("arabic", letters(HEBREW)),),
    "base64": (("encoded", encoded(r"[A-Za-z0-9+/=]*[G-Zg-z+/][A-Za-z0-9+/=]*")),),
    "hex": (("encoded", encoded(r"[0-9a-f]+")),),
    "CAPITALS": (("quotations", lambda text, dice: window(text, dice).upper()),),
    "lower case": (("quotations", lambda text, dice: window(text, dice).lower()),),
    "neutral": (("definitions", neutral), ("quotations", neutral)),
    "geography": (("geography", lambda text, dice: text),),  # noqa: ARG005
}
"""Every group: the domains it is cut from, and how."""


def passages(work: Path) -> list[Passage]:
    """Gives the passages of all groups and splits, the same for the same corpus.

    Args:
        work: the directory of `data/build_corpus.py`.
    """
    from transformers import AutoTokenizer  # the tests of what is cut need none

    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    train, held_out = np.load(work / "train.npz"), np.load(work / "held_out.npz")
    documents = {
        domain: {
            "search": _documents(train[domain])[0::2],
            "validation": _documents(train[domain])[1::2],
            "test": _documents(held_out[domain]),
        }
        for domain in sorted({domain for parts in GROUPS.values() for domain, _ in parts})
    }
    return [
        passage
        for group, parts in GROUPS.items()
        for domain, make in parts
        for split, found in documents[domain].items()
        for passage in _cut(tokenizer, found, (group, domain, split), make)
    ]


def _documents(ids: np.ndarray) -> list[np.ndarray]:
    """Gives the documents of a domain, each begun by the token that begins them all."""
    return np.split(ids, np.flatnonzero(ids == ids[0])[1:])


def _cut(
    tokenizer: Any, documents: list[np.ndarray], where: tuple[str, str, str], make: Make
) -> Iterator[Passage]:
    """Yields the passages of one group, domain and split, one a document, as many as are wanted."""
    group, domain, split = where
    wanted = (NAMED if group == "geography" else COUNTS)[split]
    for number, document in enumerate(documents):
        # drawn anew for each document, so that groups of one domain cut the same pieces
        key = zlib.crc32(f"{domain} {split} {number}".encode())
        made = make(tokenizer.decode(document[1:]), random.Random(key))
        ids = tuple(tokenizer(made)["input_ids"][:LENGTH]) if made else ()
        if len(ids) > READ_FIRST + 8:
            yield Passage(group, split, key, ids)
            wanted -= 1
        if not wanted:
            return
