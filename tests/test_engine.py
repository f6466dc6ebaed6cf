"""The engine against its slow twin, against completeness, and against the trace's own equations."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from strategies import random_trace

from circuits.engine.attribute import Compute, attribute, completeness_residual
from circuits.engine.edges import Edges
from circuits.engine.exact import exact_weights
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.schema import feature_name

ALL = Edges(tolerance=0.0)
EVERY_PART = {
    "plain": {},
    "parallel": {"parallel": True},
    "cross-layer": {"cross_layer": True},
    "jumprelu": {"gates": ("jumprelu",)},
    "many gates": {"gates": ("gelu", "linear", "topk")},
    "feature target": {"feature_target": True},
    "bare": {"without": {"position", "attention_constant", "skip", "constant", "error", "scales", "bias"}},
    "no attention": {"without": {"attention"}},
    "parallel, no skip": {"parallel": True, "without": {"skip"}},
    "past the unrolled positions": {"n": 19, "layers": 2, "features": 3},
    "one token": {"n": 1},
    "MLPs that pass": {"passing": (0, 2), "gates": ("abstopk",)},
    "parallel, MLPs that pass": {"passing": (1,), "parallel": True},
    "features on the stream": {"stream": (1,), "passing": (0, 1, 2)},
    "parallel, features on the stream": {"stream": (0, 2), "passing": (0, 1), "parallel": True},
    "on the stream, bare": {"stream": (1,), "without": {"attention", "constant", "error"}},
    "one head, one group": {"heads": 1, "groups": 1},
}


def weights(graph: Graph) -> dict[tuple[str, str], float]:
    rows = graph.edges.filter(pl.col("weight") != 0).select("target", "source", "weight").iter_rows()
    return {(target, source): weight for target, source, weight in rows}


@pytest.mark.parametrize("parts", EVERY_PART.values(), ids=EVERY_PART.keys())
def test_edges_equal_the_slow_twin(parts: dict) -> None:
    trace = random_trace(3, **parts)
    fast = weights(attribute(trace, (ALL,)))
    slow = {(t, s): w for t, row in exact_weights(trace).items() for s, w in row.items()}
    assert set(fast) == {edge for edge, w in slow.items() if abs(w) > 1e-300}
    largest = max(map(abs, slow.values()))
    assert max(abs(fast[edge] - slow[edge]) for edge in fast) <= 1e-12 * largest


@pytest.mark.parametrize("parts", EVERY_PART.values(), ids=EVERY_PART.keys())
@pytest.mark.parametrize(("dtype", "bound"), [(np.float64, 1e-12), (np.float32, 1e-5)])
@pytest.mark.parametrize("tolerance", [0.0, 0.02])
def test_incoming_weights_sum_to_the_pre_activation(
    parts: dict, dtype: type, bound: float, tolerance: float
) -> None:
    graph = attribute(random_trace(5, dtype=dtype, **parts), (Edges(tolerance=tolerance),))
    assert graph.nodes.filter("expanded").height > 2
    assert completeness_residual(graph) <= bound
    assert graph.meta["completeness_residual"] <= bound


def test_what_falls_below_the_tolerance_is_accounted_for() -> None:
    trace = random_trace(7)
    full, cut = attribute(trace, (ALL,)), attribute(trace, (Edges(tolerance=0.05),))
    assert len(cut.edges) < len(full.edges)
    constant = ("bias", "rest")
    kinds = full.nodes.select(source="node", kind="kind")
    for target in cut.nodes.filter("expanded")["node"]:
        rows = [
            g.edges.filter(pl.col("target") == target)
            .with_columns(pl.col("source").cast(pl.String))
            .join(kinds, on="source")
            .filter(~pl.col("kind").is_in(constant))
            for g in (full, cut)
        ]
        magnitude, kept = (row["weight"].abs().sum() for row in rows)
        truncated = cut.nodes.row(cut.row(target), named=True)["truncated"]
        assert truncated == pytest.approx(magnitude - kept, abs=1e-9 * magnitude)
        smallest = rows[1].filter(pl.col("weight") != 0)["weight"].abs().min()
        assert smallest is None or smallest >= 0.05 * magnitude * (1 - 1e-9)


def test_a_dormant_source_has_no_weight_but_a_strength() -> None:
    trace = random_trace(11, dormant=True)
    graph = attribute(trace, (ALL,))
    f = trace.features
    off = [feature_name(*map(int, x)) for x in zip(f.layer, f.id, f.position, strict=True) if True]
    off = [name for name, a in zip(off, f.activation, strict=True) if a == 0 and name[0] == "0"]
    assert off
    out = graph.edges.filter(pl.col("source").cast(pl.String).is_in(off))
    assert len(out) > 0
    assert (out["weight"] == 0).all()
    assert (out["strength"] != 0).all()


def test_strength_times_activation_is_weight() -> None:
    graph = attribute(random_trace(13), (ALL,))
    table = graph.edges.with_columns(pl.col("source").cast(pl.String)).join(
        graph.nodes.select(source="node", activation="activation"), on="source"
    )
    product = (table["strength"] * table["activation"]).to_numpy()
    np.testing.assert_allclose(product, table["weight"].to_numpy(), atol=1e-12)


def test_a_budget_expands_the_most_influential_features_and_keeps_the_others_as_sources() -> None:
    trace = random_trace(17, n=5, features=8, dormant=False)
    full = attribute(trace, (ALL,))
    few = attribute(trace, (Edges(tolerance=0.0, max_features=10),))
    expanded = few.nodes.filter(pl.col("expanded") & (pl.col("kind") == "feature"))["node"]
    assert len(expanded) == 10
    assert few.nodes["node"].to_list() == full.nodes["node"].to_list()
    assert completeness_residual(few) <= 1e-12
    # with one round the choice is by influence on the targets alone, which is each direct share
    direct = attribute(trace, (Edges(tolerance=0.0, max_features=0),)).nodes.filter(kind="feature")
    best = direct.sort("influence", descending=True)["node"].head(10)
    assert set(expanded) == set(best)


def test_a_feature_target_is_expanded_even_without_a_budget() -> None:
    graph = attribute(random_trace(19, feature_target=True), (Edges(max_features=0),))
    asked = graph.nodes.filter((pl.col("target_weight") > 0) & (pl.col("kind") == "feature"))
    assert asked["expanded"].to_list() == [True]


def test_several_workers_give_the_same_rows() -> None:
    trace = random_trace(23, n=9, features=20)
    one, many = (attribute(trace, (ALL,), compute=Compute(workers=w)) for w in (1, 3))
    assert one.edges.equals(many.edges)


def test_progress_ends_at_the_number_of_rows() -> None:
    seen: list[tuple[int, int]] = []
    trace = random_trace(29)
    attribute(trace, (ALL,), progress=lambda _, done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] == len(trace.features) + len(trace.targets)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_refuses_a_device_that_is_not_there_and_settings_out_of_range() -> None:
    with pytest.raises(UsageError, match="no 'gpu' device"):
        attribute(random_trace(1), compute=Compute(device="gpu"))
    with pytest.raises(UsageError, match="2 of the methods are Edges"):
        attribute(random_trace(1), (ALL, ALL))
    with pytest.raises(UsageError, match=r"Tolerance 1\.5"):
        Edges(tolerance=1.5)
    with pytest.raises(UsageError, match="-1 features"):
        Edges(max_features=-1)
