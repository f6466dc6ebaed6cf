"""Where a run stands: weights, optimiser, scalings and the step, as one file, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from circuits.errors import Incompatible, InvalidFile
from circuits.files import atomic
from circuits.training.settings import differences

NAME = "checkpoint.safetensors"
VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
        step: steps done.
        run: settings, model and tokens, as JSON holds them; a checkpoint of another run is refused.
        tensors: everything else, by name.
        threads: torch's, on which the last bit of sums depends.
    """

    step: int
    run: Mapping[str, Any]
    tensors: Mapping[str, Tensor]
    threads: int = 1

    def save(self, directory: Path) -> None:
        """Writes the checkpoint of a run.

        Raises:
            WriteFailed: the file system refused; the one before stays.
        """
        header = {"version": VERSION, "step": self.step, "run": self.run, "threads": self.threads}
        with atomic(directory / NAME, overwrite=True) as temporary:
            try:
                tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
                save_file(tensors, temporary, metadata={"circuits": json.dumps(header)})
            except SafetensorError as cause:
                raise OSError(str(cause)) from cause

    @classmethod
    def load(cls, directory: Path, run: Mapping[str, Any]) -> Checkpoint | None:
        """Gives the checkpoint of a run, or None if there is none yet.

        Args:
            directory: of the run.
            run: what the checkpoint must be of.

        Raises:
            InvalidFile: it is truncated, or no checkpoint.
            Incompatible: it is of another run.
        """
        file = directory / NAME
        if not file.exists():
            return None
        try:
            with safe_open(file, framework="pt") as content:
                header = json.loads((content.metadata() or {}).get("circuits", "null"))
                tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, json.JSONDecodeError) as cause:
            raise InvalidFile(f"{file} is no whole checkpoint: {cause}. Remove it to begin again.") from cause
        if not isinstance(header, dict) or header.get("version") != VERSION:
            raise InvalidFile(f"{file} is no checkpoint of this version: remove it to begin again.")
        ours, theirs = json.loads(json.dumps(run)), header["run"]
        if ours != theirs:
            apart = differences(*({**run.pop("settings", {}), **run} for run in (ours, theirs)))
            raise Incompatible(
                f"{file} is of another run ({'; '.join(apart)}): choose another"
                " directory, or pass --overwrite to begin again."
            )
        return cls(int(header["step"]), theirs, tensors, int(header["threads"]))


def discard(directory: Path) -> None:
    """Removes the checkpoint of a run, and its directory if nothing else is in it."""
    for place in (directory / NAME, *directory.glob(f".{NAME}.*")):  # the latter are left by a kill
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        directory.rmdir()
