"""What a name means, the same for every question, intervention and command.

`resolve` gives the nodes a text names, as a cause or a place; `resolve_target` the one node it names as what
is explained. In this order a text may be

=====================  ======================================================================
``12/4051@7`` ``tok@3``  a node, ``logit:Austin`` too
``12/4051``            a feature, at every position where it is on
``texas=token:Dallas``  a new concept, by its spec
``token:" Dallas"``    a spec without a name, its parts joined by ``|``, ``,`` and ``&``
                       (`circuits.graph.concepts`); a part may be any of the following too
``" Dallas"@7``        the word of the prompt at a position
``12/4051 at " is"``   a feature at a word, as answers write it
``texas``              a concept the graph has
``" Dallas"`` ``Dallas``  a word of the prompt, wherever it stands; the leading space may be left out
``cities in states``   features by their label, capitals and small letters alike
``cities``             failing all that, features by the one label that has these words in it
=====================  ======================================================================

The first six are told by how they are written, and text in quotes is a word of the prompt if there is such.
The others are not: where two of them find different nodes, the name is refused, with how to write either.
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import polars as pl

from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.concepts import Concept, checked, known, nodes_of_spec, ordered
from circuits.graph.graph import Graph
from circuits.graph.specs import WAYS, WORDS, named, placed, spelt, split, tokens
from circuits.schema import PROVISIONAL

SHOWN: Final = 4
"""Meanings or names listed in an error, at most."""

QUOTES: Final = ('""', "''", "“”", "‘’", "„“", "«»", "``")
"""Pairs of quotation marks."""

_FEATURE = re.compile(r"\d+/\d+")
_WORD_AT = re.compile(r"(.+)@(\d+)", re.DOTALL)
_FEATURE_AT = re.compile(r"(\d+/\d+)\s+(?:at|on)\s+(.+)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r'token:\s*"?([^"|,&]*[^"|,&\s])"?\s*')
_NAME = re.compile(r"[\w .-]+")


class Meaning(NamedTuple):
    """One thing a text can mean: its name, what it is, how to write it so that it means nothing else."""

    name: str
    what: str
    written: str
    nodes: frozenset[str]


def resolve(graph: Graph, text: str | Concept) -> Concept:
    """Gives the nodes a text names, as a concept; see the module for how things are named.

    Args:
        graph: whose nodes they are.
        text: a name; a concept is only checked.

    Raises:
        NotFound: nothing is called so; what comes near is offered.
        UsageError: it means several things, which are listed; it names nothing but a constant.

    Example:
        >>> resolve(graph, "Dallas").nodes  # doctest: +SKIP
        ('tok@7', '0/118@7', '3/77@7')
    """
    if isinstance(text, Concept):
        return checked(graph, text)
    name = text.strip()
    if not name:
        raise UsageError("A name is empty: write a node, a concept, a label or a word of the prompt.")
    if concept := _defined(graph, name):
        return concept
    inner = unquoted(name)
    if inner and inner.strip() and not any(True for way in (_meanings, _inside) for _ in way(graph, name)):
        return resolve(graph, inner)  # quotes that only hold together what is no word
    if _is_list(graph, name):
        nodes = nodes_of_spec(graph, name, name, lambda graph, part: set(_meaning(graph, part).nodes))
        return Concept(name, ordered(graph, name, nodes))
    meaning = _meaning(graph, name)
    word = _WORD.fullmatch(meaning.name)  # token:" capital" is called capital
    return Concept(word[1].strip() if word else meaning.name, ordered(graph, name, meaning.nodes))


def resolve_target(graph: Graph, text: str) -> str:
    """Gives the one node a text names as what is explained.

    That is a node; an output by its token (`Paris`; `" Paris"` in quotes, exactly as it is spelt) or its
    pair (`" Mary" over " John"`); a feature that is on at one position; a feature by its label.

    Raises:
        NotFound: no such node; near matches are offered, and how to explain another output.
        UsageError: it means several nodes, which are listed.

    Example:
        >>> resolve_target(graph, "Paris")  # doctest: +SKIP
        'logit:Paris'
    """
    if not text.strip():
        raise UsageError("The target is empty: name an output or a feature.")
    inner = unquoted(text)
    if inner and (inner in graph.index or _pair(inner)):
        text = inner
    if text in graph.index or text.strip() in graph.index:
        return text if text in graph.index else text.strip()
    outputs = _outputs(graph, text)
    if len(outputs) > 1:
        spelt_out = "; ".join(f"{node} ({said})" for node, said in outputs.items())
        raise UsageError(f"{text} means {len(outputs)} outputs: {spelt_out}. Write one of these.")
    if outputs:
        return next(iter(outputs))
    try:
        nodes = [node for node in resolve(graph, text).nodes if _kind(graph, node) in ("feature", "logit")]
        word = not nodes or _spells(graph, text)
    except NotFound:
        nodes, word = [], False
    if len(nodes) == 1 and not word:
        return nodes[0]
    if nodes and not word:
        more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
        raise UsageError(f"{text} is {len(nodes)} nodes: ask about one, {', '.join(nodes[:SHOWN])}{more}.")
    raise NotFound(_no_target(graph, text, word=word))


def quoted(text: str) -> str:
    r"""Gives a token in double quotes, with line breaks and the like made visible.

    Example:
        >>> print(quoted(" Mary"), quoted(chr(10)))
        " Mary" "\n"
    """
    return json.dumps(text, ensure_ascii=False)


def unquoted(text: str) -> str | None:
    """Gives what stands between quotation marks, of whatever kind; None where the text is not in such.

    Example:
        >>> unquoted("“ Dallas”"), unquoted("Dallas")
        (' Dallas', None)
    """
    inside = text.strip()
    if len(inside) < 3 or inside[0] + inside[-1] not in QUOTES:
        return None
    if inside[0] == '"' and "\\" in inside:  # as `quoted` writes
        with contextlib.suppress(ValueError):
            return str(json.loads(inside))
    return None if set(inside[1:-1]) & {inside[0], inside[-1]} else inside[1:-1]


def _defined(graph: Graph, name: str) -> Concept | None:
    """Gives a concept defined on the spot, NAME=SPEC."""
    called, equals, spec = name.partition("=")
    if not equals or not spec.strip() or not _NAME.fullmatch(called):
        return None
    return Concept(called.strip(), Concept.of(graph, name).nodes)


def _is_list(graph: Graph, text: str) -> bool:
    """Tells whether a text is several parts of a spec, rather than one name with commas in it."""
    parted = any(len(split(text, sign)) > 1 for sign in ("|,", "&"))
    whole = text in graph.index or unquoted(text) is not None or any(True for _ in _meanings(graph, text))
    return parted and not whole


def _meaning(graph: Graph, text: str) -> Meaning:
    """Gives the one thing that a name, or one part of a spec, means."""
    if text in graph.index or _FEATURE.fullmatch(text) or text.partition(":")[0].strip() in WAYS:
        called = text.removeprefix("concept:").strip()
        return Meaning(called, "as it is written", text, frozenset(named(graph, text)))
    meanings = [*_meanings(graph, text)] or [*_inside(graph, text)]
    if len({meaning.nodes for meaning in meanings}) > 1:
        raise UsageError(_ambiguous(text, meanings))
    if meanings:
        return meanings[0]
    if text == WORDS:
        return Meaning(text, "as it is written", text, frozenset(named(graph, text)))
    raise NotFound(_nothing(graph, text))


def _meanings(graph: Graph, text: str) -> Iterator[Meaning]:
    """Gives what a text that is no name of a node can mean, one of each way."""
    inner = unquoted(text)
    called = text if inner is None else inner
    yield from _placed_word(graph, text)
    yield from _placed_feature(graph, text)
    word = [*_word(graph, called, exact=inner is not None)]
    if inner is not None and word:
        yield from word  # in quotes it is a word and nothing else
        return
    for concept in known(graph):
        if concept.name == called.strip():
            yield Meaning(concept.name, "", f"concept:{concept.name}", frozenset(concept.nodes))
    yield from word
    for label, nodes in _labels(graph).items():
        if label.casefold() == called.strip().casefold():
            yield Meaning(label, "", _by_label(label), frozenset(nodes))


def _inside(graph: Graph, text: str) -> Iterator[Meaning]:
    """Gives the labels that have the words of a text in them."""
    called = (unquoted(text) or text).strip()
    if not re.search(r"\w", called):
        return
    wanted = re.compile(rf"(?<!\w){re.escape(called)}(?!\w)", re.IGNORECASE)
    for label, nodes in _labels(graph).items():
        if not label.startswith(PROVISIONAL) and wanted.search(label):  # promoted tokens are no name
            yield Meaning(label, "", _by_label(label), frozenset(nodes))


def _word(graph: Graph, called: str, *, exact: bool) -> Iterator[Meaning]:
    """Gives the word of the prompt that is spelt so, wherever it stands."""
    places = spelt(tokens(graph), called if exact else called.strip()) if called.strip() else set()
    if places:
        yield Meaning(called.strip(), "the word", quoted(called), frozenset(placed(graph, places)))


def _placed_word(graph: Graph, text: str) -> Iterator[Meaning]:
    found = _WORD_AT.fullmatch(text)
    if found is None or _FEATURE.fullmatch(found[1]):
        return
    words, place = tokens(graph), int(found[2])
    called = unquoted(found[1]) or found[1]
    if place < len(words) and words[place].strip() == called.strip():
        nodes = placed(graph, [place])
        yield Meaning(text, "the word there", f"pos:{place}", frozenset(nodes))


def _placed_feature(graph: Graph, text: str) -> Iterator[Meaning]:
    found = _FEATURE_AT.fullmatch(text)
    if found is not None:
        place = found[2].strip()
        there = [*_placed_word(graph, place), *_word(graph, (unquoted(place) or place), exact=False)][:1]
        nodes = named(graph, found[1]) & {node for meaning in there for node in meaning.nodes}
        if nodes:
            yield Meaning(text, "the feature there", min(nodes, key=graph.row), frozenset(nodes))


def _labels(graph: Graph) -> dict[str, set[str]]:
    """Gives the features of each label, capitals and small letters alike."""
    table = graph.nodes.filter(pl.col("label").is_not_null() & (pl.col("kind") == "feature"))
    found: dict[str, set[str]] = {}
    spelling: dict[str, str] = {}
    for node, label in table.select("node", "label").iter_rows():
        found.setdefault(spelling.setdefault(label.strip().casefold(), label.strip()), set()).add(node)
    return found


def _by_label(label: str) -> str:
    """Gives how to select a label: shell wildcards in it are put in brackets."""
    return f'label:"{re.sub(r"[*?[]", lambda sign: f"[{sign[0]}]", label)}"'


def _ambiguous(text: str, meanings: list[Meaning]) -> str:
    listed = "; ".join(f"{m.what} {m.written} ({len(m.nodes)} nodes)".strip() for m in meanings[:SHOWN])
    more = f"; and {len(meanings) - SHOWN} more" if len(meanings) > SHOWN else ""
    labels = all(meaning.written.startswith("label:") for meaning in meanings)
    called = (unquoted(text) or text).strip()
    together = f", or label:*{called}* for all of them" if labels and '"' not in called else ""
    return f"{text} means {len(meanings)} things: {listed}{more}. Write one of these{together}."


def _nothing(graph: Graph, text: str) -> str:
    words = tokens(graph)
    called = (unquoted(text) or text).strip()
    names: Iterable[str] = (
        *(word.strip() for word in words),
        *(concept.name for concept in known(graph)),
        *graph.index,
        *_labels(graph),
    )
    near = near_matches(called, dict.fromkeys(name for name in names if name))
    output = _outputs(graph, text)
    if output:
        node = next(iter(output))
        near = f" It is an output of this graph: write {node} where an output is meant."
    prompt = f"the prompt {''.join(words)!r}" if words else "its prompt, which this graph does not hold"
    other = "" if near else " A word that is not in the prompt needs a run of its own: circuits attribute."
    return (
        f"Nothing is called {text}: no node, concept or label of this graph, no word of"
        f" {prompt}.{near}{other}"
    )


def _outputs(graph: Graph, text: str) -> dict[str, str]:
    """Gives the outputs a text can mean, with their tokens as they are spelt."""
    inner = unquoted(text)
    called = text if inner is None else inner
    said = {str(t.get("name") or t.get("node")): t for t in graph.meta.get("targets") or ()}
    spelling = {
        node: [str(token) for token in said.get(node, {}).get("tokens") or ()]
        for node in graph.nodes.filter(pl.col("kind") == "logit")["node"]
    }
    if pair := _pair(text):
        return {n: "a difference" for n, spelled in spelling.items() if [x.strip() for x in spelled] == pair}
    exact = [node for node, spelled in spelling.items() if spelled == [called]]
    if exact and inner is not None:
        return dict.fromkeys(exact, quoted(called))
    bare = called.strip()
    alike = [n for n, spelled in spelling.items() if len(spelled) == 1 and spelled[0].strip() == bare != ""]
    if len(alike) > 1:
        return {node: quoted(spelling[node][0]) for node in alike}
    forms = (f"logit:{text.strip()}", f"logit:{called}", f"logit:{bare}")
    found = [*alike, *exact, *(form for form in forms if form in spelling)]
    return {found[0]: quoted(called)} if found else {}


def _pair(text: str) -> list[str] | None:
    """Gives the two tokens of a difference, written `X over Y`."""
    parts = re.split(r"\s+over\s+", text.strip(), flags=re.IGNORECASE)
    return [(unquoted(part) or part).strip() for part in parts] if len(parts) == 2 else None


def _no_target(graph: Graph, text: str, *, word: bool) -> str:
    known_outputs = graph.nodes.filter(pl.col("kind") == "logit")["node"].to_list()
    called = (unquoted(text) or text).strip().removeprefix("logit:")
    if text[:1].isdigit() or "@" in text:
        shown = near_matches(text.strip(), graph.index)
        return f"No node {text!r} among the {len(graph.nodes)} of this graph.{shown}"
    alike = [node for node in known_outputs if near_matches(called, [node.removeprefix("logit:")])]
    near = near_matches(f"logit:{called}", alike)
    if word:
        near = f" It is a word of the prompt, into which nothing flows.{near}"
    listed = ", ".join(known_outputs) or "no output"
    return (
        f"No target {text!r} in this graph.{near} It explains {listed}; another needs a run of its own:"
        f" {_attribute_line(graph, text)}."
    )


def _attribute_line(graph: Graph, text: str) -> str:
    """Gives the command that makes a run which explains another output of the same prompt."""
    prompt = (graph.meta.get("prompt") or {}).get("text") or "PROMPT"
    words = ["circuits", "attribute", shlex.quote(str(prompt))]
    for part, usual in (("model", "smollm2"), ("dictionary", "neurons")):
        spec = (graph.meta.get(part) or {}).get("spec") or usual
        words += [f"--{part}", shlex.quote(str(spec))] if spec != usual else []
    token, bare = unquoted(text), text.strip().removeprefix("logit:")
    return " ".join([*words, "--target", shlex.quote(f" {bare}" if token is None else token), "-o NEW"])


def _spells(graph: Graph, text: str) -> bool:
    called = unquoted(text) or text.strip()
    return bool(spelt(tokens(graph), called)) and called.strip() not in {c.name for c in known(graph)}


def _kind(graph: Graph, node: str) -> str:
    return str(graph.nodes["kind"][graph.row(node)])
