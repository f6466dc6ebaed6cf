"""Counterfactual: few features whose values, taken from the other graph, would close the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from circuits.graph.actions import Intervention, setting
from circuits.query.contrast_asked import SMALL, Asked
from circuits.query.contrast_pair import Pair

SHARE: Final = 0.8
"""Of the difference, what a set of swaps is to account for."""

CANDIDATES: Final = 32
"""Features tried, those with the largest change by activation."""

MOST: Final = 12
"""Features swapped at most."""

SCHEMA: Final = pl.Schema(
    {
        "swapped": pl.String(),
        "from": pl.Float64(),
        "to": pl.Float64(),
        "predicted": pl.Float64(),
        "closed": pl.Float64(),
        "label": pl.String(),
    }
)
"""One row a feature, in the order in which they were taken; `predicted` and `closed` with all so far."""


@dataclass(frozen=True)
class Swaps:
    """A set of swaps found.

    Attributes:
        table: columns of `SCHEMA`.
        values: what each feature of the first graph is set to.
        enough: the set accounts for `SHARE` of the difference.
        tried: how many features were candidates.
    """

    table: pl.DataFrame
    values: dict[str, float]
    enough: bool
    tried: int


def swaps(pair: Pair, asked: Asked, share: float = SHARE) -> Swaps | None:
    """Gives the features of the first graph to set to their values in the second, chosen greedily.

    Each is the one that, set beside those before, moves the output most toward the other graph's value, as
    the first graph predicts it (`circuits.graph.predict`); then any that is not needed is put back. What is
    on only in the second graph is no node of the first and cannot be set in it.

    Args:
        pair: two graphs asked about one output.
        asked: what is compared.
        share: of the difference, what the set is to account for.

    Returns:
        None where there is no one output in two graphs, or no difference to close.
    """
    if asked.same_graph or not asked.comparable or abs(pair.difference) < SMALL * pair.scale:
        return None
    values = _candidates(pair)
    if not values:
        return Swaps(pl.DataFrame(schema=SCHEMA), {}, enough=False, tried=0)
    trial = _Trial(pair, values)
    chosen: list[str] = []
    closed = [0.0]
    while closed[-1] < share and len(chosen) < min(MOST, len(values)):
        rest = [node for node in values if node not in chosen]
        found = trial.closed([[*chosen, node] for node in rest])
        best = int(np.argmax(found))
        if found[best] <= closed[-1] + 1e-3:
            break
        chosen.append(rest[best])
        closed.append(float(found[best]))
    chosen = _without_idle(trial, chosen, min(share, closed[-1]))
    return Swaps(
        _table(pair, trial, chosen),
        {node: values[node] for node in chosen},
        enough=bool(chosen) and trial.closed([chosen])[0] >= share,
        tried=len(values),
    )


class _Trial:
    """Predicts, on the first graph, what sets of swaps close of the difference."""

    def __init__(self, pair: Pair, values: dict[str, float]) -> None:
        from circuits.graph.predict import Predictor  # JAX, loaded only when a graph is run

        subject = pair.one.subject
        self.pair, self.values = pair, values
        self.predict = Predictor(subject.graph, values, targets=[subject.node], batch=CANDIDATES)
        self.known: dict[tuple[str, ...], float] = {}

    def predicted(self, sets: Sequence[Sequence[str]]) -> list[float]:
        """Gives the target's value under each set of swaps."""
        keys = [tuple(nodes) for nodes in sets]
        new = [key for key in dict.fromkeys(keys) if key not in self.known]
        if new:
            done = [
                Intervention.of("swap", setting({node: self.values[node] for node in key})) for key in new
            ]
            found = self.predict(done)[:, 0]
            self.known |= {key: float(value) for key, value in zip(new, found, strict=True)}
        return [self.known[key] for key in keys]

    def closed(self, sets: Sequence[Sequence[str]]) -> list[float]:
        """Gives the share of the difference that each set closes."""
        here, whole = self.pair.values[0], self.pair.difference
        return [(here - value) / whole for value in self.predicted(sets)]


def _candidates(pair: Pair) -> dict[str, float]:
    """Gives features of the first graph that can be set, and their values in the second."""
    graph, split = pair.one.graph, pair.total
    there = pair.spread(pair.one.activation, pair.two.activation)[1]
    rows = np.arange(len(graph.nodes))
    able = (graph.nodes["kind"] == "feature").to_numpy() & (rows != pair.one.subject.row)
    known = np.array([pair.known_there(int(row)) for row in rows])
    toward = split.by_activation[: len(rows)] * np.sign(pair.difference)
    rows = rows[able & known & (toward > 0)]
    rows = rows[np.argsort(-toward[rows], kind="stable")][:CANDIDATES]
    return {str(graph.nodes["node"][int(row)]): float(there[row]) for row in rows}


def _without_idle(trial: _Trial, chosen: list[str], needed: float) -> list[str]:
    """Gives the set without members that are not needed to reach a share, the last ones tried first."""
    for node in reversed(chosen[:]):
        fewer = [one for one in chosen if one != node]
        if fewer and trial.closed([fewer])[0] >= needed:
            chosen = fewer
    return chosen


def _table(pair: Pair, trial: _Trial, chosen: list[str]) -> pl.DataFrame:
    graph = pair.one.graph
    prefixes = [chosen[: k + 1] for k in range(len(chosen))]
    rows = [
        {
            "swapped": node,
            "from": float(pair.one.activation[graph.row(node)]),
            "to": trial.values[node],
            "predicted": predicted,
            "closed": closed,
            "label": graph.nodes["label"][graph.row(node)],
        }
        for node, predicted, closed in zip(
            chosen, trial.predicted(prefixes), trial.closed(prefixes), strict=True
        )
    ]
    return pl.DataFrame(rows, schema=SCHEMA)
