"""`why … over …` on every planted model: a second output reads a concept; the difference is known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.graph.graph import Graph
from circuits.planted import PLANTED, Planted, plant
from circuits.planted.design import LAST, Unit
from circuits.planted.plant import _DESIGNS
from circuits.query.why import why
from circuits.schema import parse_feature
from circuits.trace import Targets


def with_no(made: Planted, by_hand: dict[str, float]) -> Graph:
    """The graph of the model with a second output, which reads the line of the first concept."""
    trace, f = made.trace, made.trace.features
    layer, feature, position = parse_feature(next(iter(made.concepts.values()))[0]) or (0, 0, 0)
    row = np.flatnonzero((f.layer == layer) & (f.id == feature) & (f.position == position))[0]
    line = trace.vectors[trace.writes.vector[np.flatnonzero(trace.writes.feature == row)[0]]]
    old = trace.targets
    both = Targets(
        names=(*old.names, "logit:no"),
        vector=np.concatenate([old.vector, line[None] / np.linalg.norm(line)]),
        position=np.append(old.position, old.position[0]).astype(np.int32),
        bias=np.append(old.bias, 0.0),
        weight=np.array([0.5, 0.5]),
        value=np.append(old.value, sum(by_hand.values())),
        feature=np.append(old.feature, -1).astype(np.int32),
    )
    return attribute(replace(trace, targets=both), (Edges(tolerance=0),))


@pytest.mark.parametrize("name", PLANTED)
def test_the_difference_of_two_outputs_is_that_of_the_design(name: str) -> None:
    made, design = plant(name), _DESIGNS[name]()
    reader = Unit("no", LAST, {design.concepts[0]: 1.0}, position=len(design.tokens) - 1)
    _, activation, _ = design.activations()
    no = {
        made.names[unit.name]: design.strength(unit, reader) * activation[unit.name] for unit in design.units
    }
    no |= {f"tok@{p}": design.strength(p, reader) for p in range(len(design.tokens))}
    yes = {edge.source: edge.weight for edge in made.truth.edges if edge.target == made.target}
    answer = why(with_no(made, no), "yes", over="no", top=50)
    wanted = {node: yes.get(node, 0.0) - no.get(node, 0.0) for node in {*yes, *no}}
    assert answer.meta["value"] == pytest.approx(sum(wanted.values()), abs=1e-9)
    assert answer.tables["totals"]["total"].sum() == pytest.approx(sum(wanted.values()), abs=1e-9)
    told = dict(answer.tables["features"].select("node", "weight").iter_rows())
    told |= dict(answer.tables["words"].select("node", "weight").iter_rows())
    for node, weight in told.items():
        assert (weight or 0.0) == pytest.approx(wanted.get(node, 0.0), abs=1e-9)
    for node, weight in wanted.items():
        assert abs(weight) < 1e-9 or node in told or node == "bias:own"
    best = max((weight, node) for node, weight in wanted.items() if node != "bias:own")
    text = answer.finding[0]
    if best[0] < 1e-9:
        assert "has no direct support" in text
    else:
        first = [node for node, weight in wanted.items() if abs(weight - best[0]) < 1e-9]
        assert any(node.partition("@")[0] in text or node.startswith("tok") for node in first)
    idle = {node for node in made.names.values() if node not in made.truth.nodes and not no.get(node)}
    influence = dict(answer.tables["features"].select("node", "influence").iter_rows())
    assert all(influence.get(node, 0.0) < 1e-9 for node in idle)  # decoys do nothing
