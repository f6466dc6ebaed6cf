"""The page: what was measured, in tables, and what it says, good or bad."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from faithfulness_measures import (  # type: ignore[import-not-found]
    MEASURES,
    by_distance,
    curves,
    median,
    slope,
    spearman,
    tests,
)
from faithfulness_rankings import RANKINGS  # type: ignore[import-not-found]

Row = dict[str, Any]


def page(results: Row) -> str:
    """Gives the report as Markdown."""
    bases = results["bases"]
    parts = [
        _head(results),
        "## Does the model do what the graph says?",
        AGREEMENT.format(tolerance=results["tolerance"]),
        _table(["", "held", "order", *MEASURES, "tests"], _agreement(bases)),
        "By layers between the feature and the output, all prompts together, one feature off, model free:",
        _table(["", "layers", "Spearman", "slope", "tests"], _distances(bases)),
        "## Do circuits carry the answer?",
        CIRCUITS.format(texts=results["texts"]),
        "![Predicted against measured, and curves of faithfulness and completeness](faithfulness.svg)",
        _table(["", "off is", "ranking", "CPR", "CMD"], _areas(bases)),
        "## What this says",
        "\n".join(f"- {sentence}" for sentence in _sayings(bases)),
    ]
    return "\n\n".join(parts) + "\n"


AGREEMENT = """Features are switched off, singly and in pairs, from the 40 with the largest influence; the \
effect is on the difference of two logits. The graph predicts it as `circuits.predict` does, its edges kept \
to a tolerance of {tolerance:g}. *Frozen*: patterns, norm scales and all but the run's features held still. \
*Free*: the model as it is. Order 1 is one feature's effect; order 2 what a pair does beyond what each does \
alone. Figures are medians over prompts; *slope* is of measured on predicted through 0; *right sign* among \
predictions of at least 1% of the largest; *worst error* is the largest difference as a share of the largest \
predicted effect."""

CIRCUITS = """M is all features of the run (errors, tokens and neurons not kept stay in place). m is the \
difference of logits on the free model with everything outside a circuit C off: 0, or the mean over \
{texts} neutral texts. f(C) = (m(C) − m(∅)) / (m(M) − m(∅)); completeness is f(M∖C), 0 where nothing else \
matters. CPR is the area under f, CMD that between f and 1 (Mueller et al. 2025, MIB), medians over prompts; \
for scores with a sign, CPR ranks by value and CMD by magnitude, as MIB does. M is another set in every \
basis, so compare rankings within a basis rather than bases with each other."""


def _head(results: Row) -> str:
    lines = []
    for base in results["bases"]:
        sizes = [prompt["features"] for prompt in base["prompts"]]
        dropped = "; ".join(base["dropped"]) or "none"
        kept = f"{len(base['prompts'])} prompts of {base['tried']} tried"
        lines.append(
            f"- {_name(base)}: {kept}, kept where the answer is one token and the model's likeliest;"
            f" {' to '.join(map(str, sorted({min(sizes), max(sizes)})))} features a run. Dropped: {dropped}."
        )
    seconds = results["cpu seconds"]
    return (
        "# Interventions: predicted by the graph, measured on the model\n\n"
        f"`python analysis/faithfulness.py`, {seconds} seconds of one core.\n\n" + "\n".join(lines) + "\n"
        f"- Of neurons the {results['neurons']} that matter most to the target are kept, of transcoder"
        " features all."
    )


def _name(base: Row) -> str:
    return f"{'SmolLM2' if base['model'] == 'smollm2' else base['model']}, {base['dictionary']}"


def _agreement(bases: list[Row]) -> Iterator[list[str]]:
    for base in bases:
        for held in ("frozen", "free"):
            for order in (1, 2):
                prompts = tests(base, order)
                figures = [median([measure(rows, held) for rows in prompts]) for measure in MEASURES.values()]
                count = sum(map(len, prompts))
                yield [_name(base), held, str(order), *map(_figure, figures), str(count)]


def _distances(bases: list[Row]) -> Iterator[list[str]]:
    for base in bases:
        for layers, rows in by_distance(base):
            if len(rows):
                figures = [spearman(rows, "free"), slope(rows, "free")]
                yield [_name(base), layers, *map(_figure, figures), str(len(rows))]


def _areas(bases: list[Row]) -> Iterator[list[str]]:
    for base in bases:
        for ablation in _ablations(base):
            for ranking in RANKINGS:
                cpr, cmd = _area(base, ablation, ranking)
                yield [_name(base), ablation, ranking, _figure(cpr), _figure(cmd)]


def _area(base: Row, ablation: str, ranking: str) -> tuple[float, float]:
    return (
        median([c["cpr"] for c in curves(base, ablation, ranking, "value")]),
        median([c["cmd"] for c in curves(base, ablation, ranking, "magnitude")]),
    )


def _ablations(base: Row) -> list[str]:
    return list(dict.fromkeys(c["ablation"] for c in base["prompts"][0]["curves"]))


def _sayings(bases: list[Row]) -> Iterator[str]:
    for base in bases:
        name = _name(base)
        one, two = (
            [median([f(rows, "free") for rows in tests(base, order)]) for f in (spearman, slope)]
            for order in (1, 2)
        )
        yield (
            f"{name}: left free, the model ranks single ablations as the graph does with Spearman"
            f" {_figure(one[0])} and moves {_figure(one[1])} times as far as predicted; what pairs do beyond"
            f" their members has Spearman {_figure(two[0])}, slope {_figure(two[1])}."
        )
    for base in bases:
        for ablation in _ablations(base):
            found = {ranking: _area(base, ablation, ranking) for ranking in RANKINGS}
            cpr = sorted(found, key=lambda r: -found[r][0])
            cmd = sorted(found, key=lambda r: found[r][1])
            yield (
                f"{_name(base)}, off is {ablation}: CPR is best by"
                f" {', then '.join(f'{r} ({_figure(found[r][0])})' for r in cpr[:2])}; CMD is best by"
                f" {', then '.join(f'{r} ({_figure(found[r][1])})' for r in cmd[:2])}."
            )
    over = sum(abs(c["whole"] - c["empty"]) < 1 for b in bases for p in b["prompts"] for c in p["curves"][:1])
    count = sum(len(base["prompts"]) for base in bases)
    yield (
        f"In {over} of {count} prompts switching all of M to 0 moves the difference by less than one logit;"
        " shares of so little are noise, and medians are told for that reason."
    )


def _table(head: list[str], rows: Iterator[list[str]]) -> str:
    lines = [" | ".join(row) for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _figure(value: float) -> str:
    """Gives a number of two decimals; of those that would be 0, the size."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"
