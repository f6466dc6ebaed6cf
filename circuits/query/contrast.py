"""Why here and not there? Two graphs compared: prompts, models, or two outputs of one graph."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import polars as pl

from circuits.errors import UsageError
from circuits.graph.actions import Intervention, setting
from circuits.graph.graph import Graph
from circuits.graph.influence import scores
from circuits.query.align import Align, Alignment
from circuits.query.answer import Answer, Prediction
from circuits.query.contrast_asked import (
    Asked,
    Target,
    asked_of,
    attribute_command,
    check_features,
    differing_settings,
    subjects,
)
from circuits.query.contrast_combinations import combinations_known, contrast_combinations
from circuits.query.contrast_merge import merged
from circuits.query.contrast_pair import Pair
from circuits.query.contrast_swaps import Swaps, swaps
from circuits.query.contrast_tables import (
    ROUNDING,
    captions,
    edges_table,
    features_table,
    totals_table,
    words_table,
)
from circuits.query.contrast_text import nothing, sentences
from circuits.query.contrast_told import Told
from circuits.query.pushes import CAPTION as PUSHES
from circuits.query.pushes import pushes_table


def contrast(
    graph: Graph,
    other: Graph,
    *,
    target: Target | None = None,
    other_target: Target | None = None,
    align: Align = "end",
    top: int = 10,
) -> Answer:
    """Gives what differs between two graphs, and how much of the difference of their outputs each part makes.

    Nodes are matched by layer, feature and aligned position. With w the weights into the target and T what
    a node brings over all paths (`circuits.query.totals.Totals`), the difference of the two values is::

        v₁ − v₂ = Σ_nodes (w₁ − w₂) = Σ_leaves (T₁ − T₂)

    exactly, but for rounding and what was pruned, which is a row of its own. Exchanging the graphs turns
    every sign.

    Args:
        graph: an attribution graph.
        other: another of the same dictionary, or the same graph to compare two of its outputs.
        target: what the first is asked about: a node, a token as the targets spell it, or two outputs,
            the first over the second. Given alone it is asked of both. Unless given, both graphs' likeliest
            outputs, the one over the other, if both hold both; one of them if both hold it; else each
            graph's own.
        other_target: what the second is asked about.
        align: which positions stand for one another: `end`, `start`, `text`, or pairs; see
            `circuits.query.align.Alignment.of`.
        top: rows of the tables of features, edges and combinations.

    Raises:
        Incompatible: the graphs' features come from different dictionaries (see `same_features`).
        NotFound: a target that a graph does not hold; the command that gets it is said.
        UsageError: nothing flows into a target, a malformed alignment, or `top` below 1.

    Example:
        >>> print(contrast(load_run("run/dallas"), load_run("run/seattle")))  # doctest: +SKIP
    """
    if top < 1:
        raise UsageError(f"The top {top} features were asked for: give 1 or more.")
    check_features(graph, other)
    alignment = Alignment.of_graphs(graph, other, align)
    one, two = subjects(graph, other, (target, other_target), alignment)
    asked = asked_of(one, two, alignment)
    pair = Pair.of(one, two, alignment)
    tables = _tables(pair, asked, top)
    trust, swapped = tables.pop("trust"), None
    if not _differs(pair, tables):
        finding = nothing(Told(pair, asked, tables, None))
        tables = {}
    else:
        swapped = swaps(pair, asked)
        if swapped is not None:
            tables["swaps"] = swapped.table
        tables["trust"] = trust
        finding = sentences(Told(pair, asked, tables, swapped))
    return Answer(
        question=_question(asked, pair.difference),
        finding=finding,
        tables=tables,
        highlight=_highlight(pair, asked, tables),
        code=_code(graph, other, (target, other_target, align, top)),
        captions=captions(pair, asked) | _MORE_CAPTIONS,
        meta=_meta(pair, asked, (target, other_target, align, top), swapped),
        predictions=() if swapped is None else _predictions(pair, swapped),
    )


def _predictions(pair: Pair, swapped: Swaps) -> tuple[Prediction, ...]:
    """Gives what the first prompt's output would be with the swaps: the explanation, as an intervention."""
    if not swapped.values:
        return ()
    subject = pair.one.subject
    target = subject.node
    if subject.over is not None:
        target = target.removesuffix(f"-{subject.over.removeprefix('logit:')}")
    count = len(swapped.values)
    what = "1 feature set to what it is" if count == 1 else f"{count} features set to what they are"
    done = Intervention.of("swap", setting(swapped.values))
    value = float(swapped.table["predicted"][-1])
    return (Prediction(f"{what} in the other run", done, target, value, subject.over),)


def _tables(pair: Pair, asked: Asked, top: int) -> dict[str, pl.DataFrame]:
    tables = {"totals": totals_table(pair, asked)}
    if asked.same_graph and pair.one.subject.kind == pair.two.subject.kind == "logit":
        nodes = pair.one.subject.node, pair.two.subject.node
        if all(node in pair.one.graph.index for node in nodes):
            tables["pushes"] = pushes_table(pair.one.graph, *nodes)
    tables |= {
        "words": words_table(pair, asked),
        "features": features_table(pair, asked, top),
        "edges": edges_table(pair, asked, top),
    }
    if all(combinations_known(pair)):
        tables["combinations"] = contrast_combinations(pair, asked, top)
    return tables | {"trust": _trust(pair)}


def _trust(pair: Pair) -> pl.DataFrame:
    first, second = (asdict(scores(t.subject.graph)) for t in (pair.one, pair.two))
    rows = [
        (name, first[key], second[key])
        for name, key in (
            ("replacement", "replacement"),
            ("completeness", "completeness"),
            ("truncated share", "truncated_share"),
        )
    ]
    schema = {"score": pl.String, "here": pl.Float64, "there": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _differs(pair: Pair, tables: Mapping[str, pl.DataFrame]) -> bool:
    """Tells whether anything differs beyond rounding."""
    slack = ROUNDING * pair.scale
    if abs(pair.difference) > slack or np.abs(pair.direct.change).max(initial=0) > slack:
        return True
    return any(len(tables[name]) for name in ("features", "edges", "combinations") if name in tables)


def _question(asked: Asked, difference: float) -> str:
    if asked.same_graph:
        same = asked.words[0] == asked.words[1]
        return "What differs?" if same else f"Why {asked.words[0]} and not {asked.words[1]}?"
    if asked.comparable:
        more, less = asked.sides if difference >= 0 else asked.sides[::-1]
        return f"Why {asked.words[0]} {more} and not {less}?"
    return f"Why {asked.words[0]} {asked.sides[0]}, and {asked.words[1]} {asked.sides[1]}?"


def _highlight(pair: Pair, asked: Asked, tables: Mapping[str, pl.DataFrame]) -> Graph:
    """Gives the features, words and edges told, and what acts together, of both graphs."""
    names: set[str] = set()
    for table, columns in (("features", ("node",)), ("edges", ("edge_source", "edge_target"))):
        names |= {name for column in columns if table in tables for name in tables[table][column]}
    for links in tables["features"]["inputs"] if "features" in tables else ():
        names |= {link["node"] for link in links}
    if "combinations" in tables:
        for members, where in tables["combinations"].select("members", "where").iter_rows():
            names |= {*members, where}
    words = [place for place, kind in enumerate(pair.kind) if kind == "token"] if tables else []
    places = [*words, *(pair.place_of[name] for name in names if name in pair.place_of)]
    graph = merged(pair, places, tables.get("combinations"))
    return graph.with_meta(contrast={**graph.meta["contrast"], "sides": list(asked.sides)})


_MORE_CAPTIONS: Final = {
    "pushes": PUSHES,
    "combinations": "Combinations that differ beyond their intervals: what members do only together."
    " weight: the interaction, by its index; change: what of the difference that makes, blank where it"
    " acts on an attention score. not compared: one run did not look for it or found too little to keep.",
    "swaps": "Features set to their values in the second run, each beside those above: what the first"
    " graph predicts, and how much of the difference that closes.",
    "trust": "How far each graph can be trusted; see `circuits why`.",
}


def _runs(graph: Graph, other: Graph) -> tuple[str, str]:
    first, second = (str(g.meta.get("run") or g.meta.get("path") or "") for g in (graph, other))
    return first or "run/one", second or "run/two"


def _code(graph: Graph, other: Graph, asked: tuple[Target | None, Target | None, Align, int]) -> str:
    target, other_target, align, top = asked
    runs = _runs(graph, other)
    words = [f"target={target!r}"] if target is not None else []
    words += [f"other_target={other_target!r}"] if other_target is not None else []
    words += [f"align={align!r}"] if align != "end" else []
    words += [f"top={top}"] if top != 10 else []
    taken = (other.meta.get("dictionary") or {}).get("taken_for")
    second = "circuits.same_features(other, graph)" if taken else "other"
    loaded = "graph" if runs[0] == runs[1] else f"circuits.load_run({runs[1]!r})"
    return (
        f"import circuits\n\ngraph = circuits.load_run({runs[0]!r})\nother = {loaded}\n"
        f"print(circuits.contrast({', '.join(['graph', second, *words])}))"
    )


def _meta(
    pair: Pair, asked: Asked, said: tuple[Target | None, Target | None, Align, int], swapped: Swaps | None
) -> dict[str, Any]:
    first, second = pair.one.subject, pair.two.subject
    target, other_target, align, top = said
    graphs = first.naming.graph, second.naming.graph
    return {
        "query": "contrast",
        "asked": {"target": target, "other_target": other_target, "align": align, "top": top},
        "targets": [first.node, second.node],
        "values": list(pair.values),
        "difference": pair.difference,
        "comparable": asked.comparable,
        "settings": differing_settings(*graphs),
        "swaps": None if swapped is None else {"values": swapped.values, "enough": swapped.enough},
        "commands": [list(both) for both in commands(pair, asked, swapped)],
    }


def commands(pair: Pair, asked: Asked, swapped: Swaps | None) -> list[tuple[str, str]]:
    """Gives the commands that go on from here, each with what it is for."""
    graphs = pair.one.subject.naming.graph, pair.two.subject.naming.graph
    runs = [shlex.quote(run) for run in _runs(*graphs)]
    found = []
    if swapped is not None and swapped.values:
        found.append(
            (
                f"circuits intervene {runs[0]}{_swap_options(pair, swapped, runs[1])}",
                "the swap, measured on the model",
            )
        )
    if not asked.comparable and pair.one.subject.kind == pair.two.subject.kind == "logit":
        for graph, lacking in zip(graphs, (pair.two.subject.node, pair.one.subject.node), strict=True):
            found.append((attribute_command(graph, [lacking]), "a run that holds both answers"))
    return found


def _swap_options(pair: Pair, swapped: Swaps, run: str) -> str:
    if pair.alignment.how == "end":
        return "".join(f" --swap {run}:{node}" for node in swapped.values)
    return "".join(f" --set {node}={value:.6g}" for node, value in swapped.values.items())
