"""How many coalitions a second does `graph.run` evaluate, and in how much memory?

On a random graph of 1,000 nodes and 100,000 edges (20 layers of JumpReLU features, float32), one core, each
batch size in a process of its own, CPU seconds, median of five runs of 20,000 coalitions; writes
`reports/run_speed.md` and `.json`::

    python analysis/run_speed.py        # under a minute
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from circuits.graph.graph import Graph
from circuits.graph.run import Runner
from circuits.schema import NODE_SCHEMA, feature_name

REPORTS = Path(__file__).parent.parent / "reports"
LAYERS, FEATURES, TOKENS, EDGES = 20, 48, 39, 100_000
BATCHES = (64, 256, 1024, 4096)
COALITIONS, REPEATS, PLAYERS = 20_000, 5, 16


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measured(int(sys.argv[1]))))
        return
    rows = []
    for batch in BATCHES:
        command = [sys.executable, __file__, str(batch)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "run_speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    (REPORTS / "run_speed.md").write_text(page(rows))
    print(page(rows))


def network(seed: int = 0) -> Graph:
    """Gives the graph: every feature reads about a fifth of all tokens and of the features before it."""
    dice = np.random.default_rng(seed)
    layer = np.concatenate([np.full(TOKENS, -1), np.repeat(np.arange(LAYERS), FEATURES), [LAYERS]])
    size = len(layer)
    target, source = np.nonzero(layer[:, None] > layer[None, :])
    kept = np.sort(dice.permutation(len(target))[:EDGES])
    source, target = source[kept].astype(np.int32), target[kept].astype(np.int32)
    strength = dice.normal(size=EDGES) / np.bincount(target, minlength=size)[target] ** 0.5
    activation, z = np.ones(size), np.zeros(size)
    for row in range(TOKENS, size):
        into = target == row
        z[row] = (strength[into] * activation[source[into]]).sum()
        activation[row] = z[row] if row == size - 1 or z[row] > 0.1 else 0.0
    blank = dict.fromkeys(NODE_SCHEMA, None) | {"truncated": 0.0}
    rows = []
    for row, at in enumerate(layer.tolist()):
        name, more = f"tok@{row}", {"kind": "token", "expanded": False, "target_weight": 0.0}
        if at >= 0:
            more |= {"kind": "logit", "expanded": True, "target_weight": 1.0, "pre_activation": z[row]}
            name = "logit:out"
        if 0 <= at < LAYERS:
            more |= {"kind": "feature", "target_weight": 0.0, "gate": "jumprelu", "threshold": 0.1}
            name = feature_name(at, row, 0)
        rows.append(blank | {"node": name, "activation": activation[row]} | more)
    nodes = pl.DataFrame(rows, schema=NODE_SCHEMA)
    values = (strength * activation[source]).astype(np.float32), strength.astype(np.float32)
    return Graph.of(nodes, (source, target), values)


def measured(batch: int) -> dict[str, Any]:
    """Gives coalitions a second on one core, and memory, for one batch size."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    graph = network()
    dice = np.random.default_rng(1)
    nodes = dice.random((COALITIONS, len(graph.nodes))) < 0.5
    players = dice.random((COALITIONS, PLAYERS)) < 0.5
    members = [[int(row)] for row in dice.permutation(len(graph.nodes) - 1)[:PLAYERS]]
    runner, few = Runner(graph, batch=batch), Runner(graph, batch=batch, players=members)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "batch": batch,
        "every node a player": rate(lambda: runner(nodes)),
        f"{PLAYERS} players": rate(lambda: few(players)),
        f"{PLAYERS} players, gates seen": rate(lambda: few.observe(players)),
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
    }


def rate(call: Callable[[], object]) -> float:
    """Gives coalitions a CPU second: the median of several runs, compiled before."""
    call()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return COALITIONS / statistics.median(seconds)


def page(rows: list[dict[str, Any]]) -> str:
    """Gives the report."""
    ways = [name for name in rows[0] if "player" in name]
    head = (
        f"# Coalitions a second under `graph.run`\n\n{rows[0]['nodes']:,} nodes, {rows[0]['edges']:,} edges, "
    )
    head += f"float32, one core ({rows[0]['machine']}), CPU seconds, "
    head += f"median of {REPEATS}; memory beyond the graph's own.\n\n"
    table = ["| batch | " + " | ".join(ways) + " | memory |", "|" + "---:|" * (len(ways) + 2)]
    for row in rows:
        rates = " | ".join(f"{row[way]:,.0f}" for way in ways)
        table.append(f"| {row['batch']:,} | {rates} | {row['memory_mb']:,.0f} MB |")
    made = "\n\n`python analysis/run_speed.py` writes this page.\n"
    return head + "\n".join(table) + made


if __name__ == "__main__":
    main()
