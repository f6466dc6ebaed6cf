"""Labels: chosen for every feature on one half of the text, then tested on the other."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.cards.best import ranks
from circuits.cards.concepts import Concepts, Seen
from circuits.cards.counts import Counts
from circuits.cards.settings import ROLES, Limits
from circuits.cards.words import words

OWN = 3
"""Tokens a label may list where no named concept fits."""

NAMED = 0.02
"""How much smaller its score may be for a named concept to be preferred to a list of tokens."""

_BLOCK = 2048  # features at a time

BETA = 0.5
"""How much recall counts against precision in the score: what is said should be right first."""


@dataclass(frozen=True)
class Labels:
    """One label for each of m features: a concept or a list of tokens, in a role, perhaps in one domain.

    Attributes:
        role: index into `ROLES`; -1 where a feature has no label.
        concept: index of the concept, -1 where tokens are listed.
        tokens: listed tokens, -1 where fewer.
        domain: index of the domain the tokens must be in, -1 for any.
        precision: estimated on the choosing half.
        recall: likewise.
    """

    role: Int[np.ndarray, "m"]
    concept: Int[np.ndarray, "m"]
    tokens: Int[np.ndarray, "m k"]
    domain: Int[np.ndarray, "m"]
    precision: Float[np.ndarray, "m"]
    recall: Float[np.ndarray, "m"]

    @property
    def score(self) -> Float[np.ndarray, "m"]:
        """Gives F½ of precision and recall, 0 where there is no label."""
        return np.where(self.role >= 0, f_score(self.precision, self.recall), 0)

    def member(
        self, concepts: Concepts, seen: Seen, feature: Int[np.ndarray, "*e"]
    ) -> Bool[np.ndarray, "*e"]:
        """Tells for every token whether it is what the label of the feature given for it says."""
        found = np.zeros(feature.shape, bool)
        for number, role in enumerate(ROLES):
            here = np.nonzero(self.role[feature] == number)
            part = Seen(seen.before[here], seen.here[here], seen.next[here], seen.domain[here])
            whose = feature[here]
            listed = (part.role(role)[:, None] == self.tokens[whose]).any(axis=1)
            domain = self.domain[whose]
            listed &= (domain < 0) | (domain == part.domain)
            if len(concepts):
                named = concepts.member(part, role, self.concept[whose].clip(0))
                listed = np.where(self.concept[whose] >= 0, named, listed)
            found[here] = listed
        return found

    def occurrences(self, concepts: Concepts, counts: Counts) -> Int[np.ndarray, "m"]:
        """Gives how many tokens there are of what each label says."""
        found = np.zeros(len(self.role), np.int64)
        for number, role in enumerate(ROLES):
            here = np.flatnonzero(self.role == number)
            by_token = np.concatenate([counts.token[role], np.zeros_like(counts.token[role][:1])])
            both = by_token[self.tokens[here]]  # the last row, of zeros, is that of -1
            one = np.take_along_axis(both, self.domain[here].clip(0)[:, None, None], axis=2)[..., 0]
            listed = np.where(self.domain[here, None] < 0, both.sum(axis=2), one).sum(axis=1)
            if len(concepts):
                named = counts.concept[role][self.concept[here].clip(0)]
                listed = np.where(self.concept[here] >= 0, named, listed)
            found[here] = listed
        return found

    def text(self, feature: int, concepts: Concepts, strings: Sequence[str], domains: Sequence[str]) -> str:
        """Gives a label in words."""
        role, concept, domain = (int(part[feature]) for part in (self.role, self.concept, self.domain))
        if concept >= 0:
            what = concepts.names[concept]
        else:
            what = words([strings[token] for token in self.tokens[feature].tolist() if token >= 0])
            what = re.sub(r"^the words? ", "", what) if ROLES[role] == "say" else what
        what += f" in {called(domains[domain], domain, concepts)}" if domain >= 0 else ""
        return what if ROLES[role] == "on" else f"{ROLES[role]} {what}"


def f_score(precision: Float[np.ndarray, "*e"], recall: Float[np.ndarray, "*e"]) -> Float[np.ndarray, "*e"]:
    """Gives F_β = (1 + β²) · P · R / (β² · P + R), β = ½ (van Rijsbergen 1979); 0 where both are."""
    both = BETA**2 * precision + recall
    return np.asarray((1 + BETA**2) * precision * recall / np.where(both > 0, both, 1))


def called(name: str, domain: int, concepts: Concepts) -> str:
    """Gives the name of the concept that is a domain and nothing else, or the domain's own name."""
    alone = concepts.tokens.all(axis=0) & concepts.after.all(axis=0) & ~concepts.plain
    found = np.flatnonzero(alone & concepts.domain[domain])
    return concepts.names[found[0]] if len(found) else name


@dataclass(frozen=True)
class Sample:
    """What labels are chosen by: for each of m features, up to s tokens at which it is on.

    Attributes:
        seen: the tokens, m × s.
        real: which of them there are.
        expected: about how many tokens there are at which each feature is on.
        promoted: ids of the tokens each feature promotes most.
    """

    seen: Seen
    real: Bool[np.ndarray, "m s"]
    expected: Float[np.ndarray, "m"]
    promoted: Int[np.ndarray, "m p"]

    def rows(self, first: int, last: int) -> Sample:
        """Gives the sample of some features."""
        names = ("before", "here", "next", "domain")
        seen = Seen(*(getattr(self.seen, name)[first:last] for name in names))
        parts = (self.real, self.expected, self.promoted)
        return Sample(seen, *(part[first:last] for part in parts))

    def share(self, labels: Labels, concepts: Concepts) -> Float[np.ndarray, "m"]:
        """Gives the share of each feature's tokens that are what its label says."""
        which = np.broadcast_to(np.arange(len(self.real))[:, None], self.real.shape)
        inside = labels.member(concepts, self.seen, which) & self.real
        return np.asarray(inside.sum(axis=1) / np.maximum(self.real.sum(axis=1), 1))


def choose(sample: Sample, concepts: Concepts, counts: Counts, limits: Limits) -> tuple[Labels, Labels]:
    """Gives for every feature the best label of what it reads, and of what it makes the model say.

    The best has the largest F½ of precision and recall among those within the limits. What a feature makes
    the model say is looked for among the tokens it promotes.
    """
    reading, saying = [], []
    for first in range(0, len(sample.real), _BLOCK):
        part = sample.rows(first, first + _BLOCK)
        inside = [*_listed(part, "on", counts), *_listed(part, "after", counts)]
        outside = _listed(part, "say", counts)
        if len(concepts):
            inside += [_named(part, role, concepts, counts, limits) for role in ("on", "after")]
            outside.append(_named(part, "say", concepts, counts, limits))
        reading.append(_best(inside, part, concepts, counts, limits))
        saying.append(_best(outside, part, concepts, counts, limits))
    return _joined(reading), _joined(saying)


def _joined(parts: Sequence[Labels]) -> Labels:
    names = ("role", "concept", "tokens", "domain", "precision", "recall")
    return Labels(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _best(
    candidates: Sequence[Labels], sample: Sample, concepts: Concepts, counts: Counts, limits: Limits
) -> Labels:
    """Gives the best candidate of every feature."""
    scores, tried = [], []
    for labels in candidates:
        precision = sample.share(labels, concepts)
        occurrences = labels.occurrences(concepts, counts)
        recall = (precision * sample.expected / np.maximum(occurrences, 1)).clip(max=1)
        one = Labels(labels.role, labels.concept, labels.tokens, labels.domain, precision, recall)
        enough = passes(precision, recall, occurrences / max(counts.tokens, 1), sample.expected, limits)
        scores.append(np.where(enough, one.score + NAMED * (labels.concept >= 0), -1))
        tried.append(one)
    best = np.argmax(scores, axis=0)
    lines = np.arange(len(best))
    role, concept, tokens, domain, precision, recall = (
        np.stack([getattr(labels, name) for labels in tried])[best, lines]
        for name in ("role", "concept", "tokens", "domain", "precision", "recall")
    )
    role = np.where(np.max(scores, axis=0) > 0, role, -1)
    return Labels(role, concept, tokens, domain, precision, recall)


def passes(
    precision: Float[np.ndarray, "m"],
    recall: Float[np.ndarray, "m"],
    base: Float[np.ndarray, "m"],
    on: Float[np.ndarray, "m"] | Int[np.ndarray, "m"],
    limits: Limits,
) -> Bool[np.ndarray, "m"]:
    """Tells which labels are within the limits; `base` is the share of such tokens in the text."""
    return np.asarray(
        (precision >= limits.precision)
        & (recall >= limits.recall)
        & (precision >= limits.lift * base)
        & (on >= limits.on)
    )


def _listed(sample: Sample, role: str, counts: Counts) -> list[Labels]:
    """Gives labels that list a feature's commonest one, two and three tokens, anywhere and in a domain."""
    if role == "say":
        tokens = sample.promoted[:, :OWN]
    else:
        tokens = commonest(sample.seen.role(role), sample.real, len(counts.token[role]), OWN)
    domain = commonest(sample.seen.domain, sample.real, len(counts.domain), 1)[:, 0]
    kept = [np.where(np.arange(OWN) < length, tokens, -1) for length in range(1, OWN + 1)]
    anywhere, unnamed = np.full_like(domain, -1), np.full(len(tokens), -1)
    places = (anywhere, domain) if len(counts.domain) > 1 else (anywhere,)
    return [_labels(role, unnamed, some, where) for some in kept for where in places]


def _named(sample: Sample, role: str, concepts: Concepts, counts: Counts, limits: Limits) -> Labels:
    """Gives the concept of largest F½ within the limits; to be said, half of it must be promoted."""
    m = len(sample.real)
    best = np.zeros(m, np.int64)
    size = concepts.tokens.sum(axis=0)
    for start in range(0, m, 64):
        part = sample.rows(start, start + 64)
        inside = (concepts.members(part.seen, role) & part.real[:, :, None]).sum(axis=1)
        precision = inside / np.maximum(part.real.sum(axis=1), 1)[:, None]
        recall = precision * part.expected[:, None] / np.maximum(counts.concept[role], 1)
        score = f_score(precision, recall) * (precision >= limits.precision) * (recall >= limits.recall)
        if role == "say":
            held = concepts.tokens[part.promoted].sum(axis=1)
            score = np.where(2 * held >= np.minimum(size, part.promoted.shape[1]), score, 0)
        best[start : start + 64] = np.where(score.max(axis=1) > 0, score.argmax(axis=1), -1)
    labels = _labels(role, best, np.full((m, OWN), -1), np.full(m, -1))
    labels.role[best < 0] = -1
    return labels


def _labels(
    role: str, concept: Int[np.ndarray, "m"], tokens: Int[np.ndarray, "m k"], domain: Int[np.ndarray, "m"]
) -> Labels:
    m = len(concept)
    return Labels(np.full(m, ROLES.index(role)), concept, tokens, domain, np.zeros(m), np.zeros(m))


def commonest(
    value: Int[np.ndarray, "m s"], real: Bool[np.ndarray, "m s"], size: int, n: int
) -> Int[np.ndarray, "m n"]:
    """Gives the n commonest values of each row, -1 where there are fewer; values are below `size`."""
    row, _ = np.nonzero(real)
    pairs, times = np.unique(row * size + value[real], return_counts=True)
    row, which = np.divmod(pairs, size)
    order = np.lexsort((which, -times, row))
    row, which = row[order], which[order]
    rank = ranks(row)
    found = np.full((len(real), n), -1)
    kept = rank < n
    found[row[kept], rank[kept]] = which[kept]
    return found
