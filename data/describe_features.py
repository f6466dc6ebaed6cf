"""Describes the features of dictionaries of the bundled model: cards, with labels tested on held-out halves.

    python data/describe_features.py WORK data/toy/transcoders [DICT …]

WORK as `build_corpus.py` left it. Writes `cards.parquet` beside each dictionary and prints how many features
bear a label, and some of them. About three minutes on one core for four layers of 2,048 features.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from concepts import concepts
from evaluate import read_world

from circuits.cards.describe import describe
from circuits.cards.record import Cards
from circuits.cards.store import cards_path, save_cards
from circuits.cards.text import Text, joined
from circuits.dictionaries.load import load_dictionary
from circuits.models.load import load_model
from circuits.training.tokens import Sequences

LENGTH = 128
EACH, GEOGRAPHY = 300, 1600  # sequences of a domain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("dictionaries", nargs="+")
    parser.add_argument("--model", default="toy")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)
    text = sequences(options.work / "train.npz")
    named = concepts(read_world(options.work / "world.json"))
    for spec in options.dictionaries:
        began = time.process_time()
        dictionary = load_dictionary(spec, model)
        cards = describe(model, dictionary, text, named, progress=progress)
        path = cards_path(spec)
        save_cards(cards, path, overwrite=True)
        print(f"\n{path}: {path.stat().st_size / 1e6:.2f} MB, {time.process_time() - began:.0f} CPU-seconds")
        tell(cards)


def sequences(file: Path) -> Text:
    """Gives sequences of every domain, five times as many of geography."""
    dice, parts = np.random.default_rng(1), {}
    with np.load(file) as arrays:
        for name in sorted(arrays.files):
            ids = arrays[name]
            rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
            count = GEOGRAPHY if name == "geography" else EACH
            # neighbours stay together, so that documents fall whole into one half or the other
            parts[name] = Sequences(rows[np.sort(dice.permutation(len(rows))[:count])], str(file))
    return joined(parts, "a sample of the bundled model's training text")


def progress(phase: str, done: int, total: int) -> None:
    """Shows progress."""
    print(f"\r{phase} {done}/{total}   ", end="", file=sys.stderr, flush=True)


def tell(cards: Cards) -> None:
    """Prints how many features of each layer bear a label, and the labels most features share."""
    for (layer,), part in cards.table.group_by("layer", maintain_order=True):
        labelled = part["label"].count()
        alive = int((part["frequency"] > 0).sum())
        print(f"layer {layer}: {labelled} of {alive} features that are ever on bear a tested label")
    common = cards.table["label"].drop_nulls().value_counts(sort=True).head(20)
    print(", ".join(f"{label} ({count})" for label, count in common.iter_rows()))


if __name__ == "__main__":
    main()
