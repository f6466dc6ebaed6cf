"""Matrices of one row a feature: in memory, or on disk and read row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.nn.functional import linear

from circuits.dictionaries.base import Rows
from circuits.dictionaries.reading import column_bytes, count
from circuits.errors import InvalidFile

BLOCK_BYTES: Final = 2**22
"""Of a matrix on disk, about so much is held at once while all of it is gone through."""


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

    def blocks(self) -> Iterator[Float[Tensor, "_ d"]]:
        """Gives the rows in turn, many at once."""
        return map(_centred, self.rows.blocks())


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

    def blocks(self) -> Iterator[Float[Tensor, "_ d"]]:
        """Gives the rows in turn, many at once."""
        at = 0
        for block in self.rows.blocks():
            yield block * self.scale[at : at + len(block), None]
            at += len(block)


def safetensors_part(path: Path, key: str, where: Any) -> Tensor:
    """Gives a part of one tensor of a safetensors file, mapped until the part is let go.

    Raises:
        InvalidFile: the file can no longer be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            part: Tensor = file.get_slice(key)[where]
            return part
    except (OSError, SafetensorError) as cause:
        raise InvalidFile(f"{path} could not be read: {cause}.") from cause


@dataclass(frozen=True)
class StretchedRows(Rows):
    """Rows whose components are times one number each: what is read or written in other units."""

    rows: Rows
    stretch: Float[Tensor, "d"]

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features."""
        return self.rows.take(ids) * self.stretch

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""
        return self.rows.all() * self.stretch

    def blocks(self) -> Iterator[Float[Tensor, "_ d"]]:
        """Gives the rows in turn, many at once."""
        return (block * self.stretch for block in self.rows.blocks())


@dataclass(frozen=True)
class FileRows(Rows):
    """Rows of one matrix of a file, read when asked for and not kept.

    Attributes:
        path: the file.
        key: the matrix in it.
        shape: (m, d).
        dtype: what the rows are converted to, whatever the file holds.
        device: where they are put.
        transposed: the file holds the matrix as d × m, a column a feature.
        target: of a decoder of three dimensions, m × targets × d, which of the second.
        part: of several matrices in one tensor, of three dimensions, which of the first.
        fetch: gives a part of a tensor of the file, by path, key and index; safetensors unless given.
    """

    path: Path
    key: str
    shape: tuple[int, int]
    dtype: torch.dtype
    device: torch.device
    transposed: bool = False
    target: int | None = None
    part: int | None = None
    fetch: Callable[[Path, str, Any], Tensor] = safetensors_part

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

    def blocks(self) -> Iterator[Float[Tensor, "_ d"]]:
        """Gives the rows in turn, about 4 MB at once.

        Raises:
            InvalidFile: as for `take`.
        """
        return (self._read(some) for some in slices(self.shape, self.dtype))

    def _read(self, index: Tensor | slice) -> Tensor:
        if not self.transposed:
            return self._stored(index if self.target is None else (index, self.target))
        if isinstance(index, slice):
            return self._stored((slice(None), index)).T
        # the pages of a few columns are those of all: some rows at a time, so that few stay in memory
        parts = [self._stored((some, index)) for some in slices(self.shape[::-1], self.dtype)]
        return torch.cat(parts).T

    def _stored(self, where: Any) -> Tensor:
        """Gives a part of the matrix as the file has it, rows and columns."""
        if self.part is None:
            part = self.fetch(self.path, self.key, where)
        else:
            within = where if isinstance(where, tuple) else (where,)
            part = self.fetch(self.path, self.key, (slice(self.part, self.part + 1), *within))[0]
        n_bytes = part.nbytes
        if self.transposed and isinstance(where[1], Tensor):
            n_bytes = column_bytes(where[1], (len(part), self.shape[0]), part.dtype.itemsize)
        count(self.path, n_bytes)
        return finite(part.to(self.device, self.dtype), self.path, self.key)


def slices(shape: tuple[int, int], dtype: torch.dtype) -> Iterator[slice]:
    """Gives the rows of a matrix as slices of about 4 MB each."""
    step = max(1, BLOCK_BYTES // (shape[1] * dtype.itemsize))
    return (slice(at, min(at + step, shape[0])) for at in range(0, shape[0], step))


def products(x: Float[Tensor, "n d"], rows: Rows, bias: Float[Tensor, "m"]) -> Float[Tensor, "n m"]:
    """Gives x · rowsᵀ + bias, going through the rows block by block."""
    found, at = None, 0
    for block in rows.blocks():
        if len(block) == len(bias):
            return linear(x, block, bias)
        # one array for all: parts kept one by one would keep apart the memory freed between them
        found = x.new_empty(len(x), len(bias)) if found is None else found
        found[:, at : at + len(block)] = linear(x, block, bias[at : at + len(block)])
        at += len(block)
    return x.new_empty(len(x), 0) if found is None else found


def row_norms(rows: Rows) -> Float[Tensor, "m"]:
    """Gives the Euclidean norm of every row, going through them block by block."""
    return torch.cat([block.norm(dim=1) for block in rows.blocks()])


def _centred(rows: Tensor) -> Tensor:
    return rows - rows.mean(dim=1, keepdim=True)


def finite(tensor: Tensor, path: Path, key: str) -> Tensor:
    """Gives the tensor back if all its numbers are finite.

    Raises:
        InvalidFile: some are not.
    """
    if torch.isfinite(tensor.sum()):  # which NaN and infinity would not leave finite
        return tensor
    bad = int((~torch.isfinite(tensor)).sum())
    if bad:
        raise InvalidFile(
            f"{key} in {path} holds {bad} numbers that are NaN or infinite: make the file again."
        )
    return tensor
