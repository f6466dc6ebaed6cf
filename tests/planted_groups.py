"""Planted models whose features are split in parts: which parts belong together is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

import circuits
from circuits.graph.graph import Graph
from circuits.schema import feature_name
from circuits.trace import Features, Terms, Trace

LABELLED = 0.5
"""Share of the parts that bear the label of what they are a part of; the others list unrelated tokens."""


def split(
    name: str, *, parts: int = 6, noise: float = 0.5, distractors: int = 4, seed: int = 0
) -> tuple[Graph, Trace, dict[str, str]]:
    """A planted model's graph and trace, every feature in parts, and what each part is a part of.

    A dictionary that is too fine does so. Each part has a share of the activation and reads in the direction
    the whole reads in; what it writes is turned by a random vector, `noise` times as long, and all parts
    together write what the whole wrote, so that the rest of the model notices nothing.
    """
    rng = np.random.default_rng(seed)
    trace = circuits.plant(name, distractors=distractors, seed=seed).trace
    old = trace.features
    count = len(old)
    shares = rng.dirichlet(np.full(parts, 3.0), size=count)
    whole = np.repeat(np.arange(count), parts)
    share = shares.ravel()
    rows = Features(
        layer=old.layer[whole],
        position=old.position[whole],
        id=(100 * old.id[whole] + np.tile(np.arange(parts), count)).astype(np.int32),
        activation=old.activation[whole] * share,
        pre_activation=old.pre_activation[whole] * share,
        bias=old.bias[whole] * share,
        threshold=old.threshold[whole] * share,
        gate=old.gate[whole],
        gates=old.gates,
    )
    vectors = [trace.vectors]
    reads = _terms(trace.reads, parts, np.arange(count), share)
    at = len(trace.vectors)
    made: list[tuple[int, int, int, float]] = []
    writes = trace.writes
    columns = zip(
        writes.feature.tolist(),
        writes.vector.tolist(),
        writes.layer.tolist(),
        writes.coefficient.tolist(),
        strict=True,
    )
    for feature, vector, layer, coefficient in columns:
        direction = trace.vectors[vector]
        turn = (
            rng.normal(size=(parts, len(direction)))
            * noise
            * np.linalg.norm(direction)
            / len(direction) ** 0.5
        )
        vectors.append(direction + turn - shares[feature] @ turn)
        made += [(feature * parts + i, at + i, layer, coefficient) for i in range(parts)]
        at += parts
    terms = [np.array(column) for column in zip(*made, strict=True)]
    names = {
        feature_name(int(rows.layer[i]), int(rows.id[i]), int(rows.position[i])): int(whole[i])
        for i in range(len(whole))
    }
    labels = {
        called: f"part of {of}" if rng.random() < LABELLED else f'→ "{rng.integers(10**6)}"'
        for called, of in names.items()
    }
    fine = replace(
        trace,
        vectors=np.concatenate(vectors),
        features=rows,
        reads=reads,
        writes=Terms(
            terms[0].astype(np.int32), terms[1].astype(np.int32), terms[2].astype(np.int32), terms[3]
        ),
        targets=replace(trace.targets, feature=np.full(len(trace.targets), -1, np.int32)),
        labels=labels,
    )
    truth = {
        called: feature_name(int(old.layer[of]), int(old.id[of]), int(old.position[of]))
        for called, of in names.items()
    }
    return circuits.attribute(fine, (circuits.Edges(),)), fine, truth


def by_column(graph: Graph, nodes: list[str], column: str) -> np.ndarray:
    """The groups of nodes with the same value of a column; of labels, untested ones are groups of one."""
    table = dict(graph.nodes.select("node", pl.col(column)).iter_rows())
    keys: dict[object, int] = {}
    found = []
    for node in nodes:
        alone = column == "label" and str(table[node]).startswith("→")
        found.append(keys.setdefault(("alone", node) if alone else table[node], len(keys)))
    return np.array(found)


def _terms(terms: Terms, parts: int, features: np.ndarray, share: np.ndarray) -> Terms:
    """Read terms of every part: those of the whole times its share."""
    del features
    part = (terms.feature[:, None] * parts + np.arange(parts)).ravel()
    return Terms(
        part.astype(np.int32),
        np.repeat(terms.vector, parts),
        np.repeat(terms.layer, parts),
        np.repeat(terms.coefficient, parts) * share[part],
    )
