"""What one layer's features do, counted while the text streams by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from circuits.cards.best import Best
from circuits.cards.settings import BARS, BINS, Describing
from circuits.cards.text import Text
from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import InvalidFile
from circuits.models.base import Model
from circuits.models.sites import capture

_STEPS, _OCTAVES = 4, 40  # resolution of the sizes counted while the largest is not yet known


@dataclass(frozen=True)
class Events:
    """Where the m features of one layer are on in b sequences: every positive activation.

    Attributes:
        feature: which.
        value: its activation.
        at: where, sequence times length plus position, in the whole text.
        dense: all activations, without the first and last token of each sequence.
        first: where the first of the b sequences begins.
    """

    feature: Int[np.ndarray, "e"]
    value: Float[np.ndarray, "e"]
    at: Int[np.ndarray, "e"]
    dense: Float[np.ndarray, "b t m"]
    first: int

    @classmethod
    def of(cls, dense: Float[np.ndarray, "b t m"], first: int) -> Events:
        """Gives the events of activations; `first` as above."""
        _, inner, m = dense.shape
        flat = dense.reshape(-1)
        found = np.flatnonzero(flat > 0)
        token, feature = np.divmod(found, m)
        sequence, position = np.divmod(token, inner)
        return cls(feature, flat[found], first + sequence * (inner + 2) + position + 1, dense, first)

    def around(self, which: Int[np.ndarray, "k"], before: int, after: int) -> Float[np.ndarray, "k width"]:
        """Gives some events' feature at the tokens around; 0 beyond the tokens looked at."""
        inner = self.dense.shape[1]
        sequence, position = np.divmod(self.at[which] - self.first, inner + 2)
        seen = position[:, None] - 1 + np.arange(-before, after + 1)
        inside = (seen >= 0) & (seen < inner)
        values = self.dense[sequence[:, None], seen.clip(0, inner - 1), self.feature[which][:, None]]
        return np.where(inside, values, 0).astype(np.float32)


@torch.no_grad()
def stream(
    model: Model, dictionary: AbstractDictionary, text: Text, rows: range, at_once: int
) -> Iterator[tuple[int, int, Events]]:
    """Yields sequences done, layer and events, layer after layer for a batch of sequences at a time.

    Raises:
        InvalidFile: an activation is NaN or infinite.
    """
    places = [(layer, dictionary.read_site) for layer in dictionary.layers]
    device = model.anatomy.embedding.device
    for start in range(rows.start, rows.stop, at_once):
        end = min(start + at_once, rows.stop)
        ids = torch.from_numpy(text.ids[start:end].astype(np.int64)).to(device)
        seen = capture(model, ids, places)
        for place in places:
            x = seen[place][:, 1:-1]
            dense = dictionary.encode(place[0], x.flatten(0, 1)).activation.float().cpu().numpy()
            if not np.isfinite(dense.sum()):
                raise InvalidFile(
                    f"{dictionary.spec} gives NaN or infinity in layer {place[0]} on this text."
                )
            shaped = dense.reshape(x.shape[0], x.shape[1], -1)
            yield end - rows.start, place[0], Events.of(shaped, start * text.length)


class Tally:
    """Counts of one layer's m features. First `choose` for the choosing half, then `test` for the other.

    Attributes:
        on: tokens with a positive activation, in both halves.
        negative: tokens with a negative one.
        largest: the largest activation of the choosing half; once that is over it stays.
        maximum: the largest of both halves.
        top: the largest activations, one a sequence.
        strong: a random sample of tokens with at least half the largest activation, choosing half.
        bars: tokens by tenth of the largest activation, testing half.
        fifths: random tokens of each lower fifth, testing half; row feature times 4 plus fifth.
        n_strong: tokens with at least half the largest activation, testing half.
    """

    def __init__(self, m: int, how: Describing) -> None:
        self._how, self._dice = how, np.random.default_rng(how.seed)
        self.m = m
        self.on, self.negative, self.n_strong = (np.zeros(m, np.int64) for _ in range(3))
        self.largest, self.maximum = np.zeros(m, np.float32), np.zeros(m, np.float32)
        self.top = Best(m, how.top, how.width)
        self.strong = Best(m, how.sample, 1)
        self.fifths = Best(m * (BINS - 1), max(how.per_bin, 1), how.width)
        self.bars = np.zeros((m, BARS), np.int64)
        self._sizes = np.zeros((m, _STEPS * _OCTAVES), np.int32)

    def choose(self, events: Events, length: int) -> None:
        """Counts events of the choosing half."""
        self._count(events, length)
        self.largest[:] = self.maximum
        half = self.largest / 2
        size = (np.log2(events.value) * _STEPS).astype(np.int64) + _STEPS * _OCTAVES // 2
        key = events.feature * self._sizes.shape[1] + size.clip(0, self._sizes.shape[1] - 1)
        self._sizes += (
            np.bincount(key, minlength=self._sizes.size).reshape(self._sizes.shape).astype(np.int32)
        )
        self.strong.drop((self.strong.around[:, :, 0] < half[:, None]) & (self.strong.at >= 0))
        strong = np.flatnonzero(events.value >= half[events.feature])
        row, value, at = events.feature[strong], events.value[strong], events.at[strong]
        draw = self._dice.random(len(strong), dtype=np.float32)
        best = self.strong.entering(row, draw)
        self.strong.add(row[best], draw[best], at[best], value[best, None])

    def expected(self) -> Float[np.ndarray, "m"]:
        """Gives about how many tokens of the choosing half have at least half the largest activation."""
        edge = (np.log2(np.maximum(self.largest / 2, 2.0**-60)) * _STEPS) + _STEPS * _OCTAVES // 2
        low = np.arange(self._sizes.shape[1])
        share = (low + 1 - edge[:, None]).clip(0, 1)
        return np.asarray((self._sizes * share).sum(axis=1))

    def test(self, events: Events, length: int) -> np.ndarray:
        """Counts events of the testing half, and tells at which of them features are on."""
        self._count(events, length)
        scale = np.maximum(self.largest, 1e-30)[events.feature]
        share = events.value / scale
        bar = (share * BARS).clip(0, BARS - 1).astype(np.int64)
        self.bars += np.bincount(events.feature * BARS + bar, minlength=self.bars.size).reshape(
            self.bars.shape
        )
        strong: np.ndarray = (share >= 0.5) & (self.largest[events.feature] > 0)
        self.n_strong += np.bincount(events.feature[strong], minlength=self.m)
        if self._how.per_bin:
            lower = np.flatnonzero(share < (BINS - 1) / BINS)
            row = events.feature[lower] * (BINS - 1) + (share[lower] * BINS).astype(np.int64)
            draw = self._dice.random(len(lower), dtype=np.float32)
            best = self.fifths.entering(row, draw)
            around = events.around(lower[best], self._how.before, self._how.after)
            self.fifths.add(row[best], draw[best], events.at[lower[best]], around)
        return strong

    def _count(self, events: Events, length: int) -> None:
        self.on += np.bincount(events.feature, minlength=self.m)
        self.negative += np.count_nonzero(events.dense < 0, axis=(0, 1))
        np.maximum.at(self.maximum, events.feature, events.value)
        best = self.top.entering(events.feature, events.value, events.at // length)
        around = events.around(best, self._how.before, self._how.after)
        self.top.add(events.feature[best], events.value[best], events.at[best], around)
