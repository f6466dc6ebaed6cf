"""The kept features of each layer, turned into the rows and terms of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.extraction.fold import Frozen
from circuits.schema import GateName
from circuits.trace import Features, Gated, Terms

THRESHOLD_GATES: tuple[GateName, ...] = ("relu", "jumprelu", "topk", "abstopk")
"""Gates that are exactly off below a threshold; for the others no feature is dormant."""


@dataclass(frozen=True)
class LayerRows:
    """The kept features of one layer. f occurrences of u features, e read and w write terms.

    Attributes:
        layer: the layer.
        position: of each occurrence.
        place: of each occurrence in `ids`.
        ids: the features, ascending.
        encoding: its numbers are those of the occurrences only.
        bias: the part of each pre-activation that is not read from the stream.
        reads: per term, residual-space rows: u, or f where each occurrence has its own.
        coefficients: per term, f numbers, or None for 1.
        own_rows: whether `reads` has f rows rather than u.
        product: gate and value of each occurrence and their activation, where it is a gated neuron.
        writes: per term, the layer written to, u residual-space rows, and f numbers or None for 1.
    """

    layer: int
    position: Int[Tensor, "f"]
    place: Int[Tensor, "f"]
    ids: Int[Tensor, "u"]
    pre_activation: Float[Tensor, "f"]
    activation: Float[Tensor, "f"]
    threshold: Float[Tensor, "f"]
    gate: GateName
    bias: Float[Tensor, "f"]
    reads: tuple[Float[Tensor, "_ d"], ...]
    own_rows: bool
    coefficients: tuple[Float[Tensor, "f"] | None, ...]
    writes: tuple[tuple[int, Float[Tensor, "u d"], Float[Tensor, "f"] | None], ...]
    product: tuple[Float[Tensor, "f"], Float[Tensor, "f"], GateName] | None = None


@dataclass(frozen=True)
class Table:
    """All layers' features as a trace has them."""

    vectors: Float[np.ndarray, "V d"]
    features: Features
    reads: Terms
    writes: Terms
    gated: Gated | None


def distance(encoding: Encoding) -> Float[Tensor, "n m"] | None:
    """Gives threshold - z, how far each feature is from turning on; None for gates without threshold."""
    if encoding.gate not in THRESHOLD_GATES:
        return None
    z = encoding.pre_activation.abs() if encoding.gate == "abstopk" else encoding.pre_activation
    return -z if encoding.threshold is None else encoding.threshold - z


def collect(
    frozen: Frozen, layer: int, x: Float[Tensor, "n d"], encoding: Encoding, kept: Bool[Tensor, "n m"]
) -> LayerRows:
    """Gives the rows of the kept features of one layer, sorted by (position, id).

    Args:
        frozen: the model on one prompt.
        layer: the layer.
        x: what its features read, at the dictionary's read site.
        encoding: of x.
        kept: which features are kept, at which positions.
    """
    position, feature = (part.contiguous() for part in kept.nonzero().T)
    ids, place = torch.unique(feature, return_inverse=True)
    reader = frozen.reader(layer)
    bias = encoding.activation.new_zeros(len(position))
    reads, coefficients = [], []
    for term in frozen.dictionary.read_terms(layer, x):
        rows, offset = reader.pull(term.rows.take(ids), place, position)
        times = None if term.coefficient is None else term.coefficient[position, feature]
        bias += offset if times is None else offset * times
        if term.bias is not None:
            bias += term.bias[feature] if term.bias.ndim == 1 else term.bias[position, feature]
        reads.append(rows)
        coefficients.append(times)
    threshold, product = encoding.threshold, encoding.product
    return LayerRows(
        layer=layer,
        position=position,
        place=place,
        ids=ids,
        pre_activation=encoding.pre_activation[position, feature],
        activation=encoding.activation[position, feature],
        threshold=bias.new_zeros(len(bias)) if threshold is None else threshold[position, feature],
        gate=encoding.gate,
        bias=bias,
        reads=tuple(reads),
        own_rows=reader.own_rows,
        coefficients=tuple(coefficients),
        writes=tuple(
            (
                term.layer,
                frozen.write_frame(term.layer).push(term.rows.take(ids)),
                None if term.coefficient is None else term.coefficient[position],
            )
            for term in frozen.dictionary.write_terms(layer, x)
        ),
        product=None
        if product is None
        else (product.gate[position, feature], product.value[position, feature], product.activation),
    )


def written(rows: LayerRows, n_positions: int) -> dict[int, Float[Tensor, "n d"]]:
    """Gives what the features write into each layer at their activations, before the write scale."""
    active = rows.activation.new_zeros(n_positions, len(rows.ids))
    total: dict[int, Tensor] = {}
    for layer, vectors, times in rows.writes:
        active[rows.position, rows.place] = rows.activation if times is None else rows.activation * times
        total[layer] = total.get(layer, 0) + active @ vectors
    return total


def join(layers: Sequence[LayerRows], width: int) -> Table:
    """Gives the layers' rows as one table; vectors are shared by the occurrences of a feature."""
    gates = tuple(dict.fromkeys(rows.gate for rows in layers))
    vectors: list[np.ndarray] = []
    reads: list[tuple[np.ndarray, ...]] = []
    writes: list[tuple[np.ndarray, ...]] = []
    gated: list[tuple[np.ndarray, ...]] = []
    first_feature = first_vector = 0
    for rows in layers:
        feature = first_feature + np.arange(len(rows.position))
        place = array(rows.place)
        ones = np.ones(len(feature), dtype=array(rows.bias).dtype)
        if rows.product is not None:
            which = np.arange(len(feature)) if rows.own_rows else place
            vector = first_vector + which, first_vector + len(rows.reads[0]) + which
            gated.append((feature, *vector, array(rows.product[0]), array(rows.product[1])))
        for matrix, times in zip(rows.reads, rows.coefficients, strict=True):
            at = np.full_like(feature, rows.layer)
            which = np.arange(len(feature)) if rows.own_rows else place
            reads.append((feature, first_vector + which, at, ones if times is None else array(times)))
            vectors.append(array(matrix))
            first_vector += len(matrix)
        for layer, matrix, times in rows.writes:
            at = np.full_like(feature, layer)
            writes.append((feature, first_vector + place, at, ones if times is None else array(times)))
            vectors.append(array(matrix))
            first_vector += len(matrix)
        first_feature += len(feature)
    numbers = {name: _stack([array(getattr(rows, name)) for rows in layers]) for name in _FLOAT_COLUMNS}
    features = Features(
        layer=_ints([np.full(len(rows.position), rows.layer) for rows in layers]),
        position=_ints([array(rows.position) for rows in layers]),
        id=_ints([array(rows.ids[rows.place]) for rows in layers]),
        gate=_ints([np.full(len(rows.position), gates.index(rows.gate)) for rows in layers]).astype(np.int8),
        gates=gates,
        **numbers,
    )
    joined = np.concatenate(vectors).reshape(-1, width)
    acts = [rows.product[2] for rows in layers if rows.product is not None]
    return Table(joined, features, _terms(reads), _terms(writes), _gated(gated, acts[0]) if gated else None)


_FLOAT_COLUMNS = ("activation", "pre_activation", "bias", "threshold")


def array(tensor: Tensor) -> np.ndarray:
    """Gives a tensor's numbers as NumPy, shared where it lies in main memory."""
    return tensor.detach().cpu().numpy()


def _stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts)


def _ints(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts).astype(np.int32)


def _gated(parts: Sequence[tuple[np.ndarray, ...]], act: GateName) -> Gated:
    feature, gate_vector, value_vector = (_ints([part[i] for part in parts]) for i in range(3))
    gate, value = (_stack([part[i] for part in parts]) for i in (3, 4))
    return Gated(feature, gate_vector, value_vector, gate, value, act)


def _terms(parts: Sequence[tuple[np.ndarray, ...]]) -> Terms:
    """Gives terms sorted by feature."""
    feature, vector, layer = (_ints([part[i] for part in parts]) for i in range(3))
    coefficient = _stack([part[3] for part in parts])
    order = np.argsort(feature, kind="stable")
    return Terms(feature[order], vector[order], layer[order], coefficient[order])
