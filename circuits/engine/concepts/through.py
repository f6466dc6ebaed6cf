"""Through what two or three concepts act together: gates, and attention scores between them.

What arises at a gate k before one background is γ_k times the Möbius term of h_k, the part of its activation
that is no straight line (see `circuits.engine.games.mediate`): before every background these shares add up
to the interaction.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.engine.concepts.decide import interval, moebius
from circuits.engine.games.game import Coalitions, Gated
from circuits.engine.games.mediate import curves
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph

GATES = pl.Schema({"gate": pl.String(), "share": pl.Float64(), "low": pl.Float64(), "high": pl.Float64()})
SCORES = pl.Schema({"score": pl.String(), "weight": pl.Float64(), "pairs": pl.UInt32()})


def gate_shares(
    worth: Gated, masks: Coalitions, seen: Float[np.ndarray, "B K"], backgrounds: int
) -> pl.DataFrame:
    """Gives what of an interaction arises at each gate, the largest first, with 95% intervals.

    Args:
        worth: whose gates they are.
        masks: the coalitions of `circuits.engine.concepts.tables.coalitions`.
        seen: the pre-activations of all gates there.
        backgrounds: how many there are among the coalitions.
    """
    bent = curves(worth, masks, seen, np.full(len(masks), 1 / len(masks)))
    values = bent.values(worth.gates, masks, seen)
    rows = []
    for at, gate in enumerate(bent.gates):
        terms = moebius(values[:, at].reshape(backgrounds, -1))[:, -1]
        if np.abs(terms).max() > 0:
            rows.append((worth.gates.names[gate], float(terms.mean()), *interval(terms)))
    return pl.DataFrame(rows, GATES, orient="row").sort(
        pl.col("share").abs(), descending=True, maintain_order=True
    )


def scores_between(graph: Graph, concepts: Sequence[Concept]) -> pl.DataFrame:
    """Gives the attention scores two concepts meet in, where the graph has interactions of channel qk.

    `weight` is the sum over pairs with one member of either, `pairs` their number.
    """
    owner = {node: at for at, one in enumerate(concepts) for node in one.nodes}
    table = graph.hyperedges.filter(
        (pl.col("channel") == "qk") & pl.col("via").is_null() & (pl.col("order") == 2)
    )
    meets = [len({owner.get(m, -1) for m in members} - {-1}) == 2 for members in table["members"]]
    found = table.filter(pl.Series(meets, dtype=pl.Boolean)).group_by(score="target", maintain_order=True)
    summed = found.agg(weight=pl.col("weight").sum(), pairs=pl.len())
    return summed.sort(pl.col("weight").abs(), descending=True, maintain_order=True).cast(SCORES)
