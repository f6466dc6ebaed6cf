"""Llama and Mistral: RMS norms, grouped values, gated MLPs. Rotation and windows shape patterns only."""

from __future__ import annotations

from typing import Any

from circuits.models.base import Anatomy, LayerParts, Rotary
from circuits.models.config_check import Policy, check_config, settings
from circuits.models.parts import ACTIVATIONS, gated_mlp, rms_norm, rotary, separate_attention, unembedding

POLICY = Policy(
    handled=settings(
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
        " num_key_value_heads head_dim max_position_embeddings rms_norm_eps tie_word_embeddings"
        " attention_bias mlp_bias"
    ),
    # The last two stand in SmolLM's published configurations; transformers reads neither.
    patterns=settings("rope_parameters sliding_window is_llama_config rope_interleaved"),
    only={"hidden_act": tuple(ACTIVATIONS)},
)


def anatomy(module: Any) -> Anatomy:
    """Gives the anatomy of a `LlamaForCausalLM` or `MistralForCausalLM`.

    Raises:
        UnsupportedModel: see `check_config`.
    """
    check_config(module.config, POLICY)
    return decoder(module)


def decoder(module: Any) -> Anatomy:
    """Gives the anatomy of any model whose parts bear Llama's names, its configuration unchecked."""
    config, body = module.config, module.model
    directions, bias = unembedding(module)
    return Anatomy(
        architecture=config.model_type,
        embedding=body.embed_tokens.weight.detach(),
        embedding_scale=1.0,
        position_embedding=None,
        layers=tuple(_layer(block, config, rotary(body.rotary_emb)) for block in body.layers),
        parallel=False,
        final_norm=rms_norm(body.norm),
        unembedding=directions,
        unembedding_bias=bias,
        logit_softcap=None,
        max_positions=config.max_position_embeddings,
    )


def _layer(block: Any, config: Any, turning: Rotary) -> LayerParts:
    return LayerParts(
        attention_norm=rms_norm(block.input_layernorm),
        attention=separate_attention(block.self_attn, config, turning),
        attention_post_norm=None,
        mlp_norm=rms_norm(block.post_attention_layernorm),
        mlp=gated_mlp(block.mlp, config.hidden_act),
        mlp_post_norm=None,
    )
