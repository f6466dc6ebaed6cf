"""Rankings of a run's features: this package's, and simpler ones that any study can have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float

from circuits.graph.graph import Graph
from circuits.intervene.session import Session
from circuits.models.sites import Change, Place, replaced

RANKINGS: Final = ("effect", "influence", "gradient x activation", "activation", "random")
"""`effect`: what the graph says is lost without the feature alone; `influence`: its share of the target
along all paths (Ameisen et al. 2025); `gradient x activation`: of the model's target, by autograd."""

SIGNED: Final = ("effect", "gradient x activation")
"""Scores whose sign says whether a feature helps: MIB ranks by value for CPR and by magnitude for CMD."""


def scores(session: Session, seed: int) -> Mapping[str, dict[str, float]]:
    """Gives every ranking's score of every feature of the run."""
    graph = session.graph
    names = graph.nodes.filter(kind="feature")["node"].to_list()
    return {
        "effect": dict(zip(names, _effects(graph, names), strict=True)),
        "influence": _column(graph, names, "influence"),
        "gradient x activation": gradients(session),
        "activation": {name: abs(v) for name, v in _column(graph, names, "activation").items()},
        "random": dict(zip(names, np.random.default_rng(seed).random(len(names)).tolist(), strict=True)),
    }


def ordered(score: Mapping[str, float], *, magnitude: bool) -> list[str]:
    """Gives the nodes, the best first: by value, or by magnitude."""
    return sorted(score, key=lambda node: -(abs(score[node]) if magnitude else score[node]))


def _column(graph: Graph, names: list[str], column: str) -> dict[str, float]:
    values = dict(graph.nodes.select("node", column).iter_rows())
    return {name: float(values[name] or 0.0) for name in names}


def _effects(graph: Graph, names: list[str]) -> list[float]:
    masks = np.ones((len(names) + 1, len(graph.nodes)), np.float32)
    masks[np.arange(len(names)), [graph.row(name) for name in names]] = 0
    values = graph.run(masks, batch=256)[:, 0]
    return [float(value) for value in values[-1] - values[:-1]]


def gradients(session: Session) -> dict[str, float]:
    """Gives d target / d activation · activation of every feature of the run, by autograd on the module.

    Patterns, norms and MLPs are as free as in the model: the gradient of the whole, at the untouched prompt.
    """
    model, target = session.model, session.targets[0]
    n, site = len(session.prompt.ids), session.dictionary.write_site
    into = {layer for table in session.tables.values() for layer, _, _ in table.writes}
    moved = {layer: torch.zeros(n, model.width, dtype=model.dtype, requires_grad=True) for layer in into}
    changes: dict[Place, Change] = {(layer, site): _plus(by) for layer, by in moved.items()}
    module: Any = model.module
    with torch.enable_grad(), replaced(model, changes):
        logits = module(torch.tensor([session.prompt.ids]), use_cache=False).logits[0, -1]
        (logits[target.ids[0]] - logits[target.ids[1]]).backward()
    found: dict[str, float] = {}
    for layer, table in session.tables.items():
        total = torch.zeros_like(table.activation)
        for to, rows, times in table.writes:
            slope = moved[to].grad
            assert slope is not None
            part = (slope[table.position] * rows[table.place]).sum(dim=1)
            total += part if times is None else part * times
        score: Float[np.ndarray, "f"] = (total * table.activation).numpy()
        for feature, row in table.index.items():
            found[f"{layer}/{feature.id}@{feature.pos}"] = float(score[row])
    return found


def _plus(moved: torch.Tensor) -> Change:
    return lambda y: y + moved
