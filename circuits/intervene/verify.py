"""A graph's claims, tried on the model it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.dictionaries.base import AbstractDictionary
from circuits.graph.actions import Intervention
from circuits.graph.graph import Graph
from circuits.graph.influence import inflow
from circuits.graph.predict import predict
from circuits.intervene.carried import carried
from circuits.intervene.claims import Claim, Plan
from circuits.intervene.completed import completed, traced
from circuits.intervene.hold import FREE, FROZEN, Hold
from circuits.intervene.measuring import Measuring, Progress
from circuits.intervene.plan import BUDGET, plan
from circuits.intervene.session import Session
from circuits.intervene.summary import Verification, summary
from circuits.intervene.verdicts import Tried, table
from circuits.models.base import Model
from circuits.trace import Trace

TOLERANCE: Final = 1e-4
"""Frozen, a prediction may miss by so much of max(1, |value|, Σ |weight| into the target)."""


@dataclass(frozen=True)
class Checks:
    """How claims are tried.

    Attributes:
        budget: interventions, each run frozen and free.
        seed: by which controls are drawn and intervals estimated.
        forced: go on though model or dictionary are not the run's; the verdicts say so.
        trace: what the run was made from, where at hand; extracted again where it is needed.
    """

    budget: int = BUDGET
    seed: int = 0
    forced: bool = False
    trace: Trace | None = None


def verify(
    graph: Graph,
    model: Model,
    dictionary: AbstractDictionary,
    target: str | None = None,
    *,
    checks: Checks = Checks(),
    progress: Progress | None = None,
) -> Verification:
    """Gives what becomes of a graph's claims on the model.

    Every claim is one intervention (`circuits.intervene.plan`). Its effect on the target is predicted
    from the graph, then measured twice on the model:

    - *frozen*, with patterns, norms and all but the run's features held. An edge is an intervention, so
      the graph must be right: within 1e-4 of max(1, |value|, Σ |weight| into the target), plus what the
      edges it could not keep (`rest`) explain, which is computed from the trace. Features whose own inputs
      the graph does not hold are held too (as `Session` has it).
    - *free*, with nothing held: the honest figure. Here a claim holds where its sign is right and it is
      within a factor of two, or where it misses by at most 1% of the answer's size.

    Beside the claims stands how much of the answer the most influential features carry by themselves, and
    what is left without them (`circuits.intervene.carried`).

    Args:
        graph: of a run.
        model: the model it was made from.
        dictionary: its dictionary.
        target: one of the graph's targets; the heaviest unless given.
        checks: how many claims, and whether another model is allowed.
        progress: told of what is done.

    Raises:
        Incompatible: model or dictionary are not the run's and that is not forced, or the graph does not
            say its prompt.
        NotFound, UsageError: as for `plan`.

    Example:
        >>> print(verify(graph, model, dictionary))  # doctest: +SKIP
    """
    chosen = plan(graph, target, budget=checks.budget, seed=checks.seed)
    session = Session.of(model, dictionary, graph, forced=checks.forced)
    whole = graph
    if (graph.nodes["truncated"] > 0).any() and not session.forced:
        trace = checks.trace or traced(model, dictionary, graph, progress)
        whole = completed(graph, trace, progress)
    return tried(session, chosen, whole, forced=session.forced, progress=progress)


def tried(
    session: Measuring,
    chosen: Plan,
    whole: Graph | None = None,
    *,
    forced: bool = False,
    progress: Progress | None = None,
) -> Verification:
    """Gives what becomes of the claims of a plan, measured by a session.

    Args:
        session: measures; its graph is the one whose claims they are.
        chosen: the claims.
        whole: the graph with the edges it could not keep, from `completed`; itself unless given.
        forced: what is measured is not what the run was made from.
        progress: told of what is measured.
    """
    graph, target = session.graph, chosen.target
    predicted = foreseen(graph, chosen.claims, target)
    margin = np.zeros(len(predicted))
    if whole is not None and whole is not graph:
        margin = np.abs(foreseen(whole, chosen.claims, target) - predicted)
    found = []
    for hold in (FROZEN, FREE):
        before, measured = _measured(session, chosen, hold, progress)
        scale = max(1.0, abs(before), float(inflow(graph)[graph.row(target)]))
        allowed = TOLERANCE * scale + margin if hold == FROZEN else None
        found.append(Tried(hold, before, predicted, measured, allowed))
    rows = table(graph, chosen, found, forced=forced)
    others = graph.verdicts.filter(pl.col("target") != target)
    verdicts = pl.concat([others, rows]).with_columns(verdict=pl.format("v{}", pl.int_range(1, pl.len() + 1)))
    told = {**summary(rows, chosen, scale, margin), "faithfulness": carried(session, target, progress)}
    before_it: Mapping[str, Any] = graph.meta.get("verified") or {}
    marked = replace(graph.with_meta(verified={**before_it, target: told}), verdicts=verdicts)
    return Verification(marked, target, verdicts.filter(pl.col("target") == target), told)


def foreseen(graph: Graph, claims: Sequence[Claim], target: str) -> Float[np.ndarray, "C"]:
    """Gives, by claim, the change of the target that a graph predicts."""
    found = np.zeros(len(claims))
    for responding in dict.fromkeys(claim.responding for claim in claims):
        places = [place for place, claim in enumerate(claims) if claim.responding == responding]
        part = claims[places[0]].seen_by(graph)
        asked = [claims[place].intervention for place in places]
        values = predict(part, [*asked, Intervention("nothing")], targets=[target])[:, 0].astype(np.float64)
        found[places] = values[:-1] - values[-1]
    return found


def _measured(
    session: Measuring, chosen: Plan, hold: Hold, progress: Progress | None
) -> tuple[float, Float[np.ndarray, "C"]]:
    """Gives the target's value with nothing done and, by claim, its change."""
    graph = session.graph
    asked = [claim.measured_with(claim.held(graph), graph) for claim in chosen.claims]

    def tell(_phase: str, done: int, total: int) -> None:
        if progress is not None:
            progress("held interventions" if hold == FROZEN else "interventions", done, total)

    outcome = session.run(asked, hold, progress=tell)
    column = outcome.targets.index(chosen.target)
    return float(outcome.before[column]), outcome.effects[:, column].astype(np.float64)
