"""Tensor parallelism over features: every process holds a share of each coder's features.

With W ranks and m features each rank holds m/W rows of encoder and decoder and their optimiser's state; all
ranks see the same tokens. A step then needs three exchanges a layer, none of which grows with m::

    top-k     each rank's k largest pre-activations a token → the k largest of all (n·k·W numbers)
    output    the ranks' partial sums of decoder rows, added up (n·d numbers)
    report    a few counts

The gradient at the output is then the same everywhere, and each rank takes the rest of the step alone.
Biases of the output and skips are held by all, who change them alike. Checkpoints and the finished
dictionary are gathered by the first rank and are those of one process, so that `circuits` started by
`torchrun` needs nothing else::

    torchrun --nproc-per-node 2 -m circuits train MODEL --text corpus.txt -o dictionaries/mine
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from circuits.errors import CircuitsError, UsageError
from circuits.training.kernels import Sparse, only
from circuits.training.settings import Training

if TYPE_CHECKING:
    from circuits.training.coder import Weights

SHARED_OUT: Final = ("encoder", "encoder_bias", "decoder", "idle")
"""What each rank holds some rows of."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this is.

    Attributes:
        rank: of this process, from 0.
        world: how many there are.
    """

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Tells whether this process reports and writes."""
        return self.rank == 0

    @property
    def alone(self) -> bool:
        """Tells whether there are no others."""
        return self.world == 1

    def total(self, part: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Gives the sum of all ranks' parts, in place: bit for bit the same everywhere."""
        if not self.alone:
            with _exchange(self):
                dist.all_reduce(part)
        return part

    def counted(self, *counts: float) -> list[float]:
        """Gives the sums of some numbers over all ranks."""
        if self.alone:
            return list(counts)
        return [float(count) for count in self.total(_told(counts, torch.float64))]

    def agreed(self, decision: bool) -> bool:
        """Gives the first rank's decision: clocks differ."""
        if self.alone:
            return decision
        told = _told([decision], torch.uint8)
        with _exchange(self):
            dist.broadcast(told, 0)
        return bool(told)

    def check_same(self, step: int, directory: Path | None) -> None:
        """Raises `UsageError` unless all ranks found the same checkpoint."""
        if self.counted(step)[0] != step * self.world:
            raise UsageError(
                f"Rank {self.rank} of {self.world} stands at step {step}, others do not: let all see the"
                f" same directory {directory}."
            )

    def largest(self, active: Sparse, k: int) -> Sparse:
        """Gives those of this rank's entries that are among the k largest of all ranks' at their token.

        Args:
            active: this rank's, equally many a token and at most k.
            k: features a token in all.
        """
        if self.alone:
            return active
        n = len(active.offset)
        own = active.value.view(n, -1)
        padded = torch.nn.functional.pad(own, (0, k - own.shape[1]))
        everyones = [torch.empty_like(padded) for _ in range(self.world)]
        with _exchange(self):
            dist.all_gather(everyones, padded)
        best = torch.cat(everyones, dim=1).topk(k, dim=1).indices
        chosen = torch.zeros(n, k * self.world, dtype=torch.bool, device=own.device)
        chosen.scatter_(1, best, value=True)
        mine = chosen[:, self.rank * k :][:, : own.shape[1]]
        return only(active, mine.reshape(-1) & (active.value > 0))

    def share(self, whole: Shaped[Tensor, "m ..."]) -> Shaped[Tensor, "s ..."]:
        """Gives this rank's rows."""
        return whole if self.alone else torch.chunk(whole, self.world)[self.rank].clone()

    def gathered(self, own: Shaped[Tensor, "s ..."]) -> Shaped[Tensor, "m ..."]:
        """Gives all ranks' rows to the first; the others get their own back."""
        if self.alone:
            return own
        parts = [torch.empty_like(own) for _ in range(self.world)] if self.first else None
        with _exchange(self):
            dist.gather(own.contiguous(), parts, 0)
        return own if parts is None else torch.cat(parts)

    def shared(self, whole: Weights) -> Weights:
        """Gives this rank's part of a coder."""
        parts: dict[str, Any] = {name: self.share(getattr(whole, name)) for name in SHARED_OUT}
        return replace(whole, **parts)

    def whole(self, own: Weights) -> Weights:
        """Gives the whole coder to the first rank. All must ask."""
        parts: dict[str, Any] = {name: self.gathered(getattr(own, name)) for name in SHARED_OUT}
        return replace(own, **parts)

    def gathered_all(self, tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
        """Gives tensors as one process would hold them, to the first rank. All must ask.

        Args:
            tensors: this rank's.
            names: which parameter each is, or is the optimiser's state of; others are held by all.
        """
        return {
            key: self.gathered(tensor) if tensor.dim() and names.get(key) in SHARED_OUT else tensor
            for key, tensor in tensors.items()
        }


@contextlib.contextmanager
def _exchange(ranks: Ranks) -> Iterator[None]:
    """Gives a stretch in which messages are passed.

    Raises:
        CircuitsError: another rank is gone.
    """
    try:
        yield
    except RuntimeError as cause:
        raise CircuitsError(
            f"Rank {ranks.rank} of {ranks.world} lost another: start all of them again, and they go on from"
            " their last checkpoint."
        ) from cause


def _told(numbers: Sequence[float], dtype: torch.dtype) -> Tensor:
    """Gives numbers where the ranks' messages are passed: NCCL passes them between GPUs only."""
    return torch.tensor(numbers, dtype=dtype, device="cuda" if dist.get_backend() == "nccl" else "cpu")


ALONE: Final = Ranks()


def join() -> Ranks:
    """Gives the processes `torchrun` started, this one joined to them; one alone if there was none.

    GPUs talk through NCCL, others through gloo.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return ALONE
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(dist.destroy_process_group)  # its threads must end before the interpreter does
    return Ranks(dist.get_rank(), dist.get_world_size())


def check_ranks(settings: Training, ranks: Ranks) -> None:
    """Raises `UsageError` where a run cannot be shared out."""
    if ranks.alone:
        return
    if settings.activation != "topk" or settings.routed is not None or settings.growth:
        raise UsageError(
            f"{ranks.world} ranks share topk only, neither routed nor growing: leave these out,"
            " or train in one process."
        )
    if settings.features % ranks.world or settings.features // ranks.world <= settings.k:
        raise UsageError(
            f"{settings.features} features cannot be shared by {ranks.world} ranks: give a number that"
            f" {ranks.world} divides and that leaves each more than k = {settings.k}."
        )
