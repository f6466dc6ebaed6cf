"""Answers: totals that close, paths against enumeration, sentences that only say what the tables hold."""

import itertools
import json
import re
from dataclasses import replace

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from sample_graph import sample_graph
from strategies import graphs, random_graph

from circuits.errors import NotFound, UsageError
from circuits.graph.graph import Graph
from circuits.query.paths import Path, top_paths
from circuits.query.subject import Subject, difference
from circuits.query.tables import ends_table
from circuits.query.text import Naming, columns_text, wrapped
from circuits.query.why import why


def enumerated(
    graph: Graph, target: str, sources: set[str] | None = None
) -> list[tuple[float, tuple[str, ...]]]:
    """All complete paths into a node by networkx, shares from the edge table alone."""
    kinds = dict(graph.nodes.select("node", pl.col("kind").cast(pl.String)).iter_rows())
    truncated = dict(graph.nodes.select("node", "truncated").iter_rows())
    net = nx.DiGraph()
    net.add_nodes_from(kinds)
    for source, end, weight, _ in graph.edges.iter_rows():
        if kinds[source] not in ("bias", "rest") and weight != 0:
            net.add_edge(source, end, size=abs(float(weight)))
    total = {n: truncated[n] + sum(d["size"] for *_, d in net.in_edges(n, data=True)) for n in net}
    leaves = {n for n in net if kinds[n] in ("token", "position", "error", "feature") and not total[n]}
    found = []
    for start in leaves if sources is None else sources:
        for nodes in nx.all_simple_paths(net, start, target) if start != target else ():
            share = np.prod([net[a][b]["size"] / total[b] for a, b in itertools.pairwise(nodes)])
            found.append((float(share), tuple(nodes)))
    return sorted(found, key=lambda pair: -pair[0])


def assert_same_paths(found: list[Path], wanted: list[tuple[float, tuple[str, ...]]], k: int) -> None:
    assert len(found) == min(k, len(wanted))
    assert len({path.nodes for path in found}) == len(found)
    known = {nodes: share for share, nodes in wanted}
    for path, (share, _) in zip(found, wanted, strict=False):
        assert path.share == pytest.approx(share, rel=1e-6)
        assert path.share == pytest.approx(known[path.nodes], rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_top_paths_are_those_of_enumeration(graph: Graph) -> None:
    target = graph.targets[0]
    for k in (1, 4, 10_000):
        assert_same_paths(top_paths(graph, target, k=k), enumerated(graph, target), k)


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_paths_from_given_sources_may_start_midway_and_pass_no_other(graph: Graph) -> None:
    target = graph.targets[0]
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    sources = {*features[:2], graph.nodes["node"][0]} - {target}
    wanted = [one for one in enumerated(graph, target, sources) if not sources & set(one[1][1:])]
    assert_same_paths(top_paths(graph, target, k=50, sources=sources), wanted, 50)


def test_all_paths_and_what_is_cut_make_up_everything() -> None:
    graph = sample_graph()
    paths = top_paths(graph, "logit:Mary", k=10**6)
    cut = dict(ends_table(Subject.of(graph, "logit:Mary")).iter_rows())["edges too small to keep"]
    assert sum(path.share for path in paths) + cut == pytest.approx(1, abs=1e-12)


def test_a_path_carries_no_more_than_any_node_on_it() -> None:
    graph = sample_graph()
    share = Subject.of(graph, "logit:Mary").influence
    for path in top_paths(graph, "logit:Mary", k=300):
        assert path.share <= min(share[graph.row(node)] for node in path.nodes) * (1 + 1e-12)


def test_sign_of_a_path_is_that_of_the_product_of_its_weights() -> None:
    paths = top_paths(sample_graph(), "logit:Mary", k=300)
    assert {path.sign for path in paths} == {1, -1}
    for path in paths:
        assert path.sign == np.sign(np.prod(path.weights))
    edges = sample_graph().edges.with_columns(pl.col("source", "target").cast(pl.String))
    known = {(s, t): w for s, t, w, _ in edges.iter_rows()}
    assert paths[0].weights == tuple(
        known[pair] for pair in zip(paths[0].nodes, paths[0].nodes[1:], strict=False)
    )


def test_paths_refuse_nonsense() -> None:
    with pytest.raises(UsageError, match="0 paths"):
        top_paths(sample_graph(), "logit:Mary", k=0)
    with pytest.raises(NotFound, match="logit:Marx"):
        top_paths(sample_graph(), "logit:Marx")
    assert top_paths(sample_graph(), "tok@3") == []


@pytest.mark.parametrize("target", ["logit:Mary", "logit:John", "24/1042@13", "9/88@9"])
def test_totals_add_up_to_the_value_by_kind(target: str) -> None:
    graph = sample_graph()
    totals = why(graph, target).tables["totals"]
    row = graph.nodes.row(graph.row(target), named=True)
    assert totals["total"].sum() == pytest.approx(row["pre_activation"], abs=1e-12)
    assert (totals["up"] + totals["down"] - totals["total"]).abs().max() < 1e-12
    kinds = graph.nodes.select(pl.col("node").alias("source"), pl.col("kind").cast(pl.String))
    edges = graph.edges.with_columns(pl.col("source", "target").cast(pl.String)).filter(target=target)
    by_kind = dict(edges.join(kinds, on="source").group_by("kind").agg(pl.col("weight").sum()).iter_rows())
    found = dict(totals.select("part", "total").iter_rows())
    assert found["features"] == pytest.approx(by_kind["feature"], abs=1e-12)
    assert found["constants"] == pytest.approx(by_kind["bias"], abs=1e-12)
    assert found["edges too small to keep"] == pytest.approx(by_kind["rest"], abs=1e-12)


def test_what_pruning_took_stands_in_the_totals() -> None:
    graph = sample_graph()
    lost = graph.edges.filter(~((pl.col("source") == "24/1042@13") & (pl.col("target") == "logit:Mary")))
    totals = why(replace(graph, edges=lost), "logit:Mary").tables["totals"]
    assert dict(totals.select("part", "total").iter_rows())["not in this graph"] == pytest.approx(2.9)
    assert totals["total"].sum() == pytest.approx(17.42)
    assert "+2.9 is not in this graph" in " ".join(why(replace(graph, edges=lost), "logit:Mary").finding)


@settings(max_examples=40, deadline=None)
@given(graphs(dtype=np.float64))
def test_ends_share_out_everything(graph: Graph) -> None:
    subject = Subject.of(graph)
    ends = ends_table(subject)
    reached = subject.shares[[subject.row]].sum() > 0 or graph.nodes["truncated"][subject.row] > 0
    assert ends["share"].sum() == pytest.approx(1 if reached else ends["share"].sum(), abs=1e-9)
    assert (ends["share"] >= -1e-12).all()


def test_influence_is_on_the_target_alone() -> None:
    graph = sample_graph()
    alone = graph.with_nodes(
        target_weight=pl.when(pl.col("node") == "logit:the").then(1.0).otherwise(0.0),
    )
    wanted = Subject.of(alone).influence
    np.testing.assert_allclose(Subject.of(graph, "the").influence, wanted)
    features = why(graph, "the", top=4).tables["features"]
    assert features["influence"].to_list() == sorted(features["influence"], reverse=True)
    assert features["node"][0] == "26/808@13"


def test_features_say_what_they_read_and_write() -> None:
    row = why(sample_graph(), "logit:Mary").tables["features"].filter(node="24/1042@13").row(0, named=True)
    assert row["weight"] == pytest.approx(2.9)
    assert [link["node"] for link in row["reads"]] == ["21/1177@13", "2/940@1", "18/1401@13"]
    assert [link["weight"] for link in row["reads"]] == pytest.approx([1.9, 1.0, 0.8])
    assert [link["node"] for link in row["writes"][:2]] == ["logit:Mary", "26/1219@13"]


def test_a_difference_is_the_difference_of_its_rows() -> None:
    graph = sample_graph()
    both, name = difference(graph, "logit:Mary", "logit:John")
    wanted = (graph.matrix[[graph.row("logit:Mary")]] - graph.matrix[[graph.row("logit:John")]]).toarray()[0]
    found = both.matrix[[both.row(name)]].toarray()[0]
    np.testing.assert_allclose(found[: len(wanted)], wanted, atol=1e-12)
    np.testing.assert_array_equal(both.edges["weight"][: len(graph.edges)], graph.edges["weight"])
    answer = why(graph, "Mary", over="John")
    assert answer.meta["value"] == pytest.approx(17.42 - 14.57)
    assert answer.tables["totals"]["total"].sum() == pytest.approx(17.42 - 14.57)
    assert answer.finding[0].startswith('" Mary" over " John" is supported most')
    pushes = answer.tables["pushes"]
    assert pushes["pushes"].to_list() == ['only " Mary"', 'only " John"', "both"]
    features = graph.nodes.filter(kind="feature")["node"]
    mary, john = (
        {node: graph.matrix[graph.row(logit), graph.row(node)] for node in features}
        for logit in ("logit:Mary", "logit:John")
    )
    only = [node for node in features if mary[node] > 0 >= john[node]]
    both = [node for node in features if mary[node] > 0 and john[node] > 0]
    assert pushes["features"].to_list()[::2] == [len(only), len(both)]
    assert pushes["for the first"].to_list()[::2] == pytest.approx(
        [sum(mary[node] for node in only), sum(mary[node] for node in both)]
    )
    assert f'{len(only)} features push only " Mary" directly' in " ".join(answer.finding)


def test_a_difference_held_by_the_graph_is_used_as_it_is() -> None:
    graph, name = difference(sample_graph(), "logit:Mary", "logit:John")
    answer = why(graph, "Mary", over="John")
    assert answer.meta["target"] == name == "logit:Mary-John"
    assert answer.finding == why(sample_graph(), "Mary", over="John").finding


def test_the_finding_tells_numbers_of_the_tables() -> None:
    answer = why(sample_graph())
    text = " ".join(answer.finding)
    assert '" Mary" (p = 0.68) is supported most, directly, by feature 24/1042 at " to"@13' in text
    assert "adds +2.9 to its logit of 17.4" in text
    assert "acts most against it is feature 26/808" in text
    assert "(−1.2)" in text
    assert "nothing is left over" in text
    best = answer.tables["words"].row(0, named=True)
    assert best["node"] == "tok@1"
    assert f'" Mary" ({best["influence"]:.0%})' in text


def test_the_finding_gathers_features_by_tested_labels() -> None:
    graph = sample_graph()
    order = why(graph).tables["features"]["node"].to_list()
    labels = dict.fromkeys(order, '→ " of", " in"') | {
        order[4]: "say names", order[1]: "say names", order[2]: "names",
    }  # fmt: skip
    told = [labels.get(node) for node in graph.nodes["node"]]
    text = " ".join(why(graph.with_nodes(label=pl.Series(told))).finding)
    one, two, three = (order[i].split("@")[0] for i in (1, 4, 2))
    assert f"could be tested: say names ({one}, {two}); names ({three})." in text
    untested = [None if label is None else '→ " of"' for label in told]
    bare = graph.with_nodes(label=pl.Series(untested, dtype=pl.String))
    assert "could be tested" not in " ".join(why(bare).finding)


def test_an_answer_prints_and_is_one_json_document() -> None:
    answer = why(sample_graph(), "logit:Mary", top=3)
    document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    parts = {"question", "finding", "tables", "captions", "highlight", "code", "meta", "predictions"}
    assert set(document) == parts
    assert document["tables"]["features"][0]["reads"][0]["node"] == "21/1177@13"
    drawn = {node["node"] for node in document["highlight"]["nodes"]}
    assert {edge["source"] for edge in document["highlight"]["edges"]} <= drawn
    assert {node for path in document["tables"]["paths"] for node in path["nodes"]} <= drawn
    printed = str(answer)
    assert all(part in printed for part in ("TOTALS", "FEATURES", "reads  21/1177", "PATHS", "+7.49"))
    assert not re.search(r'" $', printed, re.MULTILINE)
    assert repr(answer) == "Answer('Why \" Mary\"?', tables: totals, features, words, paths, ends, trust)"


def test_the_code_of_an_answer_names_the_same_question() -> None:
    asked = why(sample_graph().with_meta(run="run/ioi"), " Mary", over="John", top=3)
    compile(asked.code, "code", "exec")
    assert "load_run('run/ioi')" in asked.code
    assert "circuits.why(graph, ' Mary', over='John', top=3)" in asked.code


def test_a_graph_without_meta_is_answered_by_names() -> None:
    bare = replace(sample_graph(), meta={})
    answer = why(bare)
    assert answer.question == 'Why "Mary"?'
    assert "feature 24/1042 at position 13" in answer.finding[0]
    assert answer.tables["words"]["token"][0] == "position 1"
    assert '"tok@1"' not in str(answer)


def test_a_target_nothing_supports_is_said_so() -> None:
    graph = random_graph(3, tokens=1, layers=0, logits=1)
    negative = graph.edges.with_columns(weight=-pl.col("weight").abs())
    finding = why(replace(graph, edges=negative)).finding
    assert "has no direct support" in finding[0]


@settings(max_examples=30, deadline=None)
@given(graphs())
def test_any_graph_gets_an_answer_whose_totals_close(graph: Graph) -> None:
    answer = why(graph)
    assert answer.tables["totals"]["total"].sum() == pytest.approx(answer.meta["value"], rel=1e-9, abs=1e-9)
    assert str(answer)
    json.dumps(answer.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("target", "over", "error", "match"),
    [
        ("tok@3", None, UsageError, "is a source"),
        ("18/486@13", None, UsageError, "was not opened up"),
        ("logit:Marry", None, NotFound, "Did you mean 'logit:Mary'"),
        ("24/1043@13", None, NotFound, "24/1042@13"),
        ("Mary", "Mary", UsageError, "no difference of two outputs"),
        ("Mary", "24/1042@13", UsageError, "no difference of two outputs"),
    ],
)
def test_questions_that_cannot_be_answered(target: str, over: str | None, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        why(sample_graph(), target, over=over)


def test_a_graph_without_targets_needs_one_named() -> None:
    none = sample_graph().with_nodes(target_weight=pl.lit(0.0))
    with pytest.raises(UsageError, match="no target"):
        why(none)
    assert why(none, "logit:Mary").meta["target"] == "logit:Mary"
    with pytest.raises(UsageError, match="top 0"):
        why(none, "logit:Mary", top=0)


def test_tokens_that_occur_twice_are_told_apart() -> None:
    naming = Naming.of(sample_graph())
    assert (naming.token(1), naming.token(3), naming.token(9)) == ('" Mary"', '" John"@3', '" John"@9')
    assert naming.phrase("err3@9") == 'the error of layer 3 at " John"@9'


def test_lines_break_nowhere_inside_quotes() -> None:
    text = 'the words " Mary", " the" and " to" are quoted as they are'
    for width in range(12, 60):
        lines = wrapped(text, width).split("\n")
        assert " ".join(lines) == text
        assert all(line.count('"') % 2 == 0 for line in lines)


def test_columns_align_numbers_to_the_right() -> None:
    text = columns_text(["a", "n"], [["x", "1"], ["yy", "100"]], right=[False, True])
    assert text == "  a     n\n  x     1\n  yy  100"
