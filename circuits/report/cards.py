"""Cards of the most influential features, as a report shows them without any script."""

from __future__ import annotations

import math
import shlex
from typing import Any, Final

import polars as pl

from circuits.cards.record import Card, Cards, Context
from circuits.graph.graph import Graph
from circuits.query.text import Naming, percent, plain
from circuits.report.blocks import Block, Code, FeatureCards, Text

SHOWN: Final = 16
"""Features whose cards stand on the page itself."""

CONTEXTS: Final = 4
"""Contexts of a card."""


def card_blocks(graph: Graph, cards: Cards | None, *, interactive: bool) -> tuple[Block, ...]:
    """Gives cards of the most influential features; where there are none, how to make them."""
    if cards is None:
        spec = str((graph.meta.get("dictionary") or {}).get("spec") or "DICT")
        model = str((graph.meta.get("model") or {}).get("spec") or "")
        more = f" --model {shlex.quote(model)}" if model else ""
        more += " --out cards.parquet" if spec == "neurons" else ""
        return (
            Text(("There are no cards of this dictionary's features here.",), "prose"),
            Code(
                f"circuits describe {shlex.quote(spec)} --text FILE{more}",
                "This makes them from a text; `circuits report` finds those that lie beside the dictionary,"
                " and takes others with --cards.",
            ),
        )
    naming = Naming.of(graph)
    known = set(cards.table.select("layer", "feature").iter_rows())
    rows = graph.nodes.filter(pl.col("kind") == "feature", pl.col("feature").is_not_null())
    rows = rows.filter(pl.col("influence") > 0).sort("influence", descending=True, maintain_order=True)
    told: dict[tuple[int, int], dict[str, Any]] = {}
    for row in rows.iter_rows(named=True):
        key = row["layer"], row["feature"]
        if key in told or key not in known:
            continue
        at = f"at {naming.token(row['pos'])}" if row["pos"] is not None else ""
        told[key] = card(cards.card(*key), row["label"]) | {"influence": percent(row["influence"]), "at": at}
        if len(told) == SHOWN:
            break
    if not told:
        return (Text(("None of the features that matter here has a card.",), "prose"),)
    several = len(set(rows.select("layer", "feature").iter_rows()) & known)
    note = f"Cards of the {len(told)} most influential features, of {several:,} in this graph that have one"
    note += "; the interactive graph opens the others." if interactive else "."
    return Text((note,)), FeatureCards(tuple(told.values()))


def card(found: Card, called: str | None) -> dict[str, Any]:
    """Gives a card as text and shares: label, how often it is on, histogram, tokens, contexts.

    Args:
        found: the card.
        called: how the graph calls the feature, for where no label held.
    """
    label = found.labels[0] if found.labels else None
    most = math.log1p(max(found.bars, default=0)) or 1.0
    return {
        "name": found.name,
        "label": label.text if label else called or "no tested label",
        "tested": "no label held on held-out text"
        if label is None
        else f"precision {percent(label.precision)}, recall {percent(label.recall)} on held-out text",
        "on": "never on in the text"
        if found.maximum <= 0
        else f"on at {percent(found.frequency)} of tokens, up to {plain(found.maximum)}",
        "bars": [{"count": count, "height": round(math.log1p(count) / most, 4)} for count in found.bars],
        "scale": f"0 to {plain(2 * found.half)}",
        "promoted": [token for token, _ in found.promoted],
        "suppressed": [token for token, _ in found.suppressed],
        "contexts": [_context(found, one) for one in found.top[:CONTEXTS]],
    }


def _context(found: Card, context: Context) -> dict[str, Any]:
    largest = found.maximum or 1.0
    tokens = [
        {"text": text, "shade": round(0.62 * max(value, 0.0) / largest, 3), "here": place == context.at}
        for place, (text, value) in enumerate(zip(context.tokens, context.values, strict=True))
    ]
    return {"activation": plain(context.values[context.at]), "tokens": tokens}
