"""Attention scores rebuilt from the residual stream, and checked against the module's own patterns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.errors import UnsupportedModel
from circuits.models.base import Forward, Model, Norm, Rotary, ScoreParts
from circuits.models.forward import apply_norm, norm_scale

TOLERANCE: Final = 1e-4
"""Largest permitted difference between a rebuilt pattern and the module's own."""


@dataclass(frozen=True)
class Heads:
    """Queries or keys of one layer: G heads or key groups of width Q at n positions.

    `scale` is the frozen scale of their norm, 1 where they have none; `turned` is after norm and rotation.
    """

    turned: Float[Tensor, "*b G n Q"]
    scale: Float[Tensor, "*b G n"]


@dataclass(frozen=True)
class At:
    """Where heads are and what is known of them.

    Attributes:
        start: the position of the first input.
        scale: the scales of the heads' norm; what follows from the input unless given.
    """

    start: int = 0
    scale: Float[Tensor, "G n"] | None = None


BEGINNING: Final = At()


def queries(parts: ScoreParts, x: Float[Tensor, "*b n d"], at: At = BEGINNING) -> Heads:
    """Gives the queries of one layer for its normalised input."""
    return _heads((parts.query, parts.query_bias, parts.query_norm), parts.rotary, x, at)


def keys(parts: ScoreParts, x: Float[Tensor, "*b n d"], at: At = BEGINNING) -> Heads:
    """Gives the keys of one layer for its normalised input."""
    return _heads((parts.key, parts.key_bias, parts.key_norm), parts.rotary, x, at)


def scores(
    parts: ScoreParts, query: Float[Tensor, "*b H q Q"], key: Float[Tensor, "*b K k Q"]
) -> Float[Tensor, "*b H q k"]:
    """Gives scale · query · key, both turned, before any softcap, query × key, later keys too."""
    shared = query.shape[-3] // key.shape[-3]
    return parts.scale * query @ key.repeat_interleave(shared, dim=-3).transpose(-1, -2)


def patterns(
    parts: ScoreParts, score: Float[Tensor, "*b H q k"], seen: Bool[Tensor, "H q k"]
) -> Float[Tensor, "*b H q k"]:
    """Gives the softmax of scores, softcap applied, over the keys each query sees."""
    cap = parts.softcap
    score = score if cap is None else cap * torch.tanh(score / cap)
    return torch.softmax(score.masked_fill(~seen, -torch.inf), dim=-1)


def angles(rotary: Rotary, n: int, dtype: torch.dtype) -> Float[Tensor, "n P"]:
    """Gives the angle of every pair of dimensions at n positions, as the module rounds it."""
    frequency = rotary.frequency.to(dtype)
    return torch.arange(n, dtype=dtype, device=frequency.device)[:, None] * frequency


def check_scores(model: Model, run: Forward, layer: int) -> tuple[Heads, Heads]:
    """Gives the queries and keys of one layer, once their scores are seen to give its patterns.

    Args:
        model: the model.
        run: its pass on a prompt.
        layer: the layer.

    Raises:
        UnsupportedModel: softmax over the keys a query sees is not the module's own pattern.
    """
    parts = model.anatomy.layers[layer]
    x = apply_norm(parts.attention_norm, run.attention_in[layer], run.attention_scale[layer])
    query, key = queries(parts.attention.scores, x), keys(parts.attention.scores, x)
    own = run.pattern[layer]
    score = scores(parts.attention.scores, query.turned, key.turned)
    rebuilt = patterns(parts.attention.scores, score, own != 0)
    worst = float((rebuilt - own).abs().max())
    if not worst <= TOLERANCE:
        raise UnsupportedModel(
            f"The attention scores of layer {layer} of {model.name}, rebuilt, give patterns that differ from"
            f" the model's own by up to {worst:.3g} ({TOLERANCE:g} is permitted): this"
            f" {model.anatomy.architecture} model does something its adapter does not know. Extract without"
            " scores."
        )
    return query, key


def _heads(
    maps: tuple[Float[Tensor, "G Q d"], Float[Tensor, "G Q"] | None, Norm | None],
    rotary: Rotary | None,
    x: Float[Tensor, "*b n d"],
    at: At,
) -> Heads:
    weight, bias, norm = maps
    made = torch.einsum("gqd,...nd->...gnq", weight, x)
    made = made if bias is None else made + bias[:, None]
    scale = torch.ones_like(made[..., 0])
    if norm is not None:
        scale = norm_scale(norm, made) if at.scale is None else at.scale.expand_as(scale)
        made = apply_norm(norm, made, scale)
    return Heads(made if rotary is None else turn(rotary, made, at.start), scale)


def turn(rotary: Rotary, heads: Float[Tensor, "*b G n Q"], start: int = 0) -> Float[Tensor, "*b G n Q"]:
    """Gives queries or keys turned by their positions, the first of which is `start`."""
    angle = angles(rotary, start + heads.shape[-2], heads.dtype)[start:]
    pairs = angle.shape[1]
    cos, sin = angle.cos() * rotary.factor, angle.sin() * rotary.factor
    first, second = heads[..., :pairs], heads[..., pairs : 2 * pairs]
    return torch.cat(
        [first * cos - second * sin, second * cos + first * sin, heads[..., 2 * pairs :]], dim=-1
    )
