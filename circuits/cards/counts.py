"""How often every token and concept occurs in one half of the text: what recall is a share of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from circuits.cards.concepts import Concepts, Seen
from circuits.cards.settings import ROLES
from circuits.cards.text import Text


@dataclass(frozen=True)
class Counts:
    """Occurrences among the tokens looked at. V tokens, D domains, C concepts.

    Attributes:
        tokens: how many were looked at.
        token: by role, of every token in every domain.
        concept: by role, of every concept.
        domain: tokens of each domain.
    """

    tokens: int
    token: dict[str, Int[np.ndarray, "V D"]]
    concept: dict[str, Int[np.ndarray, "C"]]
    domain: Int[np.ndarray, "D"]


def count(text: Text, first: int, last: int, concepts: Concepts) -> Counts:
    """Gives the counts over some sequences of a text."""
    size, domains = concepts.tokens.shape[0], len(text.domains)
    token = {role: np.zeros(size * domains, np.int64) for role in ROLES}
    concept = {role: np.zeros(len(concepts), np.int64) for role in ROLES}
    domain = np.zeros(domains, np.int64)
    for at in text.places(first, last):
        seen = Seen.at(text, at)
        domain += np.bincount(seen.domain, minlength=domains)
        for role in ROLES:
            token[role] += np.bincount(seen.role(role) * domains + seen.domain, minlength=size * domains)
            concept[role] += concepts.members(seen, role).sum(axis=0)
    shaped = {role: counted.reshape(size, domains) for role, counted in token.items()}
    return Counts(int(domain.sum()), shaped, concept, domain)
