"""Trains the dictionaries of the bundled model: each is one `circuits train`, printed before it is run.

    python data/train_dictionaries.py WORK data/toy                     # all of PARTS, 40 minutes on one core
    python data/train_dictionaries.py WORK data/toy --only transcoders  # one of them, 11 minutes

A run that was stopped goes on. The text, WORK/dictionaries.npy, is made of all domains, geography four times
as much as any other; 2% of it are kept from training.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np

LENGTH: Final = 128
EACH, GEOGRAPHY = 1500, 6000  # sequences of a domain
SAE: Final = "--kind sae --site block_out --layers 1 -k 16 --tokens 3000000"
PARTS: Final = {
    "transcoders": "--features 2048 -k 16 --rate 2e-3 --tokens 6000000",
    "clt": "--kind clt --features 1024 -k 16 --tokens 3000000",
    "sae-8x": f"{SAE} --features {8 * 192}",
    "sae-32x": f"{SAE} --features {32 * 192}",
    "sae-100x": f"{SAE} --features {100 * 192}",
}
"""Transcoders, a cross-layer transcoder, and SAEs of the stream after the second of four blocks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("toy", type=Path)
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    text = options.work / "dictionaries.npy"
    if not text.exists():
        np.save(text, sequences(options.work / "train.npz"))
    for name in [options.only] if options.only else PARTS:
        command = ["circuits", "train", str(options.toy / "model"), "--text", str(text)]
        command += [
            *shlex.split(PARTS[name]),
            "--layout",
            "compact",
            "-o",
            str(options.toy / name),
            "--overwrite",
        ]
        print(shlex.join(command), flush=True)
        # one thread: the steps are small, and the result then does not depend on the number of cores
        subprocess.run(
            [sys.executable, "-m", *command], env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True
        )


def sequences(file: Path) -> np.ndarray:
    """Gives sequences of every domain, mixed."""
    arrays, dice = np.load(file), np.random.default_rng(0)
    parts = []
    for name in sorted(arrays.files):
        ids = arrays[name]
        rows = ids[: len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
        count = GEOGRAPHY if name == "geography" else EACH
        parts.append(rows[dice.permutation(len(rows))[:count]])
    return dice.permutation(np.concatenate(parts))


if __name__ == "__main__":
    main()
