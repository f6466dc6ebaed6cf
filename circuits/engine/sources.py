"""Padded tables of what every source writes, so that one batched product reads them all out.

Features and errors write at (layer, position) cells that hold very different numbers of them. A cell's
sources are cut into blocks of at most S; every layer gets the same number B of blocks. A layer's
read-out is then one product: cotangents gathered by the blocks' positions with the blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
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
    """What sources write, per layer. L layers, B blocks of S sources, n positions.

    A feature's entry is its write vector times `scale`: its activation, or 1 where that is 0
    (dormant), so one product gives weights and strengths alike.

    Attributes:
        blocks: what features and errors write, zero-padded.
        block_position: the position each block writes at, ascending per layer; `UNUSED` past the last one.
        block_node: row of the node table behind each entry, -1 for padding.
        live: 1 for an error or a feature that is on, 0 for a dormant one and for padding.
        mlp_bias: what the MLP's constants write, or None.
        attention_bias: what attention's constants write, or None.
        inputs: token and positional embeddings, J n d.
    """

    blocks: Float[np.ndarray, "L B S d"]
    block_position: Int[np.ndarray, "L B"]
    block_node: Int[np.ndarray, "L B S"]
    live: Float[np.ndarray, "L B S"]
    mlp_bias: Float[np.ndarray, "L n d"] | None
    attention_bias: Float[np.ndarray, "L n d"] | None
    inputs: Float[np.ndarray, "J n d"]

    @classmethod
    def of(cls, trace: Trace, where: NodeMap) -> Sources:
        """Gives the tables of a trace."""
        cells = _cells(trace)
        size = _block_size(trace, cells)
        blocks, position, node = _blocks(trace, where, cells, size)
        embeddings = [trace.token_embedding]
        if trace.position_embedding is not None:
            embeddings.append(trace.position_embedding)
        live = np.ones(where.size + 1, trace.dtype)
        live[where.feature] = trace.features.activation != 0
        live[-1] = 0  # answers for padding
        return cls(
            blocks=blocks,
            block_position=position,
            block_node=node,
            live=live[node],
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
    """Gives, for every layer, the features that write into it at each position that has a source."""
    writes, features = trace.writes, trace.features
    pairs = np.unique(np.stack([writes.layer, writes.feature], axis=1), axis=0).reshape(-1, 2)
    cells: list[dict[int, Rows]] = []
    for layer in range(trace.n_layers):
        members = pairs[pairs[:, 0] == layer, 1]
        at = features.position[members]
        used = np.unique(at) if trace.mlp.error is None else np.arange(trace.n_positions)
        cells.append({int(p): members[at == p] for p in used})
    return cells


def _block_size(trace: Trace, cells: list[dict[int, Rows]]) -> int:
    """Gives the block size with the least padded work; a gathered block costs about two entries."""
    extra = 0 if trace.mlp.error is None else 1
    counts = [[len(members) + extra for members in layer.values()] for layer in cells]

    def work(size: int) -> int:
        return max((sum(-(-k // size) for k in layer) for layer in counts), default=0) * (size + 2)

    return min(BLOCK_SIZES, key=work)


def _blocks(
    trace: Trace, where: NodeMap, cells: list[dict[int, Rows]], size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gives block vectors, positions and node rows."""
    pieces = [list(_cell_sources(trace, where, layer, cell)) for layer, cell in enumerate(cells)]
    count = max((sum(-(-len(nodes) // size) for _, nodes, _ in layer) for layer in pieces), default=0)
    blocks = np.zeros((trace.n_layers, count, size, trace.width), trace.dtype)
    position = np.full((trace.n_layers, count), UNUSED)
    node = np.full((trace.n_layers, count, size), -1)
    for layer, sources in enumerate(pieces):
        b = 0
        for p, nodes, vectors in sources:
            for start in range(0, len(nodes), size):
                part = slice(start, start + size)
                filled = len(nodes[part])
                blocks[layer, b, :filled], node[layer, b, :filled] = vectors[part], nodes[part]
                position[layer, b], b = p, b + 1
    return blocks, position, node


def _cell_sources(
    trace: Trace, where: NodeMap, layer: int, cell: dict[int, Rows]
) -> Iterator[tuple[int, Rows, Float[np.ndarray, "k d"]]]:
    """Gives position, node rows and write vectors of each cell of a layer, positions ascending."""
    here = trace.writes.layer == layer
    columns = (trace.writes.feature, trace.writes.vector, trace.writes.layer, trace.writes.coefficient)
    matrix = combine(Terms(*(column[here] for column in columns)), len(trace.features), len(trace.vectors))
    scale = scales(trace)
    for p, members in sorted(cell.items()):
        factor = (scale[members] * trace.mlp.write_scale[layer, p])[:, None]
        nodes, vectors = where.feature[members], (matrix[members] @ trace.vectors) * factor
        if trace.mlp.error is not None:
            nodes = np.append(nodes, where.error[layer, p])
            vectors = np.concatenate([vectors, trace.mlp.error[layer, p][None]])
        yield p, nodes, vectors
