"""Trains the dictionaries of the bundled model, each until it is done; a run that was stopped goes on.

    python data/train_dictionaries.py WORK data/toy                     # all of PARTS, an hour on one core
    python data/train_dictionaries.py WORK data/toy --only transcoders  # one of them

writes each beside the model, rows as int8 (`circuits.dictionaries.formats.compact`).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from circuits.dictionaries.formats.compact import save_compact
from circuits.models.load import load_model
from circuits.training.settings import Training
from circuits.training.tokens import Sequences
from circuits.training.trainer import Trainer, losses

LENGTH: Final = 128
EACH, GEOGRAPHY = 1500, 6000  # sequences of a domain
LAYERS: Final = (0, 1, 2, 3)
FAMILY: Final[dict[str, Any]] = {"kind": "sae", "layers": (1,), "k": 16, "tokens": 3_000_000}
PARTS: Final = {
    "transcoders": Training(layers=LAYERS, features=2048, k=16, tokens=3_000_000, batch=2048, rate=2e-3),
    "clt": Training(kind="clt", layers=LAYERS, features=1024, k=16, tokens=3_000_000, batch=2048, rate=2e-3),
    "sae-8x": Training(features=8 * 192, **FAMILY),
    "sae-32x": Training(features=32 * 192, **FAMILY),
    "sae-100x": Training(features=100 * 192, **FAMILY),
}
"""Transcoders, a cross-layer transcoder, and SAEs of the stream after the second of four blocks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("toy", type=Path)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in [options.only] if options.only else PARTS:
        train(name, options.work, options.toy)


def train(name: str, work: Path, toy: Path) -> None:
    """Trains and writes one dictionary."""
    place = work / f"{name}.training"
    trainer = Trainer(load_model(str(toy / "model")), sequences(work / "train.npz"), PARTS[name], place)

    def listen(progress) -> None:  # type: ignore[no-untyped-def]
        if progress.step % 100 == 0:
            fvu, l0, dead = losses(progress.told)
            print(
                f"{name} {progress.step}/{progress.steps} FVU {fvu:.3f} L0 {l0:.1f} dead {dead:.1%}",
                flush=True,
            )

    trainer.train(listen)
    save_compact(toy / name, trainer.dictionary(), overwrite=True)
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


if __name__ == "__main__":
    main()
