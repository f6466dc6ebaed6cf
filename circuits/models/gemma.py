"""Gemma-2 and Gemma-3 (text): scaled embeddings, norms of 1 + weight before and after, softcaps."""

from __future__ import annotations

from typing import Any

from circuits.models.base import Anatomy, LayerParts, Rotary
from circuits.models.config_check import Policy, check_config, settings
from circuits.models.parts import ACTIVATIONS, gated_mlp, rms_norm, rotary, separate_attention, unembedding

POLICY = Policy(
    handled=settings(
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
        " num_key_value_heads head_dim max_position_embeddings rms_norm_eps tie_word_embeddings"
        " attention_bias final_logit_softcapping"
    ),
    patterns=settings(
        "rope_parameters sliding_window query_pre_attn_scalar attn_logit_softcapping"
        # Published configurations carry both names of the activation; transformers reads the other.
        " hidden_act"
    ),
    only={
        "hidden_activation": tuple(ACTIVATIONS),
        "layer_types": ("full_attention", "sliding_attention"),
        # Attention to later positions would break the order that graphs are built in.
        "use_bidirectional_attention": (False, None),
    },
)


def anatomy(module: Any) -> Anatomy:
    """Gives the anatomy of a `Gemma2ForCausalLM` or `Gemma3ForCausalLM`.

    Raises:
        UnsupportedModel: see `check_config`.
    """
    config, body = module.config, module.model
    check_config(config, POLICY)
    table = body.embed_tokens
    directions, bias = unembedding(module)
    return Anatomy(
        architecture=config.model_type,
        embedding=table.weight.detach(),
        # sqrt(d) as the module rounds it, to the precision of its weights.
        embedding_scale=float(table.embed_scale.to(table.weight.dtype)),
        position_embedding=None,
        layers=tuple(
            _layer(block, config, _rotary(body.rotary_emb, kind))
            for block, kind in zip(body.layers, config.layer_types, strict=True)
        ),
        parallel=False,
        final_norm=rms_norm(body.norm, offset=1.0),
        unembedding=directions,
        unembedding_bias=bias,
        logit_softcap=config.final_logit_softcapping,
        max_positions=config.max_position_embeddings,
    )


def _layer(block: Any, config: Any, turning: Rotary) -> LayerParts:
    return LayerParts(
        attention_norm=rms_norm(block.input_layernorm, offset=1.0),
        attention=separate_attention(block.self_attn, config, turning, norm_offset=1.0),
        attention_post_norm=rms_norm(block.post_attention_layernorm, offset=1.0),
        mlp_norm=rms_norm(block.pre_feedforward_layernorm, offset=1.0),
        mlp=gated_mlp(block.mlp, config.hidden_activation),
        mlp_post_norm=rms_norm(block.post_feedforward_layernorm, offset=1.0),
    )


def _rotary(embedding: Any, kind: str) -> Rotary:
    """Gives the rotation of a layer: Gemma-3 has frequencies of their own for local and global layers."""
    return rotary(embedding, kind if hasattr(embedding, f"{kind}_inv_freq") else None)
