r"""How exact and how fast are interactions here, beside shapiq and spectralexplain on the same games?

Four contests in one run, one thread, CPU seconds:

1. **exact**: all SII of 16 players up to order 2, and up to 3, from one table of worths;
2. **gates**: SII of all pairs of one ReLU or JumpReLU of 64 or 128 inputs. Truth: coalitions counted by size
   and sum. Peers have 8,000 evaluations; the engine needs none;
3. **outputs**: SII of all pairs of 16 to 20 players of small networks and of graphs of the bundled model,
   from 500, 2,000 and 8,000 evaluations. Truth: all coalitions;
4. **attention**: the 100 largest products of 4,000 query and 4,000 key features against computing them all.

Peers live in environments of their own, shapiq's newer version in one of Python 3.12::

    python -m venv A && A/bin/pip install shapiq==1.4.1 spectralexplain
    python3.12 -m venv B && B/bin/pip install shapiq==1.8.0 lightgbm xgboost-cpu

    python analysis/peers_interactions.py --peer-python A/bin/python --new-peer-python B/bin/python
    python analysis/peers_interactions.py --peer-python A/bin/python --quick

Takes some 12 minutes on an idle machine, 4 with `--quick`. Writes `reports/peers_interactions.{md,json,svg}`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import peers_interactions_ours as ours  # type: ignore[import-not-found]
from peers_interactions_games import (  # type: ignore[import-not-found]
    Gate,
    Output,
    gate,
    gate_pairs,
    head_vectors,
    network,
    output,
    toy_games,
)
from peers_interactions_page import draw, page  # type: ignore[import-not-found]
from scaling import REPORTS, machine  # type: ignore[import-not-found]

from circuits.schema import GateName

HERE = Path(__file__).parent
Row = dict[str, Any]
BUDGETS = (500, 2000, 8000)
KINDS: tuple[GateName, ...] = ("relu", "jumprelu")
PROMPTS = tuple(
    f"The capital of the state containing {city} is" for city in ("Dallas", "Chicago", "Boston", "Seattle")
)
OLD = {"name": "old", "packages": ["shapiq", "spectralexplain"]}
NEW = {"name": "new", "packages": ["shapiq", "xgboost-cpu"]}
FAST = {
    "old": (
        "SVARM-IQ, paired",
        "SHAP-IQ, paired",
        "KernelSHAP-IQ",
        "inconsistent KernelSHAP-IQ",
        "permutation sampling",
        "LASSO (spectralexplain)",
    ),
    "new": ("ProxySHAP", "ProxySHAP, adjusted", "ProxySHAP, cross-fitted"),
}
SLOW = {"old": ("ProxySPEX", "SPEX", "SPEX (spectralexplain)"), "new": ()}
"""Run on the first game only, with the middle budget."""


@dataclass(frozen=True)
class Study:
    """How much is measured.

    Attributes:
        repeats: of what is timed; medians are given.
        players: of the networks, one game each.
        toy: games on graphs of the bundled model.
        seeds: of the coalitions drawn, for each game.
        limit: CPU seconds after which a peer is stopped.
        many: gates in the batch of the last line of contest 2.
    """

    repeats: int = 3
    players: tuple[int, ...] = (16, 16, 16, 16, 16, 18, 18, 20)
    toy: int = 4
    seeds: int = 1
    limit: float = 45.0
    many: int = 1000


QUICK = Study(repeats=1, players=(16, 16), toy=1, seeds=1, limit=8.0, many=200)


@dataclass(frozen=True)
class Peer:
    """An environment with peers in it."""

    python: str
    request: Row

    def run(self, folder: Path, jobs: Sequence[Row], limit: float) -> tuple[list[Row], dict[str, str]]:
        """Gives one row a job, with the matrix found under `pairs`, and the versions."""
        (folder / "request.json").write_text(json.dumps({**self.request, "jobs": list(jobs), "limit": limit}))
        script = str(HERE / "peers_interactions_peers.py")
        done = subprocess.run(
            [self.python, "-W", "ignore", script, str(folder)],
            env={**os.environ, "PYTHONPATH": ""},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"The peers of {self.python} failed: see above.")
        answer = json.loads(done.stdout.splitlines()[-1])
        found = np.load(folder / f"found-{self.request['name']}.npz")
        rows: list[Row] = answer["rows"]
        for number, row in enumerate(rows):
            row["peer"] = self.request["name"]
            row["pairs"] = found.get(str(number))
        return rows, answer["versions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer-python", required=True, help="interpreter with shapiq 1.4.1, spectralexplain")
    parser.add_argument("--new-peer-python", help="interpreter with shapiq 1.8 or later")
    parser.add_argument("--quick", action="store_true", help="fewer games, seeds and repeats")
    options = parser.parse_args()
    study = QUICK if options.quick else Study()
    peers = [Peer(options.peer_python, OLD)]
    if options.new_peer_python:
        peers.append(Peer(options.new_peer_python, NEW))
    results: Row = {"machine": machine(), "options": " --quick" if options.quick else "", "versions": {}}
    results["repeats"], results["limit"] = study.repeats, study.limit
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        results["exact"] = exact(work, peers, study, results)
        results["gates"] = gates(work, peers, study)
        results["outputs"] = outputs(work, peers, study)
        results["attention"] = attention(work, study)
    results["machine"]["load_after"] = os.getloadavg()[0]
    REPORTS.mkdir(exist_ok=True)
    (REPORTS / "peers_interactions.json").write_text(json.dumps(results, indent=1) + "\n")
    (REPORTS / "peers_interactions.md").write_text(page(results))
    draw(results, REPORTS / "peers_interactions.svg")
    print(page(results))


def exact(work: Path, peers: Sequence[Peer], study: Study, results: Row) -> list[Row]:
    """Contest 1: all interactions of 16 players from one table."""
    players, found = 16, []
    worths = np.random.default_rng(0).normal(size=1 << players)
    worths[0] = 0.0
    np.savez(work / "table.npz", players=players, worths=worths)
    for order in (2, 3):
        job = {"estimator": "ExactComputer", "game": "table", "budget": order, "seed": 0}
        mine, seconds = ours.exact(worths, order, 3 * study.repeats)
        for peer in peers if order == 2 else peers[:1]:
            rows, versions = peer.run(work, [job] * (study.repeats if peer is peers[0] else 1), 600.0)
            results["versions"][peer.request["name"]] = versions
            theirs = float(np.median([row["seconds"] for row in rows]))
            difference = float(np.abs(rows[0]["pairs"] - mine).max())
            found.append(
                {"order": order, "peer": peer.request["name"], "theirs": theirs, "ours": seconds}
                | {"ratio": theirs / seconds, "difference": difference}
            )
    return found


def gates(work: Path, peers: Sequence[Peer], study: Study) -> Row:
    """Contest 2: all pairs of one gate."""
    games = [gate(0, n, kind) for n in (64, 128) for kind in KINDS]
    truth = {game.name: gate_pairs(game) for game in games}
    rows: list[Row] = []
    for game in games:
        np.savez(
            work / f"{game.name}.npz", players=len(game.whole), c=game.c, b=game.b, threshold=game.threshold
        )
        rows += our_gate(game, truth[game.name], study)
    for peer in peers:
        jobs = [
            {"estimator": estimator, "game": game.name, "budget": BUDGETS[-1], "seed": 0}
            for game in games
            for estimator in FAST[peer.request["name"]]
        ]
        rows += [_scored(row, truth) for row in peer.run(work, jobs, study.limit)[0]]
    return {"rows": rows, "many": many_gates(study)}


def our_gate(game: Gate, truth: np.ndarray, study: Study) -> list[Row]:
    """Gives error and time of each of our settings on one gate."""
    found = []
    for rule in ours.rules(game.kind, len(game.whole)):
        pairs, seconds = ours.gate_pairs([game], rule, 3 * study.repeats)
        name = f"{rule.terms} waves, {rule.nodes} nodes"
        found.append(
            {"peer": "ours", "estimator": name, "game": game.name, "evaluations": 0}
            | {"seconds": seconds, "error": _error(pairs[0], truth)}
        )
    return found


def many_gates(study: Study) -> list[Row]:
    """Gives what a batch of gates of 128 inputs costs, and the largest error of those checked."""
    found = []
    for kind, rule in [(name, rule) for name in KINDS for rule in ours.rules(name, 128)]:
        count = study.many if rule.terms < 1000 else study.many // 10
        games = [gate(seed, 128, kind) for seed in range(count)]
        pairs, seconds = ours.gate_pairs(games, rule, 1)
        worst = max(_error(pairs[k], gate_pairs(games[k])) for k in range(min(3, count)))
        row = {"kind": kind, "gates": len(games), "waves": rule.terms, "nodes": rule.nodes}
        found.append(row | {"seconds": seconds, "error": worst})
    return found


def outputs(work: Path, peers: Sequence[Peer], study: Study) -> list[Row]:
    """Contest 3: all pairs of players of a graph, from a budget of evaluations."""
    games: list[Output] = [
        output(f"network {seed}, {n} players", network(seed, n), [f"tok@{p}" for p in range(n)], "logit:out")
        for seed, n in enumerate(study.players)
    ]
    games += toy_games(work, PROMPTS[: study.toy], 16)
    truth = {game.name: game.pairs for game in games}
    seeds, rows = range(study.seeds), []
    for game in games:
        np.savez(work / f"{game.name}.npz", players=len(game.players), worths=game.worths)
        for budget in BUDGETS:
            for seed in seeds:
                for name, inside in (("with its gates", True), ("black box", False)):
                    pairs, row = ours.output_pairs(game, budget, seed, inside=inside)
                    row |= {
                        "peer": "ours",
                        "estimator": name,
                        "game": game.name,
                        "budget": budget,
                        "seed": seed,
                    }
                    rows.append(row | {"error": _error(pairs, truth[game.name])})
    for peer in peers:
        name = peer.request["name"]
        jobs = [
            {"estimator": estimator, "game": game.name, "budget": budget, "seed": seed}
            for game in games
            for budget in BUDGETS
            for estimator in FAST[name]
            for seed in seeds
        ]
        jobs += [
            {"estimator": estimator, "game": games[0].name, "budget": BUDGETS[1], "seed": 0}
            for estimator in SLOW[name]
        ]
        rows += [_scored(row, truth) for row in peer.run(work, jobs, study.limit)[0]]
    return rows


def attention(work: Path, study: Study) -> list[Row]:
    """Contest 4: the largest products of many query and key features."""
    dice = np.random.default_rng(0)
    found = []
    for spread in (0.5, 1.0):
        sides = [
            dice.normal(size=(4000, 64)) * np.exp(spread * dice.normal(size=(4000, 1))) for _ in range(2)
        ]
        name = f"log-normal norms, σ = {spread:g}"
        found.append(
            {"name": name, "shape": (4000, 4000)} | ours.top(sides[0], sides[1], 100, 3 * study.repeats)
        )
    if study.repeats > 1:
        for name, u, w in head_vectors(work):
            found.append({"name": name, "shape": (len(u), len(w))} | ours.top(u, w, 100, 3 * study.repeats))
    return found


def _scored(row: Row, truth: dict[str, np.ndarray]) -> Row:
    pairs = row.pop("pairs")
    return row if pairs is None else row | {"error": _error(pairs, truth[row["game"]])}


def _error(found: np.ndarray, truth: np.ndarray) -> float:
    """Gives the L2 distance of all pairs, relative to the truth's norm."""
    return float(np.linalg.norm(found - truth) / np.linalg.norm(truth))


if __name__ == "__main__":
    main()
