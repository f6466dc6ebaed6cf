"""Qwen2 and Qwen3: Llama with biases on queries, keys and values, or norms on queries and keys."""

from __future__ import annotations

from typing import Any

from circuits.models.base import Anatomy
from circuits.models.config_check import Policy, check_config, settings
from circuits.models.llama import decoder
from circuits.models.parts import ACTIVATIONS

POLICY = Policy(
    handled=settings(
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
        " num_key_value_heads head_dim max_position_embeddings rms_norm_eps tie_word_embeddings"
        " attention_bias"
    ),
    patterns=settings("rope_parameters use_sliding_window sliding_window max_window_layers"),
    only={
        "hidden_act": tuple(ACTIVATIONS),
        "layer_types": ("full_attention", "sliding_attention"),
    },
)


def anatomy(module: Any) -> Anatomy:
    """Gives the anatomy of a `Qwen2ForCausalLM` or `Qwen3ForCausalLM`.

    Raises:
        UnsupportedModel: see `check_config`.
    """
    check_config(module.config, POLICY)
    return decoder(module)
