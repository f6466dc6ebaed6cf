"""The trivial dictionary: an MLP's own neurons. Needs no training; with all of them kept, no error."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import linear

from circuits.dictionaries.base import (
    AbstractDictionary,
    Encoding,
    Product,
    ReadSite,
    ReadTerm,
    WriteSite,
    WriteTerm,
)
from circuits.dictionaries.reading import Reading
from circuits.dictionaries.rows import DenseRows
from circuits.errors import Incompatible
from circuits.models.base import MlpParts, Model


class Neurons(AbstractDictionary):
    """The neurons of every MLP of a model.

    A plain neuron is a feature with a smooth gate: z = up·x + b, a = act(z). A gated neuron
    a = act(g)·u (SwiGLU, GeGLU) is a linear feature: act(g)/g is held, and the product is split in
    halves (half rule; Jafari et al. 2025, RelP), so that it reads ½(act(g)/g)u from its gate row
    and ½act(g) from its up row, and what it reads sums to a exactly.
    """

    def __init__(self, model: Model) -> None:
        self._mlps = tuple(layer.mlp for layer in model.anatomy.layers)
        self.kind = "neurons"
        self.spec = "neurons"
        self.n_features = int(self._mlps[0].up.shape[0])
        self.layers = tuple(range(len(self._mlps)))
        self.read_site: ReadSite = "mlp_in"
        self.write_site: WriteSite = "mlp_out"
        self.fingerprint = f"neurons:{model.fingerprint}"
        self.loaded = Reading()

    def encode(self, layer: int, x: Float[Tensor, "n d"]) -> Encoding:
        """Gives every neuron of `layer` for MLP inputs x."""
        mlp = self._mlps[layer]
        value = linear(x, mlp.up, mlp.up_bias)
        if mlp.gate is None:
            activation = value * _slope(mlp, value)
            return Encoding(value, activation, None, mlp.activation)
        gate = linear(x, mlp.gate, mlp.gate_bias)
        product = gate * _slope(mlp, gate) * value
        return Encoding(product, product, None, "linear", Product(gate, value, mlp.activation))

    def read_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[ReadTerm, ...]:
        """Gives the up rows, or the gate and up rows with their halves."""
        mlp = self._mlps[layer]
        if mlp.gate is None:
            return (ReadTerm(DenseRows(mlp.up), mlp.up_bias, None),)
        gate = linear(x, mlp.gate, mlp.gate_bias)
        slope = _slope(mlp, gate)
        value = linear(x, mlp.up, mlp.up_bias)
        return (
            _half(mlp.gate, mlp.gate_bias, slope * value / 2),
            _half(mlp.up, mlp.up_bias, slope * gate / 2),
        )

    def ratio(self, layer: int, x: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Gives activation / pre-activation of every neuron: act(z)/z, or 1 where neurons are gated."""
        mlp = self._mlps[layer]
        value = linear(x, mlp.up, mlp.up_bias)
        return _slope(mlp, value) if mlp.gate is None else torch.ones_like(value)

    def write_terms(self, layer: int, x: Float[Tensor, "n d"]) -> tuple[WriteTerm, ...]:  # noqa: ARG002
        """Gives the columns of the down matrix, written into the neurons' own layer."""
        return (WriteTerm(layer, DenseRows(self._mlps[layer].down.T)),)

    def constant(self, layer: int, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"] | None:
        """Gives the down bias, if there is one."""
        bias = self._mlps[layer].down_bias
        return None if bias is None else bias.expand(len(x), -1)

    def skip(self, layer: int) -> Float[Tensor, "d d"] | None:  # noqa: ARG002
        """Gives None: neurons have no skip connection."""
        return None

    def check(self, model: Model) -> None:
        """Raises `Incompatible` for any model but the one the neurons are of."""
        if self.fingerprint != f"neurons:{model.fingerprint}":
            raise Incompatible(f"These neurons are not {model.name}'s: load the dictionary with that model.")


def _half(
    rows: Float[Tensor, "m d"], bias: Float[Tensor, "m"] | None, times: Float[Tensor, "n m"]
) -> ReadTerm:
    """Gives one half of the product: times · (rows · x + bias)."""
    return ReadTerm(DenseRows(rows), None if bias is None else bias * times, times)


def _slope(mlp: MlpParts, z: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
    """Gives act(z)/z in closed form, so that z = 0 gives the limit act'(0) (relu: 0)."""
    match mlp.activation:
        case "silu":
            return torch.sigmoid(z)
        case "gelu":
            return cast("Tensor", torch.special.ndtr(z))
        case "gelu_tanh":
            return (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3))) / 2
        case "relu":
            return (z > 0).to(z.dtype)
