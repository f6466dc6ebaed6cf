"""How long do 256 interventions on SmolLM2 take, held and free, beside the model's own forward passes?

Twelve tokens, all cores torch takes by itself, wall seconds, median of three; writes
`reports/intervention_speed.md` and `.json`::

    python analysis/intervention_speed.py       # about two minutes
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from circuits.dictionaries.load import load_dictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.extraction.extract import Extraction, extract
from circuits.graph.actions import Intervention, ablate, scale
from circuits.intervene.hold import FREE, FROZEN
from circuits.intervene.session import Session
from circuits.models.load import load_model
from circuits.prompt import Prompt

REPORTS = Path(__file__).parent.parent / "reports"
PROMPT = "The big city of Paris is the capital of the country called"
COUNT, REPEATS, BATCH = 256, 3, 32


def main() -> None:
    model = load_model("smollm2")
    neurons = load_dictionary("neurons", model)
    prompt = Prompt.of(PROMPT, model)
    trace = extract(model, neurons, prompt, Extraction(labels=False))
    graph = attribute(trace, (Edges(max_features=300),))
    session = Session.of(model, neurons, graph)
    rows = []
    for name, done in interventions(graph.nodes, len(prompt)).items():
        for hold in (FROZEN, FREE):
            flops = session.run(done, hold).flops
            seconds = median(lambda done=done, hold=hold: session.run(done, hold))  # type: ignore[misc]
            rows.append({"done": name, "held": str(hold), "seconds": seconds, "flops": flops})
    ids = torch.tensor([prompt.ids] * BATCH)
    module: Any = model.module

    @torch.no_grad()
    def passes() -> None:
        for _ in range(COUNT // BATCH):
            module(ids, use_cache=False)

    rows.append({"done": "nothing: the module's own passes", "held": "", "seconds": median(passes)})
    found = {"tokens": len(prompt), "interventions": COUNT, "threads": torch.get_num_threads(), "rows": rows}
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "intervention_speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (REPORTS / "intervention_speed.md").write_text(page(found))
    print(page(found))


def interventions(nodes: pl.DataFrame, n_tokens: int) -> dict[str, list[Intervention]]:
    """Gives single features off, the most influential first, and all words scaled at random."""
    features = nodes.filter(pl.col("kind") == "feature")
    best = features.sort("influence", descending=True, nulls_last=True)["node"].head(COUNT).to_list()
    dice = np.random.default_rng(0)
    factors = dice.uniform(0.2, 2.0, (COUNT, n_tokens))
    words = [
        Intervention(str(i), scale({f"tok@{at}": float(factor) for at, factor in enumerate(row)}))
        for i, row in enumerate(factors)
    ]
    return {"one feature off": [ablate([node]) for node in best], "every word scaled": words}


def median(call: Callable[[], object]) -> float:
    """Gives the median of the wall seconds of several runs."""
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def page(found: dict[str, Any]) -> str:
    """Gives the report."""
    machine = f"{platform.machine()}, {found['threads']} threads, torch {torch.__version__}"
    head = (
        f"# How long interventions take\n\n{found['interventions']} interventions on SmolLM2-135M,"
        f" {found['tokens']} tokens ({machine}), wall seconds, median of {REPEATS}. An intervention costs"
        " what lies after its first place and layer; logits are computed at the last position. The last line"
        " is the module of the transformers library on as many prompts, nothing done, logits at every"
        " position.\n\n"
    )
    lines = ["| done | held | seconds | GFLOP | GFLOP/s |", "|---|---|---:|---:|---:|"]
    for row in found["rows"]:
        flops = row.get("flops")
        rate = f"{flops / 1e9:.0f} | {flops / 1e9 / row['seconds']:.0f}" if flops else "– | –"
        lines.append(f"| {row['done']} | {row['held']} | {row['seconds']:.2f} | {rate} |")
    return head + "\n".join(lines) + "\n\n`python analysis/intervention_speed.py` writes this page.\n"


if __name__ == "__main__":
    main()
