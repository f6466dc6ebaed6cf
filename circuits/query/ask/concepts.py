"""Which concepts a run has, and how much of its main output passes through each."""

from __future__ import annotations

import numpy as np
import polars as pl

from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.ask.code import same
from circuits.query.ask.questions import Concepts
from circuits.query.subject import induced
from circuits.query.text import Naming, listing, quoted

_SCHEMA = {"concept": pl.String, "nodes": pl.Int64, "layers": pl.String, "at": pl.String, "first": pl.String}
SHOWN = 4


def list_concepts(graph: Graph) -> Answer:
    """Gives the concepts of a run: how many nodes each has, in which layers, at which words."""
    found = known(graph)
    naming = Naming.of(graph)
    rows = []
    for one in found:
        part = graph.nodes[[graph.row(node) for node in one.nodes]]
        layers = sorted(set(part["layer"].drop_nulls().to_list()))
        words = [naming.token(p) for p in sorted(set(part["pos"].drop_nulls().to_list()))]
        more = ", …" if len(words) > SHOWN else ""
        span = f"{layers[0]}–{layers[-1]}" if len(layers) > 1 else "".join(map(str, layers))
        first = naming.phrase(one.nodes[0])
        rows.append((one.name, len(one), span, ", ".join(words[:SHOWN]) + more, first))
    names = [node for one in found for node in one.nodes] or graph.targets[:1]
    return Answer(
        question="Which concepts are there?",
        finding=_sentences([row[0] for row in rows]),
        tables={"concepts": pl.DataFrame(rows, schema=_SCHEMA, orient="row")},
        highlight=induced(graph, np.array([graph.row(name) for name in names], dtype=np.int64)),
        code=same(graph, Concepts()),
        captions={"concepts": "nodes: how many; layers, at: where they are; first: the first of them."},
        meta={"query": "concepts", "asked": {}},
    )


def _sentences(names: list[str]) -> tuple[str, ...]:
    if not names:
        none = (
            "This run has no concepts of its own. Any question takes one on the spot, written NAME=SPEC"
            ' (such as texas=token:" Dallas"), a label, or a word of the prompt.'
        )
        return (none,)
    many = f"{len(names)} concepts" if len(names) > 1 else "one concept"
    return (f"This run has {many}: {listing(quoted(name) for name in names)}.",)
