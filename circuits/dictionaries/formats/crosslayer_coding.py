"""Cross-layer transcoders (CLTs) of the library crosslayer-coding, one safetensors file a checkpoint.

The path is the checkpoint, or a directory that holds one; beside it or one directory up lies ``cfg.json``::

    num_layers n, num_features m (per layer), d_model d
    activation_fn: relu, or jumprelu          batchtopk and topk select over a whole batch: see below
    normalization_method: none, sqrt_d_model, mean_std ("auto") with the numbers of ``norm_stats.json``
    decoder_tying: none, per_source, per_target            enable_feature_scale, skip_connection
    mlp_input_template, mlp_output_template: transformer.h.{}.ln_2.input (or tl_input_template, ...)

    encoder_module.encoders.3.weight [m, d]   .bias_param [m]
    decoder_module.decoders.3->5.weight [d, m]   .bias_param [d]      tied: decoders.3, of source or target
    theta_manager.log_threshold [n, m]        natural logarithms
    decoder_module.feature_scale.5 [m]        tied only: what activations are times on their way to layer 5
    decoder_module.skip_weights.5 [d, d]      tied only: out += W x

    a = z where z >= threshold, else 0                      x, y in normalised units
    y_5 = sum over s <= 5 of (W_s5 a_s + b_s5)              the biases of all source layers add up

A threshold that is NaN is one that was never estimated: its feature is never on. (Here a z that equals its
threshold exactly is off.) Older checkpoints lack the prefixes (``encoders.3.weight``) and may lack biases. A
batchtopk or topk CLT ranks z over all layers, scaled by the statistics of its batch, which no fixed rule
repeats: convert it to jumprelu with the library's own script.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import (
    Place,
    hinted_clt_place,
    hook_name,
    lens_read_site,
    transcoder_place,
)
from circuits.dictionaries.formats.tensor_files import (
    check_tensors,
    files_with,
    fingerprint,
    only_one,
    read_json,
    read_small,
    refuse_unknown,
    settings_beside,
    shapes_of,
    words,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows, ScaledRows, StretchedRows, products
from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model

NAME: Final = "crosslayer-coding (cfg.json with num_features, safetensors with encoders.0.weight)"

_HANDLED: Final = words(
    "num_features num_layers d_model activation_fn normalization_method decoder_tying enable_feature_offset"
    " enable_feature_scale skip_connection mlp_input_template mlp_output_template tl_input_template"
    " tl_output_template sqrt_d_model_normalize"
)
_HARMLESS: Final = (
    words(  # names and types, where thresholds began, and a batchtopk's settings once converted
        "model_name clt_dtype expected_input_dtype jumprelu_threshold batchtopk_k batchtopk_straight_through"
        " topk_k topk_straight_through topk_mode context_size"
    )
)
_NORMS: Final = {"none": "none", "mean_std": "mean_std", "auto": "mean_std", "sqrt_d_model": "sqrt_d_model"}
_TYINGS: Final = ("none", "per_source", "per_target")
_PREFIX: Final = re.compile(r"(encoder_module|decoder_module|theta_manager)\.")
_LOG_THRESHOLD: Final = "log_threshold"
_EPS: Final = 1e-6  # added to the standard deviations of norm_stats.json


@dataclass(frozen=True)
class _Units:
    """One layer's units at the input or the output: x' = (x - mean) / scale."""

    mean: Float[Tensor, "d"]
    scale: Float[Tensor, "d"]


@dataclass(frozen=True)
class _Found:
    """A checkpoint, its settings checked.

    Attributes:
        weights: the safetensors file.
        keys: its tensors' names, by their names without prefixes.
        settings: what decides the result, defaults filled in.
        sizes: (n, m, d).
        place: where the features read and write; the layer is of no meaning.
        stats: of `norm_stats.json`, by layer.
    """

    weights: Path
    keys: Mapping[str, str]
    settings: Mapping[str, Any]
    sizes: tuple[int, int, int]
    place: Place
    stats: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        return fingerprint({**self.settings, "place": repr(self.place), "stats": self.stats}, [self.weights])

    def decoder(self, source: int, target: int) -> str:
        """Gives the name of what the features of one layer write into another with."""
        told = {"none": f"{source}->{target}", "per_source": source, "per_target": target}
        return f"decoders.{told[self.settings['decoder_tying']]}"


def recognises(path: Path) -> bool:
    """Tells whether a file or directory is in this layout, by the names of its tensors."""
    return bool(_checkpoints(path))


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the cross-layer transcoder of a checkpoint; encoders and decoders stay on disk.

    Raises:
        InvalidFile: unknown settings, an activation that depends on the batch, or tensors or statistics
            that cannot be trusted.
        Incompatible: a hook where features cannot be placed, or a skip into another layer.
        UsageError: a hint that is missing, or that the settings answer.
    """
    found = _find(path, hints)
    like = model.anatomy.embedding
    told = hints.reads is not None  # otherwise only a hook of TransformerLens can mean mlp_in_no_gain
    reads_at = found.place.reads if told else lens_read_site(found.place.reads, model)
    settings = CoderSettings("clt", reads_at, found.place.writes, found.fingerprint, str(path))
    thresholds = _thresholds(found, like)
    reads, writes = (_units(found, side, like) for side in ("inputs", "targets"))
    layers = [
        _layer(
            found, layer, ReLU() if thresholds is None else JumpReLU(thresholds[layer]), reads, writes, like
        )
        for layer in range(found.sizes[0])
    ]
    return Coders(layers, settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a checkpoint holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    found = _find(path, hints)
    n, m, d = found.sizes
    return {
        "kind": "clt",
        "layout": NAME,
        "layers": n,
        "features": m,
        "width": d,
        "activation": found.settings["activation_fn"],
        "skip": found.settings["skip_connection"],
        "reads": hook_name(None, found.place.reads),
        "writes": hook_name(None, found.place.writes),
        "bytes": found.weights.stat().st_size,
        "fingerprint": found.fingerprint,
    }


def _checkpoints(path: Path) -> list[Path]:
    """Gives the files of a path that hold a CLT of this library."""
    known = {"encoders.0.weight", "encoder_module.encoders.0.weight"}
    return files_with(path, lambda keys: bool(known & keys))


def _find(path: Path, hints: Hints) -> _Found:
    weights = only_one(path, _checkpoints(path))
    beside = settings_beside(weights, words("num_features num_layers d_model"))
    if beside is None:
        raise InvalidFile(
            f"{weights} has no settings beside it: put there the cfg.json that it was saved with."
        )
    file, config = beside
    sizes = tuple(config.get(key) for key in ("num_layers", "num_features", "d_model"))
    if not all(type(size) is int and size > 0 for size in sizes):
        raise InvalidFile(
            f"{file} gives num_layers, num_features and d_model as {sizes}: whole numbers are due."
        )
    settings = _checked(file, config)
    stats: Mapping[str, Any] = {}
    if settings["normalization_method"] == "mean_std":
        if not (file.parent / "norm_stats.json").exists():
            raise InvalidFile(
                f"{file} normalises by mean_std, but there is no norm_stats.json beside it: copy the one of"
                " the activations that it was trained on."
            )
        stats = read_json(file.parent / "norm_stats.json")
    shapes = shapes_of(weights)
    keys = {_PREFIX.sub("", key, count=1).replace(".bias_param", ".bias"): key for key in shapes}
    n, m, d = (int(size) for size in sizes if size is not None)
    found = _Found(weights, keys, settings, (n, m, d), _place(path, config, hints), stats)
    expected, optional = _expected(found)
    check_tensors(weights, {key: shapes[stored] for key, stored in keys.items()}, expected, optional)
    return found


def _checked(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the settings that decide the result, if all are known."""
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    activation, norm = config.get("activation_fn", "jumprelu"), config.get("normalization_method", "none")
    tying = config.get("decoder_tying", "none")
    if activation in ("batchtopk", "topk"):
        raise InvalidFile(
            f"{file} is a {activation} CLT, whose selection depends on the whole batch: convert it to"
            " jumprelu with crosslayer-coding's convert_batchtopk_to_jumprelu.py and give what that saves."
        )
    told = {
        "activation_fn": (activation, ("relu", "jumprelu")),
        "normalization_method": (norm, tuple(_NORMS)),
        "decoder_tying": (tying, _TYINGS),
        "enable_feature_offset": (config.get("enable_feature_offset", False), (False,)),
        "sqrt_d_model_normalize": (config.get("sqrt_d_model_normalize", False), (False,)),
        "enable_feature_scale": (config.get("enable_feature_scale", False), (False, True)),
        "skip_connection": (config.get("skip_connection", False), (False, True)),
    }
    wrong = [
        f"{key} {value!r} (known: {', '.join(map(str, known))})"
        for key, (value, known) in told.items()
        if value not in known
    ]
    if wrong:
        raise InvalidFile(f"{file} has settings that are not known: {'; '.join(wrong)}.")
    if config.get("skip_connection") and (tying == "none" or _NORMS[norm] == "mean_std"):
        raise Incompatible(
            f"{file} has skips into other layers, or of inputs normalised by mean_std: only the skips of tied"
            " decoders without such a normalisation can be used."
        )
    settings = {key: value for key, (value, _) in told.items()}
    return {**settings, "normalization_method": _NORMS[norm]}


def _place(path: Path, config: Mapping[str, Any], hints: Hints) -> Place:
    for kind in ("mlp", "tl"):
        into, out = config.get(f"{kind}_input_template"), config.get(f"{kind}_output_template")
        if isinstance(into, str) and isinstance(out, str):
            hints.refuse(NAME, path)
            return transcoder_place(into.replace("{}", "0"), out.replace("{}", "0"), path)
    return hinted_clt_place(hints, path)


def _expected(found: _Found) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Gives the shapes that the settings ask for, and which of the tensors may be missing."""
    n, m, d = found.sizes
    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(n):
        expected |= {f"encoders.{layer}.weight": (m, d), f"encoders.{layer}.bias": (m,)}
        for target in range(layer, n):
            name = found.decoder(layer, target)
            expected |= {f"{name}.weight": (d, m), f"{name}.bias": (d,)}
        if found.settings["decoder_tying"] != "none":
            expected |= {f"feature_scale.{layer}": (m,)} if found.settings["enable_feature_scale"] else {}
            expected |= {f"skip_weights.{layer}": (d, d)} if found.settings["skip_connection"] else {}
    if found.settings["activation_fn"] == "jumprelu":
        expected[_LOG_THRESHOLD] = (n, m)
    biases = any(key.endswith(".bias") for key in found.keys)
    return expected, [] if biases else [key for key in expected if key.endswith(".bias")]


def _thresholds(found: _Found, like: Tensor) -> Float[Tensor, "n m"] | None:
    """Gives the thresholds, the largest number there is where one was never estimated."""
    if found.settings["activation_fn"] == "relu":
        return None
    key = found.keys[_LOG_THRESHOLD]
    logs = read_small(found.weights, [key], like, may_lack=[key])[key]
    never = logs.isnan().all(dim=1).nonzero().flatten().tolist()
    if never:
        raise InvalidFile(f"{key} in {found.weights} is NaN for every feature of layers {never}.")
    most = torch.finfo(like.dtype).max
    return torch.nan_to_num(logs.exp(), nan=most, posinf=most)


def _units(found: _Found, side: str, like: Tensor) -> list[_Units] | None:
    """Gives every layer's units at the input or the output, None where they are the model's own."""
    n, _, d = found.sizes
    norm = found.settings["normalization_method"]
    if norm == "none":
        return None
    if norm == "sqrt_d_model":
        scale = torch.full((d,), d**-0.5, dtype=like.dtype, device=like.device)
        return [_Units(torch.zeros_like(scale), scale)] * n
    units = []
    for layer in range(n):
        told = found.stats.get(str(layer), {})
        numbers = (
            [told.get(side, {}).get(key) for key in ("mean", "std")] if isinstance(told, dict) else [None]
        )
        try:
            mean, std = torch.tensor(numbers, dtype=torch.float64)
        except (TypeError, ValueError):
            mean = std = torch.empty(0)
        if mean.shape != (d,) or not (mean.isfinite() & std.isfinite() & (std + _EPS > 0)).all():
            raise InvalidFile(
                f"norm_stats.json beside {found.weights} does not give mean and std of the {side} of layer"
                f" {layer} as {d} numbers each."
            )
        units.append(_Units(mean.to(like), (std + _EPS).to(like)))
    return units


def _layer(
    found: _Found,
    layer: int,
    activation: Activation,
    reads: list[_Units] | None,
    writes: list[_Units] | None,
    like: Tensor,
) -> CoderLayer:
    """Gives one layer in the type and place of `like` and in the model's own units."""
    n, m, d = found.sizes

    def vector(name: str, size: int) -> Tensor:
        if name not in found.keys:
            return torch.zeros(size, dtype=like.dtype, device=like.device)
        key = found.keys[name]
        return read_small(found.weights, [key], like)[key]

    def matrix(name: str, shape: tuple[int, int], *, transposed: bool = False) -> FileRows:
        return FileRows(found.weights, found.keys[name], shape, like.dtype, like.device, transposed)

    encoder: Rows = matrix(f"encoders.{layer}.weight", (m, d))
    bias = vector(f"encoders.{layer}.bias", m)
    if reads is not None:
        encoder = StretchedRows(encoder, 1 / reads[layer].scale)
        if reads[layer].mean.any():
            bias = products(-reads[layer].mean[None], encoder, bias)[0]
    decoders: list[tuple[int, Rows]] = []
    for target in range(layer, n):
        rows: Rows = matrix(f"{found.decoder(layer, target)}.weight", (m, d), transposed=True)
        if f"feature_scale.{target}" in found.keys:
            rows = ScaledRows(rows, vector(f"feature_scale.{target}", m))
        decoders.append((target, rows if writes is None else StretchedRows(rows, writes[target].scale)))
    sources = sorted({found.decoder(source, layer) for source in range(layer + 1)})
    decoder_bias = torch.stack([vector(f"{source}.bias", d) for source in sources]).sum(dim=0)
    if writes is not None:
        decoder_bias = decoder_bias * writes[layer].scale + writes[layer].mean
    skip = f"skip_weights.{layer}"
    return CoderLayer(
        layer=layer,
        encoder=encoder,
        encoder_bias=bias,
        decoders=tuple(decoders),
        decoder_bias=decoder_bias,
        activation=activation,
        skip=matrix(skip, (d, d)) if skip in found.keys else None,
    )
