"""Matrices of one row a feature: in memory, or on disk and read row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuits.dictionaries.base import Rows
from circuits.errors import InvalidFile


@dataclass(frozen=True)
class DenseRows(Rows):
    """Rows held in memory."""

    matrix: Float[Tensor, "m d"]

    @property
    def shape(self) -> tuple[int, int]:
        """Gives (m, d)."""
        return int(self.matrix.shape[0]), int(self.matrix.shape[1])

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features."""
        return self.matrix[torch.as_tensor(ids, dtype=torch.long)]

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""
        return self.matrix


@dataclass(frozen=True)
class CentredRows(Rows):
    """Rows minus their own means: what reads r - mean(r) reads of r."""

    rows: Rows

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features."""
        return _centred(self.rows.take(ids))

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""
        return _centred(self.rows.all())


@dataclass(frozen=True)
class ScaledRows(Rows):
    """Rows times one number each."""

    rows: Rows
    scale: Float[Tensor, "m"]

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features."""
        return self.rows.take(ids) * self.scale[torch.as_tensor(ids, dtype=torch.long)][:, None]

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""
        return self.rows.all() * self.scale[:, None]


@dataclass(frozen=True)
class FileRows(Rows):
    """Rows of one matrix of a safetensors file, read when asked for and not kept.

    Attributes:
        path: the file.
        key: the matrix in it.
        shape: (m, d).
        dtype: what the rows are converted to, whatever the file holds.
        device: where they are put.
        transposed: the file holds the matrix as d × m, a column a feature.
        target: of a decoder of three dimensions, m × targets × d, which of the second.
    """

    path: Path
    key: str
    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    transposed: bool = False
    target: int | None = None

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features; no other pages of the file are touched.

        Raises:
            InvalidFile: the file can no longer be read, or a row holds NaN or infinity.
        """
        index = torch.as_tensor(ids, dtype=torch.long).cpu()
        if not len(index):
            return torch.empty(0, self.shape[1], dtype=self.dtype, device=self.device)
        return self._read(index)

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix.

        Raises:
            InvalidFile: as for `take`.
        """
        return self._read(slice(None))

    def _read(self, index: Tensor | slice) -> Tensor:
        try:
            with safe_open(self.path, framework="pt") as file:
                stored = file.get_slice(self.key)
                if self.target is not None:
                    rows = stored[index, self.target]
                else:
                    rows = stored[:, index] if self.transposed else stored[index]
        except (OSError, SafetensorError) as cause:
            raise InvalidFile(f"{self.path} could not be read: {cause}.") from cause
        rows = rows.T if self.transposed else rows
        return finite(rows.to(self.device, self.dtype), self.path, self.key)


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def finite(tensor: Tensor, path: Path, key: str) -> Tensor:
    """Gives the tensor back if all its numbers are finite.

    Raises:
        InvalidFile: some are not.
    """
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InvalidFile(
            f"{key} in {path} holds {bad} numbers that are NaN or infinite: make the file again."
        )
    return tensor
