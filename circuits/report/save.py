"""Writing a report: as HTML, Markdown or PDF by the file's suffix, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal, get_args

from circuits.cards.record import Cards
from circuits.errors import UsageError, near_matches
from circuits.files import atomic
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.report.contents import contents
from circuits.report.markdown import markdown
from circuits.report.material import Material
from circuits.report.page import html
from circuits.report.pdf import chromium, printed

Format = Literal["html", "md", "pdf"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
_SUFFIXES: Final = {".html": "html", ".htm": "html", ".md": "md", ".markdown": "md", ".pdf": "pdf"}


def save_report(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    answer: Answer | None = None,
    against: Graph | None = None,
    cards: Cards | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a report to a file, whole or not at all: .html (see `report`), .md or .pdf.

    Markdown holds the same sections and tables without pictures; a PDF is the page printed by a Chromium
    on this machine.

    Raises:
        UsageError: another suffix; the graph has no target that could be explained.
        Incompatible: the second graph's features, or the cards, are another dictionary's.
        MissingPackage: a PDF, and no Chromium.
        OutputExists: `path` exists and `overwrite` is false.
        WriteFailed: the disk refused.

    Example:
        >>> save_report(graph, "dallas.html")  # doctest: +SKIP
    """
    where = Path(path)
    how = format_of(where)
    material = Material.of(graph, answer=answer, against=against, cards=cards)
    return write(material, where, how, overwrite=overwrite)


def format_of(path: Path, given: str | None = None) -> Format:
    """Gives the format a file is written in: the one given, else by its suffix.

    Raises:
        UsageError: neither says one of html, md, pdf.
    """
    if given is not None:
        if given not in FORMATS:
            raise UsageError(
                f"A report is written as {', '.join(FORMATS)}, not as {given!r}."
                + near_matches(given, FORMATS)
            )
        return given  # type: ignore[return-value]
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise UsageError(
            f"{path} does not say which kind of report: end it in .html, .md or .pdf, or pass --format."
        )
    return found  # type: ignore[return-value]


def write(material: Material, path: Path, how: Format, *, overwrite: bool = False) -> Path:
    """Writes a report in a format, whole or not at all; see `save_report`."""
    browser = chromium() if how == "pdf" else None  # refused before any work
    with atomic(path, overwrite=overwrite) as temporary:
        made = contents(material, interactive=how == "html")
        if how == "pdf":
            printed(html(made), temporary, browser=browser)
        else:
            temporary.write_text(html(made) if how == "html" else markdown(made), encoding="utf-8")
    return path
