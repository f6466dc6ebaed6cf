"""The concept graph: a graph some of whose nodes are concepts, edges and interactions summed exactly.

Let R(t) be what arrives at t (`arriving`: its influence, its own target weight included), f(t) what flows
into t (`inflow`), and F(C) the share of the targets that passes through the concept C, every path counted
once (`through`). A concept is a node of kind `feature` without a feature number::

    weight(C → t) = Σ_s∈C weight(s → t)                                    t a node as before
    weight(u → C) = Σ_s∈C ω_s weight(u → s)       ω_s = sign(z_s) R(s) / (f(s) F(C))
    weight(C → D) = Σ_s∈C Σ_t∈D ω_t weight(s → t)

So what flows into nodes that are not grouped still sums to their pre-activations, and a concept's own
pre-activation, Σ ω_s z_s less what its members do to each other, is the sum of what flows into it. ω makes
|weight(u → C)| the part of C's influence that comes through u: the whole of what flows in is 1, as a share
of F(C). What opposing members cancel in a sum, what ends inside C (words, features not opened up) and what
was cut off is in `truncated`, so `normalised` never gives an edge more than flows along it. The column
`influence` holds F(C) itself and, for all others, what it was: nothing is lost to cancelling there.

The activation of a concept is its pre-activation, and strengths are weights over it, so that the graph runs:
with all on it gives the recorded values; with concepts off it gives what the graph gives with their members
off, as long as nothing that is switched off leads to a concept that stays on. Such a concept responds in
proportion to what flows into it, and not below 0 if none of its members' gates can: an approximation.

Members that are sources (words, errors, features not opened up) are a constant of their concept: an edge from
`bias:own`. So is what the members do to each other where without it less than a tenth would be left
(`OUTSIDE`). A dormant member contributes nothing and does not turn on.

Concepts that feed each other, or themselves through other nodes, are cut into stages: see
`circuits.graph.stages`. Two pieces of a concept x are named ``x (1 of 2)`` and ``x (2 of 2)``. Where concepts
of many layers take turns, that is many: with a `loss`, edges against the order of the concepts are summed
into `rest` first, and what they carried is told in ``meta["concept_graph"]["against"]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.concept_hyper import Merging, merged_heads, merged_hyperedges
from circuits.graph.concept_sums import Layout, cancelled, node_table, pieces_of, staged, summed_edges
from circuits.graph.concepts import Concept, concepts, known, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.prune import only as keep_only
from circuits.graph.stages import in_order
from circuits.schema import HYPEREDGE_SCHEMA


@dataclass(frozen=True, eq=False, repr=False)
class ConceptGraph(Graph):
    """A graph with concepts for nodes, and what it was made from.

    Attributes:
        whole: the graph it was made from; its `concept` column names the concepts.
        within: the hyperedges inside one concept, and those with no exact place between concepts, as they
            are in `whole`.
    """

    whole: Graph | None = None
    within: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=HYPEREDGE_SCHEMA))


def concept_graph(
    graph: Graph, given: Sequence[str | Concept] | None = None, *, only: bool = False, loss: float = 0.0
) -> ConceptGraph:
    """Gives the graph with each concept as one node; see the module for what its numbers mean.

    Args:
        graph: any graph.
        given: concepts, texts ``NAME=SPEC``, names of concepts the graph has; all that it has unless given.
        only: leave out features and errors that belong to no concept: they are summed into `rest`. With
            them, most concepts of several layers have to be cut, for something always leads out and back.
        loss: share of the targets' influence, at most, along edges that are summed into `rest` so that fewer
            concepts have to be cut: those that lead against the order of the concepts.

    Raises:
        UsageError: there are no concepts, or they overlap, or one has a target or the name of a node, or
            `loss` is no share.

    Example:
        >>> concept_graph(graph, ["texas=token:Dallas"])  # doctest: +SKIP
    """
    if not 0 <= loss <= 1:
        raise UsageError(f"loss {loss} is not a share: give a number between 0 and 1.")
    chosen = concepts(graph, known(graph) if given is None else given)
    if not chosen:
        raise UsageError("This graph has no concepts: name some (NAME=SPEC), or group it first.")
    taken = [one.name for one in chosen if one.name in graph.index]
    if taken:
        raise UsageError(f"Concept {taken[0]} bears the name of a node: choose another.")
    whole = with_concepts(graph, chosen)
    part = keep_only(whole, [node for one in chosen for node in one.nodes]) if only else whole
    part, cut, against = staged(part, chosen, loss)
    pieces = pieces_of(part, chosen, cut)
    at = Layout.of(part, pieces)
    edges = summed_edges(part, pieces, at)
    table = node_table(part, whole, pieces, at, edges)
    first = np.concatenate([at.alone, [int(piece.rows.min()) for piece in pieces], [-1]])[: at.size]
    order = in_order(edges.ends, first)
    row = np.argsort(order, kind="stable")
    ends = row[edges.ends[0]], row[edges.ends[1]]
    placed = Graph.of(table[order.tolist()], ends, (edges.weight, edges.strength))
    merging = Merging(
        {str(part.nodes["node"][r]): p.name for p in pieces for r in p.rows.tolist()},
        {
            str(part.nodes["node"][r]): float(w)
            for p in pieces
            for r, w in zip(p.rows.tolist(), p.scale, strict=True)
        },
    )
    hyperedges, within = merged_hyperedges(part.hyperedges, merging)
    said = {
        "pieces": {p.name: part.nodes["node"][p.rows.tolist()].to_list() for p in pieces},
        "of": {p.name: p.concept for p in pieces},
        "only": only,
        "against": against,
        "cancelled": cancelled(table, pieces, at, edges, part),
    }
    return ConceptGraph(
        placed.nodes,
        placed.edges,
        hyperedges,
        {**part.meta, "concept_graph": said},
        merged_heads(part.heads, merging),
        graph.verdicts,
        whole=whole,
        within=within,
    )


def ungroup(graph: Graph, whole: Graph | None = None) -> Graph:
    """Gives the graph a concept graph was made from, its concepts in the column `concept`.

    Args:
        graph: a concept graph.
        whole: what it was made from; needed where the concept graph was loaded from a file.

    Raises:
        UsageError: it is no concept graph, or what it was made from is not known.
    """
    said = graph.meta.get("concept_graph")
    if said is None:
        raise UsageError("This is no concept graph: there is nothing to ungroup.")
    found = graph.whole if isinstance(graph, ConceptGraph) and whole is None else whole
    if found is None:
        raise UsageError(
            "A concept graph from a file does not hold what it was made from: give it as `whole`."
        )
    members: dict[str, list[str]] = {}
    for piece, nodes in said["pieces"].items():
        members.setdefault(said["of"][piece], []).extend(nodes)
    return with_concepts(found, concepts(found, [Concept(n, tuple(who)) for n, who in members.items()]))
