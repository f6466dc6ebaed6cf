"""Do interventions on the model do what the graph says, and do its circuits carry the answer?

Two dozen prompts a model: single features and pairs switched off, predicted by the graph and measured on
the model, everything held still and everything free; and circuits of growing size by several rankings,
their faithfulness and completeness with the areas of MIB. Transcoders and neurons side by side on the
bundled model, neurons on SmolLM2. Writes `reports/faithfulness.md`, `.json` and `.svg`::

    python analysis/faithfulness.py             # about 15 minutes of one core
    python analysis/faithfulness.py --quick     # two prompts a model, fewer tests
    python analysis/faithfulness.py --redraw    # only the page and figure, from the .json

The prompts are in `faithfulness_prompts.py`, what is done to each in `faithfulness_runs.py`, the rankings
in `faithfulness_rankings.py`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

import jax
from faithfulness_figure import figure  # type: ignore[import-not-found]
from faithfulness_page import page  # type: ignore[import-not-found]
from faithfulness_prompts import TASKS, answered  # type: ignore[import-not-found]
from faithfulness_runs import TEXTS, TOLERANCE, Plan, studied  # type: ignore[import-not-found]

from circuits.dictionaries.load import load_dictionary
from circuits.models.load import load_model

REPORTS: Final = Path(__file__).parent.parent / "reports"
BASES: Final = (("toy", "toy"), ("toy", "neurons"), ("smollm2", "neurons"))
"""Models and dictionaries."""
QUICK: Final = Plan(neurons=300, singles=12, pairs=12, shares=(0.0, 0.01, 0.1, 0.5, 1.0))
TOGETHER: Final = 8
"""Prompts after which compiled programs are let go."""
Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two prompts a model, fewer tests")
    parser.add_argument("--redraw", action="store_true", help="only the page and figure, from the .json")
    parser.add_argument("--to", type=Path, default=REPORTS, help="where to write")
    options = parser.parse_args()
    options.to.mkdir(exist_ok=True, parents=True)
    file = options.to / "faithfulness.json"
    if not options.redraw:
        file.write_text(packed(measured(quick=options.quick)))
    results = json.loads(file.read_text())
    text = page(results)
    (options.to / "faithfulness.md").write_text(text)
    figure(results).savefig(options.to / "faithfulness.svg", metadata={"Date": None}, dpi=150)
    print(text)


def measured(*, quick: bool) -> Row:
    """Gives all measurements as one JSON-compatible record."""
    start, plan = time.process_time(), QUICK if quick else Plan()
    bases = []
    for spec, kind in BASES:
        model = load_model(spec)
        dictionary = load_dictionary(kind, model)
        kept = [task for task in TASKS[spec] if answered(model, task)]
        rows = []
        for seed, task in enumerate(kept[:: len(kept) - 1] if quick else kept):
            rows.append(studied(model, dictionary, task, plan, seed))
            print(f"{spec} {kind}: {task.text} ({rows[-1]['cpu seconds']} s)", flush=True)
            if seed % TOGETHER == TOGETHER - 1:
                # every graph adds programs of its own: those of all together fill the memory
                jax.clear_caches()  # type: ignore[no-untyped-call]
        bases.append(
            {
                "model": spec,
                "dictionary": "transcoders" if dictionary.kind == "transcoder" else dictionary.kind,
                "layers": model.n_layers,
                "tried": len(TASKS[spec]),
                "dropped": [task.text for task in TASKS[spec] if task not in kept],
                "prompts": rows,
            }
        )
    return {
        "shares": plan.shares,
        "neurons": plan.neurons,
        "tolerance": TOLERANCE,
        "texts": len(TEXTS),
        "bases": bases,
        "cpu seconds": round(time.process_time() - start),
    }


def packed(results: Row) -> str:
    """Gives the record as JSON, a prompt a line, numbers of four digits; tests of seven, which agree."""
    whole = _short(results)
    for base, full in zip(whole["bases"], results["bases"], strict=True):
        for row, prompt in zip(base["prompts"], full["prompts"], strict=True):
            row["tests"] = [[float(f"{value:.7g}") for value in test] for test in prompt["tests"]]
    prompts = [base.pop("prompts") for base in whole["bases"]]
    text = json.dumps(whole | {"bases": [base | {"prompts": None} for base in whole["bases"]]}, indent=1)
    for rows in prompts:
        lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        text = text.replace('"prompts": null', f'"prompts": [\n{lines}\n]', 1)
    return text + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_short(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    main()
