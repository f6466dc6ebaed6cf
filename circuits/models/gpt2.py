"""GPT-2: layer norms, learned positions, transposed weights, query-key-value in one matrix."""

from __future__ import annotations

from typing import Any

import torch

from circuits.errors import UnsupportedModel
from circuits.models.base import Anatomy, AttentionParts, LayerParts
from circuits.models.config_check import Policy, check_config, settings
from circuits.models.parts import (
    ACTIVATIONS,
    attention,
    layer_norm,
    matrix,
    plain_mlp,
    score_parts,
    unembedding,
    vector,
)

POLICY = Policy(
    handled=settings(
        "vocab_size n_positions n_embd n_layer n_head n_inner layer_norm_epsilon tie_word_embeddings"
    ),
    patterns=settings(
        "scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn"
        # The published configuration repeats n_positions under this name; transformers reads it nowhere.
        " n_ctx"
    ),
    only={"activation_function": tuple(ACTIVATIONS)},
)


def anatomy(module: Any) -> Anatomy:
    """Gives the anatomy of a `GPT2LMHeadModel`.

    Raises:
        UnsupportedModel: see `check_config`; or a setting that transformers itself runs in float32 only.
    """
    config, body = module.config, module.transformer
    check_config(config, POLICY)
    if config.reorder_and_upcast_attn and module.dtype != torch.float32:
        raise UnsupportedModel(
            "GPT-2 with reorder_and_upcast_attn = True runs in float32 only: load it with dtype='float32'."
        )
    directions, bias = unembedding(module)
    return Anatomy(
        architecture=config.model_type,
        embedding=body.wte.weight.detach(),
        embedding_scale=1.0,
        position_embedding=body.wpe.weight.detach(),
        layers=tuple(_layer(block, config) for block in body.h),
        parallel=False,
        final_norm=layer_norm(body.ln_f),
        unembedding=directions,
        unembedding_bias=bias,
        logit_softcap=None,
        max_positions=config.n_positions,
    )


def _layer(block: Any, config: Any) -> LayerParts:
    return LayerParts(
        attention_norm=layer_norm(block.ln_1),
        attention=_attention(block.attn, config),
        attention_post_norm=None,
        mlp_norm=layer_norm(block.ln_2),
        mlp=plain_mlp(block.mlp.c_fc, block.mlp.c_proj, config.activation_function),
        mlp_post_norm=None,
    )


def _attention(layer: Any, config: Any) -> AttentionParts:
    # Rows are queries, then keys, then values.
    rows = [slice(i * config.n_embd, (i + 1) * config.n_embd) for i in range(3)]
    query, key, value = ((matrix(layer.c_attn)[part], layer.c_attn.bias.detach()[part]) for part in rows)
    scores = score_parts(query, key, (config.n_head, config.n_head), layer, None)
    return attention(value, (matrix(layer.c_proj), vector(layer.c_proj.bias)), scores)
