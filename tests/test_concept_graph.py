"""The concept graph keeps what it sums: weights, flows, values, interactions; and it has no circle."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from literal_concepts import (
    arriving_by_walks,
    co_moebius,
    edges,
    flows,
    inflows,
    merged_flows,
    merged_game,
    passing,
    reachable,
    rows,
)
from sample_graph import sample_graph
from strategies import dice_put_back, random_graph

import circuits
from circuits.errors import UsageError
from circuits.graph.concept_graph import ConceptGraph, concept_graph, ungroup
from circuits.graph.concepts import Concept, known, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import arriving, inflow, influence, normalised, through
from circuits.graph.stages import stages
from circuits.schema import HYPEREDGE_SCHEMA, NODE_SCHEMA


@st.composite
def grouped(draw: st.DrawFn, *, groups: int = 3, gates: tuple[str, ...] = ("relu",)) -> Any:
    """A small graph in float64, some of its features, words and errors drawn into concepts."""
    options = {
        "tokens": draw(st.integers(1, 2)),
        "layers": draw(st.integers(1, 3)),
        "features": draw(st.integers(1, 3)),
        "density": draw(st.sampled_from([0.6, 1.0])),
        "gates": gates,
        "errors": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "rest": draw(st.booleans()),
        "unexpanded": draw(st.sampled_from([0.0, 0.3])),
    }
    seed = draw(st.integers(0, 2**16))
    with dice_put_back():
        graph = random_graph(seed, **options)
    able = graph.nodes.filter(pl.col("kind").is_in(["feature", "token", "error"]))["node"].to_list()
    owner = draw(st.lists(st.integers(-1, groups - 1), min_size=len(able), max_size=len(able)))
    found = [[n for n, o in zip(able, owner, strict=True) if o == g] for g in range(groups)]
    assume(any(found))
    with dice_put_back():
        return graph, [Concept(f"c{g}", tuple(nodes)) for g, nodes in enumerate(found) if nodes]


def into(graph: Graph) -> dict[str, str]:
    return {m: piece for piece, nodes in graph.meta["concept_graph"]["pieces"].items() for m in nodes}


def close(found: float, expected: float) -> bool:
    return abs(found - expected) <= 1e-9 * max(1.0, abs(expected))


@settings(max_examples=30)
@given(grouped())
def test_weights_out_of_a_concept_are_its_members_and_every_sum_closes(
    case: tuple[Graph, list[Concept]],
) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts)
    part, pieces = into(made), set(into(made).values())
    expected: dict[tuple[str, str], float] = {}
    for s, t, w in edges(graph):
        if t not in part:
            key = (part.get(s, s), t)
            expected[key] = expected.get(key, 0.0) + w
    found = {(s, t): w for s, t, w in edges(made) if t not in pieces}
    assert found.keys() <= expected.keys()
    assert all(close(found.get(key, 0.0), expected[key]) for key in expected)
    total = dict.fromkeys(made.nodes["node"], 0.0)
    for _, t, w in edges(made):
        total[t] += w
    for name, row in rows(made).items():
        if row["expanded"]:
            assert close(total[name], row["pre_activation"]), name  # type: ignore[arg-type]


@settings(max_examples=30)
@given(grouped(gates=("relu", "linear", "tanh")))
def test_weights_into_a_concept_are_as_defined(case: tuple[Graph, list[Concept]]) -> None:
    """Σ ω weight(u → s), ω = sign(z) R / (f F), R, f and F from all walks; and what is left as a constant."""
    graph, concepts = case
    made = concept_graph(graph, concepts)
    arrives, flowing, table = arriving_by_walks(graph), inflows(graph), rows(graph)
    for piece, nodes in made.meta["concept_graph"]["pieces"].items():
        whole = passing(graph, set(nodes))
        omega = dict.fromkeys(nodes, 0.0)
        sources = 0.0
        for s in nodes:
            part = arrives[s] / whole if whole > 0 else 1 / len(nodes)
            if table[s]["expanded"] and flowing[s] > 0:
                omega[s] = part / flowing[s] * (-1.0 if table[s]["pre_activation"] < 0 else 1.0)  # type: ignore[operator]
            else:
                sources += part
        if not any(omega.values()):
            assert not rows(made)[piece]["expanded"]
            continue
        part_of = into(made)
        expected: dict[str, float] = {}
        inside = 0.0
        for s, t, w in edges(graph):
            if t in nodes and s not in nodes:
                scaled = omega[t] * w
                expected[part_of.get(s, s)] = expected.get(part_of.get(s, s), 0.0) + scaled
            elif t in nodes:
                inside += omega[t] * w
        total = sum(omega[s] * table[s]["pre_activation"] for s in nodes if omega[s]) + sources  # type: ignore[operator]
        assert total >= 0
        outside = total - inside
        constant = sources if outside >= 0.1 * total else sources + inside
        level = outside if outside >= 0.1 * total else total
        expected["bias:own"] = expected.get("bias:own", 0.0) + constant
        found = {s: w for s, t, w in edges(made) if t == piece}
        assert found.keys() <= expected.keys()
        assert all(close(found.get(s, 0.0), w) for s, w in expected.items())
        assert close(rows(made)[piece]["activation"], level)  # type: ignore[arg-type]


def test_what_members_do_to_each_other_is_a_constant_where_little_comes_from_outside() -> None:
    # word → one (1), one → two (10), word → two (−9), two → logit (1)
    blank = dict.fromkeys(NODE_SCHEMA, None) | {"truncated": 0.0, "target_weight": 0.0, "pos": 0}
    feature = blank | {
        "kind": "feature",
        "gate": "relu",
        "expanded": True,
        "activation": 1.0,
        "pre_activation": 1.0,
    }
    table = [
        blank | {"node": "tok@0", "kind": "token", "expanded": False, "activation": 1.0},
        feature | {"node": "0/1@0", "layer": 0, "feature": 1},
        feature | {"node": "1/2@0", "layer": 1, "feature": 2},
        blank
        | {"node": "logit:x", "kind": "logit", "expanded": True, "activation": 1.0, "pre_activation": 1.0},
    ]
    table[-1]["target_weight"] = 1.0
    ends = np.array([0, 1, 0, 2]), np.array([1, 2, 2, 3])
    weights = np.array([1.0, 10.0, -9.0, 1.0])
    graph = Graph.of(pl.DataFrame(table, schema=NODE_SCHEMA), ends, (weights, weights))
    made = concept_graph(graph, [Concept("c", ("0/1@0", "1/2@0"))])
    # R = 10/19 and 1, f = 1 and 19, F = 1: from outside 10/19 − 9/19, in all 10/19 + 1/19
    found = {(s, t): w for s, t, w in edges(made)}
    expected = {("tok@0", "c"): 1 / 19, ("bias:own", "c"): 10 / 19, ("c", "logit:x"): 1.0}
    assert found == {pair: pytest.approx(weight) for pair, weight in expected.items()}
    assert made.nodes["activation"][made.row("c")] == pytest.approx(11 / 19)
    assert made.nodes["truncated"][made.row("c")] == pytest.approx(18 / 19)
    np.testing.assert_allclose(made.run(off=["tok@0"]), [[10 / 11]])


@settings(max_examples=30)
@given(grouped())
def test_influence_is_what_passes_each_path_counted_once(case: tuple[Graph, list[Concept]]) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts)
    before = influence(graph)
    for name, row in rows(made).items():
        members = made.meta["concept_graph"]["pieces"].get(name)
        expected = before[graph.row(name)] if members is None and name in graph.index else 0.0
        if members is not None:
            expected = passing(graph, set(members))
        assert close(row["influence"], expected), name  # type: ignore[arg-type]


@settings(max_examples=30)
@given(grouped())
def test_no_edge_gets_more_than_flows_along_it_and_exactly_that_where_nothing_cancels(
    case: tuple[Graph, list[Concept]],
) -> None:
    """A[t, s] · (what arrives at t) against the paths of the first graph, along each edge."""
    graph, concepts = case
    made = concept_graph(graph, concepts)
    part = into(made)
    flowing = merged_flows(graph, part)
    arrives = {
        n: float(made.nodes["influence"][r] + made.nodes["target_weight"][r]) for n, r in made.index.items()
    }
    shares, new = normalised(made), inflows(made)
    signs: dict[tuple[str, str], set[bool]] = {}
    for s, t, w in edges(graph):
        z = rows(graph)[t]["pre_activation"] or 0.0
        if w:
            turned = w * (-1 if t in part and z < 0 else 1)  # type: ignore[operator]
            signs.setdefault((part.get(s, s), part.get(t, t)), set()).add(turned > 0)
    for (s, t), flow in flowing.items():
        along = float(shares[made.row(t), made.row(s)]) * arrives[t]
        assert along <= flow + 1e-9
        if len(signs[s, t]) == 1:
            assert close(along, flow)
    old = inflows(graph)
    assert all(close(new[n], old[n]) for n in made.nodes["node"] if n in old)
    for piece in set(part.values()):
        assert close(new[piece], 1.0) or not rows(made)[piece]["expanded"]


@settings(max_examples=25)
@given(grouped())
def test_where_nothing_cancels_influence_follows_from_the_new_graph_alone(
    case: tuple[Graph, list[Concept]],
) -> None:
    graph, concepts = case
    # all weights made positive, pre-activations to match, so that all members pull the same way
    size = np.abs(graph.edges["weight"].to_numpy())
    total = pl.Series(np.bincount(graph.ends[1], size, len(graph.nodes)))
    able = graph.with_nodes(
        pre_activation=pl.when(pl.col("expanded")).then(total).otherwise(pl.col("pre_activation").abs())
    )
    positive = Graph.of(able.nodes, graph.ends, (size, size), graph.meta)
    made = concept_graph(positive, concepts)
    assert made.meta["concept_graph"]["cancelled"] < 1e-9
    np.testing.assert_allclose(influence(made), made.nodes["influence"].to_numpy(), atol=1e-9)


@settings(max_examples=25)
@given(grouped())
def test_a_concept_graph_has_no_circle_and_cuts_only_where_there_was_one(
    case: tuple[Graph, list[Concept]],
) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts)
    pairs = {(s, t) for s, t, _ in edges(made)}
    assert not reachable(pairs)
    whole = {m: one.name for one in concepts for m in one.nodes}
    uncut = {(whole.get(s, s), whole.get(t, t)) for s, t, _ in edges(graph)}
    uncut = {pair for pair in uncut if pair[0] != pair[1]}
    named = set(made.meta["concept_graph"]["pieces"])
    if not reachable(uncut):
        assert named == {one.name for one in concepts}
    else:
        assert len(named) > len(concepts)
    pieces = made.meta["concept_graph"]["pieces"].values()
    assert sorted(m for nodes in pieces for m in nodes) == sorted(whole)


def test_the_rule_by_which_a_circle_is_cut() -> None:
    # 0 → 1 → 2 → 3 → 4: {0, 2, 4} comes back to itself twice, {1, 3} once
    chain = (np.arange(4), np.arange(1, 5))

    def cut(*groups: list[int]) -> list[list[list[int]]]:
        arrays = [np.array(group) for group in groups]
        return [[piece.tolist() for piece in parts] for parts in stages(chain, 5, arrays)[0]]

    assert cut([0, 1, 2]) == [[[0, 1, 2]]]
    assert cut([0, 2]) == [[[0], [2]]]
    assert cut([0, 1, 4]) == [[[0, 1], [4]]]  # where the depths are furthest apart
    assert cut([0, 4], [1, 2]) == [[[0], [4]], [[1, 2]]]  # the one that is spread furthest, and no other
    assert cut([1, 2], [0, 4]) == [[[1, 2]], [[0], [4]]]
    assert cut([0, 1], [2, 3, 4]) == [[[0, 1]], [[2, 3, 4]]]
    assert cut([0, 2, 4], [1, 3]) == [[[0], [2], [4]], [[1], [3]]]


@settings(max_examples=25)
@given(grouped(), st.sampled_from([0.02, 0.2, 1.0]), st.booleans())
def test_what_is_left_out_to_spare_cuts_is_no_more_than_allowed_and_goes_into_rest(
    case: tuple[Graph, list[Concept]], loss: float, only: bool
) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts, only=only, loss=loss)
    told = made.meta["concept_graph"]
    assert not reachable({(s, t) for s, t, _ in edges(made)})
    sums = made.matrix.sum(axis=1)
    for name, row in made.index.items():
        if made.nodes["expanded"][row]:
            assert close(float(sums[row]), float(made.nodes["pre_activation"][row])), name
    assert 0 <= told["against"] <= loss + 1e-12
    if loss == 1:
        assert sorted(told["pieces"]) == sorted(one.name for one in concepts)
    if not only:
        fed = {name for name, row in rows(made).items() if row["expanded"]}
        here = {(s, t) for s, t, _ in edges(made)}
        flowing = merged_flows(graph, into(made)).items()
        gone = sum(flow for pair, flow in flowing if pair[1] in fed and pair not in here)
        assert close(gone, told["against"])
    before = influence(graph)
    for name, members in told["pieces"].items():
        assert close(float(made.nodes["influence"][made.row(name)]), passing(graph, set(members)))
    for name in set(graph.index) & set(made.index):
        assert close(float(made.nodes["influence"][made.row(name)]), float(before[graph.row(name)]))


def test_a_circle_is_broken_against_the_order_if_that_is_allowed_and_else_cut() -> None:
    # {0, 2} → {1, 3} carries much, {1, 3} → {0, 2} a tenth; and again from 4 to 7
    chain = np.array([0, 1, 2, 4, 5, 6]), np.array([1, 2, 3, 5, 6, 7])
    flow = np.array([1.0, 0.1, 1.0, 1.0, 0.3, 1.0])
    groups = [np.array(rows) for rows in ([0, 2], [1, 3], [4, 6], [5, 7])]

    def broken(loss: float) -> tuple[list[int], list[int]]:
        pieces, left_out = stages(chain, 8, groups, flow, loss)
        return [len(parts) for parts in pieces], np.flatnonzero(left_out).tolist()

    assert broken(0.5) == ([1, 1, 1, 1], [1, 4])
    assert broken(0.35)[1] == [1]  # both would be too much: the cheaper one
    assert broken(0.35)[0][:2] == [1, 1]
    assert sum(broken(0.35)[0][2:]) > 2
    assert broken(0.05) == ([len(parts) for parts in stages(chain, 8, groups)[0]], [])


@settings(max_examples=10)
@given(grouped(gates=("relu", "jumprelu", "topk")))
def test_it_runs_all_on_gives_what_is_recorded_and_concepts_off_their_members_off(
    case: tuple[Graph, list[Concept]],
) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts)
    np.testing.assert_allclose(made.run(), graph.run(), rtol=1e-9, atol=1e-9)
    members = [node for one in concepts for node in one.nodes]
    off = list(made.meta["concept_graph"]["pieces"])
    np.testing.assert_allclose(made.run(off=off), graph.run(off=members), rtol=1e-8, atol=1e-8)
    alone = concept_graph(graph, concepts[:1])
    if len(alone.meta["concept_graph"]["pieces"]) == 1:
        found = alone.run(off=[concepts[0].name])
        np.testing.assert_allclose(found, graph.run(off=concepts[0].nodes), rtol=1e-8, atol=1e-8)


@settings(max_examples=15)
@given(grouped())
def test_grouping_then_ungrouping_returns_the_graph(case: tuple[Graph, list[Concept]]) -> None:
    graph, concepts = case
    again = ungroup(concept_graph(graph, concepts))
    named = with_concepts(graph, concepts)
    assert again.nodes.equals(named.nodes)
    assert again.edges.equals(graph.edges)
    assert again.hyperedges.equals(graph.hyperedges)
    assert known(again) == known(named)
    for cut in (False, True):
        made = concept_graph(again, only=cut)
        plain = Graph(made.nodes, made.edges, made.hyperedges, made.meta)
        assert ungroup(plain, graph).nodes.equals(named.nodes)


@settings(max_examples=30)
@given(grouped())
def test_leaving_out_what_is_not_grouped_loses_no_weight(case: tuple[Graph, list[Concept]]) -> None:
    graph, concepts = case
    made = concept_graph(graph, concepts, only=True)
    kinds = set(made.nodes.filter(pl.col("feature").is_not_null())["node"])
    assert not kinds
    sums = made.matrix.sum(axis=1)
    for name, row in made.index.items():
        if made.nodes["expanded"][row]:
            assert close(float(sums[row]), float(made.nodes["pre_activation"][row]))
        if name in made.meta["concept_graph"]["pieces"]:
            members = set(made.meta["concept_graph"]["pieces"][name])
            assert close(float(made.nodes["influence"][row]), passing(graph, members))


@settings(max_examples=25)
@given(grouped(), st.data())
def test_what_passes_a_set_is_at_most_its_members_influence_and_grows_with_it(
    case: tuple[Graph, list[Concept]], data: st.DataObject
) -> None:
    graph, concepts = case
    here = [graph.row(node) for node in concepts[0].nodes]
    whole = through(graph, np.array(here))
    assert -1e-12 <= whole <= min(1.0, float(arriving(graph)[here].sum())) + 1e-9
    some = data.draw(st.lists(st.sampled_from(here), unique=True, min_size=1))
    assert through(graph, np.array(some)) <= whole + 1e-9
    assert close(through(graph, np.array(some[:1])), float(arriving(graph)[some[0]]))


PLAYERS = [f"0/{i}@0" for i in range(4)]


def game(values: dict[frozenset[str], float], index: str, target: str = "logit: 0") -> pl.DataFrame:
    blank = dict.fromkeys(HYPEREDGE_SCHEMA, None)
    return pl.DataFrame(
        [
            blank
            | {"hyperedge": f"h{i}", "members": sorted(who), "target": target, "order": len(who)}
            | {"index": index, "weight": v, "low": v - 0.5, "high": v + 1.0, "channel": "output"}
            | {"engine": "e", "estimated": False, "evaluations": i}
            for i, (who, v) in enumerate(values.items())
        ],
        schema=HYPEREDGE_SCHEMA,
    )


def with_game(table: pl.DataFrame) -> Graph:
    graph = random_graph(3, tokens=1, layers=1, features=4, logits=1, errors=False)
    return Graph(graph.nodes, graph.edges, table, graph.meta)


@pytest.mark.parametrize("index", ["Moebius", "Co-Moebius"])
@settings(max_examples=25)
@given(
    values=st.lists(st.integers(-9, 9), min_size=15, max_size=15),
    cut=st.sampled_from([(2, 2), (3, 1), (2, 1)]),
)
def test_interactions_are_those_of_the_game_whose_players_are_the_concepts(
    index: str, values: list[int], cut: tuple[int, int]
) -> None:
    sets = [frozenset(p for i, p in enumerate(PLAYERS) if code >> i & 1) for code in range(1, 16)]
    moebius = dict(zip(sets, map(float, values), strict=True))
    first, second = cut
    groups = [Concept("a", tuple(PLAYERS[:first])), Concept("b", tuple(PLAYERS[first : first + second]))]
    part = {m: one.name for one in groups for m in one.nodes}
    merged = merged_game(moebius, part)
    expected = merged if index == "Moebius" else co_moebius(merged)
    given_ = moebius if index == "Moebius" else co_moebius(moebius)
    made = concept_graph(with_game(game(given_, index)), groups)
    found = {frozenset(m): w for m, w in made.hyperedges.select("members", "weight").iter_rows()}
    assert found == {who: pytest.approx(v) for who, v in expected.items()}
    assert len(made.within) == 0
    assert (made.hyperedges["low"] <= made.hyperedges["weight"]).all()
    width = dict(
        made.hyperedges.select(
            pl.col("members").list.sort().list.join(","), pl.col("high") - pl.col("low")
        ).iter_rows()
    )
    for who, total in width.items():
        same = [s for s in sets if {part.get(p, p) for p in s} == set(who.split(","))]
        assert total == pytest.approx(1.5 * len(same))


def test_other_indices_are_summed_over_one_member_of_each_concept_and_say_so() -> None:
    pairs = {
        frozenset(pair): 1.0 + i
        for i, pair in enumerate([PLAYERS[0:2], PLAYERS[0:4:2], PLAYERS[1:3], PLAYERS[2:4]])
    }
    groups = [Concept("a", tuple(PLAYERS[:2])), Concept("b", (PLAYERS[2],))]
    made = concept_graph(with_game(game(pairs, "SII")), groups)
    found = {
        tuple(m): (w, e, o)
        for m, w, e, o in made.hyperedges.select("members", "weight", "engine", "order").iter_rows()
    }
    assert found == {("a", "b"): (5.0, "e; sum of 2", 2), ("b", PLAYERS[3]): (4.0, "e", 2)}
    assert made.within["members"].to_list() == [sorted(PLAYERS[:2])]


def test_an_interaction_into_a_member_is_scaled_as_edges_are() -> None:
    graph = random_graph(5, tokens=2, layers=2, features=4, logits=1, errors=False, density=1.0)
    arrived = dict(zip(graph.nodes["node"], arriving(graph), strict=True))
    into_one = next(node for node, share in arrived.items() if node.startswith("1/") and share > 0)
    sources = [s for s, t, _ in edges(graph) if t == into_one and s.startswith("tok")][:2]
    table = game({frozenset(sources): 2.0}, "Moebius", target=into_one)
    whole = Graph(graph.nodes, graph.edges, table, graph.meta)
    made = concept_graph(whole, [Concept("x", (into_one,))])
    weight = next(w for s, t, w in edges(graph) if (s, t) == (sources[0], into_one))
    new = next(w for s, t, w in edges(made) if (s, t) == (sources[0], "x"))
    assert made.hyperedges["weight"][0] == pytest.approx(2.0 * new / weight)
    aside = concept_graph(whole, [Concept("x", (into_one, sources[0]))], only=True)
    assert len(aside.hyperedges) == 0
    assert aside.within["weight"].to_list() == [2.0]


def test_head_loadings_still_sum_to_the_edges() -> None:
    graph = random_graph(8, layers=2, features=3, logits=1)
    heads = pl.concat(
        [
            graph.edges.select(
                pl.col("source").cast(pl.String),
                pl.col("target").cast(pl.String),
                via=pl.lit(f"head:0.{h}"),
                layer=pl.lit(0, pl.Int32),
                head=pl.lit(h, pl.Int32),
                weight=pl.col("weight").cast(pl.Float64) * part,
            )
            for h, part in ((0, 0.25), (1, 0.75))
        ]
    )
    whole = Graph(graph.nodes, graph.edges, graph.hyperedges, graph.meta, heads)
    made = concept_graph(whole, ["x=layer:1", "y=layer:0"])
    total = {
        (s, t): w
        for s, t, w in made.heads.group_by("source", "target").agg(pl.col("weight").sum()).iter_rows()
    }
    constants = set(made.nodes.filter(pl.col("kind") == "bias")["node"])
    assert any("x" in pair for pair in total)
    for s, t, w in edges(made):
        if s not in constants:
            assert total[s, t] == pytest.approx(w)


def test_a_real_graph_is_asked_like_any_other(tmp_path) -> None:  # type: ignore[no-untyped-def]
    graph = sample_graph()
    made = circuits.concept_graph(graph, ["one=layer:20-24", "other=layer:26-29"], only=True)
    assert isinstance(made, ConceptGraph)
    answer = circuits.why(made)
    assert set(answer.tables["features"]["node"]) == {"one", "other"}
    assert 'the concept "one"' in "".join(answer.finding)
    circuits.save_run(made, tmp_path / "run")
    again = circuits.load_run(tmp_path / "run")
    assert again.nodes.equals(made.nodes)
    with pytest.raises(UsageError, match="give it as `whole`"):
        circuits.ungroup(again)
    with pytest.raises(UsageError, match="no concept graph"):
        circuits.ungroup(graph)
    assert circuits.ungroup(again, graph).edges.equals(graph.edges)
    with pytest.raises(UsageError, match="no concepts"):
        circuits.concept_graph(graph)
    with pytest.raises(UsageError, match=r"loss 1\.5 is not a share"):
        circuits.concept_graph(graph, ["one=layer:20"], loss=1.5)
    with pytest.raises(UsageError, match="bears the name of a node"):
        circuits.concept_graph(graph, [Concept("tok@1", ("tok@1",))])


def test_flows_are_conserved_at_every_node_that_is_followed() -> None:
    """The oracle itself: what runs along the edges into a node is what arrives there, less what ends."""
    graph = random_graph(11, layers=2, features=2, rest=True)
    arrived = dict(zip(graph.nodes["node"], arriving(graph), strict=True))
    for name in graph.nodes["node"]:
        away = sum(share for (s, _), share in flows(graph).items() if s == name)
        assert close(away + rows(graph)[name]["target_weight"], arrived[name])  # type: ignore[operator]
    assert inflow(graph).tolist() == pytest.approx(list(inflows(graph).values()))
