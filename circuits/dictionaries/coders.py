"""Sparse coders: what transcoders, cross-layer transcoders and sparse autoencoders have in common.

Whatever a publisher's file calls its parts, a loader brings them into one form::

    x'  = scale_p · C x_p             where the coder normalises its input, else x
    z   = encoder · x' + encoder_bias
    a   = activation(z)
    out = (Σ_i a_i decoder_i + decoder_bias) / scale_p + mean_p      [+ skip · x]

Input biases ("b_dec subtracted before encoding"), constant scales and decoder norms are folded by the
loader, so activations are those the publisher's own code gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import AbsTopK, Activation, RoutedTopK, TopK
from circuits.dictionaries.base import (
    AbstractDictionary,
    Encoding,
    ReadSite,
    ReadTerm,
    Rows,
    WriteSite,
    WriteTerm,
)
from circuits.dictionaries.reading import Reading
from circuits.dictionaries.rows import CentredRows, products
from circuits.errors import Incompatible, InvalidFile, UsageError
from circuits.models.base import Model

CoderKind = Literal["transcoder", "clt", "sae"]


@dataclass(frozen=True)
class InputNorm:
    """A normalisation of each token's input, undone after decoding; frozen on one prompt.

    Attributes:
        kind: "layer_norm": minus the mean, over (unbiased standard deviation + eps), and afterwards
            times the standard deviation, plus the mean. "unit_rms": over the root mean square,
            and afterwards times it.
        eps: of the layer norm.
    """

    kind: Literal["layer_norm", "unit_rms"]
    eps: float = 1e-5

    def read_scale(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Gives what each token's input is multiplied with."""
        if self.kind == "unit_rms":
            return x.square().mean(dim=1).rsqrt()
        return 1 / (x.std(dim=1) + self.eps)

    def write_scale(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """Gives what each token's output is multiplied with."""
        return x.std(dim=1) if self.kind == "layer_norm" else 1 / self.read_scale(x)

    def apply(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Gives the normalised input."""
        centred = x - x.mean(dim=1, keepdim=True) if self.kind == "layer_norm" else x
        return centred * self.read_scale(x)[:, None]


@dataclass(frozen=True)
class CoderLayer:
    """The coder whose features sit in one layer of a model. m features, width d.

    Attributes:
        layer: the block of the model, from 0.
        encoder: m rows.
        encoder_bias: m numbers.
        decoders: the layers written into and m rows for each: one's own for a transcoder or an SAE,
            one's own and all later ones for a cross-layer transcoder.
        decoder_bias: d numbers added to the output of `layer`.
        activation: which features are on.
        skip: the d × d matrix A of a skip transcoder (Paulo et al. 2025), output += A·x, or None.
        norm: normalisation of the input by the coder itself, or None.
    """

    layer: int
    encoder: Rows
    encoder_bias: Float[Tensor, "m"]
    decoders: tuple[tuple[int, Rows], ...]
    decoder_bias: Float[Tensor, "d"]
    activation: Activation
    skip: Rows | None = None
    norm: InputNorm | None = None

    @property
    def n_features(self) -> int:
        """Gives m."""
        return len(self.encoder_bias)


@dataclass(frozen=True)
class CoderSettings:
    """What a set of coders is, besides its weights.

    Attributes:
        kind: a transcoder replaces an MLP from its input, an SAE describes what passes at one site.
        read_site: where features read.
        write_site: where features write.
        fingerprint: a hash over settings and weights.
        spec: what the set was loaded from; its name in messages.
    """

    kind: CoderKind = "transcoder"
    read_site: ReadSite = "mlp_in"
    write_site: WriteSite = "mlp_out"
    fingerprint: str = ""
    spec: str = "the dictionary"


class Coders(AbstractDictionary):
    """Sparse coders of some or all layers of a model, all of one kind and width.

    Raises:
        InvalidFile: the layers differ in their number of features, or one is given twice, or an SAE
            does not write where it reads.
        UsageError: top-k would keep every feature.
    """

    def __init__(self, layers: Sequence[CoderLayer], settings: CoderSettings) -> None:
        spec = settings.spec
        widths = {layer.n_features for layer in layers}
        if len(widths) != 1:
            listed = ", ".join(str(layer.n_features) for layer in layers)
            raise InvalidFile(f"The layers of {spec} differ in their number of features: {listed}.")
        self._at = {layer.layer: layer for layer in sorted(layers, key=lambda layer: layer.layer)}
        if len(self._at) != len(layers):
            raise InvalidFile(f"{spec} has several coders for one layer: {[c.layer for c in layers]}.")
        if settings.kind == "sae" and settings.read_site != settings.write_site:
            raise InvalidFile(
                f"{spec} is an SAE but reads {settings.read_site} and writes {settings.write_site}."
            )
        self.settings = settings
        self.kind = settings.kind
        self.spec = spec
        self.n_features = widths.pop()
        self.layers = tuple(self._at)
        self.read_site = settings.read_site
        self.write_site = settings.write_site
        self.fingerprint = settings.fingerprint
        self.loaded = Reading()
        for layer in layers:
            top_k = layer.activation
            if isinstance(top_k, TopK | AbsTopK) and not 0 < top_k.k < self.n_features:
                raise UsageError(
                    f"Top-{top_k.k} of {self.n_features} features selects nothing: give k from 1 to"
                    f" {self.n_features - 1}."
                )

    def coder(self, layer: int) -> CoderLayer:
        """Gives the coder of one layer."""
        return self._at[layer]

    def encode(self, layer: int, x: Float[Tensor, "n d"]) -> Encoding:
        """Gives the features of `layer` for inputs x; goes through the encoder and does not keep it."""
        coder = self._at[layer]
        x = x if coder.norm is None else coder.norm.apply(x)
        gate = coder.activation.at(x) if isinstance(coder.activation, RoutedTopK) else coder.activation
        return gate(products(x, coder.encoder, coder.encoder_bias))

    def read_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[ReadTerm, ...]:
        """Gives the encoder rows, centred and scaled where the coder normalises its input."""
        coder = self._at[layer]
        if coder.norm is None:
            return (ReadTerm(coder.encoder, coder.encoder_bias, None),)
        rows = CentredRows(coder.encoder) if coder.norm.kind == "layer_norm" else coder.encoder
        scale = coder.norm.read_scale(x)[:, None].expand(-1, self.n_features)
        return (ReadTerm(rows, coder.encoder_bias, scale),)

    def write_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[WriteTerm, ...]:
        """Gives the decoder rows and the layers they are written into."""
        coder = self._at[layer]
        scale = None if coder.norm is None else coder.norm.write_scale(x)
        return tuple(WriteTerm(into, rows, scale) for into, rows in coder.decoders)

    def constant(self, layer: int, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        """Gives the decoder bias; where the coder normalises its input, in its frame, plus the mean."""
        coder = self._at[layer]
        bias = coder.decoder_bias.expand(len(x), -1)
        if coder.norm is None:
            return bias
        bias = bias * coder.norm.write_scale(x)[:, None]
        return bias + x.mean(dim=1, keepdim=True) if coder.norm.kind == "layer_norm" else bias

    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix, read now and not kept, or None."""
        skip = self._at[layer].skip
        return None if skip is None else skip.all()

    def check(self, model: Model) -> None:
        """Raises `Incompatible` where width or layers are not the model's."""
        width = len(self._at[self.layers[0]].decoder_bias)
        if width != model.width:
            raise Incompatible(
                f"{self.spec} has width {width}, but {model.name} has width {model.width}:"
                " it was made for another model."
            )
        last = max(into for coder in self._at.values() for into, _ in (*coder.decoders, (coder.layer, None)))
        if last >= model.n_layers:
            raise Incompatible(
                f"{self.spec} speaks of layer {last}, but {model.name} has layers 0 to"
                f" {model.n_layers - 1}: it was made for another model."
            )
        if self.kind != "sae" and len(self.layers) != model.n_layers:
            raise Incompatible(
                f"{self.spec} covers {len(self.layers)} layers, but {model.name} has"
                f" {model.n_layers}: give a dictionary with one file for each layer."
            )
