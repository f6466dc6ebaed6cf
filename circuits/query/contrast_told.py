"""What the sentences of a contrast are made of, and how its numbers are written in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from circuits.query.contrast_asked import Asked
from circuits.query.contrast_pair import Pair
from circuits.query.contrast_swaps import Swaps
from circuits.query.contrast_tables import ROUNDING, share_of
from circuits.query.text import KIND_WORDS, percent, plain, signed


@dataclass(frozen=True)
class Told:
    """A contrast to be told.

    Attributes:
        pair: the two graphs.
        asked: what is compared.
        tables: the numbers, by name.
        swaps: what the graph predicts of swapping features, where that was asked.
    """

    pair: Pair
    asked: Asked
    tables: Mapping[str, pl.DataFrame]
    swaps: Swaps | None = None

    def named(self, node: str, side: int = 0) -> str:
        """Gives a node of the tables, or a head or concept, in a few words, as one of the graphs says it."""
        place = self.pair.place_of.get(node)
        return self.pair.naming()[0].phrase(node) if place is None else self.pair.phrase(place, side)

    def part(self, name: str) -> dict[str, float]:
        """Gives a row of the totals, zeros if there is none."""
        rows = self.tables["totals"].filter(part=name).select("here", "there", "change").to_dicts()
        return rows[0] if rows else {"here": 0.0, "there": 0.0, "change": 0.0}

    def beginning(self, kind: str) -> float | None:
        """Gives the share of the difference that begins at nodes of a kind, None if there is none."""
        rows = self.tables["words"].filter(word=KIND_WORDS[kind])
        return rows["share"][0] if len(rows) else None

    def level(self, value: float) -> str:
        """Gives a value of the target, 0 where it is rounding; signed for a difference of outputs."""
        if abs(value) <= ROUNDING * self.pair.scale:
            return "0"
        return signed(value) if " over " in self.asked.words[0] else plain(value)

    def signed(self, value: float) -> str:
        """Gives a signed number, `0` for nothing."""
        return signed(value) or "0"

    def amount(self, change: float) -> str:
        """Gives a change and its share, for brackets: `+4.85, 31%`."""
        share = share_of(self.pair, self.asked, change)
        return self.signed(change) if share is None else f"{self.signed(change)}, {percent(share)}"

    def share(self, change: float) -> str:
        """Gives a change and its share in running text: `+4.85, 31% of the difference`."""
        amount = self.amount(change)
        return f"{amount} of the difference" if "%" in amount else amount
