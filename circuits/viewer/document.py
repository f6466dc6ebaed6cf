"""A graph as the JSON document the viewer reads; `app/src/document.ts` says what each part is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.query.answer import Answer


@dataclass(frozen=True)
class Shown:
    """How much of a graph goes into a document; what is left out is said in it.

    Attributes:
        nodes: the most nodes, by influence; all where none exceeds this.
        edges: the most edges among them, by their share of what flows into their target.
        hyperedges: the most combinations, by the share of what moves their target.
        cards: the most feature cards, by the influence of their feature.
    """

    nodes: int = 2_000
    edges: int = 20_000
    hyperedges: int = 300
    cards: int = 1_500


def document(
    graph: Graph,
    *,
    answer: Answer | None = None,
    against: Graph | None = None,
    cards: Cards | None = None,
    shown: Shown = Shown(),  # frozen
    name: str | None = None,
) -> dict[str, Any]:
    """Gives the viewer's document of a graph, or of two.

    Args:
        graph: the graph.
        answer: the answer it is shown with.
        against: a second graph to compare with.
        cards: cards of the dictionary's features.
        shown: how much of the graph goes in.
        name: how the run is called.
    """
    raise NotImplementedError


def embedded(told: Mapping[str, Any]) -> Markup:
    """Gives a document as the inside of `<script type="application/json">`, which nothing in it can end."""
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # escaped just above
