"""A *basis*: the units among which the best is sought, as activations at every scored token."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix


@dataclass(frozen=True)
class Basis:
    """Units and their activations at all t scored tokens.

    Attributes:
        name: what the report calls it.
        values: activations, tokens × units; float16 where dense.
        signed: every unit stands for two: itself, and itself negated.
    """

    name: str
    values: csr_matrix | Float[np.ndarray, "t m"]
    signed: bool = False

    @property
    def size(self) -> int:
        """Gives the number of candidates."""
        return int(self.values.shape[1]) * (2 if self.signed else 1)

    @cached_property
    def by_unit(self) -> Any:
        """Gives the activations of a sparse basis, column after column."""
        return csr_matrix(self.values).tocsc()

    def at(self, rows: Int[np.ndarray, "n"]) -> csr_matrix:
        """Gives the activations at some tokens, of the units as they are."""
        return csr_matrix(self.values[rows], dtype=np.float32)

    def column(self, unit: int, rows: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """Gives one candidate's activations at some tokens."""
        m = int(self.values.shape[1])
        if isinstance(self.values, np.ndarray):
            whole = self.values[:, unit % m]
        else:
            whole = self.by_unit[:, [unit]].toarray()[:, 0]
        found: np.ndarray = whole[rows].astype(np.float32) * (1 if unit < m else -1)
        return found
