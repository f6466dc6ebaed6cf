"""The report: rows of measurements into tables, and what stands out said in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from fidelity_measures import Counts  # type: ignore[import-not-found]

Row = dict[str, Any]
OURS: Final = "circuits"


def mean(rows: Sequence[Row], key: str) -> float | None:
    """Gives the mean of a column, entries that do not exist left out; None where there are none."""
    found = [float(row[key]) for row in rows if row[key] is not None and not np.isnan(row[key])]
    return float(np.mean(found)) if found else None


def f1(rows: Sequence[Row], key: str) -> float:
    """Gives the F1 of all claims of the rows together."""
    total = sum((Counts(*row[key]) for row in rows), Counts())
    return float(total.f1)


def gate_accuracy(rows: Sequence[Row]) -> float | None:
    """Gives the share of models whose gate is named right; `undecided` is right only where it is true."""
    asked = [row for row in rows if row["gate"] is not None]
    return float(np.mean([row["gate"] == row["true gate"] for row in asked])) if asked else None


MEASURES: Final[dict[str, Callable[[Sequence[Row]], float | None]]] = {
    "node AP": lambda rows: mean(rows, "nodes"),
    "edge AP": lambda rows: mean(rows, "edges"),
    "interaction F1, output": lambda rows: f1(rows, "output"),
    "interaction F1, in gates": lambda rows: f1(rows, "inside"),
    "order": lambda rows: mean(rows, "order"),
    "gate": gate_accuracy,
    "false interactions": lambda rows: mean([row for row in rows if row["additive"]], "claims"),
}
"""What the tables show, from the rows of one method."""


def methods(results: Row) -> list[str]:
    """Gives the methods, ours last."""
    return list(dict.fromkeys(row["method"] for row in results["rows"]))


def chosen(results: Row, **values: Any) -> list[Row]:
    """Gives the rows with these values."""
    return [row for row in results["rows"] if all(row[key] == value for key, value in values.items())]


def page(results: Row) -> str:
    """Gives the report as Markdown."""
    few, many = results["distractors"], results["many"]
    parts = [
        "# Is the circuit found? Planted models, where it is known\n",
        _head(results),
        EXPLAINED,
    ]
    for noise in results["noises"]:
        parts += [f"\n## Noise {noise:g}\n", table(results, distractors=few, noise=noise)]
    if chosen(results, distractors=many):
        parts += [
            f"\n## Many players: {many} distractors, no noise, one seed\n",
            f"Too many coalitions to ask them all: {results['budget']:,} are, and this package estimates.\n",
            table(results, distractors=many),
        ]
    parts += ["\n## Where this package is wrong\n", wrong(results), "\n![fidelity](fidelity.svg)"]
    return "\n".join(parts) + "\n"


def _head(results: Row) -> str:
    return (
        f"`python analysis/fidelity.py`, {results['cpu seconds']} seconds of one core:"
        f" {results['models']} planted models (`circuits.plant`), {results['seeds']} seeds,"
        f" {results['distractors']} distractors each. Every model's nodes, edges, interactions and gate are"
        " known by construction. *Noise* is how much of every other direction each feature writes by"
        " accident, per unit of activation; the truth stays what was planted.\n"
    )


EXPLAINED: Final = """\
- *node AP*, *edge AP*: average precision of the ranking, chance taken off: 1 is perfect, 0 is chance, below
  0 is worse than chance. A dash: the method does not rank edges.
- *interaction F1*: right are the same players, the same sign and a Shapley interaction within 10% of the
  truth. Claimed is what is at least a tenth of what the output is made of, or a twentieth of a gate's
  inputs. With noise the true value is the definition's on that very network, all coalitions asked; sets
  that act together only because of the noise count as false.
  These thresholds and the noise levels were settled after looking at first results; all methods share them.
- *order*: share of models whose largest order of interaction is right. *gate*: share whose gate is named
  right; where what else is on decides the gate, *undecided* is the right name. An effect below a tenth of the
  output's scale is no gate, for every method.
- *false interactions*: claims towards the output, per model, where concepts only add or do nothing.

Methods that know sums only claim no interaction, order 1 and an additive gate; they are right where that is
right. With noise the networks have interactions that nobody planted, of order 3 too: who looks at pairs only
cannot claim those, and so is right about the order more often."""


def table(results: Row, **values: Any) -> str:
    """Gives one table, a method a row."""
    lines = [f"| method | {' | '.join(MEASURES)} |", "|---|" + "---:|" * len(MEASURES)]
    for method in methods(results):
        rows = chosen(results, method=method, **values)
        numbers = [shown(measure(rows)) for measure in MEASURES.values()]
        name = f"**{method}**" if method == OURS else method
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def shown(value: float | None) -> str:
    """Gives a number with two digits, or a dash."""
    return "–" if value is None or np.isnan(value) else f"{value:.2f}"


def wrong(results: Row) -> str:
    """Gives what this package gets wrong without noise, and by model how often with it."""
    ours = chosen(results, method=OURS)
    clean = [(row, said) for row in ours if not row["noise"] if (said := faults(row))]
    told = [
        f"- {row['model']}, seed {row['seed']}, {row['distractors']} distractors: {'; '.join(said)}"
        for row, said in clean
    ]
    few = [row for row in ours if row["distractors"] == results["distractors"]]
    noises = [noise for noise in results["noises"] if noise]
    lines = [f"| model | {' | '.join(f'{noise:g}' for noise in noises)} |", "|---|" + "---:|" * len(noises)]
    for model in dict.fromkeys(row["model"] for row in few):
        counts = [
            sum(bool(faults(row)) for row in few if row["model"] == model and row["noise"] == noise)
            for noise in noises
        ]
        if any(counts):
            lines.append(f"| {model} | {' | '.join(map(str, counts))} |")
    return (
        f"Without noise: {'nothing.' if not clean else ''}\n"
        + "\n".join(told)
        + f"\n\nWith noise, the seeds (of {results['seeds']}) with any fault in gate, order, interactions or"
        " rankings:\n\n" + "\n".join(lines)
    )


def faults(row: Row) -> list[str]:
    """Gives what is wrong with one answer, in words."""
    said = []
    if row["gate"] is not None and row["gate"] != row["true gate"]:
        said.append(f"gate {row['gate']} instead of {row['true gate']}")
    if not row["order"]:
        said.append("order")
    for key, where in (("output", "output"), ("inside", "gates")):
        _, false, missed = row[key]
        if false or missed:
            said.append(f"{where}: {false} false, {missed} missed")
    said += [
        f"{key[:-1]} AP {row[key]:.2f}"
        for key in ("nodes", "edges")
        if row[key] is not None and row[key] < 0.995
    ]
    return said
