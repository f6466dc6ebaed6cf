"""Concepts edited by hand: dropped, renamed, put into a document and taken from one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from circuits.errors import InvalidFile, NotFound, UsageError, near_matches
from circuits.graph.concepts import Concept, concepts, known
from circuits.graph.graph import Graph
from circuits.query.grouping.group import Grouping, kept, origins

FORMAT: Final = "concepts"
VERSION: Final = 1


def dropped(graph: Graph, names: Sequence[str]) -> Graph:
    """Gives the graph without some of its concepts, and without the interactions that name them.

    Raises:
        NotFound: it has no such concept.
    """
    for name in names:
        _check_known(graph, name)
    gone = list(names)
    column = pl.when(pl.col("concept").is_in(gone)).then(None).otherwise(pl.col("concept"))
    told = {name: entry for name, entry in origins(graph).items() if name not in gone}
    return _without(graph.with_nodes(concept=column), gone).with_meta(concepts=told)


def renamed(graph: Graph, old: str, new: str) -> Graph:
    """Gives the graph with one of its concepts called otherwise, in its interactions too.

    Raises:
        NotFound: it has no such concept.
        UsageError: the new name is empty, a node's, or another concept's.
    """
    _check_known(graph, old)
    new = new.strip()
    if not new or new in graph.index or new in origins(graph):
        why = "is empty" if not new else f"{new!r} is a node" if new in graph.index else f"{new!r} exists"
        raise UsageError(f"{old!r} cannot be renamed: the new name {why}.")
    moved = pl.col("concept").replace({old: new})
    told = {new if name == old else name: entry for name, entry in origins(graph).items()}
    entries = graph.meta.get("concept_tests") or ()
    tests = [_renamed_test(entry, old, new) for entry in entries]
    hyperedges = graph.hyperedges.with_columns(
        pl.col("members").list.eval(pl.element().replace({old: new})),
        pl.col("target", "via").replace({old: new}),
    )
    found = Graph(
        graph.with_nodes(concept=moved).nodes,
        graph.edges,
        hyperedges,
        graph.meta,
        graph.heads,
        graph.verdicts,
    )
    return found.with_meta(concepts=told, **({"concept_tests": tests} if tests else {}))


def added(graph: Graph, given: Sequence[str | Concept]) -> Graph:
    """Gives the graph with concepts made by hand; those that share a node with one of them are dropped whole.

    Raises:
        UsageError: as for `circuits.graph.concepts.concepts`.
        NotFound: a spec finds nothing.
    """
    return _replacing(graph, concepts(graph, given))


def regrouped(grouping: Grouping, graph: Graph) -> Graph:
    """Gives the graph with found groups in place of those found before; those made by hand stay.

    What a concept made by hand has is taken out of the groups; of a group of fewer than two nothing is left.
    """
    made = origins(graph)
    plain = dropped(graph, [name for name, entry in made.items() if entry["by"] == "auto"])
    taken = {node for one in known(plain) for node in one.nodes}
    rest, evidence = [], {}
    for one in grouping.concepts:
        nodes = tuple(node for node in one.nodes if node not in taken)
        if len(nodes) > 1:
            rest.append(Concept(_free(plain, one.name), nodes))
            evidence[rest[-1].name] = grouping.evidence[one.name]
    return kept(plain, rest, evidence).with_meta(grouping=dict(grouping.settings))


def document(graph: Graph) -> dict[str, Any]:
    """Gives a graph's concepts as a JSON document: nodes of each, who made it, by what evidence."""
    told = origins(graph)
    prompt = graph.meta.get("prompt") or {}
    return {
        "format": FORMAT,
        "version": VERSION,
        "prompt": prompt.get("text"),
        "concepts": {one.name: {"nodes": list(one.nodes), **told[one.name]} for one in known(graph)},
    }


def read(graph: Graph, told: Any, source: str) -> Graph:
    """Gives the graph with the concepts of a document added.

    Args:
        graph: any graph.
        told: what `document` gives; or concepts alone, a mapping of names to specs or to lists of nodes.
        source: what the document is called in errors.

    Raises:
        InvalidFile: it is no such document.
        NotFound: a concept names a node the graph does not have.
    """
    if not isinstance(told, Mapping):
        raise InvalidFile(f"{source} holds no concepts: write NAME: SPEC, or NAME: [NODE, …], line by line.")
    if "format" in told and (told["format"] != FORMAT or told.get("version") != VERSION):
        raise InvalidFile(
            f"{source} has format {told['format']!r}, version {told.get('version')!r}: this package reads"
            f" {FORMAT!r}, version {VERSION}."
        )
    listed = told.get("concepts", {}) if "format" in told else told
    if not isinstance(listed, Mapping) or not listed:
        raise InvalidFile(f"{source} holds no concepts.")
    made, entries = [], {}
    for name, entry in listed.items():
        nodes = entry.get("nodes") if isinstance(entry, Mapping) else entry
        if isinstance(nodes, str):
            made.append(Concept.of(graph, f"{name}={nodes}"))
        elif isinstance(nodes, list) and all(isinstance(node, str) for node in nodes):
            made.append(Concept(str(name), tuple(nodes)))
        else:
            raise InvalidFile(f"{source}: concept {name} is neither a spec nor a list of nodes.")
        if isinstance(entry, Mapping) and entry.get("by") in ("auto", "hand"):
            entries[str(name)] = {key: value for key, value in entry.items() if key != "nodes"}
    found = _replacing(graph, concepts(graph, made))
    return found.with_meta(concepts=origins(found) | entries)


def _replacing(graph: Graph, new: Sequence[Concept]) -> Graph:
    """Gives the graph with new concepts; interactions of concepts that had to go are dropped with them."""
    before = set(origins(graph))
    found = kept(graph, new)
    changed = {one.name for one in known(graph)} & {one.name for one in new}
    return _without(found, [*(before - set(origins(found))), *changed])


def _without(graph: Graph, gone: Sequence[str]) -> Graph:
    """Gives the graph without the interactions, and the tests, of concepts that are gone."""
    names = list(gone)
    named = (
        pl.col("members").list.eval(pl.element().is_in(names)).list.any()
        | pl.col("target").is_in(names)
        | pl.col("via").is_in(names).fill_null(value=False)
    )
    rest = graph.hyperedges.filter(~named)
    tests = graph.meta.get("concept_tests") or ()
    left = [entry for entry in tests if not set(names) & set(entry["concepts"])]
    meta = {**graph.meta, **({"concept_tests": left} if tests else {})}
    return Graph(graph.nodes, graph.edges, rest, meta, graph.heads, graph.verdicts)


def _renamed_test(entry: Mapping[str, Any], old: str, new: str) -> dict[str, Any]:
    """Gives a recorded concept test with one concept called otherwise."""
    if old not in entry["concepts"]:
        return dict(entry)
    moved = {
        part: {new if name == old else name: value for name, value in entry[part].items()}
        for part in ("concepts", "alone")
        if part in entry
    }
    return {**entry, **moved}


def _check_known(graph: Graph, name: str) -> None:
    names = list(origins(graph))
    if name not in names:
        have = f"among the {len(names)} of this run" if names else "in this run: it has none"
        raise NotFound(f"No concept {name!r} {have}.{near_matches(name, names)}")


def _free(graph: Graph, name: str) -> str:
    """Gives the name, with a number if a concept of the graph has it."""
    taken, number, free = origins(graph), 1, name
    while free in taken:
        number += 1
        free = f"{name} #{number}"
    return free
