"""Measures the bundled model: two-hop accuracy by hold-out, and loss by domain against n-gram baselines.

    python data/evaluate.py WORK data/toy/model     # WORK as build_corpus.py left it; some minutes

Also how good the dictionaries beside the model are: their numbers are `circuits evaluate`'s, and k-sparse
probes that tell the domains apart.

writes `metrics.json` beside the model and prints it as a table.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from geography import Gazetteer, Region, questions
from scipy.stats import binomtest

from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.load import load_dictionary
from circuits.models.base import Model
from circuits.models.load import load_model
from circuits.training.evaluate import evaluate
from circuits.training.labelled import Labelled
from circuits.training.probing import probe
from circuits.training.replace import nats
from circuits.training.tokens import Sequences

LENGTH = 128
HELD_OUT_TOKENS = 8192  # of each domain, at most
PROBED = 32  # tokens of an example whose domain is to be told


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    model = load_model(str(options.model))
    world = read_world(options.work / "world.json")
    metrics = {"accuracy": accuracy(model, world), "nats per token": losses(model, options.work)}
    for place in sorted(path.parent for path in options.model.parent.glob("*/dictionary.json")):
        metrics[place.name] = rounded(measured(model, place, options.work))
    (options.model / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    tell(metrics)


def tell(metrics: dict[str, Any]) -> None:
    """Prints what was measured."""
    for name, found in metrics["accuracy"].items():
        low, high = found["interval"]
        counts = f"{found['right']:4d} of {found['asked']:4d}"
        print(f"{name:45s} {counts}  {found['share']:.3f} [{low:.3f}, {high:.3f}]")
    for name, found in metrics["nats per token"].items():
        print(f"{name:45s} " + "  ".join(f"{what} {value:.2f}" for what, value in found.items()))
    for name, found in metrics.items():
        for layer, here in found.get("layers", {}).items():
            numbers = f"FVU {here['FVU']:.3f}  L0 {here['L0']:.1f}  dead {here['dead']:.1%}"
            print(f"{f'{name}, layer {layer}':45s} {numbers}")
        if "layers" in found:
            whole = found["nats"]["all"]
            print(f"{name:45s} loss {whole['replaced']:.3f}, recovered {whole['recovered']:.1%}")


def read_world(file: Path) -> Gazetteer:
    """Gives the gazetteer that `build_corpus.py` wrote."""
    held = json.loads(file.read_text())
    regions = {code: Region(**region) for code, region in held["regions"].items()}
    unseen, bridges = frozenset(held["unseen_cities"]), frozenset(held["unseen_bridges"])
    return Gazetteer(regions, held["cities"], unseen, bridges)


@torch.no_grad()
def accuracy(model: Model, world: Gazetteer) -> dict[str, dict[str, Any]]:
    """Gives for every relation and hold-out how often the likeliest token begins the right answer."""
    found: dict[str, dict[str, Any]] = {}
    for relation, asked in questions(world).items():
        right: dict[str, list[bool]] = {}
        for prompt, answer, split in asked:
            ids = torch.tensor([model.encode(prompt)])
            first = model.encode(answer)[len(model.encode(""))]
            best = int(model.module(ids).logits[0, -1].argmax())
            right.setdefault(split, []).append(best == first)
        for split, answers in sorted(right.items()):
            name = f"{relation}, {split}" if split else relation
            test = binomtest(sum(answers), len(answers)).proportion_ci(method="wilson")
            found[name] = {
                "right": sum(answers),
                "asked": len(answers),
                "share": round(sum(answers) / len(answers), 4),
                "interval": [round(test.low, 4), round(test.high, 4)],
            }
    return found


def losses(model: Model, work: Path) -> dict[str, dict[str, float]]:
    """Gives the mean loss on held-out text of every domain, and that of its training text's uni- and bigrams.

    The unigram counts with one added per token of the vocabulary; the bigram backs off to it with the weight
    of one occurrence, and is mixed with it half and half.
    """
    train, held_out = np.load(work / "train.npz"), np.load(work / "held_out.npz")
    found = {}
    for name in sorted(held_out.files):
        rows = cut(held_out[name])
        own = nats(model, Sequences(rows, name))
        before = ngrams(train[name].astype(np.int64), rows, len(model.anatomy.embedding))
        found[name] = {"model": round(own, 3), **before}
    return found


def measured(model: Model, place: Path, work: Path) -> dict[str, Any]:
    """Gives how good a dictionary is on the held-out text of all domains."""
    arrays = np.load(work / "held_out.npz")
    rows = np.concatenate([cut(arrays[name]) for name in sorted(arrays.files)])
    dictionary = load_dictionary(str(place), model)
    found = evaluate(model, dictionary, Sequences(rows, "held-out text of all domains")).to_dict()
    found["dictionary"] = place.name
    return {**found, "probes": domains(model, dictionary, arrays)}


def domains(model: Model, dictionary: AbstractDictionary, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Gives how well a few features tell the domains apart, from short pieces of held-out text."""
    pieces = {name: cut(arrays[name], PROBED) for name in sorted(arrays)}
    rows = [row for part in pieces.values() for row in part.tolist()]
    labels = [name for name, part in pieces.items() for _ in part]
    found = probe(model, dictionary, Labelled.of(rows, labels, "held-out text of all domains")).to_dict()
    return {name: found[name] for name in ("examples", "labels", "means")}


def rounded(value: Any) -> Any:
    """Gives the numbers of a document to four digits after the point, small ones to three that count."""
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    if not isinstance(value, float):
        return value
    return round(value, 4) if abs(value) >= 0.01 else float(f"{value:.3g}")


def cut(ids: np.ndarray, length: int = LENGTH) -> np.ndarray:
    """Gives the first tokens of a domain as sequences."""
    ids = ids.astype(np.int64)[:HELD_OUT_TOKENS]
    return ids[: len(ids) // length * length].reshape(-1, length)


def ngrams(seen: np.ndarray, rows: np.ndarray, size: int) -> dict[str, float]:
    """Gives the losses of the unigram and the bigram."""
    single = (np.bincount(seen, minlength=size) + 1) / (len(seen) + size)
    pairs, counts = np.unique(seen[:-1] * size + seen[1:], return_counts=True)
    before = np.bincount(seen[:-1], minlength=size)
    first, second = rows[:, :-1].reshape(-1), rows[:, 1:].reshape(-1)
    at = np.searchsorted(pairs, first * size + second).clip(max=len(pairs) - 1)
    count = np.where(pairs[at] == first * size + second, counts[at], 0)
    double = (count + single[second]) / (before[first] + 1)
    mixed = 0.5 * double + 0.5 * single[second]
    return {
        "bigram": round(float(-np.log(mixed).mean()), 3),
        "unigram": round(float(-np.log(single[second]).mean()), 3),
    }


if __name__ == "__main__":
    main()
