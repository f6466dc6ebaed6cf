"""What shapiq and spectralexplain find on given games, and in how much CPU time.

Runs in the environment of a peer; called by `peers_interactions.py` with a folder that holds the games as
NumPy arrays and `request.json`, one job a line of work::

    PEER/bin/python analysis/peers_interactions_peers.py FOLDER

A job names an estimator, a game, a budget and a seed. Writes the matrix of SII pairs of every job into
`FOLDER/found-NAME.npz`; prints one JSON document: CPU seconds and evaluations of every job, or why it failed.
CPU seconds include the games': one matrix product or a look-up.
"""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import sys
import time
import warnings
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

Row = dict[str, Any]
Game = Callable[[np.ndarray], np.ndarray]


class Counted:
    """A game that counts the coalitions asked about."""

    def __init__(self, arrays: Row) -> None:
        self.arrays, self.asked = arrays, 0
        self.players = int(arrays["players"])

    def __call__(self, masks: np.ndarray) -> np.ndarray:
        """Gives the worth of every row."""
        masks = np.atleast_2d(np.asarray(masks))
        self.asked += len(masks)
        if "worths" in self.arrays:
            return np.asarray(self.arrays["worths"][masks.astype(np.int64) @ (1 << np.arange(self.players))])
        z = masks.astype(float) @ self.arrays["c"] + self.arrays["b"]
        return np.where(z > self.arrays["threshold"], z, 0.0)


def main() -> None:
    folder = Path(sys.argv[1])
    request = json.loads((folder / "request.json").read_text())
    found: Row = {}
    too_many: dict[str, int] = {}  # players with which an estimator was stopped
    rows, worker = [], Worker(folder)
    for number, job in enumerate(request["jobs"]):
        players, estimator = int(np.load(folder / f"{job['game']}.npz")["players"]), job["estimator"]
        row: Row = {"failed": "not tried again", "seconds": 0.0, "evaluations": 0}
        values = None
        if players < too_many.get(estimator, players + 1):
            row, values = worker.answer(job, request["limit"])
            if row.get("failed") == "stopped":
                too_many[estimator] = players
        rows.append({key: job[key] for key in ("estimator", "game", "budget", "seed")} | row)
        if values is not None:
            found[str(number)] = values
        print(f"{estimator}, {job['game']}: {row['seconds']:.1f} s", file=sys.stderr)
    worker.end()
    np.savez(folder / f"found-{request['name']}.npz", **found)
    names = [*request["packages"], "numpy"]
    print(json.dumps({"rows": rows, "versions": {n: importlib.metadata.version(n) for n in names}}))


class Worker:
    """A process that does one job after the other; a job past its limit ends it, and another is begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begin()

    def begin(self) -> None:
        """Starts the process."""
        context = multiprocessing.get_context("spawn")
        self.line, there = context.Pipe()
        self.process = context.Process(target=_work, args=(self.folder, there), daemon=True)
        self.process.start()
        there.close()

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.join()

    def used(self) -> float:
        """Gives the process's CPU seconds so far, or the clock's where the system does not tell."""
        told = Path(f"/proc/{self.process.pid}/stat")
        if not told.exists():
            return time.monotonic()
        parts = told.read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def answer(self, job: Row, limit: float) -> tuple[Row, np.ndarray | None]:
        """Gives what a job cost, and its pairs if it was done within `limit` CPU seconds."""
        self.line.send(job)
        self.line.recv()  # warm: the time runs from here
        began = self.used()
        try:
            while not self.line.poll(0.2):
                if self.used() - began > limit:
                    raise EOFError
            row, values = self.line.recv()
            return row, values
        except EOFError:
            pass
        self.end()
        self.begin()
        return {"failed": "stopped", "seconds": limit, "evaluations": 0}, None


def _work(folder: Path, line: Any) -> None:
    warnings.simplefilter("ignore")
    small = Counted({"players": 8, "worths": np.random.default_rng(0).normal(size=256)})
    warm = set(COLD)
    while True:
        job = line.recv()
        if job["estimator"] not in warm:  # imports and compilation are not to be counted
            warm.add(job["estimator"])
            ESTIMATORS[job["estimator"]](small, 2 if job["estimator"] == "ExactComputer" else 200, 0)
        game = Counted(dict(np.load(folder / f"{job['game']}.npz")))
        np.random.seed(job["seed"])  # noqa: NPY002 - spectralexplain draws from here
        line.send("warm")
        row: Row = {}
        values, began = None, time.process_time()
        try:
            values = ESTIMATORS[job["estimator"]](game, job["budget"], job["seed"])
        except Exception as failure:
            row["failed"] = f"{type(failure).__name__}: {failure}".splitlines()[0][:200]
        line.send((row | {"seconds": time.process_time() - began, "evaluations": game.asked}, values))


def exact(game: Counted, budget: int, seed: int) -> np.ndarray:
    """Gives all interactions of orders 1 to `budget`, by size and then in lexicographic order."""
    import shapiq  # type: ignore[import-not-found]

    _ = seed
    computer = shapiq.ExactComputer(game, game.players, evaluate_game=True)
    found = computer("SII", budget)
    sets = [s for t in range(1, budget + 1) for s in combinations(range(game.players), t)]
    return np.array([found[s] for s in sets])


def _shapiq(name: str, **settings: Any) -> Callable[[Counted, int, int], np.ndarray]:
    def run(game: Counted, budget: int, seed: int) -> np.ndarray:
        import shapiq.approximator as approximators  # type: ignore[import-not-found]

        maker = getattr(approximators, name)
        made = maker(n=game.players, max_order=2, index="SII", random_state=seed, **settings)
        return _pairs(game.players, made.approximate(budget, game).interactions)

    return run


def _spectral(algorithm: str) -> Callable[[Counted, int, int], np.ndarray]:
    def run(game: Counted, budget: int, seed: int) -> np.ndarray:
        import spectralexplain  # type: ignore[import-not-found]

        _ = seed
        made = spectralexplain.Explainer(
            game, game.players, sample_budget=budget, algorithm=algorithm, name=None
        )
        return _pairs(game.players, made.interactions("sii").get_interactions())

    return run


def lasso(game: Counted, budget: int, seed: int) -> np.ndarray:
    """Gives spectralexplain's LASSO on all Fourier terms of up to two players, on random coalitions."""
    from spectralexplain import Interactions, utils

    dice, n = np.random.default_rng(seed), game.players

    masks = dice.integers(0, 2, (budget, n))
    drawn = SimpleNamespace(all_queries=[masks[:, None]], all_samples=[game(masks)[:, None]])
    terms = {"locations": utils.bin_vecs_low_order(n, 2).T}
    fitted, _ = utils.fit_regression("lasso", terms, drawn, n, 0)  # one sample a draw
    return _pairs(n, Interactions(fitted, range(n), "sii", budget, order=2).get_interactions())


def _pairs(players: int, interactions: dict[tuple[int, ...], float]) -> np.ndarray:
    out = np.zeros((players, players))
    for members, value in interactions.items():
        if len(members) == 2:
            out[members[0], members[1]] = out[members[1], members[0]] = value
    return out


ESTIMATORS: dict[str, Callable[[Counted, int, int], np.ndarray]] = {
    "ExactComputer": exact,
    "SVARM-IQ": _shapiq("SVARMIQ"),
    "SVARM-IQ, paired": _shapiq("SVARMIQ", pairing_trick=True),
    "SHAP-IQ": _shapiq("SHAPIQ"),
    "SHAP-IQ, paired": _shapiq("SHAPIQ", pairing_trick=True),
    "KernelSHAP-IQ": _shapiq("KernelSHAPIQ", pairing_trick=True),
    "inconsistent KernelSHAP-IQ": _shapiq("InconsistentKernelSHAPIQ", pairing_trick=True),
    "permutation sampling": _shapiq("PermutationSamplingSII"),
    "ProxySPEX": _shapiq("ProxySPEX"),
    "SPEX": _shapiq("SPEX"),
    "ProxySHAP": _shapiq("ProxySHAP"),
    "ProxySHAP, adjusted": _shapiq("ProxySHAP", adjustment=True),
    "ProxySHAP, cross-fitted": _shapiq("ProxySHAP", adjustment=True, k_folds=5),
    "ProxySPEX (spectralexplain)": _spectral("proxyspex"),
    "SPEX (spectralexplain)": _spectral("spex"),
    "LASSO (spectralexplain)": lasso,
}

COLD = ("ProxySPEX", "SPEX", "SPEX (spectralexplain)", "ProxySPEX (spectralexplain)")
"""Begun cold: they take long, or refuse small games."""


if __name__ == "__main__":
    main()
