"""Concepts: named sets of nodes, written as a user writes them.

A concept is ``NAME=SPEC``. A spec is one or more parts joined by ``|`` or ``,`` (or: a node of any part)
and by ``&`` (and: the nodes both parts have, binding tighter):

====================  ==========================================================================
``12/4051@7``         that node; so ``tok@3``, ``err12@7``
``12/4051``           that feature, at every position where it is on
``token:" Dallas"``   the token, positional embedding and every feature at each place where these
                      tokens or several in a row spell the word; the leading space may be left out
``pos:3`` ``pos:3-5`` the same by position, the first being 0
``label:*capital*``   features whose whole label matches: shell wildcards (``*``, ``?``, ``[abc]``),
                      capitals and small letters alike
``layer:3``           the features of a layer; ``layer:3-5`` of three layers
``words``             the token embeddings of all positions
``texas``             all nodes of a concept the graph already has; ``concept:texas`` where a word
                      of the prompt is spelt the same
====================  ==========================================================================

Double quotes keep ``|``, ``,``, ``&`` and spaces as they are. ``auto`` in place of ``NAME=SPEC`` groups the
nodes by itself: see `circuits.graph.grouping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.graph import Graph
from circuits.graph.grouping import AUTO, automatic
from circuits.graph.influence import CONSTANTS
from circuits.graph.specs import named, split

SHOWN = 3
"""Nodes listed in an error, at most."""


@dataclass(frozen=True)
class Concept:
    """A named set of nodes.

    Attributes:
        name: how it is called; a node's name only where it is that node.
        nodes: names of nodes, in the node table's order, none twice.
    """

    name: str
    nodes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise UsageError("A concept without a name: write NAME=SPEC, such as texas=token:Dallas.")
        if not self.nodes:
            raise UsageError(f"Concept {self.name} is empty: name at least one node.")

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        name = self.name if len(self.name) <= 60 else f"{self.name[:59]}…"
        return f"Concept({name!r}, {len(self)} nodes)"

    @classmethod
    def of(cls, graph: Graph, text: str) -> Concept:
        """Gives the concept written as ``NAME=SPEC``, or the one of this name that the graph has.

        Raises:
            UsageError: it is not written so, or names a constant.
            NotFound: a part of the spec, or the name, finds nothing; what was searched is said.

        Example:
            >>> Concept.of(graph, 'texas=token:" Dallas"')  # doctest: +SKIP
        """
        name, equals, spec = text.partition("=")
        name = name.strip()
        if not equals:
            return _stored(graph, name)
        if name in graph.index:
            raise UsageError(f"Concept {name} bears the name of a node: choose another.")
        return cls(name, ordered(graph, name, nodes_of_spec(graph, name, spec)))


def concepts(
    graph: Graph, given: Sequence[str | Concept], *, targets: Sequence[str] | None = None
) -> tuple[Concept, ...]:
    """Gives concepts that can be players of one game: none empty, none overlapping, none with a target.

    Args:
        graph: whose nodes they name.
        given: concepts, texts ``NAME=SPEC``, names of concepts the graph has, ``auto`` or ``auto:N``.
        targets: nodes whose value is explained; the graph's own unless given.

    Raises:
        UsageError: as for `Concept.of`; two concepts share a node or a name; one names a target.
        NotFound: as for `Concept.of`; a node is not in the graph.
    """
    found: list[Concept] = []
    for one in given:
        if isinstance(one, str) and one.partition(":")[0].strip() == AUTO:
            taken = {node for other in found for node in other.nodes}
            found += [Concept(name, nodes) for name, nodes in automatic(graph, one, taken)]
        else:
            found.append(Concept.of(graph, one) if isinstance(one, str) else checked(graph, one))
    _check_disjoint(found)
    _check_targets(found, set(graph.targets if targets is None else targets) | _logits(graph))
    return tuple(found)


def known(graph: Graph) -> tuple[Concept, ...]:
    """Gives the concepts of the node table, in order of their first node."""
    table = graph.nodes.filter(pl.col("concept").is_not_null())
    grouped = table.group_by("concept", maintain_order=True).agg("node")
    return tuple(Concept(name, tuple(nodes)) for name, nodes in grouped.iter_rows())


def with_concepts(graph: Graph, given: Sequence[Concept]) -> Graph:
    """Gives the graph with the node table's `concept` column naming these concepts.

    A node has one concept: earlier concepts of the same names, or that share a node with a new one, are
    forgotten whole.
    """
    mine = {node: one.name for one in given for node in one.nodes}
    names = {one.name for one in given}
    gone = names | {one.name for one in known(graph) if any(node in mine for node in one.nodes)}
    before = graph.nodes["concept"].to_list()
    column = [
        mine.get(node, None if old in gone else old) for node, old in zip(graph.index, before, strict=True)
    ]
    return graph.with_nodes(concept=pl.Series(column, dtype=pl.String))


def nodes_of_spec(
    graph: Graph, name: str, spec: str, part_of: Callable[[Graph, str], set[str]] = named
) -> set[str]:
    """Gives the nodes of a spec: parts joined by | or , of parts joined by &.

    Args:
        graph: whose nodes they are.
        name: of the concept, for errors.
        spec: as it is written.
        part_of: gives the nodes of one part.

    Raises:
        UsageError: nothing is written.
        NotFound: a part finds nothing, or parts have no node in common.
    """
    either = split(spec, "|,")
    if not any(part.strip() for part in either):
        raise UsageError(f"Concept {name} is empty: say which nodes after {name}=, such as 12/4051@7.")
    found: set[str] = set()
    for part in either:
        if not part.strip():
            continue
        both = [piece for piece in split(part, "&") if piece.strip()]
        sets = [part_of(graph, piece.strip()) for piece in both]
        common = set.intersection(*sets) if sets else set()
        if not common:
            counts = " and ".join(f"{p.strip()} ({len(s)} nodes)" for p, s in zip(both, sets, strict=True))
            raise NotFound(f"Concept {name} is empty: {counts or repr(part)} have no node in common.")
        found |= common
    return found


def _stored(graph: Graph, name: str) -> Concept:
    have = {one.name: one for one in known(graph)}
    if name in have:
        return have[name]
    if not have:
        raise UsageError(
            f"{name!r} is no concept: write NAME=SPEC, such as texas=token:Dallas or x=12/4051@7,13/22@7."
        )
    raise NotFound(f"No concept {name!r} among the {len(have)} of this graph.{near_matches(name, have)}")


def checked(graph: Graph, concept: Concept) -> Concept:
    """Gives a concept a program made, its nodes in order; refuses what the graph does not have."""
    nodes = {str(graph.nodes["node"][graph.row(node)]) for node in concept.nodes}
    return Concept(concept.name, ordered(graph, concept.name, nodes))


def ordered(graph: Graph, name: str, nodes: Iterable[str]) -> tuple[str, ...]:
    """Gives a concept's nodes in the node table's order; refuses constants, which are always on."""
    kinds = graph.nodes["kind"].cast(pl.String)
    constants = sorted(node for node in nodes if kinds[graph.row(node)] in CONSTANTS)
    if constants:
        raise UsageError(
            f"Concept {name} names {constants[0]}, a constant, which is always on: name features, tokens or"
            " errors."
        )
    return tuple(sorted(nodes, key=graph.row))


def _check_disjoint(found: Sequence[Concept]) -> None:
    owner: dict[str, str] = {}
    for one in found:
        if one.name in {other.name for other in found if other is not one}:
            raise UsageError(f"Two concepts are called {one.name}: give each a name of its own.")
        shared = [node for node in one.nodes if node in owner]
        if shared:
            first = owner[shared[0]]
            common = [node for node in shared if owner[node] == first]
            raise UsageError(
                f"Concepts {first} and {one.name} overlap in {_listed(common)}: a node can belong to one"
                " of them only."
            )
        owner |= dict.fromkeys(one.nodes, one.name)


def _check_targets(found: Sequence[Concept], targets: set[str]) -> None:
    for one in found:
        aimed = [node for node in one.nodes if node in targets]
        if aimed:
            raise UsageError(
                f"Concept {one.name} names the target {aimed[0]}: what is explained cannot be among its"
                " causes."
            )


def _logits(graph: Graph) -> set[str]:
    return set(graph.nodes.filter(pl.col("kind") == "logit")["node"])


def _listed(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
    return f"{', '.join(nodes[:SHOWN])}{more}"
