"""The slow twin of the engine: every effect by carrying one source forward through the frozen model.

It shares no code with the fast path and goes the other way: the engine carries what a target reads
down to the sources, this carries what one source writes up to the targets. Dense, NumPy, float64;
for tests and small traces.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from circuits.schema import feature_name
from circuits.trace import Trace


def exact_weights(trace: Trace) -> dict[str, dict[str, float]]:
    """Gives weight[target][source] for every target and feature of a trace, zeros left out.

    An effect is ∂(target's pre-activation)/∂(source) · source with patterns, scales and all other
    features held: Ameisen et al. 2025, "virtual weights". Constants are sources too.

    Args:
        trace: any trace; the cost is sources × layers × n² · d.

    Example:
        >>> exact_weights(trace)["logit:Austin"]["12/4051@7"]  # doctest: +SKIP
        0.73
    """
    weights: dict[str, dict[str, float]] = {name: {} for name, _ in _targets(trace)}
    for source, writes in _sources(trace):
        for target, effect in _carried(trace, writes):
            if effect != 0:
                weights[target][source] = weights[target].get(source, 0.0) + effect
    for i in range(len(trace.features)):
        if trace.features.bias[i] != 0:
            weights[_name(trace, i)]["bias:own"] = float(trace.features.bias[i])
    for t, name in enumerate(trace.targets.names):
        if trace.targets.feature[t] < 0 and trace.targets.bias[t] != 0:
            weights[name]["bias:own"] = float(trace.targets.bias[t])
    return weights


def _name(trace: Trace, i: int) -> str:
    f = trace.features
    return feature_name(int(f.layer[i]), int(f.id[i]), int(f.position[i]))


def _targets(trace: Trace) -> Iterator[tuple[str, int]]:
    for i in range(len(trace.features)):
        yield _name(trace, i), i
    for t, name in enumerate(trace.targets.names):
        if trace.targets.feature[t] < 0:
            yield name, t


Writes = dict[int, np.ndarray]
"""What one source adds to the stream: into the input under 0, after attention of layer l under 3l + 1,
after its held MLP under 3l + 2, with its features under 3l + 3; each an array n × d."""


def _sources(trace: Trace) -> Iterator[tuple[str, Writes]]:
    """Gives every source and what it adds to the residual stream at its activation."""
    n, d = trace.n_positions, trace.width

    def only(p: int, vector: np.ndarray) -> np.ndarray:
        out = np.zeros((n, d))
        out[p] = vector
        return out

    for p in range(n):
        yield f"tok@{p}", {0: only(p, trace.token_embedding[p])}
        if trace.position_embedding is not None:
            yield f"pos@{p}", {0: only(p, trace.position_embedding[p])}
    for layer in range(trace.n_layers):
        yield from _constants(trace, layer)
        if trace.mlp.error is not None:
            for p in range(n):
                yield f"err{layer}@{p}", {3 * layer + 3: only(p, trace.mlp.error[layer, p])}
    for i in range(len(trace.features)):
        p, activation = int(trace.features.position[i]), float(trace.features.activation[i])
        writes: Writes = {}
        for e in np.flatnonzero(trace.writes.feature == i):
            layer = int(trace.writes.layer[e])
            amount = activation * float(trace.writes.coefficient[e]) * float(trace.mlp.write_scale[layer, p])
            at = 3 * layer + 3
            writes[at] = writes.get(at, np.zeros((n, d))) + only(
                p, amount * trace.vectors[trace.writes.vector[e]].astype(float)
            )
        yield _name(trace, i), writes


def _constants(trace: Trace, layer: int) -> Iterator[tuple[str, Writes]]:
    """Gives what the biases of one layer add."""
    if trace.attention is not None and trace.attention.constant is not None:
        yield f"bias:attn{layer}", {3 * layer + 1: trace.attention.constant[layer].astype(float)}
    if trace.passing is not None and trace.passing.constant is not None:
        for u in np.flatnonzero(trace.passing.layer == layer):
            yield f"bias:attn{layer}", {3 * layer + 2: trace.passing.constant[u].astype(float)}
    if trace.mlp.constant is not None:
        yield f"bias:mlp{layer}", {3 * layer + 3: trace.mlp.constant[layer].astype(float)}


def _carried(trace: Trace, writes: Writes) -> Iterator[tuple[str, float]]:
    """Gives what every target reads of the given writes, and of nothing else."""
    stream = np.zeros((trace.n_positions, trace.width)) + writes.get(0, 0)
    for layer in range(trace.n_layers):
        middle = stream + _attend(trace, layer, stream) + writes.get(3 * layer + 1, 0)
        into = stream if trace.parallel else middle
        through = _pass(trace, layer, into) + writes.get(3 * layer + 2, 0)
        if trace.on_stream(layer):
            into = middle + through
        seen = into * trace.mlp.read_scale[layer][:, None]
        for i in np.flatnonzero(trace.features.layer == layer):
            p = trace.features.position[i]
            terms = np.flatnonzero(trace.reads.feature == i)
            read = trace.reads.coefficient[terms] @ trace.vectors[trace.reads.vector[terms]]
            yield _name(trace, int(i)), float(read @ seen[p])
        stream = np.zeros_like(middle) if trace.on_stream(layer) else middle + through
        stream = stream + writes.get(3 * layer + 3, 0)
        if trace.mlp.skip is not None and not trace.on_stream(layer):
            stream = stream + (seen @ trace.mlp.skip[layer].T) * trace.mlp.write_scale[layer][:, None]
    for t, name in enumerate(trace.targets.names):
        if trace.targets.feature[t] < 0:
            yield name, float(trace.targets.vector[t] @ stream[trace.targets.position[t]])


def _pass(trace: Trace, layer: int, stream: np.ndarray) -> np.ndarray:
    """Gives what a held MLP adds for a given input stream, constants left out, neuron by neuron."""
    out, held = np.zeros_like(stream), trace.passing
    for u in [] if held is None else np.flatnonzero(held.layer == layer):
        assert held is not None
        for p in range(len(stream)):
            for neuron in range(held.write.shape[2]):
                parts = held.read[u, :, neuron] @ stream[p]
                amount = float(held.coefficient[u, :, p, neuron] @ parts)
                out[p] += amount * held.write[u, :, neuron]
    return out


def _attend(trace: Trace, layer: int, stream: np.ndarray) -> np.ndarray:
    """Gives what attention adds for a given stream, head by head, constants left out."""
    attention, out = trace.attention, np.zeros_like(stream)
    if attention is None:
        return out
    heads, groups = attention.output.shape[1], attention.value.shape[1]
    for head in range(heads):
        value = attention.value[layer, head // (heads // groups)]
        for q in range(len(stream)):
            for k in range(len(stream)):
                moved = attention.output[layer, head] @ (value @ stream[k])
                factor = attention.read_scale[layer, k] * attention.write_scale[layer, q]
                out[q] += factor * attention.pattern[layer, head, q, k] * moved
    return out
