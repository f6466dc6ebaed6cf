"""Combinations: ranked by their definition, told with the numbers of the table, kept when graphs are cut."""

import itertools
import json
import re
from dataclasses import replace
from typing import Any

import networkx as nx
import polars as pl
import pytest
from hypothesis import given, settings
from sample_graph import sample_graph
from sample_interactions import GAME, GATE, HEAD, MARY, gate_pairs, sample_interactions
from strategies import graphs

from circuits.engine.hyperedges import hyperedge_table
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.combinations import interval_text, nodes_of
from circuits.query.subject import Subject, difference, induced
from circuits.query.text import Naming, percent, plain, signed
from circuits.query.why import why
from circuits.schema import HEAD_SCHEMA


def with_rows(*rows: dict[str, Any], graph: Graph | None = None) -> Graph:
    parts = []
    for i, row in enumerate(rows):
        columns = {name: [value] for name, value in row.items()}
        parts.append(hyperedge_table({"hyperedge": f"t{i}"} | columns))
    return replace(graph or sample_graph(), hyperedges=pl.concat(parts))


def told(answer: Answer) -> list[str]:
    """The sentences that come between those on paths and on trust."""
    asked = answer.meta["asked"]
    without = why(sample_graph(), asked["target"], over=asked["over"], top=asked["top"]).finding
    return [sentence for sentence in answer.finding if sentence not in without]


def one(row: dict[str, Any], **more: Any) -> str:
    (sentence,) = told(why(with_rows(row, *more.values()), "logit:Mary"))
    return sentence


def share_by_paths(graph: Graph, row: dict[str, Any], target: str) -> float:
    """The definition in words, by enumerating paths: part of the gate's input × part of the target."""
    kinds = dict(graph.nodes.select("node", pl.col("kind").cast(pl.String)).iter_rows())
    inflow = dict(graph.nodes.select("node", "truncated").iter_rows())
    net = nx.DiGraph()
    net.add_nodes_from(kinds)
    for source, end, weight, _ in graph.edges.iter_rows():
        if kinds[source] not in ("bias", "rest"):
            inflow[end] += abs(weight)
            net.add_edge(source, end, size=abs(weight))
    gate = row["target"]
    arriving = 1.0 if gate == target else 0.0
    for nodes in nx.all_simple_paths(net, gate, target) if gate != target else ():
        share = 1.0
        for a, b in itertools.pairwise(nodes):
            share *= net[a][b]["size"] / inflow[b]
        arriving += share
    return float(abs(row["weight"]) / inflow[gate] * arriving)


def test_the_share_is_that_of_the_definition_and_ranks() -> None:
    graph = sample_interactions()
    table = why(graph, "logit:Mary", top=30).tables["combinations"]
    by_id = {row["hyperedge"]: row for row in graph.hyperedges.to_dicts()}
    of_nodes = table.filter(pl.col("channel") != "qk")
    for row in of_nodes.to_dicts():
        wanted = share_by_paths(graph, by_id[row["hyperedge"]], "logit:Mary")
        assert row["share"] == pytest.approx(wanted, rel=1e-9)
        assert (row["weight"], row["members"]) == tuple(
            by_id[row["hyperedge"]][c] for c in ("weight", "members")
        )
    assert of_nodes["share"].to_list() == sorted(of_nodes["share"], reverse=True)
    wanted = {
        row["hyperedge"]
        for row in by_id.values()
        if row["order"] > 1 and row["via"] is None and not row["target"].startswith("logit:the")
    }
    assert set(table["hyperedge"]) == wanted


def test_scores_of_attention_stand_last_by_their_part_of_the_head() -> None:
    table = why(sample_interactions(), top=30).tables["combinations"]
    assert table["channel"].to_list().index("qk") == len(table) - 3
    last = table.tail(3)
    assert last["share"].null_count() == 3
    assert last["weight"].to_list() == [1.1, 2.4, -0.8]  # all of head 18.0; 3/4 and 1/4 of head 14.3


def test_scores_of_heads_whose_loadings_are_known_have_their_share() -> None:
    graph = sample_interactions()
    edges = (("24/1042@13", MARY, 1.2), ("21/1177@13", "24/1042@13", -0.4), ("2/940@1", "24/1042@13", 0.3))
    rows = [
        {"source": s, "target": t, "via": via, "weight": w, "layer": None, "head": None}
        for s, t, w in edges
        for via in ("head:14.3", "none")
    ]
    loaded = replace(graph, heads=pl.DataFrame(rows, schema=HEAD_SCHEMA))
    table = why(loaded, "logit:Mary", top=30).tables["combinations"]
    carried = sum(share_by_paths(graph, {"target": t, "weight": w}, MARY) for _, t, w in edges)
    known = dict(table.filter(pl.col("where") == "score:14.3@13,9").select("weight", "share").iter_rows())
    assert known == {2.4: pytest.approx(carried * 0.75), -0.8: pytest.approx(carried * 0.25)}
    assert table.filter(pl.col("share").is_null())["where"].to_list() == ["odds:18.0@13,1-3"]
    assert table["share"].drop_nulls().to_list() == sorted(table["share"].drop_nulls(), reverse=True)
    assert "what the head carries" in why(loaded, "logit:Mary", top=30).captions["combinations"]
    assert "what the head carries" not in why(with_rows(GAME | PAIR)).captions["combinations"]


def test_what_reaches_no_other_target_is_left_out() -> None:
    graph = sample_interactions()
    table = why(graph, "logit:the", top=30).tables["combinations"]
    assert not table.filter(pl.col("where") == MARY).height
    assert set(table.filter(channel="mlp")["where"]) <= {
        "21/640@13",
        "4/512@9",
        "14/903@13",
        "24/1042@13",
        "21/1177@13",
    }
    rows = [{"members": ["tok@1", "tok@2"], "target": "logit:her", "weight": 3.0}]
    alone = with_rows(*(GAME | row for row in rows))
    assert not len(why(alone, "logit:Mary").tables["combinations"])


def test_of_several_indices_one_is_shown() -> None:
    base = {"members": ["tok@1", "24/1042@13"], "weight": 1.0}
    graph = with_rows(
        GAME | base | {"index": "SII", "weight": 9.0},
        GAME | base | {"index": "FSII", "members": base["members"][::-1]},
    )
    table = why(graph, "logit:Mary").tables["combinations"]
    assert table["index"].to_list() == ["FSII"]


NUMBER = re.compile(r"[+−]?\d[\d,]*(?:\.\d+)?%?")


def test_numbers_of_the_sentences_stand_in_the_table() -> None:
    for target, top in itertools.product(("logit:Mary", "24/1042@13", "21/640@13"), (3, 30)):
        answer = why(sample_interactions(), target, top=top)
        table = answer.tables["combinations"]
        known: set[str] = set()
        for row in table.to_dicts():
            values = [row[c] for c in ("weight", "effect", "low", "high")] + [v["weight"] for v in row["via"]]
            known |= {text for v in values for text in (signed(v), plain(abs(v or 0)))} | {
                percent(row["share"])
            }
        for sentence in told(answer):
            bare = re.sub(
                r'"[^"]*"(?:@\d+)?|\[[^\]]*\]|\d+/\d+|head \d+\.\d+|error of layer \d+', "", sentence
            )
            assert set(NUMBER.findall(bare)) <= known, sentence
        assert 1 <= len(told(answer)) <= 3


PAIR = {"members": ["24/1042@13", "21/1177@13"], "target": MARY, "weight": 1.3, "effect": 4.9}
EXACT = GATE | {"channel": "output"}


@pytest.mark.parametrize(
    ("gate", "effect", "weight", "said"),
    [
        ("and", 4.9, 1.3, "+4.9 to {}, +1.3 of it beyond their separate effects: nearest to an AND ("),
        ("and", 1.6, 1.3, "+1.3 of it beyond their separate effects: an AND, each alone does little"),
        ("or", 1.6, -1.5, "+1.6 to {}, 1.5 less than {}: an OR, either one suffices"),
        ("or", 4.0, -1.5, "+4 to {}, 1.5 less than {}: nearest to an OR ("),
        ("xor", 0.0, -2.0, "0 to {}, 2 less than {}: an XOR, each alone acts and both together cancel"),
        ("additive", -3.0, 0.2, "−3 to {}, 0.2 more than {}: nearly the sum of the two"),
        ("other", 2.0, 3.0, "+2 to {}, 3 more than {}: no simple kind of gate"),
        (None, 2.0, 1.0, "+1 of it beyond their separate effects: of which kind is undecided"),
        ("inhibit", 0.1, -0.7, "+0.1 to {}, 0.7 less than {}: one holds the other back"),
        ("and", None, 1.3, "do only together raises {} by 1.3: nearest to an AND"),
        ("and", None, -1.3, "do only together lowers {} by 1.3: nearest to an AND"),
    ],
)  # fmt: skip
def test_each_kind_is_told_in_english(
    gate: str | None, effect: float | None, weight: float, said: str
) -> None:
    sentence = one(EXACT | PAIR | {"gate": gate, "effect": effect, "weight": weight})
    assert said.format('the logit of " Mary"', "their separate effects add up to") in sentence
    assert sentence.count("(") == sentence.count(")")
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("Co-Moebius", ", +1.3 of it beyond their separate effects: nearest"),
        ("Moebius", "; with all else off they do 1.3 more together than apart (Moebius): nearest"),
        ("SII", "; on average over what else is on they do 1.3 more together than apart (SII): nearest"),
    ],
)
def test_what_else_is_on_is_said_as_the_index_has_it(index: str, said: str) -> None:
    assert said in one(EXACT | PAIR | {"gate": "and", "index": index})


def test_which_one_inhibits_is_read_from_the_gate_or_from_order_one() -> None:
    # 16/777 has weight −1.6 into 21/640, 18/222 has +1.2: whatever their order
    for members in (["18/222@13", "16/777@13"], ["16/777@13", "18/222@13"]):
        row = GATE | {
            "members": members,
            "target": "21/640@13",
            "weight": -0.9,
            "effect": 0.2,
            "gate": "inhibit",
        }
        (sentence,) = told(why(with_rows(row), "21/640@13"))
        assert '16/777 at " to"@13 holds back 18/222 at " to"@13' in sentence
    # a game has no edges: the interaction undoes what the held one does alone
    pair = EXACT | {"members": ["9/88@9", "14/35@1"], "target": MARY, "effect": 0.1, "gate": "inhibit"}
    single = EXACT | {"target": MARY}
    for sign in (1, -1):
        rows = [
            pair | {"weight": -0.7 * sign},
            single | {"members": ["9/88@9"], "weight": -0.4 * sign},
            single | {"members": ["14/35@1"], "weight": 0.5 * sign},
        ]
        (sentence,) = told(why(with_rows(*rows)))
        assert '9/88 at " John"@9 holds back 14/35 at " Mary"' in sentence


def test_three_members_are_told_as_three() -> None:
    row = EXACT | PAIR | {"members": ["tok@1", "24/1042@13", "21/1177@13"], "weight": 0.5, "gate": "and"}
    sentence = one(row)
    assert sentence.startswith('The word " Mary", feature 24/1042 at " to"@13')
    assert "0.5 more than any one or two of them add up to: nearest to an AND (" in sentence
    held = GATE | {"members": ["18/222@13", "16/777@13", "9/88@9"], "target": "21/640@13", "weight": 0.4}
    (sentence,) = told(why(with_rows(held | {"gate": "inhibit"}), "21/640@13"))
    assert '16/777 at " to"@13 and 9/88 at " John"@9 hold back 18/222' in sentence


def test_doubt_is_said() -> None:
    wide = EXACT | PAIR | {"gate": "and", "low": -0.1, "high": 2.0, "estimated": True}
    assert "(estimated, interval −0.1 to +2, which includes 0: it may be nothing; " in one(wide)
    assert "(interval +1.2 to +1.4; " in one(wide | {"low": 1.2, "high": 1.4, "estimated": False})
    assert "(estimated; " in one(wide | {"low": 1.3, "high": 1.3})
    sure = one(EXACT | PAIR | {"gate": "and"})
    assert "interval" not in sure
    assert "estimated" not in sure


@pytest.mark.parametrize(
    ("low", "high", "estimated", "text"),
    [
        (None, None, False, "exact"),
        (None, None, True, "unknown"),
        (1.0, 1.0, False, "exact"),
        (1.0, 1.0, True, "estimated"),
        (1.0, 1.000001, False, "exact to 3 digits"),
        (-1.0, 2.0, True, "−1 to +2"),
    ],
)
def test_intervals_as_text(low: float | None, high: float | None, estimated: bool, text: str) -> None:
    assert interval_text({"low": low, "high": high, "estimated": estimated}) == text


def test_a_score_is_told_as_a_product() -> None:
    row = HEAD | {"members": ["tok@13", "9/88@9"], "target": "score:14.3@13,9", "weight": -0.8, "gate": "and"}
    said = 'together lower the score of head 14.3 from " to"@13 to " John"@9 by 0.8: a product,'
    assert said in one(row)


def test_mediators_are_named_with_their_part() -> None:
    sentence = told(why(sample_interactions()))[0]
    assert (
        'mainly through feature 26/1219 at " to"@13 [→ " Mary", "Mary", " mary"] (+0.9) and feature 29/1010'
        in sentence
    )
    assert "29/404" not in sentence
    small = {"via": "29/404@13", "weight": 0.12}  # under a tenth, and it comes first
    (bare,) = told(why(with_rows(GAME | PAIR | small, GAME | PAIR | {"gate": "and"})))
    assert "through" not in bare
    assert "1.3 more together" in bare
    via = why(sample_interactions()).tables["combinations"]["via"][0]
    assert [(part["node"], part["weight"]) for part in via] == [
        ("26/1219@13", 0.9),
        ("29/1010@13", 0.3),
        ("29/404@13", 0.02),
    ]
    assert via[0]["share"] == pytest.approx(0.9 / 1.3)


def test_a_member_may_be_where_the_interaction_arises() -> None:
    whole = GAME | PAIR | {"gate": "and"}
    (sentence,) = told(why(with_rows(whole, GAME | PAIR | {"via": "24/1042@13", "weight": 1.2})))
    assert ', mainly through 24/1042 at " to"@13 itself (+1.2): nearest to an AND' in sentence
    (sentence,) = told(why(with_rows(whole, GAME | PAIR | {"via": "24/1042@13", "weight": 0.5})))
    assert ', in part through 24/1042 at " to"@13 itself (+0.5): nearest' in sentence


def test_a_share_of_no_other_row_stands_for_itself() -> None:
    triple = HEAD | {"members": ["tok@13", "tok@9", "0/822@9"], "target": "26/808@13", "weight": 0.3}
    rows = [triple | {"via": "head:14.3@13,9"}, triple | {"via": "head:14.5@13,9", "weight": -0.2}]
    table = why(with_rows(*rows)).tables["combinations"]
    assert table["weight"].to_list() == [0.3, -0.2]
    assert [via[0]["node"] for via in table["via"]] == ["head:14.3@13,9", "head:14.5@13,9"]
    sentence = told(why(with_rows(*rows)))[0]
    assert ', mainly through head 14.3 from " to"@13 to " John"@9 (+0.3): ' in sentence
    whole = why(with_rows(triple | {"weight": 0.1}, *rows)).tables["combinations"]
    assert whole["weight"].to_list() == [0.1]
    assert len(whole["via"][0]) == 2


def test_what_is_nearly_a_sum_is_told_only_for_want_of_better() -> None:
    add = EXACT | PAIR | {"weight": 2.0, "gate": "additive"}
    other = EXACT | {"members": ["tok@1", "tok@3"], "target": MARY, "weight": 1.0, "gate": "or"}
    (sentence,) = told(why(with_rows(add, other)))
    assert "an OR" in sentence
    (sentence,) = told(why(with_rows(add, add | {"members": ["tok@1", "tok@3"], "weight": 1.0})))
    assert "nearly the sum of the two" in sentence
    assert "24/1042" in sentence


def test_each_channel_is_told_of_before_any_twice() -> None:
    pairs = itertools.combinations(["24/1042@13", "21/1177@13", "20/59@13"], 2)
    rows = [EXACT | {"members": list(p), "target": MARY, "weight": 1.0, "gate": "and"} for p in pairs]
    gate = GATE | {"members": ["tok@1", "tok@3"], "target": "24/1042@13", "weight": 0.5, "gate": "or"}
    sentences = told(why(with_rows(*rows, gate), "logit:Mary"))
    assert len(sentences) == 3
    assert "the logit of" in sentences[0]
    assert "the logit of" in sentences[1]
    assert sentences[2].startswith('What the word " Mary" and the word " John"@3 do only together')


def test_runs_without_interactions_are_told_as_before() -> None:
    graph = sample_graph()
    for target, over in (("logit:Mary", None), ("24/1042@13", None), ("Mary", "John")):
        old, new = (why(g, target, over=over) for g in (graph, sample_interactions()))
        pushes = ["pushes"] if over else []
        assert list(old.tables) == ["totals", *pushes, "features", "words", "paths", "ends", "trust"]
        assert "combinations" not in old.captions
        assert [s for s in new.finding if s in old.finding] == list(old.finding)
        for name, table in old.tables.items():
            assert table.equals(new.tables[name])


def test_it_is_said_when_interactions_were_computed_and_none_matters() -> None:
    small = with_rows(EXACT | PAIR | {"weight": 1e-6, "gate": "and"})
    empty = sample_graph().with_meta(interactions={"mlp": {}})
    for graph in (small, empty):
        (sentence,) = told(why(graph, "logit:Mary"))
        assert sentence == (
            "Interactions were computed, but none matters here: none makes up 0.5% of what moves \" Mary\"."
        )  # fmt: skip


def test_the_highlight_keeps_hyperedges_and_what_they_name() -> None:
    answer = why(sample_interactions(), "logit:Mary", top=5)
    held = set(answer.highlight.nodes["node"])
    listed = answer.tables["combinations"]
    assert held >= {node for members in listed["members"] for node in members}
    assert len(listed) == 5
    assert set(listed["hyperedge"]) <= set(answer.highlight.hyperedges["hyperedge"])
    document = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    assert {row["hyperedge"] for row in document["highlight"]["hyperedges"]} >= set(listed["hyperedge"])
    assert document["tables"]["combinations"][0]["members"] == ["24/1042@13", "21/1177@13"]


def whole(graph: Graph, part: Graph) -> list[str]:
    """Ids of the hyperedges none of whose nodes was cut off, one by one."""
    lost = set(graph.nodes["node"]) - set(part.nodes["node"])
    return [
        row["hyperedge"]
        for row in graph.hyperedges.to_dicts()
        if not lost & {*row["members"], row["target"], row["via"]}
    ]


@settings(max_examples=25, deadline=None)
@given(graphs())
def test_hyperedges_stay_where_all_their_nodes_stay(graph: Graph) -> None:
    graph = gate_pairs(why(graph).highlight)
    for part in (
        graph.prune(node_threshold=0.6),
        graph.top(1),
        induced(graph, (graph.nodes["kind"] != "error").arg_true().to_numpy().astype(int)),
    ):
        assert part.hyperedges["hyperedge"].to_list() == whole(graph, part)


def test_scores_and_concepts_outlive_a_cut() -> None:
    graph = sample_interactions()
    for part in (graph.top(20), graph.prune(node_threshold=0.5)):
        kept = part.hyperedges["hyperedge"].to_list()
        assert kept == whole(graph, part)
        assert 0 < len(kept) < len(graph.hyperedges)
    assert "score:14.3@13,9" in graph.top(40).hyperedges["target"]
    concept = with_rows(GAME | {"members": ["names", "tok@3"], "weight": 1.0})
    assert len(concept.top(0).hyperedges) == 1


def test_interactions_of_a_difference_are_differences() -> None:
    rows = [
        GAME | PAIR | {"low": 1.1, "high": 1.5, "gate": "and"},
        GAME | PAIR | {"target": "logit:John", "members": PAIR["members"][::-1], "weight": 0.4}
        | {"effect": -1.0, "low": 0.3, "high": 0.6, "gate": "or"},
        GAME | {"members": ["tok@1", "tok@3"], "target": MARY, "weight": 1.0},
    ]  # fmt: skip
    graph, name = difference(with_rows(*rows), "logit:Mary", "logit:John")
    (row,) = graph.hyperedges.filter(target=name).to_dicts()
    assert row["weight"] == pytest.approx(0.9)
    assert row["effect"] == pytest.approx(5.9)
    assert (row["low"], row["high"]) == pytest.approx((0.5, 1.2))
    assert row["gate"] is None
    assert len(graph.hyperedges) == 4
    (sentence,) = told(why(with_rows(*rows), "Mary", over="John"))
    assert 'contribute +5.9 to the difference of the logits of " Mary" over " John"' in sentence


def test_concepts_heads_and_scores_have_names() -> None:
    graph = sample_graph().with_nodes(
        concept=pl.when(pl.col("node").is_in(["21/1177@13", "24/1042@13"])).then(pl.lit("say Mary"))
    )
    naming = Naming.of(graph)
    assert naming.phrase("say Mary") == 'the concept "say Mary"'
    assert naming.brief("head:5.3@10,4") == 'head 5.3 from " gave" to " went"'
    assert naming.brief("head:5.3") == "head 5.3"
    assert naming.phrase("score:5.3@10,4") == 'the score of head 5.3 from " gave" to " went"'
    assert naming.phrase("odds:5.3@10,4-2") == 'the log-odds of " went" over " and" in head 5.3 at " gave"'
    assert nodes_of(graph, ["say Mary", "tok@3", "nothing"]) == ["tok@3", "21/1177@13", "24/1042@13"]
    rows = GATE | {"members": ["say Mary", "20/59@13"], "target": "26/1219@13", "weight": 0.9, "gate": "and"}
    answer = why(with_rows(rows, graph=graph), "26/1219@13")
    assert 'What the concept "say Mary" and feature 20/59' in told(answer)[0]
    assert {"21/1177@13", "24/1042@13"} <= set(answer.highlight.nodes["node"])


@settings(max_examples=20, deadline=None)
@given(graphs())
def test_any_graph_with_interactions_gets_an_answer(graph: Graph) -> None:
    graph = gate_pairs(graph)
    answer = why(graph)
    assert str(answer)
    json.dumps(answer.to_dict(), allow_nan=False)
    subject = Subject.of(graph)
    rows = answer.tables["combinations"].head(3).to_dicts() if "combinations" in answer.tables else []
    for row in rows:
        wanted = share_by_paths(graph, row | {"target": row["where"]}, subject.node)
        assert 0 < row["share"] == pytest.approx(wanted, rel=1e-5)
