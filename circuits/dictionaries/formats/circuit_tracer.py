"""Transcoder directories in circuit-tracer's layout, read lazily and written.

A directory holds ``config.yaml`` and one safetensors file a layer::

    model_kind: transcoder_set
    feature_input_hook: mlp.hook_in         # see READ_HOOKS
    feature_output_hook: mlp.hook_out       # see WRITE_HOOKS
    transcoders: [a.safetensors, ...]       # optional; otherwise layer_0.safetensors, layer_1...
    activation: topk                        # our extension, with `k` and optionally `relu: true`
    k: 64

    W_enc [m, d]   W_dec [m, d]   b_enc [m]   b_dec [d]
    activation_function.threshold [m]       # optional: JumpReLU; ReLU without
    W_skip [d, d]                           # optional: output += x @ W_skip.T

circuit-tracer keeps top-k in its code rather than in files, hence the extension.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import ReadSite, WriteSite
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import lens_read_site
from circuits.dictionaries.formats.tensor_files import (
    Shapes,
    check_tensors,
    fingerprint,
    read_small,
    refuse_unknown,
    shapes_of,
    words,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.files import atomic
from circuits.models.base import Model

NAME: Final = "circuit-tracer transcoders (config.yaml, layer_*.safetensors with W_enc and W_dec)"

READ_HOOKS: Final[Mapping[str, ReadSite]] = {
    "mlp.hook_in": "mlp_in",
    "ln2.hook_normalized": "mlp_in_no_gain",  # RMS norms; LayerNorm's lies after gain and bias
    "hook_resid_mid": "residual",
    "hook_mlp_in": "residual",  # TransformerLens: the stream as it enters ln2
}
WRITE_HOOKS: Final[Mapping[str, WriteSite]] = {
    "mlp.hook_out": "mlp_out",
    "hook_mlp_out": "mlp_added",  # TransformerLens: after a post-norm, where there is one
}
COMMON: Final = words("model_kind feature_input_hook feature_output_hook")
_HANDLED: Final = COMMON | words("transcoders activation k relu")
_IGNORED: Final = words("model_name scan repo_id revision subfolder")
_THRESHOLD = "activation_function.threshold"


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by its configuration or by its tensors' names."""
    if not path.is_dir():
        return False
    if (path / "config.yaml").exists():
        return "model_kind" in read_config(path)
    return any("W_enc" in shapes_of(file) for file in sorted(path.glob("*.safetensors"))[:1])


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the transcoders of a directory; encoder and decoder stay on disk.

    Weights of any float type are computed with in the model's type.

    Raises:
        InvalidFile: a missing layer or key, an unknown key or setting, shapes that do not agree,
            NaN, or a truncated file.
        Incompatible: a hook that is not known, or a kind of dictionary that is not this one.
        UsageError: a hint that the directory itself answers.
    """
    hints.refuse(NAME, path)
    config = read_config(path)
    check_config(path, config, "transcoder_set", _HANDLED)
    files = _layer_files(path, config)
    top_k = _top_k(path, config)
    settings = CoderSettings(
        kind="transcoder",
        read_site=read_site(config, model),
        write_site=WRITE_HOOKS[config["feature_output_hook"]],
        fingerprint=_fingerprint(config, files),
        spec=str(path),
    )
    like = model.anatomy.embedding
    return Coders([_layer(number, file, top_k, like) for number, file in enumerate(files)], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`.
    """
    hints.refuse(NAME, path)
    config = read_config(path)
    check_config(path, config, "transcoder_set", _HANDLED)
    files = _layer_files(path, config)
    found = [shapes_of(file) for file in files]
    sizes = {_check_shapes(file, shapes) for file, shapes in zip(files, found, strict=True)}
    if len(sizes) != 1:
        raise InvalidFile(f"The layers of {path} differ in size: {', '.join(map(str, sorted(sizes)))}.")
    ((n_features, width),) = sizes
    top_k = _top_k(path, config)
    plain = "jumprelu" if any(_THRESHOLD in shapes for shapes in found) else "relu"
    return {
        "kind": "transcoder",
        "layout": NAME,
        "layers": len(files),
        "features": n_features,
        "width": width,
        "activation": plain if top_k is None else f"top-{top_k.k}",
        "skip": any("W_skip" in shapes for shapes in found),
        "reads": config["feature_input_hook"],
        "writes": config["feature_output_hook"],
        "bytes": sum(file.stat().st_size for file in files),
        "fingerprint": _fingerprint(config, files),
    }


def save_transcoders(
    path: Path,
    layers: Sequence[CoderLayer],
    settings: CoderSettings | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes transcoders as a directory in this layout, whole or not at all.

    Args:
        path: the directory to make.
        layers: the weights, first layer to last.
        settings: where they read and write; the MLP's own input and output unless given.
        overwrite: replace what stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        UsageError: the layers cannot be said in this layout.
        WriteFailed: the file system refused.
    """
    settings = settings or CoderSettings()
    config: dict[str, Any] = {"model_kind": "transcoder_set", **hooks_of(settings)}
    top_k = {layer.activation for layer in layers if isinstance(layer.activation, TopK)}
    if top_k:
        if len(top_k) > 1 or not all(isinstance(layer.activation, TopK) for layer in layers):
            raise UsageError("This layout has one activation for all layers, but these differ.")
        (only,) = top_k
        config |= {"activation": "topk", "k": only.k, "relu": only.relu}
    with atomic(path, directory=True, overwrite=overwrite) as temporary:
        for number, layer in enumerate(layers):
            try:
                save_file(_tensors(layer), temporary / f"layer_{number}.safetensors")
            except SafetensorError as cause:
                raise OSError(str(cause)) from cause
        (temporary / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def read_config(path: Path) -> dict[str, Any]:
    """Gives the settings of a directory.

    Raises:
        InvalidFile: there are none, or they cannot be read.
    """
    file = path / "config.yaml"
    try:
        config = yaml.safe_load(file.read_text())
    except FileNotFoundError as cause:
        raise InvalidFile(
            f"{path} holds transcoders but no config.yaml: write one with model_kind, feature_input_hook"
            " and feature_output_hook."
        ) from cause
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise InvalidFile(f"{file} could not be read: {' '.join(str(cause).split())}.") from cause
    if not isinstance(config, dict):
        raise InvalidFile(f"{file} is no table of settings.")
    return config


def check_config(path: Path, config: Mapping[str, Any], kind: str, handled: frozenset[str]) -> None:
    """Raises unless the settings are those of one kind of dictionary, all of them known.

    Raises:
        InvalidFile: settings that are neither handled nor known to be harmless.
        Incompatible: another kind, or a hook that is not known.
    """
    if config.get("model_kind") != kind:
        raise Incompatible(f"{path} is of the kind {config.get('model_kind')!r}: only {kind} can be read.")
    refuse_unknown(path / "config.yaml", {str(key): None for key in config}, handled | _IGNORED)
    for key, known in (("feature_input_hook", READ_HOOKS), ("feature_output_hook", WRITE_HOOKS)):
        if config.get(key) not in known:
            raise Incompatible(
                f"{path / 'config.yaml'} gives {key} as {config.get(key)!r}: known are {', '.join(known)}."
            )


def read_site(config: Mapping[str, Any], model: Model) -> ReadSite:
    """Gives where features read, for a model whose norms are of one kind or the other."""
    return lens_read_site(READ_HOOKS[config["feature_input_hook"]], model)


def hooks_of(settings: CoderSettings) -> dict[str, str]:
    """Gives the names of the hooks where a dictionary reads and writes.

    Raises:
        UsageError: a site that has no name in this layout.
    """
    reads = {site: hook for hook, site in reversed(tuple(READ_HOOKS.items()))}
    writes = {site: hook for hook, site in reversed(tuple(WRITE_HOOKS.items()))}
    if settings.read_site not in reads or settings.write_site not in writes:
        raise UsageError(
            f"circuit-tracer's layouts read at {', '.join(reads)} and write at {', '.join(writes)}: what"
            f" reads {settings.read_site} and writes {settings.write_site} cannot be said there."
        )
    return {
        "feature_input_hook": reads[settings.read_site],
        "feature_output_hook": writes[settings.write_site],
    }


def _tensors(layer: CoderLayer) -> dict[str, Tensor]:
    ((into, decoder),) = layer.decoders or ((None, None),)
    if decoder is None or into != layer.layer or layer.norm is not None:
        raise UsageError(f"The coder of layer {layer.layer} writes elsewhere or normalises: no transcoder.")
    tensors = {
        "W_enc": layer.encoder.all(),
        "W_dec": decoder.all(),
        "b_enc": layer.encoder_bias,
        "b_dec": layer.decoder_bias,
    }
    if isinstance(layer.activation, JumpReLU):
        tensors[_THRESHOLD] = layer.activation.threshold
    elif not isinstance(layer.activation, ReLU | TopK):
        raise UsageError(f"{type(layer.activation).__name__} cannot be said in this layout.")
    if layer.skip is not None:
        tensors["W_skip"] = layer.skip.all()
    return {key: tensor.contiguous().clone() for key, tensor in tensors.items()}


def _top_k(path: Path, config: Mapping[str, Any]) -> TopK | None:
    if "activation" not in config:
        extra = sorted({"k", "relu"} & config.keys())
        if extra:
            raise InvalidFile(f"{path / 'config.yaml'} gives {', '.join(extra)} without activation: topk.")
        return None
    k, relu = config.get("k"), config.get("relu", False)
    if config["activation"] != "topk" or type(k) is not int or type(relu) is not bool:
        raise InvalidFile(
            f"{path / 'config.yaml'} gives activation {config['activation']!r} with k {k!r} and relu"
            f" {relu!r}: only topk with a whole k and relu true or false is known."
        )
    return TopK(k, relu)


def _layer_files(path: Path, config: Mapping[str, Any]) -> list[Path]:
    if "transcoders" in config:
        listed = config["transcoders"]
        if not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed):
            raise InvalidFile(
                f"{path / 'config.yaml'} gives transcoders as something else than a list of files."
            )
        remote = [name for name in listed if name.startswith("hf://")]
        if remote:
            raise InvalidFile(f"{path} points to {remote[0]}: download the files and list their local names.")
        files = [path / name for name in listed]
    else:
        numbers = [
            int(found[1])
            for file in path.iterdir()
            if (found := re.fullmatch(r"layer_(\d+)\.safetensors", file.name))
        ]
        files = [path / f"layer_{number}.safetensors" for number in range(max(numbers, default=-1) + 1)]
        if not files:
            raise InvalidFile(f"{path} has no layer_*.safetensors and its config.yaml lists no transcoders.")
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise InvalidFile(f"{path} lacks {', '.join(missing[:3])}{' and more' * (len(missing) > 3)}.")
    return files


def _check_shapes(file: Path, found: Shapes) -> tuple[int, int]:
    """Gives the number of features and the width of one layer's file."""
    m, d = ((found[key][0] if key in found else ()) + (0,) for key in ("b_enc", "b_dec"))
    expected = {
        "W_enc": (m[0], d[0]),
        "W_dec": (m[0], d[0]),
        "b_enc": (m[0],),
        "b_dec": (d[0],),
        _THRESHOLD: (m[0],),
        "W_skip": (d[0], d[0]),
    }
    check_tensors(file, found, expected, optional=(_THRESHOLD, "W_skip"))
    return m[0], d[0]


def _layer(number: int, file: Path, top_k: TopK | None, like: Tensor) -> CoderLayer:
    """Gives one file's weights in the type and place of `like`."""
    found = shapes_of(file)
    m, d = _check_shapes(file, found)
    small = read_small(file, [key for key in ("b_enc", "b_dec", _THRESHOLD) if key in found], like)
    activation: Activation = ReLU() if top_k is None else top_k
    if _THRESHOLD in small:
        if top_k is not None:
            raise InvalidFile(f"{file} has thresholds and top-k at once: leave one of them out.")
        activation = JumpReLU(small[_THRESHOLD])
    return CoderLayer(
        layer=number,
        encoder=FileRows(file, "W_enc", (m, d), like.dtype, like.device),
        encoder_bias=small["b_enc"],
        decoders=((number, FileRows(file, "W_dec", (m, d), like.dtype, like.device)),),
        decoder_bias=small["b_dec"],
        activation=activation,
        skip=FileRows(file, "W_skip", (d, d), like.dtype, like.device) if "W_skip" in found else None,
    )


def _fingerprint(config: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Gives a hash over what decides the result: places and names of files do not."""
    settings = {key: value for key, value in config.items() if key not in _IGNORED | {"transcoders"}}
    return fingerprint(settings, files)
