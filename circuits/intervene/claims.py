"""What a graph claims, each with the intervention that tests it, and the interactions among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.actions import Affine, Intervention
from circuits.graph.graph import Graph

Kind = Literal["node", "pair", "set", "path", "edge", "concept", "circuit"]


@dataclass(frozen=True)
class Claim:
    """One intervention, and what of the graph it tests.

    Attributes:
        kind: what is acted on; `path` and `edge`: the source of a path, or of an edge of it.
        members: nodes, or the name of a concept.
        intervention: what is done to nodes.
        responding: the only features that respond, all others held at what they are on this prompt;
            None: all respond.
    """

    kind: Kind
    members: tuple[str, ...]
    intervention: Intervention
    responding: tuple[str, ...] | None = None

    @property
    def key(self) -> tuple[object, ...]:
        """Gives what makes two claims the same test."""
        return (frozenset(self.intervention.nodes.items()), self.responding)

    def measured_with(self, held: Sequence[str], graph: Graph) -> Intervention:
        """Gives the intervention on the model: what is done, and features held where they are."""
        done = dict(self.intervention.nodes)
        activation = graph.nodes["activation"]
        still = {node: Affine(0.0, float(activation[graph.row(node)])) for node in held if node not in done}
        return Intervention(self.intervention.name, {**still, **done})

    def held(self, graph: Graph) -> list[str]:
        """Gives the features held where they are, whatever else is: none where all respond."""
        if self.responding is None:
            return []
        return graph.nodes.filter((pl.col("kind") == "feature") & ~pl.col("node").is_in(self.responding))[
            "node"
        ].to_list()

    def seen_by(self, graph: Graph) -> Graph:
        """Gives the graph in which only the responding features respond."""
        if self.responding is None:
            return graph
        moves = pl.col("node").is_in(self.responding) | pl.col("node").is_in(graph.targets)
        return graph.with_nodes(expanded=pl.col("expanded") & moves)


@dataclass(frozen=True)
class Together:
    """What members do beyond their subsets: Σ over subsets S of (−1)^(|T| − |S|) · effect of S.

    Attributes:
        members: nodes, or names of concepts.
        parts: by place among the claims, the claim that tests each subset, and its sign.
    """

    members: tuple[str, ...]
    parts: tuple[tuple[int, int], ...]

    def of(self, effects: Float[np.ndarray, "C"]) -> float:
        """Gives the interaction, from the effect of every claim."""
        return float(sum(sign * effects[place] for place, sign in self.parts))


@dataclass(frozen=True)
class Plan:
    """What is to be tried.

    Attributes:
        target: whose value is watched.
        claims: one intervention each.
        together: interactions that follow from them.
        controls: places among the claims of nodes chosen because they should do little.
        budget: interventions that were allowed.
        seed: by which the controls were drawn.
    """

    target: str
    claims: tuple[Claim, ...]
    together: tuple[Together, ...]
    controls: frozenset[int]
    budget: int
    seed: int


DOUBLED: Final = Affine(2.0, 0.0)
OFF: Final = Affine(0.0, 0.0)
