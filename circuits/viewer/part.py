"""One graph of a document: its tables, and what was left out of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path as Folder
from typing import Any, Final

import polars as pl

from circuits.cards.record import Cards
from circuits.graph.graph import Graph
from circuits.query.facts import facts
from circuits.query.paths import Path, top_paths
from circuits.query.text import percent
from circuits.viewer import combinations
from circuits.viewer.cards import cards_of, cards_part, count
from circuits.viewer.concepts import Concepts, concept_parts
from circuits.viewer.focus import Focus, numbers
from circuits.viewer.nodes import Part


@dataclass(frozen=True)
class Shown:
    """How much of a graph goes into a document; what is left out is said in it.

    Attributes:
        nodes: the most nodes, by influence, unless words, outputs and what else is shown name more.
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


USUAL: Final = Shown()


def graph_part(
    focus: Focus, named: Collection[str], cards: Cards | None, shown: Shown, name: str | None
) -> tuple[dict[str, Any], Part]:
    """Gives one graph of a document, and which of its nodes and edges are there.

    Args:
        focus: the run and what is explained.
        named: nodes that are there whatever their influence.
        cards: of the dictionary; those that lie beside it unless given.
        shown: how much goes in.
        name: how the run is called.
    """
    graph = focus.graph
    cards, no_cards = (cards, []) if cards is not None else cards_of(focus.run)
    rows = combinations.chosen(focus, shown.hyperedges)
    players = combinations.players(graph, rows)
    ways = _ways(focus, shown.paths)
    verdicts = _verdicts(graph, shown.verdicts)
    must = {*named, *combinations.names_in(graph, rows, players), *(n for way in ways for n in way.nodes)}
    must |= {*verdicts["members"].explode().drop_nulls(), *verdicts["target"].drop_nulls()}
    part = Part.of(focus, must, shown.nodes, shown.edges)
    concepts = Concepts.of(focus)
    concept_rows, flows, about_concepts = concept_parts(focus, concepts, part.names)
    card_part, about_cards = cards_part(part.features(), cards, shown.cards)
    said = [*part.told, *combinations.told(graph, rows), *about_concepts, *about_cards, *no_cards]
    if len(verdicts) < len(graph.verdicts):
        said.append(
            f"Of {len(graph.verdicts):,} interventions {len(verdicts):,} are here, those of the largest"
            " predicted effect."
        )
    told = {
        **_head(focus, name),
        "totals": {
            "nodes": len(focus.run.nodes),
            "edges": len(focus.run.edges),
            "hyperedges": len(focus.run.hyperedges),
            "combinations": len(combinations.together(focus.run)),
            "cards": count(focus.run, cards),
        },
        "left_out": [*said, *_cut(focus)],
        "nodes": part.node_table(concepts.of_node()),
        "edges": part.edge_table(),
        "hyperedges": combinations.table(focus, rows),
        "players": players,
        "concepts": concept_rows,
        "concept_edges": flows,
        "matrix": combinations.matrix(focus),
        "paths": [{"nodes": list(way.nodes), "effect": way.effect, "share": way.share} for way in ways],
        "cards": card_part,
        "verdicts": _verdict_rows(verdicts),
        "facts": [list(fact) for fact in facts(focus.run)],
        "command": focus.run.meta.get("command"),
    }
    return told, part


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
        "name": name or Folder(where).name or "graph",
        "prompt": str(prompt.get("text") or ""),
        "tokens": list(focus.naming.tokens),
        "model": str(model.get("name") or model.get("spec") or ""),
        "dictionary": str(dictionary.get("spec") or dictionary.get("kind") or ""),
        "layers": 1 + max((int(layer) for layer in known), default=-1),
        "targets": targets,
    }


def _ways(focus: Focus, most: int) -> list[Path]:
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
