"""From where to where: the two sets of nodes a question about paths or cuts is about, in words and rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float

from circuits.errors import CircuitsError, UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.influence import normalised, of_kind, propagate
from circuits.graph.names import resolve, resolve_target
from circuits.graph.specs import WORDS
from circuits.query.between import Between
from circuits.query.subject import check_opened, heaviest
from circuits.query.text import Naming, quoted


@dataclass(frozen=True, eq=False)
class Ends:
    """Where paths begin and end.

    Attributes:
        graph: whose paths they are.
        naming: its readable names.
        shares: its normalised weights, row = target.
        sources: the concept or node they begin at; None: wherever influence begins.
        starts: its nodes.
        target: the concept or node they end at.
        weights: of the nodes of the target, 1 in all: of several each counts by its influence.
        through: the first and the last layer of which every path has a node.
    """

    graph: Graph
    naming: Naming
    shares: sp.csr_array
    sources: Concept | None
    starts: Bool[np.ndarray, "n"]
    target: Concept
    weights: Float[np.ndarray, "n"]
    through: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        graph: Graph,
        target: str | Concept | None,
        sources: str | Concept | None,
        through: tuple[int, int] | None = None,
    ) -> Ends:
        """Gives the ends that names mean.

        Args:
            graph: any graph.
            target: a node, or several by any name; the heaviest target unless given.
            sources: any name of nodes; the leaves unless given.
            through: first and last layer.

        Raises:
            NotFound: nothing is called so; no feature is in these layers.
            UsageError: a name is ambiguous; nothing flows into the target; no path leads there.
        """
        aim = meant_target(graph, target)
        shares = normalised(graph)
        weights = _weights(graph, aim, shares)
        begin = None if sources is None else resolve(graph, sources)
        if begin is None:
            starts = leaves(graph, shares)
        else:
            starts = np.zeros(len(graph.nodes), dtype=bool)
            starts[[graph.row(node) for node in begin.nodes]] = True
        if through is not None:
            check_layers(graph, through)
        found = cls(graph, Naming.of(graph), shares, begin, starts, aim, weights, through)
        found._check_connected()
        return found

    @cached_property
    def between(self) -> Between:
        """Gives the network of the paths."""
        return Between.of(self.shares, self.starts, self.weights, self._inside)

    @cached_property
    def anywhere(self) -> Between:
        """Gives the network of all paths between the two, whatever layers they pass."""
        whole = Between.of(self.shares, self.starts, self.weights)
        return self.between if self.through is None else whole

    @property
    def node(self) -> str | None:
        """Gives the target's node, None where it has several."""
        return self.target.nodes[0] if len(self.target.nodes) == 1 else None

    def from_words(self) -> str:
        """Gives where paths begin in words."""
        return (
            "wherever influence begins" if self.sources is None else concept_words(self.naming, self.sources)
        )

    def to_words(self) -> str:
        """Gives where they end in words; an output by its token."""
        node = self.node
        if node is not None and self.graph.nodes["kind"][self.graph.row(node)] == "logit":
            return self.naming.output(node)
        return concept_words(self.naming, self.target)

    def through_words(self) -> str:
        """Gives where they pass in words, with a space before; nothing for anywhere."""
        if self.through is None:
            return ""
        first, last = self.through
        return f" through layer {first}" if first == last else f" through layers {first} to {last}"

    @property
    def _inside(self) -> Bool[np.ndarray, "n"] | None:
        if self.through is None:
            return None
        layer = self.graph.nodes["layer"].fill_null(-1).to_numpy()
        here = (layer >= self.through[0]) & (layer <= self.through[1])
        return np.asarray(here & of_kind(self.graph, "feature", "error"))

    def _check_connected(self) -> None:
        if self.sources is not None and not self.between.sources.any():
            raise UsageError(
                f"{self.from_words()} has no node that is not in {self.to_words()} too: name other sources."
            )
        if self.between.total > 0:
            return
        ways = f"from {self.from_words()} to {self.to_words()}"
        if self.through is not None and self.anywhere.total > 0:
            raise UsageError(
                f"No path {ways} has a node{self.through_words().replace('through', 'of')}; without that,"
                f" {self.anywhere.count:,.0f} paths lead there."
            )
        turned = Between.of(self.shares, self.weights > 0, self.starts / max(self.starts.sum(), 1))
        hint = " They lead the other way." if self.sources is not None and turned.total > 0 else ""
        raise UsageError(f"No path leads {ways}: no influence flows there, not even indirectly.{hint}")


def leaves(graph: Graph, shares: sp.csr_array) -> Bool[np.ndarray, "n"]:
    """Tells which nodes influence flows from but not into, not even through edges cut off.

    Args:
        graph: the graph.
        shares: its normalised weights.
    """
    kinds = graph.nodes["kind"].is_in(["token", "position", "error", "feature"]).to_numpy()
    inflow = np.asarray(shares.sum(axis=1)).ravel() + graph.nodes["truncated"].to_numpy()
    return np.asarray(kinds & (inflow == 0))


def meant_target(graph: Graph, target: str | Concept | None) -> Concept:
    """Gives the node a text means as what is explained, or else the nodes it means.

    Raises:
        NotFound, UsageError: as `circuits.graph.names` has them; no target is named and there is none.
    """
    if isinstance(target, Concept):
        return resolve(graph, target)
    if target is None:
        node = heaviest(graph)
        return Concept(node, (node,))
    try:
        node = resolve_target(graph, target)
    except CircuitsError as refused:
        try:
            return resolve(graph, target)
        except CircuitsError:
            raise refused from None
    return Concept(node, (node,))


def concept_words(naming: Naming, concept: Concept) -> str:
    """Gives a concept in words: its only node's, or its name and how many nodes it has."""
    if len(concept.nodes) == 1:
        return naming.phrase(concept.nodes[0])
    if concept.name == WORDS:
        return "the words of the prompt"
    return f"{quoted(concept.name)} ({len(concept.nodes)} nodes)"


def check_layers(graph: Graph, through: tuple[int, int]) -> None:
    """Refuses layers that run backwards or have no feature.

    Raises:
        UsageError: the last is before the first.
        NotFound: none of the graph's nodes is there.
    """
    first, last = through
    if last < first:
        raise UsageError(f"Layers {first} to {last} run backwards: write {last} to {first}.")
    layers = graph.nodes.filter(pl.col("kind").is_in(["feature", "error"]))["layer"].drop_nulls()
    if not layers.is_between(first, last).any():
        have = f"they go from {layers.min()!r} to {layers.max()!r}" if len(layers) else "it has no layers"
        raise UsageError(f"No node of this graph is in layers {first} to {last}: {have}.")


def _weights(graph: Graph, aim: Concept, shares: sp.csr_array) -> Float[np.ndarray, "n"]:
    """Gives the weight of each target: 1, or of several that something flows into, by their influence."""
    rows = np.array([graph.row(node) for node in aim.nodes])
    weights = np.zeros(len(graph.nodes))
    if len(rows) == 1:
        check_opened(graph, int(rows[0]))
    flows = np.asarray(shares[rows].sum(axis=1)).ravel() + graph.nodes["truncated"].to_numpy()[rows] > 0
    if not flows.any():
        raise UsageError(f"Nothing flows into {aim.name}: name a feature or an output that is opened up.")
    asked = graph.nodes["target_weight"].to_numpy()
    known = (propagate(shares, asked) + asked)[rows] * flows
    weights[rows] = known / known.sum() if known.sum() > 0 else flows / flows.sum()
    return weights
