"""What a dictionary says of the stream as it now is, and what acting on its features then adds.

The model's own MLPs run; to act on a feature is to add what its activation changes by, times what it writes:
(a' − a(now)) · write, at the layer, or layers, it writes into. circuit-tracer's `feature_intervention` does
the same when it is not told to constrain layers (Ameisen et al. 2025, "constrained patching" is the other).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.graph.actions import Affine
from circuits.intervene.places import Feature

BY_ROW = ("relu", "jumprelu")
"""Gates that tell a feature's activation from its own pre-activation, whatever the others do."""


@dataclass(frozen=True)
class Gate:
    """How activations of a layer follow from pre-activations: name, and thresholds of all features."""

    name: str
    threshold: Float[Tensor, "F"] | None = None


def gate_of(dictionary: AbstractDictionary, layer: int, x: Float[Tensor, "n d"]) -> Gate:
    """Gives the gate of a layer; any input x at the read site tells it."""
    encoding = dictionary.encode(layer, x[:1])
    same = encoding.threshold is not None and encoding.gate == "jumprelu"
    return Gate(
        encoding.gate, encoding.threshold[0].clone() if same and encoding.threshold is not None else None
    )


def evaluate(
    dictionary: AbstractDictionary,
    layer: int,
    x: Float[Tensor, "k d"],
    ids: Int[Tensor, "u"],
    gate: Gate,
) -> tuple[Float[Tensor, "k u"], Float[Tensor, "k u"]]:
    """Gives pre-activations and activations of some features for inputs x at the read site.

    Only their rows are read, unless others decide which are on (top-k) or the dictionary is the model's
    own neurons.
    """
    if dictionary.kind == "neurons" or gate.name not in BY_ROW:
        encoding = dictionary.encode(layer, x)
        return encoding.pre_activation[:, ids], encoding.activation[:, ids]
    z = x.new_zeros(len(x), len(ids))
    for term in dictionary.read_terms(layer, x):
        seen = x @ term.rows.take(ids).T
        z += seen if term.coefficient is None else seen * term.coefficient[:, ids]
        if term.bias is not None:
            z += term.bias[..., ids]
    if gate.threshold is None:
        return z, z.relu()
    return z, z * (z > gate.threshold[ids])


def additions(
    dictionary: AbstractDictionary,
    layer: int,
    x: Float[Tensor, "B m d"],
    acts: Sequence[Mapping[Feature, Affine]],
    where: tuple[int, Gate],
) -> dict[int, Float[Tensor, "B m d"]]:
    """Gives what acting on features of a layer adds at the write site, by layer written into.

    Args:
        dictionary: the dictionary.
        layer: the layer.
        x: what its features now read, at the m positions from the first of `where` on.
        acts: what is done in each of the B interventions, each feature at a position.
        where: the position x begins at, and the layer's gate.
    """
    start, gate = where
    m = x.shape[1]
    done = [
        (b, feature.pos - start, feature.id, affine)
        for b, one in enumerate(acts)
        for feature, affine in one.items()
        if feature.layer == layer and feature.pos is not None and 0 <= feature.pos - start < m
    ]
    if not done:
        return {}
    cells = torch.tensor([b * m + p for b, p, _, _ in done])
    cell, row = torch.unique(cells, return_inverse=True)
    ids, column = torch.unique(torch.tensor([i for _, _, i, _ in done]), return_inverse=True)
    seen = x.flatten(0, 1)[cell]
    now = evaluate(dictionary, layer, seen, ids, gate)[1]
    scale, offset = (seen.new_tensor([affine[part] for *_, affine in done]) for part in (0, 1))
    change = torch.zeros_like(now)
    change[row, column] = (scale - 1) * now[row, column] + offset
    found: dict[int, Tensor] = {}
    for term in dictionary.write_terms(layer, seen):
        times = change if term.coefficient is None else change * term.coefficient[:, None]
        added = torch.zeros_like(x).flatten(0, 1)
        added[cell] = times @ term.rows.take(ids)
        added = added.view_as(x)
        found[term.layer] = found[term.layer] + added if term.layer in found else added
    return found
