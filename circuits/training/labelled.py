"""Labelled text: what probes are trained and tested on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from circuits.errors import InvalidFile, NotFound, UsageError
from circuits.models.base import Model
from circuits.training.activations import FIRST

LEAST = 10
"""Examples each label must have: seven to train on and three to test with."""


@dataclass(frozen=True)
class Labelled:
    """Examples with a label each. m examples of up to n tokens.

    Attributes:
        ids: the tokens; shorter examples are followed by any token.
        counted: the tokens that an example is judged by: all its own but the first, or certain positions.
        labels: one an example.
        source: what they were read from.

    Raises:
        UsageError: fewer than two labels, a label with fewer than 10 examples, or an example without a
            token to judge by.
    """

    ids: Integer[np.ndarray, "m n"]
    counted: Bool[np.ndarray, "m n"]
    labels: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        counts = Counter(self.labels)
        if len(counts) < 2:
            raise UsageError(f"{self.source} has {len(counts)} labels: probes tell at least two apart.")
        few = [f"{label!r} has {count}" for label, count in sorted(counts.items()) if count < LEAST]
        if few:
            raise UsageError(f"In {self.source}, {few[0]} examples: give at least {LEAST} of each label.")
        empty = np.flatnonzero(~self.counted.any(axis=1))
        if len(empty):
            raise UsageError(
                f"Example {empty[0] + 1} of {self.source} has no token but the first: give longer texts."
            )

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, texts: Sequence[Sequence[int]], labels: Sequence[str], source: str) -> Labelled:
        """Gives examples from their token ids, judged by all tokens but the first."""
        longest = max(map(len, texts), default=0)
        ids = np.zeros((len(texts), longest), np.int64)
        counted = np.zeros((len(texts), longest), bool)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            counted[row, FIRST : len(text)] = True
        return cls(ids, counted, tuple(labels), source)


def load_labelled(path: Path, model: Model, length: int = 128) -> Labelled:
    """Gives the examples of a .jsonl file with a text and a label a line.

    Args:
        path: of the file: {"text": "In the beginning", "label": "scripture"} in each line.
        model: whose tokenizer reads the texts.
        length: tokens of a text that are used, at most; never more than the model's context.

    Raises:
        NotFound: there is no such file.
        InvalidFile: a line is something else.
        UsageError: as for `Labelled`.
    """
    if not path.is_file():
        raise NotFound(f'No file {path}: give .jsonl with {{"text": …, "label": …}} in each line.')
    length = min(length, model.anatomy.max_positions)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as cause:
        raise InvalidFile(f"{path} is no UTF-8 text (byte {cause.start}).") from cause
    texts, labels = [], []
    for number, line in enumerate(lines, 1):
        if line.strip():
            text, label = _example(line, f"Line {number} of {path}")
            texts.append(model.encode(text)[:length])
            labels.append(label)
    return Labelled.of(texts, labels, str(path))


def _example(line: str, where: str) -> tuple[str, str]:
    try:
        held: Any = json.loads(line)
    except json.JSONDecodeError as cause:
        raise InvalidFile(f"{where} is no JSON: {cause}.") from cause
    if not isinstance(held, dict) or not isinstance(held.get("text"), str):
        raise InvalidFile(f'{where} is no object with a "text".')
    label = held.get("label")
    if not isinstance(label, str | int | bool):
        raise InvalidFile(f'{where} has no "label" that is a word or a whole number.')
    return held["text"], str(label)
