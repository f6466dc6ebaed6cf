"""SAEs and transcoders as sae-lens 6 saves them, one directory a coder.

``cfg.json`` holds the settings of the architecture, and under ``metadata`` where the coder sits::

    architecture: standard, gated, topk, abstopk, jumprelu (also what batchtopk and matryoshka SAEs are
                  saved as), transcoder, skip_transcoder, jumprelu_transcoder, jumprelu_skip_transcoder
    d_in, d_sae, k, rescale_acts_by_decoder_norm, apply_b_dec_to_input, normalize_activations
    metadata: hook_name, hook_name_out, hf_hook_name, hf_hook_name_out, model_from_pretrained_kwargs

    sae_weights.safetensors: W_enc [d, m]   W_dec [m, d]   b_enc [m]   b_dec [d]
                             threshold [m]   b_gate, b_mag, r_mag [m]   W_skip [d, d]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from circuits.dictionaries.coders import Coders
from circuits.dictionaries.formats.sae_lens_weights import (
    TRANSCODERS,
    SaeLensCoder,
    check_choices,
    check_loading,
    describe_coder,
    read_coder,
)
from circuits.dictionaries.formats.sites import Place, hinted_place, sae_place, transcoder_place
from circuits.dictionaries.formats.tensor_files import refuse_unknown, shapes_of, words
from circuits.dictionaries.hints import Hints
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.models.base import Model

NAME: Final = "sae-lens 6 (cfg.json with metadata, sae_weights.safetensors with W_enc and W_dec)"

_HANDLED: Final = words(
    "architecture d_in d_out d_sae apply_b_dec_to_input normalize_activations reshape_activations metadata k"
    " rescale_acts_by_decoder_norm"
)
_HARMLESS: Final = words(  # types and places, and what matters in training only
    "dtype device aux_loss_coefficient decoder_init_norm jumprelu_bandwidth jumprelu_init_threshold"
    " jumprelu_sparsity_loss_mode jumprelu_ste_to_input jumprelu_tanh_scale l0_coefficient l0_warm_up_steps"
    " l1_coefficient l1_warm_up_steps lp_norm pre_act_loss_coefficient target_l0"
    " use_sparse_activations"
)


def settings_file(path: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """Gives the settings of a directory of sae-lens, of any version, and their file; or None."""
    if not path.is_dir():
        return None
    for file in sorted(path.glob("*.json")):
        try:
            config = json.loads(file.read_text())
        except (OSError, ValueError):
            continue
        if isinstance(config, dict) and {"d_in", "d_sae"} <= config.keys():
            return file, config
    return None


def weights_file(path: Path) -> Path:
    """Gives the one safetensors file of a directory that holds an encoder.

    Raises:
        InvalidFile: there is none, or several, or one is truncated.
    """
    files = [file for file in sorted(path.glob("*.safetensors")) if "W_enc" in shapes_of(file)]
    if len(files) != 1:
        listed = ", ".join(file.name for file in files) or "no file"
        raise InvalidFile(f"{path} holds W_enc in {listed}: one safetensors file is expected.")
    return files[0]


def recognises(path: Path) -> bool:
    """Tells whether a directory is in this layout, by the keys of its settings."""
    found = settings_file(path)
    return found is not None and isinstance(found[1].get("metadata"), dict)


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coder of a directory.

    Raises:
        InvalidFile: unknown settings, or tensors that cannot be trusted.
        Incompatible: a hook where features cannot be placed.
        UsageError: a hint that is missing, or that the settings answer.
    """
    return read_coder(_coder(path, hints), model, str(path))


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what a directory holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, Incompatible, UsageError: as `load`.
    """
    return describe_coder(_coder(path, hints), NAME)


def place_of(file: Path, metadata: Mapping[str, Any], architecture: str, hints: Hints) -> Place:
    """Gives where a coder sits, by the settings or, where they are silent, by the user.

    A hook named after a Hugging Face module is preferred: for Gemma's transcoders the name in the terms
    of TransformerLens ("hook_mlp_in") is the stream before the norm, but they read after it.

    Raises:
        InvalidFile: one head alone is read.
        Incompatible: a hook where features cannot be placed.
        UsageError: a hint that is missing, or that the settings answer.
    """
    if metadata.get("hook_head_index") is not None:
        raise Incompatible(f"{file} reads head {metadata['hook_head_index']} alone: that is not supported.")
    into = metadata.get("hf_hook_name") or metadata.get("hook_name")
    transcoder = architecture in TRANSCODERS
    if not isinstance(into, str) or not into:
        place, hinted_transcoder = hinted_place(hints, file.parent)
        if hinted_transcoder != transcoder:
            raise UsageError(
                f"{file} is the architecture {architecture}: give"
                f" {'reads and writes' if transcoder else 'site'} after its name."
            )
        return place
    hints.refuse(NAME, file.parent)
    if not transcoder:
        return sae_place(into, file)
    out = metadata.get("hf_hook_name_out") or metadata.get("hook_name_out")
    if not isinstance(out, str) or not out:
        raise InvalidFile(f"{file} is a transcoder but gives no hook_name_out: say there where it writes.")
    return transcoder_place(into, out, file)


def top_k(file: Path, architecture: str, k: object) -> int | None:
    """Gives k of a top-k architecture, None for others.

    Raises:
        InvalidFile: k is missing or no whole number above 0.
    """
    if architecture not in ("topk", "abstopk"):
        return None
    if type(k) is not int or k < 1:
        raise InvalidFile(f"{file} is a {architecture} SAE with k {k!r}: a whole number is needed.")
    return k


def sizes(file: Path, config: Mapping[str, Any]) -> tuple[int, int]:
    """Gives (d_in, d_sae).

    Raises:
        InvalidFile: they are no whole numbers, or the output has another width.
    """
    found = config.get("d_in"), config.get("d_sae")
    if not all(type(size) is int and size > 0 for size in found):
        raise InvalidFile(f"{file} gives d_in {found[0]!r} and d_sae {found[1]!r}: whole numbers are needed.")
    if config.get("d_out", found[0]) != found[0]:
        raise InvalidFile(
            f"{file} reads a width of {found[0]} and writes one of {config['d_out']!r}: only coders that"
            " read and write one stream can be used."
        )
    return int(config["d_in"]), int(config["d_sae"])


def _coder(path: Path, hints: Hints) -> SaeLensCoder:
    found = settings_file(path)
    if found is None:
        raise InvalidFile(f"{path} has no settings with d_in and d_sae.")
    file, config = found
    refuse_unknown(file, config, _HANDLED | _HARMLESS)
    architecture, normalize = check_choices(
        file, config.get("architecture"), config.get("normalize_activations", "none")
    )
    if config.get("reshape_activations", "none") != "none":
        raise Incompatible(
            f"{file} reshapes by {config['reshape_activations']!r}: attention outputs are not supported."
        )
    metadata = config["metadata"]
    transcoder = architecture in TRANSCODERS
    apply_b_dec = config.get("apply_b_dec_to_input", not transcoder)
    rescale = config.get("rescale_acts_by_decoder_norm", False)
    if type(apply_b_dec) is not bool or type(rescale) is not bool or (transcoder and apply_b_dec):
        raise InvalidFile(
            f"{file} gives apply_b_dec_to_input {apply_b_dec!r} and rescale_acts_by_decoder_norm {rescale!r}:"
            " true or false are known, and no transcoder subtracts b_dec."
        )
    centred, folded = check_loading(file, metadata.get("model_from_pretrained_kwargs"))
    k = top_k(file, architecture, config.get("k"))
    return SaeLensCoder(
        weights=weights_file(path),
        architecture=architecture,
        place=place_of(file, metadata, architecture, hints),
        sizes=sizes(file, config),
        normalize=normalize,
        apply_b_dec=apply_b_dec,
        k=k,
        rescale=rescale and k is not None,
        centred=centred,
        folded=folded,
    )
