"""Features that write the same: the share whose decoder points where another one's does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.training.reconstruct import decoders

COSINES_AT_ONCE = 2**24
"""Held at a time, of the m² there are."""


@torch.no_grad()
def nearest(rows: Float[Tensor, "m d"], told: Callable[[int], None] | None = None) -> Float[Tensor, "m"]:
    """Gives for each row the largest cosine with any other; 0 for rows of zeros; -1 for a single row.

    Half of the m²·d products are taken, a block of rows at a time; never is an m × m matrix held.

    Args:
        rows: one a feature.
        told: of the rows done.
    """
    norm = rows.norm(dim=1, keepdim=True)
    unit = rows / torch.where(norm > 0, norm, 1)
    best = torch.full((len(rows),), -1.0, dtype=rows.dtype, device=rows.device)
    block = max(1, COSINES_AT_ONCE // len(rows))
    for start in range(0, len(rows), block):
        if told is not None:
            told(start)
        part = slice(start, min(start + block, len(rows)))
        cosine = unit[part] @ unit[start:].T
        cosine.fill_diagonal_(-1)  # of each with itself: the block begins at its own rows
        best[part] = torch.maximum(best[part], cosine.amax(1))
        best[start:] = torch.maximum(best[start:], cosine.amax(0))
    return best


def duplicates(
    dictionary: AbstractDictionary,
    layer: int,
    thresholds: tuple[float, ...] = (0.9, 0.95),
    told: Callable[[int], None] | None = None,
) -> dict[float, float]:
    """Gives the share of a layer's features whose decoder has a cosine above each threshold with another's.

    A cross-layer feature's decoder is all that it writes, into all layers, as one vector. The decoders of
    one layer are held in memory.

    Args:
        dictionary: of any kind.
        layer: one of its layers.
        thresholds: cosines.
        told: of the features done.
    """
    rows = torch.cat([rows.all() for rows in decoders(dictionary, layer).values()], dim=1)
    largest = nearest(rows, told)
    return {threshold: float((largest > threshold).double().mean()) for threshold in thresholds}
