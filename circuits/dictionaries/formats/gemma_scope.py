"""Gemma Scope (Lieberum et al. 2024): JumpReLU SAEs and transcoders of Gemma 2, one NumPy archive each.

``params.npz`` holds nothing but arrays::

    W_enc [d, m]   W_dec [m, d]   b_enc [m]   b_dec [d]   threshold [m]

    z = W_enc.T x + b_enc     a = z where z > threshold, and z > 0     out = W_dec.T a + b_dec

b_dec is not subtracted from the input. Where the coder sits is said by the names of its repository and
directories alone, so the user says it here: `PATH?layer=20&site=block_out` for an SAE of the stream,
`site=mlp_added` for one of an MLP's output, `reads=mlp_in_no_gain&writes=mlp_added` for a transcoder.

Arrays that the archive does not compress (Gemma Scope's) are mapped, so that only the pages of the rows
asked for are read.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from circuits.dictionaries.activations import JumpReLU
from circuits.dictionaries.base import Rows
from circuits.dictionaries.coders import CoderLayer, Coders, CoderSettings
from circuits.dictionaries.formats.sites import hinted_place, hook_name
from circuits.dictionaries.hints import Hints
from circuits.dictionaries.reading import column_bytes, count
from circuits.dictionaries.rows import finite, slices
from circuits.errors import InvalidFile
from circuits.models.base import Model

NAME: Final = "Gemma Scope (a .npz archive with W_enc, W_dec, b_enc, b_dec and threshold)"

_KEYS: Final = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")
_LOCAL_HEADER: Final = 30
_SAMPLED_ROWS: Final = 64


@dataclass(frozen=True)
class ArchiveRows(Rows):
    """Rows of one matrix of a NumPy archive, read when asked for and not kept.

    Attributes:
        path: the archive.
        key: the array in it.
        dtype: what the rows are converted to.
        device: where they are put.
        transposed: the archive holds a column a feature.
    """

    path: Path
    key: str
    dtype: torch.dtype
    device: torch.device
    transposed: bool = False

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features.

        Raises:
            InvalidFile: the archive can no longer be read, or a row holds NaN or infinity.
        """
        return self._read(torch.as_tensor(ids, dtype=torch.long).cpu().numpy())

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
        rows, columns = _array(self.path, self.key).shape
        shape = (columns, rows) if self.transposed else (rows, columns)
        return (self._read(some) for some in slices(shape, self.dtype))

    def _read(self, index: Any) -> Tensor:
        stored = _array(self.path, self.key)
        rows = np.array((stored.T if self.transposed else stored)[index])
        n_bytes = rows.nbytes
        if not isinstance(stored, np.memmap):
            n_bytes = stored.nbytes  # compressed: all is read for any
        elif self.transposed and not isinstance(index, slice):
            n_bytes = column_bytes(torch.from_numpy(index), stored.shape, stored.itemsize)
        count(self.path, n_bytes)
        return finite(torch.from_numpy(rows).to(self.device, self.dtype), self.path, self.key)


def recognises(path: Path) -> bool:
    """Tells whether a file is in this layout: an archive whose first array has one of the names."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(_LOCAL_HEADER + 64)
    return head[:4] == b"PK\x03\x04" and any(
        head[_LOCAL_HEADER:].startswith(f"{key}.npy".encode()) for key in _KEYS
    )


def load(path: Path, model: Model, hints: Hints) -> Coders:
    """Gives the coder of an archive; encoder and decoder stay on disk.

    Raises:
        InvalidFile: a truncated archive, pickled objects, missing or unknown arrays, wrong shapes, NaN.
        UsageError: hints that do not say where it sits.
    """
    _check(path)
    place, transcoder = hinted_place(hints, path)
    like = model.anatomy.embedding

    def vector(key: str) -> Tensor:
        stored = np.array(_array(path, key))
        count(path, stored.nbytes)
        return finite(torch.from_numpy(stored).to(like), path, key)

    layer = CoderLayer(
        layer=place.layer,
        encoder=ArchiveRows(path, "W_enc", like.dtype, like.device, transposed=True),
        encoder_bias=vector("b_enc"),
        decoders=((place.layer, ArchiveRows(path, "W_dec", like.dtype, like.device)),),
        decoder_bias=vector("b_dec"),
        activation=JumpReLU(vector("threshold").clamp(min=0)),
    )
    settings = CoderSettings(
        kind="transcoder" if transcoder else "sae",
        read_site=place.reads,
        write_site=place.writes,
        fingerprint=_fingerprint(path),
        spec=str(path),
    )
    return Coders([layer], settings)


def describe(path: Path, hints: Hints) -> dict[str, Any]:
    """Gives what an archive holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile, UsageError: as `load`, but for numbers that are not finite.
    """
    m, d = _check(path)
    place, transcoder = hinted_place(hints, path)
    return {
        "kind": "transcoder" if transcoder else "sae",
        "layout": NAME,
        "layers": 1,
        "features": m,
        "width": d,
        "activation": "jumprelu",
        "skip": False,
        "reads": hook_name(place.layer, place.reads),
        "writes": hook_name(place.layer, place.writes),
        "bytes": path.stat().st_size,
        "fingerprint": _fingerprint(path),
    }


def _check(path: Path) -> tuple[int, int]:
    """Gives (m, d) if the archive holds what it must, as floats, and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
    except (OSError, zipfile.BadZipFile) as cause:
        raise InvalidFile(f"{path} is no whole .npz archive: {cause}.") from cause
    if names != set(_KEYS):
        raise InvalidFile(
            f"{path} holds {', '.join(sorted(names))}, but {', '.join(_KEYS)} and nothing else are expected."
        )
    arrays = {key: _array(path, key) for key in _KEYS}
    m, d = arrays["b_enc"].size, arrays["b_dec"].size
    expected = {"W_enc": (d, m), "W_dec": (m, d), "b_enc": (m,), "b_dec": (d,), "threshold": (m,)}
    wrong = [
        f"{key} {array.dtype}{list(array.shape)} where {list(expected[key])} floats fit"
        for key, array in arrays.items()
        if array.shape != expected[key] or array.dtype.kind != "f"
    ]
    if wrong:
        raise InvalidFile(f"{path} has arrays that do not agree: {', '.join(wrong)}.")
    return m, d


def _array(path: Path, key: str) -> NDArray[Any]:
    """Gives an array of the archive, mapped where it is not compressed. Nothing is unpickled."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2
            shape, fortran, dtype = header(member)
            start = member.tell()
            info = archive.getinfo(f"{key}.npy")
        if dtype.hasobject:
            raise InvalidFile(f"{key} in {path} holds pickled objects, which are never opened.")
        if info.compress_type != zipfile.ZIP_STORED:
            with np.load(path, allow_pickle=False) as loaded:
                return np.asarray(loaded[key])
        with path.open("rb") as file:
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
        name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
        offset = info.header_offset + _LOCAL_HEADER + name + extra + start
        mapped = np.memmap(
            path, dtype=dtype, mode="r", offset=offset, shape=shape[::-1] if fortran else shape
        )
        return mapped.T if fortran else mapped
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as cause:
        raise InvalidFile(f"{key} in {path} could not be read: {cause}.") from cause


def _header_2(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_2_0(member)


def _fingerprint(path: Path) -> str:
    """Gives a hash over shapes, vectors and 64 evenly spaced rows of each matrix."""
    digest = hashlib.sha256()
    for key in _KEYS:
        array = _array(path, key)
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        rows = np.linspace(0, len(array) - 1, min(len(array), _SAMPLED_ROWS)).astype(int)
        part = np.ascontiguousarray(array if array.ndim == 1 else array[rows])
        count(path, part.nbytes)
        digest.update(part.tobytes())
    return digest.hexdigest()[:16]
