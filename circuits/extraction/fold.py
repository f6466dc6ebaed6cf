"""Norms, scales and biases folded away, so that everything speaks of the residual stream.

A norm with a frozen scale is affine: y = gain · C (scale · r) + bias, where C subtracts the mean
(C = I - 11ᵀ/d) in a LayerNorm and is the identity in an RMS norm. A `Frame` is that map. What reads
through it is pulled back to the stream, what writes through it is pushed out to the stream; the
scale, which differs by position, is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.models.base import Forward, Model, Norm


@dataclass(frozen=True)
class Frame:
    """The affine map y = gain · C (scale · r) + bias at n positions; None is 1 or 0."""

    scale: Float[Tensor, "n"]
    gain: Float[Tensor, "d"] | None = None
    bias: Float[Tensor, "d"] | None = None
    centred: bool = False

    def apply(self, r: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Gives y."""
        y = self._centre(r) * self.scale[:, None]
        y = y if self.gain is None else y * self.gain
        return y if self.bias is None else y + self.bias

    def pull(self, rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        """Gives rows' with rows · y = scale · (rows' · r) + `offset(rows)`."""
        return self._centre(rows if self.gain is None else rows * self.gain)

    def offset(self, rows: Float[Tensor, "k d"]) -> Float[Tensor, "k"]:
        """Gives what rows read of the bias."""
        return rows.new_zeros(len(rows)) if self.bias is None else rows @ self.bias

    def push(self, rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
        """Gives rows' so that writing a row into the map's input adds scale · rows' to its output."""
        rows = self._centre(rows)
        return rows if self.gain is None else rows * self.gain

    def _centre(self, rows: Tensor) -> Tensor:
        return rows - rows.mean(dim=-1, keepdim=True) if self.centred else rows


@dataclass(frozen=True)
class FoldedAttention:
    """One layer's attention as `circuits.trace` has it. K value groups, H heads, R head width."""

    value: Float[Tensor, "K R d"]
    output: Float[Tensor, "H d R"]
    read_scale: Float[Tensor, "n"]
    write_scale: Float[Tensor, "n"]
    constant: Float[Tensor, "n d"] | None


@dataclass(frozen=True)
class Frozen:
    """A model, a dictionary and one forward pass: all that extraction needs, held still."""

    model: Model
    dictionary: AbstractDictionary
    forward: Forward

    @property
    def n_positions(self) -> int:
        """Gives n, the number of tokens."""
        return len(self.forward.ids)

    def read_frame(self, layer: int) -> Frame:
        """Gives the map from the residual stream to where the features of `layer` read."""
        norm, scale = self.model.anatomy.layers[layer].mlp_norm, self.forward.mlp_scale[layer]
        match self.dictionary.read_site:
            case "mlp_in":
                return norm_frame(norm, scale)
            case "mlp_in_no_gain":
                return Frame(scale, centred=norm.kind == "layer")
            case "residual":
                return Frame(torch.ones_like(scale))

    def write_frame(self, layer: int) -> Frame:
        """Gives the map from where features write, in `layer`, to the residual stream."""
        norm, scale = self.model.anatomy.layers[layer].mlp_post_norm, self.forward.mlp_post_scale[layer]
        if norm is None or self.dictionary.write_site == "residual":
            return Frame(torch.ones_like(scale))
        return norm_frame(norm, scale)

    def inputs(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what the features of `layer` read, at the dictionary's read site."""
        return self.read_frame(layer).apply(self.forward.mlp_in[layer])

    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix between scaled residual stream and unscaled write."""
        matrix = self.dictionary.skip(layer)
        if matrix is None:
            return None
        return self.write_frame(layer).push(self.read_frame(layer).pull(matrix).T).T

    def constant(self, layer: int) -> Float[Tensor, "n d"] | None:
        """Gives what biases write in place of MLP `layer`: decoder, skip of norm bias, post-norm."""
        read, write = self.read_frame(layer), self.write_frame(layer)
        bias, matrix = self.dictionary.constant(layer), self.dictionary.skip(layer)
        if matrix is not None and read.bias is not None:
            seen = matrix @ read.bias
            bias = seen if bias is None else bias + seen
        return _through(write, None if bias is None else bias.expand(self.n_positions, -1))

    def attention(self, layer: int) -> FoldedAttention:
        """Gives the folded value and output maps of one layer and what its biases write."""
        parts = self.model.anatomy.layers[layer]
        norm, post = parts.attention_norm, parts.attention_post_norm
        read = norm_frame(norm, self.forward.attention_scale[layer])
        write_scale = self.forward.attention_post_scale[layer]
        write = Frame(torch.ones_like(write_scale)) if post is None else norm_frame(post, write_scale)
        value, output = parts.attention.value, parts.attention.output
        K, R, d = value.shape
        H = len(output)
        pushed = write.push(output.transpose(1, 2).reshape(H * R, d)).reshape(H, R, d).transpose(1, 2)
        written = None
        if read.bias is not None or parts.attention.value_bias is not None:
            held = read.offset(value.reshape(K * R, d)).reshape(K, R)
            held = held if parts.attention.value_bias is None else held + parts.attention.value_bias
            heads = torch.einsum("hdr,hr->hd", output, held.repeat_interleave(H // K, dim=0))
            written = self.forward.pattern[layer].sum(dim=-1).T @ heads
        if parts.attention.output_bias is not None:
            bias = parts.attention.output_bias.expand(self.n_positions, -1)
            written = bias if written is None else written + bias
        return FoldedAttention(
            value=read.pull(value.reshape(K * R, d)).reshape(K, R, d),
            output=pushed,
            read_scale=read.scale,
            write_scale=write.scale,
            constant=_through(write, written),
        )


def norm_frame(norm: Norm, scale: Float[Tensor, "n"]) -> Frame:
    """Gives a norm, its scale frozen, as a frame."""
    return Frame(scale, norm.gain, norm.bias, norm.kind == "layer")


def _through(write: Frame, written: Float[Tensor, "n d"] | None) -> Float[Tensor, "n d"] | None:
    """Gives what a constant becomes behind a frame, its bias included; None for nothing at all."""
    if written is not None:
        return write.apply(written)
    return None if write.bias is None else write.bias.expand(len(write.scale), -1)
