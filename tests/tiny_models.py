"""Tiny models with random weights, every architecture: `from tiny_models import tiny_model`."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from transformers import PreTrainedModel
from transformers.models.gemma2 import Gemma2Config, Gemma2ForCausalLM
from transformers.models.gemma3 import Gemma3ForCausalLM, Gemma3TextConfig
from transformers.models.gpt2 import GPT2Config, GPT2LMHeadModel
from transformers.models.gpt_neox import GPTNeoXConfig, GPTNeoXForCausalLM
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from transformers.models.mistral import MistralConfig, MistralForCausalLM
from transformers.models.qwen2 import Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen3 import Qwen3Config, Qwen3ForCausalLM

from circuits.models.base import Model
from circuits.models.load import model_from_module

VOCABULARY = 97
SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "attn_implementation": "eager",
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GROUPED = {**SHARED, "num_key_value_heads": 2, "head_dim": 12}  # 4 × 12 ≠ 32: heads wider than the stream
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
YARN_ROPE = {  # scales queries and keys too
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 16,
}


class TinyTokens:
    """A stub of a tokenizer: one id a word, `t17` meaning 17 and any other word its hash."""

    def __call__(self, text, **options):
        return {"input_ids": [self._number(word) for word in text.split()]}

    def decode(self, ids, **options):
        return "".join(f"t{int(i)}" for i in ids)

    @staticmethod
    def _number(word):
        if word[:1] == "t" and word[1:].isdigit():
            return int(word[1:]) % VOCABULARY
        return sum(ord(letter) * 31**place for place, letter in enumerate(word)) % VOCABULARY


def _build(model_class, config, seed=0) -> PreTrainedModel:
    """Gives the model with every parameter random, norm gains and biases too, so that none can be ignored."""
    generator = torch.Generator().manual_seed(seed)
    module = model_class(config)
    gains = {
        id(layer.weight) for layer in module.modules() if type(layer).__name__.endswith(("Norm", "RMSNorm"))
    }
    with torch.no_grad():
        for parameter in module.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                # Gemma's gains are 1 + weight; either way they lie around 1 or 2.
                parameter.copy_(0.3 * noise + (1.0 if id(parameter) in gains else 0.0))
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
    return module.eval()


def _llama(**options):
    return _build(LlamaForCausalLM, LlamaConfig(**{**GROUPED, **options}))


def _mistral(**options):
    return _build(MistralForCausalLM, MistralConfig(**{**GROUPED, **options}))


def _gpt2(**options):
    shared = {k: v for k, v in SHARED.items() if k != "intermediate_size"}
    return _build(GPT2LMHeadModel, GPT2Config(**{**shared, **options}))


def _qwen2(**options):
    shared = {k: v for k, v in GROUPED.items() if k != "head_dim"}
    return _build(Qwen2ForCausalLM, Qwen2Config(**{**shared, **options}))


def _qwen3(**options):
    return _build(Qwen3ForCausalLM, Qwen3Config(**{**GROUPED, **options}))


def _gemma2(**options):
    return _build(
        Gemma2ForCausalLM,
        Gemma2Config(**{**GROUPED, "query_pre_attn_scalar": 12, "sliding_window": 4, **options}),
    )


def _gemma3(**options):
    return _build(
        Gemma3ForCausalLM,
        Gemma3TextConfig(**{**GROUPED, "query_pre_attn_scalar": 12, "sliding_window": 4, **options}),
    )


def _neox(**options):
    return _build(GPTNeoXForCausalLM, GPTNeoXConfig(**{**SHARED, **options}))


ARCHITECTURES: dict[str, Callable[[], PreTrainedModel]] = {
    "llama": _llama,
    "llama-tied": functools.partial(_llama, tie_word_embeddings=True),
    "llama-biases": functools.partial(_llama, attention_bias=True, mlp_bias=True, num_key_value_heads=4),
    "llama-rope": functools.partial(_llama, rope_parameters=LLAMA3_ROPE),
    "llama-yarn": functools.partial(_llama, rope_parameters=YARN_ROPE, hidden_act="gelu_pytorch_tanh"),
    "mistral": functools.partial(_mistral, sliding_window=3),
    "gpt2": _gpt2,
    "gpt2-scaled": functools.partial(_gpt2, n_inner=40, scale_attn_by_inverse_layer_idx=True),
    "gpt2-upcast": functools.partial(_gpt2, reorder_and_upcast_attn=True),  # float32 only
    "gpt2-relu": functools.partial(
        _gpt2, activation_function="relu", scale_attn_weights=False, tie_word_embeddings=False
    ),
    "qwen2": _qwen2,
    "qwen2-window": functools.partial(
        _qwen2, use_sliding_window=True, sliding_window=3, max_window_layers=1, tie_word_embeddings=True
    ),
    "qwen3": _qwen3,
    "qwen3-biases": functools.partial(_qwen3, attention_bias=True, tie_word_embeddings=True),
    "gemma2": _gemma2,
    "gemma2-uncapped": functools.partial(
        _gemma2, final_logit_softcapping=None, attn_logit_softcapping=None, attention_bias=True
    ),
    "gemma3": functools.partial(
        _gemma3, layer_types=["sliding_attention", "full_attention", "sliding_attention"]
    ),
    "gemma3-capped": functools.partial(_gemma3, final_logit_softcapping=2.0, tie_word_embeddings=False),
    "neox": _neox,
    "neox-serial": functools.partial(_neox, use_parallel_residual=False, attention_bias=False),
    "neox-tied": functools.partial(
        _neox,
        tie_word_embeddings=True,
        hidden_act="gelu_new",
        rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.5},
    ),
}
"""Every variant's builder; a fresh float32 module each time, the same weights each time."""


def tiny_model(name: str, *, dtype: torch.dtype = torch.float32) -> Model:
    """Gives a tiny model by its name in `ARCHITECTURES`."""
    return model_from_module(ARCHITECTURES[name]().to(dtype), TinyTokens(), spec=f"tiny:{name}", name=name)
