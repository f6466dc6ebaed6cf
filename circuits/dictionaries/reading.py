"""What is read of a dictionary's files: every reader of rows counts here what it fetches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

PAGE: Final = 4096
"""Bytes a system reads of a file at once: a number alone in its page costs the page."""


@dataclass
class Reading:
    """Bytes read, as stored, of each file of weights.

    Headers and settings are not counted. Where a file holds a column a feature, the numbers of a few
    features lie far apart, and the pages that hold them are counted.
    """

    files: dict[Path, int] = field(default_factory=dict)

    @property
    def bytes_read(self) -> int:
        """Gives the bytes read of all files."""
        return sum(self.files.values())

    @property
    def bytes_on_disk(self) -> int:
        """Gives the size of all files of which something was read."""
        return sum(file.stat().st_size for file in self.files if file.exists())

    def __add__(self, other: Reading) -> Reading:
        """Gives both together."""
        files = {*self.files, *other.files}
        return Reading({file: self.files.get(file, 0) + other.files.get(file, 0) for file in files})


_UNDER_WAY: ContextVar[tuple[Reading, ...]] = ContextVar("_UNDER_WAY", default=())


@contextmanager
def reading() -> Iterator[Reading]:
    """Gives a count of what is read inside; one inside another counts for both.

    Example:
        >>> with reading() as read:
        ...     count(Path("weights"), 10)
        >>> read.bytes_read
        10
    """
    read = Reading()
    token = _UNDER_WAY.set((*_UNDER_WAY.get(), read))
    try:
        yield read
    finally:
        _UNDER_WAY.reset(token)


def count(file: Path, n_bytes: int) -> None:
    """Adds bytes read of a file to every count under way."""
    for read in _UNDER_WAY.get():
        read.files[file] = read.files.get(file, 0) + n_bytes


def column_bytes(index: Tensor, shape: tuple[int, int], itemsize: int) -> int:
    """Gives the bytes of the pages that hold some columns of a matrix, at most all of them.

    Args:
        index: the columns.
        shape: rows and columns of the matrix as stored.
        itemsize: bytes of one number.
    """
    rows, columns = shape
    if columns * itemsize < PAGE:
        return rows * columns * itemsize
    return min(rows * columns * itemsize, rows * len(torch.unique(index * itemsize // PAGE)) * PAGE)
