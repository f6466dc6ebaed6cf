"""SAEs of openai/sparse_autoencoder (Gao et al. 2024), one ``.pt`` file each.

The state of its `Autoencoder`, with the activation by name beside the tensors::

    pre_bias [d]   latent_bias [m]   encoder.weight [m, d]   decoder.weight [d, m]
    activation: ReLU (also where it is not named) or TopK
    activation_state_dict: {k: 32, postact_fn: ReLU or Identity}          # of TopK
    stats_last_nonzero, latents_activation_frequency, latents_mean_square [m]   # of training

    x'  = (x - mean) / (std + 1e-5), std unbiased, for TopK; x for ReLU: the library decides it so
    z   = encoder (x' - pre_bias) + latent_bias
    out = decoder a + pre_bias, for TopK times std, plus mean

With `Identity` the k largest are kept as they are, negative ones too. Where the coder sits is said by the
names of its directories alone, so the user says it here: `PATH?layer=6&site=block_out` (resid_post_mlp) or
`site=mlp_out` (resid_delta_mlp).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from circuits.dictionaries.activations import ReLU, TopK
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.formats.sites import hinted_place, hook_name
from circuits.dictionaries.formats.tensor_files import check_tensors
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
from circuits.dictionaries.rows import products
from circuits.errors import InvalidFile
from circuits.models.base import Model

NAME: Final = "openai/sparse_autoencoder (a .pt file with pre_bias, latent_bias, encoder and decoder)"

_STATISTICS: Final = ("latents_activation_frequency", "latents_mean_square")
_LAST_SEEN: Final = "stats_last_nonzero"
_ACTIVATION_KEYS: Final = frozenset(
    {"activation", "activation_state_dict", "activation.k", "activation.postact_fn"}
)
_AFTER_TOP_K: Final = {"ReLU": True, "Identity": False}


def recognises(path: Path) -> bool:
    """Tells whether a file is in this layout, by the names in it; nothing of it is run."""
    return path.is_file() and {"pre_bias", "latent_bias"} <= names_in(path)


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the SAE of a file; encoder and decoder stay on disk.

    Raises:
        InvalidFile: pickled code, an unknown activation, or tensors that cannot be trusted.
        UsageError: hints that do not say where it sits.
    """
    state = state_of(path)
    activation = _activation(path, state)
    _check(path, state)
    place, transcoder = hinted_place(hints, path)
    like = model.anatomy.embedding
    vectors = small_of(path, state, ("pre_bias", "latent_bias"), like)
    encoder = rows_of(path, state, "encoder.weight", like)
    decoder = rows_of(path, state, "decoder.weight", like, columns=True)
    layer = CoderLayer(
        layer=place.layer,
        encoder=encoder,
        encoder_bias=products(-vectors["pre_bias"][None], encoder, vectors["latent_bias"])[0],
        decoders=((place.layer, decoder),),
        decoder_bias=vectors["pre_bias"],
        activation=activation,
        norm=InputNorm("layer_norm", eps=1e-5) if isinstance(activation, TopK) else None,
    )
    settings = CoderSettings(
        kind="transcoder" if transcoder else "sae",
        read_site=place.reads,
        write_site=place.writes,
        fingerprint=_fingerprint(path, state, activation),
        spec=str(path),
    )
    return Coders([layer], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a file holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, UsageError: as `load`, but for numbers that are not finite.
    """
    state = state_of(path)
    activation = _activation(path, state)
    m, d = _check(path, state)
    place, transcoder = hinted_place(hints, path)
    return {
        "kind": "transcoder" if transcoder else "sae",
        "layout": NAME,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": f"top-{activation.k}" if isinstance(activation, TopK) else "relu",
        "skip": False,
        "reads": hook_name(place.layer, place.reads),
        "writes": hook_name(place.layer, place.writes),
        "bytes": path.stat().st_size,
        "fingerprint": _fingerprint(path, state, activation),
    }


def _activation(path: Path, state: State) -> ReLU | TopK:
    name, options = state.get("activation", "ReLU"), state.get("activation_state_dict", {})
    if name == "ReLU" and not options:
        return ReLU()
    if name == "TopK" and isinstance(options, Mapping) and options.keys() == {"k", "postact_fn"}:
        k, after = options["k"], options["postact_fn"]
        if type(k) is int and k > 0 and after in _AFTER_TOP_K:
            return TopK(k, relu=_AFTER_TOP_K[after])
    told = dict(options) if isinstance(options, Mapping) else options
    raise InvalidFile(
        f"{path} has the activation {name!r} with {told!r}: known are ReLU, and TopK with a whole k and the"
        " postact_fn ReLU or Identity."
    )


def _check(path: Path, state: State) -> tuple[int, int]:
    """Gives (m, d) if the state is an autoencoder's and nothing else."""
    settings = sorted(state.keys() - shapes_in(state).keys() - _ACTIVATION_KEYS)
    if settings:
        raise InvalidFile(f"{path} holds {', '.join(settings)}, which this layout does not know.")
    found = {key: shape for key, shape in shapes_in(state).items() if key not in _ACTIVATION_KEYS}
    m, d = ((found[key][0] if key in found else ()) + (0,) for key in ("latent_bias", "pre_bias"))
    expected: dict[str, tuple[int, ...]] = {
        "encoder.weight": (m[0], d[0]),
        "decoder.weight": (d[0], m[0]),
        "latent_bias": (m[0],),
        "pre_bias": (d[0],),
        **dict.fromkeys(_STATISTICS, (m[0],)),
    }
    found.pop(_LAST_SEEN, None)  # whole numbers
    check_tensors(path, found, expected, _STATISTICS)
    return m[0], d[0]


def _fingerprint(path: Path, state: State, activation: ReLU | TopK) -> str:
    weights = {key: state[key] for key in ("pre_bias", "latent_bias", "encoder.weight", "decoder.weight")}
    return fingerprint_of({"activation": repr(activation)}, path, weights)
