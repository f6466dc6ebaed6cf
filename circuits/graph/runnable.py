"""Whether a graph can be run: every feature with incoming edges must say how it responds to them.

Graphs of this package do. Attribution graphs of other tools hold neither gates nor pre-activations.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from jaxtyping import Int

from circuits.errors import Incompatible
from circuits.graph.graph import Graph


def unknown_gates(graph: Graph) -> Int[np.ndarray, "k"]:
    """Gives the rows of the expanded features of which nobody knows how they respond."""
    open_ = graph.nodes.select((pl.col("kind") == "feature") & pl.col("expanded") & pl.col("gate").is_null())
    return np.flatnonzero(open_.to_series().to_numpy())


def check_gates(graph: Graph, features: Int[np.ndarray, "k"]) -> None:
    """Refuses to run features of which nobody knows how they respond.

    Args:
        graph: any graph.
        features: rows of the node table that would be run.

    Raises:
        Incompatible: one of them has no gate.
    """
    unknown = np.intersect1d(features, unknown_gates(graph))
    if len(unknown):
        count = "1 feature responds" if len(unknown) == 1 else f"{len(unknown):,} features respond"
        raise Incompatible(
            f"How {count} to what flows into them is unknown ({graph.nodes['node'][int(unknown[0])]} …), so"
            " the graph cannot be run. Paths, influence, cuts and groups need no run; where all features are"
            " ReLU, import with --gate relu."
        )
