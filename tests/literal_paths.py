"""Paths between sets of nodes, one by one, by networkx and the edge table alone."""

from __future__ import annotations

import itertools
from collections.abc import Set as AbstractSet

import networkx as nx
import numpy as np
import polars as pl

from circuits.graph.graph import Graph

Shared = tuple[float, tuple[str, ...]]


def shares_network(graph: Graph) -> nx.DiGraph:
    """The graph without constants, each edge with its share of the target's incoming |weight|."""
    kinds = dict(graph.nodes.select("node", pl.col("kind").cast(pl.String)).iter_rows())
    truncated = dict(graph.nodes.select("node", "truncated").iter_rows())
    net = nx.DiGraph()
    net.add_nodes_from(kinds)
    for source, end, weight, _ in graph.edges.iter_rows():
        if kinds[source] not in ("bias", "rest") and weight != 0:
            net.add_edge(source, end, size=abs(float(weight)), weight=float(weight))
    for node in net:
        total = truncated[node] + sum(d["size"] for *_, d in net.in_edges(node, data=True))
        for *_, d in net.in_edges(node, data=True):
            d["share"] = d["size"] / total
    return net


def paths_between(
    graph: Graph,
    sources: AbstractSet[str],
    targets: dict[str, float],
    inside: AbstractSet[str] | None = None,
) -> list[Shared]:
    """All paths from the sources to the targets that meet neither set in between, strongest first.

    With `inside` those alone that have one of its nodes, the last node aside.
    """
    net, found = shares_network(graph), []
    for start, end in itertools.product(sources - set(targets), targets):
        for nodes in nx.all_simple_paths(net, start, end):
            if set(nodes[1:-1]) & (sources | set(targets)):
                continue
            if inside is not None and not set(nodes[:-1]) & inside:
                continue
            share = np.prod([net[a][b]["share"] for a, b in itertools.pairwise(nodes)])
            found.append((float(share * targets[end]), tuple(nodes)))
    return sorted(found, key=lambda pair: -pair[0])
