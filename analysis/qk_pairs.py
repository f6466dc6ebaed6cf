"""How much faster are the largest query × key products found than by computing all of them?

Sets of 4,000 × 4,000 vectors whose norms are log-normal, and what SmolLM2's sources contribute to real
scores. The other way is a float32 product of everything and NumPy's `argpartition`; pairs and values
must be equal. Writes `reports/qk_pairs.md` and `.json`::

    python analysis/qk_pairs.py               # under a minute, one core
    python analysis/qk_pairs.py --no-model    # without SmolLM2
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from circuits.engine.qk.topk import Pairs, top_pairs

REPORTS = Path(__file__).parent.parent / "reports"
Array = np.ndarray
Row = dict[str, Any]
Result = TypeVar("Result")
TOP, COUNT, WIDTH, RUNS = 100, 4000, 64, 5
PROMPT = "The capital of France is"
SPREADS = (0.0, 0.5, 1.0, 1.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-model", action="store_true", help="leave SmolLM2 out")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cases = [(f"log-normal norms, σ = {s:g}", *random_sets(s)) for s in SPREADS]
    cases += [] if options.no_model else list(real_sets())
    rows = [compared(*case) for case in cases]
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "qk_pairs.json").write_text(
        json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}, indent=1) + "\n"
    )
    (REPORTS / "qk_pairs.md").write_text(page(rows))
    print(page(rows))


def random_sets(sigma: float) -> tuple[Array, Array]:
    """Gives two sets of directions at random with norms e^(σ·normal)."""
    rng = np.random.default_rng(0)

    def one() -> Array:
        directions = rng.normal(size=(COUNT, WIDTH))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return (directions * np.exp(sigma * rng.normal(size=(COUNT, 1)))).astype(np.float32)

    return one(), one()


def real_sets() -> Iterator[tuple[str, Array, Array]]:
    """Gives what the 4,000 strongest neurons of SmolLM2, its tokens and errors give to two scores."""
    from circuits import Extraction, Prompt, extract, load_dictionary, load_model
    from circuits.engine.qk.game import ends_of
    from circuits.engine.qk.places import parse_place
    from circuits.engine.qk.scores import contributions
    from circuits.engine.rows import Engine

    model = load_model("smollm2")
    prompt = Prompt.of(PROMPT, model)
    trace = extract(model, load_dictionary("neurons", model), prompt, Extraction(labels=False, scores=True))
    engine = Engine(trace)
    for place in map(parse_place, ("19.1@4,3", "29.1@4,3")):
        ends = ends_of(trace, place)
        found = contributions(engine, ends)
        query, key = (found[end] for end in ends)
        yield f"SmolLM2, {place.target}", query, key


def compared(name: str, u: Array, w: Array) -> Row:
    """Gives medians of both ways, and whether they found the same."""
    dense_time, dense = timed(lambda: all_products(u, w))
    product_time, _ = timed(lambda: u @ w.T)
    own_time, own = timed(lambda: top_pairs(u, w, TOP))
    return {
        "case": name,
        "vectors": f"{len(u)} × {len(w)}",
        "product alone, ms": 1e3 * product_time,
        "all products, ms": 1e3 * dense_time,
        "top_pairs, ms": 1e3 * own_time,
        "times faster": dense_time / own_time,
        "same pairs": set(zip(*dense, strict=True))
        == set(zip(own.row.tolist(), own.column.tolist(), strict=True)),
        "largest difference": difference(u, w, own),
    }


def all_products(u: Array, w: Array) -> tuple[list[int], list[int]]:
    """Gives rows and columns of the largest products, from all of them."""
    size = np.abs(u @ w.T).ravel()
    rows, columns = np.divmod(np.argpartition(size, len(size) - TOP)[-TOP:], len(w))
    return rows.tolist(), columns.tolist()


def difference(u: Array, w: Array, own: Pairs) -> float:
    """Gives the largest difference, relative to the largest, from the float64 products in order."""
    exact = np.sort(np.abs(u.astype(np.float64) @ w.astype(np.float64).T).ravel())[::-1][:TOP]
    return float(np.abs(np.abs(own.value) - exact).max() / exact[0])


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Gives the median time of RUNS runs, and the result."""
    seconds, results = [], []
    for _ in range(RUNS):
        start = time.perf_counter()
        results.append(work())
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), results[-1]


def page(rows: list[Row]) -> str:
    """Gives the report."""
    measures = ("product alone, ms", "all products, ms", "top_pairs, ms", "times faster")
    lines = [
        [
            *(r["case"], r["vectors"]),
            *(f"{r[m]:.1f}" for m in measures),
            *("yes" if r["same pairs"] else "NO", f"{r['largest difference']:.0e}"),
        ]
        for r in rows
    ]
    heads = ["vectors", "how many", "the product alone, ms", "product and partition, ms", "`top_pairs`, ms"]
    heads += ["times faster", "same pairs", "largest difference"]
    table = "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])
    return f"""# The largest query × key products

The {TOP} largest |u · w| of two sets of vectors of {WIDTH} numbers, medians of {RUNS} runs on one core.
`top_pairs` sorts by norm and stops where Cauchy–Schwarz shows that nothing larger is left; the other way
computes every product (float32) and partitions them. The more the norms differ, the more is left out;
where all norms are equal there is nothing to leave out. Of real sources most products are 0 (what comes
after the key gives it nothing), and partitioning so many equal numbers can be slow.

{table}

*Same pairs*: as those of the float32 products. *Largest difference*: of the values from float64 products,
relative to the largest. `python analysis/qk_pairs.py` makes this page.
"""


if __name__ == "__main__":
    main()
