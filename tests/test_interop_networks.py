"""GraphML, GEXF and CSV: read back by others, they hold the tables; XML holds any label."""

from __future__ import annotations

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import networkx as nx
import polars as pl
import pytest
from hostile import HOSTILE
from sample_graph import sample_graph
from sample_interactions import sample_interactions

import circuits
from circuits.errors import InvalidFile, OutputExists, UsageError
from circuits.graph.concepts import Concept, with_concepts

READERS = {"graphml": nx.read_graphml, "gexf": nx.read_gexf}


@pytest.mark.parametrize("kind", READERS)
def test_read_back_it_is_the_tables(kind, tmp_path):
    graph = with_concepts(sample_graph(), [Concept("John", ("0/822@3", "4/512@9"))])
    told = circuits.export_graph(graph, tmp_path / f"a.{kind}")
    back = READERS[kind](tmp_path / f"a.{kind}")
    assert back.is_directed()
    assert set(back) == set(graph.nodes["node"])
    weights = {(s, t): (w, u) for s, t, w, u in graph.edges.iter_rows()}
    found = {(s, t): (d["weight"], d["strength"]) for s, t, d in back.edges(data=True)}
    assert found.keys() == weights.keys()
    assert all(found[pair] == pytest.approx(weights[pair]) for pair in weights)
    label = {"graphml": "label", "gexf": "text"}[kind]
    for row in graph.nodes.iter_rows(named=True):
        node = back.nodes[row["node"]]
        for column, name in (
            ("kind",) * 2,
            ("layer",) * 2,
            ("activation",) * 2,
            ("label", label),
            ("concept",) * 2,
        ):
            if row[column] is None:
                assert name not in node
            else:
                assert node[name] == row[column]
                assert type(node[name]) is type(row[column])
    assert told.counts == {"nodes": len(graph.nodes), "edges": len(graph.edges), "hyperedges": 0}
    if kind == "graphml":
        assert json.loads(back.graph["meta"])["prompt"] == graph.meta["prompt"]


@pytest.mark.parametrize("kind", READERS)
def test_interactions_are_diamonds_joined_to_their_members(kind, tmp_path):
    graph = sample_interactions()
    whole = graph.hyperedges.filter(pl.col("via").is_null())
    told = circuits.export_graph(graph, tmp_path / f"a.{kind}")
    back = READERS[kind](tmp_path / f"a.{kind}")
    diamonds = [n for n, d in back.nodes(data=True) if d["kind"] == "hyperedge"]
    assert len(diamonds) == told.counts["hyperedges"] == len(whole)
    for row in whole.iter_rows(named=True):
        [at] = [n for n in diamonds if n == row["hyperedge"]]
        assert {s for s, _ in back.in_edges(at)} == set(row["members"])
        assert {t for _, t in back.out_edges(at)} == {row["target"]}
        assert back.edges[at, row["target"]]["weight"] == pytest.approx(row["weight"])
        assert back.nodes[at]["order"] == row["order"]
    if len(whole) < len(graph.hyperedges):
        assert told.left_out["shares of hyperedges"] == len(graph.hyperedges) - len(whole)
    if kind == "gexf":
        xml = (tmp_path / "a.gexf").read_text()
        assert xml.count('value="diamond"') == len(whole) + len(graph.nodes.filter(kind="error"))
    plain = circuits.export_graph(graph, tmp_path / f"b.{kind}", plain=True)
    assert plain.left_out["hyperedges"] == len(graph.hyperedges)
    assert set(READERS[kind](tmp_path / f"b.{kind}")) == set(graph.nodes["node"])


@pytest.mark.parametrize("kind", READERS)
def test_any_label_makes_well_formed_xml(kind, tmp_path):
    graph = sample_graph()
    rows = graph.nodes.filter(kind="feature")["node"].to_list()
    texts = dict(zip(rows, HOSTILE, strict=False))
    column = [texts.get(n, label) for n, label in zip(graph.nodes["node"], graph.nodes["label"], strict=True)]
    told = circuits.export_graph(
        graph.with_nodes(label=pl.Series(column, dtype=pl.String)), tmp_path / f"a.{kind}"
    )
    ET.parse(tmp_path / f"a.{kind}")
    back = READERS[kind](tmp_path / f"a.{kind}")
    name = {"graphml": "label", "gexf": "text"}[kind]
    replaced = 0
    for node, text in texts.items():
        kept = "".join("�" if _not_in_xml(c) else c for c in text)
        replaced += sum(map(_not_in_xml, text))
        assert back.nodes[node].get(name, "") == kept
    assert replaced
    assert any(f"{replaced} characters" in note for note in told.notes)


def _not_in_xml(character):
    """XML 1.0, production 2, without the return that parsers turn into a new line."""
    code = ord(character)
    held = code in (9, 10) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
    return not held


def test_names_that_become_alike_stay_apart(tmp_path):
    document = {
        "metadata": {"slug": "s", "scan": "m", "prompt": "p", "prompt_tokens": ["a"]},
        "qParams": {},
        "nodes": [
            {"node_id": i, "feature": n, "layer": "3", "ctx_idx": 0, "feature_type": "logit", "jsNodeId": i}
            | {"clerp": f'Output "{c}" (p=0.5)'}
            for n, (i, c) in enumerate((("x", "\x01!"), ("y", "\x02!"), ("z", "�!")))
        ],
        "links": [],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    circuits.export_graph(circuits.import_graph(tmp_path / "a.json"), tmp_path / "a.graphml")
    assert set(nx.read_graphml(tmp_path / "a.graphml")) == {"logit:�!", "logit:�!#2", "logit:�!#3"}


def test_large_graphs_are_cut_where_asked(tmp_path):
    graph = sample_graph()
    circuits.export_graph(graph, tmp_path / "a.gexf", nodes=5)
    kinds = [d["kind"] for _, d in nx.read_gexf(tmp_path / "a.gexf").nodes(data=True)]
    assert sum(kind in ("feature", "error") for kind in kinds) == 5


def test_csv_is_the_tables(tmp_path):
    graph = sample_interactions()
    told = circuits.export_graph(graph, tmp_path / "tables")
    read = {
        name: pl.read_csv(tmp_path / "tables" / f"{name}.csv") for name in ("nodes", "edges", "hyperedges")
    }
    assert read["nodes"]["node"].to_list() == graph.nodes["node"].to_list()
    assert read["nodes"]["activation"].to_list() == graph.nodes["activation"].to_list()
    assert read["nodes"]["kind"].to_list() == graph.nodes["kind"].cast(str).to_list()
    assert read["edges"]["source"].to_list() == graph.edges["source"].cast(str).to_list()
    assert read["edges"]["weight"].to_list() == pytest.approx(graph.edges["weight"].to_list())
    members = [text.split("|") for text in read["hyperedges"]["members"].to_list()]
    assert members == graph.hyperedges["members"].to_list()
    assert told.counts == {name: len(table) for name, table in read.items()}


def test_nothing_is_replaced_unasked(tmp_path):
    graph = sample_graph()
    for name in ("a.json", "a.gexf", "a.graphml", "tables"):
        circuits.export_graph(graph, tmp_path / name)
        with pytest.raises(OutputExists):
            circuits.export_graph(graph, tmp_path / name)
        circuits.export_graph(graph, tmp_path / name, overwrite=True)
    (tmp_path / "tables" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="no folder of such tables"):
        circuits.export_graph(graph, tmp_path / "tables", overwrite=True)
    assert (tmp_path / "tables" / "mine.txt").read_text() == "mine"
    with pytest.raises(UsageError, match=r"a\.xyz could be any format"):
        circuits.export_graph(graph, tmp_path / "a.xyz")


@pytest.mark.parametrize("name", ["a.json", "a.gexf", "a.graphml"])
def test_nan_is_refused_and_nothing_is_left(name, tmp_path):
    graph = sample_graph()
    column = graph.nodes["activation"].to_list()
    column[40] = float("nan")
    with pytest.raises(InvalidFile):
        circuits.export_graph(
            replace(graph, nodes=graph.nodes.with_columns(activation=pl.Series(column))), tmp_path / name
        )
    assert not list(tmp_path.iterdir())
