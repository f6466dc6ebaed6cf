"""Cards of the features that are shown, tokens by number so that none is written twice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.cards.record import Cards
from circuits.cards.store import find_cards
from circuits.errors import CircuitsError
from circuits.graph.graph import Graph
from circuits.viewer.focus import shortest

FEATURE: Final = pl.Schema({"layer": pl.UInt16(), "feature": pl.UInt32()})

_TAKEN: Final = (
    *("layer", "feature", "frequency", "maximum", "half", "bars", "label", "labels"),
    *("promoted", "promoted_by", "suppressed", "suppressed_by"),
    *("context_fifth", "context_tokens", "context_values"),
)


def cards_of(graph: Graph) -> tuple[Cards | None, list[str]]:
    """Gives the cards of a graph's dictionary where they lie beside it, and what is to be said if not."""
    made = graph.meta.get("dictionary")
    spec, fingerprint = (
        made.get(key) if isinstance(made, Mapping) else None for key in ("spec", "fingerprint")
    )
    if not (isinstance(spec, str) and isinstance(fingerprint, str)):
        return None, []
    try:
        return find_cards(spec, fingerprint), []
    except CircuitsError as refused:
        return None, [f"No feature cards: {refused}"]


def cards_part(features: pl.DataFrame, cards: Cards | None, most: int) -> tuple[dict[str, Any], list[str]]:
    """Gives the cards of features, and what was left out.

    Args:
        features: `layer`, `feature` and `influence` of the feature nodes shown.
        cards: of the dictionary; None if there are none.
        most: how many cards at most, those of the features with most influence.
    """
    if cards is None or not len(features):
        return {"strings": [], "cards": {}}, []
    wanted = features.group_by("layer", "feature").agg(pl.col("influence").sum())
    wanted = wanted.sort("influence", "layer", "feature", descending=[True, False, False])
    wanted = wanted.with_columns(pl.col(name).cast(kind) for name, kind in FEATURE.items())
    known = wanted.join(
        cards.table.select(_TAKEN), on=["layer", "feature"], how="inner", maintain_order="left"
    )
    table = known.head(most)
    said = []
    if len(known) > most:
        said.append(
            f"Of {len(known):,} cards of features that are here {len(table):,} are here, those of the"
            " features with most influence."
        )
    table = table.with_columns(
        pl.col("labels").list.first().struct.field(name).cast(pl.String).cast(pl.Float64)
        for name in ("precision", "recall")
    )
    strings = _Strings(cards)
    width = cards.meta["settings"]["before"] + 1 + cards.meta["settings"]["after"]
    single = {name: shortest(table[name]) for name in ("frequency", "maximum", "half")}
    by = {side: shortest_lists(table[f"{side}_by"]) for side in ("promoted", "suppressed")}
    made = {}
    for place, row in enumerate(table.iter_rows(named=True)):
        tested = row["label"] is not None
        made[f"{row['layer']}/{row['feature']}"] = {
            "label": row["label"],
            **{name: row[name] if tested else None for name in ("precision", "recall")},
            **{name: values[place] or 0.0 for name, values in single.items()},
            "bars": row["bars"],
            **{side: strings.weighed(row[side], weights[place]) for side, weights in by.items()},
            "contexts": strings.contexts(row, width),
        }
    return {"strings": strings.told, "cards": made}, said


def count(graph: Graph, cards: Cards | None) -> int:
    """Gives how many of a run's features have a card."""
    if cards is None:
        return 0
    mine = (
        graph.nodes.filter(pl.col("feature").is_not_null()).select("layer", "feature").unique().cast(FEATURE)
    )
    return len(mine.join(cards.table.select("layer", "feature"), on=["layer", "feature"], how="semi"))


def shortest_lists(values: pl.Series) -> list[list[float]]:
    """Gives lists of float32 numbers as the shortest decimals that are them."""
    return values.cast(pl.List(pl.String)).cast(pl.List(pl.Float64)).to_list()


class _Strings:
    """Tokens by their place in a list that grows as they occur."""

    def __init__(self, cards: Cards) -> None:
        self.cards = cards
        self.told: list[str] = []
        self.place: dict[str, int] = {}

    def of(self, token: int) -> int:
        text = self.cards.strings[token]
        if text not in self.place:
            self.place[text] = len(self.told)
            self.told.append(text)
        return self.place[text]

    def weighed(self, tokens: list[int], by: list[float]) -> list[list[float]]:
        return [[self.of(token), weight] for token, weight in zip(tokens, by, strict=True)]

    def contexts(self, row: Mapping[str, Any], width: int) -> list[dict[str, Any]]:
        nothing, before = self.cards.meta["nothing"], self.cards.meta["settings"]["before"]
        found = []
        for number, fifth in enumerate(row["context_fifth"]):
            part = slice(number * width, (number + 1) * width)
            tokens, values = row["context_tokens"][part], row["context_values"][part]
            inside = [i for i, token in enumerate(tokens) if token != nothing]
            found.append(
                {
                    "tokens": [self.of(tokens[i]) for i in inside],
                    "values": [values[i] for i in inside],
                    "at": inside.index(before),
                    "fifth": fifth,
                }
            )
        return found
