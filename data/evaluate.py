"""Measures the bundled model: two-hop accuracy by hold-out, and loss by domain against n-gram baselines.

    python data/evaluate.py WORK data/toy/model     # WORK as build_corpus.py left it; about a minute

With `transcoders/` beside the model, also how well they stand in for its MLPs.

writes `metrics.json` beside the model and prints it as a table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from geography import Gazetteer, Region, questions
from scipy.stats import binomtest
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from circuits.dictionaries.load import load_dictionary
from circuits.models.base import Model
from circuits.models.forward import run_mlp
from circuits.models.load import load_model
from circuits.models.sites import block, capture

LENGTH = 128
HELD_OUT_TOKENS = 8192  # of each domain, at most


def main() -> None:
    """Measures, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    world = read_world(options.work / "world.json")
    metrics = {
        "accuracy": accuracy(model, tokenizer, world),
        "nats per token": losses(model, options.work, len(tokenizer)),
    }
    transcoders = options.model.parent / "transcoders"
    if transcoders.exists():
        metrics["transcoders"] = replacement(options.work, options.model, transcoders)
    (options.model / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    for name, found in metrics["accuracy"].items():
        low, high = found["interval"]
        counts = f"{found['right']:4d} of {found['asked']:4d}"
        print(f"{name:45s} {counts}  {found['share']:.3f} [{low:.3f}, {high:.3f}]")
    print(json.dumps(metrics.get("transcoders", {}), indent=1))
    for name, found in metrics["nats per token"].items():
        print(f"{name:45s} " + "  ".join(f"{what} {value:.2f}" for what, value in found.items()))


def read_world(file: Path) -> Gazetteer:
    """Gives the gazetteer that `build_corpus.py` wrote."""
    held = json.loads(file.read_text())
    regions = {code: Region(**region) for code, region in held["regions"].items()}
    unseen, bridges = frozenset(held["unseen_cities"]), frozenset(held["unseen_bridges"])
    return Gazetteer(regions, held["cities"], unseen, bridges)


@torch.no_grad()
def accuracy(model: Any, tokenizer: PreTrainedTokenizerBase, world: Gazetteer) -> dict[str, dict[str, Any]]:
    """Gives for every relation and hold-out how often the likeliest token begins the right answer."""
    found: dict[str, dict[str, Any]] = {}
    for relation, asked in questions(world).items():
        right: dict[str, list[bool]] = {}
        for prompt, answer, split in asked:
            ids = torch.tensor([tokenizer(prompt)["input_ids"]])
            first = tokenizer(answer, add_special_tokens=False)["input_ids"][0]
            best = int(model(ids).logits[0, -1].argmax())
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


@torch.no_grad()
def losses(model: Any, work: Path, size: int) -> dict[str, dict[str, float]]:
    """Gives the mean loss on held-out text of every domain, and that of its training text's uni- and bigrams.

    The unigram counts with one added per token of the vocabulary; the bigram backs off to it with the weight
    of one occurrence, and is mixed with it half and half.
    """
    train, held_out = np.load(work / "train.npz"), np.load(work / "held_out.npz")
    found = {}
    for name in sorted(held_out.files):
        ids = held_out[name].astype(np.int64)[:HELD_OUT_TOKENS]
        rows = torch.from_numpy(ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH))
        logits = model(rows).logits
        own = cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), rows[:, 1:].reshape(-1))
        found[name] = {
            "model": round(float(own), 3),
            **ngrams(train[name].astype(np.int64), rows.numpy(), size),
        }
    return found


@torch.no_grad()
def replacement(work: Path, model_place: Path, transcoders: Path) -> dict[str, Any]:
    """Gives how well transcoders stand in for the MLPs, on held-out text, first tokens as the model has them.

    FVU is Σ|y - ŷ|² / Σ|y - mean|² over all tokens but each sequence's first; a feature is dead if no token
    turns it on.
    """
    model = load_model(str(model_place))
    dictionary = load_dictionary(str(transcoders), model)
    arrays = np.load(work / "held_out.npz")
    parts = [arrays[name].astype(np.int64)[:HELD_OUT_TOKENS] for name in sorted(arrays.files)]
    rows = torch.from_numpy(
        np.concatenate([a[: len(a) // LENGTH * LENGTH].reshape(-1, LENGTH) for a in parts])
    )
    found: dict[str, Any] = {"tokens": rows.numel(), "layers": {}}
    changes = {}
    for layer in dictionary.layers:
        seen = capture(model, rows, [(layer, "mlp_in"), (layer, "mlp_out")])
        x, y = (seen[layer, site][:, 1:].flatten(0, 1) for site in ("mlp_in", "mlp_out"))
        decode = _decoder(dictionary, layer)
        active = torch.cat([dictionary.encode(layer, part).activation != 0 for part in torch.split(x, 4096)])
        rest = float((y - decode(x)).square().sum() / (y - y.mean(0)).square().sum())
        found["layers"][str(layer)] = {
            "FVU": round(rest, 4),
            "L0": round(float(active.sum(1).float().mean()), 2),
            "dead": round(float((~active.any(0)).float().mean()), 4),
        }
        changes[layer] = lambda given, layer=layer, decode=decode: _stand_in(model, layer, given, decode)
    found["nats"] = {"model": _nats(model, rows, {})}
    for layer in dictionary.layers:
        found["nats"][f"layer {layer} replaced"] = _nats(model, rows, {layer: changes[layer]})
    found["nats"]["all replaced"] = _nats(model, rows, changes)
    zero = dict.fromkeys(dictionary.layers, torch.zeros_like)
    found["nats"]["all set to 0"] = _nats(model, rows, zero)
    nats = found["nats"]
    share = (nats["all set to 0"] - nats["all replaced"]) / (nats["all set to 0"] - nats["model"])
    found["CE recovered, against 0"] = round(share, 4)
    return found


def _decoder(dictionary: Any, layer: int) -> Callable[[Tensor], Tensor]:
    decoder = dictionary.coder(layer).decoders[0][1].all()

    def decode(x: Tensor) -> Tensor:
        outs = [
            dictionary.encode(layer, part).activation @ decoder + dictionary.constant(layer, part)
            for part in torch.split(x, 4096)
        ]
        return torch.cat(outs)

    return decode


def _stand_in(model: Model, layer: int, x: Tensor, decode: Callable[[Tensor], Tensor]) -> Tensor:
    """Gives the transcoder's output for MLP inputs, the MLP's own at each sequence's first token."""
    out = decode(x.flatten(0, 1)).view_as(x)
    parts = model.anatomy.layers[layer].mlp
    out[:, 0] = run_mlp(parts, x[:, 0])
    return out


def _nats(model: Model, rows: Tensor, changes: dict[int, Callable[[Tensor], Tensor]]) -> float:
    """Gives the loss with some MLPs replaced: each is asked for its output given its input."""
    total, module = 0.0, model.module
    for ids in torch.split(rows, 64):
        with contextlib.ExitStack() as hooks:
            for layer, change in changes.items():
                mlp = block(model, layer).mlp
                hook = mlp.register_forward_hook(lambda _, given, __, change=change: change(given[0]))
                hooks.callback(hook.remove)
            logits = module(ids).logits
        loss = cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        total += float(loss) * len(ids)
    return round(total / len(rows), 4)


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
