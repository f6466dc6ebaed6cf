"""The classes of dictionary_learning: from the state one of them saved to `CoderLayer`.

::

    class                   matrices        biases                                       activation
    AutoEncoder             nn.Linear       encoder.bias, bias *                         relu
    AutoEncoderNew          nn.Linear       encoder.bias, decoder.bias                   relu
    GatedAutoEncoder        nn.Linear       mag_bias, gate_bias, r_mag, decoder_bias *   gated
    AutoEncoderTopK         nn.Linear       encoder.bias, b_dec *                        top-k of relu
    BatchTopKSAE            nn.Linear       encoder.bias, b_dec *                        relu(z) > threshold
    MatryoshkaBatchTopKSAE  nn.Parameter    b_enc, b_dec *                               relu(z) > threshold
    JumpReluAutoEncoder     nn.Parameter    b_enc, b_dec                                 relu, z > threshold

    nn.Linear: encoder.weight [m, d], decoder.weight [d, m];  nn.Parameter: W_enc [d, m], W_dec [m, d]

A bias with a star is also subtracted from the input. As the library's `load_dictionary` does, the decoder
of an AutoEncoder is brought to unit norm and its activations are times the norms; those of all other
classes are what `encode` gives, a top-k its k largest (not its `use_threshold`). A gated SAE is a JumpReLU
(see `circuits.dictionaries.formats.sae_lens_weights`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderLayer
from circuits.dictionaries.formats.tensor_files import check_tensors
from circuits.dictionaries.formats.torch_files import State, rows_of, shapes_in, small_of
from circuits.dictionaries.rows import ScaledRows, products, row_norms
from circuits.errors import InvalidFile


@dataclass(frozen=True)
class _Class:
    """The tensors of one of the library's classes, and what it computes with them.

    Attributes:
        gate: "relu", "gated", "topk", "threshold" (one for all) or "jumprelu" (one a feature).
        encoder_bias: added to the pre-activation.
        output_bias: added to the output.
        centred: the output bias is subtracted from the input.
        linear: the matrices are those of nn.Linear, m × d and d × m; else d × m and m × d.
        unit: the decoder is brought to unit norm.
    """

    gate: str
    encoder_bias: str
    output_bias: str
    centred: bool = True
    linear: bool = True
    unit: bool = False

    @property
    def matrices(self) -> tuple[str, str]:
        """Gives the names of encoder and decoder."""
        return ("encoder.weight", "decoder.weight") if self.linear else ("W_enc", "W_dec")


CLASSES: Final[Mapping[str, _Class]] = {
    "AutoEncoder": _Class("relu", "encoder.bias", "bias", unit=True),
    "AutoEncoderNew": _Class("relu", "encoder.bias", "decoder.bias", centred=False),
    "GatedAutoEncoder": _Class("gated", "mag_bias", "decoder_bias"),
    "AutoEncoderTopK": _Class("topk", "encoder.bias", "b_dec"),
    "BatchTopKSAE": _Class("threshold", "encoder.bias", "b_dec"),
    "MatryoshkaBatchTopKSAE": _Class("threshold", "b_enc", "b_dec", linear=False),
    "MatroyshkaBatchTopKSAE": _Class("threshold", "b_enc", "b_dec", linear=False),  # as it was first spelt
    "JumpReluAutoEncoder": _Class("jumprelu", "b_enc", "b_dec", centred=False, linear=False),
}
_VECTORS: Final[Mapping[str, tuple[str, ...]]] = {"gated": ("gate_bias", "r_mag"), "jumprelu": ("threshold",)}
_WHOLE_NUMBERS: Final = ("k", "group_sizes")


@dataclass(frozen=True)
class Trained:
    """A file and what its settings say of it.

    Attributes:
        file: the state.
        name: the class.
        sizes: (m, d) as the settings say, where they do.
        k: of a top-k, where the settings say so.
    """

    file: Path
    name: str
    sizes: tuple[int | None, int | None]
    k: int | None


def check_state(trained: Trained, state: State) -> tuple[int, int]:
    """Gives (m, d) if the state is that of its class and nothing else."""
    kind, found = CLASSES[trained.name], dict(shapes_in(state))
    if "ae" in state and "optimizer" in state:
        raise InvalidFile(
            f"{trained.file} is a backup of unfinished training: give what training saves at its end."
        )
    foreign = sorted(state.keys() - found.keys())
    if foreign:
        raise InvalidFile(f"{trained.file} holds {', '.join(foreign)}, which this layout does not know.")
    reading, writing = kind.matrices
    stored = found.get(reading, ((0, 0), ""))[0]
    rows = stored if kind.linear or len(stored) != 2 else stored[::-1]
    m, d = (given or size for given, size in zip(trained.sizes, (*rows, 0, 0), strict=False))
    vectors = (kind.encoder_bias, *_VECTORS.get(kind.gate, ()))
    expected: dict[str, tuple[int, ...]] = {
        reading: (m, d) if kind.linear else (d, m),
        writing: (d, m) if kind.linear else (m, d),
        kind.output_bias: (d,),
        **dict.fromkeys(vectors, (m,)),
    }
    if kind.gate in ("topk", "threshold"):
        expected["threshold"] = ()
        for key in _WHOLE_NUMBERS:
            found.pop(key, None)
    check_tensors(trained.file, found, expected, ("threshold",) if kind.gate == "topk" else ())
    _k(trained, state)
    return m, d


def _k(trained: Trained, state: State) -> int | None:
    """Gives k of a top-k, None for others."""
    if CLASSES[trained.name].gate != "topk":
        return None
    k = state.get("k")
    stored = int(k) if isinstance(k, Tensor) and k.ndim == 0 else None
    if trained.k is None and stored is None:
        raise InvalidFile(f"{trained.file} is a top-k without k, in its settings too.")
    if None not in (trained.k, stored) and trained.k != stored:
        raise InvalidFile(f"{trained.file} has k {stored}, but its settings say {trained.k}.")
    return trained.k if stored is None else stored


def activation_name(trained: Trained, state: State) -> str:
    """Gives the activation in a word."""
    gate = CLASSES[trained.name].gate
    return {"relu": "relu", "topk": f"top-{_k(trained, state)}"}.get(gate, "jumprelu")


def read_layer(trained: Trained, state: State, number: int, like: Tensor) -> CoderLayer:
    """Gives the coder of one layer, in the type and place of `like`; encoder and decoder stay on disk.

    Raises:
        InvalidFile: a vector, or what has to be read of the matrices, holds NaN or infinity.
    """
    kind = CLASSES[trained.name]
    floats = [
        key for key, (shape, _) in shapes_in(state).items() if len(shape) < 2 and key not in _WHOLE_NUMBERS
    ]
    vectors = small_of(trained.file, state, floats, like)
    reading, writing = kind.matrices
    encoder = rows_of(trained.file, state, reading, like, columns=not kind.linear)
    decoder = rows_of(trained.file, state, writing, like, columns=kind.linear)
    scales = _scales(kind, vectors, decoder)
    return CoderLayer(
        layer=number,
        encoder=encoder if scales.read is None else ScaledRows(encoder, scales.read),
        encoder_bias=_bias(kind, vectors, encoder, scales),
        decoders=((number, decoder if scales.write is None else ScaledRows(decoder, scales.write)),),
        decoder_bias=vectors[kind.output_bias],
        activation=_activation(trained, state, vectors),
    )


@dataclass(frozen=True)
class _Scales:
    """What the rows of encoder and decoder are times; None is 1."""

    read: Float[Tensor, "m"] | None = None
    write: Float[Tensor, "m"] | None = None


def _scales(kind: _Class, vectors: Mapping[str, Tensor], decoder: Rows) -> _Scales:
    if kind.gate == "gated":
        return _Scales(read=vectors["r_mag"].exp())
    if not kind.unit:
        return _Scales()
    norms = row_norms(decoder)
    if torch.allclose(norms, torch.ones_like(norms)):  # as the library decides it
        return _Scales()
    return _Scales(norms, torch.where(norms > 0, 1 / norms, 0))


def _bias(kind: _Class, vectors: Mapping[str, Tensor], encoder: Rows, scales: _Scales) -> Float[Tensor, "m"]:
    """Gives the encoder bias, what is subtracted from the input folded in."""
    bias = vectors[kind.encoder_bias]
    if kind.unit and scales.read is not None:
        bias = bias * scales.read
    if not kind.centred:
        return bias
    shift = products(vectors[kind.output_bias][None], encoder, torch.zeros_like(bias))[0]
    return bias - (shift if scales.read is None else scales.read * shift)


def _activation(trained: Trained, state: State, vectors: Mapping[str, Tensor]) -> Activation:
    match CLASSES[trained.name].gate:
        case "gated":
            scaled = vectors["r_mag"].exp() * vectors["gate_bias"]
            return JumpReLU((vectors["mag_bias"] - scaled).clamp(min=0))
        case "topk":
            k = _k(trained, state)
            assert k is not None
            return TopK(k, relu=True)
        case "threshold":  # -1 where training never set it, which keeps all that are positive
            return JumpReLU(
                vectors["threshold"].clamp(min=0).expand(len(state[CLASSES[trained.name].encoder_bias]))
            )
        case "jumprelu":
            return JumpReLU(vectors["threshold"].clamp(min=0))
        case _:
            return ReLU()
