"""Plausible hyperedges: written by hand for the sample graph, computed literally for any other."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from literal import gate
from sample_graph import sample_graph

from circuits.engine.hyperedges import hyperedge_table, named
from circuits.engine.kinds import kinds
from circuits.graph.graph import Graph

MARY = "logit:Mary"
GAME = {"target": MARY, "channel": "output", "index": "FSII", "engine": "sampling", "estimated": True}
GATE = {"channel": "mlp", "index": "Co-Moebius", "engine": "ablation", "estimated": False}
HEAD = {"channel": "qk", "index": "STII", "engine": "bilinear", "estimated": False}

OUTPUT: tuple[dict[str, Any], ...] = (
    {"members": ["24/1042@13"], "weight": 2.1, "low": 1.9, "high": 2.3},
    {"members": ["21/1177@13"], "weight": 1.4, "low": 1.2, "high": 1.6},
    {"members": ["9/88@9"], "weight": -0.8, "low": -1.0, "high": -0.6},
    {"members": ["14/35@1"], "weight": 0.9, "low": 0.8, "high": 1.0},
    {"members": ["24/1042@13", "21/1177@13"], "weight": 1.3, "low": 1.1, "high": 1.5}
    | {"effect": 4.9, "gate": "and"},
    {"members": ["24/1042@13", "21/1177@13"], "weight": 0.9, "via": "26/1219@13"},
    {"members": ["24/1042@13", "21/1177@13"], "weight": 0.3, "via": "29/1010@13"},
    {"members": ["24/1042@13", "21/1177@13"], "weight": 0.02, "via": "29/404@13"},
    {"members": ["20/59@13", "26/1219@13"], "weight": -0.6, "low": -0.9, "high": -0.3}
    | {"effect": 1.6, "gate": "or"},
    {"members": ["14/35@1", "9/88@9"], "weight": -0.7, "low": -0.9, "high": -0.5}
    | {"effect": 0.1, "gate": "inhibit"},
    {"members": ["18/222@13", "err26@13"], "weight": -0.25, "low": -0.6, "high": 0.1}
    | {"effect": 0.05, "gate": "xor"},
    {"members": ["tok@1", "24/1042@13", "21/1177@13"], "weight": 0.5, "low": 0.3, "high": 0.7}
    | {"effect": 5.2, "gate": "and"},
)
MLP: tuple[dict[str, Any], ...] = (
    {"members": ["21/1177@13", "18/1401@13"], "target": "24/1042@13", "weight": 0.7}
    | {"effect": 1.5, "gate": "and"},
    {"members": ["18/222@13", "16/777@13"], "target": "21/640@13", "weight": -0.9}
    | {"effect": 0.2, "gate": "inhibit"},
    {"members": ["0/822@3", "0/822@9"], "target": "4/512@9", "weight": 1.2, "effect": 1.9, "gate": "and"},
    {"members": ["9/88@9", "13/61@10"], "target": "14/903@13", "weight": 0.04}
    | {"effect": 2.4, "gate": "additive"},
    {"members": ["14/35@1", "18/1401@13", "18/222@13"], "target": "21/1177@13", "weight": 0.6}
    | {"effect": 2.6, "gate": "other"},
)
QK: tuple[dict[str, Any], ...] = (
    {"members": ["11/402@13", "9/88@9"], "target": "score:14.3@13,9", "weight": 2.4, "effect": 2.4}
    | {"gate": "and"},
    {"members": ["tok@13", "0/822@9"], "target": "score:14.3@13,9", "weight": -0.8, "effect": -0.8}
    | {"gate": "and"},
    {"members": ["11/402@13", "2/940@1"], "target": "odds:18.0@13,1-3", "weight": 1.1, "gate": "and"},
)


@functools.cache
def sample_interactions() -> Graph:
    """Gives the sample graph with hyperedges of all channels and kinds."""
    rows = [GAME | row for row in OUTPUT] + [GATE | row for row in MLP] + [HEAD | row for row in QK]
    parts = [hyperedge_table({name: [value] for name, value in row.items()}) for row in rows]
    game = {"target": MARY, "empty": 11.0, "full": 17.42}
    graph = sample_graph().with_meta(interactions={"output": {"units": {"game": game}}})
    return replace(graph, hyperedges=named(pl.concat(parts)))


def gate_pairs(graph: Graph, *, gates: int = 12, inputs: int = 8) -> Graph:
    """Gives a graph with the Co-Möbius pairs of its most influential gates, literally from φ.

    Pairs among the `inputs` strongest inputs that are no constants: everything else stays on.
    """
    influence = graph.nodes["influence"].fill_null(0.0).to_numpy()
    features = graph.nodes.with_row_index("row").filter(kind="feature", expanded=True)["row"].to_numpy()
    kind = graph.nodes["kind"].cast(pl.String).to_list()
    columns: dict[str, list[Any]] = {name: [] for name in ("members", "target", "weight", "effect", "gate")}
    for row in sorted(features, key=lambda r: -influence[r])[:gates]:
        node = graph.nodes.row(int(row), named=True)
        inside = slice(graph.matrix.indptr[row], graph.matrix.indptr[row + 1])
        sources = zip(graph.matrix.indices[inside], graph.matrix.data[inside], strict=True)
        strong = sorted(
            ((s, float(w)) for s, w in sources if kind[s] not in ("bias", "rest")), key=lambda p: -abs(p[1])
        )
        for (a, one), (b, other) in itertools.combinations(strong[:inputs], 2):
            less = (one + other, other, one, 0.0)
            worth = [gate(node["gate"], node["pre_activation"] - c, node["threshold"] or 0.0) for c in less]
            columns["members"].append([graph.nodes["node"][int(a)], graph.nodes["node"][int(b)]])
            columns["target"].append(node["node"])
            columns["weight"].append(worth[3] - worth[2] - worth[1] + worth[0])
            columns["effect"].append(worth[3] - worth[0])
            columns["gate"].append(kinds(np.array([worth]))[0])
    if not columns["weight"]:
        return graph
    table = hyperedge_table(columns | {"channel": "mlp", "index": "Co-Moebius", "engine": "ablation"})
    return replace(graph, hyperedges=named(table.filter(pl.col("weight").abs() > 1e-12)))
