"""The viewer's frame in a browser: search, thresholds, cards, groups, the address, hostile texts, access."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browser import accessibility, needs_chromium, opened
from hostile import HOSTILE
from playwright.sync_api import Page, expect
from sample_interactions import sample_interactions
from viewer_page import page_of

import circuits
from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.query.grouping.edit import read
from circuits.viewer import document

pytestmark = needs_chromium
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 400, "height": 800}
PANELS = {"c": "Node", "o": "Groups", "h": "Paths", "a": "Answer"}


@pytest.fixture(scope="module")
def graph() -> Graph:
    return sample_interactions()


@pytest.fixture(scope="module")
def told(graph: Graph) -> dict[str, Any]:
    return document(graph, answer=circuits.why(graph), name="ioi")


@pytest.fixture(scope="module")
def page_file(told: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(told, tmp_path_factory.mktemp("panels") / "page.html")


def enter(page: Page) -> None:
    """Puts the focus into the viewer, as a click on its empty ground does."""
    page.wait_for_selector(".cv-toolbar")
    page.evaluate("document.querySelector('.circuits-viewer').focus()")


def keys(page: Page, *pressed: str) -> None:
    for key in pressed:
        page.keyboard.press(key)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def find(page: Page, query: str) -> None:
    keys(page, "/")
    page.keyboard.type(query)


def no_sideways_scroll(page: Page) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def shown_nodes(told: dict[str, Any], threshold: float) -> set[int]:
    """By influence until the share is reached; tokens and targets always."""
    nodes = told["graph"]["nodes"]
    influence = [value or 0.0 for value in nodes["influence"]]
    order = sorted(range(len(influence)), key=lambda row: (-influence[row], row))
    rows, reached = set(), 0.0
    for row in order:
        if threshold < 1 and (reached >= threshold * sum(influence) or influence[row] <= 0):
            break
        rows.add(row)
        reached += influence[row]
    return rows | {row for row, kind in enumerate(nodes["kind"]) if kind in ("token", "logit")}


def shown_edges(told: dict[str, Any], rows: set[int], least: float) -> int:
    edges, incoming = told["graph"]["edges"], told["graph"]["nodes"]["incoming"]
    ends = zip(edges["source"], edges["target"], edges["weight"], strict=True)
    return sum(
        s in rows and t in rows and incoming[t] > 0 and abs(w) / incoming[t] >= least for s, t, w in ends
    )


def test_the_counts_are_those_of_the_file_at_every_threshold(told: dict[str, Any], page_file: Path) -> None:
    totals = told["graph"]["totals"]
    with opened(page_file, viewport=WIDE) as (page, seen):
        enter(page)
        nodes, edges = page.get_by_label("Nodes", exact=True), page.get_by_label("Edges", exact=True)
        said = page.locator(".cv-slider output")
        for percent, place in ((100, 100), (40, 60), (0, 0), (75, 35), (90, 100)):
            nodes.fill(str(percent))
            edges.fill(str(place))
            keys(page)
            least = 0.0 if place == 100 else float(f"{10 ** (-4 * place / 100):.2g}")
            rows = shown_nodes(told, percent / 100)
            expected = shown_edges(told, rows, least)
            assert said.nth(0).inner_text() == f"{len(rows)} of {totals['nodes']} nodes"
            assert said.nth(1).inner_text() == f"{expected} of {totals['edges']} edges"
            assert nodes.get_attribute("aria-valuetext").startswith(said.nth(0).inner_text())
            page.wait_for_function(
                "n => Number(document.querySelector('[data-nodes]').dataset.nodes) === n", arg=len(rows)
            )
        assert seen.requests == []
        assert seen.errors == []


def test_search_selects_and_the_card_has_the_numbers_of_the_run(
    graph: Graph, told: dict[str, Any], page_file: Path
) -> None:
    row = graph.nodes.row(by_predicate=pl.col("node") == "21/1177@13", named=True)
    with opened(page_file, viewport=WIDE) as (page, seen):
        enter(page)
        part = told["graph"]["nodes"]
        features = [row for row, kind in enumerate(part["kind"]) if kind == "feature"]
        first = sorted(features, key=lambda row: -(part["influence"][row] or 0))[:10]
        offered = page.locator(".cv-beginnings [data-node]").evaluate_all(
            "all => all.map(one => one.dataset.node)"
        )
        assert offered == [part["node"][row] for row in first]
        find(page, "21/1177")
        assert page.get_by_role("option").all_inner_texts()[0].startswith("●")
        expect(page.get_by_text("1 of 66 nodes.")).to_have_count(1)
        page.keyboard.press("Escape")
        find(page, "john")
        labels = graph.nodes.filter(pl.col("label").str.to_lowercase().str.contains("john"))
        assert set(page.get_by_role("option").all_inner_texts()) != set()
        names = page.locator(".cv-found bdi.cv-row-name").all_inner_texts()
        assert set(labels["label"]) <= set(names)
        page.keyboard.press("Escape")
        find(page, "say mar")
        keys(page, "Enter")
        assert page.locator(".cv-card-title").inner_text().endswith("say Mary")
        exact = page.locator(".cv-numbers data").evaluate_all("all => all.map(one => Number(one.value))")
        assert row["activation"] in exact
        assert told["graph"]["nodes"]["influence"][told["graph"]["nodes"]["node"].index(row["node"])] in exact
        incoming = weights(graph, pl.col("target") == "21/1177@13", "source")
        outgoing = weights(graph, pl.col("source") == "21/1177@13", "target")
        for way, expected in ((0, incoming), (1, outgoing)):
            section = page.locator(".cv-card section").nth(way)
            if section.locator(".cv-more").count():
                section.locator(".cv-more").click()
            listed = section.locator("button.cv-node-row").evaluate_all(
                "all => all.map(one => [one.dataset.node, Number(one.querySelector('data').value)])"
            )
            assert {node: pytest.approx(weight, rel=1e-6) for node, weight in listed} == expected
        page.locator(".cv-card section").nth(0).locator("button.cv-node-row").first.click()
        keys(page)
        first = next(iter(incoming))
        assert page.evaluate("document.activeElement.className") == "cv-card-title"
        expect(page.locator(f"[data-node='{first}'][aria-pressed=true]")).to_have_count(1)
        assert seen.errors == []


def weights(graph: Graph, which: pl.Expr, end: str) -> dict[str, float]:
    """Edges of a node by their other end, the largest first."""
    edges = graph.edges.with_columns(pl.col("source", "target").cast(pl.String)).filter(which)
    return dict(edges.sort(pl.col("weight").abs(), descending=True).select(end, "weight").iter_rows())


def test_a_group_made_by_hand_goes_back_into_the_run(graph: Graph, page_file: Path) -> None:
    with opened(page_file, viewport=WIDE, accept_downloads=True) as (page, seen):
        enter(page)
        for query in ("21/1177@13", "24/1042@13"):
            find(page, query)
            keys(page, "Enter", "p")
        keys(page, "g")
        expect(page.get_by_role("dialog").get_by_text("Of 2 nodes")).to_have_count(1)
        page.keyboard.type("21/1177@13")
        keys(page, "Enter")
        assert page.get_by_role("alert").inner_text() == "This is the name of a node."
        page.keyboard.press("Control+A")
        page.keyboard.type("Mary <b>&")
        keys(page, "Enter")
        assert page.locator(".cv-told").inner_text() == "Group Mary <b>&: 2 nodes"
        page.get_by_text("Mary <b>&", exact=True).click()
        keys(page)
        expect(page.locator(".cv-grouped")).to_have_count(2)
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as JSON").click()
        saved = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
        concepts = {one.name: set(one.nodes) for one in known(read(graph, saved, "groups.json"))}
        assert concepts["Mary <b>&"] == {"21/1177@13", "24/1042@13"}
        page.get_by_role("button", name="Take 24/1042@13 out of Mary <b>&").click()
        keys(page)
        expect(page.locator(".cv-grouped")).to_have_count(1)
        page.get_by_role("button", name="Rename").click()
        page.keyboard.type("one")
        keys(page, "Enter")
        assert page.locator(".cv-group summary bdi").all_inner_texts()[-1] == "one"
        page.get_by_label("or all at once").select_option("feature")
        twice = ["feature 0/822"]  # the only feature the sample has at two positions
        assert page.locator(".cv-group summary bdi").all_inner_texts() == twice
        page.locator(".cv-group summary").click()
        page.get_by_role("button", name="Remove").click()
        expect(page.locator(".cv-group")).to_have_count(0)
        assert page.evaluate("document.activeElement.closest('.circuits-viewer') !== null")
        assert seen.errors == []


def test_the_address_brings_everything_back(page_file: Path) -> None:
    with opened(page_file, viewport=WIDE) as (page, seen):
        enter(page)
        find(page, "21/1177@13")
        keys(page, "Enter", "p", "[", "[", "2", "g")
        page.keyboard.type("a, b&c #1")
        keys(page, "Enter")
        view = page.get_by_role("tab", selected=True).first.inner_text()
        counts = page.locator(".cv-slider output").all_inner_texts()
        address = page.evaluate("location.hash")
        assert "node=21/1177@13" in address
        page.reload()
        enter(page)
        assert page.get_by_role("tab", selected=True).first.inner_text() == view != "Graph"
        assert page.locator(".cv-slider output").nth(0).inner_text() == counts[0]
        assert page.locator(".cv-card-title").inner_text().endswith("say Mary")
        assert page.get_by_role("button", name="Pinned").get_attribute("aria-pressed") == "true"
        keys(page, "o")
        assert page.locator(".cv-group summary bdi").all_inner_texts()[-1] == "a, b&c #1"
        page.evaluate("location.hash = '#view=graph&node=no/such@1&share=0.5'")  # as a link of the page would
        keys(page)
        assert page.get_by_role("tab", selected=True).first.inner_text() == "Graph"
        assert page.get_by_label("Nodes", exact=True).input_value() == "50"
        page.evaluate("location.hash = '#elsewhere'")
        keys(page)
        assert page.get_by_label("Nodes", exact=True).input_value() == "50"
        assert seen.errors == []


def hostile_document(told: dict[str, Any]) -> dict[str, Any]:
    """A document in which every text that a stranger could have written is a hostile one."""
    bad = json.loads(json.dumps(told))
    graph, many = bad["graph"], len(HOSTILE)
    bad["title"] = graph["prompt"] = graph["name"] = graph["model"] = graph["dictionary"] = HOSTILE[0]
    graph["tokens"] = [HOSTILE[place % many] for place in range(len(graph["tokens"]))]
    names = graph["nodes"]
    names["name"] = [HOSTILE[row % many] for row in range(len(names["node"]))]
    names["label"] = [HOSTILE[(row + 1) % many] for row in range(len(names["node"]))]
    for place, target in enumerate(graph["targets"]):
        target["text"] = HOSTILE[place]
    graph["left_out"] = list(HOSTILE)
    graph["command"] = HOSTILE[1]
    graph["facts"] = [[text, text] for text in HOSTILE]
    table = graph["hyperedges"]
    table["text"] = [HOSTILE[row % many] for row in range(len(table["text"]))]
    features = [row for row, kind in enumerate(names["kind"]) if kind == "feature"]
    graph["concepts"] = [
        {"name": text, "nodes": [names["node"][features[place]]], "origin": "found"}
        | {"influence": 0.1, "total": None, "evidence": [text]}
        for place, text in enumerate(HOSTILE)
    ]
    graph["cards"]["strings"] = list(HOSTILE)
    graph["cards"]["cards"] = {
        f"{names['layer'][row]}/{names['feature'][row]}": card(place) for place, row in enumerate(features)
    }
    answer = bad["answer"]
    answer["question"], answer["trust"], answer["code"] = HOSTILE[0], HOSTILE[1], HOSTILE[0]
    answer["finding"] = list(HOSTILE)
    cells = [[text, text] for text in HOSTILE]
    answer["tables"] = {
        HOSTILE[0]: {"caption": HOSTILE[3], "columns": [HOSTILE[0], HOSTILE[1]], "numeric": [False, False]}
        | {"rows": cells, "values": cells}
    }
    return bad


def card(place: int) -> dict[str, Any]:
    every = range(len(HOSTILE))
    return {
        "label": HOSTILE[place % len(HOSTILE)],
        "precision": 0.9,
        "recall": None,
        "frequency": 0.01,
        "maximum": 4.0,
        "half": 2.0,
        "bars": [9, 3, 1, 0, 0, 0, 0, 0, 0, 1],
        "promoted": [[token, 1.0 - token / 20] for token in every],
        "suppressed": [[token, -1.0] for token in every],
        "contexts": [{"tokens": list(every), "values": [15 * t for t in every], "at": 4, "fifth": 5}],
    }


def harmful(text: str) -> list[str]:
    """Where a character stands that controls, or turns, what is around it; lines and cells are the page's."""
    turning = {"LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI"}
    return [
        text[max(0, place - 80) : place + 40]
        for place, one in enumerate(text)
        if unicodedata.bidirectional(one) in turning
        or (unicodedata.category(one) == "Cc" and one not in "\n\t")
    ]


def test_hostile_texts_are_texts_in_every_panel_and_view(told: dict[str, Any], tmp_path: Path) -> None:
    file = page_of(hostile_document(told), tmp_path / "page.html")
    with opened(file, viewport=NARROW) as (page, seen):
        enter(page)
        row = next(r for r, kind in enumerate(told["graph"]["nodes"]["kind"]) if kind == "feature")
        page.evaluate(
            "node => { location.hash = '#view=graph&node=' + node }", told["graph"]["nodes"]["node"][row]
        )
        read_texts = ""
        for key in ("c", "o", "h", "a", "/", "Escape", "g", "Escape", "?", "Escape"):
            keys(page, key)
            read_texts += page.inner_text("body")
            assert no_sideways_scroll(page), key
        views = page.get_by_role("tablist", name="Views").get_by_role("tab").count()
        for view in range(views):
            keys(page, str(view + 1))
            for _ in range(2):
                keys(page, "t")
                read_texts += page.inner_text("body")
                assert no_sideways_scroll(page), view
        for text in (
            '<img src=x onerror="window.hacked=1">',
            "{{7*7}} ${7*7} {% raw %}",
            "⟨RLO⟩drow a sa⟨PDF⟩",
        ):
            assert text in read_texts
        for text in ("</script><script>window.hacked=1</script>", "line⏎break⇥tab␍⏎", "␛[31mred␛[0m"):
            assert text in read_texts
        assert harmful(read_texts) == []
        names = page.evaluate("[...document.querySelectorAll('[aria-label]')].map(e => e.ariaLabel).join()")
        assert harmful(names) == []
        assert (
            max(page.evaluate("[...document.querySelectorAll('[aria-label]')].map(e => e.ariaLabel.length)"))
            < 2_000
        )
        assert page.evaluate("window.hacked") is None
        expect(page.locator("main img, main script")).to_have_count(0)
        assert seen.requests == []
        assert seen.errors == []


@pytest.mark.parametrize(("size", "theme"), [(WIDE, "light"), (NARROW, "dark")], ids=["wide", "narrow"])
def test_nothing_bars_anyone(size: Any, theme: Any, page_file: Path) -> None:
    with opened(page_file, viewport=size, color_scheme=theme) as (page, seen):
        enter(page)
        find(page, "21/1177@13")
        keys(page, "Enter")
        smallest = """all => Math.min(...all.map(one => one.getBoundingClientRect()).filter(box => box.width)
                                         .map(box => Math.min(box.width, box.height)))"""
        for turn in range(2):  # as the system has it, then the other theme by the switch
            for key, panel in PANELS.items():
                keys(page, key)
                expect(page.get_by_role("tab", selected=True, name=panel)).to_have_count(1)
                assert accessibility(page) == [], (turn, panel)
                assert no_sideways_scroll(page), panel
                targets = page.locator(".cv-toolbar, .cv-side").locator("button, input, summary")
                assert targets.evaluate_all(smallest) >= 24, panel
            for key in ("/", "?"):
                keys(page, key)
                assert accessibility(page) == [], (turn, key)
                assert no_sideways_scroll(page), key
                keys(page, "Escape")
            keys(page, "d")
        expect(page.locator(f".circuits-viewer[data-theme={theme}]")).to_have_count(1)
        assert seen.errors == []
