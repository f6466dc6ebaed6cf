"""The text that features are described on: token sequences with their domains, in two halves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, Integer

from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.models.base import Model
from circuits.training.tokens import Sequences, load_sequences

RUN = 16
"""Neighbouring sequences that fall into the same half, so that few documents lie in both."""


@dataclass(frozen=True)
class Text:
    """m sequences of n tokens. The first and the last token of each are context, never looked at.

    Attributes:
        ids: the tokens.
        domain: of each sequence, an index into `domains`.
        domains: their names.
        source: what was read.
    """

    ids: Integer[np.ndarray, "m n"]
    domain: Int[np.ndarray, "m"]
    domains: tuple[str, ...]
    source: str

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def length(self) -> int:
        """Gives n."""
        return int(self.ids.shape[1])

    @property
    def tokens(self) -> int:
        """Gives how many tokens are looked at."""
        return len(self) * (self.length - 2)

    def places(self, first: int, last: int, at_once: int = 64) -> Iterator[Int[np.ndarray, "t"]]:
        """Yields where the tokens looked at are, in some sequences: sequence times n plus position."""
        for start in range(first, last, at_once):
            rows = np.arange(start, min(start + at_once, last))
            yield (rows[:, None] * self.length + np.arange(1, self.length - 1)).reshape(-1)

    def choosing(self) -> Bool[np.ndarray, "m"]:
        """Tells which sequences labels are chosen on; they are tested on the others.

        Runs of 16 sequences, counted within each domain, fall to the one and the other in turn.
        """
        place = np.zeros(len(self), np.int64)
        for domain in range(len(self.domains)):
            here = np.flatnonzero(self.domain == domain)
            run = min(RUN, max(1, len(here) // 2))
            place[here] = np.arange(len(here)) // run
        return np.asarray(place % 2 == 0)

    def take(self, rows: Int[np.ndarray, "k"] | Bool[np.ndarray, "m"]) -> Text:
        """Gives some of the sequences."""
        return replace(self, ids=self.ids[rows], domain=self.domain[rows])

    def halved(self, seed: int) -> tuple[Text, int]:
        """Gives the sequences, the choosing half first, each half in random order; and how many it has."""
        order, choosing = np.random.default_rng(seed).permutation(len(self)), self.choosing()
        first, second = order[choosing[order]], order[~choosing[order]]
        return self.take(np.concatenate([first, second])), len(first)


def joined(parts: dict[str, Sequences], source: str) -> Text:
    """Gives sequences of several domains as one text.

    Raises:
        UsageError: there are fewer than two sequences, or sequences are shorter than three tokens.
    """
    ids = np.concatenate([part.ids for part in parts.values()])
    domain = np.repeat(np.arange(len(parts)), [len(part) for part in parts.values()])
    if len(ids) < 2 or ids.shape[1] < 3:
        raise UsageError(
            f"{source} gives {len(ids)} sequence{'s' * (len(ids) != 1)} of {ids.shape[1]} tokens: labels need"
            " at least two sequences of three tokens, to choose on one and test on the other."
        )
    return Text(ids, domain, tuple(parts), source)


def load_text(path: Path, model: Model, length: int = 128) -> Text:
    """Gives text with its domains: the arrays of an .npz, the files of a directory, or one file.

    Args:
        path: a file as `load_sequences` takes it, or a directory of such.
        model: whose tokens they are.
        length: tokens of a sequence.

    Raises:
        NotFound, InvalidFile, UsageError: as `load_sequences`; a directory without files.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        if not files:
            raise NotFound(f"There is no text in {path}: put a file for each domain there.")
        return joined({file.stem: load_sequences(file, model, length) for file in files}, str(path))
    if path.suffix == ".npz" and path.is_file():
        load_sequences(path, model, length)  # says what is wrong with the whole
        with np.load(path, allow_pickle=False) as arrays:
            parts = {name: arrays[name].reshape(-1) for name in sorted(arrays.files)}
        rows = {name: ids[: len(ids) // length * length].reshape(-1, length) for name, ids in parts.items()}
        short = [name for name, ids in rows.items() if not len(ids)]
        if short:
            raise InvalidFile(f"{path} has less than {length} tokens of {', '.join(short)}: give more.")
        return joined({name: Sequences(ids, str(path)) for name, ids in rows.items()}, str(path))
    return joined({path.stem: load_sequences(path, model, length)}, str(path))
