"""Graphs of a few ReLU features that compute a gate of two or three tokens, and the tables they must give."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import polars as pl

from circuits.graph.graph import Graph
from circuits.schema import NODE_SCHEMA

Rule = Callable[..., float]

RULES: dict[str, tuple[int, Rule]] = {
    "and": (2, lambda a, b: a * b),
    "or": (2, lambda a, b: max(a, b)),
    "inhibit": (2, lambda a, b: a * (1 - b)),
    "xor": (2, lambda a, b: abs(a - b)),
    "additive": (2, lambda a, b: (a + b) / 2),
    "none": (2, lambda a, b: 0.0 * a * b),
    "and of three": (3, lambda a, b, c: a * b * c),
    "or of three": (3, lambda a, b, c: max(a, b, c)),
    "inhibit of three": (3, lambda a, b, c: a * b * (1 - c)),
    "xor of three": (3, lambda a, b, c: (a + b + c) % 2),
}
GATES = tuple(RULES)


def gate_table(gate: str) -> np.ndarray:
    """Worths less that of the empty set: entry s with the members on whose bits are set in s."""
    members, rule = RULES[gate]
    cells = [float(rule(*reversed(bits))) for bits in product((0, 1), repeat=members)]
    return np.array(cells) - cells[0]


# As sums of ReLU(constant + weights · tokens), each with what it adds to the output.
UNITS: dict[str, list[tuple[float, tuple[float, ...], float]]] = {
    "and": [(-1, (1, 1), 1)],
    "or": [(0, (1, 1), 1), (-1, (1, 1), -1)],
    "inhibit": [(0, (1, -1), 1)],
    "xor": [(0, (1, -1), 1), (0, (-1, 1), 1)],
    "additive": [(0, (1, 0), 0.5), (0, (0, 1), 0.5)],
    "none": [],
    "and of three": [(-2, (1, 1, 1), 1)],
    "or of three": [(0, (1, 1, 1), 1), (-1, (1, 1, 1), -1)],
    "inhibit of three": [(-1, (1, 1, -1), 1)],
    "xor of three": [(0, (1, 1, 1), 1), (-1, (1, 1, 1), -2), (-2, (1, 1, 1), 2)],
}


def gate_graph(gate: str, *, scale: float = 1.0) -> Graph:
    """Tokens 0, 1 (and 2) into the gate's units into `logit:y`; tokens 3 to 6 add 1/8 each beside them."""
    members, others = RULES[gate][0], range(3, 7)
    nodes = [{"node": f"tok@{p}", "kind": "token", "pos": p, "activation": 1.0} for p in range(7)]
    nodes.append({"node": "bias:own", "kind": "bias", "activation": 1.0})
    edges: list[tuple[str, str, float, float]] = []
    value = 0.0
    for place, (constant, weights, gain) in enumerate(UNITS[gate]):
        name, z = f"0/{place}@7", constant + sum(weights)
        active = max(z, 0.0)
        nodes.append(
            {"node": name, "kind": "feature", "layer": 0, "pos": 7, "feature": place, "gate": "relu"}
            | {"activation": active, "pre_activation": z, "expanded": True}
        )
        edges += [(f"tok@{i}", name, w, w) for i, w in enumerate(weights) if w]
        edges += [("bias:own", name, constant, constant)] if constant else []
        edges.append((name, "logit:y", scale * gain * active, scale * gain))
        value += scale * gain * active
    edges += [(f"tok@{p}", "logit:y", 0.125, 0.125) for p in others]
    value += 0.125 * len(others)
    logit = {"node": "logit:y", "kind": "logit", "pos": 7, "activation": value, "pre_activation": value}
    nodes.append(logit | {"expanded": True, "target_weight": 1.0})
    base = {"expanded": False, "truncated": 0.0, "target_weight": 0.0}
    table = pl.DataFrame([base | node for node in nodes], schema=NODE_SCHEMA)
    row = {name: at for at, name in enumerate(table["node"])}
    ends = tuple(np.array([row[edge[end]] for edge in edges], np.int32) for end in (0, 1))
    values = tuple(np.array([edge[k] for edge in edges]) for k in (2, 3))
    assert members in (2, 3)
    return Graph.of(table, (ends[0], ends[1]), (values[0], values[1]), {})
