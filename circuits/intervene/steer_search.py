"""Which few features to act on: sets of acts ranked by what the graph predicts of them together.

The **gap** is the wanted output's logit less the largest of its rivals'; an intervention is predicted to work
where it is positive. All single acts are predicted, then sets of them, small ones first; acts of a set are
run together, so that what they do only jointly is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.actions import Affine, Intervention
from circuits.graph.graph import Graph
from circuits.graph.predict import predict
from circuits.intervene.steer_graph import Ground
from circuits.schema import parse_feature

POOL: Final = 96
"""The best single acts, of which all pairs are predicted; larger sets grow by one of them at a time."""

BEAM: Final = 40
"""Sets that larger ones grow from."""

AT_ONCE: Final = 2048
"""Interventions predicted at once: each node acted on makes the graph larger for them all."""

STRENGTHS: Final = 32
"""Steps between nothing and the whole act, among which the least sufficient is looked for."""


@dataclass(frozen=True)
class Act:
    """One feature acted on.

    Attributes:
        node: the feature.
        full: what becomes of it at full strength.
    """

    node: str
    full: Affine

    def at(self, strength: float) -> Affine:
        """Gives the act at a strength between 0, nothing, and 1, the whole of it."""
        return Affine(1 + strength * (self.full.scale - 1), strength * self.full.offset)


Acts = tuple[Act, ...]


def intervention(acts: Acts, strength: float = 1.0) -> Intervention:
    """Gives acts done at once, each at the same strength."""
    done = {act.node: act.at(strength) for act in acts}
    return Intervention(", ".join(Intervention("", done).written()), done)


def possible(ground: Ground, strongest: float) -> list[Act]:
    """Gives every single act: a feature that is on off or amplified, one that is off turned on.

    Those at the first position are left alone: attention parks there, so that what is done to them spreads
    everywhere, and patterns do not stay as the graph holds them.

    Args:
        ground: where to search.
        strongest: what a feature that is on is multiplied by, at most.
    """
    nodes = ground.graph.nodes.filter(pl.col("kind") == "feature", pl.col("pos") > 0)
    acts = []
    for node, activation in nodes.select("node", "activation").iter_rows():
        if activation:
            acts += [Act(node, Affine(0.0, 0.0)), Act(node, Affine(strongest, 0.0))]
        elif (place := parse_feature(node)) and place in ground.typical:
            acts.append(Act(node, Affine(1.0, ground.typical[place])))
    return acts


def gap(ground: Ground, values: Float[np.ndarray, "B T"]) -> Float[np.ndarray, "B"]:
    """Gives the wanted output's logit (first column) less the largest of its rivals'."""
    assert values.shape[1] == 1 + len(ground.rivals)
    return np.asarray(values[:, 0] - values[:, 1:].max(axis=1), np.float64)


def predicted(
    graph: Graph, interventions: Sequence[Intervention], targets: Sequence[str]
) -> Float[np.ndarray, "B T"]:
    """Gives what the graph predicts, some interventions at a time."""
    parts = [
        predict(graph, interventions[start : start + AT_ONCE], targets=targets)
        for start in range(0, len(interventions), AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.zeros((0, len(targets)))


@dataclass(frozen=True, eq=False)
class Ranked:
    """Sets of acts of one size, the best first.

    Attributes:
        sets: the sets.
        gaps: the gap predicted for each.
        values: the logits predicted, the wanted output's first, then its rivals'.
    """

    sets: tuple[Acts, ...]
    gaps: Float[np.ndarray, "S"]
    values: Float[np.ndarray, "S T"]

    @classmethod
    def of(cls, ground: Ground, sets: Sequence[Acts]) -> Ranked:
        """Gives sets in the order of their predicted gaps."""
        values = predicted(ground.graph, [intervention(one) for one in sets], _columns(ground))
        found = gap(ground, values)
        order = np.argsort(-found, kind="stable")
        return cls(tuple(sets[i] for i in order), found[order], values[order])


@dataclass(eq=False)
class Missed:
    """What predictions missed of the sets that were tried: the gap measured less the gap predicted."""

    by: dict[frozenset[Act], float] = field(default_factory=dict)

    def expected(self, ranked: Ranked) -> Float[np.ndarray, "S"]:
        """Gives predicted gaps, with what was missed of each set's parts one act smaller, where tried.

        The mean where several were; the worst of all where none was: nothing gains by being unknown.
        """
        worst = min(self.by.values(), default=0.0)
        found = np.array(ranked.gaps)
        for row, one in enumerate(ranked.sets):
            parts = [frozenset(one) - {act} for act in one]
            known = [self.by[part] for part in parts if part in self.by]
            found[row] += np.mean(known) if known else worst
        return found

    def order(self, ranked: Ranked) -> list[Acts]:
        """Gives sets by the gap then expected, the largest first."""
        return [ranked.sets[i] for i in np.argsort(-self.expected(ranked), kind="stable")]


def larger(ground: Ground, single: Ranked, before: Ranked, wanted: tuple[int, Missed]) -> Ranked:
    """Gives sets of a size, made of the best single acts: all pairs; more grow from the best sets before.

    The best before are half those by predicted gap, half those by what was missed too.

    Args:
        ground: where to search.
        single: all single acts.
        before: the sets one smaller.
        wanted: acts in a set, 2 or more; and what was missed of sets that were tried.
    """
    pool, (size, missed) = _pool(single), wanted
    if size == 2:
        return Ranked.of(ground, [one for one in combinations(pool, size) if _apart(one)])
    grown: dict[Acts, None] = {}
    for one in dict.fromkeys((*before.sets[: BEAM // 2], *missed.order(before)[: BEAM // 2])):
        taken = {act.node for act in one}
        for act in pool:
            if act.node not in taken:
                grown[tuple(sorted((*one, act), key=lambda a: (a.node, a.full)))] = None
    return Ranked.of(ground, list(grown))


def least(ground: Ground, sets: Sequence[Acts]) -> list[float | None]:
    """Gives the least strength from which on each set of acts is predicted to work, None where none is."""
    steps = np.arange(1, STRENGTHS + 1) / STRENGTHS
    tried = [intervention(one, float(step)) for one in sets for step in steps]
    works = gap(ground, predicted(ground.graph, tried, _columns(ground))).reshape(len(sets), -1) > 0
    found: list[float | None] = []
    for row in works:
        fails = np.flatnonzero(~row)
        first = 0 if not len(fails) else int(fails[-1]) + 1
        found.append(float(steps[first]) if first < len(steps) else None)
    return found


def various(sets: Sequence[Acts], most: int) -> list[Acts]:
    """Gives the first sets, no act in more than half of them: if one misleads, not all are lost."""
    chosen: list[Acts] = []
    for one in sets:
        if all(sum(act in other for other in chosen) < max(1, most // 2) for act in one):
            chosen.append(one)
        if len(chosen) == most:
            break
    return chosen


def _columns(ground: Ground) -> list[str]:
    return [ground.wanted, *ground.rivals]


def _pool(single: Ranked) -> list[Act]:
    """Gives acts worth combining: half the best by gap, half the best over each rival in turn.

    What lifts the wanted output over one rival alone is no good by itself and may be what a set lacks.
    """
    found: dict[Act, None] = {}
    for (act,) in single.sets[: POOL // 2]:
        found[act] = None
    over = np.argsort(-(single.values[:, :1] - single.values[:, 1:]), axis=0, kind="stable")
    for place in over.ravel():
        if len(found) >= min(POOL, len(single.sets)):
            break
        found[single.sets[place][0]] = None
    return list(found)


def _apart(acts: Acts) -> bool:
    return len({act.node for act in acts}) == len(acts)
