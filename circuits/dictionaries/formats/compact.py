"""Our own layout: any coder of ours in a quarter of the space, rows as int8 with one scale each.

A directory holds ``dictionary.json`` and one safetensors file a layer::

    dictionary.json: circuits_dictionary: 1 (the version), kind, read_site, write_site, activation,
                     k and relu (topk), k and searched (routed_topk), layers [0, 1, ...]

    layer_3.safetensors:
        encoder [m, d] int8      encoder.scale [m]       row i is encoder.scale[i] · encoder[i]
        decoder.3 [m, d] int8    decoder.3.scale [m]     one for every layer written into
        encoder_bias [m]   decoder_bias [d]   threshold [m] (jumprelu)   skip [d, d]
        router [g, d]   router_bias [g]                  routed_topk: the features are in g groups

The bundled dictionaries come in it. A row's largest number is 127 times its scale, so a number is off by
0.4% of its row's largest at most. Others read `circuits.dictionaries.formats.circuit_tracer` or sae-lens'
layout, which lose nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from circuits.dictionaries.activations import (
    AbsTopK,
    Activation,
    JumpReLU,
    ReLU,
    RoutedTopK,
    TopK,
)
from circuits.dictionaries.base import ReadSite, Rows, WriteSite
from circuits.dictionaries.coders import CoderKind, CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.tensor_files import (
    Shapes,
    check_tensors,
    fingerprint,
    read_json,
    read_small,
    refuse_unknown,
    shapes_of,
    words,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows, ScaledRows
from circuits.errors import InvalidFile, UsageError
from circuits.files import atomic
from circuits.models.base import Model

NAME: Final = "circuits' own (dictionary.json, layer_*.safetensors with int8 rows)"
MARK: Final = "circuits_dictionary"
VERSION: Final = 1
SETTINGS: Final = "dictionary.json"
_KNOWN: Final = words(f"{MARK} kind read_site write_site activation k relu searched layers")
_NEEDED: Final = {
    "relu": (),
    "jumprelu": (),
    "abstopk": ("k",),
    "topk": ("k", "relu"),
    "routed_topk": ("k", "searched"),
}
_LARGEST: Final = 127


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout."""
    if not (path / SETTINGS).is_file():
        return False
    try:
        return MARK in read_json(path / SETTINGS)
    except InvalidFile:
        return False


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coders of a directory; encoders and decoders stay on disk.

    Raises:
        InvalidFile: another version, an unknown setting, tensors missing or of wrong shape, NaN.
        UsageError: a hint that the directory itself answers.
    """
    hints.refuse(NAME, path)
    config = _config(path)
    files = _files(path, config)
    settings = CoderSettings(
        kind=config["kind"],
        read_site=config["read_site"],
        write_site=config["write_site"],
        fingerprint=fingerprint(config, list(files.values())),
        spec=str(path),
    )
    like = model.anatomy.embedding
    return Coders([_layer(layer, file, config, like) for layer, file in files.items()], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, UsageError: as `load`.
    """
    hints.refuse(NAME, path)
    config = _config(path)
    files = _files(path, config)
    sizes = {_check_shapes(layer, file, config, shapes_of(file)) for layer, file in files.items()}
    if len(sizes) != 1:
        raise InvalidFile(f"The layers of {path} differ in size: {', '.join(map(str, sorted(sizes)))}.")
    ((m, d),) = sizes
    return {
        "kind": config["kind"],
        "layout": NAME,
        "layers": len(files),
        "features": m,
        "width": d,
        "activation": f"top-{config['k']}" if "k" in config else config["activation"],
        "skip": any("skip" in shapes_of(file) for file in files.values()),
        "reads": config["read_site"],
        "writes": config["write_site"],
        "bytes": sum(file.stat().st_size for file in files.values()),
        "fingerprint": fingerprint(config, list(files.values())),
    }


def save_compact(path: Path, coders: Coders, *, overwrite: bool = False) -> None:
    """Writes coders as a directory in this layout, whole or not at all.

    Args:
        path: the directory to make.
        coders: of any kind; those that normalise their input are refused.
        overwrite: replace what stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        UsageError: the coders cannot be said in this layout.
        WriteFailed: the file system refused.
    """
    layers = [coders.coder(layer) for layer in coders.layers]
    normalised = [layer.layer for layer in layers if layer.norm is not None]
    if normalised:
        raise UsageError(f"{coders.spec} normalises its input, which this layout cannot say.")
    config: dict[str, Any] = {
        MARK: VERSION,
        "kind": coders.kind,
        "read_site": coders.read_site,
        "write_site": coders.write_site,
        **_activation_settings(layers),
        "layers": list(coders.layers),
    }
    with atomic(path, directory=True, overwrite=overwrite) as temporary:
        for layer in layers:
            try:
                save_file(_tensors(layer), temporary / f"layer_{layer.layer}.safetensors")
            except SafetensorError as cause:
                raise OSError(str(cause)) from cause
        (temporary / SETTINGS).write_text(json.dumps(config, indent=1) + "\n")


def quantised(rows: Float[Tensor, "m d"]) -> tuple[Tensor, Float[Tensor, "m"]]:
    """Gives rows as int8 and the scale of each: the nearest multiples of its largest number / 127."""
    scale = rows.abs().amax(dim=1).float() / _LARGEST
    steps = rows.float() / scale.clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    return steps.round().to(torch.int8), scale


def _activation_settings(layers: Sequence[CoderLayer]) -> dict[str, Any]:
    """Gives how the activation of all layers is written down."""
    found = {tuple(_said(layer.activation).items()) for layer in layers}
    if len(found) != 1:
        raise UsageError("This layout has one activation for all layers, but these differ.")
    return dict(found.pop())


def _said(activation: Activation) -> dict[str, Any]:
    """Gives how an activation is written down, but for its tensors."""
    match activation:
        case TopK(k, relu):
            return {"activation": "topk", "k": k, "relu": relu}
        case AbsTopK(k):
            return {"activation": "abstopk", "k": k}
        case RoutedTopK(k, searched):
            return {"activation": "routed_topk", "k": k, "searched": searched}
        case ReLU():
            return {"activation": "relu"}
        case JumpReLU():
            return {"activation": "jumprelu"}
    raise UsageError(f"{type(activation).__name__} cannot be said in this layout.")


def _tensors(layer: CoderLayer) -> dict[str, Tensor]:
    tensors = {"encoder_bias": layer.encoder_bias, "decoder_bias": layer.decoder_bias}
    for key, rows in (("encoder", layer.encoder), *((f"decoder.{n}", r) for n, r in layer.decoders)):
        tensors[key], tensors[f"{key}.scale"] = quantised(rows.all())
    if isinstance(layer.activation, JumpReLU):
        tensors["threshold"] = layer.activation.threshold
    if isinstance(layer.activation, RoutedTopK):
        tensors |= {"router": layer.activation.router, "router_bias": layer.activation.router_bias}
    if layer.skip is not None:
        tensors["skip"] = layer.skip.all()
    return {key: tensor.contiguous().clone() for key, tensor in tensors.items()}


def _config(path: Path) -> dict[str, Any]:
    file = path / SETTINGS
    config = read_json(file)
    if config.get(MARK) != VERSION:
        raise InvalidFile(f"{file} is of version {config.get(MARK)!r}: this program reads {VERSION}.")
    refuse_unknown(file, config, _KNOWN)
    choices = {
        "kind": get_args(CoderKind),
        "read_site": get_args(ReadSite),
        "write_site": get_args(WriteSite),
        "activation": tuple(_NEEDED),
    }
    for key, known in choices.items():
        if config.get(key) not in known:
            raise InvalidFile(f"{file} gives {key} as {config.get(key)!r}: known are {', '.join(known)}.")
    types = {"k": int, "relu": bool, "searched": int}
    needed = _NEEDED[config["activation"]]
    given = [key for key, kind in types.items() if type(config.get(key)) is kind]
    if sorted(needed) != sorted(given):
        told = ", ".join(f"{key} {config.get(key)!r}" for key in types)
        raise InvalidFile(
            f"{file} gives {config['activation']} with {told}: it needs"
            f" {' and '.join(needed) or 'none of them'}."
        )
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers or not all(type(n) is int and n >= 0 for n in layers):
        raise InvalidFile(f"{file} gives layers as {layers!r}: a list of numbers from 0 is needed.")
    return config


def _files(path: Path, config: dict[str, Any]) -> dict[int, Path]:
    files = {layer: path / f"layer_{layer}.safetensors" for layer in config["layers"]}
    missing = [file.name for file in files.values() if not file.is_file()]
    if missing:
        raise InvalidFile(f"{path} lacks {', '.join(missing[:3])}{' and more' * (len(missing) > 3)}.")
    return files


def _targets(layer: int, config: dict[str, Any]) -> list[int]:
    """Gives the layers a layer's features write into."""
    return [to for to in config["layers"] if to >= layer] if config["kind"] == "clt" else [layer]


def _check_shapes(layer: int, file: Path, config: dict[str, Any], found: Shapes) -> tuple[int, int]:
    """Gives the number of features and the width of one layer's file."""
    m, d = ((found[key][0] if key in found else ()) + (0,) for key in ("encoder_bias", "decoder_bias"))
    matrices = ["encoder", *(f"decoder.{to}" for to in _targets(layer, config))]
    whole = [key for key in matrices if found.get(key) == ((m[0], d[0]), "I8")]
    bad = sorted(set(matrices) - set(whole))
    if bad:
        raise InvalidFile(f"{file} lacks {', '.join(bad)} as [{m[0]}, {d[0]}] of int8.")
    expected: dict[str, tuple[int, ...]] = {
        "encoder_bias": (m[0],),
        "decoder_bias": (d[0],),
        **{f"{key}.scale": (m[0],) for key in matrices},
        "skip": (d[0], d[0]),
    }
    if config["activation"] == "jumprelu":
        expected["threshold"] = (m[0],)
    if config["activation"] == "routed_topk":
        groups = (found["router_bias"][0] if "router_bias" in found else ()) + (0,)
        expected |= {"router": (groups[0], d[0]), "router_bias": (groups[0],)}
        if not config["searched"] <= groups[0] or m[0] % max(1, groups[0]):
            raise InvalidFile(
                f"{file} has {m[0]} features in {groups[0]} groups, {config['searched']} searched."
            )
    others = {key: value for key, value in found.items() if key not in matrices}
    check_tensors(file, others, expected, optional=("skip",))
    return m[0], d[0]


def _layer(layer: int, file: Path, config: dict[str, Any], like: Tensor) -> CoderLayer:
    """Gives one file's weights in the type and place of `like`."""
    found = shapes_of(file)
    m, d = _check_shapes(layer, file, config, found)
    small = [key for key, (shape, _) in found.items() if len(shape) == 1 or key == "router"]
    vectors = read_small(file, small, like)

    def rows(key: str) -> Rows:
        return ScaledRows(FileRows(file, key, (m, d), like.dtype, like.device), vectors[f"{key}.scale"])

    return CoderLayer(
        layer=layer,
        encoder=rows("encoder"),
        encoder_bias=vectors["encoder_bias"],
        decoders=tuple((to, rows(f"decoder.{to}")) for to in _targets(layer, config)),
        decoder_bias=vectors["decoder_bias"],
        activation=_activation(config, vectors),
        skip=FileRows(file, "skip", (d, d), like.dtype, like.device) if "skip" in found else None,
    )


def _activation(config: dict[str, Any], vectors: dict[str, Tensor]) -> Activation:
    match config["activation"]:
        case "jumprelu":
            return JumpReLU(vectors["threshold"])
        case "topk":
            return TopK(config["k"], config["relu"])
        case "abstopk":
            return AbsTopK(config["k"])
        case "routed_topk":
            return RoutedTopK(config["k"], config["searched"], vectors["router"], vectors["router_bias"])
        case _:
            return ReLU()
