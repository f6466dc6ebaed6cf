"""What a contrast is about: the same output of two graphs, each graph's own answer, or two outputs of one."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.query.align import Alignment
from circuits.query.subject import Subject
from circuits.query.text import Naming, listing, quoted
from circuits.schema import parse_feature

Target = str | tuple[str, str]
"""A node or token, or two outputs: the first over the second."""

SMALL: Final = 0.02
"""Share of the values below which their difference is too small to take shares of."""


@dataclass(frozen=True)
class Asked:
    """What is compared, in words.

    Attributes:
        comparable: the two values are of one output, or of two outputs of one graph: their difference is
            the question, and shares of it are told. Else each graph is asked about its own answer.
        same_graph: two targets of one graph are compared.
        words: the two targets.
        sides: how the two sides are told apart in sentences.
    """

    comparable: bool
    same_graph: bool
    words: tuple[str, str]
    sides: tuple[str, str]


def subjects(
    graph: Graph, other: Graph, targets: tuple[Target | None, Target | None], alignment: Alignment
) -> tuple[Subject, Subject]:
    """Gives what each graph is asked about.

    Where nothing is named: each graph's likeliest output; where both graphs hold both of them, the first
    over the second in both; where only one of them is held by both, that one. Where one is named, it is
    asked of both.

    Raises:
        NotFound: a target that a graph does not hold; how to get it is said.
        UsageError: as `Subject.of`.
    """
    mine, theirs = targets
    if mine is None and theirs is None:
        mine, theirs = _by_themselves(graph, other)
    elif theirs is None and mine is not None:
        theirs = _renamed(mine, alignment.turned())
    elif mine is None and theirs is not None:
        mine = _renamed(theirs, alignment)
    return _subject(graph, mine), _subject(other, theirs)


def asked_of(one: Subject, two: Subject, alignment: Alignment) -> Asked:
    """Gives what is compared in words."""
    same_graph = same(one.naming.graph, two.naming.graph)
    words = one.words(), two.words()
    same_output = one.node == two.node or (one.kind != "logit" and alignment.renamed(two.node) == one.node)
    sides = (f"for {words[0]}", f"for {words[1]}") if same_graph else _sides(one, two, alignment)
    return Asked(same_output or same_graph, same_graph, words, sides)


def same(graph: Graph, other: Graph) -> bool:
    """Tells whether two graphs are one run."""
    return graph is other or (
        graph.nodes.equals(other.nodes)
        and len(graph.edges) == len(other.edges)
        and graph.edges["weight"].equals(other.edges["weight"])
        and graph.hyperedges.equals(other.hyperedges)
    )


def check_features(graph: Graph, other: Graph) -> None:
    """Refuses two graphs whose features are not the same things.

    Raises:
        Incompatible: they come from different dictionaries.
    """
    mine, theirs = (g.meta.get("dictionary") or {} for g in (graph, other))
    prints = mine.get("fingerprint"), theirs.get("fingerprint")
    if None in prints or prints[0] == prints[1] or theirs.get("taken_for") == prints[0]:
        return
    names = [
        f"{m.get('spec') or m.get('kind') or 'one'} ({p})"
        for m, p in ((mine, prints[0]), (theirs, prints[1]))
    ]
    raise Incompatible(
        f"The features of the two runs come from different dictionaries, {names[0]} and {names[1]}: feature 5"
        " of the one need not be feature 5 of the other. If they are the same by layer and number, as neurons"
        " of a model and its fine-tuned copy are, say so: --same-features, in Python"
        " contrast(graph, same_features(other, graph))."
    )


def same_features(other: Graph, graph: Graph) -> Graph:
    """Gives the second graph with its features taken for those of the first, by layer and number.

    Example:
        >>> contrast(base, same_features(tuned, base))  # doctest: +SKIP
    """
    mine, theirs = (dict(g.meta.get("dictionary") or {}) for g in (graph, other))
    if mine.get("fingerprint") == theirs.get("fingerprint"):
        return other
    return other.with_meta(dictionary={**theirs, "taken_for": mine.get("fingerprint")})


def _by_themselves(graph: Graph, other: Graph) -> tuple[Target | None, Target | None]:
    if not graph.targets or not other.targets:
        return None, None
    first, second = _likeliest(graph), _likeliest(other)
    here, there = second in graph.index, first in other.index
    if first != second and here and there:
        both = first, second
        return (None, None) if same(graph, other) else (both, both)
    if there:
        return first, first
    return (second, second) if here else (first, second)


def _likeliest(graph: Graph) -> str:
    """Gives the likeliest target, the heaviest where no probabilities are known."""
    chance = Naming.of(graph).probability
    return max(graph.targets, key=lambda node: chance(node) or 0.0)


def _renamed(target: Target, alignment: Alignment) -> Target:
    """Gives a target of the second graph as the first one calls it: features move with their position."""
    if isinstance(target, tuple):
        return target
    return alignment.renamed(target) if parse_feature(target) else target


def _subject(graph: Graph, target: Target | None) -> Subject:
    if target is None:
        return Subject.of(graph)
    return Subject.of(graph, *(target if isinstance(target, tuple) else (target,)))


def attribute_command(graph: Graph, more: list[str]) -> str:
    """Gives the command that attributes a graph's prompt again, with more targets."""
    entries = [t for t in graph.meta.get("targets") or () if isinstance(t, Mapping)]
    known = {str(t.get("name")): t for t in entries}
    had = [token for name in graph.targets[:1] for token in (known.get(name, {}).get("tokens") or ())[:1]]
    more = [name.removeprefix("logit:").strip('"') for name in more]
    tokens = [*had, *(name if name.startswith(" ") else f" {name}" for name in more)]
    text = str((graph.meta.get("prompt") or {}).get("text") or "PROMPT")
    model, dictionary = ((graph.meta.get(part) or {}).get("spec") for part in ("model", "dictionary"))
    words = ["circuits", "attribute", text]
    words += ["--model", str(model)] if model else []
    words += ["--dictionary", str(dictionary)] if dictionary else []
    words += [word for token in dict.fromkeys(tokens) for word in ("--target", token)]
    return " ".join(shlex.quote(word) for word in [*words, "-o", "RUN"])


def _sides(one: Subject, two: Subject, alignment: Alignment) -> tuple[str, str]:
    """Gives the two sides by the words that differ, else by their models, else by order."""
    places = (
        [*(p for p, _ in alignment.changed), *alignment.only_here],
        [*(q for _, q in alignment.changed), *alignment.only_there],
    )
    texts = [
        _joined([tokens[p] for p in sorted(at)])
        for tokens, at in zip((alignment.here, alignment.there), places, strict=True)
    ]
    if any(texts) and texts[0] != texts[1] and max(map(len, texts)) <= 40:
        return _with(texts[0], texts[1]), _with(texts[1], texts[0])
    models = [str((s.naming.graph.meta.get("model") or {}).get("name") or "") for s in (one, two)]
    if all(models) and models[0] != models[1]:
        return f"in {models[0]}", f"in {models[1]}"
    return "in the first run", "in the second run"


def _with(text: str, other: str) -> str:
    return f"with {quoted(text)}" if text else f"without {quoted(other)}"


def _joined(tokens: list[str]) -> str:
    return "".join(tokens)


def differing_settings(graph: Graph, other: Graph) -> list[str]:
    """Gives, each in words, how the two runs were made differently."""
    rows: list[tuple[str, Any, Any]] = []
    for words, path in _SETTINGS:
        mine, theirs = (_at(g.meta, path) for g in (graph, other))
        rows += [(words, mine, theirs)] if mine != theirs else []
    return [f"{words} ({_told(mine)} and {_told(theirs)})" for words, mine, theirs in rows]


_SETTINGS: Final = (
    ("models", ("model", "fingerprint")),
    ("dictionaries", ("dictionary", "fingerprint")),
    ("selection of features", ("selection", "name")),
    ("settings of the selection", ("selection", "settings")),
    ("margins for dormant features", ("dormant_margin",)),
    ("tolerances for edges", ("methods", "edges", "tolerance")),
    ("numbers of features opened up", ("methods", "edges", "max_features")),
    ("pruning", ("pruned",)),
    ("precision", ("dtype",)),
)


def keeps_all(graph: Graph) -> bool:
    """Tells whether a feature that is not in the graph was off: all active ones are there."""
    chosen = graph.meta.get("selection") or {}
    return (
        not graph.meta.get("pruned")
        and chosen.get("kept") is not None
        and chosen["kept"] == chosen.get("active")
    )


def _at(meta: Mapping[str, Any], path: tuple[str, ...]) -> Any:
    found: Any = meta
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def _told(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, Mapping):
        return listing(f"{key} {part}" for key, part in value.items()) or "none"
    return str(value)
