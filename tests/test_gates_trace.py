"""Gated neurons in a trace: what feeds the gate and what feeds the value, and the files that hold it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from literal import gate
from literal_gates import interaction
from strategies import random_trace

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.engine.gates.method import Gates
from circuits.engine.gates.of_trace import NeuronReader, neurons_of
from circuits.engine.interact import interact
from circuits.errors import InvalidFile, UsageError
from circuits.graph.graph import Graph
from circuits.schema import feature_name
from circuits.trace import Gated, Terms, Trace
from circuits.trace_io import check_trace, load_trace, save_trace

CONSTANT = ("bias:", "rest")


def gated_trace(seed: int = 0, **parts: object) -> Trace:
    """Linear features, most of which are said to be products of what two of their vectors read."""
    trace = random_trace(seed, n=2, layers=2, features=3, gates=("linear",), **parts)
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.permutation(len(trace.features))[: len(trace.features) - 2]).astype(np.int32)
    first = np.array([trace.reads.vector[trace.reads.feature == i][0] for i in chosen], np.int32)
    gated = Gated(
        chosen[::-1].copy(),
        first[::-1].copy(),
        first[::-1] + 1,
        rng.normal(size=len(chosen)).astype(trace.dtype),
        rng.normal(size=len(chosen)).astype(trace.dtype),
        "silu",
    )
    return replace(trace, gated=gated)


def read_apart(trace: Trace, vector: np.ndarray) -> dict[str, dict[str, float]]:
    """What every source adds to what each gated neuron reads with one vector, carried up literally."""
    assert trace.gated is not None
    ones = np.ones(len(vector))
    layer = trace.features.layer[trace.gated.feature]
    reads = Terms(trace.gated.feature, vector, layer, ones)
    weights = exact_weights(replace(trace, reads=reads))
    return {t: {s: w for s, w in of.items() if not s.startswith(CONSTANT)} for t, of in weights.items()}


def whole_graph(trace: Trace) -> Graph:
    return attribute(trace, [Edges(tolerance=0)])


def test_gate_and_value_are_read_apart() -> None:
    trace = gated_trace(3)
    assert trace.gated is not None
    graph = whole_graph(trace)
    reader = NeuronReader(graph, trace)
    nodes = neurons_of(graph, trace)
    assert len(nodes) == len(trace.gated)
    names = graph.nodes["node"]
    gates, values = (read_apart(trace, v) for v in (trace.gated.gate_vector, trace.gated.value_vector))
    by_name = {
        feature_name(
            *(int(x[i]) for x in (trace.features.layer, trace.features.id, trace.features.position))
        ): at
        for at, i in enumerate(trace.gated.feature.tolist())
    }
    for row in reader.rows(nodes.tolist()):
        name = names[row.node]
        at = by_name[name]
        for added, wanted, bias, total in (
            (row.gate, gates[name], row.gate_bias, trace.gated.gate[at]),
            (row.value, values[name], row.value_bias, trace.gated.value[at]),
        ):
            told = {names[int(p)]: x for p, x in zip(row.players, added, strict=True)}
            # sources below the tolerance of rows are part of the bias
            scale = sum(abs(w) for w in wanted.values())
            for source in wanted.keys() | told.keys():
                assert told.get(source, 0) == pytest.approx(wanted.get(source, 0), abs=1.1e-4 * scale)
            assert bias + added.sum() == pytest.approx(total)


@pytest.mark.parametrize(("index", "hold"), [("SII", True), ("SII", False), ("Co-Moebius", False)])
def test_hyperedges_of_gated_neurons_are_what_enumeration_says(index: str, hold: bool) -> None:
    trace = gated_trace(1, without={"attention_constant"})
    graph = whole_graph(trace)
    settings = Gates(order=3, index=index, top=None, threshold=0, hold=hold)
    found = interact(graph, [settings], trace=trace).hyperedges
    reader, names, seen = NeuronReader(graph, trace), graph.nodes["node"], 0
    for row in reader.rows(neurons_of(graph, trace).tolist()):
        n = len(row.players)
        if n > 9:
            continue
        g, u = row.gate_bias + row.gate.sum(), row.value_bias + row.value.sum()
        ratio = gate("silu", g, 0.0) / g
        table = []
        for s in range(1 << n):
            on = [i for i in range(n) if s >> i & 1]
            z, v = row.gate_bias + row.gate[on].sum(), row.value_bias + row.value[on].sum()
            table.append((ratio * z if hold else gate("silu", z, 0.0)) * v)
        rows = found.filter(pl.col("target") == names[row.node])
        told = {tuple(r["members"]): r for r in rows.iter_rows(named=True)}
        for order in (2, 3):
            for members in combinations(range(n), order):
                wanted = interaction(np.array(table), members, index)
                key = tuple(names[int(row.players[i])] for i in members)
                if key not in told:
                    assert wanted == pytest.approx(0, abs=1e-9)
                    continue
                assert told[key]["weight"] == pytest.approx(wanted, abs=1e-9)
                every = (1 << n) - 1
                without = every & ~sum(1 << i for i in members)
                assert told[key]["effect"] == pytest.approx(table[every] - table[without], abs=1e-9)
                seen += 1
    assert seen > 20
    assert g * u != 0
    assert set(found["engine"]) <= ({"bilinear"} if hold else {"enumeration", "ablation"})


def test_a_graph_of_linear_features_needs_the_trace() -> None:
    trace = gated_trace(2)
    with pytest.raises(UsageError, match="pass the trace"):
        Gates().units(whole_graph(trace), None)
    with pytest.raises(UsageError, match="tells of no gated neurons"):
        Gates().units(whole_graph(trace), replace(trace, gated=None))


def test_gated_neurons_come_back_from_a_file(tmp_path: Path) -> None:
    trace = gated_trace(4)
    save_trace(trace, tmp_path / "t")
    back = load_trace(tmp_path / "t").gated
    assert trace.gated is not None
    assert back is not None
    for name, value in vars(trace.gated).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    save_trace(replace(trace, gated=None), tmp_path / "old")
    assert load_trace(tmp_path / "old").gated is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"activation": "tanh"}, "gated_activation is 'tanh'"),
        ({"feature": np.array([0, 0], np.int32)}, "names a feature twice"),
        ({"feature": np.array([0, 999], np.int32)}, r"gated.feature\[1\] is 999"),
        ({"value_vector": np.array([0, -1], np.int32)}, r"gated.value_vector\[1\] is -1"),
        ({"gate": np.array([0.0, np.nan])}, "gated.gate holds 1 numbers that are NaN"),
    ],
)
def test_broken_gated_keys_are_refused(change: dict[str, object], says: str) -> None:
    trace = random_trace(0, gates=("linear",))
    two = np.array([0, 1], np.int32)
    gated = Gated(two, two, two, np.zeros(2), np.zeros(2))
    check_trace(replace(trace, gated=gated))
    with pytest.raises(InvalidFile, match=says):
        check_trace(replace(trace, gated=replace(gated, **change)))


def test_a_gated_neuron_is_a_linear_feature() -> None:
    trace = random_trace(0, gates=("relu",))
    two = np.array([0, 1], np.int32)
    with pytest.raises(InvalidFile, match="whose gate is relu"):
        check_trace(replace(trace, gated=Gated(two, two, two, np.zeros(2), np.zeros(2))))
