"""The served app in a browser, against a server that really runs: list, viewer, SQL, jobs, the door."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import accessibility, needs_chromium, opened
from hostile import HOSTILE
from playwright.sync_api import expect
from served_runs import folder_of_runs, hostile_graph

from circuits.graph.io import load_run, save_run
from circuits.server.app import create_app
from circuits.server.guard import Door
from circuits.server.jobs import Job, Jobs
from circuits.server.listen import Server, listener

TOKEN = "a-token-of-the-tests"
RUN = "<b onclick=x>it's</b> & co"
PATIENT = 30_000
"""Milliseconds for what the machine must compute first; never reached where all is well."""


@contextlib.contextmanager
def running(folder: Path, *, token: str | None = None) -> Iterator[str]:
    """Serves a folder on a free port until the context ends."""
    bound = listener("127.0.0.1", 0)
    port = bound.getsockname()[1]
    ready = threading.Event()
    server = Server(create_app(folder, door=Door("127.0.0.1", port, token)), ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    runs = folder_of_runs(tmp_path)
    save_run(hostile_graph(), runs / RUN)
    return runs


@pytest.fixture
def slow_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs that count to four in no process; the real ones are in test_server_jobs."""

    async def run(self: Jobs, job: Job) -> str:
        for done in range(1, 5):
            job.progress("Attributing", done, 4)
            self._tell(job)
            for _ in range(15):
                if job.cancelled:
                    return "cancelled"
                await asyncio.sleep(0.02)
        save_run(hostile_graph(), self.folder / job.run)
        return "done"

    monkeypatch.setattr(Jobs, "_run", run)


@needs_chromium
def test_from_the_list_to_a_run_a_question_and_sql_with_no_request_elsewhere(folder: Path) -> None:
    graph = load_run(folder / "names")
    with running(folder) as address, opened(address, viewport={"width": 1200, "height": 800}) as (page, seen):
        page.set_default_timeout(PATIENT)
        items = page.locator(".cv-app-run")
        expect(items).to_have_count(3)
        hostile = items.filter(has_text=RUN)
        expect(hostile).to_contain_text(HOSTILE[0])
        assert accessibility(page) == []
        # two are compared
        expect(page.get_by_text("Mark two runs to compare them.")).to_be_visible()
        for name in ("names", "older/plain"):
            page.get_by_label(f"Mark {name} to compare").check()
        expect(page.get_by_role("link", name="Compare names with older/plain")).to_have_attribute(
            "href", "#/run/names?against=older%2Fplain"
        )
        # one is opened: the viewer, its state in the address
        items.filter(has=page.get_by_text("names", exact=True)).get_by_role("link").click()
        viewer = page.locator(".cv-in-server")
        expect(viewer).to_contain_text(f"of {len(graph.nodes)} nodes")
        expect(page).to_have_title("names · circuits")
        # a question
        viewer.get_by_role("tab", name="Answer").click()
        page.get_by_label("Question").fill("which pairs drive logit:Mary")
        page.get_by_role("button", name="Ask").click()
        expect(viewer.locator(".cv-told")).to_have_text(
            "Answered: which pairs drive logit:Mary", timeout=PATIENT
        )
        expect(viewer.locator(".cv-finding").first).to_be_visible()
        page.get_by_label("Question").fill("whi")
        page.get_by_role("button", name="Ask").click()
        expect(viewer.get_by_role("alert")).to_contain_text("why", timeout=PATIENT)
        # SQL
        page.get_by_role("link", name="SQL").click()
        page.get_by_role("textbox", name="Query").fill("SELECT count(*) AS n FROM edges")
        page.keyboard.press("Control+Enter")
        expect(page.locator(".cv-data tbody")).to_have_text(str(len(graph.edges)), timeout=PATIENT)
        page.get_by_role("textbox", name="Query").fill("FROM read_text('/etc/passwd')")
        page.get_by_role("button", name="Run").click()
        expect(page.get_by_role("alert")).to_contain_text("read_text is not allowed")
        assert accessibility(page) == []
        # back, by the browser's own button, and a run whose name is hostile
        page.goto(address + "#/run/" + "%3Cb%20onclick%3Dx%3Eit's%3C%2Fb%3E%20%26%20co")
        expect(page.locator(".cv-in-server")).to_contain_text("nodes")
        expect(page.locator("h1")).to_contain_text("<img src=x")
        page.goto(address + "#/run/nowhere")
        expect(page.get_by_role("alert")).to_contain_text("No run 'nowhere'")
        assert page.evaluate("window.hacked") is None
        assert seen.requests == []
        refused = [one for one in seen.errors if "Content Security Policy" in one]
        assert refused == []
        # the browser itself notes the three refusals, and nothing else went wrong
        assert all("status of 40" in one for one in seen.errors), seen.errors


@needs_chromium
@pytest.mark.usefixtures("slow_jobs")
def test_a_new_prompt_shows_its_progress_and_then_its_run_and_can_be_cancelled(folder: Path) -> None:
    dark = {"width": 400, "height": 800}
    with running(folder) as address, opened(address, viewport=dark, color_scheme="dark") as (page, seen):
        page.set_default_timeout(PATIENT)
        page.get_by_role("link", name="New prompt").click()
        expect(page.locator("h1")).to_be_focused()
        assert accessibility(page) == []
        page.get_by_label("Prompt", exact=True).fill("Some words to explain")
        page.get_by_role("button", name="Explain it").click()
        job = page.locator(".cv-app-job").filter(has_text="some-words-to-explain")
        expect(job.get_by_role("progressbar")).to_have_attribute("max", "4")
        expect(job).to_contain_text("Attributing: 2 of 4")
        expect(job).to_contain_text("done in")
        page.get_by_role("button", name="Explain it").click()
        again = page.locator(".cv-app-job").filter(has_text="some-words-to-explain-2")
        again.get_by_role("button", name="Cancel").click()
        expect(again).to_contain_text("cancelled")
        job.get_by_role("link", name="Open").click()
        expect(page.locator(".cv-in-server")).to_contain_text("nodes")
        page.get_by_role("link", name="circuits", exact=True).click()
        expect(page.locator(".cv-app-run")).to_have_count(4)
        assert accessibility(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.get_by_role("link", name="API").click()
        expect(page.locator("h1")).to_have_text("The API of this server")
        assert accessibility(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert (seen.requests, seen.errors) == ([], [])


@needs_chromium
def test_the_link_with_the_token_opens_the_app_and_nothing_else_does(folder: Path) -> None:
    with running(folder, token=TOKEN) as address, opened(address) as (page, seen):
        expect(page.locator("h1")).to_have_text("This server asks for its token")
        page.goto(f"{address}?token={TOKEN}")
        page.wait_for_url(address)
        expect(page.locator(".cv-app-run")).to_have_count(3, timeout=PATIENT)
        assert TOKEN not in page.url
        assert page.evaluate("document.cookie") == ""  # the page's own script cannot read it
        assert seen.requests == []


def test_a_server_that_stops_ends_its_streams(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx2

    async def forever(self: Jobs, job: Job) -> str:
        while not job.cancelled:
            await asyncio.sleep(0.01)
        return "cancelled"

    monkeypatch.setattr(Jobs, "_run", forever)
    lines: list[str] = []
    with running(folder) as address:
        job = httpx2.post(f"{address}api/jobs", json={"prompt": "a"}).json()["id"]

        def follow() -> None:
            with httpx2.stream("GET", f"{address}api/jobs/{job}/events", timeout=30) as stream:
                lines.extend(stream.iter_lines())

        watcher = threading.Thread(target=follow)
        watcher.start()
        until = time.monotonic() + 20
        while not lines and time.monotonic() < until:
            time.sleep(0.02)
    watcher.join(20)
    assert not watcher.is_alive()
    assert '"status": "cancelled"' in [line for line in lines if line.startswith("data:")][-1]
