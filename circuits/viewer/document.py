"""A graph as the JSON document the viewer reads; `app/src/document.ts` says what each part is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from markupsafe import Markup

from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.facts import facts
from circuits.query.paths import Path as Way
from circuits.query.paths import top_paths
from circuits.query.text import percent
from circuits.viewer import combinations
from circuits.viewer.answers import answered
from circuits.viewer.cards import cards_of, cards_part, count
from circuits.viewer.focus import Focus, numbers
from circuits.viewer.nodes import Part

FORMAT, VERSION = "circuits-viewer", 1


@dataclass(frozen=True)
class Shown:
    """How much of a graph goes into a document; what is left out is said in it.

    Attributes:
        nodes: the most nodes, by influence; all where none exceeds this.
        edges: the most edges among them, by their share of what flows into their target.
        hyperedges: the most combinations, by the share of what moves their target.
        cards: the most feature cards, by the influence of their feature.
        paths: the most paths, by share.
        verdicts: the most interventions, by the size of what the graph predicts.
    """

    nodes: int = 2_000
    edges: int = 20_000
    hyperedges: int = 300
    cards: int = 1_500
    paths: int = 50
    verdicts: int = 300


def document(
    graph: Graph,
    *,
    answer: Answer | None = None,
    against: Graph | None = None,
    cards: Cards | None = None,
    shown: Shown = Shown(),  # frozen
    name: str | None = None,
) -> dict[str, Any]:
    """Gives the viewer's document of a graph, or of two.

    Args:
        graph: the graph.
        answer: the answer it is shown with.
        against: a second graph to compare with.
        cards: cards of the dictionary's features; those that lie beside it unless given.
        shown: how much of the graph goes in.
        name: how the run is called.
    """
    del against  # comes next
    focus = Focus.of(graph, answer)
    part = _part(focus, answer, cards, shown, name)
    return {
        "format": FORMAT,
        "version": VERSION,
        "title": answer.question if answer is not None else part["prompt"] or part["name"],
        "graph": part,
        "against": None,
        "diff": None,
        "answer": None if answer is None else answered(answer),
    }


def embedded(told: Mapping[str, Any]) -> Markup:
    """Gives a document as the inside of `<script type="application/json">`, which nothing in it can end."""
    text = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704  # escaped just above


def _part(
    focus: Focus, answer: Answer | None, cards: Cards | None, shown: Shown, name: str | None
) -> dict[str, Any]:
    """Gives one graph of the document."""
    graph = focus.graph
    cards, no_cards = (cards, []) if cards is not None else cards_of(focus.run)
    rows = combinations.chosen(focus, shown.hyperedges)
    players = combinations.players(graph, rows)
    ways = _ways(focus, shown.paths)
    verdicts = _verdicts(graph, shown.verdicts)
    named = combinations.names_in(graph, rows, players) | {node for way in ways for node in way.nodes}
    named |= {*verdicts["members"].explode().drop_nulls(), *verdicts["target"]}
    named |= set() if answer is None else set(answer.highlight.nodes["node"])
    part = Part.of(focus, named, shown.nodes, shown.edges)
    card_part, about_cards = cards_part(part.features(), cards, shown.cards)
    return {
        **_head(focus, name),
        "totals": {
            "nodes": len(focus.run.nodes),
            "edges": len(focus.run.edges),
            "hyperedges": len(focus.run.hyperedges),
            "cards": count(focus.run, cards),
        },
        "left_out": [
            *part.told,
            *combinations.told(graph, rows),
            *about_cards,
            *no_cards,
            *_cut(focus),
        ],
        "nodes": part.node_table({}),
        "edges": part.edge_table(),
        "hyperedges": combinations.table(focus, rows),
        "players": players,
        "concepts": [],
        "concept_edges": [],
        "matrix": combinations.matrix(focus),
        "paths": [{"nodes": list(way.nodes), "effect": way.effect, "share": way.share} for way in ways],
        "cards": card_part,
        "verdicts": _verdict_rows(verdicts),
        "facts": [list(fact) for fact in facts(focus.run)],
        "command": focus.run.meta.get("command"),
    }


def _head(focus: Focus, name: str | None) -> dict[str, Any]:
    """Gives what a graph is of: name, prompt, model, dictionary, targets."""
    meta = focus.run.meta
    prompt = meta.get("prompt") or {}
    model, dictionary = meta.get("model") or {}, meta.get("dictionary") or {}
    where = str(meta.get("run") or meta.get("path") or "")
    known = [*(dictionary.get("layers") or ()), *focus.graph.nodes["layer"].drop_nulls().unique()]
    nodes = focus.graph.nodes
    targets = [
        {
            "node": node,
            "text": focus.naming.output(node),
            "probability": numbers(pl.Series([focus.naming.probability(node)], dtype=pl.Float64))[0],
            "value": numbers(nodes["pre_activation"].gather([focus.graph.index[node]]))[0],
        }
        for node in focus.targets
    ]
    return {
        "name": name or (Path(where).name if where else "") or "graph",
        "prompt": str(prompt.get("text") or ""),
        "tokens": list(focus.naming.tokens),
        "model": str(model.get("name") or model.get("spec") or ""),
        "dictionary": str(dictionary.get("spec") or dictionary.get("kind") or ""),
        "layers": 1 + max((int(layer) for layer in known), default=-1),
        "targets": targets,
    }


def _ways(focus: Focus, most: int) -> list[Way]:
    """Gives the strongest paths to the node that is explained."""
    if focus.subject is None or most < 1:
        return []
    return top_paths(focus.graph, focus.subject.node, k=most, shares=focus.subject.shares)


def _verdicts(graph: Graph, most: int) -> pl.DataFrame:
    """Gives the interventions tried on the model, those of the largest predicted effect first."""
    size = pl.col("predicted").abs()
    return graph.verdicts.sort(size, descending=True, nulls_last=True, maintain_order=True).head(most)


def _verdict_rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    names = ("claim", "kind", "members", "target", "held", "predicted", "measured", "tolerance", "holds")
    exact = [numbers(rows[name]) if rows[name].dtype.is_float() else rows[name].to_list() for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*exact, strict=True)]


def _cut(focus: Focus) -> list[str]:
    """Gives what the run itself had left out before."""
    said = []
    pruned = focus.run.meta.get("pruned")
    if isinstance(pruned, Mapping) and {"nodes_before", "edges_before"} <= set(pruned):
        said.append(
            f"The run was pruned before, from {pruned['nodes_before']:,} nodes and"
            f" {pruned['edges_before']:,} edges."
        )
    if focus.cut_off >= 1e-4:
        said.append(
            f"{percent(focus.cut_off)} of the influence comes through edges that the run itself found too"
            " small to keep; they are summed in `rest`."
        )
    return said
