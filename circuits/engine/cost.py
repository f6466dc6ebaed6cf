"""What rows cost, counted rather than measured: floating-point operations of a chunk."""

from __future__ import annotations

from circuits.engine.operator import UNROLLED_POSITIONS, Layers
from circuits.engine.plan import Chunk


def chunk_flops(chunk: Chunk, layers: Layers, *, parallel: bool = False) -> int:
    """Gives the floating-point operations of one chunk, padding included, a multiply-add as two.

    Every layer below the targets' own costs, for T targets and m positions,
    T · (2·m·d·(HR + KR) + 2·pairs·HR + 2·B·S·d), where pairs is m(m + 1)/2 while the pattern is applied
    pair by pair and m² beyond; plus 2·m·d² where there is a skip. Features also enter through the
    attention of their own layer, at one position only.

    Args:
        chunk: gives layer, T and m.
        layers: the operator's arrays cut to m positions.
        parallel: attention stands beside the MLP.
    """
    count, blocks, size, width = layers.blocks.shape
    m, targets = chunk.positions, chunk.size
    out = value = pairs = 0
    if layers.output is not None and layers.value is not None:
        out, value = layers.output.shape[2], layers.value.shape[1]
        pairs = m * (m + 1) // 2 if m <= UNROLLED_POSITIONS else m * m
    skip = 2 * m * width * width if layers.skip is not None else 0
    one_layer = 2 * m * width * (out + value) + 2 * pairs * out + 2 * blocks * size * width + skip
    enters = chunk.layer < count and not parallel
    entry = 2 * width * out + 2 * m * out + 2 * m * width * value if enters else 0
    return targets * (chunk.layer * one_layer + entry)
