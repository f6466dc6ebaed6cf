"""The later sentences of a contrast: combinations, the predicted swap, differing settings, trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.query.contrast_asked import differing_settings
from circuits.query.contrast_combinations import NOT_COMPARED, combinations_known
from circuits.query.contrast_pair import BOTH, ONLY_THERE
from circuits.query.contrast_tables import share_of
from circuits.query.contrast_told import Told
from circuits.query.findings import TRUST
from circuits.query.text import KIND_WORDS, listing, percent

SHOWN: Final = 4
"""Features of a swap named in its sentence; the others are counted."""

KINDS: Final[Mapping[str, str]] = {
    "and": "an AND",
    "or": "an OR",
    "xor": "an XOR",
    "inhibit": "one holding back the other",
    "additive": "nearly a sum",
    "undecided": "of undecided kind",
}


def combinations(told: Told) -> list[str]:
    """Gives which combinations differ, the first of each channel; nothing where none were computed."""
    known = combinations_known(told.pair)
    if not any(known):
        return []
    if not all(known):
        which = ("second", "first")[known.index(True)]
        said = "What acts together was computed for one run only and is not compared"
        return [f"{said}: `circuits interact` does it for the {which}."]
    rows = told.tables["combinations"].filter(pl.col("how") != NOT_COMPARED).to_dicts()
    first = {row["channel"]: row for row in reversed(rows)}
    found = [_combination(told, row) for row in rows if first[row["channel"]] is row]
    return found or ["No combination differs beyond its interval where both runs looked for it."]


def _combination(told: Told, row: Mapping[str, Any]) -> str:
    side = 1 if row["how"] == ONLY_THERE else 0
    members = listing(told.named(name, side) for name in row["members"])
    where = told.named(row["where"], side)
    size = ""
    if row["change"] and told.asked.comparable:
        size = f" That makes {told.share(row['change'])}."
    if told.asked.same_graph and row["how"] == BOTH:
        what = f"What {members} do only together to {where}, {told.signed(row['weight_here'])},"
        return f"{what} makes {told.share(row['change'])}."
    if row["how"] != BOTH:
        weight = row["weight_there"] if side else row["weight_here"]
        return (
            f"Only {told.asked.sides[side]}, {members} act together on {where}: {_kind(row['kind'])},"
            f" {told.signed(weight)} beyond what they do apart.{size}"
        )
    weights = " and ".join(
        f"{told.signed(row[name])} {which}"
        for name, which in zip(("weight_here", "weight_there"), told.asked.sides, strict=True)
    )
    kinds = row["kind"].split(" vs ")
    turned = f", {_kind(kinds[0])} and {_kind(kinds[1])}" if len(kinds) > 1 else ""
    return f"What {members} do only together to {where} is {weights}{turned}.{size}"


def _kind(kind: str) -> str:
    return KINDS.get(kind, "no simple gate")


def predicted(told: Told) -> str:
    """Gives what the first graph predicts of setting features to what they are in the second."""
    swaps, pair = told.swaps, told.pair
    if swaps is None:
        return ""
    if not swaps.values:
        return (
            "No feature of the first run, set to its value in the second, is predicted to move the output"
            " toward the second's."
        )
    last = swaps.table.row(-1, named=True)
    shown = [told.named(node) for node in swaps.table["swapped"].head(SHOWN)]
    more = len(swaps.values) - len(shown)
    names = listing([*shown, f"{more} more"] if more else shown)
    verb, they = ("takes", "what it is") if len(swaps.values) == 1 else ("take", "what they are")
    short = "" if swaps.enough else "; the rest needs more of them, or what is on only in the other run"
    features = sum(kind == "feature" for kind in pair.one.graph.nodes["kind"])
    return (
        f"The graph predicts that {names}, set to {they} {told.asked.sides[1]}, {verb}"
        f" {told.asked.words[0]} from {told.level(pair.values[0])} to {told.level(last['predicted'])}:"
        f" {percent(last['closed'])} of the way with {len(swaps.values)} of {features:,} features{short}."
    )


def settings(told: Told) -> str:
    """Gives how the runs were made differently, where they were."""
    graphs = told.pair.graphs()
    found = [part for part in differing_settings(*graphs) if not part.startswith(("models", "dictionaries"))]
    made = f"The runs were made with different {listing(found)}: part of the difference may be that."
    models, dictionaries = (
        [(graph.meta.get(name) or {}).get("fingerprint") for graph in graphs]
        for name in ("model", "dictionary")
    )
    if models[0] == models[1]:
        return made if found else ""
    alike = dictionaries[0] == dictionaries[1]
    same = "of one dictionary" if alike else "taken for the same by layer and number, as was asked"
    return f"The runs are of two models; their features are {same}. {made if found else ''}".strip()


def trust(told: Told) -> str:
    """Gives how much of the difference no feature or word holds, and how complete each graph is."""
    pair, asked = told.pair, told.asked
    complete = told.tables["trust"].filter(score="completeness").row(0, named=True)
    both = f"completeness {percent(complete['here'])}"
    both += "" if asked.same_graph else f" and {percent(complete['there'])}"
    if not asked.comparable:
        return f"{TRUST}: {both}. Shares of a difference of two outputs mean little: compare runs of both."
    if share_of(pair, asked, 1.0) is None:
        return f"{TRUST}: {both}. The two values are nearly the same, so no shares are given."
    parts = []
    for kind, words in (
        ("error", "begins at dictionary errors"),
        ("rest", "runs through edges too small to keep"),
    ):
        rows = told.tables["words"].filter(word=KIND_WORDS[kind]).to_dicts()
        parts += [
            f"{told.signed(r['change'])} ({percent(r['share'])}) {words}"
            for r in rows
            if abs(r["share"]) >= 0.005
        ]
    account = listing(parts) or "less than 0.5% begins at dictionary errors or runs through edges not kept"
    return f"{TRUST}: of the difference, {account}; {both}."
