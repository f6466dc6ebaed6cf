"""Cross-layer transcoders (CLTs) in circuit-tracer's layout, read lazily and written.

A directory holds ``config.yaml`` and two safetensors files for each of n layers::

    model_kind: cross_layer_transcoder
    feature_input_hook, feature_output_hook          # as for `circuit_tracer`

    W_enc_5.safetensors: W_enc_5 [m, d]   b_enc_5 [m]   b_dec_5 [d]
                         threshold_5 [m]    # optional, of all layers or none: JumpReLU; ReLU without
    W_dec_5.safetensors: W_dec_5 [m, n - 5, d]

The decoders are grouped by *source* layer: ``W_dec_5[i, t]`` is what feature i of layer 5 writes into layer
5 + t. Which layer a tensor is of is said by its key; names of files do not matter here (they do to
circuit-tracer). Where there is no ``config.yaml``, the user says where the features read and write.

circuit-tracer's loader knows ReLU and thresholds only, so top-k cannot be written: a selection by BatchTopK
(thresholds at inference) can. Nor can skips or normalised inputs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU
from circuits.dictionaries.base import ReadSite, WriteSite
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.circuit_tracer import (
    COMMON,
    WRITE_HOOKS,
    check_config,
    hooks_of,
    read_config,
    read_site,
)
from circuits.dictionaries.formats.sites import hinted_clt_place
from circuits.dictionaries.formats.tensor_files import check_tensors, fingerprint, read_small, shapes_of
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows
from circuits.errors import InvalidFile, UsageError
from circuits.files import atomic
from circuits.models.base import Model

NAME: Final = "circuit-tracer cross-layer transcoder (config.yaml, safetensors with W_enc_0 and W_dec_0)"

_KIND: Final = "cross_layer_transcoder"
_KEY: Final = re.compile(r"(?:W_enc|W_dec|b_enc|b_dec|threshold)_(\d+)")


@dataclass(frozen=True)
class _Found:
    """What a directory holds, checked but for its numbers.

    Attributes:
        files: which file holds a tensor.
        layers: n.
        sizes: (m, d).
        config: the settings, None where there are none.
    """

    files: dict[str, Path]
    layers: int
    sizes: tuple[int, int]
    config: dict[str, Any] | None

    @property
    def thresholds(self) -> bool:
        """Tells whether the features are JumpReLUs."""
        return "threshold_0" in self.files

    @property
    def distinct(self) -> list[Path]:
        """Gives every file once, in an order that their names do not decide."""
        return list(dict.fromkeys(self.files[key] for key in sorted(self.files)))

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        return fingerprint({key: (self.config or {}).get(key) for key in sorted(COMMON)}, self.distinct)


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by its configuration or by its tensors' names."""
    if not path.is_dir():
        return False
    if (path / "config.yaml").exists() and read_config(path).get("model_kind") == _KIND:
        return True
    return any(
        re.fullmatch(r"W_(enc|dec)_\d+", key)
        for file in sorted(path.glob("*.safetensors"))[:2]
        for key in shapes_of(file)
    )


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the cross-layer transcoder of a directory; encoders and decoders stay on disk.

    Raises:
        InvalidFile: a missing layer or key, an unknown key or setting, shapes that do not agree, NaN in a
            vector, or a truncated file.
        Incompatible: a hook that is not known, or settings of another kind of dictionary.
        UsageError: a hint that is missing, or that the settings answer.
    """
    found = _find(path)
    reads, writes = _sites(path, found, hints, model)
    settings = CoderSettings("clt", reads, writes, found.fingerprint, str(path))
    like = model.anatomy.embedding
    return Coders([_layer(found, layer, like) for layer in range(found.layers)], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    found = _find(path)
    (m, d), config = found.sizes, found.config
    if config is None:
        place = hinted_clt_place(hints, path)
        config = hooks_of(CoderSettings("clt", place.reads, place.writes))
    else:
        hints.refuse(NAME, path)
    return {
        "kind": "clt",
        "layout": NAME,
        "layers": found.layers,
        "features": m,
        "width": d,
        "activation": "jumprelu" if found.thresholds else "relu",
        "skip": False,
        "reads": config["feature_input_hook"],
        "writes": config["feature_output_hook"],
        "bytes": sum(file.stat().st_size for file in found.distinct),
        "fingerprint": found.fingerprint,
    }


def save_clt(
    path: Path,
    layers: Sequence[CoderLayer],
    settings: CoderSettings | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Writes a cross-layer transcoder as a directory in this layout, whole or not at all.

    Args:
        path: the directory to make.
        layers: the weights of all layers of the model, first to last, each with decoders into its own
            layer and all later ones.
        settings: where it reads and writes; the MLP's own input and output unless given.
        overwrite: replace what stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        UsageError: the layers cannot be said in this layout.
        WriteFailed: the file system refused.
    """
    config = {"model_kind": _KIND, **hooks_of(settings or CoderSettings("clt"))}
    _check_writable(layers)
    with atomic(path, directory=True, overwrite=overwrite) as temporary:
        for layer in layers:
            for part, tensors in (("W_enc", _reading(layer)), ("W_dec", _writing(layer))):
                try:
                    save_file(tensors, temporary / f"{part}_{layer.layer}.safetensors")
                except SafetensorError as cause:
                    raise OSError(str(cause)) from cause
        (temporary / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))


def _find(path: Path) -> _Found:
    shapes = {file: shapes_of(file) for file in sorted(path.glob("*.safetensors"))}
    numbers = [int(known[1]) for held in shapes.values() for key in held if (known := _KEY.fullmatch(key))]
    if not numbers:
        raise InvalidFile(
            f"{path} calls itself a {_KIND}, but holds no W_enc_0, W_dec_0 and so on: put the safetensors"
            " files of all its layers there."
        )
    files: dict[str, Path] = {}
    for file, tensors in shapes.items():
        for key in tensors:
            if key in files:
                raise InvalidFile(f"{path} holds {key} twice, in {files[key].name} and {file.name}.")
            files[key] = file
    across = shapes[files["W_dec_0"]]["W_dec_0"][0] if "W_dec_0" in files else ()
    n = max([*numbers, *(size - 1 for size in across[1:2])]) + 1
    m, d = ((shapes[files["W_enc_0"]]["W_enc_0"][0] if "W_enc_0" in files else ()) + (0, 0))[:2]
    if n > len(numbers):
        raise InvalidFile(f"{path} speaks of layer {n - 1}, but holds {len(numbers)} tensors in all.")
    expected: dict[str, tuple[int, ...]] = {}
    for layer in range(n):
        expected |= {
            f"W_enc_{layer}": (m, d),
            f"b_enc_{layer}": (m,),
            f"b_dec_{layer}": (d,),
            f"W_dec_{layer}": (m, n - layer, d),
        }
        if "threshold_0" in files:
            expected[f"threshold_{layer}"] = (m,)
    missing = [key for key in expected if key not in files]
    if missing:
        listed = ", ".join(missing[:4]) + " and more" * (len(missing) > 4)
        raise InvalidFile(f"{path} is a cross-layer transcoder of {n} layers, but lacks {listed}.")
    for file, tensors in shapes.items():
        check_tensors(file, tensors, expected, optional=list(expected))
    config = read_config(path) if (path / "config.yaml").exists() else None
    if config is not None:
        check_config(path, config, _KIND, COMMON)
    return _Found(files, n, (m, d), config)


def _sites(path: Path, found: _Found, hints: Hints, model: Model) -> tuple[ReadSite, WriteSite]:
    if found.config is None:
        place = hinted_clt_place(hints, path)
        return place.reads, place.writes
    hints.refuse(NAME, path)
    return read_site(found.config, model), WRITE_HOOKS[found.config["feature_output_hook"]]


def _layer(found: _Found, layer: int, like: Tensor) -> CoderLayer:
    """Gives the weights of one source layer in the type and place of `like`."""

    def small(name: str) -> Tensor:
        key = f"{name}_{layer}"
        return read_small(found.files[key], [key], like)[key]

    enc, dec = f"W_enc_{layer}", f"W_dec_{layer}"
    written = (found.files[dec], dec, found.sizes, like.dtype, like.device)
    activation: Activation = JumpReLU(small("threshold")) if found.thresholds else ReLU()
    return CoderLayer(
        layer=layer,
        encoder=FileRows(found.files[enc], enc, found.sizes, like.dtype, like.device),
        encoder_bias=small("b_enc"),
        decoders=tuple(
            (into, FileRows(*written, target=into - layer)) for into in range(layer, found.layers)
        ),
        decoder_bias=small("b_dec"),
        activation=activation,
    )


def _check_writable(layers: Sequence[CoderLayer]) -> None:
    """Raises `UsageError` where something cannot be said in this layout."""
    n = len(layers)
    if not n or [layer.layer for layer in layers] != list(range(n)):
        raise UsageError(
            f"A cross-layer transcoder has all layers from 0 in ascending order, not"
            f" {[layer.layer for layer in layers]}."
        )
    for layer in layers:
        into = [to for to, _ in layer.decoders]
        if into != list(range(layer.layer, n)):
            raise UsageError(
                f"Features of layer {layer.layer} write into layers {into}: in this layout they write into"
                f" {layer.layer} to {n - 1}, ascending."
            )
        if layer.skip is not None or layer.norm is not None:
            raise UsageError(
                f"The coder of layer {layer.layer} has a skip or normalises its input: circuit-tracer's"
                " cross-layer transcoders can do neither."
            )
    kinds = {type(layer.activation) for layer in layers}
    if kinds not in ({ReLU}, {JumpReLU}):
        names = ", ".join(sorted(kind.__name__ for kind in kinds))
        raise UsageError(
            "circuit-tracer's cross-layer transcoders are ReLU or JumpReLU in all layers, so"
            f" {names} cannot be said there: train with BatchTopK, which is saved as thresholds."
        )


def _reading(layer: CoderLayer) -> dict[str, Tensor]:
    tensors = {"W_enc": layer.encoder.all(), "b_enc": layer.encoder_bias, "b_dec": layer.decoder_bias}
    if isinstance(layer.activation, JumpReLU):
        tensors["threshold"] = layer.activation.threshold
    return {f"{key}_{layer.layer}": tensor.contiguous().clone() for key, tensor in tensors.items()}


def _writing(layer: CoderLayer) -> dict[str, Tensor]:
    rows = [decoder.all() for _, decoder in layer.decoders]
    return {f"W_dec_{layer.layer}": torch.stack(rows, dim=1).contiguous()}
