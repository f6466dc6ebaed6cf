"""Cards from text: one pass of it through model and dictionary, its halves kept apart.

The choosing half gives each feature its largest activation and a random sample of the tokens at which it is
on (at half of that or more); labels are chosen by these. The testing half then gives each label its precision
and recall, and all other numbers of the card but the top contexts, which come from both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int

from circuits.cards import labels as chosen
from circuits.cards.concepts import Concepts, Seen, tabled
from circuits.cards.counts import count
from circuits.cards.labels import Labels, Sample
from circuits.cards.record import Cards
from circuits.cards.settings import PROMOTED, SUPPRESSED, TESTED, Describing
from circuits.cards.table import Basis, Tested, table
from circuits.cards.tally import Events, Tally, stream
from circuits.cards.text import Text
from circuits.dictionaries.base import AbstractDictionary
from circuits.extraction.lens import lens_scores, written_directions
from circuits.models.base import Model

Told = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and of how much."""

_BLOCK = 256


@dataclass(frozen=True)
class Logits:
    """What each of m features promotes and suppresses, in logits per unit of activation, less the mean."""

    promoted: Int[np.ndarray, "m p"]
    promoted_by: Float[np.ndarray, "m p"]
    suppressed: Int[np.ndarray, "m p"]
    suppressed_by: Float[np.ndarray, "m p"]


class Trial:
    """One layer's labels on the testing half: how often they hold where features are on, and elsewhere."""

    def __init__(self, labels: Labels, m: int) -> None:
        self.labels = labels
        self.hits, self.hits_any = np.zeros(m, np.int64), np.zeros(m, np.int64)

    def see(self, concepts: Concepts, seen: Seen, events: Events, strong: Bool[np.ndarray, "e"]) -> None:
        """Counts events."""
        inside = self.labels.member(concepts, seen, events.feature)
        self.hits += np.bincount(events.feature[inside & strong], minlength=len(self.hits))
        self.hits_any += np.bincount(events.feature[inside], minlength=len(self.hits))


def describe(
    model: Model,
    dictionary: AbstractDictionary,
    text: Text,
    concepts: dict[str, dict[str, object]] | None = None,
    how: Describing | None = None,
    *,
    progress: Told | None = None,
) -> Cards:
    """Gives the cards of all features of a dictionary.

    Args:
        model: the model.
        dictionary: of any kind.
        text: what it is run on.
        concepts: as `circuits.cards.concepts.load_concepts` gives them.
        how: see `Describing`.
        progress: told of the sequences done.

    Raises:
        InvalidFile: activations that are NaN or infinite.

    Example:
        >>> cards = describe(model, dictionary, load_text(path, model))  # doctest: +SKIP
        >>> cards.card(1, 926).labels[0]  # doctest: +SKIP
        Label(text='say capitals', role='say', named=True, precision=0.99, recall=0.31, ...)
    """
    how, tell = how or Describing(), progress or (lambda *_: None)
    strings = [model.decode(token) for token in range(len(model.anatomy.unembedding))]
    text, split = text.halved(how.seed)
    named = tabled(concepts or {}, strings, text.domains)
    tallies = {layer: Tally(dictionary.n_features, how) for layer in dictionary.layers}
    for done, layer, events in stream(model, dictionary, text, range(split), how.at_once):
        tallies[layer].choose(events, text.length)
        tell("Reading", done, len(text))
    tell("Choosing labels", 0, len(tallies))
    choosing = count(text, 0, split, named)
    logits, trials = {}, {}
    for done, (layer, tally) in enumerate(tallies.items()):
        logits[layer] = promote(model, dictionary, layer)
        sample = sampled(text, tally, logits[layer])
        sides = chosen.choose(sample, named, choosing, how.limits)
        trials[layer] = tuple(Trial(side, tally.m) for side in sides)
        tell("Choosing labels", done + 1, len(tallies))
    for done, layer, events in stream(model, dictionary, text, range(split, len(text)), how.at_once):
        strong, seen = tallies[layer].test(events, text.length), Seen.at(text, events.at)
        for trial in trials[layer]:
            trial.see(named, seen, events, strong)
        tell("Testing", split + done, len(text))
    testing = count(text, split, len(text), named)
    basis = Basis(text, named, choosing, testing, strings, how)
    frames: list[pl.DataFrame] = []
    used: set[int] = set()
    for layer, tally in tallies.items():
        tested = [
            Tested(trial.labels, trial.hits, trial.hits_any, trial.labels.occurrences(named, testing))
            for trial in trials[layer]
        ]
        frame, tokens = table(layer, tally, logits[layer], tested, basis)
        frames.append(frame)
        used |= tokens
    ids = sorted(used)
    meta = _meta(model, dictionary, how) | {
        "text": {
            "source": text.source,
            "length": text.length,
            "choosing": choosing.tokens,
            "testing": testing.tokens,
            "domains": list(text.domains),
        },
        "nothing": len(strings),
        "token_ids": ids,
        "token_texts": [strings[token] for token in ids],
    }
    return Cards(pl.concat(frames), meta)


def sampled(text: Text, tally: Tally, logits: Logits) -> Sample:
    """Gives what a layer's labels are chosen by."""
    real = tally.strong.at >= 0
    seen = Seen.at(text, np.where(real, tally.strong.at, 1))
    return Sample(seen, real, tally.expected(), logits.promoted)


@torch.no_grad()
def promote(model: Model, dictionary: AbstractDictionary, layer: int) -> Logits:
    """Gives what the features of a layer promote and suppress directly."""
    directions = written_directions(model, dictionary, layer)
    parts: list[tuple[np.ndarray, ...]] = []
    for rows in torch.split(directions, _BLOCK):
        scores = lens_scores(model, rows).float()
        scores -= scores.mean(dim=1, keepdim=True)
        size = scores.shape[1]
        most = torch.topk(scores, min(PROMOTED, size), dim=1)
        least = torch.topk(scores, min(SUPPRESSED, size), dim=1, largest=False)
        found = (most.indices, most.values, least.indices, least.values)
        parts.append(tuple(part.cpu().numpy() for part in found))
    return Logits(*(np.concatenate([part[i] for part in parts]) for i in range(4)))


def _meta(model: Model, dictionary: AbstractDictionary, how: Describing) -> dict[str, object]:
    return {
        "model": {"name": model.name, "spec": model.spec, "fingerprint": model.fingerprint},
        "dictionary": dictionary.record(),
        "settings": asdict(how),
        "limits": {**asdict(how.limits), "text": str(how.limits)},
        "tested": TESTED,
    }
