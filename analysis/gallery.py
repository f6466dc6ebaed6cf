"""Makes the gallery a newcomer looks at first: pictures and pages of four questions, in `reports/`.

python analysis/gallery.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

REPORTS = Path(__file__).resolve().parent.parent / "reports"
TOY = ["--model", "toy", "--dictionary", "toy"]
NEURONS = ["--model", "smollm2", "--dictionary", "neurons"]
PROMPTS = {
    "dallas": ["The capital of the state containing Dallas is", *TOY],
    "france": ["The capital of France is", *NEURONS],
    "ioi": ["When Mary and John went to the store, John gave a drink to", *NEURONS],
    "mary-over-john": [
        "When Mary and John went to the store, John gave a drink to",
        *NEURONS,
        "--target",
        " Mary",
        "--over",
        " John",
    ],
}
COMBINATIONS: dict[str, list[list[str]]] = {
    "dallas": [
        ["--players", "words", "--order", "3"],
        ["--channel", "output", "--concept", "city=token:Dallas", "--concept", 'ask=token:" capital"'],
    ],
    "france": [["--order", "3"]],
    "ioi": [[]],
}
"""What `circuits interact` is asked for, one command after another."""
FIGURES = {"dallas": ("upset", "matrix", "orders")}
"""Pictures besides the network."""


def main() -> None:
    REPORTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)  # runs are named relative to it, as a reader would name theirs
        for name, prompt in PROMPTS.items():
            run = f"run/{name}"
            circuits(here, "attribute", *prompt, "-o", run)
            for asked in COMBINATIONS.get(name, []):
                circuits(here, "interact", run, *asked)
            (REPORTS / f"{name}.txt").write_text(circuits(here, "why", run))
            circuits(here, "plot", run, "-o", str(REPORTS / f"{name}.svg"), "--overwrite")
            for kind in FIGURES.get(name, ()):
                file = str(REPORTS / f"{name}_{kind}.svg")
                circuits(here, "plot", run, "--kind", kind, "-o", file, "--overwrite")
            circuits(here, "report", run, "-o", str(REPORTS / f"{name}.html"), "--overwrite")


def circuits(here: Path, *words: str) -> str:
    """Gives what a command prints."""
    command = [sys.executable, "-m", "circuits", *words]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=here).stdout


if __name__ == "__main__":
    main()
