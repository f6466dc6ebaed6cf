"""The sums behind the concept graph, as `circuits.graph.concept_graph` defines them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, arriving, inflow, normalised, sums, through
from circuits.graph.prune import without_edges
from circuits.graph.stages import Ends, Rows, stages
from circuits.schema import NODE_SCHEMA

OUTSIDE: Final = 0.1
"""Share of a concept's activity that must come from outside for its members' own doings to be left out."""

ONE_SIDED: Final = ("relu", "jumprelu", "topk")
"""Gates that never give less than 0."""

CONSTANT: Final = "bias:own"


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


def staged(graph: Graph, chosen: Sequence[Concept], loss: float) -> tuple[Graph, list[list[Rows]], float]:
    """Gives the concepts' stages by rows, the graph without the edges left out, and what these carried."""
    groups = [np.array([graph.row(node) for node in one.nodes], np.int64) for one in chosen]
    flow = _flow(graph) if loss > 0 else None
    cut, gone = stages(graph.ends, len(graph.nodes), groups, flow, loss)
    if flow is None or not gone.any():
        return graph, cut, 0.0
    rest = without_edges(graph, gone)
    names = graph.nodes["node"].to_list()
    moved = [[np.array([rest.row(names[row]) for row in rows]) for rows in parts] for parts in cut]
    return rest, moved, float(flow[gone].sum())


def _flow(graph: Graph) -> Float[np.ndarray, "e"]:
    """Gives the share of the targets that runs along each edge."""
    target = graph.ends[1]
    per_weight = arriving(graph) / np.maximum(inflow(graph), 1e-300)
    return np.asarray(np.abs(graph.edges["weight"].to_numpy()) * per_weight[target], np.float64)


def pieces_of(graph: Graph, chosen: Sequence[Concept], cut: Sequence[Sequence[Rows]]) -> list[Piece]:
    """Gives the concepts' stages, with all that their numbers follow from."""
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
class Layout:
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
    def of(cls, graph: Graph, pieces: Sequence[Piece]) -> Layout:
        """Gives the layout of a graph whose pieces become nodes."""
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
class Edges:
    """Edges between blocks: numbers of their ends, weights and strengths; gross: Σ |ω weight|."""

    ends: Ends
    weight: Float[np.ndarray, "e"]
    strength: Float[np.ndarray, "e"]
    gross: Float[np.ndarray, "e"]


def summed_edges(graph: Graph, pieces: Sequence[Piece], at: Layout) -> Edges:
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
    return Edges((ends[kept], into[kept]), weight[kept], strength[kept], gross[kept])


def node_table(graph: Graph, whole: Graph, pieces: Sequence[Piece], at: Layout, edges: Edges) -> pl.DataFrame:
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
        "concept": piece.concept if piece.concept != piece.name else None,
    }


def cancelled(table: pl.DataFrame, pieces: Sequence[Piece], at: Layout, edges: Edges, graph: Graph) -> float:
    """Gives the share of all that flows along edges that opposing members cancel."""
    counted = ~table["kind"].is_in(CONSTANTS).to_numpy()[edges.ends[0]]
    arrived, flowing = arriving(graph)[at.alone], inflow(graph)[at.alone]
    per_weight = np.zeros(at.size)
    per_weight[: len(at.alone)] = np.divide(arrived, flowing, out=np.zeros_like(arrived), where=flowing > 0)
    per_weight[len(at.alone) : len(at.alone) + len(pieces)] = [piece.passing for piece in pieces]
    flow = (edges.gross * per_weight[edges.ends[1]])[counted]
    net = (np.abs(edges.weight) * per_weight[edges.ends[1]])[counted]
    return float(1 - net.sum() / flow.sum()) if flow.sum() > 0 else 0.0
