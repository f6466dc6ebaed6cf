"""The games of the contest: gates, networks of gates, players of a real graph; and their exact answers.

A gate's contributions are whole multiples of a step nobody is told, so that its pairs are known exactly by
counting coalitions by size and sum. Networks and graphs have at most 20 players and are enumerated.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import polars as pl

from circuits.engine.enumeration import all_coalitions, exact_interactions
from circuits.engine.qk.scores import End, contributions, key_group
from circuits.engine.rows import Engine
from circuits.graph.graph import Graph
from circuits.graph.io import load_run
from circuits.graph.run import Runner
from circuits.schema import NODE_SCHEMA, GateName, feature_name
from circuits.trace_io import load_trace

STEP = 0.0373  # of the contributions of gates


@dataclass(frozen=True)
class Gate:
    """v(S) = z where z = b + Σ c_i > threshold, else 0; contributions are `whole` times `STEP`."""

    kind: GateName
    name: str
    whole: np.ndarray
    b: float
    threshold: float

    @property
    def c(self) -> np.ndarray:
        """Gives what each player adds to the pre-activation."""
        return self.whole * STEP


def gate(seed: int, players: int, kind: GateName) -> Gate:
    """Gives a gate with heavy-tailed signed contributions whose kink lies among its usual coalitions.

    The kink is midway between two sums that occur: coalitions exactly at a step would be decided by rounding.
    """
    dice = np.random.default_rng([seed, players, kind == "jumprelu"])
    whole = np.rint(4 * dice.standard_t(3, players)).astype(int)
    whole = np.where(whole == 0, 1, whole)
    if whole.sum() < 0:
        whole = -whole
    spread = STEP * float((whole**2).sum() ** 0.5)
    threshold = 0.3 * spread if kind == "jumprelu" else 0.0
    b = -STEP * whole.sum() / 2 + 0.25 * spread * dice.standard_normal()
    b = threshold + STEP * (np.floor(b / STEP) + 0.5)
    return Gate(kind, f"{kind}-{players}-{seed}", whole, float(b), threshold)


def gate_pairs(game: Gate) -> np.ndarray:
    """Gives SII of all pairs, exactly: coalitions of the others are counted by size and sum.

    Pairs of equal contributions have equal interactions, so one count a pair of values is enough.
    """
    values, place = np.unique(game.whole, return_inverse=True)
    table = np.zeros((len(values), len(values)))
    for i, j in combinations_with_replacement(range(len(values)), 2):
        if i == j and (place == i).sum() < 2:
            continue
        others = list(game.whole)
        others.remove(values[i])
        others.remove(values[j])
        table[i, j] = table[j, i] = _pair(game, np.array(others), int(values[i]), int(values[j]))
    pairs = table[place[:, None], place]
    np.fill_diagonal(pairs, 0)
    return pairs


def _pair(game: Gate, others: np.ndarray, a: int, b: int) -> float:
    """Gives the mean over sizes of the mean over coalitions of that size of Δ_ij v."""
    low, high = int(others[others < 0].sum()), int(others[others > 0].sum())
    chance = np.zeros((len(others) + 1, high - low + 1))  # of each sum (column) among coalitions of a size
    chance[0, -low] = 1.0
    for count, more in enumerate(others, 1):
        size = np.arange(count + 1)[:, None]
        moved = np.roll(chance[:count], more, axis=1)  # nothing falls off: low and high are the extremes
        chance[: count + 1] *= (count - size) / count
        chance[1 : count + 1] += moved * size[1:] / count
    z = game.b + STEP * np.arange(low, high + 1)

    def phi(extra: int) -> np.ndarray:
        at = z + STEP * extra
        return np.where(at > game.threshold, at, 0.0)

    return float((chance @ (phi(a + b) - phi(a) - phi(b) + phi(0))).mean())


@dataclass(frozen=True, eq=False)
class Output:
    """A game on a graph: some nodes are players, the worth is a target's value; enumerated."""

    name: str
    graph: Graph
    players: Sequence[str]
    target: str
    worths: np.ndarray

    @property
    def pairs(self) -> np.ndarray:
        """Gives SII of all pairs, exactly."""
        return exact_interactions(self.worths, "SII", 2).matrix()


def output(name: str, graph: Graph, players: Sequence[str], target: str) -> Output:
    """Gives a game with the worth of all its coalitions; nodes of no player stay on."""
    rows = [graph.row(player) for player in players]
    runner = Runner(graph, targets=[target], batch=4096)
    inside = all_coalitions(len(players))
    worths = np.empty(len(inside))
    for at in range(0, len(inside), 1 << 16):
        part = inside[at : at + (1 << 16)]
        masks = np.ones((len(part), len(graph.nodes)), bool)
        masks[:, rows] = part
        worths[at : at + len(part)] = runner(masks)[:, 0]
    return Output(name, graph, players, target, worths)


def network(seed: int, players: int, *, layers: int = 2, features: int = 12) -> Graph:
    """Gives a small network of ReLU and JumpReLU gates over tokens, as a graph.

    Each gate reads about half of the tokens and of the gates before it, with heavy-tailed signed weights;
    its bias puts the kink among its usual coalitions. The target reads all gates and tokens.
    """
    dice = np.random.default_rng([seed, players])
    rows: list[dict[str, object]] = []
    edges: list[tuple[int, int, float, float]] = []

    def add(node: str, kind: str, activation: float, **more: object) -> int:
        blank = dict.fromkeys(NODE_SCHEMA, None) | {"expanded": False, "truncated": 0.0, "target_weight": 0.0}
        rows.append(blank | {"node": node, "kind": kind, "activation": activation} | more)
        return len(rows) - 1

    sources = [add(f"tok@{p}", "token", 1.0, pos=p) for p in range(players)]
    own = add("bias:own", "bias", 1.0)
    state = dict.fromkeys(sources, 1.0)
    for layer in range(layers):
        made = {}
        for number in range(features):
            chosen = [s for s in state if dice.random() < 0.5]
            strength = dice.laplace(0, 1, len(chosen)) / max(len(chosen), 1) ** 0.5
            weight = strength * [state[s] for s in chosen]
            bias = float(0.25 * dice.standard_normal() - 0.5 * weight.sum())
            z = float(weight.sum() + bias)
            jump = bool(dice.random() < 0.5)
            threshold = 0.3 if jump else None
            on = z if z > (threshold or 0.0) else 0.0
            name = feature_name(layer, number, number % players)
            more: dict[str, object] = {
                "layer": layer,
                "pos": number % players,
                "feature": number,
                "expanded": True,
            }
            more |= {"pre_activation": z, "threshold": threshold, "gate": "jumprelu" if jump else "relu"}
            at = add(name, "feature", on, **more)
            edges += [(s, at, float(w), float(g)) for s, w, g in zip(chosen, weight, strength, strict=True)]
            edges.append((own, at, bias, bias))
            made[at] = on
        state |= made
    strength = dice.normal(size=len(state)) / len(state) ** 0.5
    z = float(sum(g * a for g, a in zip(strength, state.values(), strict=True)))
    more = {"pos": players - 1, "pre_activation": z, "expanded": True, "target_weight": 1.0}
    at = add("logit:out", "logit", z, **more)
    edges += [(s, at, float(g * a), float(g)) for (s, a), g in zip(state.items(), strength, strict=True)]
    columns = np.array(edges, float).T
    ends = (columns[0].astype(np.int32), columns[1].astype(np.int32))
    return Graph.of(pl.DataFrame(rows, schema=NODE_SCHEMA), ends, (columns[2], columns[3]), {"seed": seed})


def toy_games(work: Path, prompts: Sequence[str], players: int) -> list[Output]:
    """Gives games on attribution graphs of the bundled model: its most influential nodes play."""
    found = []
    for number, prompt in enumerate(prompts):
        place = work / f"toy-{number}"
        command = [sys.executable, "-m", "circuits", "attribute", prompt, "-o", str(place)]
        command += ["--model", "toy", "--dictionary", "toy"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        graph = load_run(place)
        heavy = graph.nodes.filter(pl.col("kind").is_in(["feature", "token"]) & (pl.col("activation") != 0))
        names = heavy.sort("influence", descending=True, maintain_order=True)["node"][:players].to_list()
        found.append(output(f"toy-{number}", graph, names, graph.targets[0]))
    return found


HEADS = ((20, 3), (28, 5))  # layers and heads whose features' norms are taken
EXTRACT = """
import sys
from circuits.dictionaries.load import load_dictionary
from circuits.extraction.extract import Extraction, extract
from circuits.models.load import load_model
from circuits.prompt import Prompt
from circuits.trace_io import save_trace
model = load_model("smollm2")
prompt = Prompt.of("The capital of France is", model)
trace = extract(model, load_dictionary("neurons", model), prompt, Extraction(labels=False, scores=True))
save_trace(trace, sys.argv[1])
"""


def head_vectors(work: Path) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Gives what SmolLM2's neurons contribute to queries and keys of some heads, one node a row."""
    place = work / "head.safetensors"
    subprocess.run([sys.executable, "-c", EXTRACT, str(place)], check=True)
    trace = load_trace(place)
    engine, last, found = Engine(trace), trace.n_positions - 1, []
    for layer, head in HEADS:
        ends = End(layer, "query", head, last), End(layer, "key", key_group(trace, head), last)
        made = contributions(engine, ends)
        u, w = (made[end][np.abs(made[end]).max(1) > 0].astype(np.float64) for end in ends)
        found.append((f"SmolLM2 head {layer}.{head}", u, w))
    return found
