"""What a dictionary gives in place of what passes: the outputs of its features, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary

ENCODED_AT_ONCE = 2**24
"""Pre-activations held at a time; with activations and thresholds about four times as many numbers."""


@dataclass(frozen=True)
class Written:
    """What the features of one layer write. n tokens, m features, width d.

    Attributes:
        into: by layer written into, n rows in the frame of the dictionary's write site. The layer's own
            holds its decoder bias and its skip connection too.
        on: of each feature, the number of tokens at which it is active (a ≠ 0).
    """

    into: dict[int, Float[Tensor, "n d"]]
    on: Int[Tensor, "m"]


@torch.no_grad()
def write(dictionary: AbstractDictionary, layer: int, x: Float[Tensor, "n d"]) -> Written:
    """Gives what the features of `layer` write for inputs x at the read site: Σ a_i decoder_i.

    What a layer of a dictionary gives is the sum over all layers that write into it: of a cross-layer
    transcoder its own and all earlier ones, of any other its own. Matrices are read from disk once a call
    and not kept; tokens are encoded a block at a time (`ENCODED_AT_ONCE`).

    Args:
        dictionary: of any kind.
        layer: one of its layers.
        x: what its features read.
    """
    block = max(1, ENCODED_AT_ONCE // dictionary.n_features)
    on = torch.zeros(dictionary.n_features, dtype=torch.long, device=x.device)
    decoders = {term.layer: term.rows.all() for term in dictionary.write_terms(layer, x[:0])}
    skip = dictionary.skip(layer)
    parts: dict[int, list[Tensor]] = {to: [] for to in (layer, *decoders)}
    for rows in torch.split(x, block):
        activation = dictionary.encode(layer, rows).activation
        on += (activation != 0).sum(0)
        found = {layer: torch.zeros_like(rows)}
        for term in dictionary.write_terms(layer, rows):
            part = activation @ decoders[term.layer]
            part = part if term.coefficient is None else part * term.coefficient[:, None]
            found[term.layer] = found.get(term.layer, 0) + part
        constant = dictionary.constant(layer, rows)
        found[layer] = found[layer] if constant is None else found[layer] + constant
        found[layer] = found[layer] if skip is None else found[layer] + rows @ skip.T
        for to, part in found.items():
            parts[to].append(part)
    return Written({to: torch.cat(found) for to, found in parts.items()}, on)
