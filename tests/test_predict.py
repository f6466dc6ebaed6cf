from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import gate
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.actions import Affine, Intervention, ablate, add, named_nodes, scale, setting
from circuits.graph.graph import Graph
from circuits.graph.predict import predict, without_predictions
from circuits.graph.run import run

QUIET = settings(max_examples=10, deadline=None)
NUMBERS = st.floats(-3, 3, allow_nan=False)


def brute(graph: Graph, done: dict[str, Affine], targets: list[str]) -> list[float]:
    """Node by node: features become scale · gate(Σ strength · a') + offset, constants scale · a + offset."""
    incoming: dict[str, list[tuple[str, float]]] = {}
    for s, t, strength in graph.edges.select(pl.col("source", "target").cast(pl.String), "strength").rows():
        incoming.setdefault(t, []).append((s, strength))
    now: dict[str, float] = {}
    z: dict[str, float] = {}
    for node in graph.nodes.iter_rows(named=True):
        name = node["node"]
        made = node["activation"]
        if node["expanded"]:
            z[name] = sum(strength * now[s] for s, strength in incoming.get(name, []))
            if node["kind"] == "feature":
                made = gate(node["gate"], z[name], node["threshold"] or 0.0)
        factor, amount = done.get(name, (1.0, 0.0))
        now[name] = factor * made + amount if made is not None else 0.0
    return [z[name] for name in targets]


@given(graphs(), st.integers(0, 2**16))
@QUIET
def test_a_prediction_is_the_node_by_node_loop(graph: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    double = graph.edges["weight"].dtype == pl.Float64
    if not double and graph.nodes["threshold"].is_not_null().any():
        return  # a float32 rounding may cross a threshold
    names = graph.nodes.filter(pl.col("kind") != "logit")["node"].to_list()
    interventions = []
    for number in range(4):
        chosen = rng.choice(names, size=min(3, len(names)), replace=False)
        drawn = {str(n): Affine(float(rng.choice([0, 0.5, 1, 2])), float(rng.normal())) for n in chosen}
        interventions.append(Intervention(str(number), drawn))
    targets = graph.targets
    found = predict(graph, interventions, targets=targets)
    for row, one in zip(found, interventions, strict=True):
        wanted = brute(graph, dict(one.nodes), targets)
        assert np.allclose(row, wanted, atol=(1e-9 if double else 5e-4) * max(1, np.abs(wanted).max()))


def test_switching_off_is_what_the_graph_runs_without_it() -> None:
    graph = random_graph(3)
    features = graph.nodes.filter(pl.col("kind") == "feature")["node"].to_list()[:4]
    found = predict(graph, [ablate(features[:1]), ablate(features), Intervention("nothing")])
    wanted = [run(graph, off=features[:1])[0], run(graph, off=features)[0], run(graph)[0]]
    assert np.allclose(found, wanted, atol=1e-6)
    assert not np.allclose(found[0], found[2]) or not np.allclose(found[1], found[2])


def test_a_feature_without_a_position_is_meant_at_every_one() -> None:
    graph = sample_graph()  # John's 0/822 is on at both his places
    found = predict(graph, [ablate(["0/822"]), ablate(["0/822@3", "0/822@9"]), ablate(["0/822@3"])])
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


@given(st.lists(st.tuples(st.sampled_from("sca"), NUMBERS), max_size=5), NUMBERS)
def test_things_done_one_after_the_other_come_to_two_numbers(
    steps: list[tuple[str, float]], a: float
) -> None:
    parts = [{"s": setting, "c": scale, "a": add}[how]({"0/1@2": value}) for how, value in steps]
    done = Intervention.of("all", *parts).nodes.get("0/1@2", Affine(1.0, 0.0))
    expected = a
    for how, value in steps:
        expected = {"s": value, "c": expected * value, "a": expected + value}[how]
    assert done.scale * a + done.offset == pytest.approx(expected, abs=1e-9)


def test_what_is_done_is_written_as_it_is_given() -> None:
    one = Intervention.of(
        "x", setting({"a": 0, "b": 3.5}), scale({"c": 2}), add({"d": -1.5}), scale({"e": 2}), add({"e": 1})
    )
    assert one.written() == ("a=0", "b=3.5", "c*2", "d-1.5", "e*2+1")
    assert named_nodes([ablate(["a", "b"]), ablate(["b", "c"])]) == ["a", "b", "c"]


def test_what_the_graph_does_not_hold_it_does_not_predict() -> None:
    graph = random_graph(3)
    logit = graph.nodes.filter(pl.col("kind") == "logit")["node"][0]
    with pytest.raises(NotFound, match="99/1@0 is not among"):
        predict(graph, [ablate(["99/1@0"])])
    with pytest.raises(NotFound, match="99/1 is not among"):
        predict(graph, [ablate(["99/1"])])
    with pytest.raises(UsageError, match="is an output"):
        predict(graph, [ablate([logit])])
    with pytest.raises(UsageError, match="NaN or infinity"):
        Intervention("x", setting({"a": float("nan")}))
    assert without_predictions(graph, [ablate(["99/1", "tok@0"])]) == ["99/1"]
