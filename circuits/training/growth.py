"""Growth: begin with few features, which are cheap to train, and split them into many.

A step's cost is nearly proportional to the features, so a dictionary that has learned what is common while
it was small gets to the rare sooner. When a coder grows, tokens are drawn by the share of them that is
left unexplained; each gives a child to its most active feature. The child writes what was left there, and
reads with the matched filter of that token, which answers to little else (x centred, Σ its covariance)::

    decoder = (y - ŷ) / |y - ŷ|
    z(x)    = level · (x·Σ⁻¹x_t / x_t·Σ⁻¹x_t - MATCH) / (1 - MATCH)        level = SHARE · |y - ŷ|

A copy of its parent plus noise would be on wherever its parent is, and top-k would keep the family instead
of k different features: tried, that raises the error a hundredfold. Moments of the optimiser are carried: a
child takes its parent's second moments and begins without momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.optim import Optimizer

from circuits.training.coder import Weights, outputs
from circuits.training.kernels import Sparse
from circuits.training.settings import Training

MATCH = 0.75
"""How like its token an input must be to a child for it to turn on, 1 being that token itself."""

SHARE = 0.5
"""Of what is left at its token, what a child gives at birth; several may be born of like tokens."""

RIDGE = 1e-2


@dataclass(frozen=True)
class Children:
    """New features of one coder.

    Attributes:
        parent: of each, the feature that was most active at its token.
        encoder, encoder_bias, decoder: their weights.
    """

    parent: Int[Tensor, "c"]
    encoder: Float[Tensor, "c d"]
    encoder_bias: Float[Tensor, "c"]
    decoder: Float[Tensor, "c w"]


@torch.no_grad()
def grow(
    coders: Sequence[Weights],
    optimiser: Optimizer,
    batch: tuple[Sequence[Float[Tensor, "n d"]], Sequence[Float[Tensor, "n d"]]],
    settings: Training,
    step: int,
) -> None:
    """Splits features until there are as many as a step is to be taken with; weights and moments grow along.

    Args:
        coders: of the run, together if they are of a CLT.
        optimiser: Adam over their parameters, which are replaced in it.
        batch: what each coder reads and is to give, normalised: where the children come from.
        settings: of the run.
        step: the step to be taken next; with the seed it decides what is drawn.
    """
    xs, ys = batch
    together = settings.kind == "clt"
    outs, actives = outputs(coders, xs, settings) if together else ([], [])
    for i, (w, x, y) in enumerate(zip(coders, xs, ys, strict=True)):
        if together:
            reached = slice(i, i + w.decoder.shape[1] // y.shape[1])
            rest = torch.cat([t - o for t, o in zip(ys[reached], outs[reached], strict=True)], dim=1)
            active = actives[i]
        else:
            (out,), (active,) = outputs([w], [x], settings)
            rest = y - out
        dice = torch.Generator().manual_seed((settings.seed * 7919 + w.layer) * 1_000_003 + step)
        count = settings.features_at(step) - len(w.idle)
        _append(w, _born(active, x, rest, count, dice), optimiser)


def _born(
    active: Sparse, x: Float[Tensor, "n d"], rest: Float[Tensor, "n w"], count: int, dice: torch.Generator
) -> Children:
    """Gives children of the features that are most active where most is left unexplained."""
    n, left = len(x), rest.norm(dim=1)
    entries = torch.bincount(active.token, minlength=n)
    mean = x.mean(0)
    centred = x - mean
    odds = left.square() / centred.square().sum(dim=1).clamp_min(1e-8) * (entries > 0)
    enough = int((odds > 0).sum()) >= count
    token = torch.multinomial(odds.cpu(), count, replacement=not enough, generator=dice).to(x.device)
    by_value = torch.argsort(active.value)
    order = by_value[torch.argsort(active.token[by_value], stable=True)]  # of each token, strongest last
    covariance = centred.T @ centred / n + RIDGE * torch.eye(x.shape[1], device=x.device)
    filters = torch.linalg.solve(covariance, centred[token].T).T
    answer = (filters * centred[token]).sum(dim=1)
    level = SHARE * left[token] / (1 - MATCH)
    encoder = filters * (level / answer)[:, None]
    return Children(
        parent=active.feature[order[active.offset[token] + entries[token] - 1]],
        encoder=encoder,
        encoder_bias=-(encoder @ mean) - MATCH * level,
        decoder=rest[token] / left[token, None].clamp_min(1e-8),
    )


def _append(w: Weights, born: Children, optimiser: Optimizer) -> None:
    """Appends children to a coder and to the optimiser's moments."""
    for name in ("encoder", "encoder_bias", "decoder"):
        old = getattr(w, name)
        new = torch.cat([old, getattr(born, name)])
        setattr(w, name, new)
        _replace(optimiser, old, new, born.parent)
    w.idle = torch.cat([w.idle, torch.zeros_like(born.parent)])


def _replace(optimiser: Optimizer, old: Tensor, new: Tensor, parent: Int[Tensor, "c"]) -> None:
    """Puts a grown parameter in its place, children with their parents' second moments and no first."""
    for group in optimiser.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    state = optimiser.state.pop(old)
    first, second = state["exp_avg"], state["exp_avg_sq"]
    optimiser.state[new] = {
        "step": state["step"],
        "exp_avg": torch.cat([first, torch.zeros_like(first[parent])]),
        "exp_avg_sq": torch.cat([second, second[parent]]),
    }
