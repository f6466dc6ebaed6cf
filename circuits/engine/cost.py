"""What rows cost, counted rather than measured: floating-point operations of a chunk."""

from __future__ import annotations

from circuits.engine.operator import UNROLLED_POSITIONS, Cut
from circuits.engine.plan import Chunk


def chunk_flops(chunk: Chunk, cut: Cut, *, parallel: bool = False) -> int:
    """Gives the floating-point operations of one chunk, padding included, a multiply-add as two.

    Every layer below the targets' own costs, for T targets and m positions,
    T · (2·m·d·(HR + KR) + 2·pairs·HR + 2·B·S·d), where pairs is m(m + 1)/2 while the pattern is applied
    pair by pair and m² beyond; plus 2·m·d² where there is a skip and
    2·m·d·M·(1 + C) where an MLP passes, held. Features also enter through the
    attention of their own layer, at one position only.

    Args:
        chunk: gives layer, T and m.
        cut: the operator's arrays cut to m positions.
        parallel: attention stands beside the MLP.
    """
    layer, count = cut.layers[0], len(cut.layers)
    blocks, size, width = layer.blocks.shape
    m, targets = chunk.positions, chunk.size
    out = value = pairs = 0
    if layer.output is not None and layer.value is not None:
        out, value = layer.output.shape[1], layer.value.shape[0]
        pairs = m * (m + 1) // 2 if m <= UNROLLED_POSITIONS else m * m
    skip = 2 * m * width * width if layer.skip is not None else 0
    held = sum(
        2 * m * width * below.passing.write.shape[1] * (1 + len(below.passing.read))
        for below in cut.layers[: chunk.layer]
        if below.passing is not None
    )
    one_layer = 2 * m * width * (out + value) + 2 * pairs * out + 2 * blocks * size * width + skip
    enters = chunk.layer < count and not parallel
    entry = 2 * width * out + 2 * m * out + 2 * m * width * value if enters else 0
    return targets * (chunk.layer * one_layer + held + entry)
