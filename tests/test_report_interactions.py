"""Pages of runs with interactions: numbers, tips, escaping; pages without them stay as they were."""

import functools
import json
import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from sample_graph import TOKENS, sample_graph
from sample_interactions import GAME, MARY, gate_pairs, sample_interactions
from strategies import graphs
from test_combinations import PAIR, with_rows
from test_report import EVIL, Page, without_scripts

from circuits.graph.graph import Graph
from circuits.query.answer import LINKS, printed
from circuits.query.why import why
from circuits.report import report
from circuits.report.sections import facts


@functools.cache
def text() -> str:
    return report(sample_interactions())


@functools.cache
def page() -> Page:
    return Page(text())


def test_numbers_of_the_table_stand_on_the_page() -> None:
    table = why(sample_interactions()).tables["combinations"]
    cells = page().cells["combinations"]
    assert len(cells) == len(table) == 10
    shown = sorted(printed(table), key=lambda column: column != "combination")  # what a row is about, first
    for line, row in zip(cells, table.to_dicts(), strict=True):
        for found, column in zip(line, shown, strict=False):
            value = row[column]
            assert float(found) == value if isinstance(value, float) else found == value
    assert table.schema["via"] == LINKS
    assert "26/1219 at \" to\"@13" in "".join(page().text).replace("\u00a0", " ")  # fmt: skip


def test_the_section_holds_four_pictures_and_their_captions() -> None:
    classes = [attrs.get("class") for _, attrs in page().seen]
    assert classes.count("cell") >= 5
    assert classes.count("bar") > 10
    # network, paths, sum, hypergraph, UpSet, matrix, orders
    assert sum(tag == "svg" for tag, _ in page().seen) == 7
    assert sum(tag == "figcaption" for tag, _ in page().seen) == 4  # hypergraph, UpSet, matrix, orders
    few = report(with_rows(GAME | PAIR | {"gate": "and"}))
    assert Page(few).open == []
    assert few.count("<figcaption") == 2  # a single pair: no matrix, and no order 1 to add up


def test_ids_are_unique_and_references_lead_somewhere() -> None:
    ids = [attrs["id"] for _, attrs in page().seen if attrs.get("id")]
    assert len(ids) == len(set(ids))
    values = [value or "" for _, attrs in page().seen for value in attrs.values()]
    wanted = {name for value in values for name in re.findall(r"url\(#([^)]+)\)", value)}
    wanted |= {str(attrs["href"])[1:] for _, attrs in page().seen if str(attrs.get("href")).startswith("#")}
    assert wanted
    assert wanted <= set(ids)
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", without_scripts(text()))


def test_diamonds_and_bars_tell_what_they_are() -> None:
    inside = {
        kind: re.findall(rf'<g [^>]*class="{kind}"[^>]*>\s*<title>([^<]*)</title>', text())
        for kind in ("hyperedge", "sign", "bar", "dot", "cell")
    }
    first = 'and: 24/1042@13 &amp; 21/1177@13 → output " Mary"\ninteraction +1.3 (FSII; +1.1 to +1.5)'
    for kind in ("hyperedge", "sign", "bar", "dot"):
        assert any(found.startswith(first) for found in inside[kind]), kind
    assert len(inside["hyperedge"]) == 16  # six in the network, ten in the hypergraph
    assert any("layer 21 with layer 24: pairs pushing up 9.2%" in found for found in inside["cell"])


def test_joins_name_their_hyperedge_and_their_node() -> None:
    joins = [attrs for _, attrs in page().seen if attrs.get("class") == "join"]
    diamonds = {attrs["data-hyperedge"] for _, attrs in page().seen if attrs.get("class") == "hyperedge"}
    nodes = {attrs["data-node"] for _, attrs in page().seen if attrs.get("class") == "node"}
    assert {attrs["data-hyperedge"] for attrs in joins} == diamonds
    assert {attrs["data-node"] for attrs in joins} <= nodes
    rows = {row["hyperedge"]: row for row in sample_interactions().hyperedges.to_dicts()}
    for name in diamonds:
        row = rows[str(name)]
        joined = {attrs["data-node"] for attrs in joins if attrs["data-hyperedge"] == name}
        assert joined == {*row["members"], row["target"]}


def test_terms_are_explained_for_what_the_run_holds() -> None:
    said = " ".join("".join(page().text).split())
    for told in (
        "Interaction",
        "Co-Moebius: what",
        "FSII: the polynomial",
        "STII: ",
        "95% interval",
        "Channel",
    ):
        assert told in said
    assert "SII, corrected" not in said
    assert "not in this graph, but for the combinations in attention." in said
    plain = report(sample_graph())
    for told in ("Co-Moebius", "Diamonds", 'data-table="combinations"', "but for the comb"):
        assert told not in without_scripts(plain).split("</style>")[1]
    assert "circuits interact RUN" in without_scripts(plain)


def test_the_rest_of_the_page_is_that_of_a_run_without_interactions() -> None:
    old = Page(report(sample_graph()))
    for name in ("totals", "features", "paths", "words"):
        assert page().cells[name] == old.cells[name]


def test_names_from_outside_are_escaped() -> None:
    named = sample_graph().with_nodes(
        label=pl.when(pl.col("kind") == "feature").then(pl.lit(EVIL)),
        concept=pl.when(pl.col("node") == "20/59@13").then(pl.lit(EVIL)),
    )
    rows = [
        GAME | PAIR | {"members": [EVIL, "24/1042@13"], "gate": EVIL, "hyperedge": EVIL},
        GAME | PAIR | {"index": EVIL, "via": None, "engine": EVIL, "target": MARY, "gate": "and"},
        GAME | PAIR | {"index": EVIL, "via": EVIL, "weight": 0.5},
    ]
    graph = with_rows(*rows, graph=named).with_meta(
        prompt={"tokens": [EVIL, *TOKENS[1:]]}, interactions={EVIL: {EVIL: EVIL}}
    )
    made = report(graph)
    assert "<script>alert" not in made
    parsed = Page(made)
    assert [tag for tag, _ in parsed.seen].count("script") == 3
    assert not [1 for _, attrs in parsed.seen for name in attrs if name.startswith("on")]


def test_colours_follow_the_scheme_in_all_pictures() -> None:
    styles = [
        attrs["style"] or ""
        for tag, attrs in page().seen
        if attrs.get("style") and tag in ("path", "text", "use", "g")
    ]
    assert not [s for s in styles if re.search(r"(?<!, )#[0-9a-f]{6}", s)]


def test_units_of_the_work_do_not_fill_the_page() -> None:
    entry = {"settings": {"method": "Gates"}, "units": {f"gate {i}": {"bound": i} for i in range(500)}}
    graph = sample_interactions().with_meta(interactions={"mlp": entry})
    listed = dict(facts(graph))
    assert listed["interactions mlp settings method"] == "Gates"
    assert not [name for name in listed if "unit" in name]
    json.dumps(listed)


@pytest.mark.parametrize("target", ["24/1042@13", "21/640@13"])
def test_pages_of_features_have_their_own_combinations(target: str) -> None:
    graph = sample_interactions()
    answer = why(graph, target)
    parsed = Page(report(graph, answer=answer))
    assert len(parsed.cells["combinations"]) == len(answer.tables["combinations"]) > 0


@settings(max_examples=6, deadline=None)
@given(graphs())
def test_any_graph_with_interactions_gets_a_page(graph: Graph) -> None:
    for made in (gate_pairs(graph), replace(graph, meta={"interactions": {"mlp": {}}})):
        assert Page(report(made, nodes=6)).open == []
