"""A graph as the JSON document the viewer reads; `app/src/document.ts` says what each part is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from markupsafe import Markup

from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.viewer.answers import answered
from circuits.viewer.compared import diff_part, focused
from circuits.viewer.focus import Focus
from circuits.viewer.part import USUAL, Shown, graph_part

FORMAT: Final = "circuits-viewer"
VERSION: Final = 1


def document(
    graph: Graph,
    *,
    answer: Answer | None = None,
    against: Graph | None = None,
    cards: Cards | None = None,
    shown: Shown = USUAL,
    name: str | None = None,
) -> dict[str, Any]:
    """Gives the viewer's document of a graph, or of two: plain lists, texts and numbers, as JSON has them.

    What is explained is the target of the answer, where it has one, else the graph's heaviest; of two graphs
    it is what `circuits.contrast` compares.

    Args:
        graph: the graph.
        answer: the answer it is shown with.
        against: a second graph to compare with.
        cards: cards of the dictionary's features; those that lie beside it unless given.
        shown: how much of the graph goes in.
        name: how the run is called; its folder's name unless given.

    Raises:
        Incompatible: the features of the two graphs come from different dictionaries.
        NotFound, UsageError: there is nothing in the two that could be compared (`circuits.contrast`).

    Example:
        >>> document(circuits.load_run("run/dallas"))["graph"]["totals"]  # doctest: +SKIP
        {'nodes': 628, 'edges': 68739, 'hyperedges': 8337, 'cards': 491}
    """
    second = pair = None
    if against is None:
        focus = Focus.of(graph, answer)
    else:
        focus, second, pair = focused(graph, against, answer)
    named = [] if answer is None else answer.highlight.nodes["node"].to_list()
    mine, part = graph_part(focus, named, cards, shown, name)
    theirs = diff = None
    if second is not None and pair is not None:
        turned = pair.alignment.turned()
        partners = [turned.renamed(node) for node in named]
        theirs, other = graph_part(second, partners, cards, shown, None)
        diff = diff_part(pair, (part, other), answer)
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": answer.question if answer is not None else mine["prompt"] or mine["name"],
        "graph": mine,
        "against": theirs,
        "diff": diff,
        "answer": None if answer is None else answered(answer),
    }


def embedded(told: Mapping[str, Any]) -> Markup:
    """Gives a document as the inside of `<script type="application/json">`, which nothing in it can end."""
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # escaped just above
