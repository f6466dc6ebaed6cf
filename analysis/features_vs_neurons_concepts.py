"""The concepts, with what looks like them and is not, as labelled tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from features_vs_neurons_texts import READ_FIRST, SPLITS, Passage  # type: ignore[import-not-found]
from jaxtyping import Bool, Float, Int

MOST: Final = {"search": 1100, "validation": 1100, "test": 2500}
"""Tokens of one kind in a split, at most."""


@dataclass(frozen=True)
class Concept:
    """What a unit may stand for.

    Attributes:
        name: a short name.
        on: groups, or of a named concept the set of names, that are on it.
        off: kinds of tokens that are not; each weighs the same.
    """

    name: str
    on: str
    off: tuple[str, ...]


CONCEPTS: Final = (
    Concept(
        "scripture", "scripture", ("god in literature", "god in definitions and quotations", "literature")
    ),
    Concept("DNA", "DNA", ("genetics prose", "hex", "base64", "CAPITALS")),
    Concept("16S, not chance", "DNA", ("random ACGT",)),
    Concept(
        "Python code", "code", ("documentation prose", "prose with symbols", "arithmetic", "identifiers")
    ),
    Concept("Arabic", "Arabic", ("Arabic in Latin letters", "Arabic in Hebrew letters", "base64")),
    Concept("base64", "base64", ("hex", "identifiers", "DNA", "CAPITALS")),
    Concept("hexadecimal", "hex", ("base64", "identifiers", "DNA", "arithmetic")),
    Concept("CAPITALS", "CAPITALS", ("lower case", "DNA", "base64")),
    Concept("US state names", "state", ("other names", "other words")),
    Concept("cities of Texas", "Texan city", ("other cities", "other names", "other words")),
    Concept("currencies", "currency", ("other names", "other words")),
    Concept("capitals", "capital", ("other cities", "other names", "other words")),
)
NAMES: Final = ("state", "Texan city", "currency", "capital")


@dataclass(frozen=True)
class Tokens:
    """All tokens to be scored, t of them, of all passages.

    Attributes:
        passage: the passage each is in.
        position: its place in it.
        id: the token.
        document: the document it is from.
        split: index into `SPLITS`.
        group: what the passage is.
    """

    passage: Int[np.ndarray, "t"]
    position: Int[np.ndarray, "t"]
    id: Int[np.ndarray, "t"]
    document: Int[np.ndarray, "t"]
    split: Int[np.ndarray, "t"]
    group: np.ndarray


@dataclass(frozen=True)
class Labelled:
    """The tokens of one concept and split, n of them.

    Attributes:
        rows: their places among all tokens.
        positive: whether they are on the concept.
        kind: 0 where positive, else 1 + the place in `Concept.off`.
        weight: the positives weigh 1 in all, the negatives too, and every kind of them the same.
        document: the document each is from.
        passage: the passage.
    """

    rows: Int[np.ndarray, "n"]
    positive: Bool[np.ndarray, "n"]
    kind: Int[np.ndarray, "n"]
    weight: Float[np.ndarray, "n"]
    document: Int[np.ndarray, "n"]
    passage: Int[np.ndarray, "n"]


def tokens_of(passages: Sequence[Passage]) -> Tokens:
    """Gives the tokens to be scored: of text all but a passage's first few."""
    kept = [
        range(1 if passage.group == "geography" else READ_FIRST + 1, len(passage.ids)) for passage in passages
    ]
    size = [len(places) for places in kept]

    def each(values: Sequence[Any]) -> np.ndarray:
        return np.repeat(np.array(values), size)

    return Tokens(
        passage=each(range(len(passages))),
        position=np.concatenate([np.array(places) for places in kept]),
        id=np.concatenate([np.array(p.ids)[places] for p, places in zip(passages, kept, strict=True)]),
        document=each([passage.document for passage in passages]),
        split=each([SPLITS.index(passage.split) for passage in passages]),
        group=each([passage.group for passage in passages]),
    )


def names(work: Path, tokenizer: Any) -> dict[str, set[int]]:
    """Gives the tokens that are names of a kind and of no other, by kind."""
    world = json.loads((work / "world.json").read_text())
    regions: Mapping[str, Mapping[str, str]] = world["regions"]
    capitals = {region["capital"] for region in regions.values()}
    sets = {
        "state": {r["name"] for r in regions.values() if r["kind"] == "state"},
        "country": {r["name"] for r in regions.values() if r["kind"] == "country"},
        "currency": {r["currency"] for r in regions.values() if r["currency"]},
        "people": {r["people"] for r in regions.values() if r["people"]},
        "capital": capitals,
        "Texan city": {city for city, code in world["cities"].items() if code == "US-TX"} - capitals,
        "city": {city for city, code in world["cities"].items() if code != "US-TX"} - capitals,
    }
    single: dict[str, set[int]] = {}
    for kind, of_kind in sets.items():
        found = [tokenizer(f" {name}", add_special_tokens=False)["input_ids"] for name in sorted(of_kind)]
        single[kind] = {ids[0] for ids in found if len(ids) == 1}
    return {
        kind: ids - set().union(*(other for name, other in single.items() if name != kind))
        for kind, ids in single.items()
    }


def label(tokens: Tokens, named: Mapping[str, set[int]], concept: Concept, split: str) -> Labelled:
    """Gives the labelled tokens of a concept in a split.

    Raises:
        ValueError: a kind of tokens does not occur.
    """
    kind = np.full(len(tokens.id), -1)
    for number, off in enumerate(concept.off, start=1):
        kind[_where(tokens, named, off, concept.on)] = number
    kind[_where(tokens, named, concept.on, concept.on)] = 0
    kind[tokens.split != SPLITS.index(split)] = -1
    rows = _thinned(kind, MOST[split])
    kind = kind[rows]
    count = np.bincount(kind, minlength=len(concept.off) + 1)
    if not count.all():
        missing = (concept.on, *concept.off)[int(np.argmin(count))]
        raise ValueError(f"{concept.name} has no token of {missing} in the {split} split.")
    share = np.array([1.0] + [1 / len(concept.off)] * len(concept.off)) / count
    return Labelled(rows, kind == 0, kind, share[kind], tokens.document[rows], tokens.passage[rows])


def limited(tokens: Tokens, named: Mapping[str, set[int]]) -> Tokens:
    """Gives the tokens that any concept needs."""
    rows = [label(tokens, named, concept, split).rows for concept in CONCEPTS for split in SPLITS]
    kept = np.unique(np.concatenate(rows))
    return Tokens(**{name: values[kept] for name, values in vars(tokens).items()})


def _thinned(kind: Int[np.ndarray, "t"], most: int) -> Int[np.ndarray, "n"]:
    """Gives the places of the tokens of every kind, at most so many of each, drawn at random."""
    dice = np.random.default_rng(1)
    found = [np.flatnonzero(kind == number) for number in range(int(kind.max()) + 1)]
    return np.sort(np.concatenate([dice.permutation(places)[:most] for places in found]))


def _where(tokens: Tokens, named: Mapping[str, set[int]], kind: str, on: str) -> Bool[np.ndarray, "t"]:
    """Tells which tokens are of a kind: a group of text, or some names in geography."""
    if kind in set(tokens.group):
        return np.asarray(tokens.group == kind)
    other: set[int] = set().union(*(ids for name, ids in named.items() if name != on))
    cities = named["city"] | named["Texan city"] | named["capital"]
    sets = {
        "other cities": cities - named[on] if on in named else cities,
        "other names": other - cities if on in ("capital", "Texan city") else other,
    }
    if kind == "other words":
        chosen = ~np.isin(tokens.id, sorted(set().union(*named.values())))
    else:
        chosen = np.isin(tokens.id, sorted(sets.get(kind) or named[kind]))
    return np.asarray(chosen & (tokens.group == "geography"))
