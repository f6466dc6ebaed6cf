"""Stands in for a model in tests: a graph is measured by running another graph, which may be the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.outcome import Outcome


@dataclass(frozen=True, eq=False)
class GraphAsModel:
    """Frozen, `frozen` is the model; else `free` is, the same unless given."""

    graph: Graph
    frozen: Graph
    free: Graph | None = None

    def run(self, interventions, hold: Hold = FREE, *, batch=None, progress=None) -> Outcome:
        model = self.frozen if hold == FROZEN or self.free is None else self.free
        targets = self.graph.targets
        before = np.asarray(model.run(targets=targets)[0], np.float64)
        values = np.asarray(predict(model, interventions, targets=targets), np.float64)
        logits = np.zeros(3)
        if progress:
            progress("interventions", len(interventions), len(interventions))
        return Outcome(
            tuple(interventions),
            hold,
            tuple(targets),
            before,
            values,
            logits,
            np.tile(logits, (len(values), 1)),
        )
