"""What outputs become if something is done to nodes, as the graph predicts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from circuits.graph.actions import Affine, Intervention, add, scale, setting
from circuits.graph.graph import Graph
from circuits.graph.names import resolve
from circuits.graph.predict import predict
from circuits.query.answer import Answer, Prediction
from circuits.query.ask.code import same
from circuits.query.ask.questions import Act, WhatIf
from circuits.query.subject import Subject, induced
from circuits.query.text import Naming, listing, plain, signed

_DO = {"set": setting, "scale": scale, "add": add}


def what_if(graph: Graph, asked: WhatIf) -> Answer:
    """Gives the predicted values of the target and of all outputs, before and after.

    Raises:
        NotFound: a name is nothing, or a node the graph predicts nothing of.
        UsageError: a name means several things; an output is acted on.
    """
    subject = Subject.of(graph, asked.target)
    parts = [_done(graph, act) for act in asked.acts]
    intervention = Intervention.of("what if", *parts)
    outputs = graph.nodes.filter(pl.col("kind") == "logit")["node"].to_list()
    targets = list(dict.fromkeys([subject.node, *outputs]))
    values = predict(graph, [Intervention("nothing"), intervention], targets=targets)
    naming = Naming.of(graph)
    table = pl.DataFrame(
        {
            "node": targets,
            "output": [naming.output(n) if n in outputs else naming.brief(n) for n in targets],
            "before": values[0].astype(np.float64),
            "after": values[1].astype(np.float64),
            "change": (values[1] - values[0]).astype(np.float64),
        }
    )
    acted = [*intervention.nodes]
    clauses = listing(act.text() for act in asked.acts)
    return Answer(
        question=f"What happens to {subject.words()} if {clauses}?",
        finding=_sentences(subject, table, asked.acts, len(acted)),
        tables={"outputs": table.drop("node"), "acted on": _acted(graph, intervention)},
        highlight=induced(graph, np.array([graph.row(name) for name in {*acted, *targets}])),
        code=same(graph, asked),
        captions={
            "outputs": "before, after: the value with nothing done and with all of it done, as the graph"
            " predicts (attention patterns and scales as on the prompt; features respond).",
            "acted on": "What is done to each node; activation: on the prompt.",
        },
        meta={
            "query": "what_if",
            "asked": {"question": asked.text()},
            "target": subject.node,
            "actions": list(intervention.written()),
        },
        predictions=(Prediction(clauses, intervention, subject.node, float(values[1, 0])),),
    )


def _done(graph: Graph, act: Act) -> dict[str, Affine]:
    nodes = dict.fromkeys((node for name in act.names for node in resolve(graph, name).nodes), act.value)
    return _DO[act.done](nodes)


def _sentences(subject: Subject, table: pl.DataFrame, acts: Sequence[Act], count: int) -> tuple[str, ...]:
    row = table.row(0, named=True)
    size, clauses = abs(row["change"]), listing(act.text() for act in acts)
    verb = "falls" if row["change"] < 0 else "rises"
    whose = "its logit" if subject.kind == "logit" else "its input"
    said = (
        f"The graph predicts that {whose} stays at {plain(row['before'])}"
        if size < 1e-6 * max(1.0, abs(row["before"]))
        else f"The graph predicts that {whose} {verb} by {plain(size)}, from {plain(row['before'])} to"
        f" {plain(row['after'])}"
    )
    nodes = "1 node is" if count == 1 else f"{count} nodes are"
    found = [f"If {clauses} ({nodes} acted on): {said[:1].lower()}{said[1:]}."]
    others = table.slice(1).sort(pl.col("change").abs(), descending=True)
    if len(others):
        listed = listing(
            f"{r['output']} ({signed(r['change'])})" for r in others.head(3).iter_rows(named=True)
        )
        found.append(f"Of the other outputs it moves most {listed}.")
    best = table.filter(table["after"] == table["after"].max()).row(0, named=True)
    first = table.filter(table["before"] == table["before"].max()).row(0, named=True)
    if subject.kind == "logit" and best["node"] != first["node"] and best["node"] in subject.graph.targets:
        found.append(f"Among the outputs of this graph {best['output']} would come first.")
    options = " ".join(_option(act, name) for act in acts for name in act.names)
    found.append(
        "This is predicted by the graph, not measured: on the model, circuits intervene"
        f" {_run(subject.graph)} {options} measures it."
    )
    return tuple(found)


def _option(act: Act, name: str) -> str:
    option = {"set": "--set", "scale": "--scale", "add": "--add"}[act.done]
    return f"{option} {shlex.quote(f'{name}={act.value:g}')}"


def _run(graph: Graph) -> str:
    return shlex.quote(str(graph.meta.get("run") or "RUN"))


def _acted(graph: Graph, intervention: Intervention) -> pl.DataFrame:
    naming = Naming.of(graph)
    rows: Sequence[dict[str, Any]] = [
        {
            "name": naming.brief(node),
            "done": written.removeprefix(node),
            "activation": graph.nodes["activation"][graph.row(node)],
            "node": node,
        }
        for node, written in zip(intervention.nodes, intervention.written(), strict=True)
    ]
    schema = {"name": pl.String, "done": pl.String, "activation": pl.Float64, "node": pl.String}
    return pl.DataFrame(rows, schema=schema)
