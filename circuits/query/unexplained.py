"""What of an output the graph leaves unexplained: where it is, through what it acts, what could be done."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import CircuitsError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import of_kind, truncated_shares
from circuits.query.answer import Answer
from circuits.query.combinations import computed
from circuits.query.ends import meant_target
from circuits.query.orders import orders_table
from circuits.query.paths import top_paths
from circuits.query.subject import Subject, induced
from circuits.query.tables import ends_table
from circuits.query.text import python
from circuits.query.unexplained_text import CAPTIONS, sentences

SHOWN: Final = 10
"""Sources listed, at most."""

PATHS: Final = 3
"""Sources of which the strongest path is given, at most, in the tables' order."""


def unexplained(graph: Graph, target: str | Concept | None = None) -> Answer:
    """Gives what of an output is traced to no word: where it stops, and through what it acts.

    Influence followed back from the target stops in three places that explain nothing: at dictionary
    errors (what the features of a layer leave of it at a position), at features whose own inputs were
    not computed, and in edges too small to keep. Their shares and that of the words add up to 1. Where
    the run holds interactions, what their orders leave over is told too.

    Args:
        graph: an attribution graph.
        target: a node; the graph's heaviest target unless given.

    Returns:
        An answer with tables `ends` (shares), `sources` (the largest single places, with the strongest
        path from each), `layers` and `positions` (the same summed) and, where there are interactions
        of order 1, `orders`.

    Raises:
        NotFound: no such node.
        UsageError: nothing flows into it.

    Example:
        >>> print(unexplained(graph, "logit:Austin"))  # doctest: +SKIP
    """
    aim = meant_target(graph, target)
    subject = Subject.of(graph, aim.nodes[0])
    lost = _lost(subject)
    tables = {
        "ends": ends_table(subject),
        "sources": _sources(subject, lost),
        "layers": _summed(subject, lost, "layer"),
        "positions": _summed(subject, lost, "pos"),
        **_orders(graph, subject.node),
    }
    nodes = [subject.node, *(node for path in tables["sources"]["nodes"].to_list() for node in path)]
    asked = {"target": target}
    return Answer(
        question=f"What of {subject.words()} is unexplained?",
        finding=sentences(subject, tables),
        tables=tables,
        highlight=induced(graph, np.array([graph.row(node) for node in nodes])),
        code=python(graph, "unexplained", asked),
        captions={name: CAPTIONS[name] for name in tables},
        meta={
            "query": "unexplained",
            "asked": {"target": str(target) if isinstance(target, Concept) else target},
            "target": subject.node,
            "share": float(sum(part.sum() for part in lost.values())),
        },
    )


def _lost(subject: Subject) -> dict[str, Float[np.ndarray, "n"]]:
    """Gives, by reason, the share of the target that stops at each node."""
    graph, share = subject.graph, subject.influence
    stopped = of_kind(graph, "feature") & ~graph.nodes["expanded"].to_numpy()
    cut = share * truncated_shares(graph, subject.shares)
    return {
        "errors": np.where(of_kind(graph, "error"), share, 0.0),
        "not opened up": np.where(stopped, share, 0.0),
        "small edges": np.where(cut > 1e-12, cut, 0.0),
    }


def _sources(subject: Subject, lost: Mapping[str, Float[np.ndarray, "n"]]) -> pl.DataFrame:
    """Gives the places where most stops: node, reason, token, share, direct weight, the strongest path."""
    graph = subject.graph
    pairs = [(float(v[row]), reason, int(row)) for reason, v in lost.items() for row in np.flatnonzero(v)]
    rows = []
    for share, reason, row in sorted(pairs, key=lambda one: (-one[0], one[2]))[:SHOWN]:
        node = str(graph.nodes["node"][row])
        path: list[str] = []
        if reason != "small edges" and row != subject.row:
            found = top_paths(graph, subject.node, k=1, sources=[node], shares=subject.shares)
            path = list(found[0].nodes) if found else []
        told = " → ".join(subject.naming.terse(name) for name in path) or f"into {subject.naming.terse(node)}"
        direct = float(graph.matrix[subject.row, row]) if row < subject.row else 0.0
        weight = direct if reason != "small edges" and direct else None
        rows.append(
            (node, reason, subject.naming.token(graph.nodes["pos"][row]), share, weight, told, path or [node])
        )
    schema = {
        "node": pl.String,
        "why": pl.String,
        "token": pl.String,
        "share": pl.Float64,
        "weight": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema | {"path": pl.String, "nodes": pl.List(pl.String)}, orient="row")


def _summed(subject: Subject, lost: Mapping[str, Float[np.ndarray, "n"]], by: str) -> pl.DataFrame:
    """Gives the shares summed by layer or by position, those with most first for positions."""
    nodes = subject.graph.nodes
    table = pl.DataFrame({by: nodes[by], **lost})
    table = table.with_columns(share=pl.sum_horizontal(*lost)).filter(pl.col("share") > 0)
    summed = (
        table.group_by(by, maintain_order=True).agg(pl.col("share", *lost).sum()).sort(by, nulls_last=True)
    )
    present = [reason for reason in lost if summed[reason].sum() > 0]
    summed = summed.select(by, "share", *(present if len(present) > 1 else ()))
    if by == "pos":
        token = [subject.naming.token(pos) for pos in summed["pos"]]
        return summed.insert_column(1, pl.Series("token", token, dtype=pl.String))
    return summed


def _orders(graph: Graph, node: str) -> dict[str, pl.DataFrame]:
    """Gives what interactions of each order make up and leave, where the run holds them."""
    if not computed(graph):
        return {}
    try:
        return {"orders": orders_table(graph, node)}
    except CircuitsError:
        return {}
