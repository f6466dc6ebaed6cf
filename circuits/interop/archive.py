"""What torch.save wrote, read without PyTorch and without running anything.

Such a file is a zip archive: `NAME/data.pkl`, a pickle, and `NAME/data/0`, `NAME/data/1` …, the numbers of
its tensors, uncompressed. A pickle is a program that may call any function by name. Here it can call none:
each name must be in the short list below and stands for an inert record, a tensor's description, or a plain
container; any other is refused and told. Sizes are held against the file's own before anything is read.
"""

from __future__ import annotations

import io
import math
import pickle  # see Reader.find_class: no name leads to a function of Python's
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from circuits.errors import InvalidFile

PROGRAM: Final = 64_000_000
"""Bytes of a pickle, at most; those of graphs have a few thousand."""

STORAGES: Final = {
    "torch.DoubleStorage": "<f8",
    "torch.FloatStorage": "<f4",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
"""The types of numbers."""

INERT: Final = (
    *("circuit_tracer.", "transformer_lens.", "numpy.dtype", "numpy.core.multiarray.scalar"),
    *("numpy._core.multiarray.scalar", "_codecs.encode", "torch.device"),
)
"""Names, or what they begin with, that stand for a record of what they were given: settings of a model."""


class Record:
    """Something that was pickled by reference to its class: what it was given, and its state."""

    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Record:
        """Gives the record; pickles make objects without `__init__`."""
        made = super().__new__(cls)
        made.args, made.state = args, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def get(self, name: str) -> Any:
        """Gives an attribute of its state; None where it has none."""
        return self.state.get(name) if isinstance(self.state, Mapping) else None


class Stored:
    """A tensor's numbers, still in the archive."""

    def __init__(self, key: str, kind: str, count: int) -> None:
        self.key, self.kind, self.count = key, kind, count


class Tensor:
    """A tensor's description: which numbers, in which shape."""

    def __init__(self, stored: Any, offset: Any, size: Any, stride: Any, *_: Any) -> None:
        self.stored, self.offset, self.size, self.stride = stored, offset, size, stride

    def __setstate__(self, state: Any) -> None:
        """Takes no state."""


class Archive:
    """An open file; a context manager. See the module.

    Args:
        path: of the file.

    Raises:
        InvalidFile: it is no such archive, is truncated, or its sizes do not fit.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError) as cause:
            raise InvalidFile(f"{path} is a truncated or damaged archive ({cause}).") from cause
        self._members = {info.filename: info for info in self._zip.infolist()}
        self._check_sizes()
        programs = [name for name in self._members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(programs) != 1:
            self.close()
            raise InvalidFile(f"{path} is a zip archive, but none that PyTorch wrote: it holds no data.pkl.")
        self._root = programs[0].removesuffix("data.pkl")

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file."""
        self._zip.close()

    def contents(self) -> Any:
        """Gives what was saved: containers, numbers, texts, `Record` and `Tensor`.

        Raises:
            InvalidFile: it wants to call something, is too large, or is damaged.
        """
        if f"{self._root}byteorder" in self._members and self._bytes("byteorder") != b"little":
            raise InvalidFile(f"{self.path} was written on a big-endian machine, which is not read.")
        if self._members[f"{self._root}data.pkl"].file_size > PROGRAM:
            raise InvalidFile(f"{self.path}: data.pkl has more than {PROGRAM:,} bytes: no graph needs them.")
        reader = _Reader(io.BytesIO(self._bytes("data.pkl")), encoding="utf-8")
        try:
            return reader.load()
        except _RefusedError as cause:
            raise InvalidFile(
                f"{self.path} is refused: it wants to call {cause}, and nothing in a file is ever called."
            ) from cause
        except Exception as cause:  # a damaged pickle can fail in any way
            raise InvalidFile(
                f"{self.path}: data.pkl is damaged ({type(cause).__name__}: {cause})."
            ) from cause

    def array(self, tensor: Any, name: str) -> np.ndarray:
        """Gives a tensor's numbers.

        Args:
            tensor: of `contents`.
            name: what it is, for errors.

        Raises:
            InvalidFile: it is none, or names numbers that are not there.
        """
        if not isinstance(tensor, Tensor) or not isinstance(tensor.stored, Stored):
            raise InvalidFile(f"{self.path}: {name} is no tensor.")
        stored, shape, stride = tensor.stored, tensor.size, tensor.stride
        whole = (tensor.offset, stored.count, *shape, *stride) if _tuples(shape, stride) else (-1,)
        if not all(isinstance(one, int) and one >= 0 for one in whole) or len(shape) != len(stride):
            raise InvalidFile(f"{self.path}: {name} has no shape that makes sense.")
        last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        count = math.prod(shape)
        if count > stored.count or (count and last >= stored.count):
            raise InvalidFile(f"{self.path}: {name} reaches beyond its {stored.count:,} numbers.")
        numbers = _numbers(self._bytes(f"data/{stored.key}"), stored.kind)
        if len(numbers) != stored.count:
            raise InvalidFile(
                f"{self.path}: {name} should have {stored.count:,} numbers, the file has {len(numbers):,}."
            )
        if not count:
            return np.zeros(shape, numbers.dtype)
        steps = [step * numbers.itemsize for step in stride]
        return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], shape, steps, writeable=False)

    def _bytes(self, name: str) -> bytes:
        try:
            return self._zip.read(f"{self._root}{name}")
        except (KeyError, zipfile.BadZipFile, OSError, RuntimeError, EOFError) as cause:
            raise InvalidFile(
                f"{self.path} is truncated or damaged: {name} cannot be read ({cause})."
            ) from cause

    def _check_sizes(self) -> None:
        """Refuses archives that unpack to more than they are: PyTorch never compresses."""
        size = self.path.stat().st_size
        packed = [name for name, info in self._members.items() if info.compress_type != zipfile.ZIP_STORED]
        total = sum(info.file_size for info in self._members.values())
        if packed or total > size:
            self.close()
            what = (
                f"{packed[0]} is compressed"
                if packed
                else f"its parts have {total:,} bytes, the file {size:,}"
            )
            raise InvalidFile(f"{self.path} is refused: {what}, which is nothing that PyTorch writes.")


class _RefusedError(Exception):
    """A name that is not in the list."""


class _Reader(pickle.Unpickler):
    """Reads a pickle whose names stand for records, made anew each time: it can change nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        full = f"{module}.{name}"
        if full == "torch._utils._rebuild_tensor_v2":
            return type("Tensor", (Tensor,), {})
        if full in STORAGES:
            return _Named(full)
        if full in ("collections.OrderedDict", "builtins.dict"):
            return dict
        if full == "torch.Size":
            return tuple
        if module == "torch" and name in _DTYPES:
            return name
        if full.startswith(INERT):
            return type("Record", (Record,), {})
        raise _RefusedError(full)

    def persistent_load(self, pid: Any) -> Stored:
        what, kind, key, _, count = pid
        if what != "storage" or not isinstance(kind, _Named):
            raise _RefusedError(str(what))
        return Stored(str(key), STORAGES[kind.name], count)


class _Named:
    """A type of numbers, by its name."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


_DTYPES: Final = (
    "float64",
    "float32",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
)


def _numbers(data: bytes, kind: str) -> np.ndarray:
    """Gives raw bytes as numbers; bfloat16, which NumPy lacks, as float32."""
    if kind == "bfloat16":
        halves = np.frombuffer(data, "<u2", count=len(data) // 2)
        return (halves.astype(np.uint32) << 16).view(np.float32)
    width = np.dtype(kind).itemsize
    return np.frombuffer(data, kind, count=len(data) // width)


def _tuples(*values: Any) -> bool:
    return all(isinstance(value, tuple) for value in values)
