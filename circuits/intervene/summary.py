"""What claims tried on the model come to: how many hold, how well they agree, by order and by distance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.graph import Graph
from circuits.intervene.carried import CAPTION as CURVES
from circuits.intervene.carried import carried_sentence, carried_table
from circuits.intervene.claims import Plan
from circuits.intervene.verdicts import FLOOR, answer_size
from circuits.query.agreement import FEWEST, Estimate, agreement
from circuits.query.answer import Answer
from circuits.query.subject import Subject, induced
from circuits.query.text import Naming
from circuits.query.verified import CAPTION, OTHERS, is_free, is_frozen, verified_sentences, verified_table

PARTS: Final = 3
"""Groups of claims by how many layers lie between what was acted on and the target."""

_AGREEMENT: Final = (
    "Free predictions against measurements, by group. claims: how many. hold: how many of them hold."
    " spearman: rank correlation. slope: of measured on predicted, through the origin: 1 where the graph is"
    " right, below 1 where the model makes up for what is done. sign: share with the right one, of those"
    " predicted to do more than 1% of the answer's size. Each with a 95% bootstrap interval over these"
    f" claims; nothing is said of fewer than {FEWEST}. layers: from what was acted on to the target. all: but"
    " for the path and its edges, where other features are held."
)


@dataclass(frozen=True, eq=False)
class Verification:
    """A graph whose claims were tried.

    Attributes:
        graph: the graph with the verdicts in `graph.verdicts` and the summary in `graph.meta["verified"]`.
        target: whose value was watched.
        verdicts: one row a claim and hold, columns of `circuits.schema.VERDICT_SCHEMA`.
        summary: what they come to; JSON-compatible.
    """

    graph: Graph
    target: str
    verdicts: pl.DataFrame
    summary: Mapping[str, Any]

    @property
    def holds(self) -> bool:
        """Tells whether every claim holds with all else frozen: whether this is the model's graph."""
        return bool(self.verdicts.filter(is_frozen())["holds"].all())

    def answer(self) -> Answer:
        """Gives the same as an answer: sentences, tables, the nodes acted on."""
        naming, curves = Naming.of(self.graph), self.summary["faithfulness"]
        run = str(self.graph.meta.get("run") or "run")
        acted = [n for n in dict.fromkeys(self.verdicts["members"].explode()) if n in self.graph.index]
        rows = np.array([self.graph.row(node) for node in (*acted, self.target)])
        return Answer(
            question=f"Does what the graph says of {naming.phrase(self.target)} hold on the model?",
            finding=tuple(
                filter(None, (*verified_sentences(self.graph, self.target), carried_sentence(curves)))
            ),
            tables={
                "agreement": groups_table(self.summary),
                "claims": verified_table(self.graph, self.target),
                "faithfulness": carried_table(curves),
            },
            captions={"agreement": _AGREEMENT, "claims": CAPTION, "faithfulness": CURVES},
            highlight=induced(Subject.of(self.graph, self.target).graph, rows),
            code=(
                f"import circuits\n\ngraph = circuits.load_run({run!r})\n"
                "model = circuits.load_model(graph.meta['model']['spec'])\n"
                "dictionary = circuits.load_dictionary(graph.meta['dictionary']['spec'], model)\n"
                f"print(circuits.verify(graph, model, dictionary, {self.target!r}))"
            ),
            meta={"query": "verify", "target": self.target, "summary": self.summary},
        )

    def __str__(self) -> str:
        return str(self.answer())

    def __repr__(self) -> str:
        held = {name: f"{some['holds'].sum()} of {len(some)}" for name, some in self._modes()}
        return f"Verification({self.target!r}, " + ", ".join(f"{n}: {h} hold" for n, h in held.items()) + ")"

    def _modes(self) -> Iterator[tuple[str, pl.DataFrame]]:
        yield "frozen", self.verdicts.filter(is_frozen())
        yield "free", self.verdicts.filter(is_free())


def summary(rows: pl.DataFrame, plan: Plan, scale: float, margin: Float[np.ndarray, "C"]) -> dict[str, Any]:
    """Gives what verdicts on one target come to, as `meta["verified"]` keeps it.

    Args:
        rows: the verdicts.
        plan: what was tried.
        scale: max(1, |value|, Σ |weight| into the target): what errors are relative to.
        margin: by claim, what edges that were not kept explain.
    """
    frozen, free = rows.filter(is_frozen()), rows.filter(is_free())
    error = (frozen["measured"] - frozen["predicted"]).abs()
    beyond = np.maximum(error.to_numpy()[: len(margin)] - margin, 0.0)
    size = answer_size(rows)
    return {
        "interventions": len(plan.claims),
        "budget": plan.budget,
        "seed": plan.seed,
        "forced": bool(rows["forced"].any()),
        "frozen": {
            "claims": len(frozen),
            "hold": int(frozen["holds"].sum()),
            "worst": float(error.max() or 0.0),  # type: ignore[arg-type]
            "worst_relative": float(beyond.max(initial=0.0)) / scale,
            "margin": float(margin.max(initial=0.0)),
            "scale": scale,
        },
        "free": {"claims": len(free), "hold": int(free["holds"].sum())},
        "controls": _controls(free, plan),
        "groups": [_group(name, some, size, plan.seed) for name, some in _groups(free) if len(some)],
    }


def groups_table(summary: Mapping[str, Any]) -> pl.DataFrame:
    """Gives the agreement of each group of free claims, numbers with their intervals as text."""
    rows = [
        {
            "group": group["group"],
            "claims": group["claims"],
            "hold": group["hold"],
            **{name: _interval(group[name]) for name in ("spearman", "slope", "sign")},
        }
        for group in summary["groups"]
    ]
    kinds = {"group": pl.String(), "claims": pl.Int64(), "hold": pl.Int64()}
    return pl.DataFrame(rows, schema={**kinds, **dict.fromkeys(("spearman", "slope", "sign"), pl.String())})


def _interval(numbers: list[float | None]) -> str:
    value, low, high = numbers
    if value is None:
        return ""
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{value:.2f}{ends}".replace("-", "−")


def _groups(free: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Gives the groups of free claims: all, by order, by layers, and those with other features held."""
    alone = free.filter(held="nothing")
    yield "all", alone
    for order in sorted(alone["order"].unique()):
        name = {1: "one change", 2: "pairs beyond both"}.get(order, f"{order} beyond fewer")
        yield name, alone.filter(order=order)
    single = alone.filter(order=1)
    for low, high in _cuts(single["layers"]):
        between = single.filter(pl.col("layers").is_between(low, high))
        words = f"{low} layer{'s' * (low != 1)}" if low == high else f"{low} to {high} layers"
        yield f"… {words} away", between
    yield "path and its edges", free.filter(held=OTHERS)


def _cuts(layers: pl.Series) -> list[tuple[int, int]]:
    """Gives ranges of distances, so that each holds about as many claims."""
    have = sorted(layers.to_list())
    if not have:
        return []
    inner = {have[len(have) * part // PARTS] for part in range(1, PARTS)}
    starts = sorted({have[0], *inner})
    ends = [start - 1 for start in starts[1:]] + [have[-1]]
    return [(low, max(n for n in have if n <= high)) for low, high in zip(starts, ends, strict=True)]


def _group(name: str, rows: pl.DataFrame, size: float, seed: int) -> dict[str, Any]:
    found: dict[str, Estimate] = agreement(rows, negligible=FLOOR * size, seed=seed)
    return {
        "group": name,
        "claims": len(rows),
        "hold": int(rows["holds"].sum()),
        **{measure: list(estimate) for measure, estimate in found.items()},
    }


def _controls(free: pl.DataFrame, plan: Plan) -> dict[str, int]:
    """Gives how many of the nodes said to do next to nothing did so."""
    names = [plan.claims[place].members[0] for place in plan.controls]
    rows = free.filter(pl.col("members").list.first().is_in(names), kind="node", order=1)
    return {"claims": len(rows), "hold": int(rows["holds"].sum())}
