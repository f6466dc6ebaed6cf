"""Features alike by what they read and write, and graphs alike by what carries them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, of_kind, propagate
from circuits.graph.names import resolve_target
from circuits.query.align import Alignment
from circuits.query.answer import Answer
from circuits.query.similar_text import CAPTIONS, graph_sentences, node_sentences
from circuits.query.subject import heaviest, induced
from circuits.query.text import Naming, python

TOP: Final = 10


def similar(graph: Graph, node: str | None = None, other: Graph | None = None, *, top: int = TOP) -> Answer:
    """Gives what is like a feature, in its own graph or in another, or how much two graphs are alike.

    Two features are alike by what they read and by what they write: the cosines of their incoming and
    of their outgoing weights, over all other nodes. `alike` is the mean of the two (of the one where
    nothing is written or read). Between two graphs nodes are the same if they are the same feature,
    error or word position at aligned tokens (equal tokens, and what was put in place of others). Two
    graphs are alike by the weighted Jaccard index Σ min / Σ max of their nodes' influence and of their
    edges' flow (Ružička 1958): 1 for the same graph, 0 where they share nothing.

    Args:
        graph: an attribution graph.
        node: a feature; the graphs as wholes are compared unless given.
        other: another graph; the feature's own unless given.
        top: how many to list.

    Returns:
        An answer with the table `alike` (features), or `shares`, `common` and `apart` (graphs).

    Raises:
        NotFound: no such node.
        UsageError: `top` is below 1; neither a node nor another graph; a name is ambiguous; the node
            reads nothing and writes nothing.

    Example:
        >>> print(similar(graph, "12/4051@7"))  # doctest: +SKIP
    """
    if top < 1:
        raise UsageError(f"The top {top} were asked for: give 1 or more.")
    if node is None and other is None:
        raise UsageError("Name a feature that others may be like, or give a second graph to compare.")
    if node is None and other is not None:
        return _graphs(graph, other, top)
    return _features(graph, resolve_target(graph, str(node)), other, top)


@dataclass(frozen=True, eq=False)
class Pair:
    """Two graphs whose nodes are matched; of one graph, itself with itself.

    Attributes:
        graph: the first.
        other: the second.
        place: for each row of the second, the row of the first it stands for; −1 for none.
    """

    graph: Graph
    other: Graph
    place: Int[np.ndarray, "m"]

    @classmethod
    def of(cls, graph: Graph, other: Graph | None) -> Pair:
        """Gives the pair, matched by name and by aligned position."""
        if other is None or other is graph:
            return cls(graph, graph, np.arange(len(graph.nodes)))
        back = Alignment.of_graphs(graph, other, "text").back
        table = other.nodes.select("node", "pos", "kind").iter_rows()
        names = [_moved(name, pos, kind, back) for name, pos, kind in table]
        return cls(graph, other, np.array([graph.index.get(name, -1) for name in names]))

    @cached_property
    def shared(self) -> Int[np.ndarray, "k"]:
        """Gives the rows of the second graph that stand for one of the first, constants aside."""
        known = ~of_kind(self.other, "bias", "rest") & (self.place >= 0)
        return np.flatnonzero(known)

    def alike(self, row: int) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
        """Gives, for each node of the second graph, the cosines of what it reads and writes with a row's."""
        own, theirs = _weights(self.graph), _weights(self.other)
        mine = self.place[self.shared]
        reads = _cosines(own[[row]][:, mine].toarray()[0], theirs[:, self.shared])
        writes = _cosines(own[:, [row]][mine].toarray()[:, 0], sp.csr_array(theirs[self.shared].T))
        return reads, writes


def _moved(name: str, pos: int | None, kind: str, back: Mapping[int, int]) -> str:
    """Gives the name a node of the second graph has in the first, nothing where its token has no partner."""
    if pos is None or kind == "logit":
        return name
    if pos not in back:
        return ""
    return f"{name.rpartition('@')[0]}@{back[pos]}"


def _weights(graph: Graph) -> sp.csr_array:
    """Gives the weights, those of constants left out."""
    matrix = graph.matrix.astype(np.float64)
    matrix.data = matrix.data * ~of_kind(graph, "bias", "rest")[matrix.indices]
    return matrix


def _cosines(one: Float[np.ndarray, "k"], rows: sp.csr_array) -> Float[np.ndarray, "m"]:
    """Gives the cosine of a vector with each row; NaN where either is 0."""
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel()) * float(np.linalg.norm(one))
    dot = np.asarray(rows @ one)
    return np.asarray(np.divide(dot, length, out=np.full(len(dot), np.nan), where=length > 0))


def _features(graph: Graph, node: str, other: Graph | None, top: int) -> Answer:
    pair, row = Pair.of(graph, other), graph.row(node)
    reads, writes = pair.alike(row)
    both = np.nanmean(np.where(np.isnan([reads, writes]).all(axis=0), 0.0, [reads, writes]), axis=0)
    if np.isnan(reads).all() and np.isnan(writes).all():
        raise UsageError(f"{node} reads nothing and writes nothing that is in both: nothing can be like it.")
    chosen = of_kind(pair.other, str(graph.nodes["kind"][row]))
    chosen &= (pair.other.nodes["activation"].fill_null(0) != 0).to_numpy()  # what is off writes nothing
    if pair.other is graph:
        chosen[row] = False
    rows = np.flatnonzero(chosen)
    rows = rows[np.argsort(-both[rows], kind="stable")]
    first = node.partition("@")[0]
    names, naming = pair.other.nodes["node"], Naming.of(pair.other)
    listed = rows[:top].tolist()
    table = pl.DataFrame(
        {
            "node": [names[i] for i in listed],
            "token": [naming.token(pair.other.nodes["pos"][i]) for i in listed],
            "alike": [float(both[i]) for i in listed],
            "reads": [_known(reads[i]) for i in listed],
            "writes": [_known(writes[i]) for i in listed],
            "same": ["the same feature" if names[i].partition("@")[0] == first else "" for i in listed],
            "label": [pair.other.nodes["label"][i] for i in listed],
        },
        schema={"node": pl.String, "token": pl.String}
        | dict.fromkeys(("alike", "reads", "writes"), pl.Float64)
        | {"same": pl.String, "label": pl.String},
    )
    twins = [i for i in rows.tolist() if names[i].partition("@")[0] == first]
    told = [*(listed if other is None else []), *([row] if other is None else [])]
    highlight = induced(graph, np.array(told)) if told else induced(pair.other, np.array(listed))
    where = "in the other graph" if other is not None else "here"
    phrase = Naming.of(graph).phrase(node)
    return Answer(
        question=f"What is like {phrase} {where}?",
        finding=node_sentences(pair, phrase, table, [(str(names[i]), float(both[i])) for i in twins]),
        tables={"alike": table},
        highlight=highlight,
        code=_code(graph, node, other, top),
        captions={"alike": CAPTIONS["alike"]},
        meta={"query": "similar", "asked": {"node": node, "top": top}, "target": node},
    )


def _graphs(graph: Graph, other: Graph, top: int) -> Answer:
    pair = Pair.of(graph, other)
    ours, theirs = (_carried(one) for one in (graph, other))
    size = len(graph.nodes)
    matched = np.zeros(size)
    matched[pair.place[pair.shared]] = theirs.nodes[pair.shared]
    rest = theirs.nodes.sum() - matched.sum()
    nodes = _jaccard(ours.nodes, matched, float(rest))
    edges = _edges_alike(pair, ours, theirs)
    table = pl.DataFrame(
        [("nodes, by influence", nodes, len(pair.shared)), ("edges, by flow", edges[0], edges[1])],
        schema={"what": pl.String, "share": pl.Float64, "shared": pl.Int64},
        orient="row",
    )
    common = _listed(pair, ours.nodes, matched, np.minimum(ours.nodes, matched), top)
    apart = _listed(pair, ours.nodes, matched, np.abs(ours.nodes - matched), top)
    names = [graph.row(name) for name in (*common["node"], *apart["node"])]
    return Answer(
        question="How much are the two graphs alike?",
        finding=graph_sentences(pair, table, common, apart),
        tables={"shares": table, "common": common, "apart": apart},
        highlight=induced(graph, np.array([*names, graph.row(heaviest(graph))])),
        code=_code(graph, None, other, top),
        captions={name: CAPTIONS[name] for name in ("shares", "common", "apart")},
        meta={"query": "similar", "asked": {"top": top}, "nodes": nodes, "edges": edges[0]},
    )


@dataclass(frozen=True, eq=False)
class _Carried:
    """What carries a graph's heaviest target: influence by node, flow by edge; targets left out."""

    nodes: Float[np.ndarray, "n"]
    flow: sp.csr_array


def _carried(graph: Graph) -> _Carried:
    shares = normalised(graph)
    weights = np.zeros(len(graph.nodes))
    weights[graph.row(heaviest(graph))] = 1.0
    through = propagate(shares, weights)
    flow = sp.csr_array(sp.diags_array(through + weights) @ shares)
    return _Carried(np.where(of_kind(graph, "logit"), 0.0, through), flow)


def _jaccard(one: Float[np.ndarray, "n"], two: Float[np.ndarray, "n"], rest: float) -> float:
    most = float(np.maximum(one, two).sum()) + rest
    return float(np.minimum(one, two).sum()) / most if most else 1.0


def _edges_alike(pair: Pair, ours: _Carried, theirs: _Carried) -> tuple[float, int]:
    """Gives the weighted Jaccard index of the edges, and how many are in both; the targets are one."""
    place = pair.place.copy()
    place[pair.other.row(heaviest(pair.other))] = pair.graph.row(heaviest(pair.graph))
    flow = theirs.flow.tocoo()
    kept = (place[flow.row] >= 0) & (place[flow.col] >= 0)
    moved = sp.csr_array(
        (flow.data[kept], (place[flow.row[kept]], place[flow.col[kept]])), shape=ours.flow.shape
    )
    least = ours.flow.minimum(moved)
    most = float(ours.flow.maximum(moved).sum()) + float(flow.data[~kept].sum())
    return (float(least.sum()) / most if most else 1.0), int(least.count_nonzero())


def _listed(
    pair: Pair, one: Float[np.ndarray, "n"], two: Float[np.ndarray, "n"], by: Float[np.ndarray, "n"], top: int
) -> pl.DataFrame:
    nodes, naming = pair.graph.nodes, Naming.of(pair.graph)
    rows = [row for row in np.argsort(-by, kind="stable")[:top].tolist() if by[row] > 0]
    return pl.DataFrame(
        {
            "node": [nodes["node"][row] for row in rows],
            "token": [naming.token(nodes["pos"][row]) for row in rows],
            "influence": [float(one[row]) for row in rows],
            "in the other": [float(two[row]) for row in rows],
            "label": [nodes["label"][row] for row in rows],
        },
        schema={"node": pl.String, "token": pl.String, "influence": pl.Float64, "in the other": pl.Float64}
        | {"label": pl.String},
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _code(graph: Graph, node: str | None, other: Graph | None, top: int) -> str:
    said = python(graph, "similar", {"node": node, "top": top}, {"top": TOP}, first=("node",))
    if other is None:
        return said
    run = str(other.meta.get("run") or "run2")
    said = said.replace("\nprint(", f"\nother = circuits.load_run({run!r})\nprint(")
    given = repr(node) if node is not None else "None"
    head, _, tail = said.rpartition("similar(graph")
    tail = tail.removeprefix(f", {node!r}") if node is not None else tail
    return f"{head}similar(graph, {given}, other{tail}"
