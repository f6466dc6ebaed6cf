"""Gemma Scope 2 (for Gemma 3): JumpReLU SAEs, transcoders with or without a skip, cross-layer transcoders.

A directory holds one coder, or one file a layer of a cross-layer transcoder (CLT), and usually
``config.json``::

    architecture: jump_relu          affine_connection: whether there is a skip
    hf_hook_point_in: model.layers.17.output          hf_hook_point_out: of a transcoder or a CLT
    type, width, l0, model_name      (for readers)

    w_enc [d, m]   b_enc [m]   threshold [m]   b_dec [d]
    w_dec [m, d], of a CLT [m, layers, d]
    affine_skip_connection [d, d]    out += x @ affine_skip_connection

    z = w_enc.T x + b_enc     a = z where z > threshold, and z > 0

A feature of a CLT writes into its own layer and all later ones; what its decoder holds for earlier layers
is not used. The files of a CLT are told apart by the layer in their names (``params_layer_5``). Where
there is no ``config.json``, the user says where the coder sits, as for `gemma_scope`; of a CLT, no layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from torch import Tensor

from circuits.dictionaries.activations import JumpReLU
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderKind, CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import (
    Place,
    hinted_clt_place,
    hinted_place,
    hook_name,
    sae_place,
    transcoder_place,
)
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
from circuits.dictionaries.rows import FileRows
from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model

NAME: Final = "Gemma Scope 2 (safetensors with w_enc, w_dec and threshold, config.json)"

_HANDLED: Final = words("architecture hf_hook_point_in hf_hook_point_out affine_connection type")
_HARMLESS: Final = words("width l0 model_name")
_TYPES: Final = ("sae", "transcoder", "clt")
_KEYS: Final = {"w_enc", "w_dec", "threshold"}
_SKIP: Final = "affine_skip_connection"


@dataclass(frozen=True)
class _Found:
    """What a directory holds, checked but for its numbers: the files by layer, (m, d), and where it sits."""

    kind: CoderKind
    place: Place
    files: Mapping[int, Path]
    sizes: tuple[int, int]
    skip: bool


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the names of its tensors."""
    return path.is_dir() and any(
        shapes_of(file).keys() >= _KEYS for file in sorted(path.glob("*.safetensors"))[:4]
    )


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coders of a directory; encoder and decoder stay on disk.

    Raises:
        InvalidFile: unknown settings, or tensors that cannot be trusted.
        Incompatible: a hook where features cannot be placed.
        UsageError: a hint that is missing, or that the settings answer.
    """
    found = _find(path, hints)
    like = model.anatomy.embedding
    settings = CoderSettings(
        kind=found.kind,
        read_site=found.place.reads,
        write_site=found.place.writes,
        fingerprint=_fingerprint(found),
        spec=str(path),
    )
    return Coders([_layer(found, layer, like) for layer in found.files], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    found = _find(path, hints)
    m, d = found.sizes
    layer = None if found.kind == "clt" else found.place.layer
    return {
        "kind": found.kind,
        "layout": NAME,
        "layers": len(found.files),
        "features": m,
        "width": d,
        "activation": "jumprelu",
        "skip": found.skip,
        "reads": hook_name(layer, found.place.reads),
        "writes": hook_name(layer, found.place.writes),
        "bytes": sum(file.stat().st_size for file in found.files.values()),
        "fingerprint": _fingerprint(found),
    }


def _find(path: Path, hints: Hints) -> _Found:
    shapes = {file: shapes_of(file) for file in sorted(path.glob("*.safetensors"))}
    files = [file for file in shapes if shapes[file].keys() >= _KEYS]
    config = read_json(path / "config.json") if (path / "config.json").exists() else {}
    _check_config(path, config)
    kind: CoderKind = "clt"
    across = {len(shapes[file]["w_dec"][0]) == 3 for file in files}
    if across == {True}:
        by_layer = _layers(path, files)
        place = _clt_place(path, config, hints)
    elif len(files) == 1:
        place, kind = _place(path, config, hints)
        by_layer = {place.layer: files[0]}
    else:
        listed = ", ".join(file.name for file in files[:3])
        raise InvalidFile(f"{path} holds several coders ({listed}): give each a directory of its own.")
    if config and config.get("type", kind) != kind:
        raise InvalidFile(f"{path} calls itself a {config['type']!r}, but its tensors are those of a {kind}.")
    skips = {_SKIP in shapes[file] for file in files}
    if len(skips) != 1 or config.get("affine_connection") not in (None, *skips):
        raise InvalidFile(f"{path} does not hold {_SKIP} as its settings or its other files would have it.")
    sizes = {_check(file, shapes[file], len(by_layer) if kind == "clt" else None) for file in files}
    if len(sizes) != 1:
        raise InvalidFile(f"The layers of {path} differ in size: {', '.join(map(str, sorted(sizes)))}.")
    return _Found(kind, place, by_layer, sizes.pop(), skips.pop())


def _check_config(path: Path, config: Mapping[str, Any]) -> None:
    if not config:
        return
    file = path / "config.json"
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    if config.get("architecture") != "jump_relu":
        raise InvalidFile(f"{file} has the architecture {config.get('architecture')!r}: jump_relu is known.")
    if config.get("type", "sae") not in _TYPES:
        raise InvalidFile(f"{file} has the type {config['type']!r}: known are {', '.join(_TYPES)}.")


def _place(path: Path, config: Mapping[str, Any], hints: Hints) -> tuple[Place, CoderKind]:
    """Gives where a coder of one layer sits, and whether it is an SAE."""
    into, out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if not isinstance(into, str):
        place, transcoder = hinted_place(hints, path)
        return place, "transcoder" if transcoder else "sae"
    hints.refuse(NAME, path)
    if isinstance(out, str) and out != into:
        return transcoder_place(into, out, path / "config.json"), "transcoder"
    return sae_place(into, path / "config.json"), "sae"


def _clt_place(path: Path, config: Mapping[str, Any], hints: Hints) -> Place:
    """Gives where a CLT reads and writes; the layer is of no meaning."""
    into, out = config.get("hf_hook_point_in"), config.get("hf_hook_point_out")
    if isinstance(into, str) and isinstance(out, str):
        hints.refuse(NAME, path)
        return transcoder_place(into, out, path / "config.json")
    return hinted_clt_place(hints, path)


def _layers(path: Path, files: Sequence[Path]) -> dict[int, Path]:
    """Gives the files of a CLT by the layers in their names, which must be 0 to the last."""
    numbers = {file: re.findall(r"layer_(\d+)", file.stem) for file in files}
    layers = {int(found[-1]): file for file, found in numbers.items() if found}
    if sorted(layers) != list(range(len(files))):
        listed = ", ".join(file.name for file in files[:3]) + " and more" * (len(files) > 3)
        raise InvalidFile(
            f"{path} is a cross-layer transcoder of {len(files)} files ({listed}), which are not named"
            f" layer_0 to layer_{len(files) - 1}."
        )
    return dict(sorted(layers.items()))


def _check(file: Path, found: Shapes, targets: int | None) -> tuple[int, int]:
    """Gives (m, d) if the file holds what it must."""
    if len(found["w_enc"][0]) != 2:
        raise Incompatible(f"{file} reads several layers at once: a crosscoder is not supported.")
    d, m = found["w_enc"][0]
    decoder = (m, d) if targets is None else (m, targets, d)
    expected = {"w_enc": (d, m), "w_dec": decoder, "b_enc": (m,), "b_dec": (d,), "threshold": (m,)}
    check_tensors(file, found, {**expected, _SKIP: (d, d)}, optional=[_SKIP])
    return m, d


def _layer(found: _Found, layer: int, like: Tensor) -> CoderLayer:
    """Gives the coder of one file in the type and place of `like`."""
    file, (m, d) = found.files[layer], found.sizes
    small = read_small(file, ("b_enc", "b_dec", "threshold"), like)
    decoders: tuple[tuple[int, Rows], ...]
    if found.kind == "clt":
        later = [into for into in found.files if into >= layer]
        stored = (file, "w_dec", (m, d), like.dtype, like.device)
        decoders = tuple((into, FileRows(*stored, target=into)) for into in later)
    else:
        decoders = ((layer, FileRows(file, "w_dec", (m, d), like.dtype, like.device)),)
    return CoderLayer(
        layer=layer,
        encoder=FileRows(file, "w_enc", (m, d), like.dtype, like.device, transposed=True),
        encoder_bias=small["b_enc"],
        decoders=decoders,
        decoder_bias=small["b_dec"],
        activation=JumpReLU(small["threshold"].clamp(min=0)),
        skip=FileRows(file, _SKIP, (d, d), like.dtype, like.device, transposed=True) if found.skip else None,
    )


def _fingerprint(found: _Found) -> str:
    settings = {"kind": found.kind, "place": repr(found.place)}
    return fingerprint(settings, list(found.files.values()))
