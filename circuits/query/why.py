"""Why does the model say this? Direct effects, influence, paths, combinations, what stays unexplained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import scores
from circuits.query.answer import Answer
from circuits.query.combinations import (
    combinations_caption,
    combinations_table,
    computed,
    nodes_of,
)
from circuits.query.findings import brief, sentences
from circuits.query.marks import captions, marked
from circuits.query.paths import Path, top_paths
from circuits.query.pushes import CAPTION as PUSHES
from circuits.query.pushes import pushes_table
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
from circuits.query.verified import CAPTION, NEVER, ROWS, verified_table

PATHS = 5
"""Paths given in an answer, at least."""


def why(graph: Graph, target: str | None = None, *, over: str | None = None, top: int = 10) -> Answer:
    """Gives what made the model produce one output (or one feature turn on).

    Features, words and paths are of first order; where the graph holds interactions, what acts only
    together is told too.

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
    score = scores(subject.graph, subject.shares)
    tables = {
        "totals": totals_table(subject),
        **({"pushes": pushes_table(graph, *pair)} if (pair := _pair(subject)) else {}),
        "features": features_table(subject, top),
        "words": words_table(subject),
        "paths": paths_table(subject, paths),
        **({"combinations": combinations_table(subject, max(top, PATHS))} if computed(graph) else {}),
        "ends": ends_table(subject),
    }
    tables["trust"] = trust_table(subject, tables, score)
    if len(tried := verified_table(subject.graph, subject.node)):
        shown = (pl.int_range(pl.len()) < ROWS) | (pl.col("holds") == NEVER)
        tables = {**marked(subject.graph, subject.node, tables), "verified": tried.filter(shown)}
    finding = sentences(subject, tables, paths)
    return Answer(
        question=f"Why {subject.words()}?",
        finding=finding,
        tables=tables,
        highlight=_highlight(subject, tables, paths),
        code=_code(subject, target, over, top),
        captions=_captions(subject, tables),
        meta={
            "query": "why",
            "asked": {"target": target, "over": over, "top": top},
            "target": subject.node,
            "over": subject.over,
            "value": subject.value,
            "probability": subject.naming.probability(subject.node),
            "scores": asdict(score),
            "trust": finding[-1],
            "brief": list(brief(subject, tables)),
        },
    )


def _pair(subject: Subject) -> tuple[str, str] | None:
    """Gives the two outputs of a difference, where the graph holds both."""
    if subject.over is None:
        return None
    bare = subject.over.strip().removeprefix("logit:")
    one, other = subject.node.removesuffix(f"-{bare}"), f"logit:{bare}"
    return (one, other) if {one, other} <= set(subject.graph.index) else None


def _captions(subject: Subject, tables: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    said = {**CAPTIONS, "totals": totals_caption(subject), "pushes": PUSHES}
    if "combinations" in tables:
        said["combinations"] = combinations_caption(tables["combinations"])
    if "verified" in tables:
        said["verified"] = CAPTION
    return captions(tables, said)


def _highlight(subject: Subject, tables: Mapping[str, pl.DataFrame], paths: list[Path]) -> Graph:
    """Gives the target, the features and paths told, and what acts together with where it acts."""
    names = {subject.node, *tables["features"]["node"], *(node for path in paths for node in path.nodes)}
    if "combinations" in tables:
        for members, where in tables["combinations"].select("members", "where").iter_rows():
            names |= set(nodes_of(subject.graph, [*members, where]))
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
