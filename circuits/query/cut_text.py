"""An answer about cuts in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

from circuits.query.flow import MinCut
from circuits.query.text import listing, percent, plain, signed

if TYPE_CHECKING:
    from circuits.query.cuts import Problem

CAPTIONS: Final[Mapping[str, str]] = {
    "cut": "The set, what carries most of the effect first. part: of the effect, over all paths, what runs"
    " through it; these overlap where one lies on the other's paths. influence: everything that reaches the"
    " target through it, also from elsewhere.",
    "totals": "Shares of everything that flows into the target.",
    "predicted": "What the graph predicts for switching the set off, all else responding, attention and norms"
    " frozen. effect: after less before.",
}


def sentences(
    problem: Problem, found: MinCut, cost: str, tables: Mapping[str, pl.DataFrame]
) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables or in the answer's `meta`."""
    said = [
        _set(problem, found, tables["cut"]),
        _price(problem, found, cost, len(tables["cut"])),
        _direct(problem),
        _prediction(problem, tables["predicted"]),
    ]
    return tuple(sentence for sentence in said if sentence)


def _set(problem: Problem, found: MinCut, cut: pl.DataFrame) -> str:
    ends, count = problem.ends, len(cut)
    if problem.by == "nodes":
        rows = cut.head(3).iter_rows(named=True)
        listed = listing(f"{ends.naming.phrase(row['node'])} ({percent(row['part'])})" for row in rows)
        what = "One feature" if count == 1 else f"{count:,} features"
    else:
        rows = cut.head(3).iter_rows(named=True)
        terse = ends.naming.terse
        listed = listing(
            f"{terse(row['source'])} → {terse(row['target'])} ({percent(row['part'])})" for row in rows
        )
        what = "One edge" if count == 1 else f"{count:,} edges"
    carry = "carries" if count == 1 else "carry"
    which = f", most of it through {listed}" if count > 3 else f": {listed}"
    effect = f"the effect of {ends.from_words()} on {ends.to_words()}"
    return f"{what} {carry} {percent(problem.carried(found))} of {effect}{which}."


def _price(problem: Problem, found: MinCut, cost: str, count: int) -> str:
    kept = int(problem.kept.sum())
    network = f"the {kept:,} strongest edges of these paths, which carry {percent(problem.share)} of it"
    if problem.share == 1:
        network = f"all {kept:,} edges of these paths"
    held = "no path is left" if problem.disconnects(found) else "a path is left, a mistake of this program"
    what, them = "node" if problem.by == "nodes" else "edge", "it" if count == 1 else "them"
    if cost == "count":
        return f"Without {them} {held} in {network}; no set of fewer {what}s does that."
    near = f", to {percent(found.resolution)}" if found.resolution else ""
    return (
        f"Without {them} {held} in {network}. All that runs through the set, also from elsewhere, is"
        f" {percent(found.price)} of what flows into the target; no other set that does is cheaper{near}."
    )


def _direct(problem: Problem) -> str:
    if problem.direct <= 0:
        return ""
    whole = problem.ends.between.total
    part = percent(problem.direct / whole)
    return (
        f"Beside that, {part} of the effect goes straight to the target, past every node: no node carries it."
    )


def _prediction(problem: Problem, predicted: pl.DataFrame) -> str:
    if not len(predicted):
        return ""
    row = predicted.row(0, named=True)
    off = "that set" if problem.by == "nodes" else "those edges"
    return (
        f"With {off} off, the graph predicts {problem.ends.naming.phrase(row['target'])} to go from"
        f" {plain(row['before'])} to {plain(row['after'])} ({signed(row['effect'])})."
    )
