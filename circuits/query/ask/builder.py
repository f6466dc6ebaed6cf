"""The questions in Python: in words, or call by call."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal, overload

from circuits.errors import CircuitsError, NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.ask.forms import nearest
from circuits.query.ask.grammar import plain
from circuits.query.ask.parse import parse
from circuits.query.ask.question import Opener, Question, opened
from circuits.query.ask.questions import (
    Act,
    Breaks,
    Combinations,
    Concepts,
    Contrast,
    Cuts,
    Kind,
    Minimal,
    Needs,
    Paths,
    Similar,
    Unexplained,
    WhatIf,
    Why,
)
from circuits.query.limit import Limit

CLOSE: Final = 1.0
"""How far a sentence may be from a form for that to be offered where a name in it is nothing."""


@dataclass(frozen=True)
class Asked:
    """A question put to a graph. Each call gives a new one; `answer()` answers it, `print` prints the answer.

    Attributes:
        graph: which is asked.
        question: what is asked.
        limit: what a search may take.
        sentence: as it was written, where it was.
    """

    graph: Graph
    question: Question
    limit: Limit | None = None
    sentence: str | None = None

    def text(self) -> str:
        """Gives the question as its canonical sentence."""
        return self.question.text()

    def answer(self, open: Opener = opened) -> Answer:  # noqa: A002
        """Gives the answer.

        Args:
            open: opens the other run where the question names one; `circuits.load_run` unless given.

        Raises:
            CircuitsError: as for the query of the question.
        """
        try:
            return self.question.answer(self.graph, open, self.limit)
        except NotFound as error:
            raise self._perhaps(error) from error

    def over(self, other: str) -> Asked:
        """Gives the question of this output rather than `other`."""
        return self._with("over", over=other)

    def top(self, count: int) -> Asked:
        """Gives the question with so many rows in its answer."""
        return self._with("top", top=count)

    def to(self, target: str) -> Asked:
        """Gives the question about this target."""
        return self._with("to", target=target)

    def source(self, name: str) -> Asked:
        """Gives the question of what starts there."""
        return self._with("source", source=name)

    def through(self, first: int, last: int | None = None) -> Asked:
        """Gives the question of paths through a layer, or one of several."""
        return self._with("through", through=(first, first if last is None else last))

    def by(self, what: Literal["nodes", "edges"]) -> Asked:
        """Gives the question of a cut by nodes or by edges."""
        return self._with("by", by=what)

    def share(self, part: float) -> Asked:
        """Gives the question of a set for this share of the output."""
        return self._with("share", share=part)

    def aligned(self, side: Literal["start", "end"]) -> Asked:
        """Gives the comparison with tokens matched from the start, or from the end."""
        return self._with("aligned", align=side)

    def within(self, limit: Limit) -> Asked:
        """Gives the question with a limit to its search."""
        return dataclasses.replace(self, limit=limit)

    def _with(self, call: str, **changes: Any) -> Asked:
        known = {field.name for field in dataclasses.fields(self.question)}  # type: ignore[arg-type]
        if not set(changes) <= known:
            raise UsageError(
                f".{call}(…) means nothing to this question ({self.text()}), which has"
                f" {', '.join(sorted(known)) or 'nothing to change'}."
            )
        changed = dataclasses.replace(self.question, **changes)  # type: ignore[type-var]
        return dataclasses.replace(self, question=changed, sentence=None)

    def _perhaps(self, error: CircuitsError) -> CircuitsError:
        """Gives the error with another reading of the sentence, where a word of it may be misspelt."""
        if self.sentence is None:
            return error
        near = nearest(plain(self.sentence))
        if not near.whole or near.cost > CLOSE or near.text == self.text():
            return error
        return NotFound(f"{error} Or was the question: {near.text}?")

    def __str__(self) -> str:
        return str(self.answer())

    def __repr__(self) -> str:
        return f"Asked({self.text()!r})"


@dataclass(frozen=True)
class Asking:
    """A graph that can be asked; each method gives a question put to it.

    Attributes:
        graph: which is asked.
        limit: what searches may take.
    """

    graph: Graph
    limit: Limit | None = None

    def why(self, target: str | None = None, *, over: str | None = None) -> Asked:
        """Gives: why this output (or feature), over another."""
        return self._asked(Why(target, over))

    def pairs(self, target: str | None = None, *, kind: Kind | None = None) -> Asked:
        """Gives: which pairs drive it."""
        return self._asked(Combinations(target, 2, kind))

    def triples(self, target: str | None = None, *, kind: Kind | None = None) -> Asked:
        """Gives: which triples drive it."""
        return self._asked(Combinations(target, 3, kind))

    def combinations(self, target: str | None = None, *, kind: Kind | None = None) -> Asked:
        """Gives: which combinations of any size drive it."""
        return self._asked(Combinations(target, None, kind))

    def needs(self, a: str, b: str | None = None, *, target: str | None = None) -> Asked:
        """Gives: does `a` need `b`; or what `a` needs."""
        return self._asked(Needs(a, b, target))

    def breaks(self, *off: str, target: str | None = None) -> Asked:
        """Gives: what breaks if these are off."""
        return self._asked(Breaks(off, target))

    def what_if(self, *acts: Act, target: str | None = None) -> Asked:
        """Gives: what happens if this is done."""
        return self._asked(WhatIf(acts, target))

    def paths(self, target: str | None = None, *, source: str | None = None) -> Asked:
        """Gives: the strongest paths."""
        return self._asked(Paths(target, source))

    def cuts(self, target: str | None = None, *, source: str | None = None) -> Asked:
        """Gives: what all of an effect runs through."""
        return self._asked(Cuts(target, source))

    def smallest(
        self,
        target: str | None = None,
        *,
        share: float = 0.8,
        kind: Literal["sufficient", "necessary"] = "sufficient",
    ) -> Asked:
        """Gives: the smallest set for a share of the output."""
        return self._asked(Minimal(target, share, kind))

    def similar(self, node: str | None = None, *, run: str | None = None) -> Asked:
        """Gives: what is like a node; or how alike another run is."""
        return self._asked(Similar(node, run))

    def unexplained(self, target: str | None = None) -> Asked:
        """Gives: what is unexplained."""
        return self._asked(Unexplained(target))

    def compare(self, run: str, target: str | None = None, *, other_target: str | None = None) -> Asked:
        """Gives: what differs from another run."""
        return self._asked(Contrast(run, target, other_target))

    def concepts(self) -> Asked:
        """Gives: which concepts there are."""
        return self._asked(Concepts())

    def _asked(self, question: Question) -> Asked:
        return Asked(self.graph, question, self.limit)


@overload
def ask(graph: Graph, question: str | Question, *, limit: Limit | None = None) -> Asked: ...
@overload
def ask(graph: Graph, question: None = None, *, limit: Limit | None = None) -> Asking: ...
def ask(
    graph: Graph, question: str | Question | None = None, *, limit: Limit | None = None
) -> Asked | Asking:
    """Gives a question put to a graph: in words, as data, or (without one) call by call.

    What can be asked is listed by `circuits ask --forms` and in `circuits.query.ask.forms.FORMS`. The
    grammar is fixed: no language model reads the question.

    Args:
        graph: any graph.
        question: a sentence, or a question made of a class of `circuits.query.ask.questions`.
        limit: what a search may take.

    Raises:
        UsageError: the sentence cannot be parsed; the nearest that can is given.

    Example:
        >>> print(ask(graph, "why ' Austin'"))  # doctest: +SKIP
        >>> ask(graph).why(" Austin").over(" Dallas").top(5).text()  # doctest: +SKIP
        'why " Austin" over " Dallas" top 5'
    """
    if question is None:
        return Asking(graph, limit)
    if isinstance(question, Question):
        return Asked(graph, question, limit)
    return Asked(graph, parse(question), limit, question)
