"""What a dictionary costs the model: cross entropy with layers replaced by it, or taken away.

The cross entropy is the mean over all next tokens, in nats. A replacement leaves the first token of every
sequence (`FIRST`) as the model has it: dictionaries are not trained on it. An ablation puts zeros in place
of every token, or the mean over the evaluated tokens in place of these. The share recovered is
(ablated - replaced) / (ablated - own): 1 where the replacement costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from circuits.dictionaries.base import AbstractDictionary
from circuits.models.base import Model
from circuits.models.forward import capped
from circuits.models.sites import Change, Place, replaced
from circuits.training.activations import FIRST
from circuits.training.metrics import TOKENS_AT_ONCE
from circuits.training.reconstruct import decoders, write
from circuits.training.tokens import Sequences

LOGITS_AT_ONCE = 2**25
"""Logits held at a time; their softmax is as many again."""

Changes = dict[Place, Change]


@dataclass(frozen=True)
class Losses:
    """Cross entropy with some layers changed, in nats a token.

    Attributes:
        own: of the model itself.
        replaced: the dictionary in place of what passes.
        zero: zeros in its place.
        mean: its mean in its place.
    """

    own: float
    replaced: float
    zero: float
    mean: float

    @property
    def recovered(self) -> float:
        """Gives the share of what zeros cost that the dictionary recovers."""
        return _share(self.own, self.replaced, self.zero)

    @property
    def recovered_of_mean(self) -> float:
        """Gives the share of what the mean costs that the dictionary recovers."""
        return _share(self.own, self.replaced, self.mean)

    def to_dict(self) -> dict[str, float]:
        """Gives the numbers as JSON holds them."""
        return {
            "replaced": self.replaced,
            "zero": self.zero,
            "mean": self.mean,
            "recovered": self.recovered,
            "recovered_of_mean": self.recovered_of_mean,
        }


def _share(own: float, replaced: float, ablated: float) -> float:
    return (ablated - replaced) / (ablated - own) if ablated != own else float("nan")


def stand_ins(dictionary: AbstractDictionary, layers: Collection[int]) -> Changes:
    """Gives the changes that put a dictionary in place of some layers' outputs.

    Features read what passes in the changed model. A cross-layer transcoder's earlier layers are read
    too, whether or not they are replaced.

    Args:
        dictionary: for the model to change.
        layers: to replace.

    Example:
        >>> with replaced(model, stand_ins(transcoders, (2,))):  # doctest: +SKIP
        ...     model.module(ids)
    """
    given: dict[int, Tensor] = {}
    changes: Changes = {}

    def reading(layer: int) -> Change:
        def read(x: Tensor) -> Tensor:
            for to, part in write(dictionary, layer, x[:, FIRST:].flatten(0, 1), layers).into.items():
                given[to] = given[to] + part if to in given else part
            return x

        return read

    def writing(layer: int, before: Change | None) -> Change:
        def put(y: Tensor) -> Tensor:
            if before is not None:
                before(y)
            return torch.cat([y[:, :FIRST], given.pop(layer).view_as(y[:, FIRST:])], dim=1)

        return put

    for layer in dictionary.layers:
        if set(layers) & {layer, *decoders(dictionary, layer)}:
            changes[layer, dictionary.read_site] = reading(layer)
    for layer in layers:
        place: Place = (layer, dictionary.write_site)
        changes[place] = writing(layer, changes.get(place))  # an SAE reads where it writes
    return changes


def ablations(dictionary: AbstractDictionary, means: Mapping[int, Float[Tensor, "d"] | None]) -> Changes:
    """Gives the changes that put each layer's mean in place of its output, or zeros where that is None."""

    def putting(mean: Tensor | None) -> Change:
        def put(y: Tensor) -> Tensor:
            if mean is None:
                return torch.zeros_like(y)
            return torch.cat([y[:, :FIRST], mean.to(y).expand_as(y[:, FIRST:])], dim=1)

        return put

    return {(layer, dictionary.write_site): putting(mean) for layer, mean in means.items()}


@torch.no_grad()
def nats(
    model: Model,
    sequences: Sequences,
    changes: Changes | None = None,
    told: Callable[[int], None] | None = None,
) -> float:
    """Gives the cross entropy of the next token, in nats, mean over all tokens but the last of a sequence.

    Args:
        model: the model.
        sequences: the tokens.
        changes: what to put in place of what passes.
        told: of the tokens done.
    """
    module: Any = model.module
    head, length = module.get_output_embeddings(), int(sequences.ids.shape[1])
    at_once = max(1, TOKENS_AT_ONCE // length)
    rows = max(1, LOGITS_AT_ONCE // len(model.anatomy.unembedding))
    total = 0.0
    with replaced(model, changes or {}):
        for start in range(0, len(sequences), at_once):
            if told is not None:
                told(start * length)
            chosen = np.arange(start, min(start + at_once, len(sequences)))
            ids = sequences.take(chosen).to(model.anatomy.embedding.device)
            last = module.base_model(input_ids=ids, use_cache=False).last_hidden_state
            stream, following = last[:, :-1].flatten(0, 1), ids[:, 1:].flatten()
            for x, target in zip(torch.split(stream, rows), torch.split(following, rows), strict=True):
                loss = cross_entropy(capped(model.anatomy, head(x)), target, reduction="none")
                total += float(loss.double().sum())
    return total / (len(sequences) * (length - 1))
