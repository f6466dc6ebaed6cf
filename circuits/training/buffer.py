"""Activations on disk: computed once, a shard at a time, and read from there in any order.

A buffer is a directory::

    manifest.json              see `circuits.training.manifest`
    shard_00000.safetensors    "3.mlp_in" [sequences, positions, d], one tensor a place; and so on

Sequences keep their order and all their positions but the first (`FIRST`), so which batch comes at which
step is decided where it is read (`Activations`), as for activations made on the fly. A shard is written
whole or not at all; a buffer that is not complete yet is gone on with.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from circuits.errors import InvalidFile, WriteFailed
from circuits.files import atomic
from circuits.models.base import Model
from circuits.models.sites import Place
from circuits.training.activations import AT_ONCE, activations_of
from circuits.training.manifest import TYPES, Kept, Manifest
from circuits.training.tokens import Sequences

Progress = Callable[[str, int, int], None]
"""Told of a phase, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Buffer:
    """A complete buffer.

    Attributes:
        path: its directory.
        manifest: what it holds.
        sequences: the tokens its activations are of.
    """

    path: Path
    manifest: Manifest
    sequences: Sequences

    @property
    def kept(self) -> str:
        """Gives the type of the numbers on disk."""
        return self.manifest.kept

    def take(
        self, rows: Int[np.ndarray, "b"], places: Sequence[Place]
    ) -> dict[Place, Float[Tensor, "b n d"]]:
        """Gives what passes at some places for some sequences, in float32; reads no others from disk.

        Raises:
            InvalidFile: a shard is missing, truncated, or of another buffer.
        """
        each = self.manifest.per_shard
        shape = (len(rows), self.manifest.positions, self.manifest.width)
        out = {place: torch.empty(shape) for place in places}
        for number in np.unique(rows // each):
            with _Shard(self.path, self.manifest, int(number)) as shard:
                for at in np.flatnonzero(rows // each == number):
                    for place in places:
                        out[place][at] = shard.read(place, int(rows[at] - number * each))
        return out


def fill(
    path: Path,
    model: Model,
    sequences: Sequences,
    places: Sequence[Place],
    kept: Kept = "float32",
    progress: Progress | None = None,
) -> Buffer:
    """Gives the buffer in a directory, computing the shards that are not there yet.

    Args:
        path: the directory; a buffer there must be of this model and these tokens, and hold these places.
        model: the model.
        sequences: the tokens.
        places: layers and sites.
        kept: the type of the numbers on disk.
        progress: told before every shard.

    Raises:
        Incompatible: the buffer there is of another model, of other tokens or another type, or lacks places.
        InvalidFile: what is there is no buffer, or a shard is missing, truncated or another's; or the
            model gives NaN or infinity, or more than `kept` holds.
        WriteFailed: the disk has not the room, or the file system refused.
    """
    wanted, found = Manifest.of(model, sequences, places, kept), Manifest.load(path)
    if found is not None:
        found.check(wanted, path)
    manifest = found or wanted
    missing = [number for number in range(manifest.shards) if not shard_file(path, number).exists()]
    for number in set(range(manifest.shards)) - set(missing):
        with _Shard(path, manifest, number):
            pass  # it is whole, and of this buffer
    if manifest.complete and missing:
        raise InvalidFile(f"{shard_file(path, missing[0])} is missing: remove {path} to compute it again.")
    if missing:
        _check_room(path, manifest, len(missing))
        manifest.save(path)
    for done, number in enumerate(missing, manifest.shards - len(missing)):
        if progress is not None:
            progress("Storing activations", done, manifest.shards)
        _write(path, manifest, number, _passing(model, sequences, manifest, number))
    if not manifest.complete:
        manifest = replace(manifest, complete=True)
        manifest.save(path)
    return Buffer(path, manifest, sequences)


def shard_file(path: Path, number: int) -> Path:
    """Gives where a shard of a buffer stands."""
    return path / f"shard_{number:05}.safetensors"


def _check_room(path: Path, manifest: Manifest, shards: int) -> None:
    needed = manifest.size(shards)
    there = next(place for place in (path, *path.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise WriteFailed(
            f"{manifest.sequences:,} sequences at {len(manifest.places)} places take {needed / 1e9:,.2f} GB"
            f" in {path}, where {free / 1e9:,.2f} GB are free: give less text, fewer layers, half precision"
            " or another disk."
        )


def _passing(model: Model, sequences: Sequences, manifest: Manifest, number: int) -> dict[str, Tensor]:
    """Gives what one shard holds."""
    first = number * manifest.per_shard
    rows = np.arange(first, min(first + manifest.per_shard, manifest.sequences))
    dtype = TYPES[manifest.kept]
    parts: dict[str, list[Tensor]] = {}
    for start in range(0, len(rows), AT_ONCE):
        seen = activations_of(model, sequences, rows[start : start + AT_ONCE], manifest.places)
        for (layer, site), values in seen.items():
            kept = values.to(dtype).cpu()
            if not torch.isfinite(kept).all():
                raise InvalidFile(f"{site} of layer {layer} gives more than {dtype} holds: keep float32.")
            parts.setdefault(f"{layer}.{site}", []).append(kept)
    return {key: torch.cat(found) for key, found in parts.items()}


def _write(path: Path, manifest: Manifest, number: int, tensors: dict[str, Tensor]) -> None:
    with atomic(shard_file(path, number), overwrite=True) as temporary:
        try:
            save_file(tensors, temporary, metadata={"circuits_buffer": manifest.mark(number)})
        except SafetensorError as cause:
            raise OSError(str(cause)) from cause


class _Shard:
    """One shard, open for reading."""

    def __init__(self, path: Path, manifest: Manifest, number: int) -> None:
        self._file = shard_file(path, number)
        self._again = f"remove {path} to compute it again."
        try:
            self._open = cast("Any", safe_open(self._file, framework="pt"))
        except FileNotFoundError as cause:
            raise InvalidFile(f"{self._file} is missing: {self._again}") from cause
        except (OSError, SafetensorError) as cause:
            raise InvalidFile(f"{self._file} is no whole shard ({cause}): {self._again}") from cause
        if (self._open.metadata() or {}).get("circuits_buffer") != manifest.mark(number):
            raise InvalidFile(f"{self._file} is a shard of another buffer: {self._again}")

    def __enter__(self) -> _Shard:
        self._open.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self._open.__exit__(*raised)

    def read(self, place: Place, row: int) -> Float[Tensor, "n d"]:
        """Gives one sequence's activations."""
        layer, site = place
        try:
            found: Tensor = self._open.get_slice(f"{layer}.{site}")[row]
        except (OSError, SafetensorError) as cause:
            raise InvalidFile(f"{self._file} could not be read ({cause}): {self._again}") from cause
        return found.float()
