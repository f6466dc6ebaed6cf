"""The views besides the graph, in a browser: they draw what the file holds, keys reach it, tables agree."""

from __future__ import annotations

import copy
import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from browser import Seen, accessibility, needs_chromium, opened
from hostile import HOSTILE
from playwright.sync_api import Page, expect
from sample_graph import sample_graph
from sample_interactions import sample_interactions
from viewer_page import page_of

import circuits
from circuits.engine.games import Coalitions
from circuits.engine.qk.method import QK
from circuits.viewer import document

pytestmark = needs_chromium

Told = dict[str, Any]
WIDE, NARROW = {"width": 1440, "height": 1000}, {"width": 400, "height": 800}
VIEWS = ("concepts", "hyperedges", "upset", "matrix", "qk", "diff")
SETTLE = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
# Every mark an arrow leads to, from the one that Tab reaches.
REACHED = """svg => {
    const stops = [...svg.querySelectorAll('[data-mark][tabindex="0"]')];
    const found = new Set(stops.map((one) => one.dataset.mark));
    for (const mark of found)
        for (const key of ['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight']) {
            svg.querySelector(`[data-mark="${CSS.escape(mark)}"]`).focus();
            const event = new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true});
            document.activeElement.dispatchEvent(event);
            found.add(document.activeElement.dataset.mark);
        }
    return [stops.length, [...found].sort()];
}"""


@pytest.fixture(scope="module")
def dallas() -> Told:
    """Dallas against Seattle, with what words and attention do together."""
    model = circuits.load_model("toy")
    dictionary = circuits.load_dictionary("toy", model)
    graphs = []
    for place in ("Dallas", "Seattle"):
        prompt = circuits.Prompt.of(f"The capital of the state containing {place} is", model)
        trace = circuits.extract(model, dictionary, prompt, circuits.Extraction(scores=True))
        graphs.append((circuits.attribute(trace), trace))
    words = Coalitions(tuple(f"tok@{pos}" for pos in range(9)), order=3, top=60)
    graph = circuits.interact(graphs[0][0], [words, QK(top_heads=3, top=10, edges=200)], trace=graphs[0][1])
    return document(graph, against=graphs[1][0], name="run/dallas")


@pytest.fixture(scope="module")
def sample() -> Told:
    """The sample graph, with combinations of all kinds and channels."""
    return document(sample_interactions(), name="run/mary")


def show(page: Page, view: str, shape: str = "Picture", **choices: str) -> None:
    """Opens a view as a picture or a table, and sets choices above it."""
    page.locator(f'[role=tab][id$="-tab-{view}"]').click()
    page.get_by_role("button", name=shape, exact=True).click()
    for name, value in choices.items():
        if page.get_by_label(name, exact=True).count():
            page.get_by_label(name, exact=True).select_option(value)
    page.evaluate(SETTLE)


def show_all(page: Page, view: str, shape: str = "Picture") -> None:
    """The same with nothing left out."""
    show(page, view, shape)
    for choice in page.locator(".cv-p-filters select").all():
        last = choice.locator("option").last.get_attribute("value")
        if last == "100000":
            choice.select_option(last)
    page.evaluate(SETTLE)


def marks(page: Page) -> Counter[str]:
    """How many marks of each kind the picture has, by their first letter."""
    names = page.eval_on_selector_all("[data-mark]", "all => all.map((one) => one.dataset.mark)")
    return Counter(name[0] for name in names)


def saved(page: Page, place: int = 0) -> list[dict[str, str]]:
    """The rows of a table, exact, as they are saved."""
    with page.expect_download() as told:
        page.get_by_role("button", name="Save CSV").nth(place).click()
    with Path(told.value.path()).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pairs_of(told: Told) -> list[int]:
    """Rows of what is a combination: two members or more, and something that they do."""
    table = told["graph"]["hyperedges"]
    return [
        row
        for row, (order, weight) in enumerate(zip(table["order"], table["weight"], strict=True))
        if order >= 2 and weight
    ]


def cells_of(told: Told) -> list[tuple[str, str, str, float, int]]:
    """The cells of the matrix with something in them: layers, direction, sum, pairs."""
    matrix = told["graph"]["matrix"]
    names = matrix["layers"]
    return [
        (names[low], names[high], way, matrix[way][high][low], matrix["pairs"][high][low])
        for high in range(len(names))
        for low in range(high + 1)
        for way in ("up", "down")
        if matrix[way][high][low]
    ]


def test_pictures_and_tables_of_combinations_hold_what_the_file_holds(
    dallas: Told, sample: Told, tmp_path: Path
) -> None:
    for name, told in (("dallas", dallas), ("sample", sample)):
        table = told["graph"]["hyperedges"]
        rows = pairs_of(told)
        known = [row for row in rows if table["share"][row] is not None]
        assert len({table["target"][row] for row in rows}) > 1
        with opened(page_of(told, tmp_path / f"{name}.html"), viewport=WIDE) as (page, seen):
            for view, held in (("hyperedges", rows), ("upset", known)):
                show_all(page, view)
                members = {member for row in held for member in table["members"][row]}
                targets = {table["target"][row] for row in held}
                assert marks(page) == {"c": len(held), "m": len(members), "t": len(targets)}
                total, run = len(rows), told["graph"]["totals"]["combinations"]
                counted = page.locator(".cv-p-counts").first.inner_text()
                assert counted.startswith(f"{len(held):,} of")
                assert f"{total:,} combinations in this file" in counted
                assert f"the run has {run:,}" in counted
                show_all(page, view, "Table")
                lines = saved(page)
                exact = Counter(
                    (table["text"][row], table["target"][row], table["weight"][row]) for row in held
                )
                assert (
                    Counter(
                        (line["combination"], line["acts on"], float(line["interaction"])) for line in lines
                    )
                    == exact
                )
            # bars are as long as their values
            show_all(page, "upset")
            lengths = page.eval_on_selector_all(
                "[data-mark^='c:'] .cv-p-bar", "all => all.map((one) => one.height.baseVal.value)"
            )
            shares = sorted((table["share"][row] for row in known), reverse=True)
            assert len(lengths) == len(shares)
            assert lengths[0] / lengths[1] == pytest.approx(shares[0] / shares[1], rel=1e-3)
            assert seen == Seen()


def test_the_matrix_and_its_cells_tell_the_files_sums_and_pairs(dallas: Told, tmp_path: Path) -> None:
    wanted = cells_of(dallas)
    graph = dallas["graph"]
    level = dict(zip(graph["nodes"]["node"], graph["nodes"]["layer"], strict=True))
    table = graph["hyperedges"]
    with opened(page_of(dallas, tmp_path / "page.html"), viewport=WIDE) as (page, seen):
        show(page, "matrix")
        expect(page.locator("[data-mark]")).to_have_count(len(wanted))
        # all pairs between words are words: the cell lists those of its direction that are in the file
        page.locator("[data-mark='0·0+']").focus()
        page.keyboard.press("Enter")
        held = [
            row
            for row in pairs_of(dallas)
            if table["order"][row] == 2
            and table["share"][row]
            and all(level.get(member, 0) is None for member in table["members"][row])
        ]
        up = [row for row in held if table["weight"][row] > 0]
        pairs = graph["matrix"]["pairs"][0][0]
        detail = page.get_by_role("region", name="Pairs of the selected cell")
        assert f"{len(held):,} of {pairs:,} pairs are in this file, {len(up)} of them" in detail.inner_text()
        assert detail.locator(".cv-p-list > li").count() == len(up) > 1
        show(page, "matrix", "Table")
        lines = [
            (
                line["layer"],
                line["with layer"],
                line["push"],
                float(line["sum"]),
                int(line["pairs of these layers"]),
            )
            for line in saved(page)
        ]
        assert lines == wanted
        assert seen == Seen()


def test_heads_show_each_score_and_every_product(dallas: Told, sample: Told, tmp_path: Path) -> None:
    for name, told in (("dallas", dallas), ("sample", sample)):
        table = told["graph"]["hyperedges"]
        inside = [
            row for row in pairs_of(told) if table["channel"][row] == "qk" and ":" in table["target"][row]
        ]
        heads: dict[str, list[int]] = {}
        for row in inside:
            heads.setdefault(table["target"][row].split(":")[1].split("@")[0], []).append(row)
        assert len(heads) > 1
        with opened(page_of(told, tmp_path / f"{name}.html"), viewport=WIDE) as (page, seen):
            show(page, "qk")
            options = page.get_by_label("Head", exact=True).locator("option").all_inner_texts()
            assert sorted(options) == sorted(
                f"{head} ({len(rows)} in this file)" for head, rows in heads.items()
            )
            for head, rows in heads.items():
                show(page, "qk", Head=head)
                expect(page.locator("[data-mark]")).to_have_count(len({table["target"][row] for row in rows}))
                show(page, "qk", "Table")
                found = Counter(float(line["interaction"]) for line in saved(page))
                assert found == Counter(table["weight"][row] for row in rows)
            assert seen == Seen()


def test_the_concept_graph_has_a_box_for_each_group_token_and_target(dallas: Told, tmp_path: Path) -> None:
    graph = dallas["graph"]
    kinds, names = graph["nodes"]["kind"], graph["nodes"]["node"]
    grouped = {node for concept in graph["concepts"] for node in concept["nodes"]}
    assert len(graph["concepts"]) > 2
    alone = Counter(kind for kind, node in zip(kinds, names, strict=True) if node not in grouped)
    with opened(page_of(dallas, tmp_path / "page.html"), viewport=WIDE) as (page, seen):
        show_all(page, "concepts")
        assert marks(page) == {"g": len(graph["concepts"]), "o": 1, "w": alone["token"], "t": alone["logit"]}
        flows = page.locator(".cv-p-flow").count()
        first = graph["concepts"][0]
        page.locator(f"[data-mark='g:{first['name']}']").focus()
        page.keyboard.press("Enter")
        detail = page.get_by_role("region", name="The selected group").inner_text()
        assert all(line[:60] in detail for line in first["evidence"])
        assert f"{len(first['nodes'])} nodes" in detail
        show(page, "concepts", "Table")
        boxes, lines = saved(page, 0), saved(page, 1)
        found = {
            line["name"]: (float(line["influence"]), int(line["nodes"]))
            for line in boxes
            if line["what"] == "group"
        }
        assert found == {c["name"]: (c["influence"], len(c["nodes"])) for c in graph["concepts"]}
        (other,) = [int(line["nodes"]) for line in boxes if line["what"] == "other"]
        assert other == sum(alone[kind] for kind in ("feature", "error", "position"))
        assert len(lines) == flows
        run = [line for line in lines if line["summed from"] == "the run"]
        weights = Counter(edge["weight"] for edge in graph["concept_edges"] if edge["weight"])
        assert Counter(float(line["weight"]) for line in run) == weights
        # what is in no group is not in the run's concept graph
        assert all(
            "other" in (line["from"], line["to"]) for line in lines if line["summed from"] != "the run"
        )
        assert seen == Seen()


def test_a_comparison_tells_both_values_of_every_node(dallas: Told, tmp_path: Path) -> None:
    here, there, diff = dallas["graph"]["nodes"], dallas["against"]["nodes"], dallas["diff"]
    both = [
        (here["total"][i], there["total"][j], c)
        for (i, j), c in zip(diff["pairs"], diff["change"], strict=True)
    ]
    first = [here["total"][row] for row, mark in enumerate(diff["here"]) if mark == "only"]
    second = [there["total"][row] for row, mark in enumerate(diff["there"]) if mark == "only"]
    wanted = Counter([*both, *((one, 0.0, -one) for one in first), *((0.0, one, one) for one in second)])
    assert min(len(first), len(second), len(both)) > 0
    with opened(page_of(dallas, tmp_path / "page.html"), viewport=WIDE) as (page, seen):
        show(page, "diff", "Table")
        lines = saved(page)
        assert Counter((float(x["first"]), float(x["second"]), float(x["change"])) for x in lines) == wanted
        where = Counter(line["where"] for line in lines)
        assert where == {
            "in both": len(both),
            "only in the first": len(first),
            "only in the second": len(second),
        }
        show_all(page, "diff")
        placed = [sum(pos is not None for pos in nodes["pos"]) for nodes in (here, there)]
        alone = sum(diff["there"][row] == "only" and pos is not None for row, pos in enumerate(there["pos"]))
        expect(page.locator("[data-mark]")).to_have_count(placed[0] + alone)
        assert page.locator(".cv-p-finding p").all_inner_texts()[:2] == diff["finding"][:2]
        page.get_by_label("Shown", exact=True).select_option("panes")
        page.evaluate(SETTLE)
        panes = page.locator(".cv-p-panes > div").all()
        assert [pane.locator("[data-mark]").count() for pane in panes] == placed
        # what is in both is selected in both, and stands at the same height
        row, _ = next(pair for pair in diff["pairs"] if here["kind"][pair[0]] == "feature")
        mark = f"[data-mark='a{row}']"
        panes[0].locator(mark).focus()
        page.keyboard.press("Enter")
        assert [pane.locator(mark).get_attribute("aria-selected") for pane in panes] == ["true", "true"]
        ys = [pane.locator(f"{mark} > g").first.get_attribute("transform") for pane in panes]
        assert ys[0] == ys[1]
        assert seen == Seen()


def test_keys_reach_every_mark_and_views_are_accessible(dallas: Told, tmp_path: Path) -> None:
    file = page_of(dallas, tmp_path / "page.html")
    for scheme in ("light", "dark"):
        with opened(file, viewport=WIDE, color_scheme=scheme) as (page, seen):
            for view in VIEWS:
                show(page, view)
                every = sorted(
                    page.eval_on_selector_all("[data-mark]", "all => all.map((one) => one.dataset.mark)")
                )
                assert every
                if scheme == "light":
                    assert page.locator("svg[role=listbox]").evaluate(REACHED) == [1, every], view
                # one stop: Shift+Tab leaves the picture, and Tab comes back to the same mark
                stop = page.evaluate("document.activeElement.dataset.mark")
                page.locator("[data-mark][tabindex='0']").focus()
                for key, inside in (("Shift+Tab", False), ("Tab", True), ("Tab", False)):
                    page.keyboard.press(key)
                    mark, among = page.evaluate(
                        "[document.activeElement.dataset.mark, !!document.activeElement.closest('svg')]"
                    )
                    assert among == inside, (view, key)
                    assert not inside or stop in (None, mark), (view, key)
                page.locator("[data-mark]").first.focus()
                page.keyboard.press("Enter")
                page.evaluate(SETTLE)
                assert "elected" in page.locator(".cv-told").inner_text(), view
                assert page.evaluate("document.activeElement.ariaSelected") == "true", view
                assert accessibility(page) == [], view
                if scheme == "light":
                    show(page, view, "Table")
                    assert accessibility(page) == [], view
            assert seen == Seen()


def test_what_is_selected_in_one_view_is_selected_in_the_others(sample: Told, tmp_path: Path) -> None:
    table = sample["graph"]["hyperedges"]
    row = next(row for row in pairs_of(sample) if table["via"][row])
    mark = f"[data-mark='c:{table['hyperedge'][row]}']"
    with opened(page_of(sample, tmp_path / "page.html"), viewport=WIDE) as (page, seen):
        show_all(page, "hyperedges")
        page.locator(mark).focus()
        page.keyboard.press("Enter")
        via = page.locator(".cv-p-via > li").all_inner_texts()
        assert len(via) == len(table["via"][row])
        shares = [f"{100 * part / table['weight'][row]:.0f}%" for _, part in table["via"][row][:2]]
        assert [share in line for share, line in zip(shares, via, strict=False)] == [True, True]
        show_all(page, "upset")
        assert page.locator(mark).get_attribute("aria-selected") == "true"
        member = table["members"][row][0]
        show_all(page, "hyperedges")
        page.locator(f"[data-mark='m:{member}']").focus()
        page.keyboard.press("Enter")
        show_all(page, "upset")
        assert page.locator(f"[data-mark='m:{member}']").get_attribute("aria-selected") == "true"
        assert seen == Seen()


def test_an_empty_view_says_why_and_which_command_makes_it(tmp_path: Path) -> None:
    told = document(sample_graph(), name="run/bare")
    told["graph"]["concepts"], told["graph"]["concept_edges"] = [], []
    with opened(page_of(told, tmp_path / "page.html"), viewport=WIDE) as (page, seen):
        for view, command in (
            ("concepts", "circuits group run/bare --save"),
            ("hyperedges", "circuits interact run/bare"),
            ("upset", "circuits interact run/bare"),
            ("matrix", "circuits interact run/bare"),
            ("qk", "circuits interact run/bare --channel qk"),
            ("diff", "circuits report run/bare --against RUN2"),
        ):
            for shape in ("Picture", "Table"):
                show(page, view, shape)
                assert command in page.locator(".cv-empty").inner_text(), (view, shape)
        assert seen == Seen()


def hostile(told: Told) -> Told:
    """The same document, every text of the run replaced by one that would do harm if it were more."""
    bad = copy.deepcopy(told)
    graph = bad["graph"]
    turns = iter(range(10**9))

    def text(*_: Any) -> str:
        return HOSTILE[next(turns) % len(HOSTILE)]

    for part in filter(None, (graph, bad["against"])):
        part["tokens"] = [text() for _ in part["tokens"]]
        part["nodes"]["name"] = [text() for _ in part["nodes"]["name"]]
        part["nodes"]["label"] = [text() for _ in part["nodes"]["label"]]
        part["targets"] = [{**target, "text": text()} for target in part["targets"]]
        part["name"], part["prompt"] = text(), text()
    graph["hyperedges"]["text"] = [text() for _ in graph["hyperedges"]["text"]]
    renamed = {concept["name"]: text() + str(place) for place, concept in enumerate(graph["concepts"])}
    for concept in graph["concepts"]:
        concept["name"], concept["evidence"] = renamed[concept["name"]], list(HOSTILE)
    for edge in graph["concept_edges"]:
        edge.update({end: renamed.get(edge[end], edge[end]) for end in ("source", "target")})
    if bad["diff"]:
        bad["diff"]["finding"] = list(HOSTILE)
    return bad


def test_hostile_texts_stay_texts_and_break_no_layout(dallas: Told, sample: Told, tmp_path: Path) -> None:
    for name, told in (("dallas", dallas), ("sample", sample)):
        with opened(page_of(hostile(told), tmp_path / f"{name}.html"), viewport=NARROW) as (page, seen):
            for view in VIEWS if told["diff"] else VIEWS[:-1]:
                for shape in ("Picture", "Table"):
                    show_all(page, view, shape)
                    if shape == "Picture":
                        for mark in page.locator("[data-mark]").all()[:6]:
                            mark.focus()
                            page.keyboard.press("Enter")
                    # pictures and tables scroll in themselves, not the page nor the view
                    for box in ("html", ".cv-view"):
                        wide = page.locator(box).evaluate("box => box.scrollWidth")
                        assert wide <= NARROW["width"], (view, shape, box, wide)
                    told_text = page.locator(".cv-view").inner_text()
                    assert not [bad for bad in ("\u202e", "\x1b", "a" * 1_500) if bad in told_text]
            assert page.evaluate("window.hacked") is None
            assert seen == Seen()
