"""What layouts of safetensors files share: shapes without weights, their check, and fingerprints."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from circuits.dictionaries.reading import count
from circuits.dictionaries.rows import finite
from circuits.errors import InvalidFile

Shapes = Mapping[str, tuple[tuple[int, ...], str]]
"""Shape and type of every tensor of a file."""

_FLOATS: Final = {"F64", "F32", "F16", "BF16"}
_SAMPLED_ROWS: Final = 64
_PIECE: Final = 4096


def words(text: str) -> frozenset[str]:
    """Gives the words of a text: how long lists of settings are written down."""
    return frozenset(text.split())


def shapes_of(file: Path) -> Shapes:
    """Gives shape and type of every tensor of a safetensors file; reads no weights.

    Raises:
        InvalidFile: it is truncated or no such file.
    """
    try:
        with safe_open(file, framework="pt") as content:
            slices = {key: content.get_slice(key) for key in content.keys()}  # noqa: SIM118 - no mapping
            return {key: (tuple(part.get_shape()), part.get_dtype()) for key, part in slices.items()}
    except (OSError, SafetensorError) as cause:
        raise InvalidFile(f"{file} is no whole safetensors file: {cause}.") from cause


def check_tensors(
    file: Path, found: Shapes, expected: Mapping[str, tuple[int, ...]], optional: Sequence[str] = ()
) -> None:
    """Raises `InvalidFile` unless a file holds the expected tensors, as floats, and no others.

    Args:
        file: for the message.
        found: what it holds.
        expected: the shape of every tensor it may hold.
        optional: those of them it may lack.
    """
    missing = sorted(expected.keys() - found.keys() - set(optional))
    if missing:
        raise InvalidFile(f"{file} lacks {', '.join(missing)}.")
    unknown = sorted(found.keys() - expected.keys())
    if unknown:
        raise InvalidFile(f"{file} holds {', '.join(unknown)}, which this layout does not know.")
    wrong = [
        f"{key} {kind}{list(shape)} where {list(expected[key])} floats fit"
        for key, (shape, kind) in found.items()
        if shape != expected[key] or kind not in _FLOATS
    ]
    if wrong:
        raise InvalidFile(f"{file} has tensors that do not agree: {', '.join(wrong)}.")


def read_small(
    file: Path, keys: Sequence[str], like: Tensor, *, may_lack: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Gives the named tensors in the type and place of `like`.

    Args:
        file: the safetensors file.
        keys: of the tensors.
        like: of the type and place wanted.
        may_lack: those of them where NaN or infinity stands for a number that was never set.

    Raises:
        InvalidFile: one holds NaN or infinity, or the file cannot be read.
    """
    try:
        with safe_open(file, framework="pt") as content:
            stored = {key: content.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as cause:
        raise InvalidFile(f"{file} could not be read: {cause}.") from cause
    count(file, sum(part.nbytes for part in stored.values()))
    read = {key: part.to(like) for key, part in stored.items()}
    return {key: part if key in may_lack else finite(part, file, key) for key, part in read.items()}


def read_json(file: Path) -> dict[str, Any]:
    """Gives the settings of a JSON file.

    Raises:
        InvalidFile: it cannot be read or is no table.
    """
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as cause:
        raise InvalidFile(f"{file} could not be read: {' '.join(str(cause).split())}.") from cause
    if not isinstance(config, dict):
        raise InvalidFile(f"{file} is no table of settings.")
    return config


def files_with(path: Path, wanted: Callable[[Set[str]], bool]) -> list[Path]:
    """Gives the safetensors files of a path whose tensors' names are those of a layout.

    Args:
        path: a file, or a directory; where none lies in it, its directory `checkpoints` is looked into.
        wanted: tells whether the names are those.
    """
    if not path.is_dir():
        return [path] if path.suffix == ".safetensors" and wanted(shapes_of(path).keys()) else []
    for folder in (path, path / "checkpoints"):
        found = [file for file in sorted(folder.glob("*.safetensors")) if wanted(shapes_of(file).keys())]
        if found:
            return found
    return []


def only_one(path: Path, files: Sequence[Path]) -> Path:
    """Gives the file of a path, if there is one alone.

    Raises:
        InvalidFile: there are several.
    """
    if len(files) != 1:
        listed = ", ".join(file.name for file in files[:3]) + " and more" * (len(files) > 3)
        raise InvalidFile(f"{path} holds {len(files)} checkpoints ({listed}): give the path of one.")
    return files[0]


def settings_beside(weights: Path, known: frozenset[str]) -> tuple[Path, dict[str, Any]] | None:
    """Gives the settings that belong to a file of weights, and their file; or None.

    Args:
        weights: the file; settings lie beside it or one directory up.
        known: keys that they must have.
    """
    for folder in (weights.parent, weights.parent.parent):
        for file in sorted(folder.glob("*.json")):
            try:
                config = json.loads(file.read_text())
            except (OSError, ValueError):
                continue
            if isinstance(config, dict) and known <= config.keys():
                return file, config
    return None


def refuse_unknown(file: Path, config: Mapping[str, Any], known: frozenset[str]) -> None:
    """Raises `InvalidFile` if settings are neither handled nor known to change nothing."""
    unknown = sorted(key for key in config if key not in known)
    if unknown:
        raise InvalidFile(
            f"{file} has settings that are neither handled nor known to be harmless: {', '.join(unknown)}."
        )


def fingerprint(settings: Mapping[str, Any], files: Sequence[Path]) -> str:
    """Gives a hash over settings, shapes, vectors and 64 evenly spaced rows of each matrix.

    Sampling keeps opening a dictionary of many gigabytes instant.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for file in files:
        shapes = sorted(shapes_of(file).items())
        digest.update(repr(shapes).encode())
        with safe_open(file, framework="pt") as content:
            for key, (shape, _) in shapes:
                part = content.get_tensor(key) if len(shape) < 2 else sample(content.get_slice(key), shape)
                count(file, part.nbytes)
                digest.update(part.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def sample(stored: Any, shape: tuple[int, ...]) -> Tensor:
    """Gives up to 64 evenly spaced rows of a matrix, or of each of several in one tensor.

    Of rows of more than 4,096 numbers (a column a feature) a piece of that length, further along from row
    to row: whole ones would be much of the file.
    """
    axis = int(len(shape) > 2 and shape[1] > shape[0])
    rows = torch.linspace(0, shape[axis] - 1, min(shape[axis], _SAMPLED_ROWS)).long()
    if len(shape) == 2 and shape[1] > _PIECE:
        starts = torch.linspace(0, shape[1] - _PIECE, len(rows)).long()
        places = zip(rows.tolist(), starts.tolist(), strict=True)
        return torch.cat([stored[row : row + 1, start : start + _PIECE] for row, start in places])
    part: Tensor = stored[:, rows] if axis else stored[rows]
    return part
