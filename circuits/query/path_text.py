"""An answer about paths in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from circuits.query.ends import Ends
from circuits.query.text import listing, number, percent, signed

CAPTIONS: Final[Mapping[str, str]] = {
    "paths": "The strongest paths. share: the part of everything flowing into the target that flows through"
    " exactly this path (the product of the normalised weights along it). part: the same of all such paths."
    " effect: what it brings to the target, signed, in the target's unit, gates passing on small changes as"
    " they do here.",
    "totals": "How much the paths carry. All such paths are summed exactly, in one sweep, not listed.",
    "through": "What most of all such paths run through, counted over all of them. share and part: as for"
    " paths; a path runs through several nodes, so these do not add up.",
    "starts": "Where they begin. The shares of all beginnings add up to that of all such paths.",
}

STOPPED: Final[Mapping[str, str]] = {
    "seconds": "The time granted ran out: these are the strongest, in order, but fewer than asked for.",
    "share": "No further path carries the smallest share asked for.",
}


def sentences(ends: Ends, tables: Mapping[str, pl.DataFrame], stopped: str) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    found = [
        _whole(ends),
        _given(ends, tables["paths"]),
        _strongest(ends, tables["paths"]),
        _between(ends, tables["through"]),
        STOPPED.get(stopped, ""),
    ]
    return tuple(sentence for sentence in found if sentence)


def _whole(ends: Ends) -> str:
    count, total = ends.between.count, ends.between.total
    many = "One path leads" if count == 1 else f"{number(count)} paths lead"
    carry = "it carries" if count == 1 else "together they carry"
    what = f"{percent(total)} of everything that flows into {ends.to_words()}"
    said = f"{many} from {ends.from_words()} to {ends.to_words()}{ends.through_words()}; {carry} {what}"
    if ends.through is None:
        return f"{said}."
    whole = ends.anywhere.total
    return (
        f"{said}, {percent(total / whole)} of the {percent(whole)} that comes from there through any layer."
    )


def _given(ends: Ends, paths: pl.DataFrame) -> str:
    if len(paths) < 2:
        return ""
    share = float(paths["share"].sum())
    part = share / ends.between.total
    if len(paths) == ends.between.count:
        return "All of them are listed."
    return (
        f"The {len(paths)} strongest carry {percent(share)}, {percent(part)} of what all of them carry: the"
        f" effect {'runs on few ways' if part >= 0.5 else 'is spread over many ways'}."
    )


def _strongest(ends: Ends, paths: pl.DataFrame) -> str:
    if not len(paths):
        return ""
    best = paths.row(0, named=True)
    what = "logit" if ends.node and ends.node.startswith("logit:") else "input"
    return (
        f"The strongest is {best['path']}: it carries {percent(best['share'])} and brings"
        f" {signed(best['effect'])} to the {what}."
    )


def _between(ends: Ends, through: pl.DataFrame) -> str:
    if not len(through):
        return "All are single edges: nothing lies between."
    rows = through.head(3).iter_rows(named=True)
    listed = listing(f"{ends.naming.phrase(row['node'])} ({percent(row['part'])} of it)" for row in rows)
    return f"What they carry runs most through {listed}."
