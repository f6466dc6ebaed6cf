"""The method of the channel `qk`: which pairs of nodes make attention scores, which heads carry edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import polars as pl

from circuits.engine.indices import check_order
from circuits.engine.methods import Found, Progress, Unit
from circuits.engine.plan import position_bucket
from circuits.engine.qk.game import ScoreGame, ends_of, score_game
from circuits.engine.qk.places import Place, check_place, parse_place
from circuits.engine.qk.scores import contributions, scores_of
from circuits.engine.qk.survey import Survey
from circuits.engine.qk.triples import pattern_game
from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA
from circuits.trace import Trace


@dataclass(frozen=True)
class QK:
    """The settings of attention interactions.

    Attributes:
        heads: where to look: "5.3" (layer and head, at the query through which it carries the most),
            "5.3@7" (at query 7, the keys it carries the most from), "5.3@7,4" (the score of key 4), or
            "5.3@7,4-2" (the log-odds of keys 4 and 2). None: the `top_heads` heads that carry the most
            influence to the graph's targets.
        top: how many pairs of each score.
        top_heads: how many heads, where none are named.
        keys: how many keys of each query, where none are named.
        odds: for each query whose keys are not named, also the log-odds of each key over the next.
        order: 2, or 3 for what triples, and pairs, do to a target through the pattern (`top` of each).
        targets: towards what, with order 3: features or logits of the graph. None: of each head, the node
            to which it brings the most influence.
        index: what the interactions are called; pairs are the same by each.
        edges: how many of the graph's strongest edges to follow through all heads; 0 for none, then
            heads must be named, with their query.
        loadings: how many heads to keep of each edge.

    Raises:
        UsageError: a setting is out of its range.
    """

    channel: ClassVar[str] = "qk"
    needs_trace: ClassVar[bool] = True

    heads: Sequence[str] | None = None
    top: int = 20
    top_heads: int = 8
    keys: int = 2
    odds: bool = False
    order: int = 2
    targets: Sequence[str] | None = None
    index: str = "SII"
    edges: int = 500
    loadings: int = 3

    def __post_init__(self) -> None:
        for name in ("heads", "targets"):
            if isinstance(given := getattr(self, name), str):
                raise UsageError(f"QK({name}={given!r}): give a tuple, such as {name}=({given!r},).")
        for name, least in (("top", 1), ("top_heads", 1), ("keys", 1), ("edges", 0), ("loadings", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"QK({name}={getattr(self, name)}): give {least} or more.")
        if self.order not in (2, 3):
            raise UsageError(
                f"QK(order={self.order}): a score is a product of two, and with the value it moves of three;"
                " all else is 0. Give 2 or 3."
            )
        check_order(self.index, 2, 2)

    def units(self, graph: Graph, trace: Trace | None) -> Sequence[Unit]:
        """Gives the work: head loadings, then one unit for each head.

        Raises:
            UsageError: the trace holds no queries and keys, or a head is misspelt or looks ahead.
            NotFound: the trace has no such head or position.
        """
        if trace is None:
            raise UsageError("QK needs the trace the graph was made from: pass trace=.")
        scores_of(trace)
        places = None if self.heads is None else [parse_place(text) for text in self.heads]
        for place in places or ():
            check_place(trace, place)
        for name in self.targets or ():
            if graph.nodes["kind"][graph.row(name)] not in ("feature", "logit"):
                raise UsageError(f"{name} reads nothing, so it is no target: name a feature or a logit.")
        if self.edges == 0 and (places is None or any(place.query is None for place in places)):
            raise UsageError(
                "QK(edges=0) follows no edges, so it cannot tell which heads and queries matter: name them,"
                " such as heads=('5.3@7',)."
            )
        survey = Survey(graph, trace, self.edges)
        units: list[Unit] = []
        if self.edges:
            units.append(Unit("loadings", _loading_flops(trace, self.edges), partial(self._loadings, survey)))
        per_head = _head_flops(trace, self.keys + self.odds)
        if places is None:
            every = trace.attention.pattern[:, :, 0, 0].size if trace.attention is not None else 0
            units += [
                Unit(f"head {rank + 1}", per_head, partial(self._ranked, survey, rank))
                for rank in range(min(self.top_heads, every))
            ]
        named = dict.fromkeys(places or ())
        return units + [Unit(place.written, per_head, partial(self._head, survey, place)) for place in named]

    def _loadings(self, survey: Survey, tell: Progress) -> Found:
        table = survey.table(self.loadings, tell)
        return Found(pl.DataFrame(schema=HYPEREDGE_SCHEMA), {"edges": self.edges, "heads": len(table)}, table)

    def _ranked(self, survey: Survey, rank: int, tell: Progress) -> Found:
        found = survey.heads(self.top_heads, tell)
        if rank >= len(found):
            return Found(pl.DataFrame(schema=HYPEREDGE_SCHEMA), {"head": None})
        return self._head(survey, found[rank], tell)

    def _head(self, survey: Survey, place: Place, tell: Progress) -> Found:
        """Gives what one head does at one query."""
        places = self._places(survey, place, tell)
        ends = {end for one in places for end in ends_of(survey.trace, one)}
        found = contributions(survey.engine, ends, lambda done, total: tell("queries and keys", done, total))
        games = [score_game(survey.trace, one, found, survey.free) for one in places]
        tables = [game.hyperedges(survey.names, self.top, self.index) for game in games]
        if self.order == 3:
            tables += self._towards(survey, games, tell)
        meta: dict[str, Any] = {
            "head": f"head:{places[0].layer}.{places[0].head}",
            "scores": {game.place.target: game.value for game in games},
            **_against_pattern(survey.trace, games),
        }
        return Found(pl.concat(tables), meta)

    def _towards(self, survey: Survey, games: Sequence[ScoreGame], tell: Progress) -> list[pl.DataFrame]:
        """Gives what triples and pairs do to the targets through the scores."""
        asked = self.targets
        if asked is None:
            best = survey.target(games[0].place, tell) if self.edges else survey.graph.targets[0]
            asked = () if best is None else (best,)
        row = {name: i for i, name in enumerate(survey.names)}
        return [
            pattern_game(survey.engine, game, row[name], name).hyperedges(survey.names, self.top, self.index)
            for game in games
            for name in asked
            if game.place.other is None
        ]

    def _places(self, survey: Survey, place: Place, tell: Progress) -> list[Place]:
        """Gives the scores to explain of a head."""
        if place.key is not None:
            return [place]
        if place.query is None:
            place = survey.query(place, tell)
        keys = survey.keys(place, self.keys + self.odds, tell)
        scores = [replace(place, key=key) for key in keys[: self.keys]]
        odds = [replace(place, key=one, other=two) for one, two in pairwise(keys)] if self.odds else []
        return scores + odds


def _against_pattern(trace: Trace, games: Sequence[ScoreGame]) -> dict[str, float]:
    """Gives how far differences of the scores are from the log-odds of the pattern, where that can be told.

    A softcap between them, which the trace's meta mentions, makes them differ.
    """
    if trace.attention is None or "score_softcap" in trace.meta:
        return {}
    differences = []
    for one, two in pairwise([game for game in games if game.place.other is None]):
        differences.append((one.value - two.value, one.place, two.place.key))
    differences += [
        (game.value, game.place, game.place.other) for game in games if game.place.other is not None
    ]
    errors = []
    for value, place, other in differences:
        row = trace.attention.pattern[place.layer, place.head, place.query]
        if row[place.key] > 0 and row[other] > 0:
            errors.append(abs(value - float(np.log(row[place.key]) - np.log(row[other]))))
    return {"log_odds_error": max(errors)} if errors else {}


def _pull_flops(trace: Trace) -> float:
    """Gives what one row costs through half of the layers, about."""
    if trace.attention is None:
        return 0.0
    m, d = position_bucket(trace.n_positions), trace.width
    H, _, R = trace.attention.output.shape[1:]
    K = trace.attention.value.shape[1]
    sources = len(trace.features) + (0 if trace.mlp.error is None else trace.n_layers * m)
    return float(trace.n_layers * (m * d * (H + K) * R + m * m * H * R) + sources * d)


def _head_flops(trace: Trace, keys: int) -> float:
    return float(scores_of(trace).query.shape[2] * (1 + keys) * _pull_flops(trace))


def _loading_flops(trace: Trace, edges: int) -> float:
    return 4.0 * edges * _pull_flops(trace)
