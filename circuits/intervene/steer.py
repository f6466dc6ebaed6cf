"""The smallest intervention that makes the output a given one: predicted, then tried on the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float

from circuits.errors import UsageError
from circuits.extraction.lens import promoted, written_directions
from circuits.graph.actions import Intervention
from circuits.graph.graph import Graph
from circuits.intervene.hold import FREE, FROZEN
from circuits.intervene.neutral import NEUTRAL
from circuits.intervene.outcome import Outcome
from circuits.intervene.session import Session
from circuits.intervene.side_effects import among_others, side_effects
from circuits.intervene.steer_graph import Ground, ground, widened
from circuits.intervene.steer_search import (
    Acts,
    Missed,
    Ranked,
    gap,
    intervention,
    larger,
    least,
    possible,
    predicted,
    various,
)
from circuits.query.answer import Answer
from circuits.schema import parse_feature

Progress = Callable[[str, int, int], None]

TRIED: Final = 16
"""Candidates of each size tried on the model."""

STEPS: Final = 8
"""Strengths tried for each set that works."""

ROUNDS: Final = 1
"""Times the search is begun again when tokens come out on top that the graph did not have as targets."""

ATTEMPTS: Final = pl.Schema(
    {
        "size": pl.Int32(),
        "what": pl.String(),
        "predicted": pl.Float64(),  # gap
        "measured": pl.Float64(),  # gap, free
        "output": pl.String(),  # the likeliest token after
        "works": pl.Boolean(),
    }
)


@dataclass(frozen=True)
class Reach:
    """What may be done.

    Attributes:
        features: acted on, at most.
        strongest: what a feature that is on is multiplied by, at most.
    """

    features: int = 3
    strongest: float = 4.0

    def __post_init__(self) -> None:
        if self.features < 1:
            raise UsageError(f"A budget of {self.features} features leaves nothing to do: give 1 or more.")
        if not 1 < self.strongest < float("inf"):
            raise UsageError(f"Strongest {self.strongest:g} amplifies nothing: give a factor above 1.")


@dataclass(frozen=True, eq=False)
class Steering:
    """The outcome of a search. `print` tells it.

    A **gap** is the wanted output's logit less the largest other; the graph knows the others it has as
    targets, the model all of them.

    Attributes:
        toward: the output wanted.
        over: the output it was to overtake; None: all of them.
        budget: what was permitted.
        works: the model's output is the wanted one.
        intervention: what to do: the smallest found, or what came nearest.
        strength: of its acts, 1 being the strongest permitted.
        gap_before: with nothing done.
        predicted: the gap the graph predicts.
        frozen: the gap measured, patterns, norms and MLPs held: what the graph is a picture of.
        free: the gap measured on the model as it is.
        outcome: on the model as it is, all of it.
        tried: every candidate tried at full strength.
        side_effects: what the same does to other texts (`circuits.intervene.side_effects`).
        others_kl: KL(before ‖ after) in nats among the prompt's other outputs.
        labels: of the features acted on, where they have one.
        ground: where was searched.
        session: of the graph searched in.
    """

    toward: str
    over: str | None
    budget: Reach
    works: bool
    intervention: Intervention
    strength: float
    gap_before: float
    predicted: float
    frozen: float
    free: float
    outcome: Outcome
    tried: pl.DataFrame
    side_effects: pl.DataFrame
    others_kl: float
    labels: Mapping[str, str]
    ground: Ground
    session: Session

    @property
    def graph(self) -> Graph:
        """Gives the graph searched in: the prompt with the wanted output among its targets."""
        return self.ground.graph

    @property
    def answer(self) -> Answer:
        """Gives it as an answer: sentences, tables, the features acted on."""
        from circuits.intervene.steer_text import told

        return told(self)

    def __str__(self) -> str:
        return str(self.answer)

    def __repr__(self) -> str:
        how = "works" if self.works else "does not work"
        return f"Steering(toward {self.toward!r}: {self.intervention.name} {how})"


def steer(
    session: Session,
    toward: str,
    *,
    budget: int | Reach = 3,
    over: str | None = None,
    texts: Sequence[str] = NEUTRAL,
    progress: Progress | None = None,
) -> Steering:
    """Gives the smallest intervention found that makes the model say something else.

    Acts are: a feature that is on switched off or multiplied by `Reach.strongest`; a feature that is off
    here given the activation it has where it is on in `texts` (on nowhere: what is usual in its layer).
    Features at the first position, where attention parks, are left alone. The graph predicts all single
    acts, then pairs, then more together; of each size the best are tried on the free model, by what is
    predicted alone and by what is predicted less what the prediction missed of their parts, and the first
    size at which one works ends the search. Its acts are then weakened, all alike, as far as the model's
    output stays the wanted one.

    Args:
        session: of a run.
        toward: the token wanted, spelt as the tokenizer does (`" Berlin"`).
        budget: features acted on, at most; or a `Reach`.
        over: the token it is to overtake; unless given, it is to become the likeliest of all.
        texts: on which side effects are measured; neutral ones unless given.
        progress: told of each phase.

    Raises:
        UsageError: the output is the wanted one already; a budget below 1.
        NotFound: a text is no token.

    Example:
        >>> print(circuits.steer(session, " Berlin", budget=3))  # doctest: +SKIP
    """
    permitted = Reach(budget) if isinstance(budget, int) else budget
    place = ground(session, toward, over=over, texts=texts, progress=progress)
    tell = progress or (lambda *_: None)
    search = _Search(place, _session(session, place), permitted, tell)
    acts, strength = search.found()
    for _ in range(ROUNDS):
        if strength or not search.met:
            break
        place = widened(session, place, search.met, tell)
        search = _Search(place, _session(session, place), permitted, tell, search.tried)
        acts, strength = search.found()
    return _steering(search, session, (acts, strength), (toward, over, texts))


@dataclass(eq=False)
class _Search:
    """A search under way: what was tried, and what came nearest."""

    ground: Ground
    session: Session
    budget: Reach
    tell: Progress
    tried: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ATTEMPTS))

    def __post_init__(self) -> None:
        self.nearest: tuple[float, Acts] = (-np.inf, ())
        self.met: list[int] = []
        self.missed = Missed()

    def found(self) -> tuple[Acts, float | None]:
        """Gives the acts to take and the strength at which they work; None where they do not."""
        self.tell("search", 0, self.budget.features)
        single = Ranked.of(self.ground, [(act,) for act in possible(self.ground, self.budget.strongest)])
        ranked = single
        for size in range(1, self.budget.features + 1):
            ranked = ranked if size == 1 else larger(self.ground, single, ranked, (size, self.missed))
            self.tell("search", size, self.budget.features)
            works = self._try(ranked)
            if works:
                return self._weakest(works)
        return self.nearest[1], None

    def _try(self, ranked: Ranked) -> list[Acts]:
        """Gives those of the best sets of one size that work on the model."""
        corrected = self.missed.order(ranked)
        sets = list(dict.fromkeys((*various(ranked.sets, TRIED // 2), *various(corrected, TRIED // 2))))
        if not sets:
            return []
        doing = [intervention(one) for one in sets]
        outcome = self.session.run(doing, FREE)
        expected = dict(zip(ranked.sets, ranked.gaps, strict=True))
        measured, works = self.measured(outcome), self.works(outcome)
        tops = outcome.logits.argmax(axis=1).tolist()
        self.tried = pl.concat(
            [
                self.tried,
                pl.DataFrame(
                    {
                        "size": [len(one) for one in sets],
                        "what": [one.name for one in doing],
                        "predicted": [float(expected[one]) for one in sets],
                        "measured": measured,
                        "output": [self.session.model.decode(top) for top in tops],
                        "works": works,
                    },
                    schema=ATTEMPTS,
                ),
            ]
        )
        self.tried = self.tried.unique("what", keep="last", maintain_order=True)
        known = {self.ground.question.wanted, *self.ground.question.rivals, *self.met}
        if self.ground.question.over is None:
            self.met += [top for top in dict.fromkeys(tops) if top not in known]
        for one, got in zip(sets, measured, strict=True):
            self.missed.by[frozenset(one)] = float(got) - float(expected[one])
        best = int(np.argmax(measured))
        self.nearest = max(self.nearest, (float(measured[best]), sets[best]), key=lambda n: n[0])
        return [one for one, ok in zip(sets, works, strict=True) if ok]

    def _weakest(self, sets: Sequence[Acts]) -> tuple[Acts, float]:
        """Gives, of sets that work, the one that needs the least strength on the model, and how much.

        Looked for from the strength on that the graph predicts to be enough; where it predicts none, from
        almost nothing on.
        """
        found: list[tuple[float, float, Acts]] = []
        for one, start in zip(sets, least(self.ground, sets), strict=True):
            steps = np.linspace(start or 1 / STEPS, 1.0, STEPS)
            gaps = self.measured(self.session.run([intervention(one, float(s)) for s in steps], FREE))
            fails = np.flatnonzero(gaps <= 0)
            first = int(fails[-1]) + 1 if len(fails) else 0
            if first < STEPS:
                found.append((float(steps[first]), -float(gaps[first]), one))
        strength, _, acts = min(found, key=lambda one: one[:2])
        return acts, strength

    def measured(self, outcome: Outcome) -> Float[np.ndarray, "B"]:
        """Gives the gaps of an outcome, over all tokens."""
        return self._gap(outcome.logits)

    def before(self, outcome: Outcome) -> float:
        """Gives the gap with nothing done."""
        return float(self._gap(outcome.logits_before[None])[0])

    def works(self, outcome: Outcome) -> Bool[np.ndarray, "B"]:
        """Tells where the wanted output is the likeliest, or likelier than the one it is to overtake."""
        return self.measured(outcome) > 0

    def _gap(self, logits: Float[np.ndarray, "B v"]) -> Float[np.ndarray, "B"]:
        wanted, over = self.ground.question.wanted, self.ground.question.over
        others = logits.astype(np.float64)
        own = others[:, wanted].copy()
        others[:, wanted] = -np.inf
        return np.asarray(own - (others.max(axis=1) if over is None else others[:, over]))


def _session(session: Session, place: Ground) -> Session:
    if place.graph is session.graph:
        return session
    return Session.of(session.model, session.dictionary, place.graph)


def _steering(
    search: _Search,
    asked_session: Session,
    chosen: tuple[Acts, float | None],
    asked: tuple[str, str | None, Sequence[str]],
) -> Steering:
    """Gives the chosen acts measured in full, side effects too."""
    (acts, enough), (toward, over, texts) = chosen, asked
    place, session = search.ground, search.session
    strength = 1.0 if enough is None else enough
    done = intervention(acts, strength)
    free, frozen = (session.run([done], hold) for hold in (FREE, FROZEN))
    columns = [place.wanted, *place.rivals]
    question = place.question
    aside = [question.wanted, question.top if question.over is None else question.over]
    return Steering(
        toward=toward,
        over=over,
        budget=search.budget,
        works=enough is not None,
        intervention=done,
        strength=strength,
        gap_before=search.before(free),
        predicted=float(gap(place, predicted(place.graph, [done], columns))[0]),
        frozen=float(search.measured(frozen)[0]),
        free=float(search.measured(free)[0]),
        outcome=free,
        tried=search.tried,
        side_effects=side_effects(session, done, texts=texts, progress=search.tell),
        others_kl=among_others(free.logits_before, free.logits[0], aside),
        labels=_labels(asked_session, list(done.nodes)),
        ground=place,
        session=session,
    )


def _labels(session: Session, nodes: Sequence[str]) -> dict[str, str]:
    """Gives the labels of features: as the run has them, tested ones first; else the tokens they promote."""
    tested = session.graph.meta.get("tested_labels") or {}
    own = dict(session.graph.nodes.select("node", "label").drop_nulls().iter_rows())
    found = {}
    for node in nodes:
        place, feature = parse_feature(node), node.partition("@")[0]
        assert place is not None
        if feature in tested:
            found[node] = str(tested[feature]["label"])
        elif node in own:
            found[node] = str(own[node])
        else:
            written = written_directions(session.model, session.dictionary, place[0])[place[1]]
            # a feature below 0 promotes what its vector suppresses
            row = session.graph.index.get(node)
            below = row is not None and session.graph.nodes["activation"][row] < 0
            found[node] = promoted(session.model, (-written if below else written)[None])[0]
    return found
