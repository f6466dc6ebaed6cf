"""One part of a concept's spec to a set of nodes: by name, feature, word, position, label, layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Final

import polars as pl

from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.graph import Graph

WORDS: Final = "words"
"""The spec of all token embeddings."""

PLACED: Final = ("token", "position", "feature")
"""Kinds of nodes that a word or a position means."""

_QUOTED = re.compile(r'"[^"]*"?')
_FEATURE = re.compile(r"\d+/\d+")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def split(text: str, separators: str) -> list[str]:
    """Gives the parts between any of the separators, none inside double quotes.

    Example:
        >>> split('token:" a,b"|tok@3', "|,")
        ['token:" a,b"', 'tok@3']
    """
    hidden = _QUOTED.sub(lambda found: "\0" * len(found[0]), text)
    cuts = [-1, *(i for i, sign in enumerate(hidden) if sign in separators), len(text)]
    return [text[start + 1 : end] for start, end in pairwise(cuts)]


def named(graph: Graph, part: str) -> set[str]:
    """Gives the nodes one part of a spec names; see `circuits.graph.concepts` for how parts are written.

    Raises:
        NotFound: nothing matches; what was searched is said, and what comes near.
        UsageError: the part is not written as any part is.
    """
    if part in graph.index:
        return {part}
    if _FEATURE.fullmatch(part):
        return _feature(graph, part)
    kind, colon, value = (piece.strip() for piece in part.partition(":"))
    if colon and kind in WAYS:
        return WAYS[kind](graph, value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value)
    if colon and kind not in ("bias", "logit"):
        written = ", ".join(f"{way}:…" for way in WAYS)
        raise UsageError(
            f"{part!r} selects by {kind!r}, which is no way to select: write {written} or the name of a"
            f" node.{near_matches(kind, WAYS)}"
        )
    if "/" in part or "@" in part or colon:
        return {str(graph.nodes["node"][graph.row(part)])}  # refuses, near matches offered
    return _words(graph) if part == WORDS and not len(_stored(graph, part)) else _concept(graph, part)


def tokens(graph: Graph) -> tuple[str, ...]:
    """Gives the prompt's tokens, empty where the graph does not hold them."""
    return tuple(str(token) for token in (graph.meta.get("prompt") or {}).get("tokens") or ())


def _feature(graph: Graph, part: str) -> set[str]:
    features = graph.nodes.filter(pl.col("kind") == "feature")["node"].to_list()
    found = {node for node in features if node.partition("@")[0] == part}
    if not found:
        known = dict.fromkeys(node.partition("@")[0] for node in features)
        raise NotFound(
            f"No feature {part} is on at any position of this graph ({len(known)} features are)."
            + near_matches(part, known)
        )
    return found


def _token(graph: Graph, text: str) -> set[str]:
    words = tokens(graph)
    if not words:
        raise NotFound(f"token:{text} needs the prompt's tokens, which this graph does not hold: use pos:3.")
    if not text.strip():
        raise UsageError('token: names no word: write token:Dallas or token:" Dallas".')
    places = spelt(words, text)
    if not places:
        hint = near_matches(text.strip(), {word.strip() for word in words})
        raise NotFound(f"No token {text!r} in the prompt {''.join(words)!r}.{hint}")
    return placed(graph, places)


def spelt(words: Sequence[str], text: str) -> set[int]:
    """Gives the positions of the tokens that, alone or several in a row, spell the text."""
    found: set[int] = set()
    for start in range(len(words)):
        run = ""
        for end in range(start, len(words)):
            run += words[end]
            if run == text or run.lstrip() == text:
                found.update(range(start, end + 1))
            if len(run.lstrip()) > len(text):
                break
    return found


def _position(graph: Graph, text: str) -> set[str]:
    first, last = _interval("pos", text)
    at = graph.nodes.filter(pl.col("kind").is_in(PLACED))["pos"]
    found = placed(graph, range(first, last + 1))
    if not found:
        raise NotFound(f"No token or feature at pos:{text}: positions go from {at.min()!r} to {at.max()!r}.")
    return found


def placed(graph: Graph, places: Iterable[int]) -> set[str]:
    """Gives the token, the positional embedding and every feature at some positions."""
    here = pl.col("kind").is_in(PLACED) & pl.col("pos").is_in(list(places))
    return set(graph.nodes.filter(here)["node"])


def _label(graph: Graph, pattern: str) -> set[str]:
    table = graph.nodes.filter(pl.col("label").is_not_null() & (pl.col("kind") == "feature"))
    wanted = pattern.casefold()
    pairs = [(node, label.casefold()) for node, label in table.select("node", "label").iter_rows()]
    found = {node for node, label in pairs if fnmatchcase(label, wanted)}
    if not found:
        inside = sum(wanted.strip("*") in label for _, label in pairs) if wanted.strip("*") else 0
        hint = f" {inside} contain it: write label:*{pattern.strip('*')}*." if inside else ""
        hint = hint or near_matches(wanted, {label for _, label in pairs})
        raise NotFound(f"No label matches {pattern!r} among those of {len(pairs)} features.{hint}")
    return found


def _layer(graph: Graph, text: str) -> set[str]:
    first, last = _interval("layer", text)
    features = graph.nodes.filter(pl.col("kind") == "feature")
    found = set(features.filter(pl.col("layer").is_between(first, last))["node"])
    if not found:
        at = features["layer"]
        raise NotFound(
            f"No feature in layer:{text}: this graph's layers go from {at.min()!r} to {at.max()!r}."
        )
    return found


def _words(graph: Graph) -> set[str]:
    found = set(graph.nodes.filter(kind="token")["node"])
    if not found:
        raise NotFound("This graph has no token embedding, so no words: name features, or pos:3.")
    return found


def _stored(graph: Graph, name: str) -> pl.Series:
    """Gives the nodes of a concept the graph has, none if it has no such."""
    return graph.nodes.filter(pl.col("concept") == name)["node"]


def _concept(graph: Graph, name: str) -> set[str]:
    have = _stored(graph, name)
    if not len(have):
        known = graph.nodes["concept"].drop_nulls().unique().to_list()
        raise NotFound(
            f"Nothing is called {name!r}: no node and none of this graph's {len(known)} concepts."
            + near_matches(name, [*known, *graph.index])
        )
    return set(have)


def _interval(what: str, text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text.strip())
    if not found:
        raise UsageError(f"{what}:{text} is no number: write {what}:3 or {what}:3-5.")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise UsageError(f"{what}:{text} runs backwards: write {what}:{last}-{first}.")
    return first, last


WAYS: Final[Mapping[str, Callable[[Graph, str], set[str]]]] = {
    "token": _token,
    "pos": _position,
    "label": _label,
    "layer": _layer,
    "concept": _concept,
}
"""Ways to select by something, written WAY:VALUE."""
