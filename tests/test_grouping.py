"""Groups of features: planted parts are found again, the order of rows changes nothing, evidence holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal_concepts import edges, inflows, passing, rows
from planted_groups import by_column, split
from polars.testing import assert_frame_equal
from sample_graph import sample_graph
from strategies import random_graph

import circuits
from circuits.errors import Incompatible, InvalidFile, NotFound, UsageError
from circuits.graph.concepts import Concept, known
from circuits.graph.graph import Graph
from circuits.graph.influence import arriving, with_influence
from circuits.query.grouping import edit
from circuits.query.grouping.communities import (
    Resampling,
    adjusted_rand,
    clusterwise,
    communities,
    neighbour_graph,
    together,
)
from circuits.query.grouping.group import Grouping, candidates, group, kept, origins
from circuits.query.grouping.naming import clean
from circuits.query.grouping.profiles import Profiles, combined, contrasted, cosines

FEW = Resampling(resamples=6)


def labels_of(grouping: Grouping, nodes: list[str]) -> np.ndarray:
    """The number of each node's group, found to hold or not; alone where it has none."""
    owner = {node: one.name for one in (*grouping.concepts, *grouping.unstable) for node in one.nodes}
    keys: dict[str, int] = {}
    return np.array([keys.setdefault(owner.get(node, f"alone {node}"), len(keys)) for node in nodes])


@pytest.mark.parametrize("name", ["nested-and", "and-of-three", "xor", "cancelling-paths", "cross-layer"])
def test_parts_of_planted_features_are_found_again_better_than_by_label_or_place(name: str) -> None:
    graph, trace, truth = split(name)
    scored = with_influence(graph)
    nodes = candidates(scored, 0.9, 400)[0]
    known_as: dict[str, int] = {}
    expected = np.array([known_as.setdefault(truth[node], len(known_as)) for node in nodes])
    found = adjusted_rand(expected, labels_of(group(graph, trace, settings=FEW), nodes))
    baselines = [adjusted_rand(expected, by_column(scored, nodes, c)) for c in ("label", "pos", "layer")]
    assert found >= 0.5
    assert found > max(baselines) + 0.1


def test_groups_that_hold_are_parts_of_one_feature() -> None:
    graph, trace, truth = split("nested-and")
    found = group(graph, trace, stable=0.8)
    assert found.concepts
    for one in found.concepts:
        assert len({truth[node] for node in one.nodes}) == 1
    assert all(found.evidence[one.name].stability >= 0.8 for one in found.concepts)
    assert all(found.evidence[one.name].stability < 0.8 for one in found.unstable)
    grouped = [node for one in (*found.concepts, *found.unstable) for node in one.nodes]
    assert len(grouped) == len(set(grouped))


def permuted(graph: Graph, seed: int) -> Graph:
    """The same graph, its nodes in another order in which edges run forwards."""
    rng = np.random.default_rng(seed)
    source, target = graph.ends
    size = len(graph.nodes)
    waiting = np.bincount(target, minlength=size)
    ready, order = list(np.flatnonzero(waiting == 0)), []
    while ready:
        order.append(ready.pop(int(rng.integers(len(ready)))))
        for t in target[source == order[-1]]:
            waiting[t] -= 1
            if waiting[t] == 0:
                ready.append(t)
    row = np.argsort(order)
    values = tuple(graph.edges[c].to_numpy() for c in ("weight", "strength"))
    return Graph.of(
        graph.nodes[[int(r) for r in order]], (row[source], row[target]), (values[0], values[1]), graph.meta
    )


@settings(max_examples=8)
@given(st.integers(0, 100), st.integers(0, 100))
def test_the_order_of_the_rows_changes_nothing(seed: int, order: int) -> None:
    graph = random_graph(seed, layers=3, features=6, tokens=3, density=0.7)
    settings_ = Resampling(resamples=3, resolutions=(1.0, 2.0))
    one, other = (group(g, settings=settings_, stable=0.0) for g in (graph, permuted(graph, order)))
    assert [set(c.nodes) for c in one.concepts] == [set(c.nodes) for c in other.concepts]
    assert [c.name for c in one.concepts] == [c.name for c in other.concepts]
    assert one.evidence.keys() == other.evidence.keys()
    for name, told in one.evidence.items():
        assert told.stability == pytest.approx(other.evidence[name].stability)
    assert_frame_equal(one.uncertain.sort("node"), other.uncertain.sort("node"))


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_whatever_the_graph_groups_are_apart_and_their_evidence_lies_between_0_and_1(seed: int) -> None:
    graph = random_graph(seed, layers=3, features=5, tokens=2, gates=("relu", "gelu", "linear"))
    found = group(graph, settings=Resampling(resamples=3, seed=seed))
    nodes = [node for one in (*found.concepts, *found.unstable) for node in one.nodes]
    assert len(nodes) == len(set(nodes))
    assert set(nodes) <= set(candidates(with_influence(graph), 0.9, 400)[0])
    for told in found.evidence.values():
        numbers = [told.stability, told.together, *told.within.values(), *told.between.values()]
        assert all(-1e-9 <= number <= 1 + 1e-9 for number in numbers)
    applied = found.applied()
    assert {one.name for one in known(applied)} == {one.name for one in found.concepts}
    if found.concepts:
        circuits.concept_graph(applied)


def literal_profiles(graph: Graph, node: str) -> tuple[dict[str, float], dict[str, float]]:
    """What a feature reads, in signed shares; what it writes, in its receivers' shares times what arrives."""
    flowing, table = inflows(graph), rows(graph)
    arrived = dict(zip(graph.nodes["node"], arriving(graph), strict=True))
    turned = -1.0 if table[node]["activation"] < 0 else 1.0  # type: ignore[operator]
    reads = {
        s: turned * w / flowing[t]
        for s, t, w in edges(graph)
        if t == node and w and table[s]["kind"] not in ("bias", "rest")
    }
    writes = {t: turned * arrived[t] * w / flowing[t] for s, t, w in edges(graph) if s == node and w}
    return reads, writes


def literal_cosine(one: dict[str, float], other: dict[str, float]) -> float:
    lengths = [sum(v * v for v in p.values()) ** 0.5 for p in (one, other)]
    if not all(lengths):
        return 0.0
    return max(0.0, sum(v * other.get(k, 0.0) for k, v in one.items()) / (lengths[0] * lengths[1]))


def test_likeness_is_as_defined() -> None:
    graph = random_graph(4, layers=3, features=4, gates=("relu", "tanh"))
    graph = graph.with_meta(prompt={"tokens": ["a", "b", "a"]})
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    profiles = Profiles.of(graph, features[::-1])
    assert profiles.nodes == tuple(sorted(features))
    found = profiles.similarities()
    assert list(found) == ["inputs", "outputs", "position"]
    literal = {node: literal_profiles(graph, node) for node in features}
    at = dict(graph.nodes.select("node", "pos").iter_rows())
    for i, j in combinations(range(len(features)), 2):
        one, other = profiles.nodes[i], profiles.nodes[j]
        for kind, part in (("inputs", 0), ("outputs", 1)):
            assert found[kind][i, j] == pytest.approx(
                literal_cosine(literal[one][part], literal[other][part])
            )
        apart = abs(at[one] - at[other])
        # tokens 0 and 2 are one word
        assert found["position"][i, j] == {0: 1.0, 1: 0.5, 2: 1.0}[apart]


def test_decoders_are_those_of_the_trace() -> None:
    graph, trace, _ = split("nested-and")
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    found = Profiles.of(graph, features, trace)
    vectors: dict[str, np.ndarray] = {}
    names = [
        f"{layer}/{i}@{p}"
        for layer, i, p in zip(trace.features.layer, trace.features.id, trace.features.position, strict=True)
    ]
    writes = trace.writes
    for f, v, c in zip(writes.feature, writes.vector, writes.coefficient, strict=True):
        vectors[names[f]] = vectors.get(names[f], 0.0) + c * trace.vectors[v]
    for i, j in [(0, 1), (0, 7), (3, 20)]:
        one, other = (vectors[found.nodes[k]] for k in (i, j))
        expected = max(0.0, float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)))
        assert found.fixed["decoder"][i, j] == pytest.approx(expected)
    fewer = replace(trace, features=replace(trace.features, id=trace.features.id + 7))
    with pytest.raises(Incompatible, match="give the trace this graph was made from"):
        Profiles.of(graph, features, fewer)


def test_drawing_columns_is_repeating_them() -> None:
    rng = np.random.default_rng(0)
    vectors, counts = rng.normal(size=(5, 7)), np.array([2, 0, 1, 3, 0, 1, 0])
    np.testing.assert_allclose(cosines(vectors, counts), cosines(np.repeat(vectors, counts, axis=1)))


def test_kinds_of_likeness_are_measured_by_what_is_usual() -> None:
    rng = np.random.default_rng(1)
    values = np.clip(0.9 + 0.02 * rng.normal(size=(40, 40)), 0, 1)
    values = (values + values.T) / 2
    pairs = values[np.triu_indices(40, 1)]
    found = contrasted(values)
    assert found[values <= pairs.mean()].max() == 0
    assert found[values >= np.quantile(pairs, 0.95)].min() == pytest.approx(1)
    both = combined({"inputs": values, "outputs": np.ones((40, 40))}, {"inputs": 1.0, "outputs": 3.0})
    off = ~np.eye(40, dtype=bool)
    np.testing.assert_allclose(both[off], found[off] / 4, atol=1e-8)


def test_neighbours_are_joined_from_either_side() -> None:
    alike = np.array([[1, 0.9, 0.2, 0.1], [0.9, 1, 0.3, 0.1], [0.2, 0.3, 1, 0.0], [0.1, 0.1, 0.0, 1]])
    found = neighbour_graph(alike, 1).toarray()
    expected = np.zeros((4, 4))
    for i, j in ((0, 1), (1, 2), (0, 3)):
        expected[i, j] = expected[j, i] = alike[i, j]
    np.testing.assert_array_equal(found, expected)
    two = np.kron(np.eye(2), np.ones((4, 4)))
    assert communities(neighbour_graph(two, 3), 1.0, 0).tolist() == [0] * 4 + [1] * 4


def test_stability_by_hand() -> None:
    labels = np.array([0, 0, 0, 1, 1])
    others = [np.array([0, 0, 0, 1, -1]), np.array([0, 0, 1, 1, 1])]
    # first: {0,1,2} whole; {3} of {3,4} drawn and alone: 1. second: 2 of 3 and 0; 2 of {2,3,4}
    np.testing.assert_allclose(clusterwise(labels, others), [(1 + 2 / 3) / 2, (1 + 2 / 3) / 2])
    shared = together(others)
    assert shared[0, 1] == 1
    assert shared[0, 2] == 0.5
    assert shared[3, 4] == 1  # drawn together once, and together then
    np.testing.assert_array_equal(shared, shared.T)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=12))
def test_the_adjusted_rand_index_from_pairs(drawn: list[tuple[int, int]]) -> None:
    one, other = (np.array(column) for column in zip(*drawn, strict=True))
    pairs = list(combinations(range(len(drawn)), 2))
    both = sum(bool(one[i] == one[j] and other[i] == other[j]) for i, j in pairs)
    first, second = (sum(bool(x[i] == x[j]) for i, j in pairs) for x in (one, other))
    expected = first * second / len(pairs)
    most = (first + second) / 2
    found = adjusted_rand(one, other)
    assert found == pytest.approx(1.0 if most == expected else (both - expected) / (most - expected))
    assert found == pytest.approx(adjusted_rand(other, one))
    assert adjusted_rand(one, one) == pytest.approx(1.0)


def test_candidates_carry_the_share_and_no_fewer_do() -> None:
    graph = with_influence(random_graph(2, layers=3, features=6))
    sizes = sorted(graph.nodes.filter(kind="feature")["influence"], reverse=True)
    for share in (0.3, 0.6, 0.9):
        nodes, reached = candidates(graph, share, 400)
        assert sum(sizes[: len(nodes)]) / sum(sizes) == pytest.approx(reached)
        assert len(nodes) == 3 or sum(sizes[: len(nodes) - 1]) / sum(sizes) < share <= reached + 1e-9
    assert len(candidates(graph, 1.0, 4)[0]) == 4
    with pytest.raises(NotFound, match="nothing to group"):
        candidates(with_influence(random_graph(0, layers=0, features=0)), 0.9, 400)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"share": 1.5}, "share 1.5 is not a share"),
        ({"stable": -0.1}, "stable -0.1 is not a share"),
    ],
)
def test_shares_that_are_none_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        group(random_graph(0), **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [{"neighbours": 0}, {"resamples": 1}, {"most": 2}, {"resolutions": (0.0,)}, {"weights": {"inputs": 1.0}}],
)
def test_settings_that_group_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="give"):
        Resampling(**wrong)  # type: ignore[arg-type]


def test_the_answer_tells_each_group_and_what_does_not_hold() -> None:
    graph, trace, _ = split("nested-and")
    found = group(graph, trace, stable=0.7)
    answer = found.answer()
    told = answer.tables["concepts"]
    assert set(told["concept"]) == {one.name for one in found.concepts}
    scored = found.graph
    small = next(one for one in found.concepts if len(one) == min(len(o) for o in found.concepts))
    row = told.filter(concept=small.name).row(0, named=True)
    assert row["influence"] == pytest.approx(passing(scored, set(small.nodes)))
    assert set(answer.tables["left alone"]["concept"]) == {one.name for one in found.unstable}
    assert all(name in str(answer) for name in told["concept"])
    assert set(answer.highlight.nodes["concept"].drop_nulls()) == set(told["concept"])
    edges_told = answer.tables["edges"]
    assert (edges_told["influence"] <= 1 + 1e-9).all()
    kept_ = circuits.groups(found.applied())
    assert kept_.tables["concepts"].drop("by").equals(told.drop("by"))
    assert kept_.tables["likeness"].sort("concept").equals(answer.tables["likeness"].sort("concept"))


def test_where_nothing_holds_the_answer_says_so() -> None:
    graph, trace, _ = split("nested-and")
    none = group(graph, trace, stable=1.0, settings=FEW)
    kept_ = [one for one in none.concepts if none.evidence[one.name].stability < 1]
    assert not kept_
    empty = replace(none, concepts=(), unstable=(*none.concepts, *none.unstable))
    answer = empty.answer()
    assert answer.finding[0].startswith("0 groups of features hold: 0 of the")
    assert len(answer.tables["left alone"]) == len(empty.unstable)
    assert len(answer.tables["edges"]) == 0
    assert replace(empty, unstable=()).answer().finding[0].startswith("0 groups")
    with pytest.raises(UsageError, match="no concepts"):
        circuits.groups(graph)


def test_names_say_what_and_where_and_can_be_used_in_specs() -> None:
    graph, trace, _ = split("nested-and")
    found = group(graph, trace, stable=0.0).applied()
    for one in known(found):
        assert Concept.of(found, f"x={one.name}").nodes == one.nodes
        assert one.name not in found.index
    assert clean('the tokens ‘ of’, ‘ is’ & "x"=1') == "the tokens of is x 1"


GRAPH = sample_graph()


def by_hand() -> Graph:
    table = [
        {
            **dict.fromkeys(GRAPH.hyperedges.columns),
            "hyperedge": f"h{i}",
            "members": m,
            "target": "logit:Mary",
            "order": 2,
        }
        for i, m in enumerate((["a", "b"], ["b", "tok@9"], ["tok@1", "tok@2"]))
    ]
    hyperedges = pl.DataFrame(table, schema=GRAPH.hyperedges.schema)
    tests = [
        {"concepts": {"a": ["tok@1"], "b": ["tok@3"]}, "alone": {"a": 1.0, "b": 2.0}, "target": "logit:Mary"}
    ]
    graph = Graph(GRAPH.nodes, GRAPH.edges, hyperedges, {**GRAPH.meta, "concept_tests": tests})
    return edit.added(graph, ["a=tok@1,tok@2", "b=layer:20-26"])


def members(graph: Graph) -> list[list[str]]:
    return graph.hyperedges["members"].to_list()


def test_concepts_are_added_renamed_and_dropped_with_all_that_names_them() -> None:
    graph = by_hand()
    assert members(graph) == [["a", "b"], ["b", "tok@9"], ["tok@1", "tok@2"]]
    assert origins(graph) == {"a": {"by": "hand"}, "b": {"by": "hand"}}
    called = edit.renamed(graph, "a", "first words")
    assert members(called)[0] == ["first words", "b"]
    assert called.meta["concept_tests"][0]["alone"] == {"first words": 1.0, "b": 2.0}
    assert {one.name: one.nodes for one in known(called)}["first words"] == ("tok@1", "tok@2")
    gone = edit.dropped(graph, ["a"])
    assert members(gone) == [["b", "tok@9"], ["tok@1", "tok@2"]]
    assert gone.meta["concept_tests"] == []
    assert [one.name for one in known(gone)] == ["b"]
    # one that overlaps takes the other's place, with what was known of it
    taken = edit.added(graph, ["c=tok@2,tok@3"])
    assert [one.name for one in known(taken)] == ["c", "b"]
    assert members(taken) == [["b", "tok@9"], ["tok@1", "tok@2"]]
    for old, new, said in [("a", "b", "'b' exists"), ("a", "tok@1", "is a node"), ("a", " ", "is empty")]:
        with pytest.raises(UsageError, match=said):
            edit.renamed(graph, old, new)
    with pytest.raises(NotFound, match="Did you mean 'aa'"):
        edit.dropped(edit.renamed(graph, "a", "aa"), ["aaa"])


def test_found_groups_leave_what_was_made_by_hand() -> None:
    graph, trace, _ = split("nested-and")
    found = group(graph, trace, settings=FEW, stable=0.0)
    first = found.concepts[0]
    mine = edit.added(
        found.graph, [Concept("mine", first.nodes[:2]), Concept(found.concepts[1].name, first.nodes[2:3])]
    )
    once = edit.regrouped(found, mine)
    again = edit.regrouped(found, once)
    assert {one.name: one.nodes for one in known(once)} == {one.name: one.nodes for one in known(again)}
    assert origins(once)["mine"] == {"by": "hand"}
    assert {one.name: one.nodes for one in known(once)}["mine"] == tuple(
        sorted(first.nodes[:2], key=graph.row)
    )
    assert f"{found.concepts[1].name} #2" in origins(once)
    told = {entry["by"] for name, entry in origins(once).items() if name != "mine"}
    assert told == {"auto", "hand"}


def test_concepts_go_into_a_document_and_come_back(tmp_path: Path) -> None:
    graph, trace, _ = split("nested-and")
    found = edit.added(group(graph, trace, settings=FEW).applied(), ["words=words"])
    told = edit.document(found)
    again = edit.read(graph, told, "file")
    assert again.nodes["concept"].equals(found.nodes["concept"])
    assert origins(again) == origins(found)
    circuits.save_run(found, tmp_path / "run")
    loaded = circuits.load_run(tmp_path / "run")
    assert origins(loaded) == origins(found)
    spec = edit.read(GRAPH, {"x": "tok@1|tok@2", "y": ["tok@3"]}, "file")
    assert {one.name: one.nodes for one in known(spec)} == {"x": ("tok@1", "tok@2"), "y": ("tok@3",)}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["a"], "holds no concepts: write NAME"),
        ({}, "holds no concepts"),
        ({"format": "concepts", "version": 9, "concepts": {}}, "version 9"),
        ({"format": "run"}, "'run'"),
        ({"a": 3}, "concept a is neither a spec nor a list"),
        ({"a": {"nodes": [1]}}, "concept a is neither"),
    ],
)
def test_documents_that_hold_no_concepts_are_refused(told: object, said: str) -> None:
    with pytest.raises(InvalidFile, match=said):
        edit.read(GRAPH, told, "file")


def test_a_concept_that_only_changes_its_members_keeps_nothing_that_was_measured_of_it() -> None:
    graph = kept(by_hand(), [])
    changed = edit.added(graph, ["a=tok@1"])
    assert members(changed) == [["b", "tok@9"], ["tok@1", "tok@2"]]
