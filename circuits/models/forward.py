"""One forward pass, rebuilt from the anatomy and the module's own attention patterns, and checked.

Everything downstream trusts these arrays, so the rebuilt logits are compared with the module's own
at every position, and a model that cannot be rebuilt is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from circuits.errors import InvalidFile, UnsupportedModel, UsageError
from circuits.models.base import Anatomy, AttentionParts, Forward, MlpParts, Model, Norm

TOLERANCE: Final = 1e-4
"""Largest permitted difference between rebuilt and own logits, as a share of max(1, max |logit|).

It holds for float64 modules too: Hugging Face takes norms and softmax in float32 whatever the
weights are. The rebuilt pass itself is float64 throughout.
"""

ACTIVATION_FUNCTIONS: Final[dict[str, Callable[[Tensor], Tensor]]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "relu": functional.relu,
}
"""The functions behind the names in `MlpParts.activation`."""

_BLOCK = 64  # positions compared at a time, so that the check needs no second copy of the logits


@torch.no_grad()
def forward(model: Model, ids: Sequence[int]) -> Forward:
    """Gives one forward pass: residual streams, norm scales, MLP outputs, patterns and logits.

    The attention patterns are the module's; all else is rebuilt from them and `model.anatomy`.
    `Forward.logits` are the logits before any softcap (`capped` and `probabilities` apply it).

    Args:
        model: the model.
        ids: token ids, such as `prompt.ids`.

    Raises:
        UsageError: no ids, ids outside the vocabulary, or more of them than the model has positions.
        InvalidFile: the module's logits are NaN or infinite.
        UnsupportedModel: the rebuilt logits are not the module's; nothing could be trusted.

    Example:
        >>> from circuits.models.load import load_model  # doctest: +SKIP
        >>> model = load_model("smollm2")  # doctest: +SKIP
        >>> forward(model, model.encode("The capital of France is")).logits.shape  # doctest: +SKIP
        torch.Size([5, 49152])
    """
    ids = tuple(int(i) for i in ids)
    _check_ids(model.anatomy, ids)
    own, pattern = _run_module(model, ids)
    rebuilt = rebuild(model.anatomy, ids, pattern)
    _compare(model, rebuilt.logits, own)
    return rebuilt


@torch.no_grad()
def rebuild(anatomy: Anatomy, ids: Sequence[int], pattern: Float[Tensor, "L H n n"]) -> Forward:
    """Gives the forward pass that follows from an anatomy and given attention patterns, unchecked.

    Args:
        anatomy: the parts of the model.
        ids: token ids.
        pattern: attention patterns, query × key.
    """
    index = torch.tensor(list(ids), device=anatomy.embedding.device)
    stream = anatomy.embedding[index] * anatomy.embedding_scale
    if anatomy.position_embedding is not None:
        stream = stream + anatomy.position_embedding[: len(ids)]
    L, n, d = len(anatomy.layers), *stream.shape
    attention_in, mlp_in, mlp_out = (stream.new_empty(L, n, d) for _ in range(3))
    attention_scale, attention_post_scale, mlp_scale, mlp_post_scale = (
        stream.new_ones(L, n) for _ in range(4)
    )
    for number, layer in enumerate(anatomy.layers):
        attention_in[number] = stream
        attention_scale[number] = norm_scale(layer.attention_norm, stream)
        x = apply_norm(layer.attention_norm, stream, attention_scale[number])
        y = attend(layer.attention, x, pattern[number])
        if layer.attention_post_norm is not None:
            attention_post_scale[number] = norm_scale(layer.attention_post_norm, y)
            y = apply_norm(layer.attention_post_norm, y, attention_post_scale[number])
        middle = stream + y
        mlp_in[number] = stream if anatomy.parallel else middle
        mlp_scale[number] = norm_scale(layer.mlp_norm, mlp_in[number])
        y = run_mlp(layer.mlp, apply_norm(layer.mlp_norm, mlp_in[number], mlp_scale[number]))
        if layer.mlp_post_norm is not None:
            mlp_post_scale[number] = norm_scale(layer.mlp_post_norm, y)
            y = apply_norm(layer.mlp_post_norm, y, mlp_post_scale[number])
        mlp_out[number] = y
        stream = middle + y
    final_scale = norm_scale(anatomy.final_norm, stream)
    logits = functional.linear(
        apply_norm(anatomy.final_norm, stream, final_scale), anatomy.unembedding, anatomy.unembedding_bias
    )
    return Forward(
        ids=tuple(ids),
        pattern=pattern,
        attention_in=attention_in,
        attention_scale=attention_scale,
        attention_post_scale=attention_post_scale,
        mlp_in=mlp_in,
        mlp_scale=mlp_scale,
        mlp_out=mlp_out,
        mlp_post_scale=mlp_post_scale,
        final=stream,
        final_scale=final_scale,
        logits=logits,
    )


def norm_scale(norm: Norm, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n"]:
    """Gives a norm's scale at each position, 1 / sqrt(mean square + eps), centred for "layer"."""
    return torch.rsqrt(centred(norm, x).square().mean(dim=-1) + norm.eps)


def apply_norm(norm: Norm, x: Float[Tensor, "*n d"], scale: Float[Tensor, "*n"]) -> Float[Tensor, "*n d"]:
    """Gives gain · (x [- mean]) · scale [+ bias], with the scale given, so that it can be frozen."""
    y = norm.gain * (centred(norm, x) * scale[..., None])
    return y if norm.bias is None else y + norm.bias


def attend(
    parts: AttentionParts, x: Float[Tensor, "*b n d"], pattern: Float[Tensor, "*c H n n"]
) -> Float[Tensor, "*b n d"]:
    """Gives what one attention layer writes for given patterns: Σ_h O_h (P_h (V_h x + b_h)) + b."""
    y = mix(parts, pattern, values(parts, x))
    return y if parts.output_bias is None else y + parts.output_bias


def values(parts: AttentionParts, x: Float[Tensor, "*b n d"]) -> Float[Tensor, "*b K n R"]:
    """Gives the values of one layer for its normalised input."""
    made = torch.einsum("krd,...nd->...knr", parts.value, x)
    return made if parts.value_bias is None else made + parts.value_bias[:, None]


def mix(
    parts: AttentionParts, pattern: Float[Tensor, "*c H q k"], value: Float[Tensor, "*b K k R"]
) -> Float[Tensor, "*b q d"]:
    """Gives what one layer writes of its values by patterns, without its bias: Σ_h O_h P_h V_h."""
    H, K = len(parts.output), len(parts.value)
    grouped = pattern.reshape(*pattern.shape[:-3], K, H // K, *pattern.shape[-2:])
    mixed = (grouped @ value.unsqueeze(-3)).flatten(-4, -3)
    return torch.einsum("...hnr,hdr->...nd", mixed, parts.output)


def run_mlp(parts: MlpParts, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Gives one MLP's output, before any post-norm, for its normalised input."""
    act = ACTIVATION_FUNCTIONS[parts.activation]
    up = functional.linear(x, parts.up, parts.up_bias)
    hidden = act(up) if parts.gate is None else act(functional.linear(x, parts.gate, parts.gate_bias)) * up
    return functional.linear(hidden, parts.down, parts.down_bias)


def capped(anatomy: Anatomy, logits: Float[Tensor, "*n v"]) -> Float[Tensor, "*n v"]:
    """Gives the logits as the model itself reports them: c · tanh(logit / c) where there is a softcap."""
    c = anatomy.logit_softcap
    return logits if c is None else c * torch.tanh(logits / c)


def probabilities(anatomy: Anatomy, logits: Float[Tensor, "*n v"]) -> Float[Tensor, "*n v"]:
    """Gives the model's next-token probabilities, softcap included."""
    return torch.softmax(capped(anatomy, logits), dim=-1)


def centred(norm: Norm, x: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
    """Gives what a norm scales: x - mean(x) for "layer", x for "rms"."""
    return x - x.mean(dim=-1, keepdim=True) if norm.kind == "layer" else x


def _check_ids(anatomy: Anatomy, ids: tuple[int, ...]) -> None:
    if not ids:
        raise UsageError("The prompt is empty: give at least one token.")
    if len(ids) > anatomy.max_positions:
        raise UsageError(
            f"The prompt has {len(ids)} tokens and the model {anatomy.max_positions} positions: shorten it."
        )
    size = len(anatomy.embedding)
    outside = [i for i in ids if not 0 <= i < size]
    if outside:
        raise UsageError(
            f"Token id {outside[0]} is outside the model's vocabulary of {size}: use its own tokenizer."
        )


def _run_module(model: Model, ids: tuple[int, ...]) -> tuple[Float[Tensor, "n v"], Float[Tensor, "L H n n"]]:
    """Gives the module's own logits and its patterns, stacked layer by layer to hold one copy."""
    module: Any = model.module
    output = module(
        torch.tensor([ids], device=model.anatomy.embedding.device),
        output_attentions=True,
        output_hidden_states=False,
        use_cache=False,
        return_dict=True,
    )
    logits, attentions = output.logits[0], list(output.attentions)
    del output
    if not torch.isfinite(logits).all():
        raise InvalidFile(
            f"{model.name} gives logits that are NaN or infinite for this prompt: its weights hold NaN or"
            " are too large for their precision."
        )
    pattern = logits.new_empty(len(attentions), *attentions[0].shape[1:])
    for layer in range(len(attentions)):
        pattern[layer] = attentions[layer][0]
        attentions[layer] = None  # freed as it is copied
    return logits, pattern


def _compare(model: Model, rebuilt: Float[Tensor, "n v"], own: Float[Tensor, "n v"]) -> None:
    largest, worst = 0.0, 0.0
    for ours, theirs in zip(torch.split(rebuilt, _BLOCK), torch.split(own, _BLOCK), strict=True):
        largest = max(largest, float(theirs.abs().max()))
        worst = max(worst, float((capped(model.anatomy, ours) - theirs).abs().max()))
    permitted = TOLERANCE * max(1.0, largest)
    if not worst <= permitted:
        raise UnsupportedModel(
            f"The rebuilt logits of {model.name} differ from the model's own by up to {worst:.3g}"
            f" ({permitted:.3g} is permitted): this {model.anatomy.architecture} model does something its"
            " adapter does not know, and no graph of it could be trusted."
        )
