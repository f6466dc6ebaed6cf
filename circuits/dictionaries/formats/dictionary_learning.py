"""SAEs of dictionary_learning (Marks, Karvonen and Mueller): one directory a trainer.

``config.json`` holds ``{"trainer": {"dict_class", "activation_dim", "dict_size", "layer", "k",
"submodule_name", ...}, "buffer": {"io": "out", ...}}``, and ``ae.pt`` the state of one of its classes::

    class                   matrices        biases                                       activation
    AutoEncoder             nn.Linear       encoder.bias, bias *                         relu
    AutoEncoderNew          nn.Linear       encoder.bias, decoder.bias                   relu
    GatedAutoEncoder        nn.Linear       mag_bias, gate_bias, r_mag, decoder_bias *   gated
    AutoEncoderTopK         nn.Linear       encoder.bias, b_dec *                        top-k of relu
    BatchTopKSAE            nn.Linear       encoder.bias, b_dec *                        relu(z) > threshold
    MatryoshkaBatchTopKSAE  nn.Parameter    b_enc, b_dec *                               relu(z) > threshold
    JumpReluAutoEncoder     nn.Parameter    b_enc, b_dec                                 relu, z > threshold

    nn.Linear: encoder.weight [m, d], decoder.weight [d, m];  nn.Parameter: W_enc [d, m], W_dec [m, d]

A bias with a star is also subtracted from the input. As its `load_dictionary` does, the decoder of an
AutoEncoder is brought to unit norm and its activations are times the norms; those of all other classes
are what `encode` gives, a top-k its k largest (not its `use_threshold`). A gated SAE is a JumpReLU (see
`circuits.dictionaries.formats.sae_lens_weights`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import Place, hinted_place, hook_name
from circuits.dictionaries.formats.tensor_files import check_tensors, refuse_unknown, words
from circuits.dictionaries.formats.torch_files import (
    State,
    fingerprint_of,
    names_in,
    rows_of,
    shapes_in,
    small_of,
    state_of,
)
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.rows import ScaledRows, products, row_norms
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.models.base import Model

NAME: Final = "dictionary_learning (config.json with trainer and dict_class, ae.pt)"


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


_CLASSES: Final[Mapping[str, _Class]] = {
    "AutoEncoder": _Class("relu", "encoder.bias", "bias", unit=True),
    "AutoEncoderNew": _Class("relu", "encoder.bias", "decoder.bias", centred=False),
    "GatedAutoEncoder": _Class("gated", "mag_bias", "decoder_bias"),
    "AutoEncoderTopK": _Class("topk", "encoder.bias", "b_dec"),
    "BatchTopKSAE": _Class("threshold", "encoder.bias", "b_dec"),
    "MatryoshkaBatchTopKSAE": _Class("threshold", "b_enc", "b_dec", linear=False),
    "MatroyshkaBatchTopKSAE": _Class("threshold", "b_enc", "b_dec", linear=False),  # as it was first spelt
    "JumpReluAutoEncoder": _Class("jumprelu", "b_enc", "b_dec", centred=False, linear=False),
}
_REFUSED: Final = {
    "IdentityDict": "has no features but the coordinates themselves",
    "CrossCoder": "reads several models or layers at once, and features here sit in one layer",
    "BatchTopKCrossCoder": "reads several models or layers at once, and features here sit in one layer",
}
_VECTORS: Final[Mapping[str, tuple[str, ...]]] = {"gated": ("gate_bias", "r_mag"), "jumprelu": ("threshold",)}
_WHOLE_NUMBERS: Final = ("k", "group_sizes")
_HANDLED: Final = words("dict_class activation_dim dict_size k layer submodule_name")
_HARMLESS: Final = words(  # names, and what matters in training only
    "trainer_class lm_name wandb_name device seed steps lr l1_penalty warmup_steps resample_steps"
    " sparsity_warmup_steps decay_start auxk_alpha threshold_beta threshold_start_step top_k_aux"
    " group_fractions group_weights group_sizes bandwidth sparsity_penalty target_l0 sparsity_function"
    " p_start p_end anneal_start sparsity_queue_length n_sparsity_updates k_anneal_steps"
)


@dataclass(frozen=True)
class _Saved:
    """One directory, its settings checked.

    Attributes:
        file: the state.
        name: the class.
        place: where it sits.
        transcoder: it writes elsewhere than it reads.
        sizes: (m, d) as the settings say, where they do.
        k: of a top-k, where the settings say so.
    """

    file: Path
    name: str
    place: Place
    transcoder: bool
    sizes: tuple[int | None, int | None]
    k: int | None

    def fingerprint(self, state: State) -> str:
        """Gives a hash over settings and weights."""
        settings = {key: value for key, value in asdict(self).items() if key != "file"}
        return fingerprint_of(settings, self.file, state)


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the keys of its settings."""
    return _settings(path) is not None


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the dictionary of a directory; encoder and decoder stay on disk.

    Raises:
        InvalidFile: unknown settings or classes, pickled code, or tensors that cannot be trusted.
        Incompatible: a class whose features cannot be placed in one layer.
        UsageError: a hint that is missing, or that the settings answer.
    """
    saved = _saved(path, hints)
    state = state_of(saved.file)
    kind = _CLASSES[saved.name]
    _check(saved, state)
    like = model.anatomy.embedding
    floats = [
        key for key, (shape, _) in shapes_in(state).items() if len(shape) < 2 and key not in _WHOLE_NUMBERS
    ]
    vectors = small_of(saved.file, state, floats, like)
    reading, writing = kind.matrices
    encoder = rows_of(saved.file, state, reading, like, columns=not kind.linear)
    decoder = rows_of(saved.file, state, writing, like, columns=kind.linear)
    scales = _scales(kind, vectors, decoder)
    layer = CoderLayer(
        layer=saved.place.layer,
        encoder=encoder if scales.read is None else ScaledRows(encoder, scales.read),
        encoder_bias=_bias(kind, vectors, encoder, scales),
        decoders=(
            (saved.place.layer, decoder if scales.write is None else ScaledRows(decoder, scales.write)),
        ),
        decoder_bias=vectors[kind.output_bias],
        activation=_activation(saved, state, vectors),
    )
    settings = CoderSettings(
        kind="transcoder" if saved.transcoder else "sae",
        read_site=saved.place.reads,
        write_site=saved.place.writes,
        fingerprint=saved.fingerprint(state),
        spec=str(path),
    )
    return Coders([layer], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    saved = _saved(path, hints)
    state = state_of(saved.file)
    m, d = _check(saved, state)
    gate = _CLASSES[saved.name].gate
    return {
        "kind": "transcoder" if saved.transcoder else "sae",
        "layout": NAME,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": {"relu": "relu", "topk": f"top-{_k(saved, state)}"}.get(gate, "jumprelu"),
        "skip": False,
        "reads": hook_name(saved.place.layer, saved.place.reads),
        "writes": hook_name(saved.place.layer, saved.place.writes),
        "bytes": saved.file.stat().st_size,
        "fingerprint": saved.fingerprint(state),
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
        trainer = config.get("trainer") if isinstance(config, dict) else None
        if isinstance(trainer, dict) and {"dict_class", "trainer_class"} & trainer.keys():
            return file, config
    return None


def _saved(path: Path, hints: Hints) -> _Saved:
    found = _settings(path)
    if found is None:
        raise InvalidFile(f"{path} has no settings with trainer and dict_class.")
    file, config = found
    refuse_unknown(file, config, frozenset({"trainer", "buffer"}))
    trainer: Mapping[str, Any] = config["trainer"]
    name = trainer.get("dict_class")
    if name in _REFUSED:
        raise Incompatible(f"{file} is of the class {name}, which {_REFUSED[name]}.")
    if name not in _CLASSES:
        raise InvalidFile(f"{file} is of the class {name!r}: known are {', '.join(_CLASSES)}.")
    refuse_unknown(file, trainer, _HANDLED | _HARMLESS)
    sizes = trainer.get("dict_size"), trainer.get("activation_dim")
    wrong = [
        f"{key} {trainer[key]!r}"
        for key in ("dict_size", "activation_dim", "k")
        if trainer.get(key) is not None and (type(trainer[key]) is not int or trainer[key] < 1)
    ]
    if wrong:
        raise InvalidFile(f"{file} gives {', '.join(wrong)}: whole numbers above 0 are needed.")
    place, transcoder = _place(file, config, hints)
    return _Saved(_state_file(path), str(name), place, transcoder, sizes, trainer.get("k"))


def _state_file(path: Path) -> Path:
    """Gives the one file of a directory that holds an encoder."""
    files = [f for f in sorted(path.glob("*.pt")) if {"encoder.weight", "W_enc"} & names_in(f)]
    if not files:  # a truncated one has no names; opening it says what is wrong
        files = sorted(path.glob("*.pt"))
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "no file"
        raise InvalidFile(f"{path} holds an encoder in {listed}: one .pt file is expected.")
    return files[0]


def _place(file: Path, config: Mapping[str, Any], hints: Hints) -> tuple[Place, bool]:
    """Gives where a dictionary sits, and whether it is a transcoder.

    The name resid_post_layer_N is that of the library's own examples. Other names are free text.
    """
    trainer, buffer = config["trainer"], config.get("buffer") or {}
    layer, name = trainer.get("layer"), trainer.get("submodule_name")
    if layer is not None and (type(layer) is not int or layer < 0):
        raise InvalidFile(f"{file} gives the layer {layer!r}: a whole number from 0 is needed.")
    through = buffer.get("io", "out") if isinstance(buffer, dict) else None
    if layer is not None and name == f"resid_post_layer_{layer}" and through == "out":
        hints.refuse(NAME, file.parent)
        return Place(layer, "block_out", "block_out"), False
    if layer is not None and hints.layer not in (None, layer):
        raise UsageError(f"{file} says that it belongs to layer {layer}: leave out layer={hints.layer}.")
    place, transcoder = hinted_place(hints, file.parent, layer=layer)
    if transcoder != (through == "in_and_out"):
        raise UsageError(
            f"{file} was trained on {through!r} of {name or 'a module'}: give"
            f" {'reads and writes' if through == 'in_and_out' else 'site'} after its name."
        )
    return place, transcoder


def _check(saved: _Saved, state: State) -> tuple[int, int]:
    """Gives (m, d) if the state is that of its class and nothing else."""
    kind, found = _CLASSES[saved.name], dict(shapes_in(state))
    if "ae" in state and "optimizer" in state:
        raise InvalidFile(
            f"{saved.file} is a backup of unfinished training: give what training saves at its end."
        )
    reading, writing = kind.matrices
    stored = found.get(reading, ((0, 0), ""))[0]
    rows = stored if kind.linear or len(stored) != 2 else stored[::-1]
    m, d = (given or size for given, size in zip(saved.sizes, (*rows, 0, 0), strict=False))
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
    check_tensors(saved.file, found, expected, ("threshold",) if kind.gate == "topk" else ())
    _k(saved, state)
    return m, d


def _k(saved: _Saved, state: State) -> int | None:
    """Gives k of a top-k, None for others."""
    if _CLASSES[saved.name].gate != "topk":
        return None
    k = state.get("k")
    stored = int(k) if isinstance(k, Tensor) and k.ndim == 0 else None
    if saved.k is None and stored is None:
        raise InvalidFile(f"{saved.file} is a top-k without k, in its settings too.")
    if None not in (saved.k, stored) and saved.k != stored:
        raise InvalidFile(f"{saved.file} has k {stored}, but its settings say {saved.k}.")
    return saved.k if stored is None else stored


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
    shift = products(vectors[kind.output_bias][None], encoder)[0]
    return bias - (shift if scales.read is None else scales.read * shift)


def _activation(saved: _Saved, state: State, vectors: Mapping[str, Tensor]) -> Activation:
    match _CLASSES[saved.name].gate:
        case "gated":
            scaled = vectors["r_mag"].exp() * vectors["gate_bias"]
            return JumpReLU((vectors["mag_bias"] - scaled).clamp(min=0))
        case "topk":
            k = _k(saved, state)
            assert k is not None
            return TopK(k, relu=True)
        case "threshold":  # -1 where training never set it, which keeps all that are positive
            return JumpReLU(
                vectors["threshold"].clamp(min=0).expand(len(state[_CLASSES[saved.name].encoder_bias]))
            )
        case "jumprelu":
            return JumpReLU(vectors["threshold"].clamp(min=0))
        case _:
            return ReLU()
