"""The page of one graph: answer, trust, picture, tables, method, how to run it again."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

import jinja2
from markupsafe import Markup

from circuits.files import atomic
from circuits.graph.graph import Graph
from circuits.plot.network import network
from circuits.plot.waterfall import waterfall
from circuits.query.answer import Answer
from circuits.query.findings import TRUST
from circuits.query.subject import Subject
from circuits.query.text import Naming, held
from circuits.query.why import why
from circuits.report import sections
from circuits.report.combinations import combination_tips, pictures, terms
from circuits.report.picture import themed


def report(graph: Graph, *, answer: Answer | None = None, nodes: int = 40, title: str | None = None) -> str:
    """Gives one self-contained HTML page about a graph.

    It needs no network and no script to be read, follows the reader's light or dark scheme, and
    prints. Every text from outside (tokens, labels, `meta`) is escaped.

    Args:
        graph: the graph.
        answer: an answer from this graph; `why(graph)` unless given.
        nodes: how many nodes the picture shows besides the target.
        title: the page's title; the answer's question unless given.

    Raises:
        UsageError: the graph has no target that could be explained.

    Example:
        >>> page = report(graph)  # doctest: +SKIP
    """
    answer = answer or why(graph)
    focus = _focus(graph, answer)
    naming = Naming.of(focus)
    table = answer.tables.get("totals")
    drawn = network(focus, nodes=nodes)
    tips = sections.tips(focus) | combination_tips(answer)
    return _template().render(
        title=title or answer.question,
        question=answer.question,
        lead=answer.finding[0] if answer.finding else "",
        finding=[s for s in answer.finding[1:] if s != answer.meta.get("trust")],
        trust=_capital(str(answer.meta.get("trust") or "").removeprefix(f"{TRUST}: ")),
        subtitle=sections.subtitle(focus),
        words=sections.words(naming, answer),
        ends=sections.ends(answer),
        scores=sections.scores(answer),
        picture=themed(drawn, "net", tips, sections.alternative(answer)),
        diamonds=any(str(shape.get_gid()).startswith("hyperedge:") for shape in drawn.patches),
        sum=themed(waterfall(table), "sum", {}, "The same totals as bars.") if table is not None else None,
        combinations=pictures(focus, answer),
        tables=sections.tables(answer),
        method=[*sections.method(focus), *terms(focus)],
        facts=sections.facts(focus),
        command=focus.meta.get("command"),
        code=answer.code,
        css=Markup(_read("page.css")),  # noqa: S704  # our own file, nothing from outside
        js=Markup(_read("page.js")),  # noqa: S704  # the same
    )


def save_report(
    graph: Graph,
    path: str | os.PathLike[str],
    *,
    answer: Answer | None = None,
    nodes: int = 40,
    title: str | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes the page of a graph to a file, whole or not at all; see `report`.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        WriteFailed: the disk refused.
    """
    path = Path(path)
    with atomic(path, overwrite=overwrite) as temporary:
        page = report(graph, answer=answer, nodes=nodes, title=title)
        temporary.write_text(page, encoding="utf-8")
    return path


def _focus(graph: Graph, answer: Answer) -> Graph:
    """Gives the graph with the answer's target as its only one, where the answer has one."""
    asked = answer.meta.get("asked")
    return Subject.of(graph, asked["target"], asked["over"]).graph if asked else graph


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _read(name: str) -> str:
    return resources.files("circuits.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["held"] = held
    return environment.from_string(_read("template.html"))
