"""How fast is the viewer: built, opened, panned?

Reports of made-up graphs of 2,000 and of 10,000 nodes (`tests/big_graph.py`), and of runs that are given,
opened from a file in headless Chromium with 1440 × 900 pixels and no network. How long a page takes to build
is told in seconds of processor time, so that what else the machine does matters less; all else in wall
seconds; medians of three. A page is interactive when the viewer has drawn its first picture, counted from the
start of the navigation. Panning is a drag with the mouse for two seconds; frames are counted in the page by
`requestAnimationFrame`. It is tried as the page opens, and with all nodes and edges of the document shown.
Writes `reports/viewer_speed.md` and `.json`::

    circuits demo run/demo
    python analysis/viewer_speed.py run/demo       # about two minutes
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page, sync_playwright

import circuits
from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.report import report
from circuits.viewer import document, embedded

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from big_graph import Size, big_cards, big_graph  # type: ignore[import-not-found]  # noqa: E402

REPEATS: Final = 3
SECONDS: Final = 2.0
TARGETS: Final = {"MB": 5.0, "built": 3.0, "interactive": 2.0, "frames": 30.0}
MADE: Final = (Size(), Size(nodes=10_000, edges=2_000_000, hyperedges=3_000, cards=6_000))

READY: Final = '.circuits-viewer[data-ready="true"]'
COUNT: Final = """() => {
  window.frames_ = [];
  const step = (now) => { window.frames_.push(now); window.counting = requestAnimationFrame(step); };
  window.counting = requestAnimationFrame(step);
}"""
SHOW_ALL: Final = """(end) => {
  const slider = document.querySelector(`.circuits-viewer input[type=range][id$="${end}"]`);
  slider.value = slider.max;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
}"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path, help="run directories to measure too")
    parser.add_argument("--out", type=Path, default=ROOT / "reports")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, graph, cards in graphs(asked.runs):
            built, file = build(graph, cards, Path(folder))
            rows.append({"graph": name, **built, **opened(file)})
            sys.stderr.write(f"{json.dumps(rows[-1])}\n")
    asked.out.mkdir(exist_ok=True)
    (asked.out / "viewer_speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    (asked.out / "viewer_speed.md").write_text(page_of(rows))
    sys.stdout.write(page_of(rows))


def graphs(runs: list[Path]) -> Iterator[tuple[str, Graph, Cards | None]]:
    """Gives the graphs that are measured, named, with cards where they do not lie beside the dictionary."""
    for run in runs:
        yield run.name, circuits.load_run(run), None
    for size in MADE:
        graph = big_graph(size)
        yield f"made up, {size.nodes:,} nodes", graph, big_cards(graph, size.cards)


def build(graph: Graph, cards: Cards | None, folder: Path) -> tuple[dict[str, Any], Path]:
    """Gives the seconds it takes to make the document and the page, their sizes, and the page's file."""
    answer = circuits.why(graph)
    told, seconds = timed(lambda: document(graph, answer=answer, cards=cards))
    text, whole = timed(lambda: report(graph, answer=answer, cards=cards))
    file = folder / "page.html"
    file.write_text(text, encoding="utf-8")
    totals, part = told["graph"]["totals"], told["graph"]
    shown = {"nodes": len(part["nodes"]["node"]), "edges": len(part["edges"]["weight"])}
    shown |= {"hyperedges": len(part["hyperedges"]["weight"]), "cards": len(part["cards"]["cards"])}
    sizes = {"document MB": len(embedded(told).encode()) / 1e6, "page MB": file.stat().st_size / 1e6}
    return {"run": totals, "shown": shown, "document s": seconds, "page s": whole, **sizes}, file


def timed(call: Any) -> tuple[Any, float]:
    """Gives what a call gives, and the median of its seconds of processor time after one to warm up."""
    result, seconds = call(), []
    for _ in range(REPEATS):
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds)


def opened(file: Path) -> dict[str, Any]:
    """Gives how long a page takes to be interactive, and how it pans."""
    times = []
    for _ in range(REPEATS):
        with browser() as page:
            times.append(interactive(page, file))
    with browser() as page:
        interactive(page, file)
        first = panned(page)
        counts = page.locator(".circuits-viewer .cv-graph").evaluate("one => ({...one.dataset})")
    with browser() as page:
        interactive(page, file)
        for end in ("-nodes", "-edges"):
            page.evaluate(SHOW_ALL, end)
        page.wait_for_timeout(1_500)
        everything = panned(page)
        all_counts = page.locator(".circuits-viewer .cv-graph").evaluate("one => ({...one.dataset})")
    told = {"interactive s": statistics.median(times), "panning": {**first, **counts}}
    return told | {"panning all": {**everything, **all_counts}}


@contextmanager
def browser() -> Iterator[Page]:
    """Gives a page of a fresh browser whose network is shut."""
    where = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=where, args=["--no-sandbox", "--disable-quic"])
        try:
            context = started.new_context(viewport={"width": 1440, "height": 900}, offline=True)
            yield context.new_page()
        finally:
            started.close()


def interactive(page: Page, file: Path) -> float:
    """Gives the seconds from the start of the navigation to the viewer's first picture."""
    page.goto(file.resolve().as_uri(), wait_until="commit")
    page.wait_for_selector(READY, state="attached", timeout=60_000)
    mark = page.evaluate("performance.getEntriesByName('circuits-ready')[0].startTime")
    return float(mark) / 1_000


def panned(page: Page) -> dict[str, float]:
    """Gives frames a second, and the median and 95th percentile of a frame's milliseconds, while dragging."""
    page.locator(".circuits-viewer .cv-g-stage").scroll_into_view_if_needed()
    box = page.locator(".circuits-viewer .cv-g-stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.evaluate(COUNT)
    start, step = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        step += 1
        turn = abs((step % 120) - 60) - 30  # there and back again
        page.mouse.move(x + 8 * turn, y + 4 * turn)
    times = page.evaluate("() => { cancelAnimationFrame(window.counting); return window.frames_; }")
    page.mouse.up()
    gaps = sorted(after - before for before, after in itertools.pairwise(times))
    return {
        "frames/s": 1_000 * len(gaps) / sum(gaps),
        "median ms": statistics.median(gaps),
        "p95 ms": gaps[int(0.95 * (len(gaps) - 1))],
        "moves": step,
    }


def page_of(rows: list[dict[str, Any]]) -> str:
    """Gives the report."""
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    doc = (__doc__ or "").partition("Writes `")[0].strip().partition("\n\n")[2].replace("\n", " ")
    targets = (
        f"One machine with two cores and no graphics card ({machine}). Targets: a page of at most"
        f" {TARGETS['MB']:.0f} MB, built in {TARGETS['built']:.0f} s once the run is loaded, interactive in"
        f" {TARGETS['interactive']:.0f} s, at least {TARGETS['frames']:.0f} frames a second."
    )
    lines = [
        "# How fast the viewer is",
        "",
        doc,
        "",
        targets,
        "",
        "| graph | in the run | in the page | page | built | of it the document | interactive |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in rows:
        run, shown = ("<br>".join(f"{n:,} {what}" for what, n in row[at].items()) for at in ("run", "shown"))
        lines.append(
            f"| {row['graph']} | {run} | {shown} | {row['page MB']:.1f} MB | {row['page s']:.2f} s |"
            f" {row['document s']:.2f} s | {row['interactive s']:.2f} s |"
        )
    lines += [
        "",
        "| graph | drawn | frames a second | a frame, median | 95% of frames within |",
        "|---|---|---:|---:|---:|",
    ]
    for row in rows:
        for at in ("panning", "panning all"):
            pan = row[at]
            drawn = f"{int(pan['nodes']):,} nodes, {int(pan['edges']):,} edges"
            lines.append(
                f"| {row['graph']} | {drawn} | {pan['frames/s']:.0f} | {pan['median ms']:.0f} ms |"
                f" {pan['p95 ms']:.0f} ms |"
            )
    return "\n".join([*lines, "", "`python analysis/viewer_speed.py RUN …` writes this page.", ""])


if __name__ == "__main__":
    main()
