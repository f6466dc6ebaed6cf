"""MLPs that no dictionary replaces, held still: linear at every position, and exact on this prompt.

An SAE describes what passes at one site; the MLPs between sites stay. With act(z)/z held, and a gated
product split in halves (Jafari et al. 2025, RelP), an MLP is linear in its input at each position and
gives exactly its own output there::

    mlp(x_p) = Σ_c write (coefficient[c, p] ⊙ (read[c] x_p)) + constant[p]
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.neurons import Neurons
from circuits.models.base import Model


@dataclass(frozen=True)
class Passing:
    """One held MLP, from its normalised input to its own output. m neurons, n positions."""

    write: Float[Tensor, "d m"]
    read: tuple[Float[Tensor, "m d"], ...]
    coefficient: tuple[Float[Tensor, "n m"], ...]
    constant: Float[Tensor, "n d"]

    def apply(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """Gives the output for inputs x, what is held staying as it is."""
        hidden = sum(
            (c * (x @ rows.T) for c, rows in zip(self.coefficient, self.read, strict=True)),
            start=torch.zeros(()),
        )
        return hidden @ self.write.T + self.constant

    def pull(
        self, rows: Float[Tensor, "f d"], position: Tensor
    ) -> tuple[Float[Tensor, "f d"], Float[Tensor, "f"]]:
        """Gives rows' and offsets with rows · mlp(x_p) = rows' · x_p + offset, p each row's position."""
        onto = rows @ self.write
        pulled = torch.zeros_like(rows)
        for c, read in zip(self.coefficient, self.read, strict=True):
            pulled += (onto * c[position]) @ read
        return pulled, (rows * self.constant[position]).sum(dim=1)


def passing(model: Model, layer: int, x: Float[Tensor, "n d"]) -> Passing:
    """Gives the MLP of a layer held at its inputs x.

    Args:
        model: the model.
        layer: the layer.
        x: what the MLP receives, norm applied.

    Example:
        >>> held = passing(model, 3, x)  # doctest: +SKIP
        >>> torch.allclose(held.apply(x), run_mlp(model.anatomy.layers[3].mlp, x))  # doctest: +SKIP
        True
    """
    neurons, mlp = Neurons(model), model.anatomy.layers[layer].mlp
    ratio = neurons.ratio(layer, x)
    terms = neurons.read_terms(layer, x)
    coefficient = tuple(ratio if t.coefficient is None else ratio * t.coefficient for t in terms)
    still = sum((ratio * t.bias for t in terms if t.bias is not None), start=torch.zeros_like(ratio))
    constant = still @ mlp.down.T
    return Passing(
        write=mlp.down,
        read=tuple(term.rows.all() for term in terms),
        coefficient=coefficient,
        constant=constant if mlp.down_bias is None else constant + mlp.down_bias,
    )
