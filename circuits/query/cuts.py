"""The smallest or cheapest set of nodes, or of edges, that carries an effect: a minimum cut."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.errors import UsageError
from circuits.graph.actions import ablate
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import of_kind, propagate
from circuits.graph.runnable import unknown_gates
from circuits.graph.specs import WORDS
from circuits.query.answer import Answer, Prediction
from circuits.query.between import Between
from circuits.query.cut_text import CAPTIONS, sentences
from circuits.query.ends import Ends
from circuits.query.flow import MinCut, cut_edges, cut_nodes
from circuits.query.kernels import sweep, without_columns
from circuits.query.subject import induced
from circuits.query.switched import SCHEMA, switched_off, without_edges
from circuits.query.text import python

BY: Final = ("nodes", "edges")
COSTS: Final = ("count", "flow")

SHARE = 0.8
"""Share of the effect that a cut carries at least, unless said otherwise."""


def cuts(
    graph: Graph,
    target: str | Concept | None = None,
    *,
    sources: str | Concept | None = None,
    by: str = "nodes",
    cost: str = "count",
    share: float = SHARE,
) -> Answer:
    """Gives the smallest or cheapest set of nodes, or of edges, that carries an effect.

    The effect is the influence of the sources on the target, over all paths from the ones to the
    other. Of the edges on these paths as few as carry the given share of it, the strongest, are the
    network. The set is a minimum cut of the network: without it no path is left there. So at least
    that share of the effect runs through the set, and no set that costs less meets every path of the
    network (max-flow min-cut, Ford & Fulkerson 1956; Dinic's algorithm). Of several, the one nearest
    to the target is given.

    Only what lies between can be cut: features (errors and features that were not opened up have no
    inputs, so they are never between), not the words, the sources or the target. What goes from a
    source straight to the target no node carries: it is left out where nodes are cut, and told.

    Args:
        graph: an attribution graph.
        target: a node, or any name of several; the graph's heaviest target unless given.
        sources: any name of nodes; all words (tokens and positional embeddings) unless given.
        by: "nodes" or "edges".
        cost: "count": each costs 1, so the set is smallest. "flow": each costs all the influence on the
            target that runs through it, wherever that comes from, so the set is the one that least
            else runs through. Influence is neither made nor lost between, so that of edges every set
            that each path crosses once, with nothing else in it, costs the same.
        share: of the effect, above 0 up to 1.

    Returns:
        An answer with tables `cut`, `totals` and `predicted` (what the graph predicts for switching the
        set off).

    Raises:
        NotFound: nothing is called so.
        UsageError: `by`, `cost` or `share` is none; a name is ambiguous; no path leads there, or none
            with a node between.

    Example:
        >>> print(cuts(graph, "logit:Austin", sources="Dallas"))  # doctest: +SKIP
    """
    _check(by, cost, share)
    begin = _words(graph) if sources is None else sources
    problem = Problem.of(Ends.of(graph, target, begin), by, share)
    found = problem.cheapest(cost)
    tables = {
        "cut": _cut_table(problem, found),
        "totals": _totals(problem, found),
        "predicted": _predicted(problem, found),
    }
    asked = {"target": target, "sources": sources, "by": by, "cost": cost, "share": share}
    return Answer(
        question=_question(problem, cost),
        finding=sentences(problem, found, cost, tables),
        tables=tables,
        highlight=induced(graph, problem.rows(found)),
        code=python(graph, "cuts", asked, {"by": "nodes", "cost": "count", "share": SHARE}),
        captions=CAPTIONS,
        meta={
            "query": "cuts",
            "asked": {key: str(v) if isinstance(v, Concept) else v for key, v in asked.items()},
            "target": problem.ends.node or problem.ends.target.name,
            "price": found.price,
            "resolution": found.resolution,
            "carried": problem.carried(found),
            "disconnects": problem.disconnects(found),
        },
        predictions=_predictions(problem, found, tables["predicted"]),
    )


def _predictions(problem: Problem, found: MinCut, table: pl.DataFrame) -> tuple[Prediction, ...]:
    """Gives what becomes of the targets without the cut; edges alone cannot be taken from a model."""
    if problem.by != "nodes":
        return ()
    nodes = problem.ends.graph.nodes["node"]
    done = ablate(str(nodes[row]) for row in np.flatnonzero(found.cut).tolist())
    says = f"the {len(done.nodes)} of the cut off"
    return tuple(
        Prediction(says, done, node, float(after))
        for node, after in table.select("target", "after").iter_rows()
    )


@dataclass(frozen=True, eq=False)
class Problem:
    """An effect, and the network that carries the stated share of it.

    Attributes:
        ends: from where to where.
        between: all paths that count, those straight from source to target left out if nodes are cut.
        by: what is cut.
        share: of the effect that the network carries.
        kept: which of the matrix's entries are in the network.
    """

    ends: Ends
    between: Between
    by: str
    share: float
    kept: Bool[np.ndarray, "e"]

    @classmethod
    def of(cls, ends: Ends, by: str, share: float) -> Problem:
        """Gives the network of an effect.

        Raises:
            UsageError: nodes are to be cut, and none is between.
        """
        between = ends.between
        if by == "nodes":
            matrix = between.shares.copy()
            matrix.data = matrix.data * ~(
                (ends.weights > 0)[_targets(matrix)] & between.sources[matrix.indices]
            )
            between = Between(matrix, between.sources, between.targets)
            if between.total <= 0:
                raise UsageError(
                    f"Every path from {ends.from_words()} to {ends.to_words()} is a single edge: no node lies"
                    " between. Cut edges instead: by='edges'."
                )
        return cls(ends, between, by, share, _network(between, share))

    @property
    def direct(self) -> float:
        """Gives the share of the target that comes straight from the sources."""
        return self.ends.between.total - self.between.total if self.by == "nodes" else 0.0

    @cached_property
    def edges(self) -> tuple[Int[np.ndarray, "k"], Int[np.ndarray, "k"]]:
        """Gives source and target rows of the network's edges."""
        matrix = self.between.shares
        return matrix.indices[self.kept], _targets(matrix)[self.kept]

    @cached_property
    def influence(self) -> Float[np.ndarray, "n"]:
        """Gives all influence on the target that runs through each node, wherever it comes from."""
        return np.asarray(propagate(self.ends.shares, self.ends.weights) + self.ends.weights)

    @cached_property
    def flow(self) -> Float[np.ndarray, "k"]:
        """Gives the same for each of the network's edges."""
        return np.asarray(self.influence[self.edges[1]] * self.between.shares.data[self.kept])

    def cheapest(self, cost: str) -> MinCut:
        """Gives the cheapest cut of the network."""
        sources, targets = self.between.sources, self.ends.weights > 0
        if self.by == "edges":
            price = np.ones(len(self.flow)) if cost == "count" else self.flow
            return cut_edges(self.edges, price, sources, targets)
        used = np.unique(np.concatenate(self.edges))
        place = np.full(len(sources), -1)
        place[used] = np.arange(len(used))
        price = np.ones(len(used)) if cost == "count" else self.influence[used]
        price[~of_kind(self.ends.graph, "feature", "error")[used]] = np.inf
        ends = place[self.edges[0]], place[self.edges[1]]
        found = cut_nodes(ends, price, sources[used], targets[used])
        whole = np.zeros(len(sources), bool)
        whole[used[found.cut]] = True
        return MinCut(whole, found.price, found.resolution)

    def without(self, found: MinCut, matrix_kept: Bool[np.ndarray, "e"] | None = None) -> Between:
        """Gives the paths that are left without the cut, all of them or those of some entries."""
        matrix = self.between.shares.copy()
        if matrix_kept is not None:
            matrix.data = matrix.data * matrix_kept
        if self.by == "nodes":
            matrix = without_columns(matrix, found.cut)
        else:
            matrix.data[np.flatnonzero(self.kept)[found.cut]] = 0.0
        return Between(matrix, self.between.sources, self.between.targets)

    def carried(self, found: MinCut) -> float:
        """Gives what of the effect runs through the cut, as a share of the effect."""
        return 1 - self.without(found).total / self.between.total

    def disconnects(self, found: MinCut) -> bool:
        """Tells whether no path of the network is left without the cut."""
        return self.without(found, self.kept).total == 0.0

    def rows(self, found: MinCut) -> Int[np.ndarray, "r"]:
        """Gives the rows of the cut, the target, and the sources that the network has."""
        own = np.concatenate(self.edges)
        if self.by == "nodes":
            cut = np.flatnonzero(found.cut)
        else:
            cut = np.concatenate([end[found.cut] for end in self.edges])
        ends = own[(self.between.sources | (self.ends.weights > 0))[own]]
        return np.unique(np.concatenate([cut, ends]))


def _check(by: str, cost: str, share: float) -> None:
    if by not in BY:
        raise UsageError(f"{by!r} cannot be cut: write by='nodes' or by='edges'.")
    if cost not in COSTS:
        raise UsageError(f"{cost!r} is no cost: write cost='count' or cost='flow'.")
    if not 0 < share <= 1:
        raise UsageError(f"{share:g} is no share of an effect: give a number above 0 up to 1.")


def _words(graph: Graph) -> Concept:
    names = graph.nodes.filter(pl.col("kind").is_in(["token", "position"]))["node"].to_list()
    if not names:
        raise UsageError("This graph has no words: name the sources, such as sources='12/4051@7'.")
    return Concept(WORDS, tuple(names))


def _targets(matrix: object) -> Int[np.ndarray, "e"]:
    pointer = matrix.indptr  # type: ignore[attr-defined]
    return np.repeat(np.arange(len(pointer) - 1), np.diff(pointer))


def _network(between: Between, share: float) -> Bool[np.ndarray, "e"]:
    """Gives the strongest entries that carry a share of the flow among themselves, as few as do."""
    matrix = between.shares
    flow = between.down[_targets(matrix)] * matrix.data * between.up[matrix.indices]
    if share == 1:
        return np.asarray(flow > 0)
    ranked = np.sort(flow[flow > 0])[::-1]
    low, high = 0, len(ranked) - 1  # kept up to `high` suffices
    while low < high:
        middle = (low + high) // 2
        if _carries(between, flow >= ranked[middle]) >= share * between.total * (1 - 1e-12):
            high = middle
        else:
            low = middle + 1
    return np.asarray(flow >= ranked[high])


def _carries(between: Between, kept: Bool[np.ndarray, "e"]) -> float:
    matrix = between.shares.copy()
    matrix.data = matrix.data * kept
    matrix.eliminate_zeros()
    up = sweep(matrix, between.sources.astype(np.float64), np.add)
    return float(between.targets @ (matrix @ up))


def _cut_table(problem: Problem, found: MinCut) -> pl.DataFrame:
    """Gives the cut: node or edge, token, part of the effect, influence, activation, label."""
    ends, nodes = problem.ends, problem.ends.graph.nodes
    whole = problem.between.total
    if problem.by == "edges":
        source, target = (end[found.cut] for end in problem.edges)
        share = problem.flow[found.cut]
        mine = problem.between.down[target] * problem.between.shares.data[problem.kept][found.cut]
        part = mine * problem.between.up[source] / whole
        order = np.argsort(-part, kind="stable")
        named = nodes["node"]
        rows = [
            (named[int(source[i])], named[int(target[i])], float(part[i]), float(share[i]))
            for i in order.tolist()
        ]
        kinds = {"source": pl.String, "target": pl.String, "part": pl.Float64, "influence": pl.Float64}
        table = pl.DataFrame(rows, schema=kinds, orient="row")
        weights = [float(ends.graph.matrix[ends.graph.row(t), ends.graph.row(s)]) for s, t, *_ in rows]
        return table.with_columns(weight=pl.Series(weights, dtype=pl.Float64))
    part = problem.between.through / whole
    chosen = sorted(np.flatnonzero(found.cut).tolist(), key=lambda row: -part[row])
    return pl.DataFrame(
        {
            "node": [nodes["node"][row] for row in chosen],
            "token": [ends.naming.token(nodes["pos"][row]) for row in chosen],
            "part": [float(part[row]) for row in chosen],
            "influence": [float(problem.influence[row]) for row in chosen],
            "label": [nodes["label"][row] for row in chosen],
        },
        schema={"node": pl.String, "token": pl.String, "part": pl.Float64, "influence": pl.Float64}
        | {"label": pl.String},
    )


def _totals(problem: Problem, found: MinCut) -> pl.DataFrame:
    whole = problem.ends.between.total
    effect, carried = problem.between.total, problem.carried(found)
    rows = [
        (f"all from {problem.ends.from_words()}", whole),
        ("straight to the target, past every node", problem.direct),
        ("through the cut", carried * effect),
        ("around the cut", (1 - carried) * effect),
    ]
    kept = [row for row in rows if row[1] > 0 or row[0].startswith(("all", "through"))]
    return pl.DataFrame(kept, schema={"which": pl.String, "share": pl.Float64}, orient="row")


def _predicted(problem: Problem, found: MinCut) -> pl.DataFrame:
    """Gives the target before and after the cut is switched off, as the graph predicts, if it can be run."""
    ends = problem.ends
    if len(unknown_gates(ends.graph)):
        return pl.DataFrame(schema=SCHEMA)
    asked = [node for node in ends.target.nodes if ends.weights[ends.graph.row(node)] > 0]
    if problem.by == "nodes":
        return switched_off(ends.graph, np.flatnonzero(found.cut), asked)
    source, target = (end[found.cut] for end in problem.edges)
    return without_edges(ends.graph, (source, target), asked)


def _question(problem: Problem, cost: str) -> str:
    how = "Fewest" if cost == "count" else "Cheapest"
    what = f"{how} {problem.by}"
    ends = problem.ends
    return f"{what} that carry the effect of {ends.from_words()} on {ends.to_words()}?"
