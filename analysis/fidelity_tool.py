"""What this package says of a planted model: its own methods, asked the same questions."""

from __future__ import annotations

import numpy as np
from fidelity_net import NOTHING, Answer, Subject, Values  # type: ignore[import-not-found]

from circuits.engine.concepts.measure import concept_test
from circuits.engine.games.estimate import interactions
from circuits.engine.games.graph_game import graph_game
from circuits.engine.gates.method import Gates
from circuits.engine.interact import interact
from circuits.engine.qk.method import QK
from circuits.graph.concepts import Concept

INDEX = "SII"
ORDER = 3
BUDGET = 1 << 12


def hypergraph(subject: Subject, seed: int) -> Answer:
    """Gives what `interact` and the concept test find.

    A node's score is its Shapley value and its share of the pairs it is in, all features playing (and of the
    attention scores it helps to make); an edge's the most it carries in any of 64 random coalitions, times
    the score of its target.
    """
    gates = Gates(order=ORDER, index=INDEX, top=None, threshold=0.0, double=True)
    found = interact(subject.graph, [gates]).hyperedges
    inside = {
        (row["target"], frozenset(row["members"])): row["weight"] for row in found.iter_rows(named=True)
    }
    nodes = _nodes(subject, seed)
    return Answer(
        nodes=nodes,
        edges=_edges(subject, nodes, seed),
        interactions=subject.claimed(_played(subject, subject.players, ORDER, seed)),
        inside=subject.claimed_inside(inside),
        gate=_gate(subject),
    )


def _played(subject: Subject, players: tuple[str, ...], order: int, seed: int) -> Values:
    """Gives the interactions of players on the output, and of single players their Shapley values."""
    game = graph_game(subject.graph, players)
    order = min(order, len(players))
    found = interactions(game, index=INDEX, order=order, budget=BUDGET, seed=seed).frame()
    return {frozenset(members): value for members, value in found.select("members", "value").iter_rows()}


def _nodes(subject: Subject, seed: int) -> dict[str, float]:
    scores = dict.fromkeys(subject.features, 0.0)
    for members, value in _played(subject, subject.features, 2, seed).items():
        for name in members:
            scores[name] += abs(value) / len(members)
    if subject.planted.trace.scores is not None:  # what makes a head look, in units of its score
        table = interact(subject.graph, [QK()], trace=subject.planted.trace).hyperedges
        for row in table.iter_rows(named=True):
            for name in set(row["members"]) & scores.keys():
                scores[name] += abs(row["weight"]) / row["order"]
    return scores


def _edges(subject: Subject, nodes: dict[str, float], seed: int) -> dict[tuple[str, str], float]:
    net = subject.net
    masks = np.ones((64, len(net.names)))
    rows = [subject.graph.index[n] for n in subject.features]
    masks[1:, rows] = np.random.default_rng(seed).random((63, len(rows))) < 0.5
    most = net.states(masks).max(axis=0)
    at = subject.graph.index
    score = {**nodes, subject.planted.target: max(nodes.values(), default=0.0)}
    return {(s, t): float(abs(net.strength[at[t], at[s]]) * most[at[s]] * score[t]) for s, t in subject.edges}


def _gate(subject: Subject) -> str:
    concepts = [Concept(name, nodes) for name, nodes in subject.planted.concepts.items()]
    if len(concepts) == 1:
        return "not"
    test = concept_test(subject.graph, *concepts)
    moved = float(np.abs(test.mean - test.mean[0]).max())
    return "none" if moved < NOTHING * subject.scale else str(test.decision.gate)
