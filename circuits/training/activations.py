"""Activations to train on, from the model or from disk, shuffled, and the same for the same step.

Sequences are taken in an order drawn anew for every pass over them, a buffer of them at a time. A buffer's
tokens are shuffled before they are cut into batches, so a batch holds tokens of many sequences. Which
batch comes at which step depends on the settings only: a run that stopped goes on exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.errors import Incompatible, InvalidFile
from circuits.models.base import Model
from circuits.models.sites import Place, capture
from circuits.training.tokens import Sequences

FIRST = 1
"""Tokens left out at the start of every sequence: the first is an attention sink like no other token."""

AT_ONCE = 32
"""Sequences run through the model together."""

BUFFER_BYTES = 2**29
Batch = dict[Place, Float[Tensor, "b d"]]


@runtime_checkable
class Stored(Protocol):
    """Activations that were computed before: `circuits.training.buffer.Buffer`."""

    @property
    def path(self) -> Path:
        """Gives where they are."""
        ...

    @property
    def sequences(self) -> Sequences:
        """Gives the tokens they are of."""
        ...

    @property
    def kept(self) -> str:
        """Gives the type of the numbers."""
        ...

    def take(self, rows: Int[np.ndarray, "b"], places: Sequence[Place]) -> Mapping[Place, Tensor]:
        """Gives what passes at some places for some sequences, their first tokens left out: b × n × d."""
        ...


@dataclass
class Activations:
    """Batches of what passes at some places, by step.

    Attributes:
        model: the model.
        sequences: the tokens.
        places: layers and sites.
        batch: tokens a step.
        seed: of the order.
        stored: a buffer on disk that holds these sequences' activations, or None to run the model. The
            order of tokens is the same.

    Raises:
        InvalidFile: there are fewer tokens than one batch.
        Incompatible: the buffer on disk is of other tokens.
    """

    model: Model
    sequences: Sequences
    places: Sequence[Place]
    batch: int
    seed: int
    stored: Stored | None = None
    _held: tuple[int, Batch] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.sequences) * self._each < self.batch:
            raise InvalidFile(
                f"{self.sequences.source} has {len(self.sequences) * self._each:,} usable tokens, less than"
                f" one batch of {self.batch:,}: give more text or a smaller batch."
            )
        if self.stored is not None:
            theirs = self.stored.sequences.ids[: len(self.sequences)]
            if not np.array_equal(theirs, self.sequences.ids):
                raise Incompatible(f"{self.stored.path} does not begin with {self.sequences.source}.")

    @property
    def _each(self) -> int:
        """Gives the usable tokens of a sequence."""
        return int(self.sequences.ids.shape[1]) - FIRST

    @property
    def batches_per_buffer(self) -> int:
        """Gives how many batches one buffer holds."""
        row = len(set(self.places)) * self.model.width * 4
        most = min(BUFFER_BYTES // row, len(self.sequences) * self._each)
        return max(1, most // self.batch)

    def at(self, step: int) -> Batch:
        """Gives the batch of a step.

        Raises:
            InvalidFile: the model gives NaN or infinity.
        """
        number, place = divmod(step, self.batches_per_buffer)
        if self._held is None or self._held[0] != number:
            self._held = None  # let go of the old one before the new one is made
            self._held = (number, self._buffer(number))
        rows = slice(place * self.batch, (place + 1) * self.batch)
        return {where: values[rows] for where, values in self._held[1].items()}

    def _buffer(self, number: int) -> Batch:
        """Gives one buffer of shuffled tokens."""
        needed = -(-self.batches_per_buffer * self.batch // self._each)
        chosen = self._order(number * needed, needed)
        parts: dict[Place, list[Tensor]] = {place: [] for place in self.places}
        for start in range(0, len(chosen), AT_ONCE):
            for place, values in self._of(chosen[start : start + AT_ONCE]).items():
                parts[place].append(values.flatten(0, 1))
        dice = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(needed * self._each, generator=dice)
        return {place: torch.cat(found)[order] for place, found in parts.items()}

    def _of(self, rows: Int[np.ndarray, "b"]) -> Mapping[Place, Tensor]:
        """Gives what passes for some sequences, from the model or from disk."""
        if self.stored is not None:
            return self.stored.take(rows, self.places)
        return activations_of(self.model, self.sequences, rows, self.places)

    def _order(self, first: int, count: int) -> np.ndarray:
        """Gives the sequences from the `first` on, every pass over all of them in an order of its own."""
        size = len(self.sequences)
        passes = range(first // size, (first + count - 1) // size + 1)
        orders = [np.random.default_rng((self.seed, number)).permutation(size) for number in passes]
        start = first - passes[0] * size
        chosen: np.ndarray = np.concatenate(orders)[start : start + count]
        return chosen


def activations_of(
    model: Model, sequences: Sequences, rows: Int[np.ndarray, "b"], places: Sequence[Place]
) -> dict[Place, Float[Tensor, "b n d"]]:
    """Gives what passes at some places for some sequences, their first tokens left out, in float32.

    Raises:
        InvalidFile: it is NaN or infinite.
    """
    ids = sequences.take(rows).to(model.anatomy.embedding.device)
    seen = {place: values[:, FIRST:].float() for place, values in capture(model, ids, places).items()}
    for (layer, site), values in seen.items():
        if not torch.isfinite(values).all():
            raise InvalidFile(f"{model.name} gives NaN or infinity at {site} of layer {layer}.")
    return seen
