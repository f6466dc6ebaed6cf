"""Reports in a browser: nothing loaded, readable by everyone, printed whole, with the run's own numbers."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from browser import accessibility, needs_chromium, opened
from hostile import HOSTILE
from playwright.sync_api import expect
from pypdf import PdfReader
from sample_graph import TOKENS, sample_graph
from sample_interactions import MARY, sample_interactions

from circuits.cards.record import Cards
from circuits.cards.store import find_cards
from circuits.graph.graph import Graph
from circuits.query.why import why
from circuits.report import report
from circuits.schema import VERDICT_SCHEMA

pytestmark = needs_chromium

SECTIONS = {
    "answer": "Answer",
    "trust": "How far to trust this",
    "concepts": "Concepts",
    "combinations": "Combinations",
    "paths": "Paths and sources",
    "graph": "The graph",
    "features": "Features",
    "interventions": "Interventions",
    "method": "How it was made",
    "again": "Run it again",
}
FOLDED = "main details:not([open]):not(.circuits-viewer *)"
FROZEN, FREE = "patterns, norms, mlps", "nothing"


def verdicts(*rows: tuple[str, str, float, float, bool]) -> pl.DataFrame:
    """Verdicts on Mary: node, held, predicted, measured, holds."""
    common = {"kind": "node", "target": MARY, "order": 1, "layers": 3, "before": 17.4}
    common |= {"tolerance": 0.1, "forced": False}
    return pl.DataFrame(
        [
            common
            | {"verdict": f"v{i}", "claim": f"Switching off {node} lowers it.", "members": [node]}
            | {"actions": [f"{node}=0"], "held": held, "predicted": predicted, "measured": measured}
            | {"holds": holds}
            for i, (node, held, predicted, measured, holds) in enumerate(rows)
        ],
        schema=VERDICT_SCHEMA,
    )


def whole_graph() -> Graph:
    """The sample graph with combinations, a concept, and verdicts."""
    graph = sample_interactions()
    named = pl.when(pl.col("node").is_in(["24/1042@13", "21/1177@13"])).then(pl.lit("say Mary"))
    tried = verdicts(
        ("24/1042@13", FROZEN, -2.9, -2.9, True),
        ("24/1042@13", FREE, -2.9, -2.2, True),
        ("20/59@13", FROZEN, -1.2, -1.2, True),
        ("20/59@13", FREE, -1.2, 0.4, False),
    )
    return replace(graph.with_nodes(concept=named).with_meta(run="run/ioi"), verdicts=tried)


def toy_cards() -> Cards:
    cards = find_cards("toy", "04fafaa6a4c3f678")
    assert cards is not None
    return cards


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report(whole_graph(), cards=toy_cards()), encoding="utf-8")
    return path


def overflow(page) -> float:
    """By how many pixels the page is wider than its window."""
    return page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_the_page_loads_nothing_runs_clean_and_can_be_read_by_everyone(page_file: Path) -> None:
    with opened(page_file, viewport={"width": 1440, "height": 900}, color_scheme="light") as (page, seen):
        page.wait_for_selector("#circuits-viewer .circuits-viewer")
        assert [h.strip() for h in page.locator("section > h2").all_inner_texts()] == list(SECTIONS.values())
        levels = page.locator("main").evaluate(
            "main => [...main.querySelectorAll('h1, h2, h3, h4')].filter(h => !h.closest('.circuits-viewer'))"
            ".map(h => +h.tagName[1])"
        )
        assert levels[0] == 1
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
        assert accessibility(page) == []
        page.emulate_media(color_scheme="dark")
        page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        assert accessibility(page) == []
        page.set_viewport_size({"width": 400, "height": 800})
        assert overflow(page) <= 0
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
        assert (seen.requests, seen.errors) == ([], [])


def test_the_page_is_complete_without_script(page_file: Path) -> None:
    with opened(page_file, java_script_enabled=False, viewport={"width": 1280, "height": 900}) as (
        page,
        seen,
    ):
        for name, heading in SECTIONS.items():
            section = page.locator(f"section#{name}")
            assert section.locator("h2").inner_text() == heading
            assert section.bounding_box()["height"] > 60, name
        assert page.locator("#graph svg .node").count() > 20
        assert page.locator("#graph svg").first.bounding_box()["width"] > 600
        assert not page.locator(".downloads").is_visible()
        assert page.locator("details.card").count() > 3
        assert seen.requests == []


def test_the_policy_holds_when_something_slips_in(page_file: Path) -> None:
    with opened(page_file) as (page, seen):
        page.evaluate(
            """() => {
              const image = '<img src="http://example.org/x.png" onerror="window.hacked = 1">';
              document.body.insertAdjacentHTML("beforeend", image);
              const script = document.createElement("script");
              script.textContent = "window.hacked = 2";
              document.body.append(script);
              fetch("http://example.org/").catch(() => {});
              const sheet = document.createElement("link");
              sheet.rel = "stylesheet";
              sheet.href = "http://example.org/x.css";
              document.head.append(sheet);
            }"""
        )
        page.wait_for_timeout(200)
        assert page.evaluate("window.hacked") is None
        assert seen.requests == []  # not even tried: the policy stops it before the network
        assert sum("Content Security Policy" in error for error in seen.errors) >= 4


def test_numbers_come_along_as_they_are_in_the_run(page_file: Path) -> None:
    graph = whole_graph()
    with opened(page_file) as (page, seen):
        page.wait_for_selector("#circuits-viewer .circuits-viewer")
        files = {}
        for name in ("nodes", "edges", "hyperedges", "everything"):
            with page.expect_download() as found:
                page.locator(".downloads button", has_text=name).first.click()
            files[name] = (
                found.value.suggested_filename,
                Path(found.value.path()).read_text(encoding="utf-8"),
            )
        assert seen.errors == []
    assert [name for name, _ in files.values()] == [
        "ioi-nodes.csv",
        "ioi-edges.csv",
        "ioi-hyperedges.csv",
        "ioi.json",
    ]
    told = json.loads(files["everything"][1])["graph"]
    nodes = pl.read_csv(io.StringIO(files["nodes"][1]), infer_schema_length=None)
    assert nodes["node"].to_list() == told["nodes"]["node"]
    run = {row["node"]: row for row in graph.nodes.iter_rows(named=True)}
    for row in nodes.iter_rows(named=True):
        for column in ("activation", "pre_activation", "label"):
            assert (row[column] or None) == (run[row["node"]][column] or None), (row["node"], column)
    edges = pl.read_csv(io.StringIO(files["edges"][1]), infer_schema_length=None)
    weights = {(s, t): w for s, t, w in graph.edges.select("source", "target", "weight").iter_rows()}
    assert len(edges) == len(told["edges"]["weight"]) > 100
    assert all(weights[s, t] == w for s, t, w in edges.select("source", "target", "weight").iter_rows())
    rows = pl.read_csv(io.StringIO(files["hyperedges"][1]), infer_schema_length=None)
    members = {row["hyperedge"]: row for row in graph.hyperedges.iter_rows(named=True)}
    for row in rows.iter_rows(named=True):
        assert json.loads(row["members"]) == members[row["hyperedge"]]["members"]
        assert row["weight"] == members[row["hyperedge"]]["weight"]


def test_both_runs_of_a_comparison_can_be_taken_along(tmp_path: Path) -> None:
    path = tmp_path / "two.html"
    louder = sample_graph().with_nodes(activation=pl.col("activation") * 2).with_meta(run="run/louder")
    path.write_text(report(sample_graph().with_meta(run="run/first"), against=louder), encoding="utf-8")
    with opened(path) as (page, seen):
        page.wait_for_selector("#circuits-viewer .circuits-viewer")
        found = []
        for row in range(2):
            with page.expect_download() as file:
                page.locator(".downloads").nth(row).locator("button", has_text="nodes").click()
            text = Path(file.value.path()).read_text(encoding="utf-8")
            found.append(
                (file.value.suggested_filename, pl.read_csv(io.StringIO(text), infer_schema_length=None))
            )
        assert seen.errors == []
    assert [name for name, _ in found] == ["first-nodes.csv", "louder-nodes.csv"]
    both = found[0][1].join(found[1][1], on="node", suffix="_louder").drop_nulls("activation")
    assert len(both) > 30
    assert (both["activation"] * 2 == both["activation_louder"]).all()


def test_tables_sort_with_blanks_last_and_what_was_folded_stays_folded(page_file: Path) -> None:
    with opened(page_file) as (page, _):
        table = page.locator('table[data-table="features"]')
        column = [text.strip() for text in table.locator("thead th").all_inner_texts()].index("weight")
        for order, turned in (("descending", True), ("ascending", False)):
            table.locator("thead button", has_text="weight").click()
            assert table.locator("thead th").nth(column).get_attribute("aria-sort") == order
            cells = table.locator(f"tbody td:nth-child({column + 1})").evaluate_all(
                "all => all.map(td => td.dataset.value)"
            )
            numbers = [float(cell) for cell in cells if cell]
            assert cells[: len(numbers)] == [cell for cell in cells if cell]
            assert numbers == sorted(numbers, reverse=turned)
        folded = page.locator(FOLDED).count()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        expect(page.locator(FOLDED)).to_have_count(0)
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator(FOLDED).count() == folded > 0


def test_on_paper_every_section_stands_with_the_still_picture(page_file: Path) -> None:
    with opened(page_file) as (page, _):
        page.wait_for_selector("#circuits-viewer.live")
        expect(page.locator(".for-print")).to_have_count(1)
        page.emulate_media(media="print")
        assert page.locator(".for-print svg .node").count() > 20
        assert page.locator(".for-print svg").first.is_visible()
        assert not page.locator("#circuits-viewer").is_visible()
        sheets = PdfReader(io.BytesIO(page.pdf(format="A4")))
    text = " ".join(" ".join(sheet.extract_text() for sheet in sheets.pages).split())
    for heading in list(SECTIONS.values())[1:]:
        assert heading in text, heading
    for told in (
        "Attention patterns and normalisation scales are held",
        "9ab31e77c2",
        "More here than the first",
    ):
        assert (told in text) is (told != "More here than the first")
    assert sheets.pages[0].mediabox.width < sheets.pages[0].mediabox.height
    assert 4 < len(sheets.pages) < 30


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "hostile.html"
    path.write_text(report(hostile_graph(), against=hostile_graph(), cards=hostile_cards()), encoding="utf-8")
    with opened(path, viewport={"width": 400, "height": 800}) as (page, seen):
        page.wait_for_selector("#circuits-viewer .circuits-viewer")
        page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        page.mouse.move(200, 300)
        assert page.evaluate("window.hacked") is None
        assert (
            page.evaluate(
                "document.querySelectorAll('main img, main iframe, main a[href^=javascript]').length"
            )
            == 0
        )
        assert overflow(page) <= 0
        shown = page.locator(".prompt").first.inner_text()
        for part in ("<img src=x", "</script><script>", "\\u202e", "\\x1b[31m", "(10,000 characters)"):
            assert part in shown
        assert (seen.requests, seen.errors) == ([], [])


def hostile_graph() -> Graph:
    graph = whole_graph()
    many = len(HOSTILE)
    labels = [HOSTILE[i % many] if kind == "feature" else None for i, kind in enumerate(graph.nodes["kind"])]
    tokens = [HOSTILE[i % many] for i in range(len(TOKENS))]
    named = pl.when(pl.col("concept").is_not_null()).then(pl.lit(HOSTILE[1] + HOSTILE[7]))
    return graph.with_nodes(label=pl.Series(labels, dtype=pl.String), concept=named).with_meta(
        prompt={"text": "".join(tokens), "tokens": tokens},
        targets=[{"name": MARY, "tokens": [HOSTILE[1]], "probability": 0.5}],
        model={"name": HOSTILE[0]},
        command=HOSTILE[1] + HOSTILE[8],
        run=f"run/{HOSTILE[3]}",
        versions={text: text for text in HOSTILE},
        selection={HOSTILE[0]: HOSTILE[2]},
        labels=HOSTILE[4],
    )


def hostile_cards() -> Cards:
    cards = toy_cards()
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(len(cards.meta["token_texts"]))]
    return Cards(cards.table.with_columns(label=pl.lit(HOSTILE[1])), {**cards.meta, "token_texts": texts})


def test_badge_numbers_are_those_of_the_run(page_file: Path) -> None:
    with opened(page_file, java_script_enabled=False) as (page, _):
        badge = page.locator(".badge")
        word = badge.get_attribute("data-word")
        values = [
            float(text) for text in badge.locator("dd").evaluate_all("all => all.map(dd => dd.dataset.value)")
        ]
    assert word == "partial"
    assert values[3:] == [1.0, 0.5]
    assert values[2] == dict(why(whole_graph()).tables["ends"].iter_rows())["dictionary errors"]


def test_a_graph_without_anything_more_says_which_commands_make_it(tmp_path: Path) -> None:
    path = tmp_path / "plain.html"
    path.write_text(report(sample_graph().with_meta(run="run/my ioi")), encoding="utf-8")
    with opened(path, viewport={"width": 400, "height": 800}) as (page, seen):
        page.wait_for_selector("#circuits-viewer .circuits-viewer")
        said = page.locator("main pre").all_inner_texts()
        for command in (
            "circuits group 'run/my ioi' --save",
            "circuits interact 'run/my ioi'",
            "circuits verify",
        ):
            assert any(text.startswith(command) for text in said), command
        assert page.locator(".badge").get_attribute("data-word") == "untested"
        assert overflow(page) <= 0
        assert seen.errors == []
