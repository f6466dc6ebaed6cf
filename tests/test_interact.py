"""Units become hyperedges: what replaces what, what is resumed, what is refused before anything runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from fake_methods import Fake, FakeOutput, FakeTraced, found
from polars.testing import assert_frame_equal
from sample_graph import sample_graph
from strategies import random_trace

import circuits
from circuits.engine.interact import distinct, interact, merged, plan
from circuits.engine.methods import Found, Method, Unit
from circuits.errors import InvalidFile, UsageError
from circuits.graph.concepts import concepts, with_concepts
from circuits.graph.io import load_run, save_run
from circuits.schema import HYPEREDGE_SCHEMA

GRAPH = sample_graph()
TARGETS = GRAPH.targets


def weights(graph: circuits.Graph, **where: str) -> list[float]:
    return graph.hyperedges.filter(**where)["weight"].to_list()


def test_what_all_units_find_stands_in_one_numbered_table() -> None:
    graph = interact(GRAPH, [FakeOutput(scale=-1, orders=(2, 3)), Fake()])
    table = graph.hyperedges
    assert table.schema == HYPEREDGE_SCHEMA
    assert table["hyperedge"].to_list() == [f"h{i + 1}" for i in range(3 * len(TARGETS))]
    assert weights(graph, channel="mlp") == sorted((i + 1.0 for i in range(len(TARGETS))), reverse=True)
    assert sorted(weights(graph, channel="output", order=3)) == [i + 1.0 for i in range(len(TARGETS))]
    assert GRAPH.hyperedges.is_empty()  # nothing is changed in place
    assert_frame_equal(graph.nodes, GRAPH.nodes)


def test_meta_says_of_each_channel_how_it_was_found(tmp_path) -> None:
    graph = interact(GRAPH, [FakeOutput(scale=2.5, orders=(2, 3)), Fake()])
    told = graph.meta["interactions"]
    assert set(told) == {"output", "mlp"}
    output = told["output"]
    assert output["settings"] == {"method": "FakeOutput", "scale": 2.5, "orders": [2, 3]} | {
        name: output["settings"][name] for name in ("ran", "before", "needs")
    }
    assert output["found"] == {"2": len(TARGETS), "3": len(TARGETS)}
    assert output["engines"] == {"fake": 2 * len(TARGETS)}
    assert output["flops"] == 1e6 * len(TARGETS)
    assert output["seconds"] >= 0
    assert list(output["units"]) == TARGETS
    assert [unit["at"] for unit in output["units"].values()] == list(range(len(TARGETS)))
    save_run(graph, tmp_path / "run")  # JSON holds all of it
    assert load_run(tmp_path / "run").meta["interactions"] == told


CONCEPTS = with_concepts(GRAPH, concepts(GRAPH, ["texas=tok@1", "capital=tok@2", "state=tok@3"]))


def test_a_new_result_replaces_the_old_of_its_channel_index_and_target_alone() -> None:
    graph = interact(CONCEPTS, [Fake(), FakeOutput(scale=7)])
    other = found(TARGETS[0], [5.0], [["tok@1", "tok@2"]], index="FSII")
    concept = found(TARGETS[0], [6.0], [["texas", "capital"]])
    graph = merged(graph, [other, concept])
    again = merged(graph, [found(TARGETS[0], [9.0, 8.0], [["tok@5", "tok@6"], ["tok@6", "tok@7"]])])
    mine = {"channel": "mlp", "index": "SII", "target": TARGETS[0]}
    assert sorted(weights(again, **mine)) == [6.0, 8.0, 9.0]  # what is over concepts stays
    assert weights(again, index="FSII") == [5.0]
    for channel in ("mlp", "output"):
        for target in TARGETS[1:]:
            where = {"channel": channel, "target": target}
            assert weights(again, **where) == weights(graph, **where)


def test_over_concepts_only_the_same_members_are_replaced() -> None:
    pairs = [["texas", "capital"], ["texas", "state"]]
    graph = merged(CONCEPTS, [found(TARGETS[0], [6.0, 5.0], pairs)])
    again = merged(graph, [found(TARGETS[0], [4.0], [["capital", "texas"]])])
    assert sorted(weights(again)) == [4.0, 5.0]
    without = with_concepts(again, concepts(again, ["other=tok@3"]))  # takes the node of state
    assert weights(merged(without, [])) == [4.0]


def test_a_combination_counts_once_with_its_shares_or_without_the_whole() -> None:
    pair, other = ["tok@1", "tok@2"], ["tok@2", "tok@3"]
    whole = found(TARGETS[0], [4.0], [pair])
    shares = found(TARGETS[0], [3.0, 1.0], [pair, pair], via=["3/1@2", "4/1@2"])
    alone = found(TARGETS[0], [2.0, 5.0], [other, other[::-1]], via=["head:1.0@3,2", "head:2.0@3,2"])
    elsewhere = found(TARGETS[1], [7.0], [pair])
    table = distinct(pl.concat([shares, alone, whole, elsewhere]))
    assert sorted(table["weight"]) == [2.0, 4.0, 7.0]
    assert table.schema == HYPEREDGE_SCHEMA


def test_the_same_call_twice_is_the_same_as_once() -> None:
    once = interact(GRAPH, [Fake(orders=(2, 3)), FakeOutput()])
    assert_frame_equal(interact(once, [Fake(orders=(2, 3)), FakeOutput()]).hyperedges, once.hyperedges)


@pytest.mark.parametrize("stop", range(len(TARGETS)))
def test_an_interrupted_call_goes_on_where_it_stopped(stop: int) -> None:
    def interrupt(target: str) -> None:
        if target == TARGETS[stop]:
            raise KeyboardInterrupt

    kept: dict[str, Found] = {}
    with pytest.raises(KeyboardInterrupt):
        interact(GRAPH, [FakeOutput(), Fake(before=interrupt)], keep=kept.__setitem__)
    assert len(kept) == len(TARGETS) + stop
    first, second = FakeOutput(), Fake()
    resumed = interact(GRAPH, [first, second], done=kept, keep=kept.__setitem__)
    assert (first.ran, second.ran) == ([], TARGETS[stop:])
    assert_frame_equal(resumed.hyperedges, interact(GRAPH, [FakeOutput(), Fake()]).hyperedges)
    assert len(kept) == 2 * len(TARGETS)


def test_other_settings_are_other_work() -> None:
    kept: dict[str, Found] = {}
    interact(GRAPH, [Fake()], keep=kept.__setitem__)
    other = Fake(scale=2.0)
    graph = interact(GRAPH, [other], done=kept)
    assert other.ran == TARGETS
    assert max(weights(graph)) == 2.0 * len(TARGETS)


def test_progress_counts_the_units_and_looks_into_a_single_one() -> None:
    said: list[tuple[str, int, int]] = []
    interact(GRAPH, [Fake()], progress=lambda *told: said.append(told))
    assert {(phase, total) for phase, _, total in said} == {("mlp", len(TARGETS))}
    assert [done for _, done, _ in said] == sorted(done for _, done, _ in said)
    assert said[-1][1] == len(TARGETS)
    single = GRAPH.with_nodes(target_weight=pl.when(pl.col("node") == TARGETS[0]).then(1.0).otherwise(0.0))
    said.clear()
    interact(single, [Fake()], progress=lambda *told: said.append(told))
    assert ("mlp", 1, 2) in said  # how far the unit is
    assert said[-1] == ("mlp", 1, 1)


def test_everything_is_refused_before_anything_runs() -> None:
    class Refusing(Fake):
        channel = "qk"

        def units(self, graph: circuits.Graph, trace: circuits.Trace | None) -> list[Unit]:
            raise UsageError("Order 9 is larger than the 3 players: give at most 3.")

    first = Fake()
    with pytest.raises(UsageError, match="Order 9"):
        interact(GRAPH, [first, Refusing()])
    with pytest.raises(UsageError, match="FakeTraced needs the trace"):
        interact(GRAPH, [first, FakeTraced()])
    with pytest.raises(UsageError, match="Two methods for the channel mlp"):
        interact(GRAPH, [first, Fake(scale=3)])
    assert first.ran == []


@pytest.mark.parametrize("column", ["weight", "low", "high"])
def test_what_is_not_finite_never_reaches_the_graph(column: str) -> None:
    @dataclass(frozen=True)
    class Broken(Fake):
        def units(self, graph: circuits.Graph, trace: circuits.Trace | None) -> list[Unit]:
            table = found(TARGETS[0], [1.0], [["tok@1", "tok@2"]]).with_columns(pl.lit(np.nan).alias(column))
            return [Unit("one", 1.0, lambda _: Found(table))]

    with pytest.raises(InvalidFile, match="tok@1, tok@2 towards"):
        interact(GRAPH, [Broken()])


def test_fakes_are_methods_and_work_is_stated_beforehand() -> None:
    assert isinstance(Fake(), Method)
    assert [job.flops for job in plan(GRAPH, [Fake()])] == [1e6 * len(TARGETS)]


def test_attribute_takes_edges_and_interactions_in_one_call() -> None:
    trace = random_trace(0)
    both = circuits.attribute(trace, [circuits.Edges(), Fake()])
    apart = interact(circuits.attribute(trace), [Fake()])
    assert len(both.hyperedges) == len(both.targets)
    assert_frame_equal(both.hyperedges, apart.hyperedges)
    assert_frame_equal(both.edges, apart.edges)
    for methods in ([], [Fake()], [circuits.Edges(), circuits.Edges(), Fake()]):
        with pytest.raises(UsageError, match=r"of the methods are Edges\(...\): give one"):
            circuits.attribute(trace, methods)
