"""Which targets are computed together: same layer, nearby positions, few array shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

CHUNK_SIZES = (16, 32, 64)
CELLS = 768
"""Targets × positions of a chunk: enough for full matmul speed, little enough to stay in cache."""


@dataclass(frozen=True)
class Chunk:
    """Targets computed in one call.

    Attributes:
        layer: the layer they read at; L for logits.
        members: features of the trace, or targets where `layer` is L.
        positions: the padded number of positions seen, all of the members' among them.
        size: the padded number of targets.
    """

    layer: int
    members: Int[np.ndarray, "k"]
    positions: int
    size: int


def position_bucket(positions: int) -> int:
    """Gives the padded number of positions: steps of 4 to 16, then four steps to each doubling.

    Example:
        >>> [position_bucket(p) for p in (1, 12, 17, 70)]
        [4, 12, 20, 80]
    """
    step = 4
    while positions > 4 * step:
        step *= 2
    return -(-positions // step) * step


def largest_chunk(positions: int) -> int:
    """Gives how many targets fit a chunk that sees `positions`."""
    fitting = [size for size in CHUNK_SIZES if size * positions <= max(CELLS, 16 * positions)]
    return fitting[-1]


def plan(
    layer: Int[np.ndarray, "k"], position: Int[np.ndarray, "k"], members: Int[np.ndarray, "k"]
) -> list[Chunk]:
    """Gives chunks that cover all members, ordered by number of positions.

    Args:
        layer: where each member reads.
        position: where each member reads.
        members: their numbers.
    """
    chunks = []
    for at in np.unique(layer):
        here = np.flatnonzero(layer == at)
        here = here[np.argsort(position[here], kind="stable")]
        # from the last position down, so that the widest chunks are the full ones
        while len(here):
            seen = position_bucket(int(position[here[-1]]) + 1)
            taken = here[-largest_chunk(seen) :]
            here = here[: len(here) - len(taken)]
            size = next(s for s in CHUNK_SIZES if s >= len(taken))
            chunks.append(Chunk(int(at), members[taken], seen, size))
    return sorted(chunks, key=lambda chunk: (chunk.positions, chunk.size, -chunk.layer))
