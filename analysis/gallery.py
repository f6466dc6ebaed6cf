"""Makes the gallery a newcomer looks at first: pictures and pages of two prompts, in `reports/`.

python analysis/gallery.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

REPORTS = Path(__file__).parent.parent / "reports"
PROMPTS = {
    "france": ["The capital of France is"],
    "ioi": ["When Mary and John went to the store, John gave a drink to"],
    "mary-over-john": [
        "When Mary and John went to the store, John gave a drink to",
        "--target",
        " Mary",
        "--over",
        " John",
    ],
}


def main() -> None:
    REPORTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for name, prompt in PROMPTS.items():
            run = str(Path(temporary) / name)
            circuits("attribute", *prompt, "--model", "smollm2", "--dictionary", "neurons", "-o", run)
            (REPORTS / f"{name}.txt").write_text(circuits("why", run))
            circuits("plot", run, "-o", str(REPORTS / f"{name}.svg"), "--overwrite")
            circuits("report", run, "-o", str(REPORTS / f"{name}.html"), "--overwrite")


def circuits(*words: str) -> str:
    """Gives what a command prints."""
    return subprocess.run(
        [sys.executable, "-m", "circuits", *words], stdout=subprocess.PIPE, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
