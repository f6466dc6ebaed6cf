"""From counts to rows: one layer's part of the table of cards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.cards.best import ranks
from circuits.cards.concepts import Concepts, Seen
from circuits.cards.counts import Counts
from circuits.cards.labels import Labels, passes
from circuits.cards.record import CARD_SCHEMA
from circuits.cards.settings import BINS, ROLES, Describing
from circuits.cards.tally import Tally
from circuits.cards.text import Text

if TYPE_CHECKING:
    from circuits.cards.describe import Logits

SHARES = 3
"""Tokens and domains of a kind that a card lists."""

PRIOR = 100.0
"""Tokens that the text's own frequencies count for in log-odds."""


@dataclass(frozen=True)
class Tested:
    """Labels with their hits on the testing half.

    Attributes:
        labels: as chosen.
        hits: tokens at which the feature is on and the label holds.
        hits_any: tokens with any positive activation at which it holds.
        occurrences: tokens at which it holds.
    """

    labels: Labels
    hits: Int[np.ndarray, "m"]
    hits_any: Int[np.ndarray, "m"]
    occurrences: Int[np.ndarray, "m"]


@dataclass(frozen=True)
class Basis:
    """What all layers share: the text, the concepts, the counts of its halves, and how cards are made."""

    text: Text
    concepts: Concepts
    choosing: Counts
    testing: Counts
    strings: Sequence[str]
    how: Describing


def table(
    layer: int, tally: Tally, logits: Logits, tested: Sequence[Tested], basis: Basis
) -> tuple[pl.DataFrame, set[int]]:
    """Gives the rows of a layer, and the tokens that occur in them."""
    text, m = basis.text, tally.m
    labels = [_labels(tally, side, basis) for side in tested]
    order = tested[0].labels.score >= tested[1].labels.score
    held = [
        [label for label in (pair if first else pair[::-1]) if label is not None]
        for *pair, first in zip(*labels, order, strict=True)
    ]
    fifth, tokens, values = _contexts(tally, text, basis)
    real = tally.strong.at >= 0
    seen = Seen.at(text, np.where(real, tally.strong.at, 1))
    shares = {
        f"{role}_tokens": log_odds(seen.role(role), real, basis.choosing.token[role].sum(axis=1))
        for role in ("on", "after")
    }
    total = basis.choosing.tokens + basis.testing.tokens
    columns: dict[str, Any] = {
        "layer": np.full(m, layer),
        "feature": np.arange(m),
        "frequency": tally.on / total,
        "negative": tally.negative / total,
        "maximum": tally.maximum,
        "half": tally.largest / 2,
        "bars": list(tally.bars),
        "label": [label[0]["text"] if label else None for label in held],
        "labels": held,
        **shares,
        "domains": _domains(seen.domain, real, len(text.domains)),
        "promoted": list(logits.promoted),
        "promoted_by": list(short(logits.promoted_by)),
        "suppressed": list(logits.suppressed),
        "suppressed_by": list(short(logits.suppressed_by)),
        "context_fifth": fifth,
        "context_tokens": tokens,
        "context_values": values,
    }
    used = {int(t) for part in tokens for t in np.unique(part)} - {len(basis.strings)}
    used |= set(logits.promoted.reshape(-1).tolist()) | set(logits.suppressed.reshape(-1).tolist())
    used |= {entry["token"] for side in shares.values() for row in side for entry in row}
    return pl.DataFrame(columns, schema=CARD_SCHEMA, strict=False), used


def _labels(tally: Tally, side: Tested, basis: Basis) -> list[dict[str, Any] | None]:
    """Gives the labels of one side that are within the limits on the testing half too."""
    labels, on = side.labels, tally.n_strong
    precision, recall, recall_any = (
        part / np.maximum(whole, 1)
        for part, whole in ((side.hits, on), (side.hits, side.occurrences), (side.hits_any, side.occurrences))
    )
    base = side.occurrences / max(basis.testing.tokens, 1)
    good = passes(precision, recall, base, on, basis.how.limits) & (labels.role >= 0)
    return [
        {
            "text": labels.text(f, basis.concepts, basis.strings, basis.text.domains),
            "role": ROLES[labels.role[f]],
            "named": labels.concept[f] >= 0,
            "precision": precision[f],
            "recall": recall[f],
            "recall_any": recall_any[f],
            "base": base[f],
            "on": on[f],
        }
        if good[f]
        else None
        for f in range(tally.m)
    ]


def _contexts(
    tally: Tally, text: Text, basis: Basis
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Gives each feature's contexts: fifth, tokens and activations in 255ths of the maximum."""
    how, m = basis.how, tally.m
    lower = np.repeat(np.arange(BINS - 1, 0, -1), how.per_bin)
    fifth = np.concatenate([np.full(how.top, BINS), lower])
    order = tally.top.order()
    lines = np.arange(m)[:, None]
    at, around = tally.top.at[lines, order], tally.top.around[lines, order]
    if how.per_bin:
        drawn = tally.fifths.at.reshape(m, BINS - 1, -1)[:, ::-1].reshape(m, -1)
        near = tally.fifths.around.reshape(m, BINS - 1, how.per_bin, -1)[:, ::-1]
        at = np.concatenate([at, drawn], axis=1)
        around = np.concatenate([around, near.reshape(m, -1, around.shape[2])], axis=1)
    place = at[:, :, None] + np.arange(-how.before, how.after + 1)
    same = (place // text.length == at[:, :, None] // text.length) & (place >= 0)
    ids = text.ids.reshape(-1)[place.clip(0, text.ids.size - 1)].astype(np.int64)
    tokens = np.where(same, ids, len(basis.strings))
    share = around / np.maximum(tally.maximum, 1e-30)[:, None, None]
    values = np.where(same, np.rint(share.clip(0, 1) * 255), 0).astype(np.uint8)
    real = at >= 0
    return (
        [fifth[row] for row in real],
        [part[row].reshape(-1) for part, row in zip(tokens, real, strict=True)],
        [part[row].reshape(-1) for part, row in zip(values, real, strict=True)],
    )


def log_odds(
    value: Int[np.ndarray, "m s"], real: np.ndarray, background: Int[np.ndarray, "V"]
) -> list[list[dict[str, Any]]]:
    """Gives each feature's most telling tokens: share of its tokens, and log-odds against the text.

    With y of a feature's n tokens being w, which is a share π of the text's,
    δ = logit((y + απ)/(n + α)) - logit(π), α = 100: log-odds with an informative Dirichlet prior
    (Monroe et al. 2008). The tokens of the largest z = δ · sqrt(y + απ) are given.
    """
    m, size = len(real), len(background)
    row, _ = np.nonzero(real)
    pairs, times = np.unique(row * size + value[real], return_counts=True)
    row, token = np.divmod(pairs, size)
    n = real.sum(axis=1)[row]
    usual = ((background + 0.5) / (background.sum() + 0.5 * size))[token]
    share = (times + PRIOR * usual) / (n + PRIOR)
    delta = short(_logit(share) - _logit(usual))
    strength = delta * np.sqrt(times + PRIOR * usual)
    order = np.lexsort((token, -strength, row))
    kept = order[(ranks(row[order]) < SHARES) & (strength[order] > 0)]
    found: list[list[dict[str, Any]]] = [[] for _ in range(m)]
    for i in kept.tolist():
        entry = {"token": int(token[i]), "share": times[i] / n[i], "log_odds": float(delta[i])}
        found[row[i]].append(entry)
    return found


def short(values: Float[np.ndarray, "*e"]) -> Float[np.ndarray, "*e"]:
    """Gives numbers rounded to 8 binary digits, which compress to half the size."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)


def _logit(share: Float[np.ndarray, "k"]) -> Float[np.ndarray, "k"]:
    return np.asarray(np.log(share) - np.log1p(-np.minimum(share, 1 - 1e-9)))


def _domains(domain: Int[np.ndarray, "m s"], real: np.ndarray, count: int) -> list[list[dict[str, Any]]]:
    """Gives the domains in which each feature is on, the commonest first, with their shares."""
    m = len(real)
    row, _ = np.nonzero(real)
    times = np.bincount(row * count + domain[real], minlength=m * count).reshape(m, count)
    share = times / np.maximum(times.sum(axis=1, keepdims=True), 1)
    order = np.argsort(-share, axis=1, kind="stable")[:, :SHARES]
    return [
        [{"domain": int(d), "share": share[f, d]} for d in order[f].tolist() if share[f, d] > 0]
        for f in range(m)
    ]
