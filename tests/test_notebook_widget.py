"""The widget in a real browser, without Jupyter: what is done there is told, what is set is shown."""

import base64
import json
from pathlib import Path
from typing import Any

from browser import needs_chromium, opened
from hostile_graph import hostile_graph
from playwright.sync_api import Page, expect
from sample_interactions import sample_interactions

from circuits.graph.graph import Graph

TRAITS = ("document", "selected", "pinned", "threshold", "view", "groups", "height")

HOST = """<!doctype html><html lang="en"><meta charset="utf-8"><title>cell</title><style>STYLE</style>
<main id="cell"></main>
<script>
const state = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob("STATE"), c => c.charCodeAt(0))));
const heard = {};
window.saved = [];
window.model = {
  get: name => state[name],
  set(name, value) { state[name] = value; this.pending = {...this.pending, [name]: value};
    for (const then of heard["change:" + name] ?? []) then(); },
  save_changes() { window.saved.push(this.pending); this.pending = {}; },
  on(event, then) { (heard[event] ??= []).push(then); },
  off(event, then) { heard[event] = (heard[event] ?? []).filter(one => one !== then); },
  pending: {},
};
window.listening = () => Object.values(heard).flat().length;
const script = new TextDecoder().decode(Uint8Array.from(atob("SCRIPT"), c => c.charCodeAt(0)));
import(URL.createObjectURL(new Blob([script], {type: "text/javascript"}))).then(module => {
  window.ended = module.default.render({model, el: document.getElementById("cell")});
  window.ready = true;
});
</script></html>"""


def cell(graph: Graph, path: Path, **state: Any) -> Path:
    """A page that does what a notebook does with the widget of a graph."""
    widget = graph.widget()
    for name, value in state.items():
        setattr(widget, name, value)
    held = {name: getattr(widget, name) for name in TRAITS}
    page = HOST.replace("STYLE", widget._css)
    for name, text in (("STATE", json.dumps(held)), ("SCRIPT", widget._esm)):
        page = page.replace(name, base64.b64encode(text.encode()).decode())
    path.write_text(page, encoding="utf-8")
    return path


def told(page: Page, name: str) -> Any:
    return page.evaluate("name => model.get(name)", name)


def until(page: Page, expression: str, value: Any = None) -> None:
    page.wait_for_function(expression, arg=value, timeout=10_000)


@needs_chromium
def test_what_is_done_in_the_viewer_is_told_and_what_is_set_is_shown(tmp_path: Path) -> None:
    file = cell(sample_interactions(), tmp_path / "cell.html", selected="24/1042@13", height=420)
    with opened(file, viewport={"width": 1200, "height": 700}) as (page, seen):
        until(page, "() => window.ready")
        viewer = page.locator(".circuits-viewer")
        viewer.wait_for()
        assert round(viewer.bounding_box()["height"]) == 420  # type: ignore[index]
        assert "24/1042" in viewer.inner_text()
        # from the viewer: P pins what is selected
        viewer.locator(".cv-view").first.focus()
        page.keyboard.press("p")
        until(page, "() => model.get('pinned')?.includes('24/1042@13')")
        assert any("pinned" in change for change in page.evaluate("saved"))
        assert all("document" not in change for change in page.evaluate("saved"))
        # from Python: another node, another threshold, another view
        page.evaluate("() => model.set('selected', '21/1177@13')")
        until(page, "() => document.querySelector('.circuits-viewer').innerText.includes('21/1177')")
        page.evaluate("() => model.set('view', 'upset')")
        until(
            page,
            "() => document.querySelector('[role=tab][aria-selected=true]')?.innerText.includes('UpSet')",
        )
        page.evaluate("() => model.set('threshold', 1)")
        until(page, "() => /66 of 66 nodes/.test(document.querySelector('.circuits-viewer').innerText)")
        assert told(page, "selected") == "21/1177@13"
        page.evaluate("() => ended()")
        until(page, "() => !document.querySelector('.circuits-viewer')")
        assert page.evaluate("listening()") == 0
        assert not seen.requests
        assert not seen.errors


@needs_chromium
def test_hostile_texts_stay_texts_in_the_widget(tmp_path: Path) -> None:
    with opened(cell(hostile_graph(), tmp_path / "cell.html", selected="24/1042@13")) as (page, seen):
        until(page, "() => window.ready")
        page.locator(".circuits-viewer").wait_for()
        assert page.evaluate("window.hacked") is None
        expect(page.locator(".circuits-viewer img")).to_have_count(0)
        assert not seen.errors
        assert not seen.requests
