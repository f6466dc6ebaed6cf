"""A report as one HTML file: nothing is loaded, nothing from outside is taken for markup."""

from __future__ import annotations

import functools
from importlib import resources

import jinja2
from markupsafe import Markup

from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.report.blocks import Report
from circuits.report.contents import contents
from circuits.report.material import NODES, Material
from circuits.report.policy import policy, script_tag
from circuits.report.tables import exact
from circuits.report.texts import seen, token, told, visible
from circuits.viewer import embedded, script, style


def report(
    graph: Graph,
    *,
    answer: Answer | None = None,
    against: Graph | None = None,
    cards: Cards | None = None,
    nodes: int = NODES,
    title: str | None = None,
) -> str:
    """Gives one self-contained HTML page about a graph.

    It needs no network and no script to be read, follows the reader's light or dark scheme, and
    prints. Where scripts run, the graph can be explored and its numbers taken along. Every text from
    outside (tokens, labels, `meta`) is escaped, and the page's own policy lets nothing be loaded.

    Args:
        graph: the graph.
        answer: an answer from this graph; `why(graph)` unless given.
        against: a second graph to compare with.
        cards: cards of the dictionary's features; those that lie beside it unless given.
        nodes: how many nodes the still picture shows besides the target.
        title: the page's title; the answer's question unless given.

    Raises:
        UsageError: the graph has no target that could be explained.
        Incompatible: the second graph's features, or the cards, are another dictionary's.

    Example:
        >>> page = report(graph)  # doctest: +SKIP
    """
    material = Material.of(graph, answer=answer, against=against, cards=cards, nodes=nodes, title=title)
    return html(contents(material))


def html(made: Report) -> str:
    """Gives a report as a page; without the interactive graph, and all unfolded, where it has no document."""
    still = made.document is None
    tags: list[Markup] = []
    hashes: list[str] = []
    sheets = [_read("page.css"), _read("print.css")]
    if made.document is not None:
        sheets.insert(0, style())
        data = Markup('<script type="application/json" id="circuits-document">{}</script>')
        for code, module in ((_read("page.js"), False), (script(), True)):
            tag, digest = script_tag(code, module=module)
            tags.append(tag)
            hashes.append(digest)
        tags.insert(0, data.format(embedded(made.document)))
    return (
        _environment()
        .get_template("template.html")
        .render(
            report=made,
            still=still,
            policy=policy(hashes),
            css=Markup("\n".join(sheets)),  # noqa: S704  # our own files, nothing from outside
            scripts=tags,
        )
    )


def _read(name: str) -> str:
    return resources.files("circuits.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_read),
    )
    environment.filters |= {"seen": seen, "told": told, "token": token, "visible": visible, "exact": exact}
    return environment
