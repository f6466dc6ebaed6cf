"""The weights under training, and one step's loss and gradients.

A coder reads x, normalised to zero mean and unit mean square over tokens, and is to give y, normalised
alike (`Scaling`); on saving, both are folded into the weights. The loss is the mean over tokens of the
squared error summed over the width, and every decoder row has norm 1 (Bricken et al. 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.training.kernels import (
    Sparse,
    decode,
    encode_batch_top_k,
    encode_top_k,
    value_gradient,
    weight_gradient,
)
from circuits.training.parallel import ALONE, Ranks
from circuits.training.routed_kernels import Router, encode_routed
from circuits.training.settings import Training

AUXILIARY = 1 / 32
"""Weight of the dead features' loss (Gao et al. 2024)."""

_SMOOTHING = 0.99

Run = tuple[Training, Ranks]
"""Settings, and who holds which features."""


@dataclass(frozen=True)
class Scaling:
    """The affine map x ↦ (x - mean) / scale to zero mean and unit mean square."""

    mean: Float[Tensor, "d"]
    scale: float

    @classmethod
    def of(cls, x: Float[Tensor, "n d"]) -> Scaling:
        """Gives the scaling of a sample."""
        mean = x.mean(0)
        return cls(mean, float((x - mean).square().mean().sqrt()) or 1.0)

    def apply(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Gives the normalised values."""
        return (x - self.mean) / self.scale


@dataclass
class Weights:
    """The coder of one layer, updated in place. m features, width d, w = d times the layers written to.

    Attributes:
        layer: the layer.
        encoder, encoder_bias, decoder, decoder_bias, skip: the parameters; `decoder_bias` and `skip` are
            of the layer's own output.
        idle: tokens since each feature was last active.
        threshold: of BatchTopK, the smoothed least activation of a batch, below 0 before the first step;
            of JumpReLU, a parameter, one number a feature.
        router, router_bias: of routed training, what chooses a token's groups; no parameters.
    """

    layer: int
    encoder: Float[Tensor, "m d"]
    encoder_bias: Float[Tensor, "m"]
    decoder: Float[Tensor, "m w"]
    decoder_bias: Float[Tensor, "d"]
    skip: Float[Tensor, "d d"] | None
    idle: Int[Tensor, "m"]
    threshold: Float[Tensor, "_"]
    router: Float[Tensor, "g d"] | None = None
    router_bias: Float[Tensor, "g"] | None = None

    @property
    def jumps(self) -> bool:
        """Tells whether thresholds are trained."""
        return len(self.threshold) == len(self.encoder_bias)

    def parameters(self) -> dict[str, Tensor]:
        """Gives what the optimiser changes, by name."""
        named = {
            "encoder": self.encoder,
            "encoder_bias": self.encoder_bias,
            "decoder": self.decoder,
            "decoder_bias": self.decoder_bias,
        }
        named |= {} if self.skip is None else {"skip": self.skip}
        return {**named, "threshold": self.threshold} if self.jumps else named

    def buffers(self) -> dict[str, Tensor]:
        """Gives what is kept besides."""
        named = {"idle": self.idle} if self.jumps else {"idle": self.idle, "threshold": self.threshold}
        if self.router is None or self.router_bias is None:
            return named
        return {**named, "router": self.router, "router_bias": self.router_bias}


@dataclass(frozen=True)
class Told:
    """What a step tells of one layer, all over the batch.

    Attributes:
        loss: mean squared error, summed over the width.
        fvu: fraction of variance unexplained, Σ|y - ŷ|² / Σ|y - mean|².
        l0: active features a token.
        dead: share of features not active for `dead_after` tokens.
    """

    loss: float
    fvu: float
    l0: float
    dead: float


def initial(settings: Training, layer: int, width: int, reaches: int, step: int = 0) -> Weights:
    """Gives random weights; SAEs begin with encoder = decoder, transcoders with the same directions.

    Args:
        settings: of the run.
        layer: the layer.
        width: d.
        reaches: layers written to.
        step: the step to be taken with them, where features become more (`Training.growth`).
    """
    dice = torch.Generator().manual_seed(settings.seed * 7919 + layer)
    m = settings.features_at(step)
    decoder = torch.randn(m, width * reaches, generator=dice)
    decoder /= decoder.norm(dim=1, keepdim=True)
    encoder = torch.randn(m, width, generator=dice) if settings.kind != "sae" else decoder.clone()
    encoder /= encoder.norm(dim=1, keepdim=True)
    return Weights(
        layer=layer,
        encoder=encoder.contiguous(),
        encoder_bias=torch.zeros(m),
        decoder=decoder,
        decoder_bias=torch.zeros(width),
        skip=torch.zeros(width, width) if settings.skip else None,
        idle=torch.zeros(m, dtype=torch.long),
        threshold=_thresholds(settings, m),
        router=None if settings.routed is None else torch.zeros(settings.routed[0], width),
        router_bias=None if settings.routed is None else torch.zeros(settings.routed[0]),
    )


def _thresholds(settings: Training, m: int) -> Float[Tensor, "_"]:
    if settings.activation != "jumprelu":
        return torch.full((1,), -1.0)
    # unit rows read normalised inputs: pre-activations begin about normal, so that k features are on
    share = torch.full((m,), 1 - settings.k / m, dtype=torch.float64)
    least: Tensor = torch.special.ndtri(share)
    return least.float()


def encode(weights: Weights, x: Float[Tensor, "n d"], settings: Training) -> Sparse:
    """Gives the features active on a batch."""
    if settings.activation == "batchtopk":
        return encode_batch_top_k(x, weights.encoder, weights.encoder_bias, settings.k)
    if weights.router is not None:
        return encode_routed(x, weights.encoder, weights.encoder_bias, _router(weights, settings), settings.k)
    half = settings.precision == "bfloat16"
    return encode_top_k(x, weights.encoder, weights.encoder_bias, settings.k, half=half)


def _router(weights: Weights, settings: Training) -> Router:
    assert settings.routed is not None
    assert weights.router is not None
    assert weights.router_bias is not None
    return Router(weights.router, weights.router_bias, settings.routed[1])


def outputs(
    coders: Sequence[Weights], xs: Sequence[Float[Tensor, "n d"]], settings: Training, ranks: Ranks = ALONE
) -> tuple[list[Float[Tensor, "n d"]], list[Sparse]]:
    """Gives what each layer gives for some inputs, all coders together, and the features active in each."""
    n, d = xs[0].shape
    outs = [
        w.decoder_bias.expand(n, d).clone() if ranks.first else x.new_zeros(n, d)
        for w, x in zip(coders, xs, strict=True)
    ]
    for i, (w, x) in enumerate(zip(coders, xs, strict=True)):
        if w.skip is not None and ranks.first:
            outs[i] += x @ w.skip.T
    actives = []
    for i, (w, x) in enumerate(zip(coders, xs, strict=True)):
        active = ranks.largest(encode(w, x, settings), settings.k)
        actives.append(active)
        for j, part in enumerate(torch.split(decode(active, w.decoder), d, dim=1)):
            outs[i + j] += part
    return [ranks.total(out) for out in outs], actives


@torch.no_grad()
def step(
    coders: Sequence[Weights],
    xs: Sequence[Float[Tensor, "n d"]],
    ys: Sequence[Float[Tensor, "n d"]],
    settings: Training,
    ranks: Ranks = ALONE,
) -> list[Told]:
    """Sets every parameter's gradient and gives what happened, layer by layer.

    Args:
        coders: of one or several layers; of a CLT, all, in order: each writes into its own layer's y
            and all later ones. Others write into their own.
        xs: what each reads, normalised.
        ys: what each layer is to give, normalised.
        settings: of the run.
        ranks: who holds the other features, if these are not all.
    """
    n, d = xs[0].shape
    outs, actives = outputs(coders, xs, settings, ranks)
    told, felt = [], []
    for w, out, y, active in zip(coders, outs, ys, actives, strict=True):
        rest = out.sub_(y)
        error = float(rest.square().sum())
        told.append(_told(w, error, y, active, (settings, ranks)))
        felt.append(rest)
    for i, (w, x, active) in enumerate(zip(coders, xs, actives, strict=True)):
        reaches = w.decoder.shape[1] // d
        gradient = felt[i] if reaches == 1 else torch.cat(felt[i : i + reaches], dim=1)
        _backward(w, x, gradient * (2 / n), active)
        if w.skip is not None:
            w.skip.grad = (felt[i] * (2 / n)).T @ x
        w.decoder_bias.grad = felt[i].sum(0) * (2 / n)
        if settings.auxiliary:
            _revive(w, x, -gradient, (settings, ranks))
    return told


def _backward(w: Weights, x: Float[Tensor, "n d"], gradient: Float[Tensor, "n w"], active: Sparse) -> None:
    """Sets the gradients of encoder and decoder, given the gradient at the output."""
    m = len(w.encoder_bias)
    at_value = value_gradient(active, w.decoder, gradient)
    w.decoder.grad = weight_gradient(active, active.value, gradient, m)
    w.encoder.grad = weight_gradient(active, at_value, x, m)
    w.encoder_bias.grad = torch.zeros(m).index_add_(0, active.feature, at_value)


def _revive(w: Weights, x: Float[Tensor, "n d"], rest: Float[Tensor, "n w"], run: Run) -> None:
    """Adds the gradients of AuxK: the dead features that fire most are to give what the others left."""
    settings, ranks = run
    dead = w.idle > settings.dead_after
    k = min(settings.auxiliary, int(ranks.counted(float(dead.sum()))[0]) - 1)
    if k < 1:
        return
    active = ranks.largest(_encode_dead(w, x, dead, k, settings), k)
    # dead features try for a scaled copy of the error: the loss is relative, as in Gao et al.
    scale = AUXILIARY * 2 / len(x)
    gradient = (ranks.total(decode(active, w.decoder)) - rest) * scale
    at_value = value_gradient(active, w.decoder, gradient)
    assert w.decoder.grad is not None
    assert w.encoder.grad is not None
    assert w.encoder_bias.grad is not None
    w.decoder.grad += weight_gradient(active, active.value, gradient, len(dead))
    w.encoder.grad += weight_gradient(active, at_value, x, len(dead))
    w.encoder_bias.grad.index_add_(0, active.feature, at_value)


def _encode_dead(
    w: Weights, x: Float[Tensor, "n d"], dead: Bool[Tensor, "m"], k: int, settings: Training
) -> Sparse:
    """Gives the k dead features that fire most; of routed ones, of the groups a token searches."""
    if w.router is not None:
        only = w.encoder_bias.masked_fill(~dead, -torch.inf)
        size = len(dead) // len(w.router)
        return encode_routed(x, w.encoder, only, _router(w, settings), min(k, size))
    ids = dead.nonzero()[:, 0]
    if not len(ids):  # of these; other ranks have some
        none = ids.new_zeros(len(x))
        return Sparse(none[:0], none[:0], x.new_zeros(0), none)
    active = encode_top_k(x, w.encoder[ids], w.encoder_bias[ids], min(k, len(ids)))
    return replace(active, feature=ids[active.feature])


def _told(w: Weights, error: float, y: Float[Tensor, "n d"], active: Sparse, run: Run) -> Told:
    """Gives a layer's numbers, and keeps count of idle features and of the least activation."""
    settings, ranks = run
    n = len(y)
    on = active.value > 0
    w.idle += n
    w.idle[active.feature[on]] = 0
    if settings.activation == "batchtopk" and bool(on.any()):
        least = active.value[on].min()
        w.threshold.copy_(least if w.threshold < 0 else _SMOOTHING * w.threshold + (1 - _SMOOTHING) * least)
    spread = float((y - y.mean(0)).square().sum())
    count, dead, features = ranks.counted(
        float(on.sum()), float((w.idle > settings.dead_after).sum()), len(w.idle)
    )
    return Told(
        loss=error / n,
        fvu=error / spread if spread else float("nan"),
        l0=count / n,
        dead=dead / features,
    )


@torch.no_grad()
def project(w: Weights) -> None:
    """Takes out of the decoder's gradient what would change the rows' norms (Bricken et al. 2023)."""
    assert w.decoder.grad is not None
    along = torch.linalg.vecdot(w.decoder.grad, w.decoder)[:, None]
    w.decoder.grad.addcmul_(along, w.decoder, value=-1)


@torch.no_grad()
def renormalise(w: Weights) -> None:
    """Sets the norm of every decoder row to 1."""
    w.decoder /= w.decoder.norm(dim=1, keepdim=True).clamp_min(1e-8)
