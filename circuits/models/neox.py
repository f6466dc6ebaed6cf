"""GPT-NeoX and Pythia: attention beside the MLP, or before it; query, key, value interleaved by head."""

from __future__ import annotations

from typing import Any

from circuits.models.base import Anatomy, AttentionParts, LayerParts, Rotary
from circuits.models.config_check import Policy, check_config, settings
from circuits.models.parts import (
    ACTIVATIONS,
    attention,
    layer_norm,
    matrix,
    plain_mlp,
    rotary,
    score_parts,
    unembedding,
    vector,
)

POLICY = Policy(
    handled=settings(
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads"
        " max_position_embeddings layer_norm_eps tie_word_embeddings use_parallel_residual"
        " attention_bias"
    ),
    patterns=frozenset({"rope_parameters"}),
    only={"hidden_act": tuple(ACTIVATIONS)},
)


def anatomy(module: Any) -> Anatomy:
    """Gives the anatomy of a `GPTNeoXForCausalLM`.

    Raises:
        UnsupportedModel: see `check_config`.
    """
    config, body = module.config, module.gpt_neox
    check_config(config, POLICY)
    directions, bias = unembedding(module)
    return Anatomy(
        architecture=config.model_type,
        embedding=body.embed_in.weight.detach(),
        embedding_scale=1.0,
        position_embedding=None,
        layers=tuple(_layer(block, config, rotary(body.rotary_emb)) for block in body.layers),
        parallel=config.use_parallel_residual,
        final_norm=layer_norm(body.final_layer_norm),
        unembedding=directions,
        unembedding_bias=bias,
        logit_softcap=None,
        max_positions=config.max_position_embeddings,
    )


def _layer(block: Any, config: Any, turning: Rotary) -> LayerParts:
    return LayerParts(
        attention_norm=layer_norm(block.input_layernorm),
        attention=_attention(block.attention, config.num_attention_heads, turning),
        attention_post_norm=None,
        mlp_norm=layer_norm(block.post_attention_layernorm),
        mlp=plain_mlp(block.mlp.dense_h_to_4h, block.mlp.dense_4h_to_h, config.hidden_act),
        mlp_post_norm=None,
    )


def _attention(layer: Any, heads: int, turning: Rotary) -> AttentionParts:
    fused, bias = matrix(layer.query_key_value), vector(layer.query_key_value.bias)
    # Rows run: head, then query | key | value, then the head's width.
    query, key, value = (
        (
            fused.reshape(heads, 3, -1, fused.shape[1])[:, i].flatten(0, 1),
            None if bias is None else bias.reshape(heads, 3, -1)[:, i].flatten(),
        )
        for i in range(3)
    )
    scores = score_parts(query, key, (heads, heads), layer, turning)
    return attention(value, (matrix(layer.dense), vector(layer.dense.bias)), scores)
