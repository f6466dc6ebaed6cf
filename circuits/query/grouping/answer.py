"""Which concepts there are: what each is made of, why it is one, how they feed each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import polars as pl

from circuits.graph.concept_graph import ConceptGraph, concept_graph
from circuits.graph.concepts import Concept, known
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, through, with_influence
from circuits.query.answer import LINKS, Answer
from circuits.query.grouping.group import Grouping, candidates, kept, likeness, origins
from circuits.query.grouping.naming import promoted_tokens, tested_labels
from circuits.query.grouping.profiles import KINDS, Profiles
from circuits.query.subject import induced
from circuits.query.text import Naming, listing, percent, plain, quoted, signed
from circuits.trace import Trace

TOLD: Final = 3
"""Concepts and edges told in a sentence or cell, at most."""

LOSS: Final = 0.02
"""Share of the influence along edges that are left out rather than concepts cut, at most."""

LABELS: Final = 2
"""Labels of a concept's features that are told."""

EDGES: Final = 30
"""Edges between concepts that are listed, at most."""

CAPTIONS: Final[Mapping[str, str]] = {
    "concepts": "Named groups of nodes. influence: the share of everything flowing into the targets that"
    " passes through at least one of its nodes, each path counted once. stability: how much of it is found"
    " again when features are left out and edges drawn anew (mean largest Jaccard index, 1: always whole;"
    " blank: given, not found). by: auto, or by hand. label: what its features were tested to be, the most"
    " influential first, and how many of them; with → tokens they promote, untested. reads and writes: its"
    " strongest sources and receivers, words, outputs and other concepts; weights into a concept are shares"
    " of what flows into it, signed.",
    "likeness": "How alike two of its features are on average, and (after the stroke) one of them and another"
    " feature, 0 to 1: in what they read, in what they write, in their decoders, in position.",
    "edges": "How concepts, words and outputs feed each other directly, the strongest first. weight: into an"
    " output, in its units, summed over the concept's nodes; into a concept, the share of what flows into it,"
    " signed. share: of all that flows into the receiver, unsigned. influence: the share of the targets that"
    " runs along it.",
    "uncertain": "Nodes that could as well belong elsewhere. together: in how many of the resamples, on"
    " average, it shares its group with the group's other nodes; elsewhere: with those of another group.",
    "left alone": "Groups that were found and did not hold: their features are left ungrouped.",
}


def groups(graph: Graph, trace: Trace | None = None) -> Answer:
    """Gives which concepts a graph has, found or made by hand: nodes, evidence, how they feed each other.

    Args:
        graph: any graph with concepts.
        trace: the trace it was made from, for how alike decoders are.

    Raises:
        UsageError: it has no concepts.
        Incompatible: the trace lacks a feature of the graph.

    Example:
        >>> print(groups(group(graph).applied()))  # doctest: +SKIP
    """
    scored = with_influence(graph) if graph.nodes["influence"].null_count() else graph
    concepts = known(scored)
    made = origins(scored)
    if any("within" not in made[one.name] for one in concepts):
        alike = _alike(scored, concepts, trace)
        made = {name: alike.get(name, {}) | entry for name, entry in made.items()}
    blank = pl.DataFrame(schema={"node": pl.String})
    asked = {"query": "groups", "asked": {}}
    return _answer(scored, concepts, made, (), blank, asked)


def answered(grouping: Grouping) -> Answer:
    """Gives the answer of `circuits.group`."""
    graph = kept(grouping.graph, grouping.concepts, grouping.evidence)
    mine = {name: {"by": "auto", **asdict(one)} for name, one in grouping.evidence.items()}
    asked = {"query": "group", "asked": dict(grouping.settings)}
    return _answer(graph, grouping.concepts, mine, grouping.unstable, grouping.uncertain, asked)


def _answer(
    graph: Graph,
    concepts: Sequence[Concept],
    made: Mapping[str, Mapping[str, Any]],
    unstable: Sequence[Concept],
    uncertain: pl.DataFrame,
    meta: Mapping[str, Any],
) -> Answer:
    """Gives the answer for concepts of a graph, however they came to be."""
    lone = [node for one in concepts for node in one.nodes]
    found = bool(concepts) or meta["query"] == "groups"  # which is refused where there are none
    whole = concept_graph(graph, concepts, only=True, loss=LOSS) if found else None
    edges = _edges(whole) if whole is not None else pl.DataFrame(schema=_EDGES)
    tables = {
        "concepts": _concepts(graph, concepts, made, edges),
        "likeness": _likeness(concepts, made),
        "edges": edges.select("from", "to", "weight", "share", "influence").head(EDGES),
        "uncertain": uncertain,
        "left alone": _concepts(graph, unstable, made, edges).select(
            "concept", "nodes", "stability", "label"
        ),
    }
    rows = np.array([graph.row(node) for node in [*lone, *graph.targets]], np.int64)
    return Answer(
        question="Which concepts are there?",
        finding=_finding(graph, concepts, tables, whole, meta),
        tables=tables,
        highlight=induced(graph, rows),
        code=_code(graph, meta),
        captions=CAPTIONS,
        meta=dict(meta),
    )


def _alike(graph: Graph, concepts: Sequence[Concept], trace: Trace | None) -> dict[str, dict[str, Any]]:
    """Gives how alike the features of each concept are, to each other and to those that matter most."""
    features = set(graph.nodes.filter(kind="feature")["node"])
    members = [node for one in concepts for node in one.nodes if node in features]
    others = graph.nodes.filter(kind="feature").filter(pl.col("influence") > 0)
    rest = candidates(graph, 0.9, max(3, len(members)))[0] if len(others) >= 3 else []
    profiles = Profiles.of(graph, list(dict.fromkeys([*members, *rest])), trace)
    alike, place = profiles.similarities(), {node: row for row, node in enumerate(profiles.nodes)}
    found = {}
    for one in concepts:
        part = np.array(sorted(place[node] for node in one.nodes if node in place), np.int64)
        if len(part) > 1:
            found[one.name] = dict(zip(("within", "between"), likeness(alike, part), strict=True))
    return found


def _concepts(
    graph: Graph, concepts: Sequence[Concept], made: Mapping[str, Mapping[str, Any]], edges: pl.DataFrame
) -> pl.DataFrame:
    shares = normalised(graph)
    rows = []
    for one in concepts:
        members = graph.nodes.filter(pl.col("node").is_in(list(one.nodes)))
        layers = members["layer"].drop_nulls()
        entry = made.get(one.name, {})
        at = np.array([graph.row(node) for node in one.nodes], np.int64)
        rows.append(
            {
                "concept": one.name,
                "nodes": len(one),
                "influence": through(graph, at, shares),
                "stability": entry.get("stability"),
                "layers": _span(layers.min(), layers.max()),
                "by": entry.get("by", "hand"),
                "label": _label(members),
                "reads": _links(edges, one.name, into=True),
                "writes": _links(edges, one.name, into=False),
            }
        )
    kinds = dict.fromkeys(("layers", "by", "label"), pl.String)
    schema = {"concept": pl.String, "nodes": pl.Int64, "influence": pl.Float64, "stability": pl.Float64}
    table = pl.DataFrame(rows, schema={**schema, **kinds, "reads": LINKS, "writes": LINKS})
    return table.sort("influence", descending=True, maintain_order=True)


def _likeness(concepts: Sequence[Concept], made: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    rows = []
    for one in concepts:
        within, between = (made.get(one.name, {}).get(side) or {} for side in ("within", "between"))
        if within:
            told = {
                kind: f"{within[kind]:.2f} / {between[kind]:.2f}" if kind in within else None
                for kind in KINDS
            }
            rows.append({"concept": one.name, **told})
    table = pl.DataFrame(rows, schema=dict.fromkeys(("concept", *KINDS), pl.String))
    return table.select("concept", *(kind for kind in KINDS if table[kind].null_count() < len(table)))


_EDGES: Final = {
    **dict.fromkeys(("from", "to"), pl.String),
    **dict.fromkeys(("weight", "share", "influence"), pl.Float64),
    **dict.fromkeys(("source", "target"), pl.String),
}


def _edges(graph: ConceptGraph) -> pl.DataFrame:
    """Gives the edges between words, concepts and outputs, those with most influence first."""
    naming = Naming.of(graph)
    shares = normalised(graph).tocoo()
    arrives = (graph.nodes["influence"] + graph.nodes["target_weight"]).to_numpy()
    names = graph.nodes["node"].to_list()
    weights = graph.matrix
    rows = [
        (
            naming.brief(names[s]),
            naming.brief(names[t]),
            float(weights[t, s]),
            float(share),
            float(share * arrives[t]),
            names[s],
            names[t],
        )
        for t, s, share in zip(shares.row.tolist(), shares.col.tolist(), shares.data.tolist(), strict=True)
    ]
    table = pl.DataFrame(rows, schema=_EDGES, orient="row").filter(pl.col("influence") > 0)
    return table.sort("influence", descending=True, maintain_order=True)


def _links(edges: pl.DataFrame, name: str, *, into: bool) -> list[dict[str, Any]]:
    """Gives the strongest edges into or out of a concept, those between its own stages left out.

    What its stages write into one receiver is summed; of what they read from one source the most is told.
    """
    mine, other, called = ("target", "source", "from") if into else ("source", "target", "to")
    away = pl.col(other).str.replace(STAGE, "") != name
    table = edges.filter((pl.col(mine).str.replace(STAGE, "") == name) & away)
    grouped = table.group_by(other, maintain_order=True)
    gathered = grouped.agg(
        pl.col(called).first(),
        *(pl.col(column).first() if into else pl.col(column).sum() for column in ("weight", "share")),
        pl.col("influence").sum(),
    )
    best = gathered.sort("influence", descending=True, maintain_order=True).head(TOLD)
    columns = best.select(other, called, "weight", "share").iter_rows()
    return [
        {"node": node, "name": said, "weight": weight, "share": share}
        for node, said, weight, share in columns
    ]


STAGE: Final = r" \(\d+ of \d+\)$"
"""How a stage of a concept that was cut is told from the concept."""


def _finding(
    graph: Graph,
    concepts: Sequence[Concept],
    tables: Mapping[str, pl.DataFrame],
    whole: ConceptGraph | None,
    meta: Mapping[str, Any],
) -> tuple[str, ...]:
    settings = meta["asked"]
    said = []
    naming = Naming.of(graph)
    outputs = listing([naming.output(node) for node in graph.targets[:TOLD]]) or "the targets"
    at = np.array([graph.row(node) for one in concepts for node in one.nodes], np.int64)
    share = through(graph, at)
    if settings:
        held = (
            "1 group of features holds" if len(concepts) == 1 else f"{len(concepts)} groups of features hold"
        )
        said.append(
            f"{held}: {len(at)} of the {settings['features']} features that carry"
            f" {percent(settings['reached'])} of all features' influence. {percent(share)} of what flows into"
            f" {outputs} passes through them."
        )
    else:
        nodes = f"{len(at)} node{'s' if len(at) != 1 else ''}"
        said.append(
            f"There are {len(concepts)} concepts with {nodes}: {percent(share)} of what flows into {outputs}"
            " passes through at least one of them."
        )
    table = tables["concepts"]
    if len(table):
        told = [
            f"{quoted(row['concept'])} ({row['nodes']} nodes, {percent(row['influence'])})"
            for row in table.head(TOLD).iter_rows(named=True)
        ]
        said.append(f"Most passes through {listing(told)}.")
    ways = tables["edges"].head(TOLD)
    if len(ways):
        told = [
            f"{row['from']} → {row['to']} ({signed(row['weight'])}, {percent(row['influence'])} of the"
            " influence)"
            for row in ways.iter_rows(named=True)
        ]
        said.append(f"The strongest direct ways between words, concepts and outputs are {listing(told)}.")
    said += _doubts(tables, whole, settings)
    return tuple(said)


def _doubts(
    tables: Mapping[str, pl.DataFrame], whole: ConceptGraph | None, settings: Mapping[str, Any]
) -> list[str]:
    """Gives what did not hold, what could be otherwise, what was cut, what cancels."""
    said = []
    alone = tables["left alone"]
    if len(alone):
        shown = [quoted(name) for name in alone["concept"].head(TOLD)]
        more = [f"{len(alone) - TOLD} more"] if len(alone) > TOLD else []
        said.append(
            f"{len(alone)} more with a stability below {settings['stable']:g} do not hold, and their features"
            f" are left ungrouped: {listing([*shown, *more])}."
        )
    if len(tables["uncertain"]):
        many = len(tables["uncertain"])
        said.append(f"{many} node{'s' if many > 1 else ''} in these groups could as well belong elsewhere.")
    if settings:
        said.append(
            f"In {settings['resamples']} resamples the groups agree with these to"
            f" {plain(settings['agreement'])} (adjusted Rand index: 1 the same, 0 by chance)."
        )
    if whole is None:
        return said
    of = whole.meta["concept_graph"]["of"]
    cut = [name for name in dict.fromkeys(of.values()) if list(of.values()).count(name) > 1]
    if cut:
        said.append(
            f"{listing([quoted(name) for name in cut])} would feed"
            f" {'themselves' if len(cut) > 1 else 'itself'} through other concepts: cut into stages by depth,"
            " the earliest first."
        )
    against = whole.meta["concept_graph"]["against"]
    if against:
        said.append(
            f"Edges against the order of the concepts, which carry {percent(against)} of the influence, are"
            " left out below, so that no concept feeds itself through others."
        )
    cancelled = whole.meta["concept_graph"]["cancelled"]
    if cancelled >= 0.01:
        said.append(
            f"{percent(cancelled)} of what flows along these edges cancels in the sums: nodes of one concept"
            " that pull against each other."
        )
    return said


def _label(members: pl.DataFrame) -> str:
    """Gives the labels that most of a concept's influence bears, or the tokens it promotes."""
    best = list(tested_labels(members).items())[:LABELS]
    if best:
        return ", ".join(f"{name} ({many})" if many > 1 else name for name, (many, _) in best)
    tokens = [quoted(token) for token in list(promoted_tokens(members))[:TOLD]]
    return f"→ {', '.join(tokens)}" if tokens else ""


def _span(low: Any, high: Any) -> str:
    if low is None:
        return ""
    return f"{low}-{high}" if high > low else f"{low}"


def _code(graph: Graph, meta: Mapping[str, Any]) -> str:
    run = str(graph.meta.get("run") or graph.meta.get("path") or "run")
    load = f"import circuits\n\ngraph = circuits.load_run({run!r})\n"
    settings = meta["asked"]
    if not settings:
        return f"{load}print(circuits.groups(graph))"
    given = ""
    if "decoder" in settings["weights"]:
        load = load.replace(
            "import circuits\n", "import circuits\nfrom circuits.graph.io import load_run_trace\n"
        )
        load += f"trace = load_run_trace({run!r})\n"
        given = ", trace"
    return f"{load}print(circuits.group(graph{given}).answer())"
