"""The parts of a transformer under one set of names, whatever the architecture calls them.

An architecture file turns a Hugging Face module into an `Anatomy`: tensors and constants, no code.
`circuits.models.forward` then rebuilds the forward pass from the anatomy and the model's own
attention patterns, and refuses to go on where the rebuilt logits are not the model's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Norm:
    """A normalisation y = gain · (x [- mean]) · scale [+ bias], scale = 1 / sqrt(mean square + eps).

    `kind` "layer" centres first, "rms" does not. Gemma's 1 + weight is folded into `gain`.
    """

    kind: Literal["rms", "layer"]
    gain: Float[Tensor, "d"]
    bias: Float[Tensor, "d"] | None
    eps: float


@dataclass(frozen=True)
class Rotary:
    """How positions turn queries and keys (Su et al. 2021). P pairs of dimensions.

    At position p the pair (j, j + P) of the first 2P dimensions is turned by the angle p · frequency[j]
    and multiplied by `factor` (YaRN; 1 elsewhere). What lies beyond 2P is left as it is.
    """

    frequency: Float[Tensor, "P"]
    factor: float


@dataclass(frozen=True)
class ScoreParts:
    """What makes the attention scores of one layer: scale · query · key, then a softcap, then softmax.

    Which keys a query sees (windows) is told by the module's patterns alone.

    H heads, K key groups (those of the values), Q their width. Norms are over the width of a head.

    Attributes:
        scale: what the product of query and key is multiplied by.
        softcap: c in c·tanh(score / c) (Gemma-2), else None.
    """

    query: Float[Tensor, "H Q d"]
    query_bias: Float[Tensor, "H Q"] | None
    key: Float[Tensor, "K Q d"]
    key_bias: Float[Tensor, "K Q"] | None
    query_norm: Norm | None
    key_norm: Norm | None
    rotary: Rotary | None
    scale: float
    softcap: float | None


@dataclass(frozen=True)
class AttentionParts:
    """The value and output maps of one layer. H heads, K value groups, R head width."""

    value: Float[Tensor, "K R d"]
    value_bias: Float[Tensor, "K R"] | None
    output: Float[Tensor, "H d R"]
    output_bias: Float[Tensor, "d"] | None
    scores: ScoreParts


@dataclass(frozen=True)
class MlpParts:
    """One MLP: down(act(gate x) · (up x)) where gated, else down(act(up x)). m neurons."""

    up: Float[Tensor, "m d"]
    up_bias: Float[Tensor, "m"] | None
    gate: Float[Tensor, "m d"] | None
    gate_bias: Float[Tensor, "m"] | None
    down: Float[Tensor, "d m"]
    down_bias: Float[Tensor, "d"] | None
    activation: Literal["gelu", "gelu_tanh", "silu", "relu"]


@dataclass(frozen=True)
class LayerParts:
    """One block. The post-norms are Gemma's; None elsewhere."""

    attention_norm: Norm
    attention: AttentionParts
    attention_post_norm: Norm | None
    mlp_norm: Norm
    mlp: MlpParts
    mlp_post_norm: Norm | None


@dataclass(frozen=True)
class Anatomy:
    """All parts of one model.

    Attributes:
        architecture: the Hugging Face model type, such as "llama".
        embedding: token embeddings, `embedding_scale` not yet applied.
        embedding_scale: Gemma multiplies embeddings by sqrt(d); 1 elsewhere.
        position_embedding: learned positions (GPT-2), else None.
        layers: the blocks, first to last.
        parallel: attention and MLP read the same residual stream (GPT-NeoX).
        final_norm: the norm before the unembedding.
        unembedding: rows are the directions of the logits.
        unembedding_bias: rarely present.
        logit_softcap: c in c·tanh(logit / c) (Gemma-2); targets are the logits before it.
        max_positions: the longest prompt.
    """

    architecture: str
    embedding: Float[Tensor, "v d"]
    embedding_scale: float
    position_embedding: Float[Tensor, "c d"] | None
    layers: tuple[LayerParts, ...]
    parallel: bool
    final_norm: Norm
    unembedding: Float[Tensor, "v d"]
    unembedding_bias: Float[Tensor, "v"] | None
    logit_softcap: float | None
    max_positions: int


@dataclass(frozen=True)
class Forward:
    """One forward pass. L layers, H heads, n positions, d width.

    `attention_scale` etc. are the norms' frozen scales, a number per layer and position; the
    post-norm scales are 1 where the architecture has none. `attention_in` and `mlp_in` are the
    residual stream as each sub-layer reads it, before its norm; `mlp_out` is what the MLP adds to
    the stream, post-norm applied.
    """

    ids: tuple[int, ...]
    pattern: Float[Tensor, "L H n n"]
    attention_in: Float[Tensor, "L n d"]
    attention_scale: Float[Tensor, "L n"]
    attention_post_scale: Float[Tensor, "L n"]
    mlp_in: Float[Tensor, "L n d"]
    mlp_scale: Float[Tensor, "L n"]
    mlp_out: Float[Tensor, "L n d"]
    mlp_post_scale: Float[Tensor, "L n"]
    final: Float[Tensor, "n d"]
    final_scale: Float[Tensor, "n"]
    logits: Float[Tensor, "n v"]


@runtime_checkable
class Tokens(Protocol):
    """The part of a Hugging Face tokenizer that is used here."""

    def __call__(self, text: str, **options: Any) -> Any:
        """Gives an object with `input_ids`."""
        ...

    def decode(self, ids: Any, **options: Any) -> str:
        """Gives the text of ids."""
        ...


@dataclass(frozen=True)
class Model:
    """A loaded language model. Made by `circuits.load_model`.

    Attributes:
        spec: what it was loaded from, as the user wrote it.
        name: a short name for titles.
        module: the Hugging Face module, in evaluation mode, no gradients, eager attention.
        tokenizer: its tokenizer.
        anatomy: its parts.
        fingerprint: a hash over configuration and weights; two models are the same if it is.
    """

    spec: str
    name: str
    module: torch.nn.Module
    tokenizer: Tokens
    anatomy: Anatomy
    fingerprint: str

    def encode(self, text: str) -> list[int]:
        """Gives the token ids of `text`, with the special tokens the tokenizer adds by itself."""
        return [int(i) for i in self.tokenizer(text)["input_ids"]]

    def decode(self, token: int) -> str:
        """Gives the text of one token."""
        return self.tokenizer.decode([token], clean_up_tokenization_spaces=False)

    @property
    def width(self) -> int:
        """Gives d, the width of the residual stream."""
        return int(self.anatomy.embedding.shape[1])

    @property
    def n_layers(self) -> int:
        """Gives L, the number of blocks."""
        return len(self.anatomy.layers)

    @property
    def dtype(self) -> torch.dtype:
        """Gives float32 or float64."""
        return self.anatomy.embedding.dtype

    def __repr__(self) -> str:
        return f"Model({self.name}: {self.anatomy.architecture}, {self.n_layers} layers, width {self.width})"


Adapter = Callable[[Any], Anatomy]
"""An architecture file's one public function: a Hugging Face module in, its anatomy out.

Raises `UnsupportedModel` listing every configuration setting it neither handles nor knowingly ignores.
"""
