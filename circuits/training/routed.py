"""Routed dictionaries: a token meets the features of a few groups, so its cost hardly grows with m.

The router is k-means over tokens, found once before the first step and kept: it has no part in the loss,
so gradients are those of top-k among the groups searched, which are those with the nearest centres::

    score_g(x) = centre_g · x - |centre_g|² / 2

What is saved is what was trained: `circuits.dictionaries.activations.RoutedTopK`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import RoutedTopK
from circuits.training.coder import Scaling, Weights
from circuits.training.settings import Training

ROUNDS = 20


@torch.no_grad()
def fit_router(w: Weights, x: Float[Tensor, "n d"], settings: Training) -> None:
    """Sets the router of a coder.

    Args:
        w: the coder, fresh.
        x: what it reads, normalised.
        settings: of the run.
    """
    assert w.router is not None
    assert w.router_bias is not None
    centre = clusters(x, len(w.router), settings.seed * 7919 + w.layer)
    w.router.copy_(centre)
    w.router_bias.copy_(-centre.square().sum(1) / 2)


def clusters(x: Float[Tensor, "n d"], count: int, seed: int) -> Float[Tensor, "g d"]:
    """Gives the centres of k-means (Lloyd); one that has lost all its tokens stays where it was.

    Args:
        x: tokens.
        count: of centres; with fewer tokens than that, some are repeated.
        seed: of the tokens they begin at.
    """
    dice = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(x), generator=dice).repeat(-(-count // len(x)))[:count]
    centre = x[chosen.to(x.device)].clone()
    for _ in range(ROUNDS):
        own = torch.addmm(-centre.square().sum(1) / 2, x, centre.T).argmax(1)
        tokens = torch.bincount(own, minlength=count).to(x.dtype)[:, None]
        sums = torch.zeros_like(centre).index_add_(0, own, x)
        centre = torch.where(tokens > 0, sums / tokens.clamp_min(1), centre)
    return centre


def folded_router(w: Weights, read: Scaling, settings: Training) -> RoutedTopK:
    """Gives the activation function in the model's own units: router · (x - mean)/scale + bias."""
    assert w.router is not None
    assert w.router_bias is not None
    assert settings.routed is not None
    router = w.router / read.scale
    return RoutedTopK(settings.k, settings.routed[1], router, w.router_bias - router @ read.mean)
