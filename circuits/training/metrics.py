"""How well a dictionary gives what passes: L0, FVU, dead features, how often each is active.

Over the evaluated tokens, all sums in float64 and one batch at a time:

- FVU, the fraction of variance unexplained, is Σ‖y - ŷ‖² / Σ‖y - mean‖², where y is what passes at the
  layer's write site, ŷ what the dictionary gives, and the mean is that of y over the evaluated tokens.
- L0 is the mean number of active features (a ≠ 0) a token.
- A feature's frequency is the share of tokens at which it is active; it is dead where that is 0.

The first token of every sequence (`FIRST`) is not evaluated: it is an attention sink like no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import InvalidFile, UsageError
from circuits.models.base import Model
from circuits.models.sites import Place, capture
from circuits.training.activations import FIRST, Batch
from circuits.training.reconstruct import write
from circuits.training.tokens import Sequences

Progress = Callable[[str, int, int], None]
"""Told of a phase, how much of it is done, and of how much."""

CAPTURED_BYTES = 2**28
"""Of what passes at all places of a dictionary, held at a time."""

TOKENS_AT_ONCE = 2**13
"""Run through the model together, where sequences are shorter."""

DENSE = 0.1
"""A feature is dense if it is active at more than this share of the tokens."""

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Fit:
    """How well one layer of a dictionary gives what passes. m features.

    Attributes:
        tokens: evaluated.
        fvu: Σ‖y - ŷ‖² / Σ‖y - mean‖²; NaN where nothing varies.
        l0: active features a token.
        dead: share of features active at no token.
        frequency: of each feature, the share of tokens at which it is active.
    """

    tokens: int
    fvu: float
    l0: float
    dead: float
    frequency: Float[np.ndarray, "m"]

    @property
    def dense(self) -> float:
        """Gives the share of features active at more than 10% of the tokens."""
        return float((self.frequency > DENSE).mean())

    def quantiles(self) -> dict[float, float]:
        """Gives the frequency below which 5%, 25%, … of the features lie."""
        return {q: float(np.quantile(self.frequency, q)) for q in QUANTILES}

    def histogram(self) -> dict[str, int]:
        """Gives the number of features by frequency in powers of ten: {"dead": …, "<1e-5": …, …}."""
        alive = self.frequency[self.frequency > 0]
        power = np.clip(np.floor(np.log10(alive)) + 1, -5, 0).astype(int)
        counts = {f"<1e{p}" if p else ">=1e-1": int((power == p).sum()) for p in range(-5, 1)}
        return {"dead": int((self.frequency == 0).sum()), **counts}

    def to_dict(self) -> dict[str, Any]:
        """Gives the numbers as JSON holds them; of the frequencies, their distribution."""
        return {
            "tokens": self.tokens,
            "FVU": self.fvu,
            "L0": self.l0,
            "dead": self.dead,
            "dense": self.dense,
            "frequency": {
                "quantiles": {str(q): value for q, value in self.quantiles().items()},
                "histogram": self.histogram(),
            },
        }


def held_out(dictionary: AbstractDictionary, batches: Iterable[Batch]) -> dict[int, Fit]:
    """Gives how well each layer of a dictionary gives what passes, over batches of tokens.

    Args:
        dictionary: of any kind; of a cross-layer transcoder, what a layer gives sums all earlier layers'
            writes.
        batches: what passes at the places it reads and writes (`places`), tokens of any number a batch:
            such as `passing(model, dictionary, sequences)`, or `Activations.at(step)` of some steps.

    Raises:
        UsageError: there are no tokens.
        InvalidFile: what passes is NaN or infinite.

    Example:
        >>> held_out(neurons, passing(model, neurons, sequences))[0].fvu  # doctest: +SKIP
        1.2e-13
    """
    return {layer: tally.fit() for layer, tally in tallies(dictionary, batches).items()}


def places(dictionary: AbstractDictionary) -> tuple[Place, ...]:
    """Gives where a dictionary reads and writes, in all its layers, each place once."""
    sites = (dictionary.read_site, dictionary.write_site)
    return tuple(dict.fromkeys((layer, site) for layer in dictionary.layers for site in sites))


def passing(
    model: Model,
    dictionary: AbstractDictionary,
    sequences: Sequences,
    progress: Progress | None = None,
) -> Iterator[Batch]:
    """Gives what passes where a dictionary reads and writes, for all tokens but each sequence's first.

    Args:
        model: the model.
        dictionary: says where.
        sequences: the tokens, in order.
        progress: told of the tokens done.
    """
    where = places(dictionary)
    length = int(sequences.ids.shape[1])
    row = len(where) * length * model.width * model.anatomy.embedding.element_size()
    at_once = max(1, min(CAPTURED_BYTES // row, TOKENS_AT_ONCE // length))
    for start in range(0, len(sequences), at_once):
        if progress is not None:
            progress("Comparing outputs", start * length, len(sequences) * length)
        chosen = np.arange(start, min(start + at_once, len(sequences)))
        ids = sequences.take(chosen).to(model.anatomy.embedding.device)
        seen = capture(model, ids, where)
        batch = {place: values[:, FIRST:].flatten(0, 1) for place, values in seen.items()}
        for (layer, site), values in batch.items():
            if not torch.isfinite(values).all():
                raise InvalidFile(f"{model.name} gives NaN or infinity at {site} of layer {layer}.")
        yield batch


@dataclass
class Tally:
    """Running sums of one layer, in float64.

    Attributes:
        on: of each feature, tokens at which it is active.
        tokens: seen.
        mean: of what passes.
        spread: Σ‖y - mean‖².
        rest: Σ‖y - ŷ‖².
    """

    on: Tensor
    tokens: int = 0
    mean: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.float64))
    spread: float = 0.0
    rest: float = 0.0

    def add(self, y: Float[Tensor, "n d"], given: Float[Tensor, "n d"]) -> None:
        """Adds tokens: what passes, and what the dictionary gives instead.

        Means and spreads of two parts join exactly (Chan, Golub and LeVeque 1979), so that a large mean
        costs no digits.
        """
        y = y.double()
        self.rest += float((y - given.double()).square().sum())
        n, mean = len(y), y.mean(0)
        apart = mean - self.mean.to(mean.device)
        total = self.tokens + n
        self.spread += float((y - mean).square().sum())
        self.spread += float(apart.square().sum()) * self.tokens * n / total
        self.mean = self.mean.to(mean.device) + apart * (n / total)
        self.tokens = total

    def fit(self) -> Fit:
        """Gives the numbers."""
        frequency = self.on.double().cpu().numpy() / self.tokens
        return Fit(
            tokens=self.tokens,
            fvu=self.rest / self.spread if self.spread else float("nan"),
            l0=float(frequency.sum()),
            dead=float((frequency == 0).mean()),
            frequency=frequency,
        )


def tallies(dictionary: AbstractDictionary, batches: Iterable[Batch]) -> dict[int, Tally]:
    """Gives the sums behind `held_out`, with each layer's mean output."""
    found = {
        layer: Tally(torch.zeros(dictionary.n_features, dtype=torch.long)) for layer in dictionary.layers
    }
    for batch in batches:
        given: dict[int, Tensor] = {}
        for layer, tally in found.items():
            written = write(dictionary, layer, batch[layer, dictionary.read_site])
            tally.on += written.on.cpu()
            for to, part in written.into.items():
                given[to] = given[to] + part if to in given else part
            # features write into their own and later layers only: this layer's output is whole
            tally.add(batch[layer, dictionary.write_site], given.pop(layer))
    if not all(tally.tokens for tally in found.values()):
        raise UsageError("There are no tokens to evaluate a dictionary on: give more text.")
    return found
