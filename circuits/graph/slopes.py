"""How much a gate passes on of a small change, at the pre-activation it has on the prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float
from scipy.special import erf, expit

from circuits.graph.graph import Graph

Values = Float[np.ndarray, "k"]


def slopes(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives dφ/dz of every node at its recorded pre-activation; 1 for what is no feature.

    A feature that is off, with a gate that has a kink, passes on nothing.
    """
    kind = graph.nodes["gate"].cast(pl.String).fill_null("linear").to_numpy()
    on = graph.nodes["activation"].fill_null(0.0).to_numpy() != 0
    found = np.where((kind == "linear") | on, 1.0, 0.0)
    z = graph.nodes["pre_activation"].fill_null(0.0).to_numpy()
    for name, slope in _BENT.items():
        rows = np.flatnonzero(kind == name)
        found[rows] = slope(z[rows])
    return found


def _gelu(z: Values) -> Values:
    return np.asarray((1 + erf(z / np.sqrt(2))) / 2 + z * np.exp(-z * z / 2) / np.sqrt(2 * np.pi))


def _gelu_tanh(z: Values) -> Values:
    scale = np.sqrt(2 / np.pi)
    bent = np.tanh(scale * (z + 0.044715 * z**3))
    return np.asarray((1 + bent) / 2 + z / 2 * (1 - bent**2) * scale * (1 + 3 * 0.044715 * z**2))


def _silu(z: Values) -> Values:
    return np.asarray(expit(z) * (1 + z * (1 - expit(z))))


_BENT: Final[Mapping[str, Callable[[Values], Values]]] = {
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "silu": _silu,
    "tanh": lambda z: 1 - np.tanh(z) ** 2,
}
"""Gates without a kink; the others pass on all where they are on."""
