"""How far to trust an answer: one word with the rule behind it, and the numbers in full."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.query.findings import FAIR, GOOD
from circuits.query.text import percent, plain
from circuits.query.verified import is_frozen, verdicts_of
from circuits.report.blocks import Badge, Scores, Shares
from circuits.report.tables import Table, table_of

ERRORS: Final = 0.3
"""Share of the influence that may end at errors in an answer that is called confirmed."""

RULE: Final = (
    "Refuted: with all held that the graph holds, a prediction fails on the model. Weak: of what starts at"
    f" words or errors, less than {percent(FAIR)} starts at words (replacement), or less than"
    f" {percent(FAIR)} of the predictions tried freely hold. Untested: no prediction of this answer was"
    " tried on the run's own model, both held and free. Confirmed: all hold with all else held, at least"
    f" {percent(GOOD)} hold freely, replacement and completeness are at least {percent(GOOD)}, and at most"
    f" {percent(ERRORS)} of the influence ends at dictionary errors. Partial: all that lies between."
)

MEANINGS: Final[Mapping[str, str]] = {
    "confirmed": "What this answer predicts was tried on the model and holds; most of the story is here.",
    "partial": "The graph is this model's, but part of the story is missing: check what you build on.",
    "weak": "Most of the story lies outside this graph: take single features as leads, not as causes.",
    "untested": "Nothing of this was tried on the model yet: it is what the graph says, not what was seen.",
    "refuted": "This is not a picture of this model: what the graph must get right fails on it.",
}


@dataclass(frozen=True)
class Standing:
    """The numbers a badge stands on; NaN or None where unknown.

    Attributes:
        replacement: of what starts at words or errors, the share that starts at words.
        completeness: share of the nodes' inputs, weighted by influence, that is not error.
        errors: share of the influence that ends at dictionary errors.
        frozen: predictions that hold with all else held, and how many were tried; None: none was.
        free: the same with nothing held.
    """

    replacement: float
    completeness: float
    errors: float
    frozen: tuple[int, int] | None = None
    free: tuple[int, int] | None = None

    def word(self) -> str:
        """Gives the one word; nothing is confirmed that was not tried on the model.

        In this order, with r the replacement score, c the completeness, e the share of errors, f the
        share of free predictions that hold::

            refuted    a frozen prediction fails
            weak       r < 0.4, or f < 0.4
            untested   no frozen or no free prediction was tried
            confirmed  f ≥ 0.7 and r ≥ 0.7 and c ≥ 0.7 and e ≤ 0.3
            partial    else

        Example:
            >>> Standing(0.9, 0.9, 0.1).word(), Standing(0.9, 0.9, 0.1, (38, 38), (30, 36)).word()
            ('untested', 'confirmed')
        """
        held = None if self.free is None else self.free[0] / self.free[1]
        if self.frozen is not None and self.frozen[0] < self.frozen[1]:
            return "refuted"
        if not self.replacement >= FAIR or (held is not None and held < FAIR):
            return "weak"
        if held is None or self.frozen is None:
            return "untested"
        shares = (held, self.replacement, self.completeness)
        good = all(share >= GOOD for share in shares) and self.errors <= ERRORS  # NaN is not good
        return "confirmed" if good else "partial"


def standing(graph: Graph, answer: Answer) -> Standing | None:
    """Gives the numbers of an answer to `why`; None where an answer has no scores.

    Verdicts measured on another model than the run's, which was forced, count as not tried, unless they
    fail with all else held.
    """
    scores, ends = answer.tables.get("trust"), answer.tables.get("ends")
    if scores is None or ends is None or not {"score", "share"} <= set(scores.columns):
        return None
    share = dict(scores.select("score", "share").iter_rows())
    rows = verdicts_of(graph, str(answer.meta.get("target") or ""))
    frozen, free = rows.filter(is_frozen()), rows.filter(held="nothing")
    own = rows.filter(pl.col("forced").is_not_null() & ~pl.col("forced"))
    failed = not frozen["holds"].all()
    return Standing(
        _share(share.get("replacement")),
        _share(share.get("completeness")),
        _share(dict(ends.select("end", "share").iter_rows()).get("dictionary errors", 0.0)),
        _held(frozen) if len(own) or failed else None,
        _held(free) if len(own) else None,
    )


def _share(value: Any) -> float:
    return math.nan if value is None else float(value)


def _held(rows: pl.DataFrame) -> tuple[int, int] | None:
    return (int(rows["holds"].sum()), len(rows)) if len(rows) else None


WORST: Final = ("refuted", "weak", "untested", "partial", "confirmed")
"""The words, from the one that says least for an answer."""


def badge(found: Standing, name: str = "") -> Badge:
    """Gives the badge: the word, what it means, the numbers it stands on, the rule.

    Args:
        found: the numbers.
        name: of the run they are of, where a report is of two.
    """
    word = found.word()
    numbers: list[tuple[str, str, float | None]] = [
        ("replacement", percent(found.replacement), found.replacement),
        ("completeness", percent(found.completeness), found.completeness),
        ("ends at errors", percent(found.errors), found.errors),
    ]
    for how, held in (("hold with all else held", found.frozen), ("hold freely", found.free)):
        text = "none tried" if held is None else f"{held[0]} of {held[1]}"
        numbers.append((f"predictions that {how}", text, None if held is None else held[0] / held[1]))
    return Badge(word, MEANINGS[word], tuple(numbers), RULE, name)


def ends(answer: Answer) -> Shares | None:
    """Gives where influence comes from, for a bar of shares."""
    table = answer.tables.get("ends")
    if table is None:
        return None
    looks = {
        "words of the prompt": "words",
        "positions": "words",
        "dictionary errors": "errors",
        "edges too small to keep": "cut",
    }
    parts = tuple(
        {"name": end, "share": share, "text": percent(share), "look": looks.get(end, "other")}
        for end, share in table.iter_rows()
    )
    return Shares("Where the influence comes from", parts)


def scores(graph: Graph, answer: Answer) -> Scores | None:
    """Gives the scores with what each means, and how exactly the graph adds up."""
    table = answer.tables.get("trust")
    if table is None or not {"score", "share", "meaning"} <= set(table.columns):
        return None
    rows = [
        dict(row) | {"text": "unknown" if row["share"] is None else percent(row["share"])}
        for row in table.iter_rows(named=True)
    ]
    residual = graph.meta.get("completeness_residual")
    if isinstance(residual, int | float):
        said = "largest gap between what a node is and the sum of what flows into it, over max(1, |z|),"
        rows.append(
            {"score": "completeness residual", "share": residual, "text": plain(residual)}
            | {"meaning": f"{said} when the graph was made"}
        )
    rows += _agreement(graph, str(answer.meta.get("target") or ""))
    return Scores(tuple(rows))


def _agreement(graph: Graph, target: str) -> list[dict[str, Any]]:
    """Gives how predictions of a target agree with what was measured, nothing held; none where too few."""
    groups = ((graph.meta.get("verified") or {}).get(target) or {}).get("groups") or ()
    every: Mapping[str, Any] = next((group for group in groups if group.get("group") == "all"), {})
    told = (
        ("spearman", "agreement in rank", "Spearman of predicted and measured changes, nothing held"),
        ("slope", "agreement in size", "slope of measured on predicted changes, nothing held"),
    )
    rows = []
    for key, name, meaning in told:
        value, low, high = every.get(key) or (None, None, None)
        if value is not None:
            ends = "" if low is None or high is None else f"; 95% interval {low:.2f} to {high:.2f}"
            rows.append(
                {"score": name, "share": value, "text": f"{value:.2f}", "meaning": f"{meaning}{ends}"}
            )
    return rows


def interactions_table(graph: Graph) -> Table | None:
    """Gives, by channel, how many combinations there are and how sure their numbers are."""
    table = graph.hyperedges.filter((pl.col("order") > 1) & pl.col("via").is_null())
    rows = []
    for channel, where in CHANNELS.items():
        mine = table.filter(channel=channel)
        if not len(mine):
            continue
        wide = (pl.col("high") > pl.col("low")).fill_null(value=False)
        guessed = pl.col("estimated").fill_null(value=False)
        rows.append(
            {
                "acting": where,
                "combinations": len(mine),
                "exact": len(mine.filter(~guessed & ~wide)),
                "bounded": len(mine.filter(~guessed & wide)),
                "sampled": len(mine.filter(guessed)),
                "error": _error(graph, channel) or None,
            }
        )
    if not rows:
        return None
    kinds = {"acting": pl.String(), "error": pl.String()}
    schema = {name: kinds.get(name, pl.Int64()) for name in rows[0]}
    return table_of(pl.DataFrame(rows, schema=schema), "sure", "How sure the combinations are", SURE)


CHANNELS: Final = {"output": "towards the output", "mlp": "into gates", "qk": "in attention"}
SURE: Final = (
    "exact: computed in full. bounded: a series was cut off, and the interval bounds the error."
    " sampled: estimated from a sample of coalitions, with a 95% interval."
)


def _error(graph: Graph, channel: str) -> str:
    """Gives what is known of the error of a channel's interactions, as its engines recorded it."""
    entry = (graph.meta.get("interactions") or {}).get(channel)
    units = entry.get("units") if isinstance(entry, Mapping) else None
    parts = [unit for unit in (units or {}).values() if isinstance(unit, Mapping)]
    if channel == "output":
        explained = _numbers(parts, "explained")
        if explained:
            return f"the estimate explains {percent(min(explained))} of held-out coalitions' variance"
        left = [v for p in parts for v in (p.get("unexplained") or {}).values() if isinstance(v, int | float)]
        return f"no gate accounts for {plain(max(left))} of one at most" if left else ""
    name, said = {
        "mlp": ("largest_error", "at most {} off"),
        "qk": ("log_odds_error", "log-odds of keys rebuilt to {}"),
    }[channel]
    worst = max(_numbers(parts, name), default=0.0)
    return said.format(plain(worst)) if worst else ""


def _numbers(parts: list[Mapping[str, Any]], name: str) -> list[float]:
    return [float(p[name]) for p in parts if isinstance(p.get(name), int | float)]
