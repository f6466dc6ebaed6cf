"""Norms, scales and biases folded away, so that everything speaks of the residual stream.

A norm with a frozen scale is affine: y = gain · C (scale · r) + bias, where C subtracts the mean
(C = I - 11ᵀ/d) in a LayerNorm and is the identity in an RMS norm. A `Frame` is that map. What reads
through it is pulled back to the stream, what writes through it is pushed out to the stream; the
scale, which differs by position, is kept apart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.extraction.passing import Passing, passing
from circuits.models.base import Forward, Model, Norm
from circuits.models.forward import apply_norm


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
class Reader:
    """The affine map from the residual stream, as a trace's features see it, to a read site.

    That stream is the MLP's input, or the stream after the block for features that read it there.

    Attributes:
        frame: the norm on the way.
        mlp: the held MLP on the way, or None; then every occurrence of a feature has rows of its own.
        post: what follows the MLP, or None.
    """

    frame: Frame
    mlp: Passing | None = None
    post: Frame | None = None

    @property
    def own_rows(self) -> bool:
        """Tells whether each occurrence has rows of its own."""
        return self.mlp is not None

    def pull(
        self, rows: Float[Tensor, "u d"], place: Int[Tensor, "f"], position: Int[Tensor, "f"]
    ) -> tuple[Float[Tensor, "_ d"], Float[Tensor, "f"]]:
        """Gives what rows read of the stream, and of constants.

        Args:
            rows: of u features, at the read site.
            place: row of each occurrence.
            position: of each occurrence.

        Returns:
            Residual-space rows, u of them or f (`own_rows`), without the frame's scale, and f offsets.
        """
        if self.mlp is None:
            return self.frame.pull(rows), self.frame.offset(rows)[place]
        rows, still = rows[place], rows.new_zeros(len(place))
        if self.post is not None:
            still = self.post.offset(rows)
            rows = self.post.pull(rows) * self.post.scale[position, None]
        rows, constant = self.mlp.pull(rows, position)
        return self.frame.pull(rows), still + constant + self.frame.offset(rows)


@dataclass(frozen=True)
class Through:
    """A held MLP between two points of the residual stream, all scales folded (see `circuits.trace`)."""

    write: Float[Tensor, "d m"]
    read: tuple[Float[Tensor, "m d"], ...]
    coefficient: tuple[Float[Tensor, "n m"], ...]
    constant: Float[Tensor, "n d"]


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

    @property
    def on_stream(self) -> bool:
        """Tells whether features replace the stream after a block rather than the output of its MLP."""
        return self.dictionary.write_site == "block_out"

    def replaces_mlp(self, layer: int) -> bool:
        """Tells whether features stand in for the output of this layer's MLP; otherwise it passes, held."""
        return layer in self.dictionary.layers and not self.on_stream

    def after(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives the residual stream after a block."""
        last = layer + 1 == self.model.n_layers
        return self.forward.final if last else self.forward.attention_in[layer + 1]

    def read_frame(self, layer: int) -> Frame:
        """Gives the norm that the features of `layer` read through, from the stream they read."""
        norm, scale = self.model.anatomy.layers[layer].mlp_norm, self.forward.mlp_scale[layer]
        match self.dictionary.read_site:
            case "mlp_in" | "mlp_out" | "mlp_added":
                return norm_frame(norm, scale)
            case "mlp_in_no_gain":
                return Frame(scale, centred=norm.kind == "layer")
            case "residual" | "block_out":
                return Frame(torch.ones_like(scale))

    def reader(self, layer: int) -> Reader:
        """Gives the map from the stream to where the features of `layer` read."""
        frame, site = self.read_frame(layer), self.dictionary.read_site
        if site not in ("mlp_out", "mlp_added"):
            return Reader(frame)
        held = passing(self.model, layer, frame.apply(self.forward.mlp_in[layer]))
        return Reader(frame, held, self._post(layer) if site == "mlp_added" else None)

    def write_frame(self, layer: int) -> Frame:
        """Gives the map from where features write, in `layer`, to the residual stream."""
        post = self._post(layer) if self.dictionary.write_site == "mlp_out" else None
        return Frame(torch.ones_like(self.forward.mlp_post_scale[layer])) if post is None else post

    def _post(self, layer: int) -> Frame | None:
        norm = self.model.anatomy.layers[layer].mlp_post_norm
        return None if norm is None else norm_frame(norm, self.forward.mlp_post_scale[layer])

    def inputs(self, layer: int) -> Float[Tensor, "n d"]:
        """Gives what the features of `layer` read, at the dictionary's read site."""
        match self.dictionary.read_site:
            case "block_out":
                return self.after(layer)
            case "mlp_added":
                return self.forward.mlp_out[layer]
            case "mlp_out":
                held = self.reader(layer).mlp
                assert held is not None
                return held.apply(self.read_frame(layer).apply(self.forward.mlp_in[layer]))
            case _:
                return self.read_frame(layer).apply(self.forward.mlp_in[layer])

    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix between scaled residual stream and unscaled write."""
        matrix = self.dictionary.skip(layer)
        if matrix is None:
            return None
        return self.write_frame(layer).push(self.read_frame(layer).pull(matrix).T).T

    def constant(self, layer: int) -> Float[Tensor, "n d"] | None:
        """Gives what biases write where features do: decoder, skip of norm bias, post-norm."""
        read, write = self.read_frame(layer), self.write_frame(layer)
        bias = self.dictionary.constant(layer, self.inputs(layer))
        matrix = self.dictionary.skip(layer)
        if matrix is not None and read.bias is not None:
            seen = matrix @ read.bias
            bias = seen.expand(self.n_positions, -1) if bias is None else bias + seen
        return _through(write, bias)

    def through(self, layer: int) -> Through:
        """Gives an MLP that no features replace, from its input stream to what it adds to the stream."""
        norm, scale = self.model.anatomy.layers[layer].mlp_norm, self.forward.mlp_scale[layer]
        read, post = norm_frame(norm, scale), self._post(layer)
        held = passing(self.model, layer, apply_norm(norm, self.forward.mlp_in[layer], scale))
        constant, factor = held.constant, scale
        for c, rows in zip(held.coefficient, held.read, strict=True):
            constant = constant + (c * read.offset(rows)) @ held.write.T
        write = held.write
        if post is not None:
            constant, factor = post.apply(constant), scale * post.scale
            write = post.push(write.T).T
        return Through(
            write=write,
            read=tuple(read.pull(rows) for rows in held.read),
            coefficient=tuple(c * factor[:, None] for c in held.coefficient),
            constant=constant,
        )

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
