"""What a dictionary gives in place of what passes: the outputs of its features, layer by layer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary, Rows

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


def decoders(dictionary: AbstractDictionary, layer: int) -> dict[int, Rows]:
    """Gives the decoder rows of a layer's features, by layer written into; nothing is read from disk."""
    return {term.layer: term.rows for term in dictionary.write_terms(layer, torch.empty(0, 2))}


@torch.no_grad()
def write(
    dictionary: AbstractDictionary,
    layer: int,
    x: Float[Tensor, "n d"],
    wanted: Collection[int] | None = None,
) -> Written:
    """Gives what the features of `layer` write for inputs x at the read site: Σ a_i decoder_i.

    What a layer of a dictionary gives is the sum over all layers that write into it: of a cross-layer
    transcoder its own and all earlier ones, of any other its own. Matrices are gone through once for each
    block of tokens (`ENCODED_AT_ONCE`) and not kept.

    Args:
        dictionary: of any kind.
        layer: one of its layers.
        x: what its features read.
        wanted: the layers whose outputs are asked for; None is all that it writes into.
    """
    on = torch.zeros(dictionary.n_features, dtype=torch.long, device=x.device)
    skip = dictionary.skip(layer)
    chosen = [to for to in decoders(dictionary, layer) if wanted is None or to in wanted]
    into: dict[int, Tensor] = {to: torch.zeros_like(x) for to in chosen}
    if wanted is None or layer in wanted:
        constant = dictionary.constant(layer, x)
        into[layer] = torch.zeros_like(x) if constant is None else constant.clone()
        into[layer] += 0 if skip is None else x @ skip.T
    block = max(1, ENCODED_AT_ONCE // dictionary.n_features)
    for start in range(0, len(x), block):
        part = slice(start, start + block)
        activation = dictionary.encode(layer, x[part]).activation
        on += (activation != 0).sum(0)
        for term in dictionary.write_terms(layer, x[part]):
            if term.layer in chosen:
                out = _sum(activation, term.rows)
                into[term.layer][part] += out if term.coefficient is None else out * term.coefficient[:, None]
    return Written(into, on)


def _sum(activation: Float[Tensor, "n m"], rows: Rows) -> Float[Tensor, "n d"]:
    """Gives Σ_i a_i row_i, going through the rows block by block."""
    total, at = None, 0
    for block in rows.blocks():
        part = activation[:, at : at + len(block)] @ block
        total = part if total is None else total.add_(part)
        at += len(block)
    assert total is not None
    return total
