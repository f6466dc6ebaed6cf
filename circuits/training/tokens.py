"""Sequences of token ids from files: what dictionaries are trained and measured on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Int, Integer
from torch import Tensor

from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.models.base import Model


@dataclass(frozen=True)
class Sequences:
    """Token sequences of one length, m of n tokens, all from within documents or across them.

    Attributes:
        ids: the tokens.
        source: what they were read from, for messages and records.
    """

    ids: Integer[np.ndarray, "m n"]
    source: str

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Int[np.ndarray, "b"]) -> Int[Tensor, "b n"]:
        """Gives some sequences as a batch."""
        return torch.from_numpy(self.ids[rows].astype(np.int64))

    def mixed(self) -> Sequences:
        """Gives the same sequences in an order that depends on nothing but their number.

        Files are often sorted by what they are about: the last sequences are then like no others.
        """
        return Sequences(self.ids[np.random.default_rng(0).permutation(len(self))], self.source)

    def split(self, share: float) -> tuple[Sequences, Sequences]:
        """Gives the first sequences, and the last `share` of them for measuring."""
        last = max(1, round(len(self) * share))
        return Sequences(self.ids[:-last], self.source), Sequences(self.ids[-last:], self.source)


HELD_SHARE: Final = 0.02
HELD_MOST: Final = 2**18
"""Tokens held out at most: more tell no more, and take their time."""


def hold_out(sequences: Sequences, batch: int) -> tuple[Sequences, Sequences]:
    """Gives the sequences to train on, and those to measure on: the last 2%, at least one batch of them.

    Args:
        sequences: all.
        batch: tokens a step of training.

    Raises:
        InvalidFile: there are not two batches.
    """
    count, length = sequences.ids.shape
    least = -(-batch // (length - 1))
    held = max(least, min(round(HELD_SHARE * count), HELD_MOST // length))
    if (count - held) * (length - 1) < batch:
        raise InvalidFile(
            f"{sequences.source} holds {count * (length - 1):,} usable tokens, less than one batch of"
            f" {batch:,} to train on and one to measure on: give more text or a smaller batch."
        )
    return Sequences(sequences.ids[:-held], sequences.source), Sequences(
        sequences.ids[-held:], sequences.source
    )


def load_sequences(path: Path, model: Model, length: int = 128) -> Sequences:
    """Gives a file's tokens as sequences of one length; what is left over at the end is dropped.

    Args:
        path: token ids (`.npy`, or `.npz` whose arrays are joined), `.jsonl` with a "text" in each line,
            or plain text. Every sequence of text begins with the tokens the model's tokenizer adds.
        model: whose tokenizer reads text, and whose vocabulary ids must be in.
        length: of a sequence.

    Raises:
        NotFound: there is no such file.
        InvalidFile: it holds something else, or ids outside the model's vocabulary.
        UsageError: it is shorter than one sequence, or the length is longer than the model's context.
    """
    if not path.is_file():
        raise NotFound(f"No file {path}: give text, .jsonl, or token ids as .npy or .npz.")
    if not 2 <= length <= model.anatomy.max_positions:
        raise UsageError(
            f"Sequences of {length} tokens: {model.name} takes 2 to {model.anatomy.max_positions}."
        )
    ids = _stored(path) if path.suffix in (".npy", ".npz") else _tokenised(path, model)
    size = len(model.anatomy.embedding)
    if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < size:
        raise InvalidFile(
            f"{path} holds token ids up to {int(ids.max())}, but {model.name} has {size}: the tokens are"
            " another model's."
        )
    begin = [] if path.suffix in (".npy", ".npz") else model.encode("")
    body = length - len(begin)
    count = len(ids) // body
    if not count:
        raise UsageError(f"{path} holds {len(ids)} tokens, less than one sequence of {length}: give more.")
    rows = ids[: count * body].reshape(count, body)
    head = np.tile(np.array(begin, ids.dtype), (count, 1))
    return Sequences(np.concatenate([head, rows], axis=1), str(path))


def _stored(path: Path) -> Integer[np.ndarray, "t"]:
    try:
        loaded = np.load(path, allow_pickle=False)
        parts = [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in sorted(loaded)]
    except (ValueError, OSError, EOFError) as cause:
        raise InvalidFile(f"{path} is no whole .npy or .npz file of numbers: {cause}.") from cause
    if not parts or any(part.dtype.kind not in "iu" for part in parts):
        raise InvalidFile(f"{path} holds {parts[0].dtype if parts else 'nothing'}: token ids are integers.")
    return np.concatenate([part.reshape(-1) for part in parts])


def _tokenised(path: Path, model: Model) -> Integer[np.ndarray, "t"]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as cause:
        raise InvalidFile(f"{path} is no UTF-8 text (byte {cause.start}).") from cause
    texts = [text]
    if path.suffix == ".jsonl":
        try:
            texts = [json.loads(line)["text"] for line in text.splitlines() if line.strip()]
        except (json.JSONDecodeError, KeyError, TypeError) as cause:
            raise InvalidFile(f'{path} is no JSON object with a "text" in each line: {cause}.') from cause
    begin = len(model.encode(""))
    return np.array([i for part in texts for i in model.encode(part)[begin:]], dtype=np.int64)
