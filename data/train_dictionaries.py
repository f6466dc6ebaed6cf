"""Trains the bundled model's default dictionary: transcoders for all four layers.

    python data/train_dictionaries.py WORK data/toy      # about 10 minutes on one core; resumes

writes `transcoders/` beside the model, weights as float16.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from circuits.dictionaries.coders import CoderLayer
from circuits.dictionaries.formats.circuit_tracer import save_transcoders
from circuits.dictionaries.rows import DenseRows
from circuits.models.load import load_model
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer, losses

SETTINGS = Training(layers=(0, 1, 2, 3), features=2048, k=16, tokens=3_000_000, batch=2048, rate=2e-3)
LENGTH = 128
EACH, GEOGRAPHY = 1500, 6000  # sequences of a domain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("toy", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(str(options.toy / "model"))
    place = options.work / "transcoders.training"
    trainer = Trainer(model, sequences(options.work / "train.npz"), SETTINGS, place)

    def listen(progress) -> None:  # type: ignore[no-untyped-def]
        if progress.step % 100 == 0:
            fvu, l0, dead = losses(progress.told)
            print(f"{progress.step}/{progress.steps} FVU {fvu:.3f} L0 {l0:.1f} dead {dead:.1%}", flush=True)

    trainer.train(listen)
    trained = trainer.dictionary()
    coders = [halved(trained.coder(layer)) for layer in trained.layers]
    save_transcoders(options.toy / "transcoders", coders, trained.settings, overwrite=True)
    shutil.rmtree(place)


def sequences(file: Path) -> Sequences:
    """Gives sequences of every domain, four times as many of geography."""
    arrays, dice = np.load(file), np.random.default_rng(0)
    parts = []
    for name in sorted(arrays.files):
        ids = arrays[name]
        rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
        count = GEOGRAPHY if name == "geography" else EACH
        parts.append(rows[dice.permutation(len(rows))[:count]])
    return Sequences(np.concatenate(parts), str(file))


def halved(coder: CoderLayer) -> CoderLayer:
    """Gives a coder with float16 weights."""
    ((into, decoder),) = coder.decoders
    return replace(
        coder,
        encoder=DenseRows(coder.encoder.all().half()),
        encoder_bias=coder.encoder_bias.half(),
        decoders=((into, DenseRows(decoder.all().half())),),
        decoder_bias=coder.decoder_bias.half(),
    )


if __name__ == "__main__":
    main()
