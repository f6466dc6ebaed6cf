"""Does the tool find the circuit? Asked of planted models, where the answer is known, beside simpler methods.

Every planted model, over seeds, with distractors and noise: nodes and edges ranked, interactions claimed,
their order, the gate, and what is claimed where nothing interacts. Writes `reports/fidelity.md`, `.json`
and `.svg`::

    python analysis/fidelity.py             # about 5 minutes of one core
    python analysis/fidelity.py --quick     # one seed, without the games of many players

What is measured is in `fidelity_measures.py`, the simpler methods in `fidelity_baselines.py`, what is asked
of this package in `fidelity_tool.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import jax
from fidelity_baselines import BASELINES  # type: ignore[import-not-found]
from fidelity_figure import figure  # type: ignore[import-not-found]
from fidelity_measures import judged  # type: ignore[import-not-found]
from fidelity_net import Answer, Subject  # type: ignore[import-not-found]
from fidelity_page import page  # type: ignore[import-not-found]
from fidelity_tool import BUDGET, hypergraph  # type: ignore[import-not-found]

from circuits.planted import PLANTED

REPORTS: Final = Path(__file__).parent.parent / "reports"
METHODS: Final[Mapping[str, Callable[[Subject, int], Answer]]] = {**BASELINES, "circuits": hypergraph}
NOISES: Final = (0.0, 0.01, 0.02, 0.05)
SEEDS: Final = 5
FEW: Final = 6
MANY: Final = 18
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few players only")
    parser.add_argument("--redraw", action="store_true", help="only the page and figure, from the .json")
    options = parser.parse_args()
    REPORTS.mkdir(exist_ok=True)
    file = REPORTS / "fidelity.json"
    if not options.redraw:
        file.write_text(packed(measured(quick=options.quick)))
    results = unpacked(file.read_text())
    text = page(results)
    (REPORTS / "fidelity.md").write_text(text)
    figure(results).savefig(REPORTS / "fidelity.svg", metadata={"Date": None})
    print(text)


def measured(*, quick: bool) -> Row:
    """Gives all measurements as one JSON-compatible record."""
    start = time.process_time()
    seeds = range(1 if quick else SEEDS)
    rows = []
    for noise in NOISES:
        rows += [row for seed in seeds for name in PLANTED for row in asked(name, seed, FEW, noise)]
        # every graph has programs of its own: all of them together fill 2 GB
        jax.clear_caches()  # type: ignore[no-untyped-call]
    if not quick:
        rows += [row for name in PLANTED for row in asked(name, 0, MANY, 0.0)]
    return {
        "seeds": len(seeds),
        "distractors": FEW,
        "many": MANY,
        "noises": NOISES,
        "budget": BUDGET,
        "models": len(PLANTED),
        "rows": rows,
        "cpu seconds": round(time.process_time() - start),
    }


def packed(results: Row) -> str:
    """Gives the record as JSON, one answer a line, the names of its numbers said once."""
    rows = results["rows"]
    lines = ",\n".join(json.dumps([_short(value) for value in row.values()]) for row in rows)
    head = json.dumps({**results, "rows": None, "columns": list(rows[0])}, indent=1)
    return head.replace('"rows": null', f'"rows": [\n{lines}\n]') + "\n"


def unpacked(text: str) -> Row:
    """Gives the record of a text that `packed` gave."""
    results: Row = json.loads(text)
    columns = results.pop("columns")
    return {**results, "rows": [dict(zip(columns, row, strict=True)) for row in results["rows"]]}


def _short(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def asked(name: str, seed: int, distractors: int, noise: float) -> list[Row]:
    """Gives what every method's answer about one model is worth."""
    subject = Subject.of(name, seed, distractors, noise)
    of = {"model": name, "seed": seed, "distractors": distractors, "noise": noise}
    return [
        {**of, "method": method, "players": len(subject.players), **judged(subject, ask(subject, seed))}
        for method, ask in METHODS.items()
    ]


if __name__ == "__main__":
    main()
