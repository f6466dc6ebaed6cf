"""Padded tables of what every source writes, so that one batched product reads them all out.

Features write at (layer, position) cells that hold very different numbers of them. A cell's features
are cut into blocks of at most S; every layer gets the same number B of blocks. A layer's read-out is
then one product: cotangents gathered by the blocks' positions (B · T · d) with the blocks (B · S · d).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.engine.nodes import NodeMap, Rows
from circuits.trace import Terms, Trace

BLOCK_SIZES = (8, 16, 24, 32, 48, 64)
UNUSED = np.iinfo(np.int32).max


@dataclass(frozen=True)
class Sources:
    """What sources write, per layer. L layers, B blocks of S features, E fields, n positions.

    A block entry is a feature's write vector times `scale`: its activation, or 1 where that is 0
    (dormant), so one product gives weights and strengths alike.

    Attributes:
        blocks: write vectors of features, zero-padded.
        block_position: the position each block writes at, ascending per layer; `UNUSED` past the last one.
        block_node: row of the node table behind each entry, -1 for padding.
        live: 1 for a feature that is on, 0 for a dormant one and for padding.
        error: what the error nodes write, or None.
        mlp_bias: what the MLP's constants write, or None.
        attention_bias: what attention's constants write, or None.
        inputs: token and positional embeddings, J n d.
    """

    blocks: Float[np.ndarray, "L B S d"]
    block_position: Int[np.ndarray, "L B"]
    block_node: Int[np.ndarray, "L B S"]
    live: Float[np.ndarray, "L B S"]
    error: Float[np.ndarray, "L n d"] | None
    mlp_bias: Float[np.ndarray, "L n d"] | None
    attention_bias: Float[np.ndarray, "L n d"] | None
    inputs: Float[np.ndarray, "J n d"]

    @classmethod
    def of(cls, trace: Trace, where: NodeMap) -> Sources:
        """Gives the tables of a trace."""
        cells = _cells(trace)
        size = _block_size(cells)
        blocks, position, node = _blocks(trace, where, cells, size)
        embeddings = [trace.token_embedding]
        if trace.position_embedding is not None:
            embeddings.append(trace.position_embedding)
        on = np.append(trace.features.activation != 0, False)  # the last entry answers for padding
        return cls(
            blocks=blocks,
            block_position=position,
            block_node=node,
            live=on[where.features_of_rows[node]].astype(trace.dtype) * (node >= 0),
            error=trace.mlp.error,
            mlp_bias=trace.mlp.constant,
            attention_bias=None if trace.attention is None else trace.attention.constant,
            inputs=np.stack(embeddings),
        )


def scales(trace: Trace) -> Float[np.ndarray, "F"]:
    """Gives what each feature's write vector is multiplied by: its activation, 1 where that is 0."""
    activation = trace.features.activation
    return np.where(activation == 0, 1, activation).astype(trace.dtype)


def combine(terms: Terms, n_features: int, n_vectors: int) -> sp.csr_array:
    """Gives the terms as a sparse matrix F × V: row i times the vectors is feature i's vector."""
    shape = (n_features, n_vectors)
    return sp.csr_array((terms.coefficient, (terms.feature, terms.vector)), shape=shape)


def _cells(trace: Trace) -> list[dict[int, Rows]]:
    """Gives, for every layer, the features that write into it at each position."""
    writes, features = trace.writes, trace.features
    pairs = np.unique(np.stack([writes.layer, writes.feature], axis=1), axis=0).reshape(-1, 2)
    cells: list[dict[int, Rows]] = []
    for layer in range(trace.n_layers):
        members = pairs[pairs[:, 0] == layer, 1]
        at = features.position[members]
        cells.append({int(p): members[at == p] for p in np.unique(at)})
    return cells


def _block_size(cells: list[dict[int, Rows]]) -> int:
    """Gives the block size with the least padded work; a gathered block costs about two entries."""
    counts = [[len(members) for members in layer.values()] for layer in cells]

    def work(size: int) -> int:
        return max((sum(-(-k // size) for k in layer) for layer in counts), default=0) * (size + 2)

    return min(BLOCK_SIZES, key=work)


def _blocks(
    trace: Trace, where: NodeMap, cells: list[dict[int, Rows]], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives block vectors, positions and node rows."""
    scale = scales(trace)
    cut = [
        [
            (p, members[i : i + size])
            for p, members in sorted(layer.items())
            for i in range(0, len(members), size)
        ]
        for layer in cells
    ]
    count = max(map(len, cut), default=0)
    blocks = np.zeros((trace.n_layers, count, size, trace.width), trace.dtype)
    position = np.full((trace.n_layers, count), UNUSED)
    node = np.full((trace.n_layers, count, size), -1)
    for layer, pieces in enumerate(cut):
        here = trace.writes.layer == layer
        terms = Terms(
            *(getattr(trace.writes, name)[here] for name in ("feature", "vector", "layer", "coefficient"))
        )
        matrix = combine(terms, len(trace.features), len(trace.vectors))
        for b, (p, members) in enumerate(pieces):
            factor = (scale[members] * trace.mlp.write_scale[layer, p])[:, None]
            blocks[layer, b, : len(members)] = (matrix[members] @ trace.vectors) * factor
            position[layer, b], node[layer, b, : len(members)] = p, where.feature[members]
    return blocks, position, node
