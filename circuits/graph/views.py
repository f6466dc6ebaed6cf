"""A graph as other libraries hold graphs: networkx for small ones, SciPy for all."""

from __future__ import annotations

from typing import Any, cast

import networkx as nx
import scipy.sparse as sp

from circuits.graph.graph import Graph


def to_networkx(graph: Graph) -> nx.DiGraph[str]:
    """Gives a networkx graph: node names as nodes, in topological order, all columns as attributes.

    Edges carry `weight` and `strength` as floats. Graph attributes: the entries of `meta`, and
    `hyperedges`, a list of one dictionary an interaction. Meant for pruned graphs: networkx needs
    about 1 kB an edge.

    Args:
        graph: any graph.
    """
    drawn: nx.DiGraph[str] = nx.DiGraph(**{**graph.meta, "hyperedges": graph.hyperedges.to_dicts()})
    names = graph.nodes["node"].to_list()
    columns = graph.nodes.drop("node").to_dicts()
    drawn.add_nodes_from(zip(names, columns, strict=True))
    ends = (graph.edges[end].cast(str).to_list() for end in ("source", "target"))
    values = graph.edges.select("weight", "strength").to_dicts()
    drawn.add_edges_from(cast("Any", zip(*ends, values, strict=True)))
    return drawn


def to_scipy(graph: Graph, values: str = "weight") -> sp.csr_array:
    """Gives the edges as a sparse matrix: row = target, column = source, in the node table's order.

    Args:
        graph: any graph.
        values: the edge column to fill in, `weight` or `strength`.

    Returns:
        CSR, strictly lower triangular, a copy of the caller's own. Edges of weight 0 are stored too.
    """
    source, target = graph.ends
    size = len(graph.nodes)
    return sp.csr_array((graph.edges[values].to_numpy(), (target, source)), shape=(size, size))
