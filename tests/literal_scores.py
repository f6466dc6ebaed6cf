"""Attention scores from the equations of `circuits.trace`'s docstring, number by number, in float64."""

from __future__ import annotations

from math import cos, sin

import numpy as np

from circuits.trace import Trace


def literal_scores(trace: Trace, residual: np.ndarray) -> np.ndarray:
    """Scores (L, H, n, n) of a trace for given streams r(l, p), L n d; NaN where the key is later."""
    made = trace.scores
    L, H, n, K = *trace.attention.pattern.shape[:3], made.key.shape[1]
    out = np.full((L, H, n, n), np.nan)
    for layer in range(L):
        for head in range(H):
            for q in range(n):
                query = literal_query(trace, residual, layer, head, q)
                for k in range(q + 1):
                    key = literal_key(trace, residual, layer, head * K // H, k)
                    out[layer, head, q, k] = float(made.factor[layer]) * sum(query * key)
    return out


def literal_query(trace: Trace, residual: np.ndarray, layer: int, head: int, p: int) -> np.ndarray:
    """One query of Q numbers, turned."""
    made = trace.scores
    bias = None if made.query_bias is None else made.query_bias[layer, head]
    side = (made.query[layer, head], bias, made.query_scale[layer, head, p])
    return _side(trace, residual, layer, p, side)


def literal_key(trace: Trace, residual: np.ndarray, layer: int, group: int, p: int) -> np.ndarray:
    """One key of Q numbers, turned."""
    made = trace.scores
    bias = None if made.key_bias is None else made.key_bias[layer, group]
    side = (made.key[layer, group], bias, made.key_scale[layer, group, p])
    return _side(trace, residual, layer, p, side)


def _side(trace, residual, layer, p, side):
    matrix, bias, scale = side
    x = float(trace.attention.read_scale[layer, p]) * residual[layer, p].astype(float)
    values = matrix.astype(float) @ x + (0 if bias is None else bias.astype(float))
    return turned(values * float(scale), None if trace.scores.angle is None else trace.scores.angle[layer, p])


def turned(values: np.ndarray, angles: np.ndarray | None) -> np.ndarray:
    """The pairs (j, j + P) turned by their angles."""
    out = values.copy()
    for j, angle in enumerate([] if angles is None else angles.astype(float)):
        x, y = values[j], values[j + len(angles)]
        out[j], out[j + len(angles)] = x * cos(angle) - y * sin(angle), y * cos(angle) + x * sin(angle)
    return out
