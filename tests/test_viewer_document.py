"""The viewer's document: everything in it is the run's, and nothing in it points nowhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from big_graph import Size, big_cards, big_graph
from hostile import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_graph import sample_graph
from sample_interactions import gate_pairs, sample_interactions
from strategies import graphs, random_graph

import circuits
from circuits.graph.concept_graph import concept_graph
from circuits.graph.concepts import Concept, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import through
from circuits.query.kernels import avoiding
from circuits.query.subject import Subject
from circuits.query.text import percent
from circuits.query.totals import Totals
from circuits.viewer import Shown, answered, document, embedded

CONTRACT = Path(circuits.__file__).parent / "viewer" / "app" / "src" / "document.ts"


def interfaces() -> dict[str, set[str]]:
    """The keys of every interface of the contract."""
    text = re.sub(r"/\*.*?\*/", "", CONTRACT.read_text(), flags=re.S)
    found = re.findall(r"export interface (\w+) \{(.*?)\n\}", text, flags=re.S)
    return {name: set(re.findall(r"^  (\w+):", body, flags=re.M)) for name, body in found}


def check_keys(told: dict[str, Any]) -> None:
    """The document's keys are the contract's, no more and no fewer."""
    keys = interfaces()

    def same(part: dict[str, Any], name: str) -> None:
        assert set(part) == keys[name], name

    same(told, "ViewerDocument")
    for graph in filter(None, (told["graph"], told["against"])):
        same(graph, "GraphPart")
        same(graph["nodes"], "NodeTable")
        same(graph["edges"], "EdgeTable")
        same(graph["hyperedges"], "HyperedgeTable")
        same(graph["cards"], "CardsPart")
        if graph["matrix"]:
            same(graph["matrix"], "MatrixPart")
        for many, name in (("targets", "TargetPart"), ("concepts", "ConceptPart"), ("paths", "PathPart")):
            for part in graph[many]:
                same(part, name)
        for part in graph["verdicts"]:
            same(part, "VerdictPart")
        for card in graph["cards"]["cards"].values():
            same(card, "CardPart")
    if told["diff"]:
        same(told["diff"], "DiffPart")
    if told["answer"]:
        same(told["answer"], "AnswerPart")
        for table in told["answer"]["tables"].values():
            same(table, "TablePart")


def columns(table: dict[str, list[Any]]) -> int:
    """The number of rows of a table of columns, which all have it."""
    (length,) = {len(column) for column in table.values()}
    return length


@pytest.fixture(scope="module")
def graph() -> Graph:
    return sample_interactions()


def test_the_document_has_the_keys_of_the_contract(graph: Graph) -> None:
    told = document(graph, answer=circuits.why(graph), name="ioi")
    check_keys(told)
    assert told["graph"]["name"] == "ioi"
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert json.loads(embedded(told)) == told


def test_the_whole_of_a_small_graph_is_there(graph: Graph) -> None:
    part = document(graph)["graph"]
    assert part["nodes"]["node"] == graph.nodes["node"].to_list()
    assert columns(part["edges"]) == len(graph.edges)
    assert not [said for said in part["left_out"] if re.match(r"Of [\d,]+ (nodes|edges)", said)]
    names = part["nodes"]["node"]
    ends = zip(part["edges"]["source"], part["edges"]["target"], strict=True)
    told = {(names[s], names[t]): w for (s, t), w in zip(ends, part["edges"]["weight"], strict=True)}
    assert told == {(s, t): w for s, t, w in graph.edges.select("source", "target", "weight").iter_rows()}


def test_only_so_much_is_there_as_was_asked_for() -> None:
    graph = sample_graph()
    shown = Shown(nodes=25, edges=7)
    part = document(graph, shown=shown)["graph"]
    assert 25 <= columns(part["nodes"]) < len(graph.nodes)
    assert columns(part["edges"]) == 7
    assert {"nodes": len(graph.nodes), "edges": len(graph.edges)}.items() <= part["totals"].items()
    assert any(
        f"Of {len(graph.nodes)} nodes {columns(part['nodes'])} are here" in s for s in part["left_out"]
    )
    assert any(f"Of {len(graph.edges)} edges 7 are here" in said for said in part["left_out"])
    scores = []
    for s, t in zip(part["edges"]["source"], part["edges"]["target"], strict=True):
        weight = graph.matrix[graph.row(part["nodes"]["node"][t]), graph.row(part["nodes"]["node"][s])]
        scores.append(abs(weight) / part["nodes"]["incoming"][t] * part["nodes"]["influence"][t])
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] > 0


def check_names(part: dict[str, Any]) -> None:
    """Every name in the part is a node of it, a player or concept, or a score, odds or head."""
    nodes = set(part["nodes"]["node"])
    assert len(nodes) == columns(part["nodes"])

    def known(name: str) -> bool:
        return name in nodes or name in part["players"] or re.match(r"(score|odds|head):", name) is not None

    hyperedges = part["hyperedges"]
    columns(hyperedges)
    for names in hyperedges["members"]:
        assert all(map(known, names)), names
    assert all(map(known, hyperedges["target"]))
    assert all(known(name) for parts in hyperedges["via"] for name, _ in parts)
    for names in part["players"].values():
        assert names
        assert set(names) <= nodes
    for path in part["paths"]:
        assert set(path["nodes"]) <= nodes
    concepts = {one["name"]: one for one in part["concepts"]}
    for verdict in part["verdicts"]:
        assert {*verdict["members"], verdict["target"]} <= nodes | set(concepts)
    for one in concepts.values():
        assert set(one["nodes"]) <= nodes
    for flow in part["concept_edges"]:
        assert {flow["source"], flow["target"]} <= nodes | set(concepts)
    for node, concept in zip(part["nodes"]["node"], part["nodes"]["concept"], strict=True):
        assert (concept is None) or node in concepts[concept]["nodes"]
    for ends in ("source", "target"):
        assert all(0 <= row < len(nodes) for row in part["edges"][ends])
    assert all(target["node"] in nodes for target in part["targets"])


def test_nothing_points_nowhere_however_little_is_shown(graph: Graph) -> None:
    for shown in (Shown(), Shown(nodes=10, edges=5, hyperedges=6, paths=4), Shown(0, 0, 0, 0, 0, 0)):
        told = document(graph, answer=circuits.why(graph), shown=shown)
        check_keys(told)
        check_names(told["graph"])
    assert columns(told["graph"]["hyperedges"]) == 0
    assert told["graph"]["paths"] == []


def test_the_diff_pairs_the_same_features_at_the_same_place_from_the_end() -> None:
    """Recomputed from names alone: pairs, marks and changes."""
    one, two = (random_graph(seed, tokens=n, features=4, logits=1) for seed, n in ((1, 3), (2, 4)))
    told = document(one, against=two)
    check_keys(told)
    check_names(told["graph"])
    check_names(told["against"])
    mine, theirs, diff = told["graph"]["nodes"], told["against"]["nodes"], told["diff"]
    assert diff["positions"] == [[None, 0], [0, 1], [1, 2], [2, 3]]
    rows = {name: row for row, name in enumerate(theirs["node"])}
    pairs, change = [], []
    for row, (node, total) in enumerate(zip(mine["node"], mine["total"], strict=True)):
        stem, at, pos = node.partition("@")
        partner = f"{stem}@{int(pos) + 1}" if at else node
        if partner in rows:
            pairs.append([row, rows[partner]])
            change.append(theirs["total"][rows[partner]] - total)
    assert diff["pairs"] == pairs
    assert diff["change"] == pytest.approx(change)
    paired = {row for row, _ in pairs}
    assert diff["here"] == ["both" if row in paired else "only" for row in range(len(mine["node"]))]
    paired = {row for _, row in pairs}
    assert diff["there"] == ["both" if row in paired else "only" for row in range(len(theirs["node"]))]
    few = document(one, against=two, shown=Shown(nodes=12, paths=0))
    assert "unshown" in few["diff"]["here"]
    assert {mark for row, mark in enumerate(few["diff"]["here"]) if row in dict(few["diff"]["pairs"])} == {
        "both"
    }


@given(graphs(), st.integers(0, 12), st.integers(0, 30), st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_any_graph_becomes_a_document(graph: Graph, nodes: int, edges: int, hyperedges: int) -> None:
    """Whatever is asked for: JSON, the contract's keys, names that resolve, the run's own weights."""
    graph = gate_pairs(graph)
    told = document(graph, shown=Shown(nodes, edges, hyperedges))
    check_keys(told)
    part = told["graph"]
    check_names(part)
    assert json.loads(embedded(told)) == told
    names = part["nodes"]["node"]
    assert set(names) >= set(graph.nodes.filter(pl.col("kind").is_in(["token", "logit"]))["node"])
    assert columns(part["edges"]) <= edges
    double = graph.edges.schema["weight"] == pl.Float64
    for source, target, weight in zip(*part["edges"].values(), strict=True):
        own = graph.matrix[graph.row(names[target]), graph.row(names[source])]
        assert (own == weight) if double else (own == np.float32(weight))
    whole = graph.hyperedges.select("hyperedge", "weight", "target").rows_by_key("hyperedge", unique=True)
    for name, weight, where in zip(
        *(part["hyperedges"][column] for column in ("hyperedge", "weight", "target")), strict=True
    ):
        assert whole[name] == (weight, where)


def test_a_large_graph_fits_and_says_what_it_lacks() -> None:
    size = Size(nodes=2_600, edges=30_000, cards=1_700)
    graph = big_graph(size)
    told = document(graph, cards=big_cards(graph, size.cards))
    part = told["graph"]
    check_keys(told)
    check_names(part)
    assert columns(part["nodes"]) == 2_000
    assert columns(part["edges"]) == 20_000
    assert columns(part["hyperedges"]) <= 300
    assert len(part["cards"]["cards"]) <= 1_500
    proper = [row for row in graph.hyperedges.to_dicts() if len(row["members"]) > 1 and row["via"] is None]
    sizes = {"nodes": 2_600, "edges": 30_000, "hyperedges": 500, "combinations": len(proper)}
    assert part["totals"] == {**sizes, "cards": 1_700}
    assert set(part["hyperedges"]["channel"]) == {"output", "mlp", "qk"}
    assert len(embedded(told).encode()) < 4.5e6
    said = " ".join(part["left_out"])
    for words in ("Of 2,600 nodes 2,000 are here", "Of 30,000 edges 20,000 are here", "200 rows of the run"):
        assert words in said
    names, rows = part["nodes"]["node"], graph.index
    weak = [share for name, share in zip(names, part["nodes"]["influence"], strict=True)]
    kept = Subject.of(graph).influence[[rows[name] for name in names]]
    assert weak == kept.tolist()


def test_combinations_carry_their_largest_mediators() -> None:
    graph = big_graph(Size(nodes=600, edges=4_000, hyperedges=60, cards=100))
    table = document(graph)["graph"]["hyperedges"]
    shares = graph.hyperedges.filter(pl.col("via").is_not_null())
    shares = shares.select("members", "target", "via", "weight")
    for row, channel in enumerate(table["channel"]):
        mine = [
            [via, weight]
            for members, target, via, weight in shares.select(
                "members", "target", "via", "weight"
            ).iter_rows()
            if (members, target) == (table["members"][row], table["target"][row])
        ]
        assert table["via"][row] == sorted(mine, key=lambda part: -abs(part[1])), channel
    assert sum(map(len, table["via"])) == len(shares)


def test_cards_tell_what_the_dictionary_s_cards_tell() -> None:
    graph = big_graph(Size(nodes=600, edges=3_000, hyperedges=0, cards=200))
    cards = big_cards(graph, 150)
    part = document(graph, cards=cards, shown=Shown(cards=40))["graph"]
    told, strings = part["cards"]["cards"], part["cards"]["strings"]
    assert len(told) == 40
    assert len(set(strings)) == len(strings)
    for name, shown in told.items():
        card = cards.card(*map(int, name.split("/")))
        assert shown["label"] == card.labels[0].text
        assert np.float32(shown["precision"]) == np.float32(card.labels[0].precision)
        assert np.float32(shown["maximum"]) == np.float32(card.maximum)
        assert shown["bars"] == list(card.bars)
        assert [strings[token] for token, _ in shown["promoted"]] == [text for text, _ in card.promoted]
        for context, own in zip(shown["contexts"], card.contexts, strict=True):
            assert [strings[token] for token in context["tokens"]] == list(own.tokens)
            assert [value / 255 * card.maximum for value in context["values"]] == pytest.approx(own.values)
            assert (context["at"], context["fifth"]) == (own.at, own.fifth)
    influence = graph.nodes.with_columns(mine=pl.Series(Subject.of(graph).influence)).filter(kind="feature")
    by = influence.group_by("layer", "feature").agg(pl.col("mine").sum()).sort("mine", descending=True)
    best = [f"{layer}/{feature}" for layer, feature, _ in by.iter_rows()]
    known = {f"{card.layer}/{card.feature}" for card in cards}
    assert list(told) == [name for name in best if name in known][:40]


def test_concepts_bring_what_passes_through_them() -> None:
    """Influence and total over all paths, each counted once; flows as the concept graph has them."""
    graph = random_graph(5, layers=3, features=6, logits=1)
    sets = (("0/0@0", "0/3@0"), ("1/1@1", "1/2@2", "1/4@1"))
    graph = with_concepts(graph, [Concept(f"c{i}", nodes) for i, nodes in enumerate(sets)])
    subject = Subject.of(graph)
    part = document(graph)["graph"]
    totals = Totals(subject)
    linear = totals.linear.toarray()
    for concept, nodes in zip(part["concepts"], sets, strict=True):
        rows = [graph.row(node) for node in nodes]
        assert concept["nodes"] == list(nodes)
        assert concept["origin"] == "given"
        assert concept["influence"] == pytest.approx(through(subject.graph, np.array(rows)))
        assert concept["total"] == pytest.approx(
            literal_through(linear, totals.activation, rows, subject.row)
        )
    whole = concept_graph(subject.graph, only=False)
    flows = {(flow["source"], flow["target"]): flow["weight"] for flow in part["concept_edges"]}
    ends = {"c0", "c1", *part["nodes"]["node"]}
    assert flows
    for (source, target), weight in flows.items():
        assert {source, target} <= ends
        assert whole.matrix[whole.row(target), whole.row(source)] == pytest.approx(weight)


def test_a_path_through_several_nodes_of_a_concept_counts_once() -> None:
    graph = random_graph(6, layers=3, features=6, logits=1, density=0.9)
    subject = Subject.of(graph)
    totals = Totals(subject)
    linear = totals.linear.toarray()
    features = graph.nodes.with_row_index("row").filter(kind="feature").filter(pl.col("activation") > 0)
    rows = features["row"].to_numpy()
    sets = np.zeros((len(graph.nodes), 4), bool)
    for place in range(4):
        sets[rows[place :: place + 1], place] = True
    told = totals.through(sets)
    shared = avoiding(subject.shares, np.eye(len(graph.nodes))[subject.row], sets)
    for place in range(4):
        mine = np.flatnonzero(sets[:, place])
        assert told[place] == pytest.approx(
            literal_through(linear, totals.activation, mine.tolist(), subject.row)
        )
        assert shared[mine, place].sum() == pytest.approx(through(subject.graph, mine))
        assert told[place] != pytest.approx(totals.total[mine].sum())  # which counts some paths twice


def literal_through(linear: np.ndarray, activation: np.ndarray, rows: list[int], target: int) -> float:
    """What comes to the target along paths through the rows: every path back, up to the first."""
    total, paths = 0.0, [(target, 1.0)]
    while paths:
        at, product = paths.pop()
        if at in rows:
            total += activation[at] * product
            continue
        paths += [(s, product * linear[at, s]) for s in np.flatnonzero(linear[at]).tolist()]
    return total


def test_hostile_texts_stay_inside_the_script_element() -> None:
    graph = sample_interactions()
    rows = len(graph.nodes)
    labels = [HOSTILE[row % len(HOSTILE)] for row in range(rows)]
    meta = {**graph.meta, "prompt": {"text": "".join(HOSTILE), "tokens": list(HOSTILE)}}
    graph = graph.with_nodes(label=pl.Series(labels)).with_meta(**meta)
    told = document(graph, name=HOSTILE[1])
    text = embedded(told)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == told
    assert told["graph"]["tokens"] == list(HOSTILE)
    assert told["graph"]["nodes"]["label"] == labels
    assert max(map(len, told["graph"]["nodes"]["name"])) <= 80


def test_numbers_that_are_not_finite_are_null() -> None:
    graph = sample_interactions()
    odd = graph.hyperedges.with_columns(low=pl.lit(float("-inf")), effect=pl.lit(float("nan")))
    activation = graph.nodes["activation"].scatter(0, float("inf"))
    graph = Graph(graph.with_nodes(activation=activation).nodes, graph.edges, odd, graph.meta)
    part = document(graph)["graph"]
    assert part["nodes"]["activation"][0] is None
    assert set(part["hyperedges"]["low"]) == {None}
    assert set(part["hyperedges"]["effect"]) == {None}
    assert None not in part["nodes"]["activation"][1:]


def test_an_answer_narrows_what_is_explained() -> None:
    graph = sample_graph()
    told = document(graph, answer=circuits.why(graph, " the"))
    part = told["graph"]
    assert part["targets"][0]["node"] == "logit:the"
    row = part["nodes"]["node"].index("26/808@13")
    assert part["nodes"]["influence"][row] == pytest.approx(Subject.of(graph, " the").influence[row])
    over = document(graph, answer=circuits.why(graph, " Mary", over=" John"))["graph"]
    assert over["targets"][0]["node"] == "logit:Mary-John"
    assert over["targets"][0]["node"] in over["nodes"]["node"]
    assert over["totals"]["nodes"] == len(graph.nodes)


def test_an_answer_s_tables_are_as_people_read_them() -> None:
    answer = circuits.why(sample_interactions())
    told = answered(answer)
    table = told["tables"]["features"]
    place = table["columns"].index("influence")
    assert "reads" in table["columns"]
    assert table["numeric"][place]
    shares = answer.tables["features"]["influence"].to_list()
    assert [row[place] for row in table["values"]] == shares
    assert [row[place] for row in table["rows"]] == [percent(share) for share in shares]
    assert all(
        isinstance(cell, str) for one in told["tables"].values() for row in one["rows"] for cell in row
    )
    assert set(told["highlight"]["nodes"]) >= {end for edge in told["highlight"]["edges"] for end in edge}


def test_making_a_document_loads_neither_torch_nor_matplotlib() -> None:
    heavy = {"torch", "matplotlib", "transformers"}
    code = f"import circuits.viewer, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_groups_are_suggested_where_none_are_given_and_say_so() -> None:
    """Few features are grouped as `circuits.group` does; many only by word and label."""
    graph = sample_graph()
    found = {one.name: list(one.nodes) for one in circuits.group(Subject.of(graph).graph).concepts}
    assert found
    part = document(graph)["graph"]
    assert {one["name"]: one["nodes"] for one in part["concepts"]} == found
    assert {one["origin"] for one in part["concepts"]} == {"found"}
    assert all(one["evidence"][0].startswith("stability") for one in part["concepts"])
    large = document(big_graph(Size(nodes=900, edges=6_000, hyperedges=0, concepts=0)))["graph"]
    assert {one["origin"] for one in large["concepts"]} == {"words"}
    assert all("not tried on resamples" in one["evidence"][-1] for one in large["concepts"])
