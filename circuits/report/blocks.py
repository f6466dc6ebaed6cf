"""What a report is made of: sections of plain records, which a page, Markdown and print all show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from markupsafe import Markup

from circuits.report.tables import Table


@dataclass(frozen=True)
class Prompt:
    """A prompt's tokens, each with a shade from 0 to 1 and what is said of it; `name` where there are two."""

    kind: ClassVar = "prompt"
    name: str
    tokens: tuple[Mapping[str, Any], ...]
    note: str


@dataclass(frozen=True)
class Finding:
    """The finding: a few sentences to begin with, and the rest."""

    kind: ClassVar = "finding"
    first: tuple[str, ...]
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Badge:
    """One word on how far to trust the answer.

    Attributes:
        word: confirmed, partial, weak, untested or refuted.
        meaning: in a sentence.
        numbers: what it stands on: name, number as text, exact number.
        rule: how the word follows from them.
        name: of the run, where a report is of two and this is the less to be trusted.
    """

    kind: ClassVar = "badge"
    word: str
    meaning: str
    numbers: tuple[tuple[str, str, float | None], ...]
    rule: str
    name: str = ""


@dataclass(frozen=True)
class Shares:
    """Shares that add up to 1, as a bar: name, share, text, look."""

    kind: ClassVar = "shares"
    title: str
    parts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Scores:
    """Numbers with what each means: score, share, text, meaning."""

    kind: ClassVar = "scores"
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Picture:
    """A figure: the drawing, how it is set ("scroll", "small"), its name, and what stands below it."""

    kind: ClassVar = "picture"
    svg: Markup
    look: str
    caption: str
    name: str = "picture"


@dataclass(frozen=True)
class Text:
    """Sentences as paragraphs; `look` is "note" or "prose"; with a heading of its own if it has one."""

    kind: ClassVar = "text"
    sentences: tuple[str, ...]
    look: str = "note"
    heading: str = ""


@dataclass(frozen=True)
class Code:
    """Lines to copy: a command, or Python."""

    kind: ClassVar = "code"
    text: str
    note: str = ""
    language: str = "sh"


@dataclass(frozen=True)
class Terms:
    """Terms with what they mean."""

    kind: ClassVar = "terms"
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """Names with values, folded away."""

    kind: ClassVar = "facts"
    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class FeatureCards:
    """Cards of features, the most influential first, each folded."""

    kind: ClassVar = "cards"
    cards: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Viewer:
    """The interactive graph; `still` stands in its place where no script runs, and on paper."""

    kind: ClassVar = "viewer"
    still: Picture


@dataclass(frozen=True)
class Downloads:
    """Buttons that give the numbers as files, a row for each run by name."""

    kind: ClassVar = "downloads"
    names: tuple[str, ...]


@dataclass(frozen=True)
class TableBlock:
    """A table; with a heading of its own where `titled`."""

    kind: ClassVar = "table"
    table: Table
    titled: bool = True


Block = (
    Prompt
    | Finding
    | Badge
    | Shares
    | Scores
    | Picture
    | Text
    | Code
    | Terms
    | Facts
    | FeatureCards
    | Viewer
    | Downloads
    | TableBlock
)


@dataclass(frozen=True)
class Section:
    """A part of the report under a heading; `name` is its place in the page's address."""

    name: str
    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: the question.
        subtitle: model, dictionary, size of the graph.
        sections: in their order.
        document: what the interactive graph reads; None where there shall be none.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    document: Mapping[str, Any] | None = None
