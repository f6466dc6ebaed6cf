"""How long do questions take on large graphs, and how long the same in networkx?

Random attribution graphs (layers of ReLU features, normal weights), one core, wall seconds, median of
three runs after one to warm up; networkx answers the same question on a graph it already holds, once, given
up after two minutes. A graph without cycles of 1,400 nodes can have 979,300 edges and no more, so `why` and
`paths` are timed on that and on the smallest round graph of 2 million. Writes `reports/query_speed.md` and
`.json`::

    python analysis/query_speed.py        # about ten minutes, most of it networkx
"""

from __future__ import annotations

import itertools
import json
import math
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import polars as pl
from jaxtyping import Float, Int

import circuits
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised
from circuits.query.cuts import Problem
from circuits.query.ends import Ends
from circuits.schema import NODE_SCHEMA, feature_name

REPORTS = Path(__file__).parent.parent / "reports"
SIZES = ((1_400, 979_300), (2_100, 2_000_000))
CUT = (10_000, 100_000)
LAYERS, TOKENS, REPEATS, PATIENCE = 24, 12, 3, 120


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rows = [*itertools.chain.from_iterable(first_order(*size) for size in SIZES), *cuts(*CUT)]
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "query_speed.json").write_text(json.dumps(rows, indent=1) + "\n")
    (REPORTS / "query_speed.md").write_text(page(rows))
    sys.stdout.write(page(rows))


def network(nodes: int, edges: int, seed: int = 0) -> Graph:
    """Gives a graph of that size: tokens, features in layers, one output; edges drawn among all later pairs.

    Where more are asked for than layers allow, a node reads all before it, its own layer too.
    """
    dice = np.random.default_rng(seed)
    source, target = _ends(dice, nodes, edges)
    strength = dice.normal(size=len(source)) / np.bincount(target, minlength=nodes)[target] ** 0.5
    activation, z = np.ones(nodes), np.zeros(nodes)
    pointer = np.searchsorted(target, np.arange(nodes + 1))
    for row in range(TOKENS, nodes):
        into = slice(pointer[row], pointer[row + 1])
        z[row] = strength[into] @ activation[source[into]] + 2.0
        activation[row] = z[row] if row == nodes - 1 else max(z[row], 0.0)
    layer = (np.arange(nodes) - TOKENS) * LAYERS // (nodes - TOKENS)
    blank = dict.fromkeys(NODE_SCHEMA, None) | {"truncated": 0.0, "target_weight": 0.0, "expanded": True}
    rows = []
    for row in range(nodes):
        more: dict[str, Any] = {"node": f"tok@{row}", "kind": "token", "pos": row, "expanded": False}
        if row >= TOKENS:
            at = int(layer[row])
            more = {
                "node": feature_name(at, row, row % TOKENS),
                "kind": "feature",
                "layer": at,
                "gate": "relu",
            }
            more |= {"pos": row % TOKENS, "feature": row, "pre_activation": z[row]}
        if row == nodes - 1:
            more = {"node": "logit:out", "kind": "logit", "pre_activation": z[row], "target_weight": 1.0}
        rows.append(blank | {"activation": activation[row]} | more)
    values = (strength * activation[source]).astype(np.float32), strength.astype(np.float32)
    return Graph.of(pl.DataFrame(rows, schema=NODE_SCHEMA), (source, target), values)


def _ends(
    dice: np.random.Generator, nodes: int, edges: int
) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
    """Gives source and target rows, by target, of edges drawn without replacement."""
    all_pairs = nodes * (nodes - 1) // 2
    drawn = np.sort(dice.choice(all_pairs, min(edges, all_pairs), replace=False))
    target = ((1 + np.sqrt(1 + 8.0 * drawn)) / 2).astype(np.int64)  # pair k of target t: t(t − 1)/2 + source
    target -= target * (target - 1) // 2 > drawn
    source = drawn - target * (target - 1) // 2
    kept = (target >= TOKENS) & (target < nodes - 1)  # tokens read nothing, the output a fifth of all
    read = np.sort(dice.choice(nodes - 1, nodes // 5, replace=False))
    source, target = np.append(source[kept], read), np.append(target[kept], np.full(len(read), nodes - 1))
    return source.astype(np.int32), target.astype(np.int32)


def first_order(nodes: int, edges: int) -> list[dict[str, Any]]:
    """Gives the rows of `why` and `paths` on one graph."""
    graph = network(nodes, edges)
    net = as_networkx(graph)
    size = {"nodes": len(graph.nodes), "edges": len(graph.edges)}
    questions: list[tuple[str, Callable[[], object], Callable[[], object] | None, str]] = [
        ("why", lambda: circuits.why(graph), lambda: influence_by_networkx(net), "the influence alone"),
        (
            "the 20 strongest paths, exact",
            lambda: circuits.paths(graph, k=20),
            lambda: paths_by_networkx(net, 20),
            "shortest_simple_paths on −log share",
        ),
        (
            "the 20 strongest through layers 10 to 12, from one word",
            lambda: circuits.paths(graph, sources="tok@0", through=(10, 12), k=20),
            None,
            "has no such search",
        ),
    ]
    return [timed(*question) | size for question in questions]


def cuts(nodes: int, edges: int) -> list[dict[str, Any]]:
    """Gives the rows of cuts on one graph, every edge between words and output in the network.

    networkx cuts the same network, made for it beforehand; it goes first, as JAX forbids forks later.
    """
    graph = network(nodes, edges)
    size = {"nodes": len(graph.nodes), "edges": len(graph.edges)}
    rows, asked = [], list(itertools.product(("count", "flow"), ("nodes", "edges")))
    for cost, by in asked:
        problem = Problem.of(Ends.of(graph, None, "words"), by, 1.0)
        net = flow_network(problem, cost)

        def alone(problem: Problem = problem, cost: str = cost) -> object:
            return problem.cheapest(cost)

        def theirs(net: nx.DiGraph[Any] = net) -> object:
            return nx.minimum_cut(net, "source", "sink")

        how = f"minimum_cut, of the {len(problem.flow):,} edges between"
        rows.append(timed(f"cheapest {by} by {cost}, the cut alone", alone, theirs, how) | size)
    for cost, by in asked:

        def whole(by: str = by, cost: str = cost) -> object:
            return circuits.cuts(graph, by=by, cost=cost, share=1)

        rows.append(timed(f"cheapest {by} by {cost}, the whole answer", whole, None, "") | size)
    return rows


def timed(
    question: str, ours: Callable[[], object], theirs: Callable[[], object] | None, how: str
) -> dict[str, Any]:
    """Gives the seconds either needs for a question."""
    other = None if theirs is None else patient(theirs)
    first = _seconds(ours)
    seconds = [_seconds(ours) for _ in range(REPEATS)]
    row = {"question": question, "circuits": statistics.median(seconds), "first": first}
    row |= {"networkx": other, "networkx by": how}
    sys.stderr.write(f"{row}\n")
    return row


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def patient(call: Callable[[], object]) -> float | None:
    """Gives the seconds of one call in a process of its own; infinity where it takes too long."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=lambda: send.send(_seconds(call)))
    process.start()
    took = receive.recv() if receive.poll(PATIENCE) else math.inf
    process.kill()
    process.join()
    return float(took)


def as_networkx(graph: Graph) -> nx.DiGraph[Any]:
    """Gives the graph with −log share on its edges, and a source before all words."""
    shares = normalised(graph).tocoo()
    net: nx.DiGraph[Any] = nx.DiGraph()
    net.add_nodes_from(range(len(graph.nodes)))
    kept = shares.data > 0
    pairs = zip(
        shares.col[kept].tolist(),
        shares.row[kept].tolist(),
        (-np.log(shares.data[kept])).tolist(),
        strict=True,
    )
    net.add_weighted_edges_from(pairs)
    net.add_weighted_edges_from(("source", row, 0.0) for row in range(TOKENS))
    return net


def influence_by_networkx(net: nx.DiGraph[Any]) -> dict[object, float]:
    """Gives the influence on the last node, by one pass over the edges in topological order."""
    order = list(nx.topological_sort(net))
    arriving = dict.fromkeys(order, 0.0)
    arriving[max(node for node in order if node != "source")] = 1.0
    for node in reversed(order):
        for after, edge in net[node].items():
            arriving[node] += arriving[after] * math.exp(-edge["weight"])
    return arriving


def paths_by_networkx(net: nx.DiGraph[Any], k: int) -> list[list[object]]:
    """Gives the k strongest paths as the shortest ones (Yen 1971)."""
    last = max(node for node in net if node != "source")
    return list(itertools.islice(nx.shortest_simple_paths(net, "source", last, weight="weight"), k))


def flow_network(problem: Problem, cost: str) -> nx.DiGraph[Any]:
    """Gives a cut's network as networkx takes it: nodes split where they are cut, no capacity: infinite."""
    net: nx.DiGraph[Any] = nx.DiGraph()
    tail, head = problem.edges
    prices: Float[np.ndarray, "k"] = problem.flow if problem.by == "edges" else problem.influence
    ends = problem.between.sources | (problem.ends.weights > 0)
    for at, (s, t) in enumerate(zip(tail.tolist(), head.tolist(), strict=True)):
        if problem.by == "edges":
            net.add_edge(s, t, capacity=1.0 if cost == "count" else float(prices[at]))
        else:
            net.add_edge((s, "out"), (t, "in"))
    if problem.by == "nodes":
        for node in {*tail.tolist(), *head.tolist()}:
            price = {} if ends[node] else {"capacity": 1.0 if cost == "count" else float(prices[node])}
            net.add_edge((node, "in"), (node, "out"), **price)
    for row in np.flatnonzero(problem.between.sources).tolist():
        net.add_edge("source", row if problem.by == "edges" else (row, "in"))
    for row in np.flatnonzero(problem.ends.weights).tolist():
        net.add_edge(row if problem.by == "edges" else (row, "out"), "sink")
    return net


def page(rows: list[dict[str, Any]]) -> str:
    """Gives the report."""
    machine = f"{platform.machine()}, Python {platform.python_version()}, networkx {nx.__version__}"
    head = (
        f"# How long questions take\n\nRandom attribution graphs, one core ({machine}), wall seconds,"
        f" median of {REPEATS}; networkx once, on a graph it already holds, given up after {PATIENCE} s."
        " Every answer is whole: sentences, tables, the highlighted part, and for cuts what the graph"
        " predicts. A graph without cycles of 1,400 nodes has 979,300 edges at most. The first time, JAX"
        " compiles.\n\n"
    )
    table = ["| question | nodes | edges | circuits | first time | networkx | networkx does |"]
    table.append("|---|---:|---:|---:|---:|---:|---|")
    for row in rows:
        other = row["networkx"]
        theirs = "—" if other is None else f"> {PATIENCE} s" if other == math.inf else f"{other:.2g} s"
        counts = f"{row['nodes']:,} | {row['edges']:,}"
        ours = f"{row['circuits']:.2g} s | {row['first']:.2g} s"
        table.append(f"| {row['question']} | {counts} | {ours} | {theirs} | {row['networkx by']} |")
    return head + "\n".join(table) + "\n\n`python analysis/query_speed.py` writes this page.\n"


if __name__ == "__main__":
    main()
