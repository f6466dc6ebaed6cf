"""The questions, one class each: what is asked, its sentence, and the query that answers it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.ask.question import Around, Question, of, perhaps, tidy
from circuits.query.text import listing

Kind = Literal["and", "or", "inhibit", "xor", "additive", "other", "undecided"]


@dataclass(frozen=True)
class Why(Question):
    """Why an output, or a feature; `over` another output."""

    target: str | None = None
    over: str | None = None
    top: int = 10

    def __post_init__(self) -> None:
        _names(self, "target", "over")
        _counted(self.top)

    def text(self) -> str:
        """Gives the sentence."""
        over = f" over {self.over}" if self.over is not None else ""
        target = f" {self.target}" if self.target is not None else ""
        return f"why{target}{over}{_top(self.top)}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.why`."""
        from circuits.query.why import why

        return why(graph, self.target, over=self.over, top=self.top)


@dataclass(frozen=True)
class Combinations(Question):
    """Which pairs, triples or sets of any size act together on an output; of one kind, or of all."""

    target: str | None = None
    order: int | None = None
    kind: Kind | None = None
    top: int = 10

    def __post_init__(self) -> None:
        _names(self, "target")
        _counted(self.top)
        if self.order not in (None, 2, 3):
            raise UsageError(f"Combinations of {self.order}: ask for pairs (2), triples (3), or all.")

    def text(self) -> str:
        """Gives the sentence."""
        which = {2: "pairs", 3: "triples", None: "combinations"}[self.order]
        kind = f" of kind {self.kind}" if self.kind is not None else ""
        return f"which {which} drive {of(self.target)}{kind}{_top(self.top)}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives the combinations the graph holds."""
        from circuits.query.ask.combinations import combinations

        return combinations(graph, self)


@dataclass(frozen=True)
class Needs(Question):
    """Whether what A does needs B, and B A; or, without B, what A needs."""

    a: str
    b: str | None = None
    target: str | None = None

    def __post_init__(self) -> None:
        _names(self, "a", "b", "target")

    def text(self) -> str:
        """Gives the sentence."""
        asked = f"what does {self.a} need" if self.b is None else f"does {self.a} need {self.b}"
        return asked + _for(self.target)

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.needs`."""
        from circuits.query.needs import needs

        return needs(graph, self.a, self.b, target=self.target)


@dataclass(frozen=True)
class Breaks(Question):
    """What is lost if these are off."""

    off: tuple[str, ...]
    target: str | None = None

    def __post_init__(self) -> None:
        _names(self, "target")
        object.__setattr__(self, "off", _several(self.off))

    def text(self) -> str:
        """Gives the sentence."""
        return f"what breaks if {listing(self.off)} {_are(self.off)} off{_for(self.target)}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.breaks`."""
        from circuits.query.breaks import breaks

        return breaks(graph, list(self.off), target=self.target)


@dataclass(frozen=True)
class Act:
    """What is done to names: they are set to a value, scaled by a factor, or raised by an amount."""

    names: tuple[str, ...]
    done: Literal["set", "scale", "add"]
    value: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", _several(self.names))
        if not math.isfinite(self.value):
            raise UsageError(f"{listing(self.names)} cannot be changed by {self.value}: give a number.")
        object.__setattr__(self, "value", float(self.value) + 0.0)  # −0 is 0

    def text(self) -> str:
        """Gives the clause."""
        number = f"{self.value!r}".removesuffix(".0")
        if (self.done, self.value) == ("set", 0):
            said = "off"
        elif (self.done, self.value) == ("scale", 2):
            said = "doubled"
        else:
            said = {"set": "set to", "scale": "scaled by", "add": "raised by"}[self.done] + f" {number}"
        return f"{listing(self.names)} {_are(self.names)} {said}"


@dataclass(frozen=True)
class WhatIf(Question):
    """What an output becomes if something is done to nodes, as the graph predicts."""

    acts: tuple[Act, ...]
    target: str | None = None

    def __post_init__(self) -> None:
        _names(self, "target")
        if not self.acts:
            raise UsageError("Nothing is done: say what is off, doubled, or set to a number.")

    def text(self) -> str:
        """Gives the sentence."""
        acts = listing(act.text() for act in self.acts)
        return f"what happens to {of(self.target)} if {acts}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives the graph's prediction."""
        from circuits.query.ask.what_if import what_if

        return what_if(graph, self)


@dataclass(frozen=True)
class Paths(Question):
    """The strongest paths into a node: from some nodes, through some layers."""

    target: str | None = None
    source: str | None = None
    through: tuple[int, int] | None = None
    top: int = 20

    def __post_init__(self) -> None:
        _names(self, "target", "source")
        _counted(self.top)
        if self.through is not None and not 0 <= self.through[0] <= self.through[1]:
            first, last = self.through
            raise UsageError(f"Layers {first}..{last} run backwards: write the lower one first, from 0 on.")

    def text(self) -> str:
        """Gives the sentence."""
        source = f" from {self.source}" if self.source is not None else ""
        layers = ""
        if self.through is not None:
            first, last = self.through
            layers = f" through layer {first}" + (f"..{last}" if last != first else "")
        return f"paths{source} to {of(self.target)}{layers}{_top(self.top, 20)}"

    def reply(self, graph: Graph, around: Around) -> Answer:
        """Gives `circuits.paths`."""
        from circuits.query.paths import paths

        return paths(
            graph,
            self.target,
            sources=self.source,
            through=self.through,
            k=self.top,
            limit=around.limit,
        )


@dataclass(frozen=True)
class Cuts(Question):
    """The fewest nodes, or edges, without which nothing gets from A to the target."""

    target: str | None = None
    source: str | None = None
    by: Literal["nodes", "edges"] = "nodes"

    def __post_init__(self) -> None:
        _names(self, "target", "source")

    def text(self) -> str:
        """Gives the sentence."""
        source = f" from {self.source}" if self.source is not None else ""
        return f"cut {of(self.target)}{source} by {self.by}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.cuts`."""
        from circuits.query.cuts import cuts

        return cuts(graph, self.target, sources=self.source, by=self.by)


@dataclass(frozen=True)
class Minimal(Question):
    """A smallest set that keeps, or without which is lost, a share of an output."""

    target: str | None = None
    share: float = 0.8
    kind: Literal["sufficient", "necessary"] = "sufficient"

    def __post_init__(self) -> None:
        _names(self, "target")
        if not 0 < self.share <= 1:
            raise UsageError(f"{self.share:g} is no share: give more than 0% and at most 100%.")

    def text(self) -> str:
        """Gives the sentence."""
        percent = format((Decimal(repr(float(self.share))) * 100).normalize(), "f")
        return f"smallest {self.kind} set for {percent}% of {of(self.target)}"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.minimal`."""
        from circuits.query.minimal import minimal

        return minimal(graph, self.target, share=self.share, kind=self.kind)


@dataclass(frozen=True)
class Similar(Question):
    """What is like a node, in this run or another; without a node, how alike two runs are."""

    node: str | None
    run: str | None = None
    top: int = 10

    def __post_init__(self) -> None:
        _names(self, "node", "run")
        _counted(self.top)
        if self.node is None and self.run is None:
            raise UsageError("Like what? Name a feature, or another run.")

    def text(self) -> str:
        """Gives the sentence."""
        if self.node is None:
            return f"how alike are this and {self.run}{_top(self.top)}"
        run = f" in run {self.run}" if self.run is not None else ""
        return f"what is like {self.node}{run}{_top(self.top)}"

    def reply(self, graph: Graph, around: Around) -> Answer:
        """Gives `circuits.similar`."""
        from circuits.query.similar import similar

        other = None if self.run is None else around.open(_path(self.run))
        return similar(graph, self.node, other, top=self.top)


@dataclass(frozen=True)
class Unexplained(Question):
    """Where an answer runs through what the features do not explain."""

    target: str | None = None

    def __post_init__(self) -> None:
        _names(self, "target")

    def text(self) -> str:
        """Gives the sentence."""
        return "what is unexplained" + ("" if self.target is None else f" of {self.target}")

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives `circuits.unexplained`."""
        from circuits.query.unexplained import unexplained

        return unexplained(graph, self.target)


@dataclass(frozen=True)
class Contrast(Question):
    """What differs between this run and another, or between an output of each."""

    run: str
    target: str | None = None
    other_target: str | None = None
    align: Literal["start", "end"] = "end"
    top: int = 10

    def __post_init__(self) -> None:
        _names(self, "run", "target", "other_target")
        _counted(self.top)

    def text(self) -> str:
        """Gives the sentence."""
        other = self.run if self.other_target is None else f"{self.other_target} in run {self.run}"
        target = f" {self.target}" if self.target is not None else ""
        aligned = "" if self.align == "end" else f" aligned by {self.align}"
        return f"compare{target} with {other}{aligned}{_top(self.top)}"

    def reply(self, graph: Graph, around: Around) -> Answer:
        """Gives `circuits.contrast`."""
        other = around.open(_path(self.run))
        from circuits.query.contrast import contrast

        return contrast(
            graph,
            other,
            target=self.target,
            other_target=self.other_target,
            align=self.align,
            top=self.top,
        )


@dataclass(frozen=True)
class Concepts(Question):
    """The concepts a run has."""

    def text(self) -> str:
        """Gives the sentence."""
        return "which concepts are there"

    def reply(self, graph: Graph, around: Around) -> Answer:  # noqa: ARG002
        """Gives the concepts, with what passes through them."""
        from circuits.query.ask.concepts import list_concepts

        return list_concepts(graph)


def _names(question: Question, *fields: str) -> None:
    for name in fields:
        object.__setattr__(question, name, perhaps(getattr(question, name)))


def _several(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise UsageError("Nothing is named: name at least one node, concept or word.")
    return tuple(tidy(name) for name in names)


def _counted(top: int) -> None:
    if top < 1:
        raise UsageError(f"The top {top} were asked for: give 1 or more.")


def _top(top: int, usual: int = 10) -> str:
    return "" if top == usual else f" top {top}"


def _for(target: str | None) -> str:
    return "" if target is None else f" for {target}"


def _are(names: tuple[str, ...]) -> str:
    return "is" if len(names) == 1 else "are"


def _path(run: str) -> str:
    from circuits.graph.names import unquoted

    return unquoted(run) or run
