"""Documents that cannot be trusted: every problem named with its JSON path, exit 4, nothing written."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import jsonschema
import pytest
from exchange_documents import austin, documents, feature, link, node
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import circuits
from circuits.cli.main import run
from circuits.errors import InvalidFile, NotFound
from circuits.interop.checks import checks
from circuits.interop.exchange import graph_of_document
from circuits.interop.problems import schema, schema_problems


def changed(how):
    document = austin()
    how(document)
    return document


def at(document, *path):
    for key in path:
        document = document[key]
    return document


def put(*path, value):
    return lambda document: at(document, *path[:-1]).__setitem__(path[-1], value)


def drop(*path):
    return lambda document: at(document, *path[:-1]).pop(path[-1])


def add(part, *what):
    return lambda document: document[part].extend(what)


ERRORS = {
    "a missing part": (drop("qParams"), "the document: qParams is missing"),
    "a missing key": (drop("nodes", 7, "layer"), "nodes[7]: layer is missing"),
    "a wrong type": (put("nodes", 7, "ctx_idx", value="4"), 'nodes[7].ctx_idx: "4" is no integer'),
    "a wrong type of a link": (put("links", 3, "weight", value=None), "links[3].weight: null is no number"),
    "a number for a text": (put("metadata", "slug", value=3), "metadata.slug: 3 is no string"),
    "a pin that is no text": (
        put("qParams", "pinnedIds", 1, value=3),
        "qParams.pinnedIds[1]: 3 is no string",
    ),
    "half a schema": (put("nodes", value={}), "nodes: {} is no array"),
    "a node that is none": (put("nodes", 2, value=7), "nodes[2]: 7 is no object"),
    "an id twice": (
        add("nodes", feature(5, 5, 5) | {"node_id": "2_7_5"}),
        'nodes[12].node_id: "2_7_5" is also that of nodes[8]',
    ),
    "a feature twice": (
        add("nodes", feature(2, 7, 5) | {"node_id": "another"}),
        "nodes[12]: the same node as nodes[8]: 2/7@5",
    ),
    "a layer that is none": (put("nodes", 7, "layer", value="top"), 'nodes[7].layer: "top" is no layer'),
    "a layer below 0": (put("nodes", 7, "layer", value=-1), "nodes[7].layer: -1 is no layer"),
    "a position below 0": (put("nodes", 7, "ctx_idx", value=-2), "nodes[7].ctx_idx: -2 is no position"),
    "a feature without a number": (
        lambda d: d["nodes"][7].update(node_id="x", feature=None),
        'nodes[7].feature: null with the id "x" names no feature',
    ),
    "a feature beyond 32 bits": (
        lambda d: d["nodes"][7].update(node_id="x", feature=10**30),
        "nodes[7].feature: 1",
    ),
    "a source that is nowhere": (
        put("links", 1, "source", value="gone"),
        'links[1].source: no node has the id "gone"',
    ),
    "a target that is nowhere": (
        put("links", 1, "target", value="gone"),
        'links[1].target: no node has the id "gone"',
    ),
    "a link twice": (add("links", link("1_3_4", "2_7_5", 9.0)), "links[9]: repeats links[3]"),
    "NaN": (put("links", 0, "weight", value=float("nan")), "links[0].weight: nan is no finite number"),
    "infinity": (put("links", 0, "weight", value=float("-inf")), "links[0].weight: -inf is no finite"),
    "a cycle": (
        add("links", link("2_7_5", "0_9_4", 1.0)),
        "links: a cycle: ",
    ),
    "a node on itself": (add("links", link("2_7_5", "2_7_5", 1.0)), "links: a cycle: 2_7_5 → 2_7_5"),
    "half a character": (put("nodes", 7, "clerp", value="\ud83d"), "nodes[7].clerp: holds \\ud83d, half"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_it_is_named_with_its_path_and_nothing_is_written(case, tmp_path, capsys):
    how, says = ERRORS[case]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(changed(how)))
    with pytest.raises(InvalidFile, match=re.escape(says)):
        circuits.import_graph(path)
    assert any(
        str(problem).startswith(says) for problem in circuits.validate(path) if problem.level == "error"
    )
    assert run(["import", str(path), "-o", str(tmp_path / "run")]) == 4
    assert says.replace(" ", "") in capsys.readouterr().err.replace("\n", "").replace(" ", "")
    assert [place.name for place in tmp_path.iterdir()] == ["a.json"]
    assert run(["validate", str(path)]) == 4


def test_a_cycle_is_named_whole():
    document = changed(add("links", link("2_7_5", "0_9_4", 1.0)))
    [problem] = checks(document)
    walk = problem.text.split(": ")[1].split(";")[0].split(" → ")
    pairs = {(one["source"], one["target"]) for one in document["links"]}
    assert walk[0] == walk[-1]
    assert len(walk) > 2
    assert set(pairwise(walk)) <= pairs


def test_links_against_the_layers_without_a_cycle_are_read():
    document = changed(add("links", link("2_7_5", "1_-1_4", 1.0)))
    document["links"] = [one for one in document["links"] if one["source"] != "1_-1_4"]
    graph = graph_of_document(document)
    assert graph.row("2/7@5") < graph.row("err1@4")


def test_all_problems_are_told_at_once():
    document = changed(put("nodes", 7, "ctx_idx", value="4"))
    for how in (drop("nodes", 8, "clerp"), drop("metadata", "scan"), put("links", 0, "weight", value="x")):
        how(document)
    assert {str(problem) for problem in checks(document)} == {
        'nodes[7].ctx_idx: "4" is no integer',
        "nodes[8]: clerp is missing",
        "metadata: scan is missing",
        'links[0].weight: "x" is no number',
    }


@given(
    document=documents(),
    data=st.data(),
    value=st.sampled_from([None, True, 3, 2.5, "x", [], {}, [3], {"a": 1}]),
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_schemas_problems_are_those_another_validator_finds(document, data, value):
    places = [("metadata",), ("qParams",), ("nodes",), ("links",)]
    places += [("metadata", key) for key in ("slug", "prompt_tokens", "node_threshold", "info")]
    places += [("qParams", key) for key in ("pinnedIds", "supernodes", "linkType")]
    for part in ("nodes", "links"):
        places += [(part, 0, key) for key in (document[part][0] if document[part] else ())]
    place = data.draw(st.sampled_from(places))
    at(document, *place[:-1])[place[-1]] = value
    found = {problem.path for problem in schema_problems(document)}
    errors = jsonschema.Draft7Validator(schema()).iter_errors(document)
    assert found == {_path(error.absolute_path) for error in errors}


def _path(parts):
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)
    return text.removeprefix(".")


WARNINGS = {
    "a position beyond": (put("nodes", 7, "ctx_idx", value=9), "nodes[7].ctx_idx", "warning"),
    "no probability": (
        put("nodes", 10, "clerp", value='Output " Austin"'),
        "nodes[10].clerp",
        "viewer",
    ),
    "a probability that is none": (
        put("nodes", 10, "clerp", value='Output " Austin" (p=high)'),
        "nodes[10].clerp",
        "viewer",
    ),
    "one layer": (
        lambda d: (
            d["nodes"].__delitem__(slice(7, 10)),
            d.update(links=[], qParams={}),
        ),
        "nodes",
        "viewer",
    ),
    "a pin of nothing": (put("qParams", "pinnedIds", 0, value="x"), "qParams.pinnedIds[0]", "warning"),
    "a group of nothing": (
        put("qParams", "supernodes", 0, 2, value="x"),
        "qParams.supernodes[0][2]",
        "warning",
    ),
    "a group that is none": (put("qParams", "supernodes", 1, value=3), "qParams.supernodes[1]", "warning"),
    "no Cantor number": (put("nodes", 7, "feature", value=3), "nodes[7].feature", "warning"),
    "no version": (drop("metadata", "schema_version"), "metadata.schema_version", "warning"),
    "an unknown type": (put("nodes", 7, "feature_type", value="sae"), "nodes[7].feature_type", "warning"),
}


@pytest.mark.parametrize("case", WARNINGS)
def test_what_viewers_stumble_over_is_told_and_can_be_imported(case, tmp_path, capsys):
    how, path, level = WARNINGS[case]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(changed(how)))
    [problem] = circuits.validate(file)
    assert (problem.path, problem.level) == (path, level)
    assert circuits.import_graph(file)
    assert run(["validate", str(file), "--json"]) == (0 if level == "warning" else 4)
    told = json.loads(capsys.readouterr().out)
    assert told["problems"] == [{"level": level, "path": path, "text": problem.text}]
    assert told["valid"] == (level == "warning")


def test_a_threshold_of_null_is_told(tmp_path):
    assert [p.path for p in checks(changed(put("metadata", "node_threshold", value=None)))] == [
        "metadata.node_threshold"
    ]


def test_nothing_is_wrong_with_a_good_document(tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(austin()))
    assert circuits.validate(tmp_path / "a.json") == []
    assert run(["validate", str(tmp_path / "a.json")]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_nan_anywhere_is_told_for_browsers_refuse_the_file(tmp_path):
    document = changed(put("nodes", 7, "influence", value=float("nan")))
    (tmp_path / "a.json").write_text(json.dumps(document))
    [problem] = circuits.validate(tmp_path / "a.json")
    assert (problem.path, problem.level) == ("nodes[7].influence", "error")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "line 1, column 1"),
        ('{"nodes": [', "The file ends there"),
        ('{"nodes": [1,\n  2,,]}', "line 2, column 5"),
        ("[" * 200_000, "too deeply"),
        ('{"a": ' + "9" * 10_000 + "}", "cannot be read"),
        ("not json", "line 1, column 1"),
        ("null", "the document: null is no object"),
        ("[]", "the document: [] is no object"),
    ],
)
def test_corrupt_json_is_told_with_line_and_column(text, says, tmp_path):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InvalidFile, match=re.escape(says)):
        circuits.import_graph(tmp_path / "a.json")


def test_other_files_are_told(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(InvalidFile, match="no UTF-8"):
        circuits.import_graph(tmp_path / "a.json")
    with pytest.raises(NotFound, match="No file at"):
        circuits.import_graph(tmp_path / "b.json")
    with pytest.raises(circuits.CircuitsError, match="is a directory"):
        circuits.import_graph(tmp_path)
    (tmp_path / "c.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(austin()).encode())
    assert circuits.import_graph(tmp_path / "c.json").targets[0] == "logit:Austin"


def test_an_empty_graph_and_one_without_outputs_are_read(tmp_path):
    empty = changed(lambda d: d.update(nodes=[], links=[]))
    assert len(graph_of_document(empty).nodes) == 0
    circuits.export_graph(graph_of_document(empty), tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["nodes"] == []
    words = changed(lambda d: d.update(nodes=d["nodes"][:6], links=[]))
    assert graph_of_document(words).targets == []


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
        lambda x: (
            st.lists(x) | st.dictionaries(st.sampled_from(["nodes", "links", "metadata", "qParams", "x"]), x)
        ),
    )
)
@settings(max_examples=150, deadline=None)
def test_any_json_that_is_no_graph_is_refused(value):
    with pytest.raises(InvalidFile, match="no attribution graph that can be read"):
        graph_of_document(value)


@pytest.mark.parametrize("key", ["nodes", "meta", "edges", "strength", "ids", "double", "hyperedges"])
@pytest.mark.parametrize("value", [None, 3, {}, [], "x"])
def test_our_own_object_spoilt_by_another_is_left_aside(key, value, tmp_path):
    graph = graph_of_document(austin())
    labels = graph.nodes["label"].fill_null("of ours")
    circuits.export_graph(graph.with_nodes(label=labels), tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    document["circuits"][key] = value
    found = graph_of_document(document)
    assert set(found.nodes["node"]) == set(graph.nodes["node"])


def test_types_of_nodes_nobody_knows_are_counted_as_unexplained():
    document = changed(add("nodes", node("q", "mystery", "1", 2, None)))
    graph = graph_of_document(document)
    assert str(graph.nodes["kind"][graph.row("unknown:q")]) == "error"
