"""One interface for every kind of dictionary: neurons, transcoders, and next CLTs and SAEs.

A dictionary speaks in the frames of its two sites. `extract` folds norms and scales so that the
trace speaks of the residual stream only; a dictionary never sees them.
"""

from __future__ import annotations

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from circuits.models.base import Model
from circuits.schema import GateName

ReadSite = Literal["mlp_in", "mlp_in_no_gain", "residual"]
"""Where features read: what the MLP receives (norm applied), the same before the norm's gain and
bias ("ln2.hook_normalized" of TransformerLens), or the residual stream before the norm."""

WriteSite = Literal["mlp_out", "residual"]
"""Where features write: the MLP's own output, before any post-norm, or what is added to the stream
after it. Where the model has no post-norm the two are the same."""


@dataclass(frozen=True)
class Encoding:
    """One layer's features on one prompt. n positions, m features.

    Attributes:
        pre_activation: z.
        activation: a = gate(z).
        threshold: on where z > threshold (jumprelu, topk); None for other gates. A top-k selection
            is frozen as halfway between the smallest z kept and the largest left out, the same for
            all features at a position; negative where negative survivors are not clipped.
        gate: how a follows from z.
    """

    pre_activation: Float[Tensor, "n m"]
    activation: Float[Tensor, "n m"]
    threshold: Float[Tensor, "n m"] | None
    gate: GateName


@dataclass(frozen=True)
class ReadTerm:
    """One part of what a feature reads: coefficient[p, i] · (rows(i) · x_p + bias[i]).

    A transcoder has one term with coefficient 1 (None). A gated neuron a = act(g)·u has two, by the
    half rule (RelP): ½·(act(g)/g)·u on its gate row and ½·act(g) on its up row; they sum to a.
    """

    rows: Rows
    bias: Float[Tensor, "m"] | None
    coefficient: Float[Tensor, "n m"] | None


@dataclass(frozen=True)
class WriteTerm:
    """What features write, per unit of activation, into the MLP output of `layer`."""

    layer: int
    rows: Rows


class Rows(abc.ABC):
    """A matrix of m rows, one a feature, of which only some are ever fetched."""

    @abc.abstractmethod
    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features, reading no others from disk."""

    @abc.abstractmethod
    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""


class AbstractDictionary(abc.ABC):
    """A basis for the MLPs of a model.

    Attributes:
        kind: "neurons", "transcoder", ...
        spec: what it was loaded from, as `load_dictionary` takes it.
        n_features: features per layer.
        n_layers: layers covered, from the first.
        read_site: where features read.
        write_site: where features write.
        fingerprint: a hash over settings and weights.
    """

    kind: str
    spec: str
    n_features: int
    n_layers: int
    read_site: ReadSite
    write_site: WriteSite
    fingerprint: str

    @abc.abstractmethod
    def encode(self, layer: int, x: Float[Tensor, "n d"]) -> Encoding:
        """Gives the features of `layer` for inputs x at the read site."""

    @abc.abstractmethod
    def read_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[ReadTerm, ...]:
        """Gives what the features of `layer` read, so that the terms sum to the pre-activations."""

    @abc.abstractmethod
    def write_terms(self, layer: int) -> tuple[WriteTerm, ...]:
        """Gives what the features of `layer` write, and into which layers."""

    @abc.abstractmethod
    def constant(self, layer: int) -> Float[Tensor, "d"] | None:
        """Gives the decoder bias added to the output of `layer`, whichever features are on."""

    @abc.abstractmethod
    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix A (output += A @ x), or None."""

    @abc.abstractmethod
    def check(self, model: Model) -> None:
        """Raises `Incompatible` if this dictionary does not fit the model."""
