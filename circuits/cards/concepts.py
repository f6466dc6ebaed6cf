"""Named concepts: sets of tokens, domains, and tokens behind other tokens, from a small JSON file.

    {"cities in Texas": {"tokens": [" Dallas", " Houston"]},
     "DNA": {"domain": "dna"},
     "state after the": {"tokens": [" state"], "after": [" the"]}}

A token is in a concept if everything that is said holds: it is one of `tokens`, the token before it is one
of `after`, its document is of `domain`. Tokens are written as the tokenizer spells them, blank included.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from circuits.cards.text import Text
from circuits.errors import InvalidFile, NotFound

KEYS = ("tokens", "after", "domain")


@dataclass(frozen=True)
class Seen:
    """Tokens with what a label may look at: themselves, their neighbours, their domain.

    Attributes:
        before: ids of the tokens before.
        here: ids.
        next: ids of the tokens that follow.
        domain: index into the text's domains.
    """

    before: Int[np.ndarray, "*e"]
    here: Int[np.ndarray, "*e"]
    next: Int[np.ndarray, "*e"]
    domain: Int[np.ndarray, "*e"]

    @classmethod
    def at(cls, text: Text, at: Int[np.ndarray, "*e"]) -> Seen:
        """Gives the tokens at some places, each a sequence times the length plus a position."""
        flat = text.ids.reshape(-1)
        before, here, after = (flat[at + step].astype(np.int64) for step in (-1, 0, 1))
        return cls(before, here, after, text.domain[at // text.length])

    def role(self, role: str) -> Int[np.ndarray, "*e"]:
        """Gives the tokens a role looks at: "on" these, "after" those before, "say" those that follow."""
        return {"on": self.here, "after": self.before, "say": self.next}[role]


@dataclass(frozen=True)
class Concepts:
    """C named concepts as tables over a vocabulary of V tokens and D domains.

    Attributes:
        names: their names.
        tokens: V × C, whether a token may stand there; all true where nothing is said of it.
        after: V × C, whether a token may stand before.
        domain: D × C, whether the document may be of it.
        plain: C, whether a concept is a set of tokens and nothing else; only such can be said of the token
            before or of the one that follows.
    """

    names: tuple[str, ...]
    tokens: Bool[np.ndarray, "V C"]
    after: Bool[np.ndarray, "V C"]
    domain: Bool[np.ndarray, "D C"]
    plain: Bool[np.ndarray, "C"]

    def __len__(self) -> int:
        return len(self.names)

    def members(self, seen: Seen, role: str) -> Bool[np.ndarray, "*e C"]:
        """Tells for every token and concept whether the token is in it, in a role."""
        if role != "on":
            found: np.ndarray = self.tokens[seen.role(role)] & self.plain
            return found
        return np.asarray(self.tokens[seen.here] & self.after[seen.before] & self.domain[seen.domain])

    def member(self, seen: Seen, role: str, concept: Int[np.ndarray, "*e"]) -> Bool[np.ndarray, "*e"]:
        """Tells for every token whether it is in the concept given for it, in a role."""
        if role != "on":
            return np.asarray(self.tokens[seen.role(role), concept] & self.plain[concept])
        return np.asarray(
            self.tokens[seen.here, concept]
            & self.after[seen.before, concept]
            & self.domain[seen.domain, concept]
        )


def load_concepts(path: Path) -> dict[str, dict[str, Any]]:
    """Gives the concepts of a JSON file, checked.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it is not in the format above; the concept is named.
    """
    if not path.is_file():
        raise NotFound(f"No file {path}: give concepts as JSON, name to tokens or domain.")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as cause:
        raise InvalidFile(f"{path} is no JSON: {cause}.") from cause
    if not isinstance(given, dict):
        raise InvalidFile(f"{path} holds no object: give a concept's name and what it is.")
    for name, said in given.items():
        lists = (isinstance(said, dict) and said.get(key, []) for key in ("tokens", "after"))
        good = (
            isinstance(said, dict)
            and said
            and set(said) <= set(KEYS)
            and all(isinstance(part, list) and all(isinstance(t, str) for t in part) for part in lists)
            and isinstance(said.get("domain", ""), str)
        )
        if not good:
            raise InvalidFile(
                f"The concept {name!r} in {path} is not understood: give lists of strings as 'tokens' or"
                " 'after', or a string as 'domain', and nothing else."
            )
    return given


def tabled(given: dict[str, dict[str, Any]], strings: Sequence[str], domains: Sequence[str]) -> Concepts:
    """Gives concepts as tables; those of which no token, or not the domain, occurs are left out.

    Args:
        given: as `load_concepts` gives them.
        strings: the text of every token id.
        domains: of the text.
    """
    ids: dict[str, list[int]] = {}
    for number, string in enumerate(strings):
        ids.setdefault(string, []).append(number)
    names: list[str] = []
    columns: list[tuple[np.ndarray, ...]] = []
    for name, said in given.items():
        column = [np.ones(len(strings), bool), np.ones(len(strings), bool), np.ones(len(domains), bool)]
        for place, key in enumerate(("tokens", "after")):
            if key in said:
                column[place][:] = False
                column[place][[i for token in said[key] for i in ids.get(token, ())]] = True
        if "domain" in said:
            column[2] = np.array([domain == said["domain"] for domain in domains], bool)
        if all(part.any() for part in column):
            names.append(name)
            columns.append((*column, np.array(set(said) == {"tokens"})))
    if not names:
        empty = np.zeros((len(strings), 0), bool)
        return Concepts((), empty, empty, np.zeros((len(domains), 0), bool), np.zeros(0, bool))
    tokens, after, domain, plain = (np.stack([c[i] for c in columns], axis=-1) for i in range(4))
    return Concepts(tuple(names), tokens, after, domain, plain)
