"""What a report is made from: a graph and its answer, a second graph, cards; what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from circuits.cards.record import Cards
from circuits.errors import CircuitsError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.contrast import contrast
from circuits.query.subject import Subject
from circuits.query.why import why
from circuits.viewer import Shown, document
from circuits.viewer.cards import cards_of

NODES = 40
"""Nodes of the still picture, besides the target."""


@dataclass(frozen=True, eq=False)
class Material:
    """What a report is made from.

    Attributes:
        graph: the graph.
        answer: an answer from it.
        against: a second graph to compare with.
        cards: cards of the dictionary's features; None: there are none, or none shall be shown.
        nodes: how many nodes the still pictures show, besides the target.
        title: the page's title; the answer's question unless given.
    """

    graph: Graph
    answer: Answer
    against: Graph | None = None
    cards: Cards | None = None
    nodes: int = NODES
    title: str | None = None

    @classmethod
    def of(
        cls,
        graph: Graph,
        *,
        answer: Answer | None = None,
        against: Graph | None = None,
        cards: Cards | None = None,
        nodes: int = NODES,
        title: str | None = None,
    ) -> Material:
        """Gives the material: `why(graph)` where no answer is given, the dictionary's own cards likewise."""
        held = cards if cards is not None else cards_of(graph)[0]
        return cls(graph, answer or why(graph), against, held, nodes, title)

    @cached_property
    def focus(self) -> Graph:
        """Gives the graph with the answer's target as its only one, where the answer has one."""
        asked = self.answer.meta.get("asked") or {}
        if {"target", "over"} <= set(asked):
            return Subject.of(self.graph, asked["target"], asked["over"]).graph
        return self.graph

    @cached_property
    def contrast(self) -> Answer | None:
        """Gives what differs from the second graph; None where there is none."""
        if self.against is None:
            return None
        asked = self.answer.meta.get("asked") or {}
        target, over = asked.get("target"), asked.get("over")
        pair = target if target is None or over is None else (target, over)
        return contrast(self.graph, self.against, target=pair)

    @cached_property
    def second(self) -> Answer | None:
        """Gives the answer of the second graph alone; None where there is none, or it cannot be asked so."""
        if self.against is None or self.contrast is None:
            return None
        target = str(self.contrast.meta["targets"][1])
        try:
            return why(self.against, target if target in self.against.index else None)
        except CircuitsError:
            return None

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """Gives what the interactive graph reads."""
        return document(
            self.graph,
            answer=self.answer,
            against=self.against,
            cards=self.cards,
            shown=Shown() if self.cards is not None else Shown(cards=0),
            name=name_of(self.graph),
        )

    @property
    def target(self) -> str:
        """Gives the node that is explained."""
        return str(self.answer.meta.get("target") or (self.graph.targets or [""])[0])

    @property
    def run(self) -> str:
        """Gives the run's path as it was named, for commands."""
        return str(self.graph.meta.get("run") or self.graph.meta.get("path") or "RUN")


def name_of(graph: Graph) -> str:
    """Gives how a run is called: its folder's name, or "graph"."""
    run = str(graph.meta.get("run") or graph.meta.get("path") or "")
    return Path(run).name or "graph"
