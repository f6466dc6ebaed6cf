"""SAEs, transcoders and cross-layer transcoders (CLTs) as llamascopium (lm-saes 2) saves them.

The path is a directory with ``config.json`` and one safetensors file of weights, or that file::

    sae_type: sae (a transcoder too, where its hooks differ) or clt
    hook_point_in, hook_point_out: blocks.5.hook_resid_post          of a CLT hook_points_in, hook_points_out
    d_model d, expansion_factor (m / d), use_decoder_bias, act_fn: relu, jumprelu, topk with top_k
    norm_activation: inference (nothing is done), dataset-wise, token-wise
    sparsity_include_decoder_norm: z times the norm |W_D| of a feature's decoder decides whether it is on

    W_E [d, m]   b_E [m]   W_D [m, d]   b_D [d]   activation_function.log_jumprelu_threshold [m]
    dataset_average_activation_norm.HOOK []       what is divided out at each hook, times sqrt(d)

    of n layers: W_E [n, d, m]   b_E [n, m]   W_D.5 [6, m, d]   b_D.5 [d]   log_jumprelu_threshold [n, m]

The decoders of a CLT are grouped by *target* layer: ``W_D.5[2, i]`` is what feature i of layer 2 writes into
layer 5. The constants of a dataset-wise normalisation are folded here into encoder and decoder, so that
activations are those the library gives for inputs that it has normalised. With
`sparsity_include_decoder_norm`, a threshold is divided by |W_D|; top-k ranks by z |W_D|, so there the
activations are the library's times |W_D|. Of a CLT, |W_D| is over all layers that a feature writes into.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import Rows
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
from circuits.dictionaries.rows import FileRows, ScaledRows, row_norms
from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model

NAME: Final = "llamascopium (config.json with sae_type, safetensors with W_E and W_D)"

_HANDLED: Final = words(
    "sae_type d_model expansion_factor use_decoder_bias act_fn norm_activation sparsity_include_decoder_norm"
    " top_k hook_point_in hook_point_out hook_points_in hook_points_out use_glu_encoder"
)
_HARMLESS: Final = words(  # kernels, types and places, and what matters in training only
    "use_triton_kernel sparsity_threshold_for_triton_spmm_kernel jumprelu_threshold_window"
    " jumprelu_threshold_grad_scale init_cross_layer_decoder_all_zero decode_with_csr"
    " sparsity_threshold_for_csr device dtype sae_pretrained_name_or_path strict_loading circuit_tracing_mode"
    " promote_act_fn_dtype"
)
_DEFAULTS: Final[Mapping[str, Any]] = {
    "use_decoder_bias": True,
    "act_fn": "relu",
    "norm_activation": "dataset-wise",
    "sparsity_include_decoder_norm": True,
    "top_k": 50,
    "use_glu_encoder": False,
}
_KNOWN: Final[Mapping[str, tuple[Any, ...]]] = {
    "act_fn": ("relu", "jumprelu", "topk"),
    "norm_activation": ("inference", "dataset-wise", "token-wise"),
    "use_decoder_bias": (True, False),
    "sparsity_include_decoder_norm": (True, False),
    "use_glu_encoder": (False,),
}
_THRESHOLD: Final = "activation_function.log_jumprelu_threshold"
_NORM: Final = "dataset_average_activation_norm."


@dataclass(frozen=True)
class _Found:
    """A checkpoint, its settings checked.

    Attributes:
        weights: the safetensors file.
        settings: what decides the result, defaults filled in.
        places: where the features of each layer sit.
        hooks: the names of the hooks each layer reads and writes at, as the file has them.
        sizes: (m, d).
        clt: whether it is a cross-layer transcoder.
    """

    weights: Path
    settings: Mapping[str, Any]
    places: tuple[Place, ...]
    hooks: tuple[tuple[str, str], ...]
    sizes: tuple[int, int]
    clt: bool

    @property
    def kind(self) -> CoderKind:
        """Gives what it is in our words."""
        ((into, out), *_) = self.hooks
        return "clt" if self.clt else "sae" if into == out else "transcoder"

    @property
    def fingerprint(self) -> str:
        """Gives a hash over settings and weights."""
        return fingerprint({**self.settings, "hooks": self.hooks}, [self.weights])


@dataclass(frozen=True)
class _Vectors:
    """What is read when a checkpoint is opened. n layers, m features, width d.

    Attributes:
        b_enc: the encoders' biases.
        b_dec: the decoders' biases.
        threshold: of a JumpReLU, in the units of its settings.
        read: what each layer's input is times.
        write: what each layer's output is divided by.
    """

    b_enc: Float[Tensor, "n m"]
    b_dec: Float[Tensor, "n d"]
    threshold: Float[Tensor, "n m"] | None
    read: tuple[float, ...]
    write: tuple[float, ...]


def recognises(path: Path) -> bool:
    """Tells whether a file or directory is in this layout, by the names of its tensors."""
    return bool(_checkpoints(path))


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coders of a checkpoint; encoders and decoders stay on disk.

    Raises:
        InvalidFile: unknown settings, a selection or norm that depends on the batch, or tensors that cannot
            be trusted.
        Incompatible: a hook where features cannot be placed, or another kind of dictionary.
        UsageError: a hint: the settings answer all of them.
    """
    found = _find(path, hints)
    like = model.anatomy.embedding
    reads = lens_read_site(found.places[0].reads, model)
    settings = CoderSettings(found.kind, reads, found.places[0].writes, found.fingerprint, str(path))
    vectors = _vectors(found, like)
    return Coders([_layer(found, vectors, number, like) for number in range(len(found.places))], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a checkpoint holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`, but for numbers that are not finite.
    """
    found = _find(path, hints)
    (m, d), place = found.sizes, found.places[0]
    layer = None if found.clt else place.layer
    activation = found.settings["act_fn"]
    return {
        "kind": found.kind,
        "layout": NAME,
        "layers": len(found.places),
        "features": m,
        "width": d,
        "activation": f"top-{found.settings['top_k']}" if activation == "topk" else activation,
        "skip": False,
        "reads": hook_name(layer, place.reads),
        "writes": hook_name(layer, place.writes),
        "bytes": found.weights.stat().st_size,
        "fingerprint": found.fingerprint,
    }


def _checkpoints(path: Path) -> list[Path]:
    return files_with(path, lambda keys: "W_E" in keys and bool({"W_D", "W_D.0"} & keys))


def _find(path: Path, hints: Hints) -> _Found:
    weights = only_one(path, _checkpoints(path))
    beside = settings_beside(weights, words("sae_type d_model"))
    if beside is None:
        raise InvalidFile(f"{weights} has no settings beside it: put there the config.json of its run.")
    file, config = beside
    hints.refuse(NAME, path)
    kind = config["sae_type"]
    if kind not in ("sae", "clt"):
        raise Incompatible(f"{file} is of the kind {kind!r}: of llamascopium, sae and clt can be used.")
    settings = _checked(file, config)
    d, factor = config["d_model"], config.get("expansion_factor")
    if type(d) is not int or not isinstance(factor, int | float) or not int(d * factor) > 0:
        raise InvalidFile(f"{file} gives d_model {d!r} and expansion_factor {factor!r}: numbers are needed.")
    hooks = _hooks(file, config)
    places = tuple(
        sae_place(into, file) if kind == "sae" and into == out else transcoder_place(into, out, file)
        for into, out in hooks
    )
    layers = [place.layer for place in places]
    if layers != sorted(set(layers)) or len({(place.reads, place.writes) for place in places}) != 1:
        raise Incompatible(f"{file} has hooks of different kinds, or layers that do not ascend: {layers}.")
    found = _Found(weights, settings, places, hooks, (int(d * factor), d), kind == "clt")
    if settings["norm_activation"] == "token-wise" and found.kind != "sae":
        raise InvalidFile(
            f"{file} is a {found.kind} that normalises token-wise: its outputs are in units of norms that are"
            " not known when it is used."
        )
    check_tensors(weights, shapes_of(weights), *_expected(found))
    return found


def _checked(file: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the settings that decide the result, if all are known."""
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    settings = {key: config.get(key, default) for key, default in _DEFAULTS.items()}
    wrong = [
        f"{key} {settings[key]!r} (known: {', '.join(map(str, known))})"
        for key, known in _KNOWN.items()
        if settings[key] not in known
    ]
    if settings["act_fn"] == "topk" and not (type(settings["top_k"]) is int and settings["top_k"] > 0):
        wrong.append(f"top_k {settings['top_k']!r} (a whole number is needed)")
    if wrong:
        spanning = "batch" in str(settings["norm_activation"]) or str(settings["act_fn"]).startswith(
            ("batch", "layer")
        )
        why = (
            " What depends on the batch or on other layers cannot be frozen on one prompt."
            if spanning
            else ""
        )
        raise InvalidFile(f"{file} has settings that are not known: {'; '.join(wrong)}.{why}")
    return settings


def _hooks(file: Path, config: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    if config["sae_type"] == "clt":
        into, out = config.get("hook_points_in"), config.get("hook_points_out")
    else:
        into, out = [config.get("hook_point_in")], [config.get("hook_point_out")]
    lists = isinstance(into, list) and isinstance(out, list) and len(into) == len(out) > 0
    if not lists or not all(isinstance(hook, str) for hook in (*(into or ()), *(out or ()))):
        raise InvalidFile(f"{file} does not say at which hooks it reads and writes: {into!r} and {out!r}.")
    return tuple(zip(into or (), out or (), strict=True))


def _expected(found: _Found) -> tuple[dict[str, tuple[int, ...]], list[str]]:
    """Gives the shapes that the settings ask for, and which of the tensors may be missing."""
    (m, d), n = found.sizes, len(found.places)
    stack = (n,) if found.clt else ()
    expected: dict[str, tuple[int, ...]] = {"W_E": (*stack, d, m), "b_E": (*stack, m)}
    if found.clt:
        for into in range(n):
            expected |= {f"W_D.{into}": (into + 1, m, d), f"b_D.{into}": (d,)}
    else:
        expected |= {"W_D": (m, d)} | ({"b_D": (d,)} if found.settings["use_decoder_bias"] else {})
    if found.settings["act_fn"] == "jumprelu":
        expected[_THRESHOLD] = (*stack, m)
    norms: dict[str, tuple[int, ...]] = {_NORM + hook: () for pair in found.hooks for hook in pair}
    needed = found.settings["norm_activation"] == "dataset-wise"
    return expected | norms, [] if needed else list(norms)


def _vectors(found: _Found, like: Tensor) -> _Vectors:
    (m, d), n = found.sizes, len(found.places)
    held = shapes_of(found.weights)
    biases = [f"b_D.{into}" for into in range(n)] if found.clt else ["b_D"] * ("b_D" in held)
    keys = ["b_E", *biases, *([_THRESHOLD] if _THRESHOLD in held else [])]
    read = write = (1.0,) * n
    small = read_small(found.weights, keys, like)
    if found.settings["norm_activation"] == "dataset-wise":
        names = sorted({_NORM + hook for pair in found.hooks for hook in pair})
        norms = read_small(found.weights, names, torch.empty(0, dtype=torch.float64))
        zero = [name.removeprefix(_NORM) for name, norm in norms.items() if not float(norm) > 0]
        if zero:
            raise InvalidFile(f"{found.weights} gives average norms that are not above 0: {', '.join(zero)}.")
        read, write = (
            tuple(math.sqrt(d) / float(norms[_NORM + pair[side]]) for pair in found.hooks) for side in (0, 1)
        )
    return _Vectors(
        b_enc=small["b_E"].reshape(n, m),
        b_dec=torch.stack([small[key] for key in biases]) if biases else small["b_E"].new_zeros(n, d),
        threshold=small[_THRESHOLD].exp().reshape(n, m) if _THRESHOLD in small else None,
        read=read,
        write=write,
    )


def _layer(found: _Found, vectors: _Vectors, number: int, like: Tensor) -> CoderLayer:
    """Gives the weights of one layer in the type and place of `like` and in the model's own units."""
    (m, _), n = found.sizes, len(found.places)
    part = number if found.clt else None

    def matrix(key: str, *, transposed: bool = False) -> FileRows:
        return FileRows(
            found.weights, key, found.sizes, like.dtype, like.device, transposed=transposed, part=part
        )

    targets = range(number, n)
    stored = [matrix(f"W_D.{into}" if found.clt else "W_D") for into in targets]
    activation, ranked = _activation(found, vectors, number, stored)
    one = torch.ones(m, dtype=like.dtype, device=like.device)
    times = one if ranked is None else ranked
    back = one if ranked is None else torch.where(ranked > 0, 1 / ranked, 0)
    return CoderLayer(
        layer=found.places[number].layer,
        encoder=_scaled(matrix("W_E", transposed=True), times * vectors.read[number]),
        encoder_bias=vectors.b_enc[number] * times,
        decoders=tuple(
            (found.places[into].layer, _scaled(rows, back / vectors.write[into]))
            for into, rows in zip(targets, stored, strict=True)
        ),
        decoder_bias=vectors.b_dec[number] / vectors.write[number],
        activation=activation,
        norm=InputNorm("unit_rms") if found.settings["norm_activation"] == "token-wise" else None,
    )


def _activation(
    found: _Found, vectors: _Vectors, number: int, decoders: list[FileRows]
) -> tuple[Activation, Float[Tensor, "m"] | None]:
    """Gives the activation of a layer, and what its pre-activations are times before they are ranked."""
    act_fn = found.settings["act_fn"]
    if act_fn == "relu":
        return ReLU(), None
    by_norm = found.settings["sparsity_include_decoder_norm"]
    norms = torch.stack([row_norms(rows) for rows in decoders]).norm(dim=0) if by_norm else None
    if vectors.threshold is None:
        return TopK(found.settings["top_k"], relu=True), norms
    threshold = vectors.threshold[number]
    if norms is not None:
        never = torch.finfo(threshold.dtype).max  # a feature without decoder is never on
        threshold = torch.where(norms > 0, threshold / norms, never).clamp(max=never)
    return JumpReLU(threshold), None


def _scaled(rows: Rows, scale: Float[Tensor, "m"]) -> Rows:
    return rows if bool((scale == 1).all()) else ScaledRows(rows, scale)
