"""Our side of the contests of `peers_interactions.py`: the same games, values and CPU seconds.

Every engine is called once before it is timed, on the same shapes, so that compilation is not counted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from peers_interactions_games import Gate, Output  # type: ignore[import-not-found]

from circuits.engine.enumeration import exact_interactions
from circuits.engine.games.estimate import interactions as estimated
from circuits.engine.games.game import Game
from circuits.engine.games.graph_game import GraphWorth
from circuits.engine.gates.choose import Rule, choose
from circuits.engine.gates.columns import Nodes, columns
from circuits.engine.gates.fourier import fourier
from circuits.engine.gates.games import GateGames
from circuits.engine.gates.pairs import all_pairs
from circuits.engine.qk.topk import top_pairs
from circuits.schema import GateName

Row = dict[str, Any]


def clocked(action: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """Gives what an action gives and its median CPU seconds, after one call to warm up."""
    found, taken = action(), []
    for _ in range(repeats):
        began = time.process_time()
        found = action()
        taken.append(time.process_time() - began)
    return found, statistics.median(taken)


def exact(worths: np.ndarray, order: int, repeats: int) -> tuple[np.ndarray, float]:
    """Gives all SII of orders 1 to `order`, by size and lexicographic order, and the CPU seconds."""
    found, seconds = clocked(lambda: exact_interactions(worths, "SII", order), repeats)
    sets = [s for t in range(1, order + 1) for s in combinations(range(found.players), t)]
    return np.array([found[s] for s in sets]), seconds


def rules(kind: GateName, players: int) -> list[Rule]:
    """Gives how finely gates are summed by default: to rank all pairs, and for those that are kept."""
    choice = choose(kind, players, "SII")
    return [rule for rule in (choice.search, choice.final) if rule is not None]


def gate_pairs(games: Sequence[Gate], rule: Rule, repeats: int) -> tuple[np.ndarray, float]:
    """Gives SII of all pairs of gates of one kind and size, in float32, and the CPU seconds for all."""
    asked = GateGames.of(
        games[0].kind, [g.c for g in games], [g.b for g in games], [g.threshold for g in games]
    )
    nodes = Nodes.of("SII", 2, asked.players, rule.nodes)

    def run() -> np.ndarray:
        series = fourier(asked, rule.terms)
        return np.asarray(all_pairs(series, columns(series, nodes, share=rule.share)))

    return clocked(run, repeats)


def output_pairs(game: Output, budget: int, seed: int, *, inside: bool) -> tuple[np.ndarray, Row]:
    """Gives SII of all pairs from a budget of evaluations; `inside` shows the estimator the game's gates.

    The time is given less that of the evaluations themselves where the table answers (black box).
    """
    n = len(game.players)
    if inside:
        asked = Game(GraphWorth(game.graph, game.players, game.target), game.players, budget=budget)
    else:
        bits = 1 << np.arange(n)
        asked = Game(lambda masks: game.worths[masks @ bits], game.players, budget=budget)
    began = time.process_time()
    found = estimated(asked, index="SII", order=2, budget=budget, seed=seed)
    row = {"seconds": time.process_time() - began, "evaluations": found.evaluations}
    i, j = found.orders[2].sets.T
    pairs = np.zeros((n, n))
    pairs[i, j] = pairs[j, i] = found.orders[2].value
    return pairs, row


def top(u: np.ndarray, w: np.ndarray, k: int, repeats: int) -> Row:
    """Gives the time of the k largest |u_a · w_b|, ours and by all products, and whether both agree."""

    def dense() -> tuple[np.ndarray, np.ndarray]:
        products = (u @ w.T).ravel()
        best = np.argpartition(-np.abs(products), k - 1)[:k]
        best = best[np.argsort(-np.abs(products[best]), kind="stable")]
        return best, products[best]

    (place, value), slow = clocked(dense, repeats)
    found, fast = clocked(lambda: top_pairs(u, w, k), repeats)
    ours = found.row * len(w) + found.column
    same = set(ours.tolist()) == set(place.tolist())
    difference = float(np.abs(found.value - value).max() / np.abs(value).max())
    return {"dense": slow, "ours": fast, "same": same, "difference": difference}
