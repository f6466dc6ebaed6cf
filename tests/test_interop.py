"""Attribution-graph documents: out, in, and through, with nothing lost; every trap of the viewers."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import polars as pl
import pytest
from exchange_documents import TOKENS, austin, documents, feature, link, node
from hypothesis import HealthCheck, given, settings
from literal_frontend import (
    Stopped,
    cantor,
    circuit_tracer,
    cumulative_influence,
    ids_of_circuit_tracer,
    looked_up,
    neuronpedia,
    supernodes,
    visible,
)
from sample_graph import sample_graph
from sample_interactions import sample_interactions
from strategies import graphs, random_graph

import circuits
from circuits.graph.concepts import Concept, with_concepts
from circuits.interop import node_ids
from circuits.interop.exchange import graph_of_document
from circuits.interop.problems import schema

TABLES = ("nodes", "edges", "hyperedges", "heads", "verdicts")


def through(graph, tmp_path, **how):
    path = tmp_path / "graph.json"
    told = circuits.export_graph(graph, path, overwrite=True, **how)
    return json.loads(path.read_text()), told


def again(document, tmp_path):
    """JSON → us → JSON."""
    path = tmp_path / "in.json"
    path.write_text(json.dumps(document))
    return through(circuits.import_graph(path), tmp_path)[0]


def unordered(document):
    """The document with its nodes and links in one order, as exact text: every key, every value."""
    found = dict(document)
    for part in ("nodes", "links"):
        found[part] = sorted(json.dumps(one, sort_keys=True) for one in document[part])
    return found


def valid(document):
    jsonschema.Draft7Validator(schema()).validate(document)


def equal(one, other):
    for name in TABLES:
        a, b = getattr(one, name), getattr(other, name)
        assert a.schema == b.schema, name
        assert a.equals(b), name
    assert one.meta == other.meta
    assert list(one.meta) == list(other.meta)


# out


def test_what_is_written_is_what_the_viewers_show(tmp_path):
    graph = sample_graph()
    document, told = through(graph, tmp_path)
    valid(document)
    text = (tmp_path / "graph.json").read_text()
    for viewer in (neuronpedia, circuit_tracer):
        shown = viewer(text)
        assert len(shown["nodes"]) == len(document["nodes"]) == told.counts["nodes"]
        assert len(shown["links"]) == told.counts["links"]
        output = shown["nodes"]["31_0_13"]
        assert (output["logitToken"], output["logitPct"]) == (" Mary", 0.68)
        assert output["is_target_logit"]
        one = shown["nodes"]["21_1177_13"]
        assert (one["clerp"], looked_up(one)) == ("say Mary", (21, 1177))
    kinds = graph.nodes["kind"].value_counts()
    counted = dict(kinds.iter_rows())
    assert told.left_out["bias"] == counted["bias"]
    assert told.left_out["rest"] == counted["rest"]
    constants = graph.nodes.filter(pl.col("kind").is_in(["bias", "rest"]))["node"]
    lost = graph.edges.filter(pl.col("source").cast(str).is_in(constants.implode()))
    assert told.left_out["links"] == len(lost)
    assert told.counts["links"] + len(lost) == len(graph.edges)


def test_every_link_is_an_edge(tmp_path):
    graph = sample_graph()
    document, _ = through(graph, tmp_path)
    names = {n["node_id"]: n for n in document["nodes"]}
    edges = {(s, t): w for s, t, w, _ in graph.edges.iter_rows()}
    kept = {}
    for one in document["links"]:
        ends = []
        for id_ in (one["source"], one["target"]):
            found = names[id_]
            layer, middle, pos = id_.split("_")
            ends.append(
                {
                    "embedding": f"tok@{pos}",
                    "mlp reconstruction error": f"err{layer}@{pos}",
                    "cross layer transcoder": f"{layer}/{middle}@{pos}",
                    "logit": "logit:" + found["clerp"].split(" (p=")[0][8:-1].strip(),
                }[found["feature_type"]]
            )
        kept[tuple(ends)] = one["weight"]
    assert kept == {pair: w for pair, w in edges.items() if not pair[0].startswith(("bias", "rest"))}


def test_errors_never_bear_a_features_id(tmp_path):
    rows = random_graph(3, tokens=2, layers=3, features=4)
    document, _ = through(rows, tmp_path)
    ids = [n["node_id"] for n in document["nodes"]]
    assert len(set(ids)) == len(ids)
    errors = [n for n in document["nodes"] if n["feature_type"] == "mlp reconstruction error"]
    assert errors
    assert all(n["node_id"] == f"{n['layer']}_-1_{n['ctx_idx']}" for n in errors)


@pytest.mark.parametrize(("layer", "number"), [(0, 0), (3, 5), (25, 16383), (2, 1)])
def test_features_are_cantor_pairs(layer, number):
    assert node_ids.cantor(layer, number) == cantor(layer, number)
    assert node_ids.uncantor(cantor(layer, number)) == (layer, number)


def test_cantor_pairs_are_undone_exactly_beyond_floating_point():
    assert node_ids.uncantor(node_ids.cantor(61, 2**40 + 7)) == (61, 2**40 + 7)


def test_influence_is_cumulative_as_circuit_tracer_sums_it(tmp_path):
    graph = random_graph(11, tokens=2, layers=3, features=4, bias=False, rest=False, unexpanded=0.0)
    document, _ = through(graph, tmp_path)
    edges = {(one["source"], one["target"]): one["weight"] for one in document["links"]}
    weights = {n["node_id"]: n["token_prob"] for n in document["nodes"] if n["feature_type"] == "logit"}
    ids = [n["node_id"] for n in document["nodes"]]
    expected, strength = cumulative_influence(ids, edges, weights)
    for n in document["nodes"]:
        if n["feature_type"] == "logit":
            assert n["influence"] is None
        elif strength[n["node_id"]] > 0:
            assert n["influence"] == pytest.approx(expected[n["node_id"]], rel=1e-6)
    order = sorted((n for n in document["nodes"] if n["influence"]), key=lambda n: n["influence"])
    assert visible(order[0], 0.5)
    assert not visible(order[-1] | {"feature_type": "x"}, 0.5)


@pytest.mark.parametrize("token", ['"', " (p=0.5)", ")", "", "\n", "(p=", "<img src=x>", '" (p='])
def test_any_token_has_a_probability_the_viewers_can_read(tmp_path, token):
    graph = sample_graph()
    meta = [{**graph.meta["targets"][0], "tokens": [token]}, *graph.meta["targets"][1:]]
    document, _ = through(graph.with_meta(targets=meta), tmp_path)
    shown = neuronpedia((tmp_path / "graph.json").read_text())
    assert shown["nodes"]["31_0_13"]["logitPct"] == 0.68
    plain = graph_of_document({**document, "circuits": None})
    assert plain.meta["targets"][0]["tokens"] == [token.replace("(p=", "(p =")]


def test_a_graph_of_one_layer_is_shown_all_the_same(tmp_path):
    graph = random_graph(5, tokens=2, layers=1, features=3)
    document, told = through(graph, tmp_path)
    shown = neuronpedia((tmp_path / "graph.json").read_text())
    assert len(shown["nodes"]) == told.counts["nodes"] + 1
    assert any("layer 1" in note for note in told.notes)
    valid(document)
    equal(circuits.import_graph(tmp_path / "graph.json"), graph)
    for other in document["nodes"]:
        other.pop("placeholder", None)
    real = [n for n in document["nodes"] if n["node_id"] != "1_-1_1"]
    with pytest.raises(Stopped):
        neuronpedia(json.dumps({**document, "nodes": real}))


def test_concepts_are_supernodes_of_pinned_ids(tmp_path):
    graph = with_concepts(
        sample_graph(), [Concept("John", ("0/822@3", "4/512@9")), Concept("Mary", ("21/1177@13",))]
    )
    through(graph, tmp_path)
    drawn = supernodes(neuronpedia((tmp_path / "graph.json").read_text()))
    assert {name: [n["node_id"] for n in members] for name, members in drawn.items()} == {
        "John": ["0_822_3", "4_512_9"],
        "Mary": ["21_1177_13"],
    }


def test_plain_is_nodes_and_links_alone(tmp_path):
    graph = sample_interactions()
    document, told = through(graph, tmp_path, plain=True)
    assert set(document) == {"metadata", "qParams", "nodes", "links"}
    assert told.left_out["hyperedges"] == len(graph.hyperedges)
    small, _ = through(graph, tmp_path, plain=True, nodes=5)
    types = [n["feature_type"] for n in small["nodes"]]
    assert sum(t not in ("embedding", "logit") for t in types) == 5


# ours → JSON → ours


@given(graph=graphs())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_graph_comes_back_to_the_last_bit(graph, tmp_path):
    document, _ = through(graph, tmp_path)
    valid(document)
    equal(circuits.import_graph(tmp_path / "graph.json"), graph)
    layers = [n["layer"] for n in document["nodes"]]
    assert neuronpedia((tmp_path / "graph.json").read_text())["nodes"] or not layers


def test_interactions_intervals_and_meta_come_back(tmp_path):
    graph = sample_interactions()
    assert len(graph.hyperedges)
    wide = graph.hyperedges.with_columns(low=pl.lit(-np.inf), high=pl.lit(np.nan))
    from dataclasses import replace

    for one in (graph, replace(graph, hyperedges=wide)):
        through(one, tmp_path)
        equal(circuits.import_graph(tmp_path / "graph.json"), one)


def test_labels_and_groups_changed_by_another_tool_are_taken_over(tmp_path):
    graph = sample_interactions()
    document, _ = through(graph, tmp_path)
    for n in document["nodes"]:
        if n["node_id"] == "21_1177_13":
            n |= {"clerp": "says Mary", "starred": True}
    document["qParams"]["supernodes"] = [["they", "0_118_1", "0_822_3"]]
    document["metadata"]["info"]["creator_name"] = "Y"
    changed = graph_of_document(document)
    assert changed.nodes["label"][changed.row("21/1177@13")] == "says Mary"
    assert changed.nodes["label"][changed.row("21/640@13")] == "say John"
    assert changed.nodes.filter(concept="they")["node"].to_list() == ["0/118@1", "0/822@3"]
    assert changed.hyperedges.equals(graph.hyperedges)
    assert changed.edges.equals(graph.edges)
    back, _ = through(changed, tmp_path)
    assert next(n for n in back["nodes"] if n["node_id"] == "21_1177_13")["starred"]
    assert back["metadata"]["info"]["creator_name"] == "Y"


def test_changed_links_are_believed_rather_than_what_was_written_of_the_old(tmp_path):
    graph = sample_interactions()
    document, _ = through(graph, tmp_path)
    document["links"][5]["weight"] += 1.0
    changed = graph_of_document(document)
    assert not len(changed.hyperedges)
    assert "changed since" in changed.meta["imported"]["notes"][0]
    assert len(changed.edges) == len(document["links"])


# in


def test_a_document_becomes_a_graph():
    graph = graph_of_document(austin())
    assert dict(graph.nodes["kind"].value_counts().iter_rows()) == {
        "token": 6, "feature": 3, "error": 1, "logit": 2,
    }  # fmt: skip
    row = graph.nodes.row(graph.row("1/3@4"), named=True)
    assert (row["layer"], row["feature"], row["pos"], row["activation"]) == (1, 3, 4, 4.0)
    assert (row["label"], row["concept"], row["expanded"]) == (None, "Texas", True)
    assert (row["pre_activation"], row["gate"]) == (None, None)
    edges = {(s, t): (w, u) for s, t, w, u in graph.edges.iter_rows()}
    assert edges["1/3@4", "2/7@5"] == (0.5, 0.125)  # per unit of the source's activation, which is 4
    assert edges["err1@4", "2/7@5"] == (-0.25, -0.25)
    assert graph.targets == ["logit:Austin", "logit:Dallas"]
    assert graph.meta["prompt"]["ids"] == [10, 11, 12, 13, 14, 15]
    assert graph.meta["targets"][0]["probability"] == 0.8
    assert graph.meta["imported"]["by"] == "somebody's tool 3"


def test_influence_is_computed_anew_and_theirs_is_kept(tmp_path):
    document = austin()
    graph = graph_of_document(document)
    edges = {(s, t): w for s, t, w, _ in graph.edges.iter_rows()}
    _, strength = cumulative_influence(
        graph.nodes["node"].to_list(), edges, {"logit:Austin": 0.8, "logit:Dallas": 0.1}
    )
    assert dict(zip(graph.nodes["node"], graph.nodes["influence"], strict=True)) == pytest.approx(strength)
    kept = {n["node_id"]: n.get("influence") for n in again(document, tmp_path)["nodes"]}
    assert kept["0_9_4"] == 0.4


def old_errors(*, links):
    """circuit-tracer's ids: error 2 at position 1 and feature 2 of layer 0 there are both 0_2_1."""
    error = node(ids_of_circuit_tracer("error", 2, None, 1), "mlp reconstruction error", "2", 1, -1)
    document = austin()
    document["nodes"] = [
        feature(0, 2, 1),
        feature(1, 8, 1),
        feature(3, 4, 1),
        error,
        node("E_11_1", "embedding", "E", 1, 1),
        node("5_500_1", "logit", "5", 1, 500, clerp='Output "x" (p=0.9)', token_prob=0.9),
    ]
    document["qParams"] = {"pinnedIds": [], "supernodes": [["two", "0_2_1", "1_8_1"]]}
    document["links"] = [link(*one) for one in links]
    return document


@pytest.mark.parametrize(
    ("links", "expected", "guessed"),
    [
        # both reach the output: the feature's link comes first
        ([("0_2_1", "5_500_1", 1.0), ("0_2_1", "5_500_1", 2.0)], {"0/2@1": 1.0, "err2@1": 2.0}, 0),
        # an error of layer 2 does not reach layer 1
        ([("0_2_1", "1_8_1", 3.0)], {"0/2@1": 3.0}, 0),
        # features come before errors: after it stands a feature
        ([("0_2_1", "3_4_1", 4.0), ("1_8_1", "3_4_1", 1.0)], {"0/2@1": 4.0, "1/8@1": 1.0}, 0),
        # errors come before words: before it stands an error's neighbour
        ([("E_11_1", "3_4_1", 1.0), ("0_2_1", "3_4_1", 4.0)], {"tok@1": 1.0, "err2@1": 4.0}, 0),
        # nobody can tell
        ([("0_2_1", "3_4_1", 4.0)], {"0/2@1": 4.0}, 1),
        # what flows in flows into the feature
        ([("E_11_1", "0_2_1", 4.0)], {"tok@1": 4.0}, 0),
    ],
)
def test_old_error_ids_are_told_from_features(links, expected, guessed, tmp_path):
    document = old_errors(links=links)
    graph = graph_of_document(document)
    assert {"0/2@1", "err2@1"} <= set(graph.nodes["node"])
    found = {str(s): w for s, _, w, _ in graph.edges.iter_rows()}
    assert found == expected
    assert len(graph.meta["imported"].get("notes", ())) == guessed
    assert graph.nodes["concept"][graph.row("0/2@1")] == "two"  # nobody groups errors by such an id
    back = again(document, tmp_path)
    error = next(n for n in back["nodes"] if n["feature_type"] == "mlp reconstruction error")
    assert error.pop("node_id") == "2_-1_1"  # two nodes of one id are no graph: the viewers mix their links
    old = next(n for n in document["nodes"] if n["feature_type"] == "mlp reconstruction error")
    assert error | {"node_id": "0_2_1"} == old
    again_read = circuits.import_graph(tmp_path / "graph.json")
    assert again_read.edges.equals(graph.edges)
    assert again_read.nodes.equals(graph.nodes)


STYLES = {
    "circuit-tracer": ("3_4096_5", "cross layer transcoder", "3", cantor(3, 4096), "3/4096@5"),
    "the number as it is": ("x", "cross layer transcoder", 3, 4096, "3/4096@5"),
    "a Cantor number, no id": ("x", "cross layer transcoder", 3, cantor(3, 4096), "3/4096@5"),
    "five digits a feature": ("17", "cross layer transcoder", "3", 304096, "3/4096@5"),
    "llamascopium": ("3_cro_4096_5", "cross layer transcoder", 3, cantor(3, 4096), "3/4096@5"),
    "attention": ("3_lor_4096_5", "lorsa", 3, cantor(3, 4096), "attn3/4096@5"),
    "Anthropic": ("3_4096_5", "unexplored node", "3", 77, "3/4096@5"),
    "another type": ("3_4096_5", "sae", "3", 77, "3/4096@5"),
    "an error": ("3_error_mlp_5", "mlp reconstruction error", 3, None, "err3@5"),
    "an error of attention": ("3_error_attn_5", "lorsa error", 3, None, "errattn3@5"),
    "a bias": ("3_bias_attn_bO_5", "bias", 3, None, "bias:3_bias_attn_bO_5"),
    "nobody knows": ("3_unknown_hook_5", "unknown", 3, None, "unknown:3_unknown_hook_5"),
}


@pytest.mark.parametrize("style", STYLES)
def test_every_style_of_ids_is_read_and_written_back(style, tmp_path):
    id_, kind, layer, number, name = STYLES[style]
    document = austin()
    document["nodes"].append(node(id_, kind, layer, 5, number, clerp="L"))
    document["links"].append(link(id_, "9_500_5", 1.5))
    graph = graph_of_document(document)
    assert name in graph.index
    assert unordered(again(document, tmp_path)) == unordered(document)
    valid(again(document, tmp_path))
    why = str(circuits.why(graph))
    assert "Austin" in why


@pytest.mark.parametrize("key", [str(cantor(1, 3)), f"1_{cantor(1, 3)}_4"])
@pytest.mark.parametrize("as_text", [True, False])
def test_labels_of_the_saved_state_are_read_by_their_cantor_key(key, as_text, tmp_path):
    document = austin()
    pairs = [[key, "by hand"], ["77", "of nothing"]]
    document["qParams"]["clerps"] = json.dumps(pairs) if as_text else pairs
    graph = graph_of_document(document)
    assert graph.nodes["label"][graph.row("1/3@4")] == "by hand"
    assert graph.nodes["label"][graph.row("2/7@5")] == "say Austin"
    assert unordered(again(document, tmp_path)) == unordered(document)
    problems = [str(p) for p in circuits.validate(tmp_path / "in.json")]
    whose = "Neuronpedia" if as_text else "circuit-tracer"
    assert any(p.startswith("qParams.clerps") and whose in p for p in problems)
    with pytest.raises(Stopped):
        (neuronpedia if as_text else circuit_tracer)(json.dumps(document))


# JSON → us → JSON


def test_nothing_is_lost_on_the_way_through(tmp_path):
    assert unordered(again(austin(), tmp_path)) == unordered(austin())


@given(document=documents())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_document_comes_through_whole(document, tmp_path):
    jsonschema.Draft7Validator(schema()).validate(document)
    back = again(document, tmp_path)
    assert unordered(_floats(back)) == unordered(_floats(document))


def _floats(value):
    """Whole numbers as JSON has them: 1 and 1.0 are one number."""
    if isinstance(value, dict):
        return {key: _floats(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_floats(part) for part in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_what_is_changed_here_comes_out_changed_and_all_else_as_it_came(tmp_path):
    graph = graph_of_document(austin())
    labels = {**dict(zip(graph.nodes["node"], graph.nodes["label"], strict=True)), "1/3@4": "a label of ours"}
    graph = graph.with_nodes(label=pl.Series(list(labels.values()), dtype=pl.String))
    graph = with_concepts(graph, [Concept("new", ("2/7@5", "err1@4"))])
    document, _ = through(graph, tmp_path)
    nodes = {n["node_id"]: n for n in document["nodes"]}
    expected = {n["node_id"]: n for n in austin()["nodes"]}
    expected["1_3_4"]["clerp"] = "a label of ours"
    assert nodes == expected
    assert document["qParams"]["supernodes"] == [["Texas", "0_9_4", "1_3_4"], ["new", "1_-1_4", "2_7_5"]]
    assert set(document["qParams"]["pinnedIds"]) == {"0_9_4", "1_3_4", "2_7_5", "1_-1_4", "9_500_5"}
    assert document["qParams"]["unheard"] == austin()["qParams"]["unheard"]
    equal(circuits.import_graph(tmp_path / "graph.json"), graph)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_label_given_here_outlives_the_saved_states(as_text, tmp_path):
    document = austin()
    pairs = [[str(cantor(1, 3)), "theirs"], [f"2_{cantor(2, 7)}_5", "theirs too"]]
    document["qParams"]["clerps"] = json.dumps(pairs) if as_text else pairs
    graph = graph_of_document(document)
    column = ["ours" if label == "theirs" else label for label in graph.nodes["label"]]
    graph = graph.with_nodes(label=pl.Series(column, dtype=pl.String))
    written, _ = through(graph, tmp_path)
    left = written["qParams"]["clerps"]
    assert (json.loads(left) if as_text else left) == [pairs[1]]
    assert next(n for n in written["nodes"] if n["node_id"] == "1_3_4")["clerp"] == "ours"
    equal(circuits.import_graph(tmp_path / "graph.json"), graph)
    del written["circuits"]
    assert graph_of_document(written).nodes["label"].to_list() == column


def test_the_order_of_nodes_and_links_says_nothing(tmp_path):
    graph = sample_interactions()
    document, _ = through(graph, tmp_path)
    for part in ("nodes", "links"):
        document[part] = document[part][::-1]
    equal(graph_of_document(document), graph)


def test_a_run_of_an_imported_graph_keeps_all_too(tmp_path):
    graph = graph_of_document(austin())
    graph.save(tmp_path / "run")
    loaded = circuits.load_run(tmp_path / "run")
    document, _ = through(loaded, tmp_path)
    assert unordered(document) == unordered(austin())


def test_questions_that_the_content_allows_are_answered():
    graph = graph_of_document(austin())
    assert "say Austin" in str(circuits.why(graph))
    assert '" Texas"' in str(circuits.paths(graph))
    assert "Texas" in str(circuits.groups(graph))
    for ask in (
        circuits.cuts,
        circuits.unexplained,
        circuits.motifs,
        circuits.scores,
        circuits.concept_graph,
    ):
        assert ask(graph) is not None
    assert len(graph.top(2).nodes) < len(graph.nodes)
    assert TOKENS[4] in graph.meta["prompt"]["tokens"]
