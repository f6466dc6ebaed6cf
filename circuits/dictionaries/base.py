"""One interface for every kind of dictionary: neurons, transcoders, cross-layer transcoders, SAEs.

A dictionary speaks in the frames of its two sites. `extract` folds norms and scales so that the
trace speaks of the residual stream only; a dictionary never sees them.
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.reading import Reading
from circuits.models.base import Model
from circuits.models.sites import Site
from circuits.schema import GateName

ReadSite = Site
"""Where features read: see `circuits.models.sites`. Where a model has no post-norm, `mlp_out` and
`mlp_added` are the same."""

WriteSite = Literal["mlp_out", "mlp_added", "block_out"]
"""Where features write. At `block_out` the features, the error and the decoder bias *are* the stream:
what came from below passes only through them."""


@dataclass(frozen=True)
class Product:
    """What gated neurons multiply: a = act(gate) · value. Their read terms are these two, in this order."""

    gate: Float[Tensor, "n m"]
    value: Float[Tensor, "n m"]
    activation: GateName


@dataclass(frozen=True)
class Encoding:
    """One layer's features on one prompt. n positions, m features.

    Attributes:
        pre_activation: z.
        activation: a = gate(z).
        threshold: on where z > threshold (jumprelu, topk) or |z| > threshold (abstopk); None for
            other gates. A top-k selection is frozen as halfway between the smallest z kept and the
            largest left out, the same for all features at a position (or in a group); negative where
            negative survivors are not clipped.
        gate: how a follows from z.
        product: where the features are gated neurons, the two they are the product of.
    """

    pre_activation: Float[Tensor, "n m"]
    activation: Float[Tensor, "n m"]
    threshold: Float[Tensor, "n m"] | None
    gate: GateName
    product: Product | None = None


@dataclass(frozen=True)
class ReadTerm:
    """One part of what a feature reads: coefficient[p, i] · (rows(i) · x_p) + bias[(p,) i].

    A transcoder has one term with coefficient 1 (None). A gated neuron a = act(g)·u has two, by the
    half rule (RelP): ½·(act(g)/g)·u on its gate row and ½·act(g) on its up row; they sum to a.
    """

    rows: Rows
    bias: Float[Tensor, "m"] | Float[Tensor, "n m"] | None
    coefficient: Float[Tensor, "n m"] | None


@dataclass(frozen=True)
class WriteTerm:
    """What features write, per unit of activation, into `layer` at the write site.

    `coefficient` scales what is written at each position; None is 1.
    """

    layer: int
    rows: Rows
    coefficient: Float[Tensor, "n"] | None = None


class Rows(abc.ABC):
    """A matrix of m rows, one a feature, of which only some are ever fetched."""

    @abc.abstractmethod
    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features, reading no others from disk."""

    @abc.abstractmethod
    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""

    def blocks(self) -> Iterator[Float[Tensor, "_ d"]]:
        """Gives the rows in turn, many at once; of a matrix on disk, few enough to bound the memory."""
        yield self.all()


class AbstractDictionary(abc.ABC):
    """A basis for the MLPs or the residual stream of a model; a layer's sites are those of its block.

    Attributes:
        kind: "neurons", "transcoder", "clt" or "sae".
        spec: what it was loaded from, as `load_dictionary` takes it.
        n_features: features per layer.
        layers: the layers that have features, ascending.
        read_site: where features read.
        write_site: where features write.
        fingerprint: a hash over settings and weights.
        loaded: what was read of its files to open it; its features are read when asked for.
    """

    kind: str
    spec: str
    n_features: int
    layers: tuple[int, ...]
    read_site: ReadSite
    write_site: WriteSite
    fingerprint: str
    loaded: Reading

    def record(self) -> dict[str, Any]:
        """Gives what tells this dictionary from others, as runs and cards record it: JSON-compatible."""
        return {
            "kind": self.kind,
            "spec": self.spec,
            "fingerprint": self.fingerprint,
            "n_features": self.n_features,
            "layers": list(self.layers),
            "read_site": self.read_site,
            "write_site": self.write_site,
        }

    def __repr__(self) -> str:
        size = f"{len(self.layers)} layers of {self.n_features:,} features"
        return f"{type(self).__name__}({self.spec!r}: {self.kind}, {size})"

    @abc.abstractmethod
    def encode(self, layer: int, x: Float[Tensor, "n d"]) -> Encoding:
        """Gives the features of `layer` for inputs x at the read site."""

    @abc.abstractmethod
    def read_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[ReadTerm, ...]:
        """Gives what the features of `layer` read, so that the terms sum to the pre-activations."""

    @abc.abstractmethod
    def write_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[WriteTerm, ...]:
        """Gives what the features of `layer` write, and into which layers."""

    @abc.abstractmethod
    def constant(self, layer: int, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        """Gives what is added to the output of `layer` whichever features are on: the decoder bias."""

    @abc.abstractmethod
    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:
        """Gives the skip matrix A (output += A @ x), or None."""

    @abc.abstractmethod
    def check(self, model: Model) -> None:
        """Raises `Incompatible` if this dictionary does not fit the model."""
