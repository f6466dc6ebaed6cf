"""How fast is a training step, and how near to what its encoder's product alone would take?

One thread, seeded Gaussian activations of width 256, k = 32, 4,096 tokens a step, at 8, 32 and 100 times the
width; CPU seconds, medians. The limit is the float32 product of the tokens with the encoder and nothing
else, measured in the same process. Writes `reports/training_speed.md` and `.json`::

    python analysis/training_speed.py            # about 3 minutes
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from circuits.training.coder import initial, project, renormalise, step
from circuits.training.kernels import encode_top_k
from circuits.training.settings import Training

REPORTS = Path(__file__).parent.parent / "reports"
WIDTH, K, TOKENS, REPEATS = 256, 32, 4096, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--expansions", type=int, nargs="+", default=[8, 32, 100])
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(expansion, half=half) for expansion in options.expansions for half in (False, True)]
    load = os.getloadavg()[0]
    machine = {"cpu": cpu(), "torch": torch.__version__, "load average at the end": round(load, 2)}
    (REPORTS / "training_speed.json").write_text(
        json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n"
    )
    text = page(machine, rows)
    (REPORTS / "training_speed.md").write_text(text)
    print(text)


def measure(expansion: int, *, half: bool) -> dict[str, float | str]:
    """Gives the numbers of one size of dictionary."""
    features = expansion * WIDTH
    settings = Training(
        kind="sae", features=features, k=K, batch=TOKENS, precision="bfloat16" if half else "float32"
    )
    torch.manual_seed(0)
    weights = initial(settings, 0, WIDTH, 1)
    optimiser = torch.optim.Adam(list(weights.parameters().values()), lr=1e-4, fused=True)
    x = torch.randn(TOKENS, WIDTH)

    def whole() -> None:
        step([weights], [x], [x], settings)
        project(weights)
        optimiser.step()
        renormalise(weights)

    def product() -> None:
        for part in torch.split(x, 256):
            torch.addmm(weights.encoder_bias, part, weights.encoder.T)

    def select() -> None:
        encode_top_k(x, weights.encoder, weights.encoder_bias, K, half=half)

    def update() -> None:
        optimiser.step()

    seconds = {name: cpu_seconds(f) for name, f in (("step", whole), ("product", product),
                                                    ("select", select), ("update", update))}  # fmt: skip
    return {
        "expansion": expansion,
        "precision": settings.precision,
        "tokens per core-second": round(TOKENS / seconds["step"]),
        "limit": round(TOKENS / seconds["product"]),
        "share of limit": round(seconds["product"] / seconds["step"], 3),
        "selecting": round(seconds["select"] / seconds["step"], 3),
        "optimiser": round(seconds["update"] / seconds["step"], 3),
    }


def cpu_seconds(action: Callable[[], None]) -> float:
    """Gives the median CPU time of an action, after one to warm up."""
    action()
    taken = []
    for _ in range(REPEATS):
        began = time.process_time()
        action()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def cpu() -> str:
    """Gives the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def page(machine: dict[str, object], rows: list[dict[str, float | str]]) -> str:
    """Gives the report."""
    head = list(rows[0])
    told = (
        f"`python analysis/training_speed.py`, one thread of {machine['cpu']}, torch {machine['torch']}, load"
        f" average {machine['load average at the end']} at the end. Width {WIDTH}, k = {K}, {TOKENS:,} tokens"
        f" a step; CPU seconds, medians of {REPEATS}. The limit is the float32 product of tokens and encoder"
        " alone; selecting and optimiser are their shares of the step, decoding and gradients the rest."
    )
    lines = [
        "# How fast a training step is",
        "",
        told,
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(str(row[name]) for name in head) + " |" for row in rows),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
