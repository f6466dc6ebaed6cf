"""Too many players to ask about every coalition: estimates still find what was planted, and nothing else."""

from __future__ import annotations

from math import comb

import polars as pl
import pytest

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.games.estimate import interactions
from circuits.engine.games.graph_game import graph_game
from circuits.planted import plant


@pytest.mark.parametrize(("name", "order"), [("majority", 3), ("additive", 2)])
def test_among_many_distractors_the_estimate_still_finds_what_was_planted(name: str, order: int) -> None:
    planted = plant(name, seed=2, distractors=11)
    graph = attribute(planted.trace, (Edges(tolerance=0.0),))
    beside = [node for called, node in planted.names.items() if called.startswith("distractor")]
    players = [node for (node,) in planted.concepts.values()] + beside
    table = interactions(graph_game(graph, players), index="SII", order=order, budget=500)
    assert not table.exact
    assert table.evaluations <= 500
    truth = {
        frozenset(c.members): c.values["SII"]
        for c in planted.truth.combinations
        if c.target == planted.target
    }
    rows = table.frame().filter(pl.col("order") > 1).select("members", "value").rows()
    assert len(rows) == sum(comb(len(players), k) for k in range(2, order + 1))
    assert max(abs(value - truth.get(frozenset(members), 0.0)) for members, value in rows) < 0.02
