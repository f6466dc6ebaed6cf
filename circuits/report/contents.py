"""What a report holds, section by section, whatever it is written as."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from circuits.graph.graph import Graph
from circuits.plot.network import network
from circuits.plot.strongest_paths import strongest_paths
from circuits.plot.waterfall import waterfall
from circuits.query.findings import TRUST
from circuits.query.text import Naming
from circuits.report import sections
from circuits.report.blocks import (
    Block,
    Code,
    Downloads,
    Facts,
    Picture,
    Report,
    Section,
    TableBlock,
    Terms,
    Text,
    Viewer,
)
from circuits.report.cards import card_blocks
from circuits.report.combinations import combination_blocks, combination_tips, terms
from circuits.report.compare import difference_blocks, trust_of_both
from circuits.report.concepts import concept_blocks
from circuits.report.material import Material, name_of
from circuits.report.opening import finding, outputs, prompt, subtitle
from circuits.report.picture import themed
from circuits.report.tables import Table, answer_table
from circuits.report.tried import tried_blocks
from circuits.report.trust import WORST, badge, ends, interactions_table, scores, standing


def contents(material: Material, *, interactive: bool = True) -> Report:
    """Gives the whole report.

    Args:
        material: what it is made from.
        interactive: with the document of the interactive graph.

    Raises:
        UsageError: the graph has no target that could be explained.
        Incompatible: the second graph's features come from another dictionary.
    """
    answer = material.contrast or material.answer
    of = "" if material.contrast is None else f" in {name_of(material.graph)}"
    found = [
        Section("answer", "Answer", tuple(_answer(material))),
        Section("trust", "How far to trust this", tuple(_trust(material, interactive=interactive))),
    ]
    if material.contrast is not None:
        blocks = difference_blocks(material.contrast, material.nodes)
        found.append(Section("difference", "What differs", blocks))
    suggested = material.document["graph"]["concepts"]
    found += [
        Section("concepts", f"Concepts{of}", concept_blocks(material.focus, material.run, suggested)),
        Section(
            "combinations",
            f"Combinations{of}",
            combination_blocks(material.focus, material.answer, material.run),
        ),
        Section("paths", f"Paths and sources{of}", tuple(_paths(material))),
        Section("graph", "The graph", tuple(_graph(material, interactive=interactive))),
        Section("features", f"Features{of}", tuple(_features(material, interactive=interactive))),
        Section(
            "interventions", f"Interventions{of}", tried_blocks(material.graph, material.target, material.run)
        ),
        Section("method", "How it was made", (Terms(tuple(_method(material.focus))),)),
        Section("again", "Run it again", tuple(_again(material))),
    ]
    return Report(
        title=material.title or answer.question,
        subtitle=subtitle(material.focus),
        sections=tuple(section for section in found if section.blocks),
        document=material.document if interactive else None,
    )


def _answer(material: Material) -> Iterator[Block]:
    answer, graph = material.answer, material.focus
    sides = ("", "") if material.contrast is None else tuple(material.contrast.meta["targets"])
    names = ("", "") if material.against is None else (name_of(material.graph), name_of(material.against))
    yield prompt(Naming.of(graph), answer.tables.get("words"), names[0])
    if material.against is not None:
        words = None if material.second is None else material.second.tables.get("words")
        yield replace(prompt(Naming.of(material.against), words, names[1]), note="")
    trust = str(answer.meta.get("trust") or "")
    yield finding(material.contrast or answer, trust)
    yield from _badge(material, names)
    listed = [outputs(material.graph, material.target)]
    if material.against is not None:
        listed.append(outputs(material.against, sides[1]))
    for table, name, side in zip(listed, names, ("", "-there"), strict=False):
        if table is not None:
            yield TableBlock(_called(table, name, side))


def _badge(material: Material, names: tuple[str, str]) -> Iterator[Block]:
    """Gives the badge; of two runs that of the one less to be trusted, for a comparison rests on both."""
    found = [(standing(material.focus, material.answer), names[0])]
    if material.against is not None:
        other = material.second
        found.append((None if other is None else standing(material.against, other), names[1]))
    known = [(one, name) for one, name in found if one is not None]
    if known:
        worst, name = min(known, key=lambda pair: WORST.index(pair[0].word()))
        differ = len({one.word() for one, _ in known}) > 1
        yield badge(worst, name if differ else "")


def _called(table: Table, name: str, side: str) -> Table:
    """Gives a table of one run of two, its heading with the run's name; `side` keeps their names apart."""
    heading = f"{table.heading}: {name}" if name else table.heading
    return replace(table, name=f"{table.name}{side}", heading=heading)


def _trust(material: Material, *, interactive: bool) -> Iterator[Block]:
    answer, graph = material.answer, material.focus
    said = str(answer.meta.get("trust") or "").removeprefix(f"{TRUST}: ")
    if said:
        yield Text((said[:1].upper() + said[1:],), "prose")
    for block in (ends(answer), scores(graph, answer)):
        if block is not None:
            yield block
    if material.contrast is not None and (both := trust_of_both(material.contrast)) is not None:
        yield both
    sure = interactions_table(graph)
    if sure is not None:
        yield TableBlock(sure)
    yield Text(tuple(_shown(material, interactive=interactive)), "prose", "What is shown, and what is not")


def _shown(material: Material, *, interactive: bool) -> Iterator[str]:
    """Gives how much of the run this file shows, and by which rule the rest is left out."""
    nodes, edges = len(material.graph.nodes), len(material.graph.edges)
    if not interactive:
        few = f"the {material.nodes} most influential" if material.nodes < nodes else "all"
        yield f"Of {nodes:,} nodes and {edges:,} edges {few} are drawn, with the strongest edges between."
        return
    part = material.document["graph"]
    held = len(part["nodes"]["node"]), len(part["edges"]["weight"])
    told = f"{held[0]:,} of {nodes:,} nodes and {held[1]:,} of {edges:,} edges"
    still = f"the still picture shows {min(material.nodes, nodes)} nodes, those with most influence"
    yield f"This page holds {told} of the run; {still}."
    yield from part["left_out"]


def _paths(material: Material) -> Iterator[Block]:
    answer = material.answer
    for name, heading in (
        ("paths", "The strongest paths"),
        ("words", "Words"),
        ("totals", "The sum behind the value"),
    ):
        table = answer_table(answer, name, heading)
        if table is None:
            continue
        yield TableBlock(table)
        if name == "paths":
            drawn = themed(strongest_paths(answer), "paths", {}, "The same paths, step by step.")
            yield Picture(drawn, "scroll", "", "paths")
        if name == "totals":
            drawn = themed(waterfall(answer.tables["totals"]), "sum", {}, "The same totals as bars.")
            yield Picture(drawn, "small", "", "sum")
    told = ("features", "combinations", "verified", "ends", "trust", "paths", "words", "totals")
    for name in answer.tables:
        table = None if name in told else answer_table(answer, name, name.capitalize())
        if table is not None:
            yield TableBlock(table)


def _graph(material: Material, *, interactive: bool) -> Iterator[Block]:
    drawn = network(material.focus, nodes=material.nodes)
    gids = [str(shape.get_gid()) for shape in drawn.patches]
    names = [gid.removeprefix("node:") for gid in gids if gid.startswith("node:")]
    tips = sections.tips(material.focus, names) | combination_tips(material.answer)
    diamonds = any(gid.startswith("hyperedge:") for gid in gids)
    yield Text((NETWORK + (DIAMONDS if diamonds else ""),))
    alternative = sections.alternative(material.answer)
    still = Picture(themed(drawn, "net", tips, alternative), "scroll", "", "network")
    yield Viewer(still) if interactive else still
    if interactive:
        runs = (material.graph, material.against)
        yield Downloads(tuple(name_of(graph) for graph in runs if graph is not None))


NETWORK: Final = (
    "Tokens from left to right, layers upwards; a node stands where it is read. Solid blue edges push their"
    " receiver up, dashed orange ones down."
)
DIAMONDS: Final = (
    " Diamonds with a sign are combinations: dotted lines lead from their members, the line to what they act"
    " on is as wide as their share."
)


def _features(material: Material, *, interactive: bool) -> Iterator[Block]:
    table = answer_table(material.answer, "features", "The most influential")
    if table is not None:
        yield TableBlock(table)
    yield from card_blocks(material.focus, material.cards, interactive=interactive)


def _method(graph: Graph) -> Iterator[tuple[str, str]]:
    yield from sections.method(graph)
    yield from terms(graph)


def _again(material: Material) -> Iterator[Block]:
    for graph in (material.graph, material.against):
        lines = [] if graph is None else sections.commands(graph)
        if lines:
            yield Code("\n".join(lines))
    yield Code(material.answer.code, language="python")
    if material.contrast is not None:
        yield Code(material.contrast.code, language="python")
    facts = tuple(sections.facts(material.graph))
    if facts:
        yield Facts("Versions, fingerprints, seeds, settings, timings", facts)
