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
`circuits.graph.stages`. Two pieces of a concept x are named ``x (1 of 2)`` and ``x (2 of 2)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.concept_hyper import Merging, merged_heads, merged_hyperedges
from circuits.graph.concepts import Concept, concepts, known, with_concepts
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, arriving, inflow, normalised, sums, through
from circuits.graph.prune import only as keep_only
from circuits.graph.stages import Ends, Rows, in_order, stages
from circuits.schema import HYPEREDGE_SCHEMA, NODE_SCHEMA

OUTSIDE: Final = 0.1
"""Share of a concept's activity that must come from outside for its members' own doings to be left out."""

ONE_SIDED: Final = ("relu", "jumprelu", "topk")
"""Gates that never give less than 0."""

CONSTANT: Final = "bias:own"


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


@dataclass(frozen=True, eq=False)
class Piece:
    """A concept, or a stage of one: its name, the concept's, its members' rows, F, members' ω, constant."""

    name: str
    concept: str
    rows: Rows
    passing: float
    scale: Float[np.ndarray, "_"]
    constant: float
    pre_activation: float

    @property
    def fed(self) -> bool:
        """Tells whether anything can flow into it: some member is no source."""
        return bool(self.scale.any())

    @property
    def activation(self) -> float:
        """Gives its activation: 1 for a concept of sources."""
        return self.pre_activation if self.fed else 1.0


def concept_graph(
    graph: Graph, given: Sequence[str | Concept] | None = None, *, only: bool = False
) -> ConceptGraph:
    """Gives the graph with each concept as one node; see the module for what its numbers mean.

    Args:
        graph: any graph.
        given: concepts, texts ``NAME=SPEC``, names of concepts the graph has; all that it has unless given.
        only: leave out features and errors that belong to no concept: they are summed into `rest`. With
            them, most concepts of several layers have to be cut, for something always leads out and back.

    Raises:
        UsageError: there are no concepts, or they overlap, or one has a target or the name of a node.

    Example:
        >>> concept_graph(graph, ["texas=token:Dallas"])  # doctest: +SKIP
    """
    chosen = concepts(graph, known(graph) if given is None else given)
    if not chosen:
        raise UsageError("This graph has no concepts: name some (NAME=SPEC), or group it first.")
    taken = [one.name for one in chosen if one.name in graph.index]
    if taken:
        raise UsageError(f"Concept {taken[0]} bears the name of a node: choose another.")
    whole = with_concepts(graph, chosen)
    part = keep_only(whole, [node for one in chosen for node in one.nodes]) if only else whole
    pieces = _pieces(part, chosen)
    at = _Layout.of(part, pieces)
    edges = _edges(part, pieces, at)
    table = _nodes(part, whole, pieces, at, edges)
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
        "cancelled": _cancelled(table, pieces, at, edges, part),
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


def _pieces(graph: Graph, chosen: Sequence[Concept]) -> list[Piece]:
    """Gives the concepts' stages, with all that their numbers follow from."""
    groups = [np.array([graph.row(node) for node in one.nodes], np.int64) for one in chosen]
    cut = stages(graph.ends, len(graph.nodes), groups)
    shares = normalised(graph)
    arrived, flowing = arriving(graph, shares), inflow(graph)
    found = []
    for one, parts in zip(chosen, cut, strict=True):
        for number, rows in enumerate(parts):
            name = one.name if len(parts) == 1 else f"{one.name} ({number + 1} of {len(parts)})"
            found.append(
                _piece(graph, (name, one.name), rows, through(graph, rows, shares), (arrived, flowing))
            )
    names = [piece.name for piece in found]
    twice = next((name for name in names if names.count(name) > 1 or name in graph.index), None)
    if twice is not None:
        raise UsageError(f"Two nodes of the concept graph would be called {twice}: rename a concept.")
    return found


def _piece(
    graph: Graph,
    names: tuple[str, str],
    rows: Rows,
    passing: float,
    flows: tuple[Float[np.ndarray, "N"], Float[np.ndarray, "N"]],
) -> Piece:
    arrived, flowing = (values[rows] for values in flows)
    # where nothing passes, the members count alike
    part = arrived / passing if passing > 0 else np.full(len(rows), 1 / len(rows))
    z = graph.nodes["pre_activation"].fill_null(0.0).to_numpy()[rows]
    fed = graph.nodes["expanded"].to_numpy()[rows] & (flowing > 0)
    scale = np.divide(part * np.where(z < 0, -1.0, 1.0), flowing, out=np.zeros_like(part), where=fed)
    sources = float(part[~fed].sum())
    inside = float((scale @ graph.matrix[rows].astype(np.float64))[rows].sum())
    whole = float(scale @ z) + sources
    if whole - inside >= OUTSIDE * whole:
        return Piece(*names, rows, passing, scale, sources, whole - inside)
    return Piece(*names, rows, passing, scale, sources + inside, whole)


@dataclass(frozen=True, eq=False)
class _Layout:
    """Where the rows of a graph go: `number` of each, the graph's blocks being numbered from 0.

    `alone` are the rows that stay nodes, whose numbers come first; then the pieces; then, where the graph has
    none, a node for constants. `scale` is what a weight into a row is multiplied by.
    """

    number: Int[np.ndarray, "N"]
    alone: Rows
    scale: Float[np.ndarray, "N"]
    constant: int
    size: int

    @classmethod
    def of(cls, graph: Graph, pieces: Sequence[Piece]) -> _Layout:
        grouped = np.full(len(graph.nodes), -1)
        scale = np.ones(len(graph.nodes))
        for place, piece in enumerate(pieces):
            grouped[piece.rows] = place
            scale[piece.rows] = piece.scale
        alone = np.flatnonzero(grouped < 0)
        number = grouped + len(alone)
        number[alone] = np.arange(len(alone))
        size = len(alone) + len(pieces)
        own = graph.index.get(CONSTANT)
        needed = own is None and any(piece.fed and piece.constant for piece in pieces)
        return cls(number, alone, scale, int(number[own]) if own is not None else size, size + needed)


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges between blocks: numbers of their ends, weights and strengths; gross: Σ |ω weight|."""

    ends: Ends
    weight: Float[np.ndarray, "e"]
    strength: Float[np.ndarray, "e"]
    gross: Float[np.ndarray, "e"]


def _edges(graph: Graph, pieces: Sequence[Piece], at: _Layout) -> _Edges:
    """Gives the summed edges, in float64."""
    source, target = graph.ends
    apart = at.number[source] != at.number[target]
    source, target = source[apart], target[apart]
    scaled = [graph.edges[c].to_numpy()[apart] * at.scale[target] for c in ("weight", "strength")]
    first = len(at.alone)
    fed = [place for place, piece in enumerate(pieces) if piece.fed and piece.constant]
    constants = np.array([pieces[place].constant for place in fed], np.float64)
    ends = np.concatenate([at.number[source], np.full(len(fed), at.constant)])
    into = np.concatenate([at.number[target], np.array(fed, np.int64) + first])
    pairs, group = np.unique(into * at.size + ends, return_inverse=True)

    def summed(values: Float[np.ndarray, "e"]) -> Float[np.ndarray, "p"]:
        return np.bincount(group, np.concatenate([values, constants]), len(pairs)).astype(np.float64)

    weight, strength, gross = summed(scaled[0]), summed(scaled[1]), summed(np.abs(scaled[0]))
    into, ends = np.divmod(pairs, at.size)
    activation = np.array([piece.activation for piece in pieces], np.float64)
    concept = (ends >= first) & (ends < first + len(pieces))
    own = activation[np.where(concept, ends - first, 0)] if len(pieces) else np.ones(len(ends))
    per_unit = np.divide(weight, own, out=np.zeros_like(weight), where=own != 0)
    strength = np.where(concept, per_unit, strength)
    # nothing flows into a concept of sources; a dormant source's edge has a strength only
    kept = (weight != 0) | (strength != 0) | (gross != 0) | ((ends < first) & (into < first))
    unfed = np.array([not piece.fed for piece in pieces], bool)
    closed = np.zeros(at.size, bool)
    closed[first : first + len(pieces)] = unfed
    kept &= ~closed[into]
    return _Edges((ends[kept], into[kept]), weight[kept], strength[kept], gross[kept])


def _nodes(graph: Graph, whole: Graph, pieces: Sequence[Piece], at: _Layout, edges: _Edges) -> pl.DataFrame:
    """Gives the rows of the nodes by number, each with what does not flow along an edge in `truncated`."""
    shares = normalised(whole)
    influence = arriving(whole, shares) - whole.nodes["target_weight"].to_numpy()
    rows = np.array([whole.index.get(node, -1) for node in graph.nodes["node"]])
    through_alone = np.where(rows >= 0, influence[rows], 0.0)[at.alone]
    alone = graph.nodes[at.alone.tolist()].with_columns(
        influence=pl.Series(through_alone), concept=pl.lit(None, pl.String)
    )
    made = []
    for piece in pieces:
        passing = piece.passing if whole is graph else through(whole, rows[piece.rows], shares)
        made.append(_node(graph, piece, passing))
    table: pl.DataFrame = pl.concat([alone, pl.DataFrame(made, schema=NODE_SCHEMA)])
    if at.size > len(table):
        blank = dict.fromkeys(NODE_SCHEMA, None)
        filled = {"kind": "bias", "activation": 1.0, "expanded": False, "influence": 0.0}
        row = blank | filled | {"node": CONSTANT, "truncated": 0.0, "target_weight": 0.0}
        table = pl.concat([table, pl.DataFrame([row], schema=NODE_SCHEMA)])
    counted = ~table["kind"].is_in(CONSTANTS).to_numpy()[edges.ends[0]]
    net = sums(edges.ends[1][counted], np.abs(edges.weight[counted]), len(table))
    flowing = np.zeros(len(table))
    flowing[: len(at.alone)] = inflow(graph)[at.alone]
    flowing[len(at.alone) : len(at.alone) + len(pieces)] = [float(piece.fed) for piece in pieces]
    left = np.maximum(flowing - net, 0.0)
    return table.with_columns(truncated=pl.Series(left, dtype=pl.Float64))


def _node(graph: Graph, piece: Piece, passing: float) -> dict[str, Any]:
    members = graph.nodes[piece.rows.tolist()]
    layers = sorted(members["layer"].drop_nulls().to_list())
    places = members.filter(pl.col("pos").is_not_null()).group_by("pos", maintain_order=True)
    ranked = places.agg(size=pl.col("influence").fill_null(0.0).sum(), many=pl.len())
    ranked = ranked.sort("size", "many", "pos", descending=[True, True, False])
    gates = set(members.filter(kind="feature", expanded=True)["gate"].drop_nulls())
    return dict.fromkeys(NODE_SCHEMA, None) | {
        "node": piece.name,
        "kind": "feature",
        "layer": layers[len(layers) // 2] if layers else 0,
        "pos": ranked["pos"][0] if len(ranked) else None,
        "activation": piece.activation,
        "pre_activation": piece.pre_activation if piece.fed else None,
        "gate": "relu" if piece.fed and gates <= set(ONE_SIDED) else "linear",
        "expanded": piece.fed,
        "truncated": 0.0,
        "target_weight": 0.0,
        "influence": passing,
        "concept": piece.concept,
    }


def _cancelled(
    table: pl.DataFrame, pieces: Sequence[Piece], at: _Layout, edges: _Edges, graph: Graph
) -> float:
    """Gives the share of all that flows along edges that opposing members cancel."""
    counted = ~table["kind"].is_in(CONSTANTS).to_numpy()[edges.ends[0]]
    arrived, flowing = arriving(graph)[at.alone], inflow(graph)[at.alone]
    per_weight = np.zeros(at.size)
    per_weight[: len(at.alone)] = np.divide(arrived, flowing, out=np.zeros_like(arrived), where=flowing > 0)
    per_weight[len(at.alone) : len(at.alone) + len(pieces)] = [piece.passing for piece in pieces]
    flow = (edges.gross * per_weight[edges.ends[1]])[counted]
    net = (np.abs(edges.weight) * per_weight[edges.ends[1]])[counted]
    return float(1 - net.sum() / flow.sum()) if flow.sum() > 0 else 0.0
