"""Tiny SAEs and cross-layer transcoders with random weights, as records."""

from __future__ import annotations

import torch

from circuits.dictionaries.activations import AbsTopK, Activation, JumpReLU, ReLU, TopK
from circuits.dictionaries.base import WriteSite
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings, InputNorm
from circuits.dictionaries.rows import DenseRows
from circuits.models.base import Model

N_FEATURES = 40
ACTIVATIONS = ("relu", "jumprelu", "topk", "abstopk")


def tiny_sae(
    model: Model,
    site: WriteSite,
    activation: str = "relu",
    norm: InputNorm | None = None,
    layers: tuple[int, ...] | None = None,
) -> Coders:
    """SAEs of all layers or some, reading and writing at one site."""
    chosen = range(model.n_layers) if layers is None else layers
    coders = [_coder(model, layer, (layer,), activation, norm) for layer in chosen]
    settings = CoderSettings("sae", site, site, fingerprint=f"{site}-{activation}", spec="a tiny SAE")
    return Coders(coders, settings)


def tiny_clt(model: Model, activation: str = "relu") -> Coders:
    """A cross-layer transcoder: every feature writes into its own layer and all later ones."""
    last = model.n_layers
    coders = [_coder(model, layer, tuple(range(layer, last)), activation, None) for layer in range(last)]
    return Coders(coders, CoderSettings("clt", fingerprint=f"clt-{activation}", spec="a tiny CLT"))


def _coder(
    model: Model, layer: int, into: tuple[int, ...], activation: str, norm: InputNorm | None
) -> CoderLayer:
    generator = torch.Generator().manual_seed(layer)
    d = model.width

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(model.dtype)

    chosen: dict[str, Activation] = {
        "relu": ReLU(),
        "jumprelu": JumpReLU(random(N_FEATURES).abs() / 2),
        "topk": TopK(7, relu=True),
        "abstopk": AbsTopK(7),
    }
    return CoderLayer(
        layer=layer,
        encoder=DenseRows(random(N_FEATURES, d) / d**0.5),
        encoder_bias=random(N_FEATURES) / 4,
        decoders=tuple((to, DenseRows(random(N_FEATURES, d) / d**0.5)) for to in into),
        decoder_bias=random(d) / 4,
        activation=chosen[activation],
        norm=norm,
    )
