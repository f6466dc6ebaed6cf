"""A text and features whose meaning is known: what a label should find, and what it must not."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from circuits.cards import describe as describing
from circuits.cards.describe import Logits
from circuits.cards.record import Cards
from circuits.cards.settings import Describing
from circuits.cards.tally import Events
from circuits.cards.text import Text

WORDS = [f" w{chr(97 + i)}" for i in range(20)]
CITIES, STATE, IS, VERB = (2, 3, 4), 5, 6, 7
CONCEPTS = {
    "cities": {"tokens": [WORDS[i] for i in CITIES]},
    "scripts": {"domain": "code"},
    "state after is": {"tokens": [WORDS[STATE]], "after": [WORDS[IS]]},
    "never": {"tokens": [" no such token"]},
}
PLANTED = ("on", "after", "say", "domain", "pair", "word", "noise", "fickle", "dead", "half", "mute")
FEATURE = {name: number for number, name in enumerate(PLANTED)}
HOW = Describing(before=3, after=2, sample=64)


def text(m: int = 512, n: int = 32) -> Text:
    dice = np.random.default_rng(0)
    ids = dice.integers(0, len(WORDS), (m, n)).astype(np.uint16)
    return Text(ids, np.repeat([0, 1], m // 2), ("code", "prose"), "planted")


def truth(seen: Text) -> np.ndarray:
    """m × (n - 2) × features: where each feature is on, by what was planted."""
    here, before, after = (seen.ids[:, 1:-1], seen.ids[:, :-2], seen.ids[:, 2:])
    dice = np.random.default_rng(1)
    city = np.isin(here, CITIES)
    on = np.zeros((*here.shape, len(PLANTED)), bool)
    on[..., FEATURE["on"]] = city
    on[..., FEATURE["after"]] = np.isin(before, CITIES)
    on[..., FEATURE["say"]] = np.isin(after, CITIES)
    on[..., FEATURE["mute"]] = on[..., FEATURE["say"]]  # but it promotes other tokens
    on[..., FEATURE["domain"]] = (seen.domain == 0)[:, None] & (dice.random(here.shape) < 0.3)
    on[..., FEATURE["pair"]] = (here == STATE) & (before == IS)
    on[..., FEATURE["word"]] = here == VERB
    on[..., FEATURE["noise"]] = dice.random(here.shape) < 0.05
    on[..., FEATURE["half"]] = city & (dice.random(here.shape) < 0.5)
    choosing = seen.choosing()
    on[..., FEATURE["fickle"]] = np.where(choosing[:, None], here == VERB, here == STATE)
    return on


def activations(seen: Text) -> np.ndarray:
    """Between 5 and 8 where a feature is on, and a weak 0.5 at some other tokens."""
    on, dice = truth(seen), np.random.default_rng(2)
    strong = 5 + 3 * dice.random(on.shape)
    weak = np.where(dice.random(on.shape) < 0.1, 0.5, 0.0)
    dense = np.where(on, strong, weak).astype(np.float32)
    dense[..., FEATURE["dead"]] = 0
    return dense


def cards(
    monkeypatch: pytest.MonkeyPatch, how: Describing = HOW, **changes
) -> tuple[Cards, Text, np.ndarray]:
    """The planted features' cards, the text in the order it was read, and the activations there."""
    whole = text()
    dense = activations(whole)
    ordered, _ = whole.halved(how.seed)
    choosing = whole.choosing()
    order = np.random.default_rng(how.seed).permutation(len(whole))
    order = np.concatenate([order[choosing[order]], order[~choosing[order]]])
    dense = dense[order]

    def stream(model, dictionary, text, rows, at_once):
        for start in range(rows.start, rows.stop, at_once):
            end = min(start + at_once, rows.stop)
            yield end - rows.start, 3, Events.of(dense[start:end], start * text.length)

    def promote(*_):
        most = np.tile(np.array([8, 9, 10]), (len(PLANTED), 1))
        most[FEATURE["say"]] = CITIES
        by = np.tile(np.array([3.0, 2.0, 1.0], np.float32), (len(PLANTED), 1))
        return Logits(most, by, most + 5, -by)

    monkeypatch.setattr(describing, "stream", stream)
    monkeypatch.setattr(describing, "promote", promote)
    anatomy = SimpleNamespace(unembedding=np.zeros((len(WORDS), 1)))
    model = SimpleNamespace(anatomy=anatomy, decode=WORDS.__getitem__, name="m", spec="m", fingerprint="f")
    record = {
        "kind": "transcoder", "spec": "d", "fingerprint": "d1", "n_features": len(PLANTED), "layers": [3],
        "read_site": "mlp_in", "write_site": "mlp_out",
    }  # fmt: skip
    dictionary = SimpleNamespace(layers=(3,), n_features=len(PLANTED), record=lambda: record)
    made = describing.describe(model, dictionary, whole, changes.get("concepts", CONCEPTS), how)
    return made, ordered, dense
