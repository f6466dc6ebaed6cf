"""Writing SAEs and transcoders as sae-lens 6 saves them for inference: a directory, in it one a layer.

::

    DIRECTORY/layer_5/cfg.json                 settings of the architecture, and metadata
    DIRECTORY/layer_5/sae_weights.safetensors  W_enc [d, m]   W_dec [m, d]   b_enc [m]   b_dec [d]
                                               threshold [m]   W_skip [d, d]

`SAE.load_from_disk(DIRECTORY / "layer_5")` of sae-lens gives the activations that `Coders.encode` gives.
What the layout has no word for is refused: cross-layer transcoders, top-k transcoders, top-k that keeps
negative values, thresholds below 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from circuits.dictionaries.activations import AbsTopK, Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.coders import CoderLayer, CoderSettings, InputNorm
from circuits.dictionaries.formats.sites import hook_name
from circuits.errors import InvalidFile, UsageError
from circuits.files import atomic

WRITES_AS: Final = "6.54.12"
"""The version of sae-lens whose layout this is; its loader looks at it."""

SETTINGS: Final = "cfg.json"
WEIGHTS: Final = "sae_weights.safetensors"

_NORMS: Final[Mapping[InputNorm | None, str]] = {
    None: "none",
    InputNorm("layer_norm", eps=1e-5): "layer_norm",
    InputNorm("unit_rms"): "constant_norm_rescale",
}


@dataclass(frozen=True)
class Origin:
    """What coders were trained on, for those who run them elsewhere; all of it may be unknown.

    Attributes:
        model: the model's name, as a hub has it.
        text: the name of the text.
        context: tokens a sequence.
        prepend_bos: every sequence began with one special token.
        first: tokens left out at the start of every sequence.
    """

    model: str | None = None
    text: str | None = None
    context: int | None = None
    prepend_bos: bool | None = None
    first: int = 0


def layer_directory(layer: int) -> str:
    """Gives the name of the directory of one layer's coder."""
    return f"layer_{layer}"


def save_saes(
    path: Path,
    layers: Sequence[CoderLayer],
    settings: CoderSettings,
    *,
    origin: Origin | None = None,
    overwrite: bool = False,
) -> None:
    """Writes SAEs or per-layer transcoders in the layout of sae-lens 6, whole or not at all.

    Args:
        path: the directory to make; every layer gets one within it.
        layers: the weights; one layer's are in memory at a time.
        settings: their kind, and where they read and write.
        origin: what they were trained on.
        overwrite: replace what stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        UsageError: a coder cannot be said in this layout.
        InvalidFile: weights hold NaN or infinity.
        WriteFailed: the file system refused.

    Example:
        >>> coders = [dictionary.coder(layer) for layer in dictionary.layers]  # doctest: +SKIP
        >>> save_saes(Path("saes"), coders, dictionary.settings)  # doctest: +SKIP
    """
    told = [architecture(layer, settings) for layer in layers]
    with atomic(path, directory=True, overwrite=overwrite) as temporary:
        for layer, (name, options) in zip(layers, told, strict=True):
            place = temporary / layer_directory(layer.layer)
            place.mkdir()
            config = _config(layer, settings, origin or Origin()) | {"architecture": name, **options}
            (place / SETTINGS).write_text(json.dumps(config, indent=2) + "\n")
            try:
                save_file(_tensors(layer, settings), place / WEIGHTS)
            except SafetensorError as cause:
                raise OSError(str(cause)) from cause


def architecture(layer: CoderLayer, settings: CoderSettings) -> tuple[str, dict[str, Any]]:
    """Gives what sae-lens calls a coder, and the settings that its name needs.

    Raises:
        UsageError: it has no name for it.
    """
    name = f"The {settings.kind} of layer {layer.layer}"
    if settings.kind == "clt" or [into for into, _ in layer.decoders] != [layer.layer]:
        raise UsageError(
            f"{name} writes into other layers, which sae-lens's layout cannot hold: save it in"
            " circuit-tracer's."
        )
    if layer.norm not in _NORMS or (settings.kind == "transcoder" and layer.norm is not None):
        raise UsageError(f"{name} normalises its input in a way sae-lens's layout cannot hold: {layer.norm}.")
    if settings.kind == "transcoder":
        return _transcoder(name, layer), {"d_out": len(layer.decoder_bias)}
    if layer.skip is not None:
        raise UsageError(f"{name} has a skip connection, which sae-lens's layout knows of transcoders only.")
    match layer.activation:
        case TopK(k=k, relu=True):
            return "topk", {"k": k, "rescale_acts_by_decoder_norm": False}
        case AbsTopK(k=k):
            return "abstopk", {"k": k, "rescale_acts_by_decoder_norm": False}
        case TopK(k=k):
            raise UsageError(f"{name} keeps negative values among its top {k}, which sae-lens sets to 0.")
    return ("jumprelu" if _jumps(name, layer.activation) else "standard"), {}


def _transcoder(name: str, layer: CoderLayer) -> str:
    if isinstance(layer.activation, TopK | AbsTopK):
        raise UsageError(
            f"{name} is a top-{layer.activation.k}, and sae-lens's layout has no top-k transcoders: save"
            " it in circuit-tracer's, or train with batchtopk or jumprelu."
        )
    jumps = "jumprelu_" * _jumps(name, layer.activation)
    return f"{jumps}{'skip_' * (layer.skip is not None)}transcoder"


def _jumps(name: str, activation: Activation) -> bool:
    """Tells whether a coder has thresholds, or none."""
    if isinstance(activation, ReLU):
        return False
    if not isinstance(activation, JumpReLU):
        raise UsageError(f"{name} has a {type(activation).__name__}, which sae-lens's layout cannot hold.")
    below = int((activation.threshold < 0).sum())
    if below:
        raise UsageError(f"{name} has {below} thresholds below 0, where sae-lens would set features to 0.")
    return True


def _config(layer: CoderLayer, settings: CoderSettings, origin: Origin) -> dict[str, Any]:
    """Gives the settings of any architecture."""
    bare = settings.read_site == "mlp_in_no_gain"
    metadata: dict[str, Any] = {
        "sae_lens_version": WRITES_AS,
        "sae_lens_training_version": None,
        "model_name": origin.model,
        "model_class_name": "HookedTransformer",
        # a norm's input without its gain is what TransformerLens shows once the gain is folded away
        "model_from_pretrained_kwargs": {"fold_ln": True} if bare else {},
        "hook_name": hook_name(layer.layer, settings.read_site),
        "hook_head_index": None,
        "dataset_path": origin.text,
        "context_size": origin.context,
        "prepend_bos": origin.prepend_bos,
        "seqpos_slice": [origin.first, None] if origin.first else [None],
    }
    if settings.kind == "transcoder":
        metadata["hook_name_out"] = hook_name(layer.layer, settings.write_site)
    precise = layer.encoder_bias.dtype == torch.float64
    return {
        "d_in": len(layer.decoder_bias),
        "d_sae": layer.n_features,
        "dtype": "float64" if precise else "float32",  # what is computed in, whatever the file holds
        "device": "cpu",
        "apply_b_dec_to_input": False,  # it is in b_enc
        "normalize_activations": _NORMS[layer.norm],
        "reshape_activations": "none",
        "metadata": metadata,
    }


def _tensors(layer: CoderLayer, settings: CoderSettings) -> dict[str, Tensor]:
    ((_, decoder),) = layer.decoders
    tensors = {
        "W_enc": layer.encoder.all().T,
        "W_dec": decoder.all(),
        "b_enc": layer.encoder_bias,
        "b_dec": layer.decoder_bias,
    }
    if isinstance(layer.activation, JumpReLU):
        tensors["threshold"] = layer.activation.threshold
    if layer.skip is not None:
        tensors["W_skip"] = layer.skip.all()
    bad = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise InvalidFile(
            f"{', '.join(bad)} of the {settings.kind} of layer {layer.layer} hold NaN or infinity: nothing"
            " was saved."
        )
    return {key: tensor.cpu().contiguous().clone() for key, tensor in tensors.items()}
