"""Stands in for a model in tests: a graph run node by node in plain NumPy; it may be another graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from literal import gate

from circuits.graph.actions import UNTOUCHED
from circuits.graph.graph import Graph
from circuits.graph.predict import expanded
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.outcome import Outcome


def values_of(graph: Graph, interventions, targets: list[str]) -> np.ndarray:
    """The targets under each intervention: recorded pre-activations, moved by what sources changed."""
    table = graph.nodes.to_dicts()
    strength = np.zeros((len(table), len(table)))
    source, target = graph.ends
    strength[target, source] = graph.edges["strength"].to_numpy()
    total = np.bincount(target, graph.edges["weight"].to_numpy(), len(table))
    done = [expanded(graph, one) for one in interventions]
    before = np.array([1.0 if row["activation"] is None else row["activation"] for row in table])
    now = np.repeat(before[:, None], len(done), axis=1)
    z = np.zeros_like(now)
    for at, row in enumerate(table):
        recorded = total[at] if row["pre_activation"] is None else row["pre_activation"]
        z[at] = recorded + strength[at] @ (now - before[:, None])
        if row["kind"] == "feature" and row["expanded"]:
            now[at] = [gate(row["gate"], value, row["threshold"] or 0.0) for value in z[at]]
        for column, one in enumerate(done):
            what = one.get(row["node"], UNTOUCHED)
            now[at, column] = what.scale * now[at, column] + what.offset
    return z[[graph.row(name) for name in targets]].T


@dataclass(frozen=True, eq=False)
class GraphAsModel:
    """Frozen, `frozen` is the model; else `free` is, the same unless given."""

    graph: Graph
    frozen: Graph
    free: Graph | None = None

    def run(self, interventions, hold: Hold = FREE, *, batch=None, progress=None) -> Outcome:
        model = self.frozen if hold == FROZEN or self.free is None else self.free
        targets = self.graph.targets
        before = model.nodes.filter(pl.col("node").is_in(targets)).select("node", "pre_activation")
        known = dict(before.iter_rows())
        values = values_of(model, interventions, targets)
        logits = np.zeros(3)
        if progress:
            progress("interventions", len(interventions), len(interventions))
        return Outcome(
            tuple(interventions),
            hold,
            tuple(targets),
            np.array([known[name] for name in targets], np.float64),
            values,
            logits,
            np.tile(logits, (len(values), 1)),
        )
