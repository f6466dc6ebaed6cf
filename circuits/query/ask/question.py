"""What every question is, and how the names in it are written."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.names import quoted, unquoted
from circuits.query.answer import Answer
from circuits.query.limit import Limit

Opener = Callable[[str], Graph]
"""Gives the graph of another run, by its path."""

OUTPUT = "the output"
"""The heaviest target, in words."""

_PLAIN = re.compile(r"[^\W\d][\w-]*( [^\W\d][\w-]*)*")
"""Bare words."""

_NODE = re.compile(r'[\w.][\w.*#-]*[@:=/](?:"[^"\\]*"|[\w.@:*|&=/#-])*(?<!\.)')
"""A node, a short spec, a path: what has no space outside quotes, and a sign that no word has."""


def opened(path: str) -> Graph:
    """Gives the graph of a run; it knows where it came from."""
    from circuits.graph.io import load_run

    return load_run(Path(path)).with_meta(run=path)


@dataclass(frozen=True)
class Around:
    """What an answer may need besides the graph.

    Attributes:
        open: opens another run.
        limit: what a search may take; each query's own usual limit unless given.
    """

    open: Opener = opened
    limit: Limit | None = None


class Question(ABC):
    """A question, as data: what it asks of which names. Names are as the user wrote them.

    The sentence `text()` parses to the same question again.
    """

    @abstractmethod
    def text(self) -> str:
        """Gives the question as its canonical sentence."""

    @abstractmethod
    def reply(self, graph: Graph, around: Around) -> Answer:
        """Gives the answer, from a graph and what is around it."""

    def answer(self, graph: Graph, open: Opener = opened, limit: Limit | None = None) -> Answer:  # noqa: A002
        """Gives the answer.

        Args:
            graph: the graph that is asked.
            open: opens the other run where the question names one; `circuits.load_run` unless given.
            limit: what a search may take.

        Raises:
            CircuitsError: as for the query of the question: a name that is nothing, or several things.
        """
        return self.reply(graph, Around(open, limit))

    def __str__(self) -> str:
        return self.text()


def tidy(name: str) -> str:
    """Gives a name as it stands in a sentence: bare where no word of it joins, else in quotes.

    Raises:
        UsageError: it is empty.

    Example:
        >>> tidy(" Austin"), tidy("12/4051@7"), tidy("“state and capital”")
        ('" Austin"', '12/4051@7', '"state and capital"')
    """
    if not name.strip():
        raise UsageError("A name in the question is empty: write a node, a concept, a label or a word.")
    inner = unquoted(name)
    if inner is not None and inner.strip():
        return quoted(inner)
    return name if _bare(name) else quoted(name)


def perhaps(name: str | None) -> str | None:
    """Gives a name as `tidy` does, None for none."""
    return None if name is None else tidy(name)


def of(target: str | None) -> str:
    """Gives a target in a sentence."""
    return OUTPUT if target is None else target


def _bare(name: str) -> bool:
    from circuits.query.ask.grammar import joining

    if _NODE.fullmatch(name):
        return True
    return bool(_PLAIN.fullmatch(name)) and not set(name.casefold().split()) & joining()
