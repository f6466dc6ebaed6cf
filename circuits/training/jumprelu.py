"""JumpReLU coders: dense, with pseudo-derivatives for their thresholds (Rajamanoharan et al. 2024)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from circuits.training.coder import Told, Weights
from circuits.training.settings import Training

BANDWIDTH = 0.1
"""Width ε of the rectangle that stands in for the delta function; inputs have unit mean square."""

SPARSITY = 1.0
"""Weight of (L0 / k - 1)², in units of the width."""


class Jump(torch.autograd.Function):
    """a = z · [z > θ], with da/dθ = -(θ/ε) · rect((z - θ)/ε)."""

    @staticmethod
    def forward(ctx: Any, z: Float[Tensor, "n m"], threshold: Float[Tensor, "m"]) -> Float[Tensor, "n m"]:
        """Gives the activations."""
        ctx.save_for_backward(z, threshold)
        return z * (z > threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gives the gradients at z and θ."""
        (felt,) = gradients
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < BANDWIDTH / 2).to(z.dtype)
        return felt * (z > threshold), (-(threshold / BANDWIDTH) * near * felt).sum(0)


class Count(torch.autograd.Function):
    """L0 a token, Σ [z > θ], with its derivative by θ -(1/ε) · rect((z - θ)/ε)."""

    @staticmethod
    def forward(ctx: Any, z: Float[Tensor, "n m"], threshold: Float[Tensor, "m"]) -> Float[Tensor, "n"]:
        """Gives the number of active features of each token."""
        ctx.save_for_backward(z, threshold)
        return (z > threshold).to(z.dtype).sum(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gives the gradient at θ; z has none."""
        (felt,) = gradients
        z, threshold = ctx.saved_tensors
        near = ((z - threshold).abs() < BANDWIDTH / 2).to(z.dtype)
        return None, (-near / BANDWIDTH * felt[:, None]).sum(0)


def jump_step(w: Weights, x: Float[Tensor, "n d"], y: Float[Tensor, "n d"], settings: Training) -> Told:
    """Sets every parameter's gradient and gives what happened. The penalty aims at `settings.k`.

    Args:
        w: the coder, with a threshold for each feature.
        x: what it reads, normalised.
        y: what it is to give, normalised.
        settings: of the run.
    """
    n, d = y.shape
    with torch.enable_grad():
        leaf = {name: p.detach().requires_grad_() for name, p in w.parameters().items()}
        z = linear(x, leaf["encoder"], leaf["encoder_bias"])
        a = Jump.apply(z, leaf["threshold"])  # type: ignore[no-untyped-call]
        out = a @ leaf["decoder"] + leaf["decoder_bias"]
        out = out if w.skip is None else out + x @ leaf["skip"].T
        error = (out - y).square().sum()
        count = Count.apply(z, leaf["threshold"]).mean()  # type: ignore[no-untyped-call]
        (error / n + SPARSITY * d * (count / settings.k - 1) ** 2).backward()
    for name, parameter in w.parameters().items():
        parameter.grad = leaf[name].grad
    w.idle += n
    w.idle[(a != 0).any(0)] = 0
    squared, l0 = float(error.detach()), float(count.detach())
    spread = float((y - y.mean(0)).square().sum())
    return Told(
        loss=squared / n,
        fvu=squared / spread if spread else float("nan"),
        l0=l0,
        dead=float((w.idle > settings.dead_after).float().mean()),
    )
