"""One measurement of `scaling.py`, in a process of its own: what rows of a trace cost. Prints JSON.

python analysis/scaling_rows.py TRACE --cores 1 --stride 1
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from circuits.engine.attribute import cpu_workers
from circuits.engine.cache import use_compilation_cache
from circuits.engine.cost import chunk_flops
from circuits.engine.edges import Edges, EdgeStore
from circuits.engine.plan import Chunk, plan
from circuits.engine.rows import Engine, RowBatch
from circuits.trace import Trace
from circuits.trace_io import load_trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trace", type=Path)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--stride", type=int, default=1, help="rows of every so many-th layer")
    parser.add_argument("--layer", type=int, help="rows of this layer only")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.sched_setaffinity(0, set(range(options.cores)))
    use_compilation_cache()
    trace = load_trace(options.trace)
    chunks = chosen_chunks(trace, options.stride, options.layer)
    engine = Engine(trace, workers=cpu_workers(options.cores))
    before = matmul_rate()
    compile_seconds = first_calls(engine, chunks)
    runs = [timed(engine, chunks) for _ in range(options.repeats)]
    rate = statistics.median([before, matmul_rate()])
    seconds = statistics.median(run["seconds"] for run in runs)
    computed = statistics.median(run["computed"] for run in runs)
    rows = sum(len(chunk.members) for chunk in chunks)
    operations = sum(chunk_flops(c, engine.operators[0].cut(c.positions)) for c in chunks)
    print(
        json.dumps(
            {
                "rows": rows,
                "active": int((trace.features.activation != 0).sum()),
                "tokens": trace.n_positions,
                "cores": options.cores,
                "ms_per_row": 1e3 * seconds / rows,
                "ms_per_row_computed": 1e3 * computed / rows,
                "ms_per_row_runs": [1e3 * run["seconds"] / rows for run in runs],
                "edges_per_row": runs[0]["edges"] / rows,
                "mflop_per_row": operations / rows / 1e6,
                "gflops": operations / computed / 1e9,
                "matmul_gflops": rate,
                "share_of_matmul": operations / computed / 1e9 / rate,
                "share_of_matmul_with_edges": operations / seconds / 1e9 / rate,
                "compile_seconds": compile_seconds,
                "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
            }
        )
    )


def chosen_chunks(trace: Trace, stride: int, layer: int | None) -> list[Chunk]:
    """Gives the chunks of all features, of those in every stride-th layer, or of one layer."""
    at = trace.features.layer
    kept = at == layer if layer is not None else at % stride == stride // 2
    members = np.flatnonzero(kept)
    return plan(at[members], trace.features.position[members], members)


def matmul_rate(size: int = 1024, repeats: int = 15) -> float:
    """Gives GFLOP/s of a float32 matmul on the cores of this process, the median of some products."""
    product = jax.jit(lambda a, b: a @ b)
    a = jnp.asarray(np.random.default_rng(0).standard_normal((size, size)), jnp.float32)
    product(a, a).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(a, a).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(seconds) / 1e9


def first_calls(engine: Engine, chunks: list[Chunk]) -> float:
    """Gives the seconds that first calls of every shape take beyond a second one: compile or cache."""
    extra = 0.0
    for shape in sorted({(chunk.positions, chunk.size) for chunk in chunks}):
        chunk = min((c for c in chunks if (c.positions, c.size) == shape), key=lambda c: c.layer)
        taken = []
        for _ in range(2):
            start = time.perf_counter()
            list(engine.stream([chunk], ready))
            taken.append(time.perf_counter() - start)
        extra += taken[0] - taken[1]
    return extra


def timed(engine: Engine, chunks: list[Chunk]) -> dict[str, Any]:
    """Gives the wall time of all rows: computed only, and with the edges worth keeping kept."""
    start = time.perf_counter()
    for _ in engine.stream(chunks, ready):
        pass
    computed = time.perf_counter() - start
    store = EdgeStore(engine.trace, engine.where, engine.sources, Edges())
    start = time.perf_counter()
    for kept in engine.stream(chunks, store.keep):
        store.add(kept)
    seconds = time.perf_counter() - start
    return {"computed": computed, "seconds": seconds, "edges": sum(map(len, store.source))}


def ready(batch: RowBatch) -> int:
    """Waits for the last of a batch's effects."""
    batch.effects.inputs.block_until_ready()
    return len(batch.chunk.members)


if __name__ == "__main__":
    main()
