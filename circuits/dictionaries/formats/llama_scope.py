"""SAEs and transcoders of Llama Scope, as lm-saes 1 saved them.

The path is a directory with ``hyperparams.json`` and ``checkpoints/final.safetensors``, or that file::

    hook_point_in, hook_point_out: blocks.5.hook_resid_post; a transcoder's differ
    d_model d, d_sae m (or expansion_factor), use_decoder_bias, apply_decoder_bias_to_pre_encoder
    act_fn: relu, jumprelu with jump_relu_threshold, topk with top_k
    norm_activation: none, inference, token-wise, dataset-wise with dataset_average_activation_norm {in, out}
    sparsity_include_decoder_norm: features are brought to decoders of norm 1

    encoder.weight [m, d]   encoder.bias [m]   decoder.weight [d, m]   decoder.bias [d]

lm-saes prepares them for use, and so do we, in this order: with s = sqrt(d) / average norm, the encoder's
bias is divided by s_in, the decoder times s_in / s_out, its bias divided by s_out (so inputs and outputs are
the model's own); then the decoder's rows are divided by their norms, encoder and bias times them. The
threshold, one for all features, speaks of what is so prepared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.coders import CoderKind, CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.formats.sites import Place, hook_name, lens_read_site, sae_place, transcoder_place
from circuits.dictionaries.formats.tensor_files import (
    check_tensors,
    files_with,
    fingerprint,
    only_one,
    read_small,
    refuse_unknown,
    settings_beside,
    shapes_of,
    words,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows, ScaledRows, products, row_norms
from circuits.errors import InvalidFile
from circuits.models.base import Model

NAME: Final = "Llama Scope (hyperparams.json with hook_point_in, safetensors with encoder.weight)"

_DEFAULTS: Final[Mapping[str, Any]] = {
    "use_decoder_bias": True,
    "apply_decoder_bias_to_pre_encoder": True,
    "act_fn": "relu",
    "jump_relu_threshold": 0.0,
    "top_k": 50,
    "norm_activation": "token-wise",
    "dataset_average_activation_norm": None,
    "sparsity_include_decoder_norm": True,
    "use_glu_encoder": False,
}
_HANDLED: Final = frozenset(_DEFAULTS) | words("hook_point_in hook_point_out d_model d_sae expansion_factor")
_HARMLESS: Final = words(  # types and places, and what matters in training only
    "device seed dtype sae_pretrained_name_or_path strict_loading bias_init_method decoder_exactly_fixed_norm"
    " init_decoder_norm init_encoder_norm init_encoder_with_decoder_transpose lp l1_coefficient"
    " l1_coefficient_warmup_steps initial_k k_warmup_steps use_batch_norm_mse use_ghost_grads tp_size"
    " ddp_size"
)
_KNOWN: Final[Mapping[str, tuple[Any, ...]]] = {
    "act_fn": ("relu", "jumprelu", "topk"),
    "norm_activation": ("none", "inference", "token-wise", "dataset-wise"),
    "use_decoder_bias": (True, False),
    "apply_decoder_bias_to_pre_encoder": (True, False),
    "sparsity_include_decoder_norm": (True, False),
    "use_glu_encoder": (False,),
}


@dataclass(frozen=True)
class _Found:
    """A checkpoint, its settings checked.

    Attributes:
        weights: the safetensors file.
        settings: what decides the result, defaults filled in.
        place: where it sits.
        sizes: (m, d).
        kind: an SAE or a transcoder.
        scales: s_in and s_out.
    """

    weights: Path
    settings: Mapping[str, Any]
    place: Place
    sizes: tuple[int, int]
    kind: CoderKind
    scales: tuple[float, float]

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        return fingerprint({**self.settings, "place": repr(self.place), "kind": self.kind}, [self.weights])


def recognises(path: Path) -> bool:
    """Tells whether a file or directory is in this layout, by the names of its tensors and settings."""
    files = _checkpoints(path)
    return bool(files) and settings_beside(files[0], words("hook_point_in d_model")) is not None


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coder of a checkpoint; encoder and decoder stay on disk.

    Raises:
        InvalidFile: unknown settings, a norm that depends on the batch, or tensors that cannot be trusted.
        Incompatible: a hook where features cannot be placed.
        UsageError: a hint: the settings answer all of them.
    """
    found = _find(path, hints)
    reads = lens_read_site(found.place.reads, model)
    settings = CoderSettings(found.kind, reads, found.place.writes, found.fingerprint, str(path))
    return Coders([_layer(found, model)], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a checkpoint holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    found = _find(path, hints)
    activation = found.settings["act_fn"]
    return {
        "kind": found.kind,
        "layout": NAME,
        "layers": 1,
        "features": found.sizes[0],
        "width": found.sizes[1],
        "activation": f"top-{found.settings['top_k']}" if activation == "topk" else activation,
        "skip": False,
        "reads": hook_name(found.place.layer, found.place.reads),
        "writes": hook_name(found.place.layer, found.place.writes),
        "bytes": found.weights.stat().st_size,
        "fingerprint": found.fingerprint,
    }


def _checkpoints(path: Path) -> list[Path]:
    return files_with(path, lambda keys: {"encoder.weight", "decoder.weight"} <= keys)


def _find(path: Path, hints: Hints) -> _Found:
    weights = only_one(path, _checkpoints(path))
    beside = settings_beside(weights, words("hook_point_in d_model"))
    if beside is None:
        raise InvalidFile(f"{weights} has no settings beside it: put there the hyperparams.json of its run.")
    file, config = beside
    hints.refuse(NAME, path)
    settings = _checked(file, config)
    d, into = config["d_model"], config["hook_point_in"]
    m = config.get("d_sae") or (d * config["expansion_factor"] if "expansion_factor" in config else None)
    if not (type(d) is int and d > 0 and type(m) is int and m > 0):
        raise InvalidFile(f"{file} gives d_model {d!r} and d_sae {m!r}: whole numbers are needed.")
    out = config.get("hook_point_out") or into
    if not isinstance(into, str) or not isinstance(out, str):
        raise InvalidFile(f"{file} does not say at which hooks it reads and writes: {into!r} and {out!r}.")
    kind: CoderKind = "sae" if into == out else "transcoder"
    place = sae_place(into, file) if into == out else transcoder_place(into, out, file)
    if settings["norm_activation"] == "token-wise" and kind == "transcoder":
        raise InvalidFile(
            f"{file} is a transcoder that normalises token-wise: its outputs are in units of norms that are"
            " not known when it is used."
        )
    expected = {"encoder.weight": (m, d), "encoder.bias": (m,), "decoder.weight": (d, m)}
    bias = {"decoder.bias": (d,)} if settings["use_decoder_bias"] else {}
    check_tensors(weights, shapes_of(weights), {**expected, **bias})
    return _Found(weights, settings, place, (m, d), kind, _scales(file, settings, d))


def _checked(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the settings that decide the result, if all are known."""
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    settings = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    wrong = [
        f"{key} {settings[key]!r} (known: {', '.join(map(str, known))})"
        for key, known in _KNOWN.items()
        if settings[key] not in known
    ]
    threshold, k = settings["jump_relu_threshold"], settings["top_k"]
    if not isinstance(threshold, int | float) or not math.isfinite(threshold):
        wrong.append(f"jump_relu_threshold {threshold!r} (a number is needed)")
    if settings["act_fn"] == "topk" and not (type(k) is int and k > 0):
        wrong.append(f"top_k {k!r} (a whole number is needed)")
    if wrong:
        raise InvalidFile(f"{file} has settings that are not known: {'; '.join(wrong)}.")
    if settings["act_fn"] == "topk" and threshold > 0:  # lm-saes announces the threshold, but selects by k
        raise InvalidFile(
            f"{file} gives act_fn topk and a jump_relu_threshold of {threshold}: write act_fn jumprelu or a"
            " threshold of 0, whichever is meant."
        )
    return settings


def _scales(file: Path, settings: Mapping[str, Any], d: int) -> tuple[float, float]:
    """Gives s_in and s_out."""
    if settings["norm_activation"] != "dataset-wise":
        return 1.0, 1.0
    told = settings["dataset_average_activation_norm"]
    norms = [told.get(side) for side in ("in", "out")] if isinstance(told, dict) else [None]
    if not all(isinstance(norm, int | float) and math.isfinite(norm) and norm > 0 for norm in norms):
        raise InvalidFile(
            f"{file} normalises dataset-wise, but gives dataset_average_activation_norm as {told!r}: numbers"
            " above 0 for in and out are needed."
        )
    s_in, s_out = (math.sqrt(d) / float(norm) for norm in norms if norm is not None)
    return s_in, s_out


def _layer(found: _Found, model: Model) -> CoderLayer:
    """Gives the weights as lm-saes prepares them for use, in the type and place of the model's."""
    (m, d), like, (s_in, s_out) = found.sizes, model.anatomy.embedding, found.scales
    held = [key for key in ("encoder.bias", "decoder.bias") if key in shapes_of(found.weights)]
    small = read_small(found.weights, held, like)
    encoder = FileRows(found.weights, "encoder.weight", (m, d), like.dtype, like.device)
    decoder = FileRows(found.weights, "decoder.weight", (m, d), like.dtype, like.device, transposed=True)
    scale = torch.full((m,), s_in / s_out, dtype=like.dtype, device=like.device)
    times = torch.ones_like(scale)
    if found.settings["sparsity_include_decoder_norm"]:
        norms = row_norms(decoder)
        times, scale = norms * scale, torch.where(norms > 0, 1 / norms, 0)
    decoder_bias = small["decoder.bias"] / s_out if "decoder.bias" in small else times.new_zeros(d)
    encoder_bias = small["encoder.bias"] / s_in
    if found.settings["apply_decoder_bias_to_pre_encoder"] and "decoder.bias" in small:
        encoder_bias = products(-decoder_bias[None], encoder, encoder_bias)[0]
    return CoderLayer(
        layer=found.place.layer,
        encoder=ScaledRows(encoder, times),
        encoder_bias=encoder_bias * times,
        decoders=((found.place.layer, ScaledRows(decoder, scale)),),
        decoder_bias=decoder_bias,
        activation=_activation(found, times),
        norm=InputNorm("unit_rms") if found.settings["norm_activation"] == "token-wise" else None,
    )


def _activation(found: _Found, like: torch.Tensor) -> Activation:
    if found.settings["act_fn"] == "relu":
        return ReLU()
    if found.settings["act_fn"] == "topk":
        return TopK(found.settings["top_k"], relu=True)
    return JumpReLU(torch.full_like(like, found.settings["jump_relu_threshold"]))
