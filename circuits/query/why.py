"""Why does the model say this? First order: direct effects, influence, paths, what stays unexplained."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import scores
from circuits.query.answer import Answer
from circuits.query.findings import sentences
from circuits.query.paths import Path, top_paths
from circuits.query.subject import Subject, induced
from circuits.query.tables import (
    CAPTIONS,
    ends_table,
    features_table,
    paths_table,
    totals_caption,
    totals_table,
    trust_table,
    words_table,
)

PATHS = 5
"""Paths given in an answer, at least."""


def why(graph: Graph, target: str | None = None, *, over: str | None = None, top: int = 10) -> Answer:
    """Gives what made the model produce one output (or one feature turn on), first order.

    Args:
        graph: an attribution graph, best unpruned: only then do the totals close.
        target: a node name (`logit:Paris`, `12/4051@7`) or a token as the targets spell it; the
            heaviest target unless given.
        over: a second logit of the graph; the answer then explains `target` minus `over`.
        top: how many features to list.

    Raises:
        NotFound: no such node.
        UsageError: nothing flows into the node, its edges were not computed, or `top` is below 1.

    Example:
        >>> print(why(graph, "logit:Paris"))  # doctest: +SKIP
    """
    if top < 1:
        raise UsageError(f"The top {top} features were asked for: give 1 or more.")
    subject = Subject.of(graph, target, over)
    paths = top_paths(subject.graph, subject.node, k=max(top, PATHS), shares=subject.shares)
    score = scores(subject.graph)
    tables = {
        "totals": totals_table(subject),
        "features": features_table(subject, top),
        "words": words_table(subject),
        "paths": paths_table(subject, paths),
        "ends": ends_table(subject),
    }
    tables["trust"] = trust_table(subject, tables, score)
    finding = sentences(subject, tables, paths)
    return Answer(
        question=f"Why {subject.words()}?",
        finding=finding,
        tables=tables,
        highlight=_highlight(subject, tables["features"], paths),
        code=_code(subject, target, over, top),
        captions={**CAPTIONS, "totals": totals_caption(subject)},
        meta={
            "query": "why",
            "asked": {"target": target, "over": over, "top": top},
            "target": subject.node,
            "over": subject.over,
            "value": subject.value,
            "probability": subject.naming.probability(subject.node),
            "scores": asdict(score),
            "trust": finding[-1],
        },
    )


def _highlight(subject: Subject, features: pl.DataFrame, paths: list[Path]) -> Graph:
    names = {subject.node, *features["node"], *(node for path in paths for node in path.nodes)}
    return induced(subject.graph, np.array([subject.graph.index[name] for name in names]))


def _code(subject: Subject, target: str | None, over: str | None, top: int) -> str:
    run = str(subject.graph.meta.get("run") or subject.graph.meta.get("path") or "run")
    node = subject.node if over is None and target is not None else target
    asked = [repr(node)] if node is not None else []
    asked += [f"over={over!r}"] if over is not None else []
    asked += [f"top={top}"] if top != 10 else []
    return (
        f"import circuits\n\ngraph = circuits.load_run({run!r})\n"
        f"print(circuits.why({', '.join(['graph', *asked])}))"
    )
