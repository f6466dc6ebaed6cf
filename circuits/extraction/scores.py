"""Queries and keys with norms, biases and rotary factors folded, as a trace has them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.extraction.collect import array
from circuits.extraction.fold import Frame, Frozen, norm_frame
from circuits.models.base import Norm, Rotary
from circuits.models.scores import angles, check_scores
from circuits.trace import Scores

Side = tuple[Float[Tensor, "_ Q d"], Float[Tensor, "_ Q"], Float[Tensor, "_ n"]]
"""Rows, bias and frozen scale of the queries (H of them) or keys (K) of one layer."""


def folded_scores(frozen: Frozen) -> Scores:
    """Gives what makes the attention scores of every layer, once it is seen to give the patterns.

    Args:
        frozen: the model on one prompt.

    Raises:
        UnsupportedModel: the patterns that follow are not the module's own.
    """
    layers = range(frozen.model.n_layers)
    sides = [_sides(frozen, layer) for layer in layers]
    query, key = (
        [torch.stack(part) for part in zip(*side, strict=True)] for side in zip(*sides, strict=True)
    )
    parts = [frozen.model.anatomy.layers[layer].attention.scores for layer in layers]
    turned = [
        angles(part.rotary, frozen.n_positions, query[0].dtype) for part in parts if part.rotary is not None
    ]
    return Scores(
        query=array(query[0]),
        key=array(key[0]),
        query_scale=array(query[2]),
        key_scale=array(key[2]),
        factor=array(query[0].new_tensor([part.scale for part in parts])),
        query_bias=array(query[1]) if query[1].any() else None,
        key_bias=array(key[1]) if key[1].any() else None,
        angle=array(torch.stack(turned)) if turned else None,
    )


def _sides(frozen: Frozen, layer: int) -> tuple[Side, Side]:
    parts = frozen.model.anatomy.layers[layer]
    made, frame = (
        parts.attention.scores,
        norm_frame(parts.attention_norm, frozen.forward.attention_scale[layer]),
    )
    query, key = check_scores(frozen.model, frozen.forward, layer)
    rows = _folded(frame, made.query, made.query_bias, made.query_norm, made.rotary)
    others = _folded(frame, made.key, made.key_bias, made.key_norm, made.rotary)
    return (*rows, query.scale), (*others, key.scale)


def _folded(
    frame: Frame,
    weight: Float[Tensor, "G Q d"],
    bias: Float[Tensor, "G Q"] | None,
    norm: Norm | None,
    rotary: Rotary | None,
) -> tuple[Float[Tensor, "G Q d"], Float[Tensor, "G Q"]]:
    """Gives rows that read the unscaled residual stream, and what comes besides."""
    groups, width, d = weight.shape
    flat = weight.reshape(groups * width, d)
    held = frame.offset(flat).reshape(groups, width)
    held = held if bias is None else held + bias
    gain = torch.ones_like(held[0]) if norm is None else norm.gain.clone()
    if rotary is not None:
        gain[: 2 * len(rotary.frequency)] *= rotary.factor
    return frame.pull(flat).reshape(weight.shape) * gain[:, None], held * gain
