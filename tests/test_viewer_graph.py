"""The graph view in a browser: it draws what the file holds, keys go where the eye would, paths are right."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from browser import accessibility, needs_chromium, opened
from hostile import HOSTILE
from playwright.sync_api import Page, expect
from sample_interactions import sample_interactions
from viewer_page import page_of

from circuits.viewer import document

pytestmark = needs_chromium
WIDE = {"width": 1440, "height": 900}
NARROW = {"width": 400, "height": 800}
SETTLE = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
Told = dict[str, Any]


@pytest.fixture(scope="module")
def told() -> Told:
    return document(sample_interactions(), name="ioi")


@pytest.fixture(scope="module")
def page_file(told: Told, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return page_of(told, tmp_path_factory.mktemp("graph") / "page.html")


def ready(page: Page) -> None:
    page.wait_for_selector(".circuits-viewer[data-ready=true]")


def show(page: Page, nodes: int, edges: int) -> None:
    """Puts the sliders: per cent of the influence, place of the edge threshold."""
    page.get_by_label("Nodes", exact=True).fill(str(nodes))
    page.get_by_label("Edges", exact=True).fill(str(edges))
    page.evaluate(SETTLE)


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        page.evaluate(SETTLE)


def focus(page: Page, node: str) -> None:
    page.evaluate(
        "node => document.querySelector(`.cv-graph [data-node='${node}']`).focus()",
        node,
    )


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.dataset.node ?? document.activeElement.dataset.combination")


def drawn(page: Page, canvas: str = "canvas:not(.cv-g-lit)") -> list[dict[str, Any]]:
    """The curves a canvas shows: number of the edge in the file, and whether it is drawn solid."""
    return page.evaluate(
        """which => document.querySelector(`.cv-graph ${which}`)
            .circuitsDrawn.map(({edge, up}) => ({edge, up}))""",
        canvas,
    )


def marks(page: Page) -> dict[str, tuple[float, float, float, float]]:
    """The box of each node's mark on the screen: left, top, right, bottom."""
    boxes = page.evaluate(
        """() => [...document.querySelectorAll('.cv-graph [data-row]')].map(one => {
            const {left, top, right, bottom} = one.querySelector('path').getBoundingClientRect();
            return [one.dataset.node, left, top, right, bottom];
        })"""
    )
    return {name: (left, top, right, bottom) for name, left, top, right, bottom in boxes}


def shown_rows(told: Told, share: float) -> set[int]:
    nodes = told["graph"]["nodes"]
    influence = [value or 0.0 for value in nodes["influence"]]
    rows, reached = set(), 0.0
    for row in sorted(range(len(influence)), key=lambda row: (-influence[row], row)):
        if share < 1 and (reached >= share * sum(influence) or influence[row] == 0):
            break
        rows.add(row)
        reached += influence[row]
    return rows | {row for row, kind in enumerate(nodes["kind"]) if kind in ("token", "logit")}


def share_of(told: Told, edge: int) -> float:
    graph = told["graph"]
    incoming = graph["nodes"]["incoming"][graph["edges"]["target"][edge]]
    return abs(graph["edges"]["weight"][edge]) / incoming if incoming else 0.0


def test_what_is_drawn_is_what_the_file_holds_under_the_thresholds(told: Told, page_file: Path) -> None:
    nodes, edges = told["graph"]["nodes"], told["graph"]["edges"]
    with opened(page_file, viewport=WIDE) as (page, seen):
        ready(page)
        for percent, place in ((100, 100), (80, 40), (50, 50)):
            show(page, percent, place)
            least = 0.0 if place == 100 else float(f"{10 ** (-4 * place / 100):.2g}")
            rows = shown_rows(told, percent / 100)
            assert set(marks(page)) == {nodes["node"][row] for row in rows}
            expected = {
                edge: edges["weight"][edge] >= 0
                for edge in range(len(edges["weight"]))
                if edges["source"][edge] in rows
                and edges["target"][edge] in rows
                and share_of(told, edge) >= least
            }
            assert {one["edge"]: one["up"] for one in drawn(page)} == expected
            counted = page.locator(".cv-graph").evaluate("one => [one.dataset.nodes, one.dataset.edges]")
            assert counted == [str(len(rows)), str(len(expected))]
            lines = [f"{len(rows)} of {told['graph']['totals']['nodes']} nodes"]
            lines.append(f"{len(expected)} of {told['graph']['totals']['edges']} edges")
            assert page.locator(".cv-slider output").all_inner_texts() == lines
        assert True in expected.values()
        assert False in expected.values()
        assert seen.requests == seen.errors == []


def test_no_marks_or_labels_lie_over_each_other(page_file: Path) -> None:
    with opened(page_file, viewport=WIDE) as (page, _):
        ready(page)
        show(page, 100, 50)
        page.wait_for_timeout(200)
        labels = page.evaluate(
            """() => [...document.querySelectorAll('.cv-graph [data-label]')].map(one => {
                const {left, top, right, bottom} = one.getBoundingClientRect();
                return [left, top + 2, right, bottom - 2];
            })"""
        )
        boxes = [*marks(page).values(), *labels]
        assert len(labels) > 10
        over = [
            (one, other)
            for one, other in itertools.combinations(boxes, 2)
            if one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
        ]
        assert over == []


def expected_move(
    told: Told, boxes: dict[str, tuple[float, float, float, float]], name: str, way: str
) -> str | None:
    """Where the arrow should go, by what is on the screen alone; None where more than the eye decides."""
    nodes = told["graph"]["nodes"]
    cell = {
        node: ("out" if kind == "logit" else layer, pos)
        for node, kind, layer, pos in zip(
            nodes["node"], nodes["kind"], nodes["layer"], nodes["pos"], strict=True
        )
    }
    middle = {node: ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2) for node, box in boxes.items()}
    x, y = middle[name]
    side = 1 if way in ("ArrowRight", "ArrowDown") else -1
    if way in ("ArrowLeft", "ArrowRight"):
        beside = [
            (side * (mx - x), node)
            for node, (mx, my) in middle.items()
            if cell[node] == cell[name] and abs(my - y) < 1 and side * (mx - x) > 1
        ]
    else:
        beside = [
            (side * (my - y), abs(mx - x), node)
            for node, (mx, my) in middle.items()
            if cell[node][1] == cell[name][1] and side * (my - y) > 1
        ]
        beside = [(round(away), *rest) for away, *rest in beside]
    return min(beside)[-1] if beside else None


def test_arrows_move_the_focus_to_what_lies_there(told: Told, page_file: Path) -> None:
    with opened(page_file, viewport=WIDE) as (page, seen):
        ready(page)
        show(page, 100, 50)
        page.wait_for_timeout(200)
        boxes = marks(page)
        expect(page.locator('.cv-graph [data-row][tabindex="0"]')).to_have_count(1)
        checked = 0
        for name in ("tok@1", "9/88@9", "18/222@13", "26/1219@13", "logit:Mary"):
            for way in ("ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"):
                expected = expected_move(told, boxes, name, way)
                if expected is None:
                    continue
                focus(page, name)
                press(page, way)
                assert focused(page) == expected, (name, way)
                checked += 1
        assert checked >= 8
        # every node is reached by right arrows within its layer, and the edge of the graph holds the focus
        focus(page, "tok@0")
        walked = []
        for _ in range(20):
            walked.append(focused(page))
            press(page, "ArrowRight")
        assert walked[:14] == [f"tok@{pos}" for pos in range(14)]
        assert set(walked[14:]) == {"tok@13"}
        press(page, "Enter")
        assert page.locator("[data-row][aria-pressed=true]").get_attribute("data-node") == "tok@13"
        press(page, "p")
        assert "pinned" in page.locator("[data-row][data-node='tok@13']").get_attribute("aria-label")
        assert seen.errors == []


def test_following_a_node_lights_the_strongest_paths(told: Told, page_file: Path) -> None:
    graph = told["graph"]
    names = graph["nodes"]["node"]
    oracle = nx.DiGraph()
    for edge in range(len(graph["edges"]["weight"])):
        if share_of(told, edge) > 0:
            ends = names[graph["edges"]["source"][edge]], names[graph["edges"]["target"][edge]]
            oracle.add_edge(*ends, far=-math.log(share_of(told, edge)), edge=edge)
    with opened(page_file, viewport=WIDE) as (page, seen):
        ready(page)
        for start, end, how in (("tok@1", "logit:Mary", "f"), ("tok@3", "18/222@13", "shift")):
            focus(page, start)
            if how == "f":
                press(page, "f")
            else:
                press(page, "Escape", "Enter")
                page.locator(f"[data-row][data-node='{end}']").click(modifiers=["Shift"], force=True)
            page.evaluate(SETTLE)
            paths = list(itertools.islice(nx.shortest_simple_paths(oracle, start, end, weight="far"), 3))
            steps = {step for path in paths for step in itertools.pairwise(path)}
            assert {one["edge"] for one in drawn(page, ".cv-g-lit")} == {
                oracle.edges[step]["edge"] for step in steps
            }
            lit = page.evaluate(
                "[...document.querySelectorAll('[data-row][data-lit]')].map(one => one.dataset.node)"
            )
            assert set(lit) == {node for path in paths for node in path}
            best = product(oracle, paths[0])
            said = page.locator(".cv-told").inner_text()
            assert f"{100 * best:.1f}%" in said or f"{100 * best:.0f}%" in said
        press(page, "Escape")
        assert page.locator("[data-row][data-lit]").count() != len(lit)
        assert seen.errors == []


def product(oracle: nx.DiGraph, path: list[str]) -> float:
    return math.exp(-sum(oracle.edges[step]["far"] for step in itertools.pairwise(path)))


def two_edges(told: Told) -> Told:
    """The same nodes with two edges: one that raises, in column 1, and one that lowers, in column 9."""
    alone = copy.deepcopy(told)
    row = {name: place for place, name in enumerate(alone["graph"]["nodes"]["node"])}
    alone["graph"]["edges"] = {
        "source": [row["tok@1"], row["tok@9"]],
        "target": [row["14/35@1"], row["9/88@9"]],
        "weight": [2.0, -2.0],
    }
    alone["graph"]["hyperedges"] = {key: [] for key in alone["graph"]["hyperedges"]}
    return alone


PIXELS = """name => {
  const canvas = document.querySelector('.cv-graph canvas');
  const box = canvas.getBoundingClientRect();
  const dense = canvas.width / box.width;
  const mark = document.querySelector(`[data-row][data-node='${name}'] path`).getBoundingClientRect();
  const left = Math.max(0, Math.round((mark.left - box.left - 60) * dense));
  const wide = Math.round((mark.width + 120) * dense);
  const high = Math.round((mark.top - box.top - 4) * dense);
  const {data} = canvas.getContext('2d').getImageData(left, 0, wide, high);
  const rows = [];
  let colour = [0, 0, 0], strongest = 0;
  for (let y = 0; y < high; y++) {
    let most = 0;
    for (let x = 0; x < wide; x++) {
      const at = 4 * (y * wide + x);
      most = Math.max(most, data[at + 3]);
      if (data[at + 3] > strongest) {
        strongest = data[at + 3];
        colour = [data[at], data[at + 1], data[at + 2]];
      }
    }
    rows.push(most > 20);
  }
  const first = rows.indexOf(true), last = rows.lastIndexOf(true);
  let gaps = 0;
  for (let y = first; y < last; y++) if (rows[y] && !rows[y + 1]) gaps++;
  return {gaps, length: last - first, colour};
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_signs_are_told_by_the_style_of_the_line_and_by_colour(
    told: Told, tmp_path: Path, scheme: str
) -> None:
    with opened(page_of(two_edges(told), tmp_path / "two.html"), viewport=WIDE, color_scheme=scheme) as (
        page,
        _,
    ):
        ready(page)
        show(page, 100, 100)
        page.wait_for_timeout(200)
        up, down = page.evaluate(PIXELS, "tok@1"), page.evaluate(PIXELS, "tok@9")
        assert up["length"] > 50
        assert up["gaps"] == 0
        assert down["gaps"] > 5
        red, _, blue = up["colour"]
        assert blue > red
        red, _, blue = down["colour"]
        assert red > blue


def test_combinations_are_diamonds_that_can_be_switched_off_and_focused(told: Told, page_file: Path) -> None:
    table, nodes = told["graph"]["hyperedges"], told["graph"]["nodes"]
    with opened(page_file, viewport=WIDE) as (page, seen):
        ready(page)
        show(page, 100, 50)
        diamonds = page.locator(".cv-graph [data-combination]")
        places = [int(one) for one in diamonds.evaluate_all("all => all.map(one => one.dataset.combination)")]
        known = {*nodes["node"], *told["graph"]["players"]}
        possible = [
            place
            for place, members in enumerate(table["members"])
            if len(members) > 1 and {table["target"][place], *members} <= known
        ]
        assert set(places) <= set(possible)
        assert len(places) == min(12, len(possible)) > 3
        words = {"and": "AND", "or": "OR", "inhibit": "INH", "xor": "XOR", "additive": "ADD", "other": "MIX"}
        texts = diamonds.evaluate_all("all => all.map(one => one.querySelector('text').textContent)")
        assert texts == [words[table["gate"][place]] for place in places]
        dashed = diamonds.evaluate_all("all => all.map(one => one.classList.contains('cv-g-minus'))")
        assert dashed == [table["weight"][place] < 0 for place in places]
        counted = f"{len(places)} of {told['graph']['totals']['combinations']} combinations"
        assert page.locator(".cv-g-count").inner_text() == counted
        diamonds.nth(0).focus()
        press(page, "ArrowRight", "Enter")
        assert focused(page) == str(places[1])
        lit = page.evaluate(
            "[...document.querySelectorAll('[data-row][data-lit]')].map(one => one.dataset.node)"
        )
        assert set(lit) >= {name for name in table["members"][places[1]] if name in nodes["node"]}
        assert page.locator(".cv-told").inner_text().startswith(texts[1])
        press(page, "i")
        expect(diamonds).to_have_count(0)
        assert seen.errors == []


def test_it_is_moved_by_keys_wheel_and_drag_and_found_again(page_file: Path) -> None:
    with opened(page_file, viewport=WIDE) as (page, seen):
        ready(page)
        before = marks(page)
        focus(page, "logit:Mary")
        press(page, "+", "+")
        page.wait_for_timeout(200)
        near = marks(page)
        assert near["tok@1"][2] - near["tok@1"][0] > 1.4 * (before["tok@1"][2] - before["tok@1"][0])
        press(page, "0")
        page.wait_for_timeout(200)
        assert marks(page) == before
        box = page.locator(".cv-g-stage").bounding_box()
        assert box
        x, y = box["x"] + 200, box["y"] + 0.4 * box["height"]
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y + 20, steps=4)
        # while it moves, nothing is drawn anew: the whole is shifted
        assert page.locator(".cv-g-world").evaluate("one => one.style.transform").startswith("translate")
        page.mouse.up()
        page.wait_for_timeout(250)
        assert page.locator(".cv-g-world").evaluate("one => one.style.transform") == ""
        after = marks(page)
        assert after["tok@1"][0] - before["tok@1"][0] == pytest.approx(60, abs=1)
        assert after["tok@1"][1] - before["tok@1"][1] == pytest.approx(20, abs=1)
        page.locator("[data-row][data-node='tok@1']").click()
        page.locator("[data-row][aria-pressed=true]").wait_for(state="attached")
        page.mouse.click(x, y)  # on the ground: lets go
        page.evaluate(SETTLE)
        expect(page.locator("[data-row][aria-pressed=true]")).to_have_count(0)
        page.mouse.dblclick(x, y)
        page.wait_for_timeout(250)
        assert marks(page)["tok@1"] == pytest.approx(before["tok@1"], abs=0.6)
        assert seen.errors == []


def test_paper_gets_all_of_it_as_lines_and_the_screen_is_as_it_was(page_file: Path) -> None:
    with opened(page_file, viewport=WIDE, color_scheme="dark") as (page, seen):
        ready(page)
        focus(page, "tok@1")
        press(page, "+", "+")
        page.wait_for_timeout(200)
        before, edges = marks(page), drawn(page)
        page.emulate_media(media="print")
        page.wait_for_timeout(200)
        dashes = page.locator(".cv-g-paper path").evaluate_all(
            "all => all.map(one => one.getAttribute('stroke-dasharray') === null)"
        )
        assert sorted(dashes) == sorted(one["up"] for one in edges)
        stage = page.locator(".cv-g-stage").bounding_box()
        assert stage
        for left, top, right, bottom in marks(page).values():
            assert stage["x"] <= left < right <= stage["x"] + stage["width"]
            assert stage["y"] <= top < bottom <= stage["y"] + stage["height"]
        page.emulate_media(media="screen")
        page.wait_for_timeout(200)
        expect(page.locator(".cv-g-paper")).to_have_count(0)
        after = marks(page)
        assert all(after[node] == pytest.approx(box, abs=0.6) for node, box in before.items())
        assert seen.errors == []


def test_hostile_names_are_text_and_break_nothing(told: Told, tmp_path: Path) -> None:
    bad = copy.deepcopy(told)
    graph = bad["graph"]
    for row in range(len(graph["nodes"]["name"])):
        graph["nodes"]["name"][row] = HOSTILE[row % len(HOSTILE)]
    graph["tokens"] = [HOSTILE[place % len(HOSTILE)] for place in range(len(graph["tokens"]))]
    graph["hyperedges"]["text"] = [
        HOSTILE[place % len(HOSTILE)] for place in range(len(graph["hyperedges"]["text"]))
    ]
    with opened(page_of(bad, tmp_path / "bad.html"), viewport=NARROW) as (page, seen):
        ready(page)
        show(page, 100, 100)
        focus(page, "tok@1")
        press(page, "f", "t")
        assert page.evaluate("window.hacked") is None
        expect(page.locator(".circuits-viewer img, .circuits-viewer script")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        press(page, "t")
        expect(page.locator(".cv-graph [data-row]")).to_have_count(len(graph["nodes"]["node"]))
        lengths = page.locator(".cv-graph [aria-label]").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-label').length)"
        )
        assert max(lengths) < 700
        assert seen.requests == seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_graph_and_its_table_are_accessible_and_say_the_same(
    told: Told, page_file: Path, scheme: str
) -> None:
    with opened(page_file, viewport=WIDE, color_scheme=scheme) as (page, seen):
        ready(page)
        assert accessibility(page) == []
        nodes, edges = set(marks(page)), len(drawn(page))
        focus(page, "logit:Mary")
        press(page, "t")
        assert accessibility(page) == []
        bodies = page.locator(".cv-twin tbody")
        told_nodes = (
            bodies.nth(0).locator("tr th [data-node]").evaluate_all("all => all.map(one => one.dataset.node)")
        )
        assert set(told_nodes) == nodes
        expect(bodies.nth(1).locator("tr")).to_have_count(min(200, edges))
        page.locator(".cv-twin thead button", has_text="Influence").click()
        head = page.locator(".cv-twin th[aria-sort]", has_text="Influence")
        assert head.get_attribute("aria-sort") == "descending"
        assert seen.errors == []
