"""What an answer predicts, tried on the model and put beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.intervene.hold import FREE, FROZEN
from circuits.intervene.measuring import Measuring, Progress
from circuits.query.answer import Answer, Prediction
from circuits.query.needs import both_ways
from circuits.query.text import Naming, listing, signed

SHOWN = 4
"""Measurements told in a sentence, at most."""

CAPTION = (
    "What the answer predicts, tried on the model. predicted: how much the target changes, by the graph."
    " frozen: measured with patterns, norms and all but the run's features held, where the graph should be"
    " right. free: measured with nothing held, the honest figure."
)


def check(answer: Answer, session: Measuring, *, progress: Progress | None = None) -> Answer:
    """Gives the answer with what it predicts measured on the model, in sentences and as table `measured`.

    Each prediction is one intervention, run twice: with all held that the graph holds
    (`circuits.intervene.hold.FROZEN`), and with nothing held.

    Args:
        answer: of a query that predicts something: `needs`, `breaks`, `minimal`, `cuts`, or what if.
        session: the model, dictionary and run it was asked of.
        progress: told of what is measured.

    Raises:
        UsageError: the answer predicts nothing that can be tried, or is about a node that is no target of
            the run.

    Example:
        >>> print(check(needs(graph, "Dallas", "capital"), session))  # doctest: +SKIP
    """
    check_predicts(answer, session.graph)
    tried, known = answer.predictions, session.graph.targets
    done = [one.intervention for one in tried]
    outcomes = [session.run(done, hold, progress=progress) for hold in (FROZEN, FREE)]
    values = [_watched(tried, known, outcome.values) for outcome in outcomes]
    before = _watched(tried, known, np.tile(outcomes[1].before, (len(tried), 1)))
    table = pl.DataFrame(
        {
            "what": [one.says for one in tried],
            "target": [one.target if one.over is None else f"{one.target} over {one.over}" for one in tried],
            "before": before,
            "predicted": np.array([one.value for one in tried]) - before,
            "frozen": values[0] - before,
            "free": values[1] - before,
        }
    )
    return replace(
        answer,
        finding=(*answer.finding, *_sentences(answer, table), *_needs(answer, before[0], values[1])),
        tables={**answer.tables, "measured": table},
        captions={**answer.captions, "measured": CAPTION},
        code=_code(answer.code),
    )


def _watched(
    tried: Sequence[Prediction], known: Sequence[str], values: Float[np.ndarray, "k T"]
) -> Float[np.ndarray, "k"]:
    """Gives the value each prediction is about, from those of all targets under its intervention."""
    return np.array(
        [
            row[known.index(one.target)] - (0.0 if one.over is None else row[known.index(one.over)])
            for one, row in zip(tried, values, strict=True)
        ]
    )


def check_predicts(answer: Answer, graph: Graph) -> None:
    """Refuses answers that predict nothing, or of nodes that are no targets of their run."""
    tried = answer.predictions
    if not tried:
        raise UsageError(
            f"{answer.question!r} predicts no intervention, so there is nothing to try on the model: ask what"
            " breaks, what if, whether one needs another, for a smallest set or a cut; or circuits verify."
        )
    known = graph.targets
    asked = [node for one in tried for node in (one.target, one.over) if node is not None]
    lacking = next((node for node in asked if node not in known), None)
    if lacking is not None:
        raise UsageError(
            f"{lacking} is no target of this run, and only targets are measured ({listing(known)}): attribute"
            f" again with --target {lacking}."
        )


def _sentences(answer: Answer, table: pl.DataFrame) -> tuple[str, ...]:
    naming = Naming.of(answer.highlight)
    told = [
        f"{row['what']} {signed(row['free'])} (predicted {signed(row['predicted'])}, and"
        f" {signed(row['frozen'])} with patterns, norms and all but the features held)"
        for row in table.head(SHOWN).iter_rows(named=True)
    ]
    first_tried = answer.predictions[0]
    target = naming.phrase(first_tried.target)
    target += "" if first_tried.over is None else f" over {naming.phrase(first_tried.over)}"
    first = f"Measured on the model, nothing held, {target} changes by: {'; '.join(told)}."
    flipped = table.filter(
        (pl.col("free").sign() != pl.col("predicted").sign())
        & (pl.col("predicted").abs() > 0.01 * pl.col("before").abs())
    )
    if not len(flipped):
        return (first,)
    wrong = listing(flipped["what"].head(SHOWN).to_list())
    return (first, f"So it does not hold on the model for {wrong}: the sign is the other.")


def _needs(answer: Answer, before: float, free: Float[np.ndarray, "k"]) -> Sequence[str]:
    """Gives whether the one needs the other on the model: the same rule, on what was measured."""
    if answer.meta.get("query") != "needs" or len(free) != 3:
        return ()
    both_off, second_off, first_off = (float(value) for value in free)
    table = np.array([both_off, second_off, first_off, before])
    found = both_ways(tuple(answer.meta["names"]), table, float(np.ptp(table)))
    said = {
        "yes": "needs",
        "partly": "needs in part",
        "no": "does not need",
        "reversed": "turns round without",
        "no effect": "does nothing, with or without",
    }
    told = listing(
        f"{one.what} {said[one.verdict]} {one.of} ({signed(one.with_it)} with it,"
        f" {signed(one.without)} without)"
        for one in found
    )
    as_told = [one.verdict for one in found] == list(answer.meta["verdicts"])
    return (f"On the model, then, {told}: {'as the graph says' if as_told else 'not as the graph says'}.",)


def _code(code: str) -> str:
    """Gives Python that asks and checks: the last line of an answer's code prints the answer."""
    *most, last = code.splitlines()
    asked = last.removeprefix("print(").removesuffix(")")
    return "\n".join(
        [
            *most,
            "model = circuits.load_model(graph.meta['model']['spec'])",
            "dictionary = circuits.load_dictionary(graph.meta['dictionary']['spec'], model)",
            "session = circuits.Session.of(model, dictionary, graph)",
            f"print(circuits.check({asked}, session))",
        ]
    )
