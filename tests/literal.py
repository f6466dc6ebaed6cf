"""The equations of `circuits.trace`'s docstring, term by term: an oracle sharing no code with the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import erf, exp, pi, sqrt, tanh

import numpy as np

from circuits.trace import Trace


@dataclass(frozen=True)
class Run:
    """What one literal pass gives: streams (L + 1, n, d), and per feature and target the numbers."""

    residual: np.ndarray
    pre_activation: np.ndarray
    activation: np.ndarray
    targets: np.ndarray


def gate(name: str, z: float, threshold: float) -> float:
    """a = gate(z), for one feature."""
    if name == "linear":
        return z
    if name == "relu":
        return z if z > 0 else 0.0
    if name in ("jumprelu", "topk"):
        return z if z > threshold else 0.0
    if name == "abstopk":
        return z if abs(z) > threshold else 0.0
    if name == "gelu":
        return z * 0.5 * (1 + erf(z / sqrt(2)))
    if name == "gelu_tanh":
        return 0.5 * z * (1 + tanh(sqrt(2 / pi) * (z + 0.044715 * z**3)))
    if name == "silu":
        return z / (1 + exp(-z)) if z > -500 else 0.0
    if name == "tanh":
        return tanh(z)
    raise ValueError(name)


def run_trace(trace: Trace, masks: Mapping[str, float] | None = None, *, frozen: bool = False) -> Run:
    """Runs the trace's equations in float64.

    `masks` multiplies sources by node name: features ("1/3@0": what the feature writes, after its
    gate), "tok@2", "pos@2", "err1@2", "bias:own" (biases of features and targets), "bias:attn1",
    "bias:mlp1". With `frozen` every feature writes its recorded activation (times its mask) whatever
    its inputs, so that changing one source moves pre-activations by its direct effect alone.
    """
    masks = dict(masks or {})
    unknown = set(masks) - set(source_names(trace))
    if unknown:
        raise ValueError(f"no such sources: {unknown}")

    def on(name: str) -> float:
        return float(masks.get(name, 1.0))

    f = trace.features
    read, write = _feature_vectors(trace)
    n, d, n_layers = trace.n_positions, trace.width, trace.n_layers
    r = _embeddings(trace, on)
    stream = [r]
    z = np.zeros(len(f))
    a = np.zeros(len(f))
    for layer in range(n_layers):
        mid = r + _attention(trace, layer, r, on(f"bias:attn{layer}"))
        read_scale = trace.mlp.read_scale[layer].astype(float)
        through = _through(trace, layer, r if trace.parallel else mid, on(f"bias:attn{layer}"))
        below = r if trace.parallel else mid
        on_stream = trace.stream is not None and bool(trace.stream[layer])
        x = (mid + through if on_stream else below) * read_scale[:, None]
        out = np.zeros((n, d))
        for i in range(len(f)):
            p = int(f.position[i])
            if f.layer[i] == layer:
                z[i] = on("bias:own") * float(f.bias[i]) + read[i] @ x[p]
                live = gate(f.gates[f.gate[i]], z[i], float(f.threshold[i]))
                a[i] = on(_name(trace, i)) * (float(f.activation[i]) if frozen else live)
            if (i, layer) in write:
                out[p] += a[i] * write[i, layer]
        if trace.mlp.skip is not None and not on_stream:
            for p in range(n):
                out[p] += trace.mlp.skip[layer].astype(float) @ x[p]
        passed = np.zeros((n, d)) if on_stream else mid + through
        r = passed + out * trace.mlp.write_scale[layer].astype(float)[:, None] + _fixed(trace, layer, on)
        stream.append(r)
    t = trace.targets
    values = np.zeros(len(t))
    for k in range(len(t)):
        logit = on("bias:own") * float(t.bias[k]) + t.vector[k].astype(float) @ r[t.position[k]]
        values[k] = z[t.feature[k]] if t.feature[k] >= 0 else logit
    return Run(np.stack(stream), z, a, values)


def _embeddings(trace: Trace, on: Callable[[str], float]) -> np.ndarray:
    r = np.zeros((trace.n_positions, trace.width))
    for p in range(len(r)):
        r[p] = on(f"tok@{p}") * trace.token_embedding[p].astype(float)
        if trace.position_embedding is not None:
            r[p] += on(f"pos@{p}") * trace.position_embedding[p].astype(float)
    return r


def _through(trace: Trace, layer: int, r: np.ndarray, bias: float) -> np.ndarray:
    out = np.zeros_like(r)
    held = trace.passing
    for u in range(0 if held is None else len(held.layer)):
        if held.layer[u] == layer:
            out += 0 if held.constant is None else bias * held.constant[u].astype(float)
            for c in range(held.read.shape[1]):
                seen = r @ held.read[u, c].astype(float).T
                out += (seen * held.coefficient[u, c]) @ held.write[u].astype(float).T
    return out


def _fixed(trace: Trace, layer: int, on: Callable[[str], float]) -> np.ndarray:
    out = np.zeros((trace.n_positions, trace.width))
    for p in range(len(out)):
        if trace.mlp.constant is not None:
            out[p] += on(f"bias:mlp{layer}") * trace.mlp.constant[layer, p].astype(float)
        if trace.mlp.error is not None:
            out[p] += on(f"err{layer}@{p}") * trace.mlp.error[layer, p].astype(float)
    return out


def source_names(trace: Trace) -> list[str]:
    """Every name `run_trace` can mask."""
    n, n_layers = range(trace.n_positions), range(trace.n_layers)
    names = [f"tok@{p}" for p in n] + ["bias:own"]
    if trace.position_embedding is not None:
        names += [f"pos@{p}" for p in n]
    attention = trace.attention is not None and trace.attention.constant is not None
    if attention or (trace.passing is not None and trace.passing.constant is not None):
        names += [f"bias:attn{layer}" for layer in n_layers]
    if trace.mlp.constant is not None:
        names += [f"bias:mlp{layer}" for layer in n_layers]
    if trace.mlp.error is not None:
        names += [f"err{layer}@{p}" for layer in n_layers for p in n]
    return names + [_name(trace, i) for i in range(len(trace.features))]


def _name(trace: Trace, i: int) -> str:
    f = trace.features
    return f"{f.layer[i]}/{f.id[i]}@{f.position[i]}"


def _feature_vectors(trace: Trace) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    read = np.zeros((len(trace.features), trace.width))
    for k in range(len(trace.reads.feature)):
        vector = trace.vectors[trace.reads.vector[k]].astype(float)
        read[trace.reads.feature[k]] += float(trace.reads.coefficient[k]) * vector
    write: dict[tuple[int, int], np.ndarray] = {}
    for k in range(len(trace.writes.feature)):
        key = (int(trace.writes.feature[k]), int(trace.writes.layer[k]))
        term = float(trace.writes.coefficient[k]) * trace.vectors[trace.writes.vector[k]].astype(float)
        write[key] = write.get(key, np.zeros(trace.width)) + term
    return read, write


def _attention(trace: Trace, layer: int, r: np.ndarray, bias: float) -> np.ndarray:
    out = np.zeros_like(r)
    att = trace.attention
    if att is None:
        return out
    n, heads, groups = len(r), att.pattern.shape[1], att.value.shape[1]
    for h in range(heads):
        value = att.value[layer, h // (heads // groups)].astype(float)
        for q in range(n):
            for k in range(n):
                moved = att.output[layer, h].astype(float) @ (value @ r[k]) * float(att.read_scale[layer, k])
                out[q] += float(att.write_scale[layer, q]) * float(att.pattern[layer, h, q, k]) * moved
    if att.constant is not None:
        out += bias * att.constant[layer].astype(float)
    return out
