"""What a buffer of activations says of itself: of which model and tokens, at which places, in which type."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from circuits.errors import Incompatible, InvalidFile
from circuits.files import atomic
from circuits.models.base import Model
from circuits.models.sites import Place
from circuits.training.activations import FIRST
from circuits.training.tokens import Sequences

NAME: Final = "manifest.json"
VERSION: Final = 1
SHARD_BYTES: Final = 2**27

Kept = Literal["float32", "float16"]
TYPES: Final[dict[str, torch.dtype]] = {"float32": torch.float32, "float16": torch.float16}


@dataclass(frozen=True)
class Manifest:
    """What a buffer holds, or is to hold.

    Attributes:
        model: the model's fingerprint.
        tokens: a hash over the sequences.
        places: layers and sites.
        kept: the type of the numbers.
        sequences: how many.
        positions: of each sequence.
        width: d.
        per_shard: sequences in a shard; the last one has the rest.
        complete: every shard has been written.
    """

    model: str
    tokens: str
    places: tuple[Place, ...]
    kept: Kept
    sequences: int
    positions: int
    width: int
    per_shard: int
    complete: bool = False

    @classmethod
    def of(cls, model: Model, sequences: Sequences, places: Sequence[Place], kept: Kept) -> Manifest:
        """Gives the manifest of a buffer that is to be made."""
        count, length = sequences.ids.shape
        tokens = fingerprint_of(sequences)
        where = tuple(dict.fromkeys(places))
        one = cls(model.fingerprint, tokens, where, kept, count, length - FIRST, model.width, per_shard=1)
        return replace(one, per_shard=max(1, min(count, SHARD_BYTES // one.size(1))))

    @classmethod
    def load(cls, path: Path) -> Manifest | None:
        """Gives the manifest of the buffer in a directory, None where there is nothing.

        Raises:
            InvalidFile: what is there is no buffer.
        """
        file = path / NAME
        if not file.exists():
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise InvalidFile(
                    f"{path} is no buffer of activations: choose a directory that is empty or new."
                )
            return None
        try:
            found = json.loads(file.read_text())
        except (OSError, ValueError) as cause:
            raise InvalidFile(f"{file} could not be read ({cause}): remove {path} to begin again.") from cause
        known = {"version", *(field.name for field in fields(cls))}
        if not isinstance(found, dict) or found.keys() != known or found.pop("version") != VERSION:
            raise InvalidFile(
                f"{file} is no manifest of activations of this version: choose another directory."
            )
        return cls(**{**found, "places": tuple((layer, site) for layer, site in found["places"])})

    def save(self, path: Path) -> None:
        """Writes the manifest into the buffer's directory.

        Raises:
            WriteFailed: the file system refused.
        """
        with atomic(path / NAME, overwrite=True) as temporary:
            temporary.write_text(json.dumps({"version": VERSION, **asdict(self)}, indent=2) + "\n")

    @property
    def shards(self) -> int:
        """Gives the number of shards."""
        return -(-self.sequences // self.per_shard)

    def size(self, shards: int | None = None) -> int:
        """Gives the bytes of some shards, or of all."""
        count = self.sequences if shards is None else min(self.sequences, shards * self.per_shard)
        number = torch.empty(0, dtype=TYPES[self.kept]).element_size()
        return count * self.positions * self.width * len(self.places) * number

    def mark(self, number: int) -> str:
        """Gives what a shard says of itself: which one it is, of which buffer."""
        what: dict[str, Any] = {key: value for key, value in asdict(self).items() if key != "complete"}
        return hashlib.sha256(json.dumps([what, number], sort_keys=True).encode()).hexdigest()[:16]

    def check(self, wanted: Manifest, path: Path) -> None:
        """Raises `Incompatible` unless this buffer, in `path`, holds what is wanted."""
        words = {"model": "model", "tokens": "text", "kept": "type"}
        other = [word for key, word in words.items() if getattr(self, key) != getattr(wanted, key)]
        lacking = [
            f"{site} of layer {layer}" for layer, site in wanted.places if (layer, site) not in self.places
        ]
        if other or lacking:
            what = f"is of another {' and another '.join(other)}" if other else f"lacks {lacking[0]}"
            raise Incompatible(
                f"The buffer {path} {what}: choose another directory for the buffer, or remove that one."
            )


def fingerprint_of(sequences: Sequences) -> str:
    """Gives a hash over the tokens."""
    return hashlib.sha256(np.ascontiguousarray(sequences.ids).tobytes()).hexdigest()[:16]
