"""The small steps adapters share: from a Hugging Face layer to the tensors of `Anatomy`, as views."""

from __future__ import annotations

from typing import Any, Final, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from circuits.errors import UnsupportedModel
from circuits.models.base import AttentionParts, MlpParts, Norm, Rotary, ScoreParts

Activation = Literal["gelu", "gelu_tanh", "silu", "relu"]

ACTIVATIONS: Final[dict[str, Activation]] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "silu": "silu",
    "relu": "relu",
}
"""Hugging Face's names of the activation functions that are reconstructed, and ours."""


def matrix(layer: Any) -> Float[Tensor, "outputs inputs"]:
    """Gives the weights of a linear layer, outputs first, as a view.

    Raises:
        UnsupportedModel: the layer is quantised, or wrapped by an adapter such as LoRA.
    """
    if type(layer) in (nn.Linear, Conv1D):
        weight: Tensor = layer.weight.detach()
        return weight if type(layer) is nn.Linear else weight.T
    raise UnsupportedModel(
        f"A linear layer is a {type(layer).__name__}: give the model unquantised, with adapters such as"
        " LoRA merged into its weights."
    )


def vector(parameter: Tensor | None) -> Float[Tensor, "d"] | None:
    """Gives a bias without its gradient, or None."""
    return None if parameter is None else parameter.detach()


def rms_norm(layer: Any, *, offset: float = 0.0) -> Norm:
    """Gives an RMS norm; `offset` is what the architecture adds to its weight (Gemma: 1)."""
    eps = layer.variance_epsilon if hasattr(layer, "variance_epsilon") else layer.eps
    gain = layer.weight.detach()
    return Norm("rms", gain + offset if offset else gain, None, float(eps))


def layer_norm(layer: nn.LayerNorm) -> Norm:
    """Gives a layer norm, which centres first."""
    return Norm("layer", layer.weight.detach(), vector(layer.bias), float(layer.eps))


Map = tuple[Float[Tensor, "_ _"], Float[Tensor, "_"] | None]
"""A matrix and its bias."""


def attention(value: Map, output: Map, scores: ScoreParts) -> AttentionParts:
    """Gives the attention of a layer, heads split.

    Args:
        value: value groups stacked, and their bias.
        output: heads stacked in its columns, and a bias that is added once.
        scores: tells H and K, the numbers of heads and of value groups.
    """
    H, K, d = len(scores.query), len(scores.key), value[0].shape[1]
    return AttentionParts(
        # GPT-2's slices are transposed, where reshape still gives views.
        value=value[0].reshape(K, -1, d),
        value_bias=None if value[1] is None else value[1].reshape(K, -1),
        output=output[0].reshape(d, H, -1).permute(1, 0, 2),
        output_bias=output[1],
        scores=scores,
    )


def score_parts(
    query: Map, key: Map, heads: tuple[int, int], layer: Any, rotary: Rotary | None, *, norm_offset: float = 0
) -> ScoreParts:
    """Gives what makes a layer's scores, heads split.

    Args:
        query: heads stacked, and their bias.
        key: key groups stacked, and their bias.
        heads: H and K.
        layer: the attention module, which knows its scale, and its softcap and norms if any.
        rotary: how positions turn queries and keys.
        norm_offset: as in `rms_norm`, for the norms of queries and keys.
    """
    (H, K), d = heads, query[0].shape[1]
    norms = [
        rms_norm(getattr(layer, name), offset=norm_offset) if hasattr(layer, name) else None
        for name in ("q_norm", "k_norm")
    ]
    return ScoreParts(
        query=query[0].reshape(H, -1, d),
        query_bias=None if query[1] is None else query[1].reshape(H, -1),
        key=key[0].reshape(K, -1, d),
        key_bias=None if key[1] is None else key[1].reshape(K, -1),
        query_norm=norms[0],
        key_norm=norms[1],
        rotary=rotary,
        scale=float(layer.scaling),
        softcap=getattr(layer, "attn_logit_softcapping", None),
    )


def rotary(embedding: Any, kind: str | None = None) -> Rotary:
    """Gives the frequencies of a module's rotary embedding; `kind` of layer where each has its own."""
    prefix = "" if kind is None else f"{kind}_"
    frequency = getattr(embedding, f"{prefix}inv_freq").detach()
    return Rotary(frequency, float(getattr(embedding, f"{prefix}attention_scaling")))


def separate_attention(layer: Any, config: Any, rotary: Rotary, *, norm_offset: float = 0) -> AttentionParts:
    """Gives the attention of a layer with Llama's names, `q_proj` to `o_proj`."""
    heads = (config.num_attention_heads, config.num_key_value_heads)
    q, k, v, o = (
        (matrix(part), vector(part.bias)) for part in (layer.q_proj, layer.k_proj, layer.v_proj, layer.o_proj)
    )
    return attention(v, o, score_parts(q, k, heads, layer, rotary, norm_offset=norm_offset))


def gated_mlp(layer: Any, activation: str) -> MlpParts:
    """Gives an MLP whose projections are called `gate_proj`, `up_proj` and `down_proj`."""
    return MlpParts(
        up=matrix(layer.up_proj),
        up_bias=vector(layer.up_proj.bias),
        gate=matrix(layer.gate_proj),
        gate_bias=vector(layer.gate_proj.bias),
        down=matrix(layer.down_proj),
        down_bias=vector(layer.down_proj.bias),
        activation=ACTIVATIONS[activation],
    )


def plain_mlp(up: nn.Module, down: nn.Module, activation: str) -> MlpParts:
    """Gives an MLP without a gate."""
    return MlpParts(
        up=matrix(up),
        up_bias=_bias(up),
        gate=None,
        gate_bias=None,
        down=matrix(down),
        down_bias=_bias(down),
        activation=ACTIVATIONS[activation],
    )


def unembedding(module: Any) -> tuple[Float[Tensor, "v d"], Float[Tensor, "v"] | None]:
    """Gives the unembedding and its bias.

    Raises:
        UnsupportedModel: the module has no language-model head.
    """
    head = module.get_output_embeddings()
    if head is None:
        raise UnsupportedModel(f"{type(module).__name__} has no language-model head: load a causal LM.")
    return matrix(head), _bias(head)


def _bias(layer: nn.Module) -> Float[Tensor, "d"] | None:
    bias = layer.bias
    return bias.detach() if isinstance(bias, torch.Tensor) else None
