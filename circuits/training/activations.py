"""Activations to train on: from the model as they are needed, shuffled, and the same for the same step.

Sequences are taken in an order drawn anew for every pass over them, a buffer of them at a time. A buffer's
tokens are shuffled before they are cut into batches, so a batch holds tokens of many sequences. Which
batch comes at which step depends on the settings only: a run that stopped goes on exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import InvalidFile, UsageError
from circuits.models.base import Model
from circuits.models.sites import Place, capture
from circuits.training.tokens import Sequences

FIRST = 1
"""Tokens left out at the start of every sequence: the first is an attention sink like no other token."""

BUFFER_BYTES = 2**29
_AT_ONCE = 32  # sequences run through the model together

Batch = dict[Place, Float[Tensor, "b d"]]


@dataclass
class Activations:
    """Batches of what passes at some places, by step.

    Attributes:
        model: the model.
        sequences: the tokens.
        places: layers and sites.
        batch: tokens a step.
        seed: of the order.

    Raises:
        UsageError: there are fewer tokens than one batch.
    """

    model: Model
    sequences: Sequences
    places: Sequence[Place]
    batch: int
    seed: int
    _held: tuple[int, Batch] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if len(self.sequences) * self._each < self.batch:
            raise UsageError(
                f"{self.sequences.source} has {len(self.sequences) * self._each:,} usable tokens, less than"
                f" one batch of {self.batch:,}: give more text or a smaller batch."
            )

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
        for start in range(0, len(chosen), _AT_ONCE):
            ids = self.sequences.take(chosen[start : start + _AT_ONCE]).to(
                self.model.anatomy.embedding.device
            )
            for place, values in capture(self.model, ids, self.places).items():
                parts[place].append(values[:, FIRST:].flatten(0, 1).float())
        dice = torch.Generator().manual_seed(self.seed * 1_000_003 + number)
        order = torch.randperm(needed * self._each, generator=dice)
        buffer = {place: torch.cat(found)[order] for place, found in parts.items()}
        for (layer, site), values in buffer.items():
            if not torch.isfinite(values).all():
                raise InvalidFile(f"{self.model.name} gives NaN or infinity at {site} of layer {layer}.")
        return buffer

    def _order(self, first: int, count: int) -> np.ndarray:
        """Gives the sequences from the `first` on, every pass over all of them in an order of its own."""
        size = len(self.sequences)
        passes = range(first // size, (first + count - 1) // size + 1)
        orders = [np.random.default_rng((self.seed, number)).permutation(size) for number in passes]
        start = first - passes[0] * size
        chosen: np.ndarray = np.concatenate(orders)[start : start + count]
        return chosen
