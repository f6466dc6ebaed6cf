"""The viewer's document: everything in it is the run's, and nothing in it points nowhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from sample_graph import sample_graph
from sample_interactions import sample_interactions
from strategies import random_graph

import circuits
from circuits.graph.graph import Graph
from circuits.viewer import Shown, document, embedded

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
