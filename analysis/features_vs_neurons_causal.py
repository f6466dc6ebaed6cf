"""What the model says when one unit is clamped on text that has nothing to do with it.

On neutral text the unit is (about) off, so clamping it to c times its largest activation adds
c · activation · decoder to the stream at every position. Beside it, vectors of the same norm: other features
of the same dictionary, the best neuron (added where it writes), and the mean-difference direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from features_vs_neurons_basis import Basis  # type: ignore[import-not-found]
from features_vs_neurons_contest import Study  # type: ignore[import-not-found]
from features_vs_neurons_texts import Passage  # type: ignore[import-not-found]
from features_vs_neurons_units import LAYER, STREAM, probe  # type: ignore[import-not-found]
from jaxtyping import Float, Int
from torch import Tensor

from circuits.extraction.lens import promoted
from circuits.models.base import Model
from circuits.models.sites import Change, Place, replaced

TOPICS: Final = {"religion": ("scripture", "scripture"), "DNA": ("DNA", "dna")}
"""What a clamped feature is called, the concept it was chosen for, and the domain of its tokens."""
DOSES: Final = (0.5, 1.0, 2.0, 4.0)
PROMPTS: Final = ("The house is", "In the morning the people", "The opposite of hot is")
WORDS: Final = 50
OTHERS: Final = 8
NEUTRAL: Final = 24
Row = dict[str, Any]


@dataclass(frozen=True)
class Push:
    """A vector to add to the stream, at dose 1, and where."""

    place: Place
    vector: Float[Tensor, "d"]

    def at(self, dose: float) -> dict[Place, Change]:
        """Gives the change of the stream."""
        return {self.place: lambda x: x + dose * self.vector}


def clamped(study: Study, concepts: Mapping[str, Row], name: str, work: Path) -> dict[str, Row]:
    """Gives for religion and DNA the card of a dictionary's feature and what clamping it does.

    Args:
        study: the competitors.
        concepts: what `compare` gave: which units were chosen.
        name: the dictionary.
        work: the directory of `data/build_corpus.py`.
    """
    neutral = _neutral(study.passages)
    told = {}
    for topic, (concept, domain) in TOPICS.items():
        words = typical(work, domain)
        units = concepts[concept]["units"]
        feature = units[name]["unit"]
        pushes = _pushes(study, concept, name, (feature, units["neurons"]["unit"]))
        rows = []
        for dose in (0.0, *DOSES):
            for kind, listed in pushes.items():
                found = [_effect(study.model, neutral, words, push.at(dose)) for push in listed]
                mass, loss = np.array(found).T
                row = {"dose": dose, "of": kind, "mass": mass.mean(), "least": mass.min(), "most": mass.max()}
                rows.append({**row, "loss": loss.mean()})
        first = next(iter(pushes.values()))[0]
        told[topic] = {
            "dictionary": name,
            "feature": f"{LAYER}/{feature}",
            "neuron": units["neurons"]["called"],
            "norm": round(float(first.vector.norm()), 3),
            "stream norm": round(float(study.stream.norm(dim=1).median()), 3),
            "card": card(study, name, feature),
            "words": [study.model.decode(int(word)) for word in words],
            "effect": [
                {k: v if isinstance(v, str) else round(float(v), 5) for k, v in r.items()} for r in rows
            ],
            "says": {
                f"{dose:g}": [continued(study.model, prompt, first.at(dose)) for prompt in PROMPTS]
                for dose in (0.0, 1.0, 2.0)
            },
        }
    return told


def typical(work: Path, domain: str) -> Int[np.ndarray, "w"]:
    """Gives the tokens typical of a domain: of those 8 times as common as elsewhere, the commonest.

    They are taken from held-out text, which no unit was chosen on.
    """
    arrays = np.load(work / "held_out.npz")
    size = 1 + max(int(arrays[key].max()) for key in arrays.files)
    inside = np.bincount(arrays[domain], minlength=size)
    outside = np.bincount(np.concatenate([arrays[k] for k in arrays.files if k != domain]), minlength=size)
    ratio = (inside / inside.sum()) / ((outside + 1) / outside.sum())
    able = np.where((ratio >= 8) & (inside >= 10), inside, 0)
    chosen = np.argsort(-able, kind="stable")[:WORDS]
    return np.asarray(chosen[able[chosen] > 0])


def card(study: Study, name: str, feature: int) -> Row:
    """Gives a feature's strongest held-out contexts, one a document, and the tokens it promotes."""
    (basis,) = (basis for basis in study.bases if basis.name == name)
    tokens = study.tokens
    test = np.flatnonzero(tokens.split == 2)
    strength = basis.column(feature, test)
    contexts: list[Row] = []
    seen: set[int] = set()
    for place in np.argsort(-strength, kind="stable"):
        row = test[place]
        if int(tokens.document[row]) in seen or not strength[place] > 0:
            continue
        seen.add(int(tokens.document[row]))
        ids = study.passages[tokens.passage[row]].ids
        at = int(tokens.position[row])
        before, here, after = ids[max(1, at - 9) : at], ids[at], ids[at + 1 : at + 5]
        spelt = [study.model.tokenizer.decode(list(part)) for part in (before, [here], after)]
        contexts.append(
            {"text": spelt, "activation": round(float(strength[place]), 2), "of": str(tokens.group[row])}
        )
        if len(contexts) == 8:
            break
    ((_, decoder),) = study.dictionaries[name].coder(LAYER).decoders
    direction = decoder.take([feature])
    return {
        "contexts": contexts,
        "promotes": promoted(study.model, direction)[0],
        "suppresses": promoted(study.model, -direction)[0],
        "on": round(float((basis.column(feature, np.arange(len(tokens.id))) > 0).mean()), 4),
    }


def _neutral(passages: Sequence[Passage]) -> Int[Tensor, "b n"]:
    """Gives held-out passages of neither topic, of one length."""
    chosen = [p.ids for p in passages if p.group == "neutral" and p.split == "test"]
    length = 40
    rows = [ids[:length] for ids in chosen if len(ids) >= length]
    step = max(1, len(rows) // NEUTRAL)
    return torch.tensor(rows[::step][:NEUTRAL])


def _pushes(study: Study, concept: str, name: str, chosen: tuple[int, int]) -> dict[str, list[Push]]:
    """Gives what is added at dose 1, all of one norm: the feature, other features, neuron, probe."""
    by_name: dict[str, Basis] = {basis.name: basis for basis in study.bases}
    feature, neuron = chosen
    seen = np.flatnonzero(study.tokens.split < 2)
    largest = float(by_name[name].column(feature, seen).max())
    ((_, decoder),) = study.dictionaries[name].coder(LAYER).decoders
    own = decoder.take([feature])[0] * largest
    norm = float(own.norm())
    dice = np.random.default_rng(3)
    often = np.diff(by_name[name].values.tocsc().indptr)
    able = np.flatnonzero((often >= 50) & (np.arange(len(often)) != feature))
    others = decoder.take(dice.choice(able, OTHERS, replace=False).tolist())
    m = by_name["neurons"].size // 2
    layer, number = divmod(neuron % m, m // (LAYER + 1))
    written = study.model.anatomy.layers[layer].mlp.down[:, number] * (-1 if neuron >= m else 1)
    # a negated neuron is pushed the way that lowers it
    direction = torch.from_numpy(probe(study.stream, study.labelled[concept, "search"]))

    def push(vector: Float[Tensor, "d"], place: Place = STREAM) -> Push:
        return Push(place, vector * (norm / float(vector.norm())))

    return {
        "feature": [push(own)],
        "other features": [push(other) for other in others],
        "neuron": [push(written, (layer, "block_out"))],
        "mean difference": [push(direction)],
    }


@torch.no_grad()
def _effect(
    model: Model, ids: Int[Tensor, "b n"], words: Int[np.ndarray, "w"], changes: Mapping[Place, Change]
) -> tuple[float, float]:
    """Gives the mean probability of the words as next token, and the loss, under a change."""
    module: Any = model.module
    with replaced(model, changes):
        logits = module(input_ids=ids, use_cache=False).logits[:, :-1]
    log = torch.log_softmax(logits, dim=-1)
    mass = float(log[..., torch.from_numpy(words)].exp().sum(-1).mean())
    loss = float(-log.gather(2, ids[:, 1:, None]).mean())
    return mass, loss


@torch.no_grad()
def continued(model: Model, prompt: str, changes: Mapping[Place, Change], count: int = 24) -> str:
    """Gives a prompt's continuation, sampled at temperature 0.7 with a fixed seed."""
    module: Any = model.module
    dice = torch.Generator().manual_seed(0)
    ids = model.encode(prompt)
    first = len(ids)
    with replaced(model, changes):
        for _ in range(count):
            logits = module(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1] / 0.7
            ids.append(int(torch.multinomial(torch.softmax(logits, 0), 1, generator=dice)))
    return str(model.tokenizer.decode(ids[first:]))
