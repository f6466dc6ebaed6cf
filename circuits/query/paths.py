"""The strongest paths between nodes, exactly, and how much of all paths they make up."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp

from circuits.errors import UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised
from circuits.graph.slopes import slopes
from circuits.query.answer import Answer
from circuits.query.between import Between
from circuits.query.ends import Ends, leaves
from circuits.query.limit import Limit
from circuits.query.path_text import CAPTIONS, sentences
from circuits.query.subject import induced
from circuits.query.text import python

SHOWN = 10
"""Nodes listed of those the paths run through or begin at, at most."""


@dataclass(frozen=True)
class Path:
    """One way from a source to a target.

    Attributes:
        nodes: node names, source first, target last.
        share: the product of the normalised weights along it: the share of the target's influence
            that flows through exactly this path. All paths' shares add up to at most 1.
        weights: the signed weight of each edge along it.
        effect: what it brings to the target, in the target's unit, gates passing on what small changes
            they pass on here: weight(first edge) · Π slope(gate) · strength(edge after it).
    """

    nodes: tuple[str, ...]
    share: float
    weights: tuple[float, ...]
    effect: float

    @property
    def sign(self) -> int:
        """Gives +1 if the path pushes its target up, else -1."""
        return -1 if self.effect < 0 else 1


def top_paths(
    graph: Graph,
    target: str,
    *,
    k: int = 10,
    sources: Collection[str] | None = None,
    shares: sp.csr_array | None = None,
) -> list[Path]:
    """Gives the k strongest complete paths into a node, strongest first.

    A path is complete if it starts at a leaf: a token, a position, an error, or a feature whose
    incoming edges were not computed. Its strength is the product of normalised weights
    `|w(s→t)| / Σ|w(·→t)|` along it (Ameisen et al. 2025). The search runs backwards from the target,
    best first, ordered by strength so far times the best completion, which is computed beforehand
    for all nodes in one sweep; the bound is exact, so only nodes on the paths given are opened.

    Args:
        graph: the graph.
        target: node name.
        k: how many; fewer are given if there are no more.
        sources: only paths that start at one of these nodes, leaves or not, and pass no other of them.
        shares: `normalised(graph)`, where it is at hand already.

    Raises:
        NotFound: the target or a source is no node of the graph.
        UsageError: k is below 1.

    Example:
        >>> [path.nodes for path in top_paths(graph, "logit:Paris", k=3)]  # doctest: +SKIP
    """
    _check_count(k)
    shares = normalised(graph) if shares is None else shares
    starts = leaves(graph, shares)
    if sources is not None:
        starts = np.zeros(len(graph.nodes), dtype=bool)
        starts[[graph.row(source) for source in sources]] = True
    weights = np.zeros(len(graph.nodes))
    weights[graph.row(target)] = 1.0
    return list(itertools.islice(_named(graph, Between.of(shares, starts, weights)), k))


def paths(
    graph: Graph,
    target: str | Concept | None = None,
    *,
    sources: str | Concept | None = None,
    through: tuple[int, int] | None = None,
    k: int = 20,
    limit: Limit | None = None,
) -> Answer:
    """Gives the strongest paths from some nodes to others, and what of the effect they carry.

    A path begins in the one set, ends in the other and meets neither in between, so that shares add
    up: the k strongest (exact, best first), and all there are (exact, by one sweep that lists none).

    Args:
        graph: an attribution graph.
        target: a node, or any name of several; of several each counts by its influence. The graph's
            heaviest target unless given.
        sources: any name of nodes (`circuits.graph.names`); wherever influence begins unless given:
            words, errors, features that were not opened up.
        through: the first and last of some layers: every path has a node in them, the target aside.
        k: how many paths.
        limit: time, number and smallest share of paths; see `Limit`.

    Returns:
        An answer with tables `paths`, `totals`, `through` (what these paths run through) and `starts`.

    Raises:
        NotFound: nothing is called so.
        UsageError: k is below 1; a name is ambiguous; the layers do not exist; no path leads there.

    Example:
        >>> print(paths(graph, "logit:Austin", sources="Dallas", through=(2, 3), k=5))  # doctest: +SKIP
    """
    _check_count(k)
    budget = Limit() if limit is None else limit
    ends = Ends.of(graph, target, sources, through)
    found, stopped = _within(graph, ends.between, min(k, budget.paths), budget)
    tables = {
        "paths": _paths_table(ends, found),
        "totals": _totals(ends, found),
        "through": _through(ends),
        **({"starts": _starts(ends)} if np.count_nonzero(ends.between.sources) > 1 else {}),
    }
    names = {*ends.target.nodes, *(node for path in found for node in path.nodes)}
    asked = {"target": target, "sources": sources, "through": through, "k": k}
    return Answer(
        question=f"Which paths lead from {ends.from_words()} to {ends.to_words()}{ends.through_words()}?",
        finding=sentences(ends, tables, stopped),
        tables=tables,
        highlight=induced(graph, np.array([graph.row(name) for name in names])),
        code=python(graph, "paths", {**asked, "limit": limit}, {"k": 20}),
        captions={name: CAPTIONS[name] for name in tables},
        meta={
            "query": "paths",
            "asked": {key: str(v) if isinstance(v, Concept) else v for key, v in asked.items()},
            "target": ends.node or ends.target.name,
            "share": ends.between.total,
            "paths": ends.between.count,
            "stopped": stopped,
        },
    )


def _check_count(k: int) -> None:
    if k < 1:
        raise UsageError(f"{k} paths were asked for: give 1 or more.")


def _named(graph: Graph, between: Between) -> Iterator[Path]:
    names, matrix = graph.nodes["node"], graph.matrix
    activation = graph.nodes["activation"].fill_null(0.0).to_numpy()
    passed = np.divide(slopes(graph), activation, out=np.zeros(len(names)), where=activation != 0)
    for rows, share in between.strongest():
        weights = tuple(float(matrix[t, s]) for s, t in itertools.pairwise(rows))
        effect = weights[0] * float(np.prod(passed[rows[1:-1]] * weights[1:]))
        yield Path(tuple(names[row] for row in rows), share, weights, effect)


def _within(graph: Graph, between: Between, k: int, limit: Limit) -> tuple[list[Path], str]:
    """Gives the k strongest paths as far as a limit lets them be found, and what stopped the search."""
    found: list[Path] = []
    clock = limit.start()
    for path in _named(graph, between):
        if path.share < limit.share:
            return found, "share"
        found.append(path)
        if len(found) == k:
            return found, ""
        if clock.over():
            return found, "seconds"
    return found, ""


def _paths_table(ends: Ends, found: Sequence[Path]) -> pl.DataFrame:
    """Gives the paths: share, part of all of them, sign, effect, the path in words, its nodes."""
    whole = ends.between.total
    schema = {"share": pl.Float64, "part": pl.Float64, "effect": pl.Float64}
    return pl.DataFrame(
        {
            "share": [path.share for path in found],
            "part": [path.share / whole for path in found],
            "effect": [path.effect for path in found],
            "path": [" → ".join(ends.naming.terse(node) for node in path.nodes) for path in found],
            "nodes": [list(path.nodes) for path in found],
        },
        schema=schema | {"path": pl.String, "nodes": pl.List(pl.String)},
    )


def _totals(ends: Ends, found: Sequence[Path]) -> pl.DataFrame:
    """Gives what the paths given, all of them, and all through any layer carry: share and number."""
    given = sum(path.share for path in found)
    rows: list[tuple[str, float | None, float]] = [
        (f"the {len(found)} given", len(found), given),
        ("all such paths", ends.between.count, ends.between.total),
    ]
    if ends.through is not None:
        rows.append(("all through any layer", ends.anywhere.count, ends.anywhere.total))
    rows.append(("all that flows in", None, 1.0))
    schema = {"which": pl.String, "number": pl.Float64, "share": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _through(ends: Ends) -> pl.DataFrame:
    """Gives the nodes between that carry most: node, token, share of the target, part of all paths, label."""
    flow = np.where(ends.between.sources | (ends.weights > 0), 0.0, ends.between.through)
    return _nodes(ends, flow)


def _starts(ends: Ends) -> pl.DataFrame:
    """Gives the nodes at which most begins, as `_through`."""
    return _nodes(ends, np.where(ends.between.sources, ends.between.through, 0.0))


def _nodes(ends: Ends, flow: np.ndarray) -> pl.DataFrame:
    order = np.argsort(-flow, kind="stable")[:SHOWN]
    rows = [int(row) for row in order if flow[row] > 0]
    nodes = ends.graph.nodes
    return pl.DataFrame(
        {
            "node": [nodes["node"][row] for row in rows],
            "token": [ends.naming.token(nodes["pos"][row]) for row in rows],
            "share": [float(flow[row]) for row in rows],
            "part": [float(flow[row]) / ends.between.total for row in rows],
            "label": [nodes["label"][row] for row in rows],
        },
        schema={"node": pl.String, "token": pl.String, "share": pl.Float64, "part": pl.Float64}
        | {"label": pl.String},
    )
