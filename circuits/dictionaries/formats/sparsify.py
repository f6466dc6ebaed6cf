"""SAEs and transcoders of EleutherAI's sparsify, one directory a module of the model.

``cfg.json`` holds the settings, and ``sae.safetensors`` the tensors::

    d_in, num_latents (0: d_in · expansion_factor), k, activation: topk (also where it is not named) or
    groupmax, signed, transcode, skip_connection
    normalize_decoder, multi_topk: of training (the second is a loss, of 4k features; encode keeps k)

    encoder.weight [m, d]   encoder.bias [m]   W_dec [m, d]   b_dec [d]   W_skip [d, d]

    z   = encoder.weight (x - b_dec [unless transcode]) + encoder.bias
    a   = the k largest of relu(z); groupmax: the largest of each of k runs of m/k features;
          signed (until August 2024): the k largest of |z|, with their signs
    out = W_dec.T a + b_dec [+ W_skip x]

The directory is named after the module it was trained on, as in layers.5 (the stream after that block),
layers.5.mlp or h.5.mlp; a transcoder reads that module's input. Hints overrule the name. Transcoders of
before February 2025 do not say so unless they have a skip connection, and subtracted b_dec: give
`reads=mlp_in&writes=mlp_out` for those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from circuits.dictionaries.activations import AbsTopK, Activation, GroupMax, TopK
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import Place, hinted_place, hook_name, sae_place
from circuits.dictionaries.formats.tensor_files import (
    check_tensors,
    fingerprint,
    read_small,
    refuse_unknown,
    shapes_of,
    words,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import FileRows, products
from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model

NAME: Final = "sparsify (cfg.json with d_in, k and expansion_factor, sae.safetensors with encoder and W_dec)"

_KEYS: Final = frozenset({"d_in", "k", "expansion_factor"})
_KNOWN: Final = (
    _KEYS
    | words("num_latents activation signed transcode skip_connection")
    | words(
        "normalize_decoder multi_topk"  # done to the weights, or to the loss, in training
    )
)


@dataclass(frozen=True)
class _Saved:
    """One directory, its settings checked.

    Attributes:
        weights: the safetensors file.
        place: where it sits.
        transcoder: it writes elsewhere than it reads.
        centred: b_dec is subtracted from the input.
        sizes: (m, d).
        activation: which features are on.
        skip: it has a skip connection.
    """

    weights: Path
    place: Place
    transcoder: bool
    centred: bool
    sizes: tuple[int, int]
    activation: TopK | AbsTopK | GroupMax
    skip: bool

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        settings = {key: value for key, value in asdict(self).items() if key != "weights"}
        return fingerprint({**settings, "activation": repr(self.activation)}, [self.weights])


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the keys of its settings."""
    return _settings(path) is not None


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coder of a directory; encoder and decoder stay on disk.

    Raises:
        InvalidFile: unknown settings, or tensors that cannot be trusted.
        Incompatible: a module where features cannot be placed.
        UsageError: hints that do not say where it sits.
    """
    saved = _saved(path, hints)
    m, d = _check(saved)
    like = model.anatomy.embedding
    vectors = read_small(saved.weights, ("encoder.bias", "b_dec"), like)
    encoder = FileRows(saved.weights, "encoder.weight", (m, d), like.dtype, like.device)
    bias = vectors["encoder.bias"]
    if saved.centred:
        bias = products(-vectors["b_dec"][None], encoder, bias)[0]
    decoder = FileRows(saved.weights, "W_dec", (m, d), like.dtype, like.device)
    activation: Activation = saved.activation
    layer = CoderLayer(
        layer=saved.place.layer,
        encoder=encoder,
        encoder_bias=bias,
        decoders=((saved.place.layer, decoder),),
        decoder_bias=vectors["b_dec"],
        activation=activation,
        skip=FileRows(saved.weights, "W_skip", (d, d), like.dtype, like.device) if saved.skip else None,
    )
    settings = CoderSettings(
        kind="transcoder" if saved.transcoder else "sae",
        read_site=saved.place.reads,
        write_site=saved.place.writes,
        fingerprint=saved.fingerprint,
        spec=str(path),
    )
    return Coders([layer], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    saved = _saved(path, hints)
    m, d = _check(saved)
    names = {TopK: "top", AbsTopK: "abstop", GroupMax: "groupmax"}
    return {
        "kind": "transcoder" if saved.transcoder else "sae",
        "layout": NAME,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": f"{names[type(saved.activation)]}-{saved.activation.k}",
        "skip": saved.skip,
        "reads": hook_name(saved.place.layer, saved.place.reads),
        "writes": hook_name(saved.place.layer, saved.place.writes),
        "bytes": saved.weights.stat().st_size,
        "fingerprint": saved.fingerprint,
    }


def _settings(path: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Gives the settings of a directory and their file, or None if there are no such keys."""
    if not path.is_dir():
        return None
    for file in sorted(path.glob("*.json")):
        try:
            config = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(config, dict) and config.keys() >= _KEYS and "d_sae" not in config:
            return file, config
    return None


def _saved(path: Path, hints: Hints) -> _Saved:
    found = _settings(path)
    if found is None:
        raise InvalidFile(f"{path} has no settings with {', '.join(sorted(_KEYS))}.")
    file, config = found
    refuse_unknown(file, config, _KNOWN)
    numbers = {key: config.get(key, 0) for key in ("d_in", "k", "expansion_factor", "num_latents")}
    wrong = [
        f"{key} {value!r}"
        for key, value in numbers.items()
        if type(value) is not int or value < (key != "num_latents")
    ]
    flags = {key: config.get(key, False) for key in ("transcode", "skip_connection", "signed")}
    wrong += [f"{key} {value!r}" for key, value in flags.items() if type(value) is not bool]
    if wrong:
        raise InvalidFile(f"{file} gives {', '.join(wrong)}: whole numbers, and true or false, are needed.")
    m = numbers["num_latents"] or numbers["d_in"] * numbers["expansion_factor"]
    said = flags["transcode"] or flags["skip_connection"]
    place, transcoder = _place(path, hints, transcoder=said)
    return _Saved(
        weights=_weights(path),
        place=place,
        transcoder=transcoder,
        centred=not flags["transcode"],
        sizes=(m, numbers["d_in"]),
        activation=_activation(file, config, m),
        skip=flags["skip_connection"],
    )


def _activation(file: Path, config: Mapping[str, Any], m: int) -> TopK | AbsTopK | GroupMax:
    name, k, signed = config.get("activation", "topk"), config["k"], config.get("signed", False)
    if name == "topk":
        return AbsTopK(k) if signed else TopK(k, relu=True)
    if name == "groupmax" and not signed and m % k == 0:
        return GroupMax(k)
    raise InvalidFile(
        f"{file} has the activation {name!r} with k {k} of {m} features, signed {signed}: known are topk, and"
        " groupmax where k divides the features and signed is false."
    )


def _place(path: Path, hints: Hints, *, transcoder: bool) -> tuple[Place, bool]:
    """Gives where a coder sits, and whether it is a transcoder: by hints, else by the directory's name."""
    if hints != Hints():
        place, hinted = hinted_place(hints, path)
        if transcoder and not hinted:
            raise Incompatible(f"{path} is a transcoder: give reads and writes rather than site.")
        return place, hinted
    module = path.resolve().name
    try:
        place = sae_place(module, path)
    except Incompatible:
        if "." in module:
            raise
        place = hinted_place(hints, path)[0]  # says what to add
    if not transcoder:
        return place, False
    if place.writes != "mlp_out":
        raise Incompatible(f"{path} is a transcoder of {module!r}: only that of one MLP can be used.")
    return Place(place.layer, "mlp_in", "mlp_out"), True


def _weights(path: Path) -> Path:
    """Gives the one safetensors file of a directory that holds an encoder."""
    files = [file for file in sorted(path.glob("*.safetensors")) if "encoder.weight" in shapes_of(file)]
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "no file"
        raise InvalidFile(f"{path} holds encoder.weight in {listed}: one safetensors file is expected.")
    return files[0]


def _check(saved: _Saved) -> tuple[int, int]:
    """Gives (m, d) if the file holds what the settings need, and nothing else."""
    m, d = saved.sizes
    expected: dict[str, tuple[int, ...]] = {
        "encoder.weight": (m, d),
        "encoder.bias": (m,),
        "W_dec": (m, d),
        "b_dec": (d,),
    }
    if saved.skip:
        expected["W_skip"] = (d, d)
    check_tensors(saved.weights, shapes_of(saved.weights), expected)
    return m, d
