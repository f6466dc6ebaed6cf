"""Claims in words, and the table of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.intervene.claims import DOUBLED, Claim, Plan, Together
from circuits.intervene.hold import Hold
from circuits.query.text import Naming, listing, plain, signed
from circuits.query.verified import OTHERS
from circuits.schema import VERDICT_SCHEMA

FACTOR: Final = 2.0
"""A free claim holds where its sign is right and it is within this factor."""

FLOOR: Final = 0.01
"""… or misses by no more than this share of the answer's size: so that a claim of nothing can hold."""


@dataclass(frozen=True)
class Tried:
    """The claims of a plan, predicted and measured under one hold.

    Attributes:
        hold: what was held still.
        before: the target's value with nothing done.
        predicted: by claim, the change the graph predicts.
        measured: by claim, the change measured.
        tolerance: by claim, the largest difference that is none; None: by factor and floor.
    """

    hold: Hold
    before: float
    predicted: Float[np.ndarray, "C"]
    measured: Float[np.ndarray, "C"]
    tolerance: Float[np.ndarray, "C"] | None


def table(graph: Graph, plan: Plan, tried: Sequence[Tried], *, forced: bool) -> pl.DataFrame:
    """Gives a row of `VERDICT_SCHEMA` for every claim and interaction under every hold.

    What is predicted and measured are changes of the target. A frozen claim holds where the two differ by
    no more than rounding and the edges the graph could not keep explain. A free one holds where its sign
    is right and it is within a factor of two, that is |m − p| ≤ max(|m|, |p|) / 2, or where it misses by
    at most 1% of the answer's size, the larger of the target's value and of the largest change predicted.

    Args:
        graph: whose claims they are.
        plan: the claims.
        tried: one a hold.
        forced: the model or the dictionary is not the run's.
    """
    naming = Naming.of(graph)
    rows: list[dict[str, Any]] = []
    for one in tried:
        size = max(abs(one.before), float(np.abs(one.predicted).max(initial=0.0)))
        for place, claim in enumerate(plan.claims):
            pair = float(one.predicted[place]), float(one.measured[place])
            row = _row(plan, one, pair, _allowed(one, pair, size, [place]))
            rows.append(row | _said(naming, graph, claim, plan.target, pair[0]) | _held(one, claim))
        for joint in plan.together:
            pair = joint.of(one.predicted), joint.of(one.measured)
            places = [place for place, _ in joint.parts]
            row = _row(plan, one, pair, _allowed(one, pair, size, places))
            rows.append(row | _together(naming, graph, plan, joint, pair[0]) | {"held": str(one.hold)})
    for number, row in enumerate(rows):
        row |= {"verdict": f"v{number + 1}", "forced": forced}
    return pl.DataFrame(rows, schema=VERDICT_SCHEMA)


def answer_size(rows: pl.DataFrame) -> float:
    """Gives the size of an answer: the larger of the target's value and of the largest change predicted."""
    return float(max(rows["before"].abs().max(), rows.filter(order=1)["predicted"].abs().max()))  # type: ignore[type-var, arg-type]


def _allowed(one: Tried, pair: tuple[float, float], size: float, places: Sequence[int]) -> float:
    """Gives the largest difference of predicted and measured at which a claim holds."""
    if one.tolerance is not None:
        return float(one.tolerance[list(places)].sum())
    return max(max(map(abs, pair)) * (1 - 1 / FACTOR), FLOOR * size)


def _row(plan: Plan, one: Tried, pair: tuple[float, float], allowed: float) -> dict[str, Any]:
    return {
        "target": plan.target,
        "before": one.before,
        "predicted": pair[0],
        "measured": pair[1],
        "tolerance": allowed,
        "holds": abs(pair[1] - pair[0]) <= allowed,
    }


def _held(one: Tried, claim: Claim) -> dict[str, Any]:
    others = claim.responding is not None
    if not others:
        return {"held": str(one.hold)}
    said = "" if str(one.hold) == "nothing" else f"{one.hold}, "
    return {"held": f"{said}{OTHERS}"}


def _said(naming: Naming, graph: Graph, claim: Claim, target: str, effect: float) -> dict[str, Any]:
    done = "Doubling" if DOUBLED in claim.intervention.nodes.values() else "Switching off"
    acted = list(claim.members[:1]) if claim.kind == "path" else list(claim.members)
    what = listing(naming.phrase(member) for member in acted)
    together = " together" if len(acted) > 1 else ""
    alone = ""
    if claim.responding is not None:
        moving = listing(naming.brief(node) for node in claim.responding)
        alone = f", with only {moving} responding," if moving else ", with no other feature responding,"
    return {
        "claim": f"{done} {what}{together}{alone} {_moves(naming, target, effect)}.",
        "kind": claim.kind,
        "members": list(claim.members),
        "actions": list(claim.intervention.written()),
        "order": 1,
        "layers": _layers(graph, target, claim.members),
    }


def _together(naming: Naming, graph: Graph, plan: Plan, joint: Together, effect: float) -> dict[str, Any]:
    what = listing(naming.phrase(member) for member in joint.members)
    apart = "each alone" if len(joint.members) == 2 else "fewer of them"
    whole = max((place for place, _ in joint.parts), key=lambda place: len(plan.claims[place].members))
    return {
        "claim": f"Switching off {what} together changes {naming.phrase(plan.target)} by"
        f" {signed(effect) or '0'} beyond what {apart} changes.",
        "kind": "pair" if len(joint.members) == 2 else "set",
        "members": list(joint.members),
        "actions": list(plan.claims[whole].intervention.written()),
        "order": len(joint.members),
        "layers": _layers(graph, plan.target, joint.members),
    }


def _moves(naming: Naming, target: str, effect: float) -> str:
    if effect == 0:
        return f"does nothing to {naming.phrase(target)}"
    return f"{'raises' if effect > 0 else 'lowers'} {naming.phrase(target)} by {plain(abs(effect))}"


def _layers(graph: Graph, target: str, members: Sequence[str]) -> int:
    """Gives how many layers lie between the last member and the target, words being before layer 0."""
    concepts = {one.name: one.nodes for one in known(graph)}
    column = graph.nodes["layer"]
    deepest = int(column.max() or 0)  # type: ignore[arg-type]
    nodes = [node for m in members for node in ((m,) if m in graph.index else concepts.get(m, ()))]
    at = [column[graph.row(node)] for node in nodes]
    own = column[graph.row(target)]
    end = deepest + 1 if own is None else int(own)
    return end - max(-1 if layer is None else int(layer) for layer in at)
