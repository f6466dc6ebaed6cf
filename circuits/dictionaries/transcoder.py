"""Per-layer transcoders: features trained to stand in for an MLP (Dunefsky et al. 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from circuits.dictionaries.base import (
    AbstractDictionary,
    Encoding,
    ReadSite,
    ReadTerm,
    Rows,
    WriteSite,
    WriteTerm,
)
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.models.base import Model


@dataclass(frozen=True)
class TranscoderLayer:
    """One layer's weights: a = gate(encoder·x + encoder_bias), out = aᵀ·decoder + decoder_bias + skip·x.

    Attributes:
        encoder: m rows of width d.
        encoder_bias: m numbers.
        decoder: m rows of width d.
        decoder_bias: d numbers.
        threshold: m numbers θ of a JumpReLU, z·(z > θ) (Rajamanoharan et al. 2024); None for ReLU.
        skip: the d × d matrix A of a skip transcoder (Paulo et al. 2025), output += A·x, or None.
    """

    encoder: Rows
    encoder_bias: Float[Tensor, "m"]
    decoder: Rows
    decoder_bias: Float[Tensor, "d"]
    threshold: Float[Tensor, "m"] | None = None
    skip: Rows | None = None


@dataclass(frozen=True)
class TopK:
    """Keeps the k largest pre-activations at each position (Gao et al. 2024).

    On one prompt the selection is frozen as a threshold, halfway between the smallest z kept and the
    largest left out, so that rounding turns neither. As in circuit-tracer, survivors are not clipped,
    so a negative z may survive (and the threshold be negative); with `relu` the threshold is at
    least 0. A tie between the two is left out.
    """

    k: int
    relu: bool = False

    def threshold(self, z: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Gives the threshold of each position, the same for all features."""
        largest = torch.topk(z, self.k + 1, dim=-1).values
        kept, left_out = largest[:, -2:-1], largest[:, -1:]
        halfway = (kept + left_out) / 2
        threshold = torch.where(halfway < kept, halfway, left_out)  # neighbouring floats have no halfway
        return (threshold.clamp(min=0) if self.relu else threshold).expand_as(z)


@dataclass(frozen=True)
class TranscoderSettings:
    """What a set of transcoders is, besides its weights.

    Attributes:
        read_site: where features read.
        write_site: where features write.
        top_k: the selection of top-k transcoders; None for ReLU and JumpReLU.
        fingerprint: a hash over settings and weights.
        spec: what the set was loaded from; its name in messages.
    """

    read_site: ReadSite = "mlp_in"
    write_site: WriteSite = "mlp_out"
    top_k: TopK | None = None
    fingerprint: str = ""
    spec: str = "the transcoders"


class Transcoders(AbstractDictionary):
    """Transcoders of all layers, with ReLU, JumpReLU or TopK and an optional skip connection.

    Raises:
        InvalidFile: the layers differ in their number of features, or a layer has thresholds and
            top-k at once.
        UsageError: top-k would keep every feature.
    """

    def __init__(self, layers: Sequence[TranscoderLayer], settings: TranscoderSettings) -> None:
        widths = {len(layer.encoder_bias) for layer in layers}
        if len(widths) != 1:
            listed = ", ".join(str(len(layer.encoder_bias)) for layer in layers)
            raise InvalidFile(f"The layers of {settings.spec} differ in their number of features: {listed}.")
        self._layers = tuple(layers)
        self._settings = settings
        self.kind = "transcoder"
        self.spec = settings.spec
        self.n_features = widths.pop()
        self.n_layers = len(layers)
        self.read_site = settings.read_site
        self.write_site = settings.write_site
        self.fingerprint = settings.fingerprint
        if settings.top_k is None:
            return
        if any(layer.threshold is not None for layer in layers):
            raise InvalidFile(f"{settings.spec} has thresholds and top-k at once: leave one of them out.")
        if not 0 < settings.top_k.k < self.n_features:
            raise UsageError(
                f"Top-{settings.top_k.k} of {self.n_features} features selects nothing: give k from 1 to"
                f" {self.n_features - 1}."
            )

    @property
    def top_k(self) -> TopK | None:
        """Gives the top-k selection, or None."""
        return self._settings.top_k

    def encode(self, layer: int, x: Float[Tensor, "n d"]) -> Encoding:
        """Gives the features of `layer` for inputs x; reads the encoder and does not keep it."""
        weights = self._layers[layer]
        z = linear(x, weights.encoder.all(), weights.encoder_bias)
        if self._settings.top_k is not None:
            threshold = self._settings.top_k.threshold(z)
            return Encoding(z, z * (z > threshold), threshold, "topk")
        if weights.threshold is not None:
            return Encoding(z, z * (z > weights.threshold), weights.threshold.expand_as(z), "jumprelu")
        return Encoding(z, z.relu(), None, "relu")

    def read_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[ReadTerm, ...]:  # noqa: ARG002
        """Gives the encoder rows."""
        weights = self._layers[layer]
        return (ReadTerm(weights.encoder, weights.encoder_bias, None),)

    def write_terms(self, layer: int) -> tuple[WriteTerm, ...]:
        """Gives the decoder rows, written into the features' own layer."""
        return (WriteTerm(layer, self._layers[layer].decoder),)

    def constant(self, layer: int) -> Float[Tensor, "d"] | None:
        """Gives the decoder bias."""
        return self._layers[layer].decoder_bias

    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix, read now and not kept, or None."""
        skip = self._layers[layer].skip
        return None if skip is None else skip.all()

    def check(self, model: Model) -> None:
        """Raises `Incompatible` where width or number of layers differ from the model's."""
        width = len(self._layers[0].decoder_bias)
        if width != model.width:
            raise Incompatible(
                f"{self._settings.spec} has width {width}, but {model.name} has width {model.width}:"
                " it was made for another model."
            )
        if self.n_layers != model.n_layers:
            raise Incompatible(
                f"{self._settings.spec} covers {self.n_layers} layers, but {model.name} has"
                f" {model.n_layers}: give a dictionary with one file for each layer."
            )
