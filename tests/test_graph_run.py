from __future__ import annotations

import jax
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import gate
from scipy.special import erf, expit
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.graph.prune import prune
from circuits.graph.run import Runner, run
from circuits.schema import GATES

QUIET = settings(max_examples=10, deadline=None)


def brute(graph: Graph, mask: np.ndarray, targets: list[str]) -> list[float]:
    """DESIGN 2.3 node by node: a feature is mask · gate(Σ strength · a'), a constant mask · a."""
    incoming: dict[str, list[tuple[str, float, float]]] = {}
    for s, t, weight, strength in graph.edges.cast({"source": pl.String, "target": pl.String}).rows():
        incoming.setdefault(t, []).append((s, weight, strength))
    now: dict[str, float] = {}
    z: dict[str, float] = {}
    for row, node in enumerate(graph.nodes.iter_rows(named=True)):
        name = node["node"]
        if not node["expanded"]:
            now[name] = float(mask[row]) * node["activation"]
            continue
        z[name] = sum(strength * now[s] for s, _, strength in incoming.get(name, []))
        if node["kind"] == "feature":
            now[name] = float(mask[row]) * gate(node["gate"], z[name], node["threshold"] or 0.0)
    return [z[name] for name in targets]


def expanded(graph: Graph) -> list[str]:
    return graph.nodes.filter("expanded")["node"].to_list()


def precision(graph: Graph) -> float:
    return 1e-10 if graph.edges["weight"].dtype == pl.Float64 else 2e-4


@given(graphs(), st.integers(0, 2**16))
@QUIET
def test_any_coalition_is_the_node_by_node_loop(graph: Graph, seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks = rng.random((5, len(graph.nodes))) * (rng.random((5, len(graph.nodes))) < 0.7)
    targets = expanded(graph)  # every feature's pre-activation, not just the outputs'
    if graph.edges["weight"].dtype == pl.Float32 and graph.nodes["threshold"].is_not_null().any():
        masks = np.ones_like(masks)  # a float32 rounding may cross a threshold anywhere else
    found = run(graph, masks, targets=targets, batch=2)
    for row, mask in zip(found, masks, strict=True):
        wanted = brute(graph, mask, targets)
        assert np.allclose(row, wanted, atol=precision(graph) * max(1, np.abs(wanted).max()))


@given(graphs())
@QUIET
def test_with_everything_on_it_gives_the_recorded_numbers(graph: Graph) -> None:
    names = expanded(graph)
    recorded = graph.nodes.filter("expanded")["pre_activation"].to_numpy()
    assert np.allclose(run(graph, targets=names)[0], recorded, rtol=1e-6, atol=1e-6)
    logits = graph.nodes.filter(pl.col("kind") == "logit")["pre_activation"].to_numpy()
    assert graph.targets == graph.nodes.filter(pl.col("kind") == "logit")["node"].to_list()
    assert np.allclose(run(graph)[0], logits, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_feature_at_its_threshold_stays_off_with_everything_on(dtype: type[np.floating]) -> None:
    """A top-k selection is frozen at the strongest feature left out: its z is the threshold."""
    for seed in range(5):
        graph = random_graph(seed, gates=("topk",), features=8, dtype=dtype)
        at_edge = (pl.col("kind") == "feature") & (pl.col("activation") == 0)
        graph = graph.with_nodes(
            threshold=pl.when(at_edge).then("pre_activation").otherwise(pl.lit(-1e9)).cast(pl.Float64)
        )
        assert graph.nodes.select(at_edge.sum()).item() > 0
        assert np.array_equal(run(graph)[0], graph.nodes["pre_activation"].to_numpy()[-2:].astype(dtype))


def test_switching_one_source_off_moves_linear_targets_by_its_weight() -> None:
    """Among features that nothing reacts to, an edge is what a target loses without its source."""
    graph = random_graph(2, layers=1, features=6, gates=("relu",), density=1.0)
    (target,) = graph.targets[:1]
    into = graph.edges.filter(pl.col("target") == target).cast({"source": pl.String})
    layer_one = into.filter(pl.col("source").str.contains("/") | pl.col("source").str.starts_with("err"))
    assert len(layer_one) > 3
    value = run(graph)[0, 0]
    for source, weight in layer_one.select("source", "weight").rows():
        assert value - run(graph, off=[source])[0, 0] == pytest.approx(weight, abs=1e-12)


def test_a_dormant_feature_turns_on_when_what_held_it_down_goes() -> None:
    """tok@0 → inhibitor (2) ⊣ sleeper (1 - 2·2 = -3) → logit (+5): without the inhibitor, 5·1."""
    graph = random_graph(0, tokens=1, layers=2, features=1, logits=1, errors=False, bias=False)
    nodes = graph.nodes.with_columns(
        activation=pl.Series([1.0, 2.0, 0.0, 0.0]), pre_activation=pl.Series([None, 2.0, -3.0, 0.0])
    )
    ends = np.array([0, 0, 1, 2], np.int32), np.array([1, 2, 2, 3], np.int32)
    net = Graph.of(nodes, ends, (np.array([2.0, 1.0, -4.0, 0.0]), np.array([2.0, 1.0, -2.0, 5.0])))
    inhibitor, sleeper = nodes["node"].to_list()[1:3]
    assert run(net).tolist() == [[0.0]]
    assert run(net, off=[inhibitor]).tolist() == [[5.0]]
    assert run(net, off=[inhibitor, sleeper]).tolist() == [[0.0]]
    assert run(net, np.array([[1.0, 0.25, 1, 1]])).tolist() == [[0.0]]  # 1 - 2·0.5 is not above 0
    assert run(net, np.array([[1.0, 0.125, 0.5, 1]])).tolist() == [[1.25]]  # 5 · ½ · (1 - 2·0.25)


FORMULAS = {
    "linear": lambda z, t: z,
    "relu": lambda z, t: np.clip(z, 0, None),
    "jumprelu": lambda z, t: z * (z > t),
    "topk": lambda z, t: z * (z > t),
    "abstopk": lambda z, t: z * (np.abs(z) > t),
    "gelu": lambda z, t: z / 2 * (1 + erf(z / np.sqrt(2))),
    "gelu_tanh": lambda z, t: z / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3))),
    "silu": lambda z, t: z * expit(z),
    "tanh": lambda z, t: np.tanh(z),
}


@pytest.mark.parametrize("name", GATES)
def test_every_gate_is_its_formula(name: str) -> None:
    """One token scaled by its mask → feature (z = 3·mask, threshold 0.7) → logit (2a)."""
    graph = random_graph(0, tokens=1, layers=1, features=1, logits=1, errors=False, bias=False)
    f = FORMULAS[name]
    a = float(f(np.array(3.0), 0.7))
    nodes = graph.nodes.with_columns(
        activation=pl.Series([1.0, a, 2 * a]),
        pre_activation=pl.Series([None, 3.0, 2 * a]),
        threshold=pl.Series([None, 0.7, None]),
        gate=pl.Series([None, name, None], dtype=pl.Enum(GATES)),
    )
    ends = np.array([0, 1], np.int32), np.array([1, 2], np.int32)
    net = Graph.of(nodes, ends, (np.array([3.0, 2 * a]), np.array([3.0, 2.0])))
    scale = np.linspace(-2, 2, 41)
    masks = np.stack([scale, np.ones(41), np.ones(41)], axis=1)
    assert np.allclose(run(net, masks)[:, 0], 2 * f(3 * scale, 0.7), atol=1e-12)


@given(graphs(dtype=np.float64))
@settings(max_examples=6, deadline=None)
def test_a_pruned_graph_still_gives_the_outputs(graph: Graph) -> None:
    pruned = prune(graph, node_threshold=0.5, edge_threshold=0.8)
    assert np.allclose(run(pruned), run(graph), atol=1e-12)
    everything_off = np.zeros((1, len(pruned.nodes)))
    assert np.allclose(
        run(pruned, everything_off), brute(pruned, everything_off[0], pruned.targets), atol=1e-9
    )


def test_batches_and_mask_kinds_change_nothing() -> None:
    graph = random_graph(4, gates=("relu", "silu"), unexpanded=0.2, rest=True)
    masks = np.random.default_rng(0).random((23, len(graph.nodes))) < 0.6
    whole = Runner(graph, batch=64)(masks)
    assert whole.shape == (23, 2)
    assert np.ptp(whole, axis=0).min() > 0.01
    for batch in (1, 7, 23):
        assert np.allclose(Runner(graph, batch=batch)(masks), whole, atol=1e-12)
    assert np.array_equal(Runner(graph, batch=64)(masks.astype(np.int8)), whole)
    assert Runner(graph)(masks[:0]).shape == (0, 2)


def test_float64_graphs_run_in_float64_and_leave_jax_as_it_was() -> None:
    double = random_graph(1, dtype=np.float64)
    assert run(double).dtype == np.float64
    assert run(random_graph(1, dtype=np.float32)).dtype == np.float32
    assert not jax.config.jax_enable_x64
    assert run(double)[0].tolist() == double.nodes["pre_activation"].to_list()[-2:]


def test_a_mask_on_the_target_itself_does_not_count() -> None:
    graph = random_graph(1)
    name = graph.nodes.filter(pl.col("kind") == "feature", "expanded")["node"][5]
    for target in (graph.targets[0], name):
        assert run(graph, off=[target], targets=[target]) == run(graph, targets=[target])


def test_senseless_masks_and_targets_are_refused() -> None:
    graph = random_graph(0, unexpanded=0.5)
    size = len(graph.nodes)
    with pytest.raises(UsageError, match=rf"shape \(1, 3\) instead of \(coalitions, {size}\)"):
        run(graph, np.ones((1, 3)))
    with pytest.raises(UsageError, match="NaN or infinity"):
        run(graph, np.full((1, size), np.nan))
    with pytest.raises(NotFound, match="tok@9"):
        run(graph, off=["tok@9"])
    with pytest.raises(UsageError, match="tok@0 was not expanded"):
        run(graph, targets=["tok@0"])
    with pytest.raises(UsageError, match="No target"):
        run(graph.with_nodes(target_weight=pl.lit(0.0)))
    with pytest.raises(UsageError, match="batch of 0"):
        run(graph, batch=0)
