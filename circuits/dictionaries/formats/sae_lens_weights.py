"""The coders of sae-lens, whichever version wrote their settings: from its tensors to `CoderLayer`.

Its SAEs compute, with x' the input, normalised where `normalize_activations` says so::

    z   = W_enc.T (x' - b_dec [if apply_b_dec_to_input]) + b_enc
    a   = activation(z)                    top-k with rescaling: of z_i |W_dec_i|
    out = W_dec.T a + b_dec                the normalisation undone

A gated SAE (Rajamanoharan et al. 2024) has one matrix for both of its paths, so it is exactly a JumpReLU:
with s = exp(r_mag), z = s W_enc.T x + b_mag, a feature is on iff W_enc.T x + b_gate > 0, which is
z > b_mag - s b_gate, and z > 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import AbsTopK, Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.formats.sites import Place, hook_name, lens_read_site
from circuits.dictionaries.formats.tensor_files import (
    check_tensors,
    fingerprint,
    read_small,
    shapes_of,
    words,
)
from circuits.dictionaries.rows import CentredRows, FileRows, ScaledRows, products, row_norms
from circuits.errors import InvalidFile
from circuits.models.base import Model

SAES: Final = ("standard", "gated", "topk", "abstopk", "jumprelu")
TRANSCODERS: Final = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")

_NORMS: Final[Mapping[str, InputNorm | None]] = {
    "none": None,
    "expected_average_only_in": None,  # done to the training data, or folded: the identity at inference
    "layer_norm": InputNorm("layer_norm", eps=1e-5),
    "constant_norm_rescale": InputNorm("unit_rms"),
}
_HARMLESS_LOADING: Final = words(
    "attn_implementation cache_dir center_unembed checkpoint_index checkpoint_value default_padding_side"
    " default_prepend_bos device device_map dtype first_n_layers fold_value_biases local_files_only"
    " low_cpu_mem_usage move_to_device n_ctx n_devices refactor_factored_attn_matrices revision token"
    " torch_dtype trust_remote_code"
)
_FOLDED_LOADING: Final = ("center_writing_weights", "fold_ln")
_SCALES: Final = ("scaling_factor", "finetuning_scaling_factor")


@dataclass(frozen=True)
class SaeLensCoder:
    """One coder's settings, checked, in the words of sae-lens 6.

    Attributes:
        weights: the safetensors file.
        architecture: one of `SAES` or `TRANSCODERS`.
        place: where it sits.
        sizes: (d_in, d_sae), as the settings say.
        normalize: one of the normalisations known.
        apply_b_dec: b_dec is subtracted from the (normalised) input.
        k: of a top-k.
        rescale: a top-k's activations are times the norms of the decoder's rows.
        finetuned: the decoder's rows are times a scaling factor of the file.
        centred: the model's writing weights were centred when it was trained.
        folded: the model's norms were folded when it was trained.
    """

    weights: Path
    architecture: str
    place: Place
    sizes: tuple[int, int]
    normalize: str
    apply_b_dec: bool
    k: int | None = None
    rescale: bool = False
    finetuned: bool = False
    centred: bool = False
    folded: bool = False

    @property
    def transcoder(self) -> bool:
        """Tells whether it writes elsewhere than it reads."""
        return self.architecture in TRANSCODERS

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        settings = {key: value for key, value in asdict(self).items() if key != "weights"}
        return fingerprint(settings, [self.weights])


def check_choices(file: Path, architecture: object, normalize: object) -> tuple[str, str]:
    """Gives architecture and normalisation back if both are known and go together.

    Raises:
        InvalidFile: one is unknown, or a transcoder normalises (its output lies in another space).
    """
    if architecture not in (*SAES, *TRANSCODERS):
        raise InvalidFile(
            f"{file} has the architecture {architecture!r}: known are {', '.join((*SAES, *TRANSCODERS))};"
            " a batchtopk or matryoshka SAE is read as sae-lens saves it for inference, a jumprelu."
        )
    if normalize not in _NORMS:
        raise InvalidFile(f"{file} normalises by {normalize!r}: known are {', '.join(_NORMS)}.")
    if architecture in TRANSCODERS and _NORMS[str(normalize)] is not None:
        raise InvalidFile(
            f"{file} is a transcoder that normalises its input by {normalize!r}, which sae-lens undoes for"
            " SAEs only: it cannot be told what its output means."
        )
    return str(architecture), str(normalize)


def check_loading(file: Path, options: object) -> tuple[bool, bool]:
    """Gives whether the model's writing weights were centred, and its norms folded, in training.

    Args:
        file: for the message.
        options: `model_from_pretrained_kwargs`, which sae-lens gives to TransformerLens.

    Raises:
        InvalidFile: an option that may have changed the activations in another way.
    """
    options = options or {}
    if not isinstance(options, dict):
        raise InvalidFile(f"{file} gives model_from_pretrained_kwargs as {options!r}: a table is expected.")
    unknown = sorted(options.keys() - _HARMLESS_LOADING - set(_FOLDED_LOADING))
    if unknown:
        raise InvalidFile(
            f"{file} was trained on a model loaded with {', '.join(unknown)}, which is neither handled nor"
            " known to be harmless."
        )
    return options.get("center_writing_weights") is True, options.get("fold_ln") is True


def read_coder(coder: SaeLensCoder, model: Model, spec: str) -> Coders:
    """Gives a dictionary of one layer; encoder and decoder stay on disk.

    Raises:
        InvalidFile: tensors that are missing, unknown, of wrong shapes, not finite, or truncated.
    """
    m, d = _check_tensors(coder)
    like = model.anatomy.embedding
    vectors = read_small(coder.weights, _vectors(coder), like)
    stored = FileRows(coder.weights, "W_enc", (m, d), like.dtype, like.device, transposed=True)
    written = FileRows(coder.weights, "W_dec", (m, d), like.dtype, like.device)
    scale, bias, activation = _reading(coder, vectors, written)
    if coder.apply_b_dec:
        shift = products(vectors["b_dec"][None], stored, torch.zeros_like(bias))[0]
        bias = bias - (shift if scale is None else scale * shift)
    encoder: Rows = stored if scale is None else ScaledRows(stored, scale)
    layered = model.anatomy.layers[0].mlp_norm.kind == "layer"
    if coder.centred and layered:  # TransformerLens centres for LayerNorm only
        encoder = CentredRows(encoder)
    reads = coder.place.reads if coder.folded else lens_read_site(coder.place.reads, model)
    layer = CoderLayer(
        layer=coder.place.layer,
        encoder=encoder,
        encoder_bias=bias,
        decoders=((coder.place.layer, _decoder(coder, vectors, written)),),
        decoder_bias=vectors["b_dec"],
        activation=activation,
        skip=_skip(coder, d, like),
        norm=_NORMS[coder.normalize],
    )
    settings = CoderSettings(
        kind="transcoder" if coder.transcoder else "sae",
        read_site=reads,
        write_site=coder.place.writes,
        fingerprint=coder.fingerprint,
        spec=spec,
    )
    return Coders([layer], settings)


def describe_coder(coder: SaeLensCoder, layout: str) -> dict[str, Any]:
    """Gives what a coder is, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile: as for `read_coder`, but for numbers that are not finite.
    """
    m, d = _check_tensors(coder)
    if coder.architecture in ("standard", "transcoder", "skip_transcoder"):
        activation = "relu"
    elif coder.k is not None:
        activation = f"{'abs' * (coder.architecture == 'abstopk')}top-{coder.k}"
    else:
        activation = "jumprelu"
    return {
        "kind": "transcoder" if coder.transcoder else "sae",
        "layout": layout,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": activation,
        "skip": "skip" in coder.architecture,
        "reads": hook_name(coder.place.layer, coder.place.reads),
        "writes": hook_name(coder.place.layer, coder.place.writes),
        "bytes": coder.weights.stat().st_size,
        "fingerprint": coder.fingerprint,
    }


def _check_tensors(coder: SaeLensCoder) -> tuple[int, int]:
    """Gives (m, d) if the file holds what the architecture needs, and nothing else."""
    d, m = coder.sizes
    found = shapes_of(coder.weights)
    vectors = ("b_gate", "b_mag", "r_mag") if coder.architecture == "gated" else ("b_enc",)
    expected: dict[str, tuple[int, ...]] = {
        "W_enc": (d, m),
        "W_dec": (m, d),
        "b_dec": (d,),
        **dict.fromkeys(vectors, (m,)),
    }
    optional = [key for key in _SCALES if key in found]
    expected |= dict.fromkeys(optional, (m,))
    if "jumprelu" in coder.architecture:
        expected["log_threshold" if "log_threshold" in found else "threshold"] = (m,)
    if "skip" in coder.architecture:
        expected["W_skip"] = (d, d)
    check_tensors(coder.weights, found, expected, optional)
    return m, d


def _vectors(coder: SaeLensCoder) -> list[str]:
    return [key for key, (shape, _) in shapes_of(coder.weights).items() if len(shape) == 1]


def _reading(
    coder: SaeLensCoder, vectors: Mapping[str, Tensor], written: Rows
) -> tuple[Float[Tensor, "m"] | None, Float[Tensor, "m"], Activation]:
    """Gives what the encoder's rows are times, the bias, and the activation."""
    if coder.architecture == "gated":
        scale = vectors["r_mag"].exp()
        threshold = (vectors["b_mag"] - scale * vectors["b_gate"]).clamp(min=0)
        return scale, vectors["b_mag"], JumpReLU(threshold)
    bias = vectors["b_enc"]
    if "jumprelu" in coder.architecture:
        logarithmic = "log_threshold" in vectors  # of training checkpoints of versions 4 to 6
        threshold = vectors["log_threshold"].exp() if logarithmic else vectors["threshold"]
        return None, bias, JumpReLU(threshold.clamp(min=0))
    if coder.k is None:
        return None, bias, ReLU()
    activation = AbsTopK(coder.k) if coder.architecture == "abstopk" else TopK(coder.k, relu=True)
    if not coder.rescale:
        return None, bias, activation
    norms = row_norms(written)
    return norms, bias * norms, activation


def _decoder(coder: SaeLensCoder, vectors: Mapping[str, Tensor], written: Rows) -> Rows:
    """Gives the decoder's rows per unit of what sae-lens calls the activation."""
    if coder.rescale:
        norms = row_norms(written)
        return ScaledRows(written, torch.where(norms > 0, 1 / norms, 0))
    factor = next((vectors[key] for key in _SCALES if key in vectors), None)
    if factor is None or bool(torch.isclose(factor, torch.ones_like(factor)).all()):
        return written
    if not coder.finetuned:
        raise InvalidFile(
            f"{coder.weights} has a scaling factor that is not 1, but its settings say"
            " finetuning_scaling_factor: false."
        )
    return ScaledRows(written, factor)


def _skip(coder: SaeLensCoder, d: int, like: Tensor) -> Rows | None:
    """Gives A of out += A x: sae-lens multiplies x by the transpose of W_skip, so A is W_skip."""
    if "skip" not in coder.architecture:
        return None
    return FileRows(coder.weights, "W_skip", (d, d), like.dtype, like.device)
