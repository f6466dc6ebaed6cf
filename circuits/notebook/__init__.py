"""Notebook manners: a graph or an answer as a small static picture and table, and the interactive widget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuits.errors import MissingPackage
from circuits.graph.graph import Graph
from circuits.notebook.html import answer_html, graph_html
from circuits.query.answer import Answer

if TYPE_CHECKING:
    from circuits.notebook.live import GraphWidget

__all__ = ["answer_html", "graph_html", "widget"]

HEIGHT = 560
"""Pixels of a widget unless asked otherwise."""


def widget(
    graph: Graph, *, against: Graph | None = None, answer: Answer | None = None, height: int = HEIGHT
) -> GraphWidget:
    """Gives the interactive graph for a notebook: Jupyter, VS Code, Colab, marimo.

    Its traits go both ways: what is clicked can be read, and what is set is shown.

    Args:
        graph: the graph.
        against: a second graph, to show what differs.
        answer: an answer to show beside it; its target is what is explained.
        height: in pixels.

    Raises:
        MissingPackage: anywidget is not installed.
        UsageError: the height is below 200 pixels.
        Incompatible: the features of the two graphs come from different dictionaries.

    Example:
        >>> shown = widget(graph)  # doctest: +SKIP
        >>> shown.selected = "12/4051@7"  # doctest: +SKIP
        >>> shown.pinned  # doctest: +SKIP
        ['12/4051@7', 'tok@3']
    """
    try:
        from circuits.notebook.live import GraphWidget
    except ImportError as cause:
        raise MissingPackage(
            "The interactive graph needs anywidget: pip install 'clearbox-circuits[notebook]'."
        ) from cause
    return GraphWidget.of(graph, against=against, answer=answer, height=height)
