"""Loading a language model from a directory, a GGUF file, the hub, or an installed package."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from circuits.errors import UnsupportedModel
from circuits.models import gemma, gpt2, llama, neox, qwen
from circuits.models.base import Adapter, Model, Tokens
from circuits.models.fingerprint import check_weights, fingerprint

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
