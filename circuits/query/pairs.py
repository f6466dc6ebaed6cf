"""Which layers act together: pairs of members summed by the layers they stand in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.graph.influence import arriving
from circuits.query.combinations import ranked
from circuits.query.orders import NONE
from circuits.query.text import percent, plain

WORDS: Final = -1
"""The level of token and positional embeddings."""


@dataclass(frozen=True, eq=False)
class PairSums:
    """Sums over pairs by the levels of their members, symmetric.

    Attributes:
        levels: layers that members stand in, ascending; `WORDS` for embeddings.
        up: sums of the pairs that push up.
        down: of those that push down; neither is negative.
        pairs: how many pairs these are.
    """

    levels: tuple[int, ...]
    up: Float[np.ndarray, "L L"]
    down: Float[np.ndarray, "L L"]
    pairs: Int[np.ndarray, "L L"]

    @property
    def largest(self) -> float:
        """Gives the largest of all sums."""
        return float(max(self.up.max(), self.down.max()))

    def gid(self, i: int, j: int, up: bool) -> str:
        """Gives the name of a cell in the picture."""
        return f"cell:{self.levels[i]}·{self.levels[j]}{'+' if up else '−'}"

    def tips(self, values: str = "share") -> dict[str, str]:
        """Gives what is shown on pointing at each cell."""
        write = percent if values == "share" else plain
        told = {}
        for i in range(len(self.levels)):
            for j in range(i, len(self.levels)):
                for up, table in ((True, self.up), (False, self.down)):
                    who = f"{level_name(self.levels[i])} with {level_name(self.levels[j])}"
                    way = "up" if up else "down"
                    told[self.gid(i, j, up)] = f"{who}: pairs pushing {way} {write(float(table[i, j]))}"
        return told


def pair_sums(graph: Graph, values: str = "share", rows: pl.DataFrame | None = None) -> PairSums:
    """Gives how much pairs make up, summed by the levels of their two members.

    A concept counts for each of its nodes in equal parts.

    Args:
        graph: a graph with interactions.
        values: "share", |weight| as a share of what moves the targets (`circuits.query.combinations`),
            which can be added across gates; or "weight", |weight| itself, whatever its units.
        rows: `ranked(graph, …)`, where it is at hand already.

    Raises:
        UsageError: there are no interactions, none of pairs, or `values` is neither.
    """
    if values not in ("share", "weight"):
        raise UsageError(f"No values {values!r}: give share or weight.")
    if not len(graph.hyperedges):
        raise UsageError(NONE)
    pairs = (ranked(graph, arriving(graph)) if rows is None else rows).filter(order=2)
    size = pl.col("share") if values == "share" else pl.col("weight").abs()
    pairs = pairs.with_columns(size=size).filter((pl.col("size") > 0) & (pl.col("members").list.len() == 2))
    if not len(pairs):
        raise UsageError("This graph holds no pairs that bear on its targets: there is nothing to draw.")
    parts = _parts(graph)
    ends = pairs.with_row_index("pair").select(
        "pair",
        "size",
        up=pl.col("weight") > 0,
        one=pl.col("members").list[0],
        other=pl.col("members").list[1],
    )
    for end in ("one", "other"):
        ends = ends.join(parts.rename({"member": end, "level": f"{end}_at", "part": f"{end}_part"}), on=end)
    levels = np.unique(ends.select(pl.concat([pl.col("one_at"), pl.col("other_at")])).to_series().to_numpy())
    place = [np.searchsorted(levels, ends[f"{end}_at"].to_numpy()) for end in ("one", "other")]
    low, high = np.minimum(*place), np.maximum(*place)
    amount = (ends["size"] * ends["one_part"] * ends["other_part"]).to_numpy()
    up, cell = ends["up"].to_numpy(), low * len(levels) + high
    _, once = np.unique(np.stack([ends["pair"].to_numpy(), cell]), axis=1, return_index=True)
    summed = [_summed(cell, part, len(levels)) for part in (amount * up, amount * ~up)]
    counts = _summed(cell[once], np.ones(len(once)), len(levels)).astype(np.int64)
    return PairSums(tuple(int(level) for level in levels), summed[0], summed[1], counts)


def level_name(level: int) -> str:
    """Gives a level in words."""
    return "words" if level == WORDS else f"layer {level}"


def _parts(graph: Graph) -> pl.DataFrame:
    """Gives the levels every node and concept stands in, and which part of it in each."""
    nodes = graph.nodes.select("node", "concept", level=pl.col("layer").fill_null(WORDS))
    own = nodes.select("level", member="node", part=pl.lit(1.0))
    grouped = nodes.filter(pl.col("concept").is_not_null()).group_by("concept", "level", maintain_order=True)
    counts = grouped.agg(count=pl.len()).with_columns(
        part=pl.col("count") / pl.col("count").sum().over("concept")
    )
    concepts = counts.select("level", member="concept", part="part")
    return pl.concat([own, concepts.filter(~pl.col("member").is_in(own["member"].implode()))])


def _summed(
    cell: Int[np.ndarray, "k"], values: Float[np.ndarray, "k"], size: int
) -> Float[np.ndarray, "L L"]:
    """Gives a symmetric table of sums, from cells numbered row by row on and above the diagonal."""
    table = np.bincount(cell, weights=values, minlength=size * size).reshape(size, size)
    return np.asarray(table + np.triu(table, 1).T, np.float64)
