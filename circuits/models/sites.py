"""What passes at the sites where dictionaries read and write, in batches: captured, or replaced.

Unlike `circuits.models.forward`, which rebuilds one prompt from the anatomy, this runs the Hugging
Face module itself with hooks, so attention answers to whatever is replaced.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from circuits.models.base import Model

Site = Literal["mlp_in", "mlp_in_no_gain", "residual", "mlp_out", "mlp_added", "block_out"]
"""`mlp_in`: what the MLP receives, norm applied; `mlp_in_no_gain`: the same before the norm's gain and
bias; `residual`: the stream before that norm; `mlp_out`: the MLP's own output; `mlp_added`: the same after
a post-norm; `block_out`: the stream after the block."""
SITES: Final[tuple[str, ...]] = get_args(Site)

Place = tuple[int, Site]
"""A layer and a site."""

Change = Callable[[Float[Tensor, "b n d"]], Float[Tensor, "b n d"]]
"""What to put in place of what passes."""


@dataclass(frozen=True)
class Block:
    """The modules of one block that sites refer to."""

    whole: nn.Module
    norm: nn.Module
    mlp: nn.Module
    post: nn.Module | None


def block(model: Model, layer: int) -> Block:
    """Gives the modules of one block, whatever the architecture calls them."""
    module: Any = model.module
    match model.anatomy.architecture:
        case "gpt2":
            whole = module.transformer.h[layer]
            return Block(whole, whole.ln_2, whole.mlp, None)
        case "gpt_neox":
            whole = module.gpt_neox.layers[layer]
            return Block(whole, whole.post_attention_layernorm, whole.mlp, None)
        case "gemma2" | "gemma3_text":
            whole = module.model.layers[layer]
            return Block(whole, whole.pre_feedforward_layernorm, whole.mlp, whole.post_feedforward_layernorm)
        case _:  # every other supported architecture bears Llama's names
            whole = module.model.layers[layer]
            return Block(whole, whole.post_attention_layernorm, whole.mlp, None)


@torch.no_grad()
def capture(
    model: Model, ids: Int[Tensor, "b n"], places: Iterable[Place]
) -> dict[Place, Float[Tensor, "b n d"]]:
    """Gives what passes at some places for a batch of token sequences of one length.

    Args:
        model: the model.
        ids: token ids.
        places: layers and sites.

    Example:
        >>> capture(model, ids, [(3, "mlp_in"), (3, "mlp_out")])  # doctest: +SKIP
    """
    seen: dict[Place, Tensor] = {}

    def watching(place: Place) -> Change:
        def watch(x: Tensor) -> Tensor:
            seen[place] = x.detach()
            return x

        return watch

    body: Any = model.module.base_model  # the logits are not needed
    with replaced(model, {place: watching(place) for place in places}):
        body(input_ids=ids, use_cache=False)
    return seen


@contextlib.contextmanager
def replaced(model: Model, changes: Mapping[Place, Change]) -> Iterator[None]:
    """Puts something else in place of what passes at some places, while the context lasts.

    Args:
        model: the model; its module is as before afterwards.
        changes: what to put there, given what passes; at `mlp_in_no_gain` only watching is possible.
    """
    with contextlib.ExitStack() as hooks:
        for (layer, site), change in changes.items():
            hooks.callback(_hook(model, layer, site, change).remove)
        yield


def _hook(model: Model, layer: int, site: Site, change: Change) -> Any:
    """Registers one hook and gives its handle."""
    parts = block(model, layer)

    def before(_: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(arguments[0]), *arguments[1:])

    def after(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        return change(output)

    def bare(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        change(_normalised(model, layer, arguments[0]))

    match site:
        case "mlp_in":
            return parts.mlp.register_forward_pre_hook(before)
        case "mlp_in_no_gain":
            return parts.norm.register_forward_pre_hook(bare)
        case "residual":
            return parts.norm.register_forward_pre_hook(before)
        case "mlp_out":
            return parts.mlp.register_forward_hook(after)
        case "mlp_added":
            return (parts.post or parts.mlp).register_forward_hook(after)
        case "block_out":
            return parts.whole.register_forward_hook(after)


def _normalised(model: Model, layer: int, x: Float[Tensor, "b n d"]) -> Float[Tensor, "b n d"]:
    """Gives the norm before the MLP without gain and bias."""
    norm = model.anatomy.layers[layer].mlp_norm
    x = x - x.mean(-1, keepdim=True) if norm.kind == "layer" else x
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + norm.eps)
