"""One prompt of the study: its graph, what it predicts, what the model does, what its circuits carry."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from faithfulness_prompts import Task  # type: ignore[import-not-found]
from faithfulness_rankings import SIGNED, ordered, scores  # type: ignore[import-not-found]

from circuits.dictionaries.base import AbstractDictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import AllActive, ByAttribution
from circuits.graph.actions import Affine, Intervention, ablate
from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.intervene.faithfulness import Ablation, faithfulness
from circuits.intervene.hold import FREE, FROZEN
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.session import Session
from circuits.intervene.sources import mean
from circuits.models.base import Model
from circuits.prompt import LogitDifference, Prompt

Row = dict[str, Any]

TOLERANCE: Final = 1e-5
"""Of edges: small enough that frozen predictions fail by the rounding of `rest` only."""

TEXTS: Final = NEUTRAL[:8]
"""What means are taken from."""


@dataclass(frozen=True)
class Plan:
    """How much is done of one prompt.

    Attributes:
        neurons: how many are kept, those that matter most to the target (`ByAttribution`).
        singles: features switched off one by one, from those with the largest influence.
        pairs: pairs of the first of them, switched off singly and together.
        shares: sizes of circuits, as shares of all features of the run.
        ablations: what features outside a circuit become.
    """

    neurons: int = 1000
    singles: int = 40
    pairs: int = 40
    shares: tuple[float, ...] = (0.0, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
    ablations: tuple[str, ...] = ("zero", "mean")


def studied(model: Model, dictionary: AbstractDictionary, task: Task, plan: Plan, seed: int) -> Row:
    """Gives everything measured on one prompt, JSON-compatible."""
    start = time.process_time()
    graph = _graph(model, dictionary, task, plan)
    session = Session.of(model, dictionary, graph)
    tests = tried(session, plan, seed)
    return {
        "kind": task.kind,
        "text": task.text,
        "answer": task.answer,
        "rival": task.rival,
        "features": len(graph.nodes.filter(kind="feature")),
        "value": session.targets[0].value,
        "tests": tests,
        "curves": curves(session, plan, seed),
        "cpu seconds": round(time.process_time() - start, 1),
    }


def _graph(model: Model, dictionary: AbstractDictionary, task: Task, plan: Plan) -> Graph:
    prompt = Prompt.of(task.text, model, targets=(LogitDifference(task.answer, task.rival),))
    select = ByAttribution(plan.neurons) if dictionary.kind == "neurons" else AllActive()
    trace = extract(model, dictionary, prompt, Extraction(select, labels=False))
    return attribute(trace, (Edges(tolerance=TOLERANCE),))


def tried(session: Session, plan: Plan, seed: int) -> list[list[float]]:
    """Gives one row an ablation: what the graph predicts of it, and what the model does, frozen and free.

    A row is the order, the layers from there to the output, and the three effects. A pair's effects are
    what both do beyond what each does alone: effect(ab) − effect(a) − effect(b).
    """
    graph, dice = session.graph, np.random.default_rng(seed)
    table = graph.nodes.filter(kind="feature").sort("influence", descending=True, nulls_last=True)
    names = table["node"].to_list()[: plan.singles]
    layers = dict(table.select("node", "layer").iter_rows())
    chosen = {tuple(sorted(dice.choice(len(names), 2, replace=False).tolist())) for _ in range(plan.pairs)}
    pairs = [(names[a], names[b]) for a, b in sorted(chosen)]
    done = [ablate([name]) for name in names] + [ablate(pair) for pair in pairs]
    base = predict(graph, [Intervention("nothing")])
    measured = (session.run(done, hold).effects[:, 0] for hold in (FROZEN, FREE))
    effects = np.stack([(predict(graph, done) - base)[:, 0], *measured])
    place = {name: i for i, name in enumerate(names)}
    last = session.model.n_layers
    rows: list[list[float]] = [
        [1, last - layers[name], *effects[:, i].tolist()] for i, name in enumerate(names)
    ]
    for i, (a, b) in enumerate(pairs, start=len(names)):
        both = effects[:, i] - effects[:, place[a]] - effects[:, place[b]]
        rows.append([2, last - max(layers[a], layers[b]), *both.tolist()])
    return rows


def curves(session: Session, plan: Plan, seed: int) -> list[Row]:
    """Gives f(C) and f(M∖C) of nested circuits for every ranking and ablation, the model free."""
    scored = scores(session, seed)
    wanted = {}
    for name, score in scored.items():
        wanted[name, "magnitude"] = ordered(score, magnitude=True)
        if name in SIGNED:
            wanted[name, "value"] = ordered(score, magnitude=False)
    rankings = {" by ".join(key): ranking for key, ranking in wanted.items()}
    rows = []
    for kind in plan.ablations:
        ablation = Ablation(name=kind)
        if kind == "mean":
            means = mean(session, ablation.members(session.graph), texts=TEXTS)
            ablation = replace(ablation, values={node: _offset(done) for node, done in means.items()})
        found = faithfulness(session, rankings, shares=plan.shares, ablation=ablation)
        for (name, by), curve in zip(wanted, found.values(), strict=True):
            areas = curve.areas
            rows.append(
                {
                    "ablation": kind,
                    "ranking": name,
                    "by": by,
                    "whole": curve.whole,
                    "empty": curve.empty,
                    "faithful": curve.faithfulness.tolist(),
                    "left": curve.completeness.tolist(),
                    "cpr": areas.cpr,
                    "cmd": areas.cmd,
                }
            )
    return rows


def _offset(done: Affine) -> float:
    return done.offset
