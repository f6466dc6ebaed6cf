"""The record between the language model and the engine: everything frozen on one prompt.

A `Trace` is plain NumPy. Ours are written by `circuits.extract`, but any program may write one as
a safetensors file with the keys below and run the engine on it (``circuits attribute --trace F``).

The model it describes
----------------------
The residual stream r has width d at n positions and passes L layers. All scales and attention
patterns are constants of this prompt, so everything but the gates is linear::

    r(0, p)   = token_embedding[p] + position_embedding[p]
    mid(l, q) = r(l, q) + attention.constant[l,q]
                + write_scale[l,q] · Σ_h Σ_k pattern[l,h,q,k] · O[l,h] V[l,h] · read_scale[l,k] r(l, k)
    x(l, p)   = mlp.read_scale[l,p] · mid(l, p)     (r(l, p) if `parallel`: attention beside the MLP)
    z_i       = bias_i + e_i · x(l, p)                       e_i   = Σ coefficient · vectors
    a_i       = gate_i(z_i)
    r(l+1, p) = mid(l, p) + mlp.constant[l,p] + error[l,p]
                + mlp.write_scale[l,p] · (Σ_i a_i w_i,l + skip[l] x(l, p)) + through(l, p)
                                                             w_i,l = Σ coefficient · vectors
    target_t  = target.bias_t + target.vector_t · r(L, target.position_t)

An MLP that no feature replaces may pass, held still: with u the entry of passing.layer that is l,
through(l, p) = passing.write[u] Σ_c (passing.coefficient[u,c,p] ⊙ (passing.read[u,c] in)) +
passing.constant[u,p], where `in` is mid(l, p), or r(l, p) if `parallel`; it is 0 for all other layers.

Features may also sit on the stream itself, after a block (`stream[l]`; residual SAEs). They, their errors
and their constant *are* the stream then; what came from below passes only through them::

    x(l, p)   = mlp.read_scale[l,p] · (mid(l, p) + through(l, p))
    r(l+1, p) = mlp.constant[l,p] + error[l,p] + mlp.write_scale[l,p] · Σ_i a_i w_i,l

Where the trace holds them, attention scores (before a softcap, if any) are bilinear in the stream below::

    x(l, p)           = attention.read_scale[l,p] · r(l, p)
    query(l, h, q)    = turn(angle[l,q]) query_scale[l,h,q] · (query[l,h] x(l, q) + query_bias[l,h])
    key(l, g, k)      = turn(angle[l,k]) key_scale[l,g,k] · (key[l,g] x(l, k) + key_bias[l,g])
    score(l, h, q, k) = factor[l] · query(l, h, q) · key(l, g, k)                         g = ⌊h K / H⌋

turn(angle) turns each pair (j, j + P) of the first 2P of Q dimensions: (x, y) becomes
(x cos − y sin, y cos + x sin). Architectures whose pairs lie otherwise permute their rows.

A gated neuron a = act(g) · u is a linear feature whose read terms are the two halves of the product; what
each of the two reads can be told besides::

    g = vectors[gate_vector] · x(l, p) + a constant     u = vectors[value_vector] · x(l, p) + a constant

L is what the per-layer keys say; where there are none, one more than the highest layer a feature or a
write names. Features at i sit at layer l and position p; w_i,l is what a feature of layer l, or of an earlier
layer, writes into the MLP output of layer l at its own position.

Keys of the file
----------------
F features, T targets, H heads, K value groups (H a multiple of K), R head width, Q query width, V vectors,
E and W read and write terms, U held MLPs of M neurons in C parts, G gated neurons. Floats are float32 or
float64, all of one kind; integers are int32 (int64 is accepted). A key marked ° may be left out and then
means the value in brackets.

=============================  ===============  ===================================================
key                            shape            meaning
=============================  ===============  ===================================================
token_embedding                n d              what each token writes into the residual stream
position_embedding °           n d              learned positional embedding [none]
attention.pattern °            L H n n          frozen pattern, query × key, 0 where the key is later
                                                [no attention; then all its keys are left out]
attention.value                L K R d          V: residual to value, norm gain and centring folded
attention.output               L H d R          O: value to residual
attention.read_scale °         L n              scale of the norm before attention, at the key [1]
attention.write_scale °        L n              scale of the norm after attention, at the query [1]
attention.constant °           L n d            what attention's biases write [0]
score.query °                  L H Q d          residual to query, gains of both norms, centring and
                                                rotary factor folded [no scores; then none of its keys]
score.key                      L K Q d          residual to key, the same folded
score.query_bias °             L H Q            what the query holds besides, folded likewise [0]
score.key_bias °               L K Q            what the key holds besides [0]
score.query_scale °            L H n            frozen scale of the norm of queries [1]
score.key_scale °              L K n            frozen scale of the norm of keys [1]
score.angle °                  L n P            rotary angle of each pair of dimensions [none]
score.factor °                 L                what query · key is multiplied by [Q^-1/2]
mlp.read_scale °               L n              scale of the norm the features read through [1]
mlp.write_scale °              L n              scale of the norm after the MLP [1]
mlp.skip °                     L d d            skip connection: skip[l] @ x, gains folded; not where
                                                features sit on the stream [none]
mlp.constant °                 L n d            what the MLP's or dictionary's biases write [0]
error °                        L n d            MLP output neither features, skip nor constant [none]
stream °                       L (int8)         1 where features sit on the stream after the block [0]
passing.layer °                U                layers whose MLP passes, held, ascending [none]
passing.write                  U d M            neurons to residual
passing.read                   U C M d          residual to neurons
passing.coefficient            U C n M          what multiplies each neuron at each position, all scales
                                                of norms before and after folded
passing.constant °             U n d            what its biases write: part of the node bias:attn [0]
vectors                        V d              residual-space directions, norm gain and centring folded
feature.layer, .position, .id  F                where a feature is, and its number in the dictionary
feature.activation             F                a, 0 if the feature is off on this prompt (dormant)
feature.pre_activation         F                z
feature.bias °                 F                the part of z that is not read from the stream [0]
feature.threshold °            F                jumprelu and topk: on where z > threshold [0]
feature.gate °                 F (int8)         number of the gate in the header's `gates` [0]
read.feature, .vector          E                e_feature += coefficient · vectors[vector]
read.coefficient °             E                [1]
write.feature, .vector         W                w_feature,layer += coefficient · vectors[vector]
write.layer °                  W                layer whose MLP output receives it [the feature's own]
write.coefficient °            W                [1]
gated.feature °                G                features that are gated neurons [none; then none of its
                                                keys, nor `gated_activation` in the header]
gated.gate_vector              G                what g reads, a row of vectors
gated.value_vector             G                what u reads
gated.gate                     G                g on this prompt, constants included
gated.value                    G                u on this prompt, constants included
target.vector                  T d              direction read after the last layer, final norm and its
                                                scale folded; zeros for a feature target
target.position °              T                [n - 1]
target.bias °                  T                [0]
target.weight °                T                share of each target in influence [1/T]
target.value                   T                the target's value on this prompt
target.feature °               T                row of the feature that is the target, -1 for none [-1]
dormant_gap °                  L n              smallest threshold - z among features left out: no
                                                absent feature turns on while pre-activations move less
=============================  ===============  ===================================================

The safetensors header holds one metadata entry, ``circuits``: a JSON object with `format` ("trace"),
`version` (1), `prompt` {text, ids, tokens}, `target_names` (T node names such as "logit:Austin"), and
optionally `gates` (names from `circuits.schema.GATES`, default ["relu"]), `gated_activation` (the act of
gated neurons: "relu", "gelu", "gelu_tanh" or "silu"), `parallel` (default false),
`labels` (feature node name → text), and `meta` (anything to be carried into the graph).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from circuits.prompt import Prompt
from circuits.schema import GateName

Floats = np.ndarray
"""Arrays here are float32 or float64, one kind throughout a trace."""


@dataclass(frozen=True)
class Attention:
    """Frozen attention of every layer. See the module's docstring for shapes and meaning."""

    pattern: Float[np.ndarray, "L H n n"]
    value: Float[np.ndarray, "L K R d"]
    output: Float[np.ndarray, "L H d R"]
    read_scale: Float[np.ndarray, "L n"]
    write_scale: Float[np.ndarray, "L n"]
    constant: Float[np.ndarray, "L n d"] | None = None


@dataclass(frozen=True)
class Scores:
    """What makes the attention scores of every layer; `attention` holds the patterns they gave."""

    query: Float[np.ndarray, "L H Q d"]
    key: Float[np.ndarray, "L K Q d"]
    query_scale: Float[np.ndarray, "L H n"]
    key_scale: Float[np.ndarray, "L K n"]
    factor: Float[np.ndarray, "L"]
    query_bias: Float[np.ndarray, "L H Q"] | None = None
    key_bias: Float[np.ndarray, "L K Q"] | None = None
    angle: Float[np.ndarray, "L n P"] | None = None


@dataclass(frozen=True)
class Mlp:
    """What surrounds the features of every layer: scales, skip, constants, errors."""

    read_scale: Float[np.ndarray, "L n"]
    write_scale: Float[np.ndarray, "L n"]
    skip: Float[np.ndarray, "L d d"] | None = None
    constant: Float[np.ndarray, "L n d"] | None = None
    error: Float[np.ndarray, "L n d"] | None = None


@dataclass(frozen=True)
class Passing:
    """MLPs that no features replace, held still and so linear at every position."""

    layer: Int[np.ndarray, "U"]
    write: Float[np.ndarray, "U d M"]
    read: Float[np.ndarray, "U C M d"]
    coefficient: Float[np.ndarray, "U C n M"]
    constant: Float[np.ndarray, "U n d"] | None = None


@dataclass(frozen=True)
class Features:
    """One row per feature occurrence, sorted by (layer, position, id)."""

    layer: Int[np.ndarray, "F"]
    position: Int[np.ndarray, "F"]
    id: Int[np.ndarray, "F"]
    activation: Float[np.ndarray, "F"]
    pre_activation: Float[np.ndarray, "F"]
    bias: Float[np.ndarray, "F"]
    threshold: Float[np.ndarray, "F"]
    gate: Int[np.ndarray, "F"]
    gates: tuple[str, ...] = ("relu",)

    def __len__(self) -> int:
        return len(self.layer)


@dataclass(frozen=True)
class Gated:
    """The features that are gated neurons, act(g) · u, in any order."""

    feature: Int[np.ndarray, "G"]
    gate_vector: Int[np.ndarray, "G"]
    value_vector: Int[np.ndarray, "G"]
    gate: Float[np.ndarray, "G"]
    value: Float[np.ndarray, "G"]
    activation: GateName = "silu"

    def __len__(self) -> int:
        return len(self.feature)


@dataclass(frozen=True)
class Terms:
    """Sparse sums of vectors: `feature[i]` gets `coefficient[i] · vectors[vector[i]]`, at `layer[i]`.

    Read terms are all at the feature's own layer; write terms may go to later layers too.
    """

    feature: Int[np.ndarray, "E"]
    vector: Int[np.ndarray, "E"]
    layer: Int[np.ndarray, "E"]
    coefficient: Float[np.ndarray, "E"]


@dataclass(frozen=True)
class Targets:
    """The outputs to explain, each a direction read from the last residual stream, or a feature."""

    names: tuple[str, ...]
    vector: Float[np.ndarray, "T d"]
    position: Int[np.ndarray, "T"]
    bias: Float[np.ndarray, "T"]
    weight: Float[np.ndarray, "T"]
    value: Float[np.ndarray, "T"]
    feature: Int[np.ndarray, "T"]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Trace:
    """Everything of one prompt that the engine needs, frozen. Made by `extract` or read from a file.

    The module's docstring gives every field's shape and meaning.
    """

    prompt: Prompt
    n_layers: int
    token_embedding: Float[np.ndarray, "n d"]
    position_embedding: Float[np.ndarray, "n d"] | None
    attention: Attention | None
    mlp: Mlp
    vectors: Float[np.ndarray, "V d"]
    features: Features
    reads: Terms
    writes: Terms
    targets: Targets
    parallel: bool = False
    passing: Passing | None = None
    stream: Bool[np.ndarray, "L"] | None = None
    scores: Scores | None = None
    gated: Gated | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    dormant_gap: Float[np.ndarray, "L n"] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_positions(self) -> int:
        """Gives n, the number of tokens."""
        return int(self.token_embedding.shape[0])

    @property
    def width(self) -> int:
        """Gives d, the width of the residual stream."""
        return int(self.token_embedding.shape[1])

    def on_stream(self, layer: int) -> bool:
        """Tells whether the features of a layer sit on the stream after its block."""
        return self.stream is not None and bool(self.stream[layer])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Gives float32 or float64."""
        return self.token_embedding.dtype

    @property
    def nbytes(self) -> int:
        """Gives the bytes held by all arrays together."""
        parts = (
            self,
            self.attention,
            self.mlp,
            self.passing,
            self.scores,
            self.gated,
            self.features,
            self.reads,
            self.writes,
            self.targets,
        )
        return sum(
            value.nbytes
            for part in parts
            if part is not None
            for value in vars(part).values()
            if isinstance(value, np.ndarray)
        )

    def __repr__(self) -> str:
        off = int((self.features.activation == 0).sum())
        return (
            f"Trace({self.n_positions} tokens, {self.n_layers} layers, {len(self.features) - off} active"
            f" and {off} dormant features, {len(self.targets)} targets, {self.nbytes / 1e6:.0f} MB)"
        )
