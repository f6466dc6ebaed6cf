"""An answer about what breaks in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from circuits.query.ends import concept_words
from circuits.query.text import listing, plain, signed

if TYPE_CHECKING:
    from circuits.query.breaks import Broken

CAPTIONS: Final[Mapping[str, str]] = {
    "outputs": "What the graph predicts, in the targets' unit: before, after with all off, the difference,"
    " and what each off alone changes. interaction: what all off change beyond the sum of these.",
    "subsets": "The first target with every combination off.",
    "features": "The features whose change matters most, those that are off by request aside. before and"
    " after: activations. weight: what the change brings to the first target, later features passing it on as"
    " they do here.",
}

TRIFLE: Final = 0.05
"""Share of the joint change below which an interaction is called nothing."""


def sentences(test: Broken, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    said = [
        _first(test, tables["outputs"]),
        _together(test),
        _order(test),
        _features(test, tables["features"]),
        "This is the graph's prediction: attention patterns and norms are held as they are on the prompt.",
    ]
    return tuple(sentence for sentence in said if sentence)


def _first(test: Broken, outputs: pl.DataFrame) -> str:
    row = outputs.row(0, named=True)
    what = listing(concept_words(test.naming, one) for one in test.concepts)
    off = f"With {what} off"
    name = test.naming.phrase(row["target"])
    if abs(row["effect"]) < 1e-6 * max(1.0, abs(row["before"])):
        return f"{off}, {name} stays at {plain(row['before'])}: nothing breaks."
    return (
        f"{off}, the graph predicts {name} to go from {plain(row['before'])} to {plain(row['after'])}"
        f" ({signed(row['effect'])})."
    )


def _together(test: Broken) -> str:
    if len(test.concepts) < 2:
        return ""
    full = len(test.values) - 1
    alone = [float(test.changes[full - (1 << i), 0]) for i in range(len(test.concepts))]
    listed = listing(
        f"{one.name} off {signed(v) or '0'}" for one, v in zip(test.concepts, alone, strict=True)
    )
    both, more = float(test.changes[0, 0]), float(test.interaction[0])
    said = f"Each alone: {listed}"
    if abs(more) <= TRIFLE * max(abs(both), *map(abs, alone), 1e-12):
        return f"{said}; together they break what each breaks, and next to nothing beyond ({signed(more)})."
    worse = more * both > 0
    how = (
        "more than the sum: each makes up for the other in part"
        if worse
        else "less than the sum: they overlap"
    )
    return f"{said}; together {signed(both)}, {plain(abs(more))} {how}."


def _order(test: Broken) -> str:
    """Gives which target is first afterwards, where several outputs are known."""
    outputs = [i for i, node in enumerate(test.targets) if node.startswith("logit:")]
    if len(outputs) < 2:
        return ""
    before = max(outputs, key=lambda i: test.values[-1, i])
    after = max(outputs, key=lambda i: test.values[0, i])
    name = test.naming.output
    if before == after:
        return f"Of the {len(outputs)} outputs the graph knows, {name(test.targets[after])} stays the first."
    return (
        f"Of the {len(outputs)} outputs the graph knows, {name(test.targets[after])} takes the first place"
        f" from {name(test.targets[before])}."
    )


def _features(test: Broken, features: pl.DataFrame) -> str:
    if not len(features):
        return "No other feature changes."
    before, after = test.activations
    own = {test.graph.row(node) for one in test.concepts for node in one.nodes}
    rest = [k for k, row in enumerate(test.runner.gates.tolist()) if row not in own]
    out = sum(1 for k in rest if before[k] != 0 and after[k] == 0)
    new = sum(1 for k in rest if before[k] == 0 and after[k] != 0)
    row = features.row(0, named=True)
    most = f"{test.naming.phrase(row['node'])} {_verb(row)} ({signed(row['weight'])} for the target)"
    counts = f"{out or 'no'} {'feature goes' if out == 1 else 'features go'} out"
    counts += f" and {new:,} turn{'s' if new == 1 else ''} on" if new else ", none turns on"
    return f"Downstream {counts}; what matters most is that {most}."


def _verb(row: Mapping[str, Any]) -> str:
    change = str(row["change"])
    return f"gets {change}" if change in ("weaker", "stronger") else change
