"""``.pt`` files: states of modules as torch saved them, opened without ever running what they hold.

Only tensors, numbers, texts and tables of these are taken (``torch.load(weights_only=True)``). A file of
torch 1.6 or later is mapped, so that only the pages of the rows asked for are read.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import pickletools
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import torch
from torch import Tensor

from circuits.dictionaries.formats.tensor_files import Shapes, sample
from circuits.dictionaries.reading import count
from circuits.dictionaries.rows import FileRows, finite
from circuits.errors import InvalidFile

State = Mapping[str, Any]
"""What a file holds: tensors, and a few settings beside them."""

_TYPES: Final = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}
_OLD_FILES_PICKLES: Final = 4  # magic number, protocol, system, content


def names_in(path: Path) -> frozenset[str]:
    """Gives the texts in a ``.pt`` file, its keys among them, without running it; none in other files."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                inside = [name for name in archive.namelist() if name.endswith("/data.pkl")]
                if not inside:
                    return frozenset()
                with archive.open(inside[0]) as stream:
                    return frozenset(_texts(stream))
        with path.open("rb") as file:
            if file.read(1) != pickle.PROTO:
                return frozenset()
            file.seek(0)
            return frozenset(text for _ in range(_OLD_FILES_PICKLES) for text in _texts(file))
    except (OSError, ValueError, zipfile.BadZipFile):
        return frozenset()


def state_of(path: Path) -> State:
    """Gives what a ``.pt`` file holds, on the CPU; of a mapped file no weights are read yet.

    Raises:
        InvalidFile: it is truncated, holds code, or is no table.
    """
    try:
        mapped = zipfile.is_zipfile(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as cause:
        code = re.search(r"GLOBAL (\S+)", str(cause))
        if code is None:
            raise InvalidFile(f"{path} is no whole file of tensors: get it again.") from cause
        raise InvalidFile(
            f"{path} holds pickled code ({code[1]}), which is never run: ask for a file of tensors alone."
        ) from cause
    except (OSError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as cause:
        raise InvalidFile(f"{path} is no whole file of tensors: get it again.") from cause
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise InvalidFile(
            f"{path} holds a {type(state).__name__}, where a table of named tensors is expected."
        )
    if not mapped:
        count(path, path.stat().st_size)
    return state


def shapes_in(state: State) -> Shapes:
    """Gives shape and type of every tensor of a state."""
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    return {
        key: (tuple(part.shape), _TYPES.get(part.dtype, str(part.dtype))) for key, part in tensors.items()
    }


def small_of(path: Path, state: State, keys: Sequence[str], like: Tensor) -> dict[str, Tensor]:
    """Gives the named tensors in the type and place of `like`, no longer mapped.

    Raises:
        InvalidFile: one holds NaN or infinity.
    """
    count(path, sum(state[key].nbytes for key in keys))
    return {key: finite(state[key].clone().to(like), path, key) for key in keys}


def rows_of(path: Path, state: State, key: str, like: Tensor, *, columns: bool = False) -> FileRows:
    """Gives a matrix of a state as rows, one a feature, read when asked for.

    Args:
        path: the file.
        state: what it holds.
        key: the matrix in it, m × d.
        like: its type and place are those of the rows.
        columns: the matrix is d × m instead.
    """
    stored: Tensor = state[key]
    m, d = stored.shape[::-1] if columns else stored.shape
    # torch keeps the order in which a matrix lay in memory: a transposed one's rows are columns on disk
    transposed = columns == stored.is_contiguous()
    return FileRows(path, key, (m, d), like.dtype, like.device, transposed=transposed, fetch=_part)


def _part(path: Path, key: str, where: Any) -> Tensor:
    """Gives a part of one tensor of a file, as it lies there."""
    stored = state_of(path)[key]
    part: Tensor = (stored if stored.is_contiguous() else stored.T)[where]
    return part


def fingerprint_of(settings: Mapping[str, Any], path: Path, state: State) -> str:
    """Gives a hash over settings, shapes, vectors and rows of each matrix, as for safetensors files."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(repr(sorted(shapes_in(state).items())).encode())
    for key in sorted(shapes_in(state)):
        part = state[key]
        if part.ndim > 1:
            lying = part if part.is_contiguous() else part.T
            part = sample(lying, tuple(lying.shape))
        count(path, part.nbytes)
        digest.update(part.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _texts(stream: BinaryIO | Any) -> Iterator[str]:
    """Gives the texts of one pickle, operation by operation: none is carried out."""
    for _, value, _ in pickletools.genops(stream):
        if isinstance(value, str):
            yield value
