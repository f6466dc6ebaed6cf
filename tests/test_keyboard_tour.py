"""The whole of the viewer by keyboard alone: each step looked at on the screen before the next."""

from __future__ import annotations

from pathlib import Path

from browser import needs_chromium, opened
from playwright.sync_api import Page, expect
from pypdf import PdfReader
from sample_interactions import sample_interactions
from viewer_page import page_of

import circuits
from circuits.viewer import document

pytestmark = needs_chromium


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def focused(page: Page, what: str = "e.textContent") -> str:
    return page.evaluate(f"(e => {what})(document.activeElement)")


def told(page: Page) -> str:
    return page.locator(".cv-told").inner_text()


def counts(page: Page) -> tuple[int, int]:
    """Nodes and edges, as the toolbar says them."""
    said = page.locator(".cv-slider output").all_inner_texts()
    nodes, edges = (int(text.split(" of ")[0].replace(",", "")) for text in said)
    return nodes, edges


def test_the_whole_tour_by_keyboard(tmp_path: Path) -> None:
    graph = sample_interactions()
    file = page_of(document(graph, answer=circuits.why(graph), name="ioi"), tmp_path / "page.html")
    with opened(file, viewport={"width": 1280, "height": 900}) as (page, seen):
        page.wait_for_selector(".circuits-viewer[data-ready=true]")
        page.evaluate("() => { window.printed = 0; window.print = () => { window.printed++ } }")

        # in: Tab comes from the page to the views' tabs; no key was heard before
        press(page, "p", "t", "d")
        expect(page.locator(".circuits-viewer[data-theme]")).to_have_count(0)
        for _ in range(10):
            press(page, "Tab")
            if focused(page, "e.role") == "tab":
                break
        assert focused(page) == "Graph"

        # search
        press(page, "/")
        assert focused(page, "e.role") == "combobox"
        page.keyboard.type("say mary")
        assert page.get_by_role("option").count() >= 1
        press(page, "Escape")
        expect(page.get_by_role("combobox")).to_have_count(0)
        press(page, "/")
        page.keyboard.type("21/1177@13")
        press(page, "Enter")
        assert page.locator(".cv-card-title").inner_text().endswith("say Mary")
        assert focused(page, "e.dataset.node") == "21/1177@13"

        # pin, the searched node and one that the arrows lead to
        press(page, "p")
        assert page.locator(".cv-card-head button").get_attribute("aria-pressed") == "true"
        press(page, "ArrowUp")
        second = focused(page, "e.dataset.node")
        assert second not in ("21/1177@13", None)
        press(page, "p")
        expect(page.locator(".cv-pin, .cv-g-pin")).to_have_count(2)

        # open a card, and go through it and back
        press(page, "Enter")
        expect(page.locator(f".cv-view [data-node='{second}'][aria-pressed=true]")).to_have_count(1)
        press(page, "c", "Tab")
        assert focused(page, "e.closest('.cv-card') !== null") is True
        press(page, "Escape")
        assert focused(page, "e.dataset.node") == second

        # group what is pinned
        press(page, "g")
        page.keyboard.type("the answer")
        press(page, "Enter")
        assert told(page) == "Group the answer: 2 nodes"
        assert page.locator(".cv-group summary bdi").all_inner_texts()[-1] == "the answer"

        # follow a path: from the node, then one of the list
        press(page, "v", "f")
        assert "path" in told(page)
        press(page, "h", "Tab")
        while focused(page, "e.className") != "cv-path":
            press(page, "Tab")
        press(page, "Enter")
        assert focused(page, "e.ariaPressed") == "true"
        assert told(page).startswith("Lit: ")
        press(page, "Escape", "Escape")
        expect(page.locator(".cv-path[aria-pressed=true]")).to_have_count(0)

        # threshold: fewer and more, of nodes and of edges
        press(page, "Escape")
        before = counts(page)
        press(page, "[", "[", "[", "[")
        fewer = counts(page)
        assert fewer[0] < before[0]
        press(page, "]", "]", "]", "]")
        assert counts(page) == before
        press(page, ",")
        before = counts(page)
        press(page, ",", ",")
        assert counts(page)[1] < before[1]
        press(page, ".", ".")
        assert counts(page) == before
        press(page, "i")
        expect(page.locator("[data-combinations='0']")).to_have_count(1)
        press(page, "i")
        expect(page.locator("[data-combinations='0']")).to_have_count(0)

        # every view, as picture and as table, and back
        names = page.get_by_role("tablist", name="Views").get_by_role("tab").all_inner_texts()
        for place, name in enumerate(names):
            press(page, str(place + 1))
            assert page.get_by_role("tab", selected=True).first.inner_text() == name
            press(page, "t")
            tables = page.locator(".cv-view table").count()
            assert tables >= 1 or page.locator(".cv-view .cv-empty").count() == 1, name
            press(page, "t")
        press(page, "1")

        # the answer, help, the theme, the full window
        press(page, "a")
        expect(page.get_by_role("tab", selected=True, name="Answer")).to_have_count(1)
        press(page, "?")
        assert page.get_by_role("dialog", name="Keys").get_by_text("Pin, or unpin").count() == 1
        where = focused(page, "e.closest('dialog') !== null")
        press(page, "Escape")
        assert where is True
        expect(page.get_by_role("dialog")).to_have_count(0)
        assert focused(page, "e.closest('.cv-side') !== null") is True
        press(page, "d")
        expect(page.locator(".circuits-viewer[data-theme=dark]")).to_have_count(1)
        press(page, "w")
        box = page.locator(".circuits-viewer").bounding_box()
        assert box == {"x": 0, "y": 0, "width": 1280, "height": 900}
        press(page, "w")

        # print
        press(page, "r")
        page.wait_for_function("window.printed === 1")
        expect(page.locator(".circuits-viewer[data-theme=light]")).to_have_count(1)  # paper is
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        press(page)
        expect(page.locator(".circuits-viewer[data-theme=light]")).to_have_count(0)
        page.pdf(path=tmp_path / "page.pdf")
        assert "tokens" in "".join(part.extract_text() for part in PdfReader(tmp_path / "page.pdf").pages)

        # and out again: nothing holds the focus
        for _ in range(200):
            press(page, "Tab")
            if focused(page, "e.textContent") == "after":
                break
        assert focused(page) == "after"
        assert seen.requests == []
        assert seen.errors == []
