"""k-sparse probing: how well k features tell a class (Gurnee et al. 2023; SAEBench, Karvonen et al. 2025).

For each label against the rest, as SAEBench does: as many examples of the label as of all others together,
seven tenths to train and three to test; an example is the mean over its tokens but the first; the k columns
whose means in the two classes differ most *in the training part* are chosen, and a logistic regression on
them is tested on the other part. The same with the layer's neurons, and with the activations the dictionary
describes (what passes at its write site), k of them or all, tells whether the dictionary helps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.neurons import Neurons
from circuits.models.base import Model
from circuits.models.sites import Place, capture
from circuits.training.labelled import Labelled
from circuits.training.logistic import auc, fit
from circuits.training.metrics import TOKENS_AT_ONCE, Progress
from circuits.training.reconstruct import ENCODED_AT_ONCE

Basis = Literal["features", "neurons", "activations", "all activations"]
KS = (1, 2, 5)
TRAINED = 0.7
"""Share of each label's examples that train."""


@dataclass(frozen=True)
class Probe:
    """How well k columns tell one label from the others.

    Attributes:
        layer: the layer.
        basis: "features" of the dictionary, "neurons", "activations" at the write site, or all of these.
        k: columns chosen.
        label: against all others.
        accuracy: on the test part, half of which is the label's.
        auc: on the test part.
        chosen: the columns, the one that differs most first; of "all activations" none are chosen.
    """

    layer: int
    basis: Basis
    k: int
    label: str
    accuracy: float
    auc: float
    chosen: tuple[int, ...]


@dataclass(frozen=True)
class Probing:
    """All probes of a dictionary. Made by `probe`.

    Attributes:
        text: where the examples are from.
        examples: their number.
        labels: in alphabetical order.
        probes: one for each layer, basis, k and label.
    """

    text: str
    examples: int
    labels: tuple[str, ...]
    probes: tuple[Probe, ...]

    def means(self) -> pl.DataFrame:
        """Gives the mean over labels: columns layer, basis, k, accuracy, auc."""
        table = pl.DataFrame([{**asdict(p), "chosen": list(p.chosen)} for p in self.probes])
        groups = table.group_by("layer", "basis", "k", maintain_order=True)
        return groups.agg(pl.col("accuracy", "auc").mean())

    def to_dict(self) -> dict[str, Any]:
        """Gives the numbers as JSON holds them."""
        return {
            "text": self.text,
            "examples": self.examples,
            "labels": list(self.labels),
            "means": self.means().to_dicts(),
            "probes": [{**asdict(p), "chosen": list(p.chosen)} for p in self.probes],
        }


@dataclass(frozen=True)
class Task:
    """One label against the rest: rows to train on and to test with, and which of them are the label's."""

    label: str
    train: Int[np.ndarray, "r"]
    test: Int[np.ndarray, "s"]
    is_label: Bool[np.ndarray, "m"]


def probe(
    model: Model,
    dictionary: AbstractDictionary,
    labelled: Labelled,
    *,
    ks: Sequence[int] = KS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Probing:
    """Gives how well k features of each layer tell labels apart, with neurons and activations beside.

    Of two labels only the second is probed: the first gives the same. The examples pass the model once for
    each layer and basis; in memory at a time are the means of one layer's columns, examples × features.

    Args:
        model: the model.
        dictionary: for it.
        labelled: the examples.
        ks: how many columns.
        seed: of the split, the same for all layers and bases.
        progress: told of each phase.

    Example:
        >>> found = probe(model, transcoders, load_labelled(Path("domains.jsonl"), model))  # doctest: +SKIP
        >>> found.means().filter(basis="features", k=1)["accuracy"]  # doctest: +SKIP
    """
    tell = progress or (lambda *_: None)
    planned = tasks(labelled.labels, seed)
    probes: list[Probe] = []
    for number, layer in enumerate(dictionary.layers):
        for part, columns in enumerate(bases(model, dictionary, layer)):
            tell("Probing", 3 * number + part, 3 * len(dictionary.layers))
            x = pooled(model, labelled, columns)
            for k in dict.fromkeys(min(k, columns.count) for k in ks):
                probes += [_probe(x, task, k, layer, columns.basis) for task in planned]
            if columns.basis == "activations":
                probes += [_probe(x, task, columns.count, layer, "all activations") for task in planned]
    labels = tuple(sorted(set(labelled.labels)))
    return Probing(labelled.source, len(labelled), labels, tuple(probes))


def tasks(labels: Sequence[str], seed: int = 0) -> list[Task]:
    """Gives the tasks that labels make, balanced: the others are drawn to be as many as the label's."""
    names = sorted(set(labels))
    found = []
    for number, label in enumerate(names if len(names) > 2 else names[1:]):
        is_label = np.array([other == label for other in labels])
        dice = np.random.default_rng((seed, number))
        own = dice.permutation(np.flatnonzero(is_label))
        others = dice.permutation(np.flatnonzero(~is_label))
        count = min(len(own), len(others))
        cut = round(TRAINED * count)
        parts = (own[:count], others[:count])
        train, test = (np.concatenate([p[s] for p in parts]) for s in (slice(cut), slice(cut, None)))
        found.append(Task(label, train, test, is_label))
    return found


@dataclass(frozen=True)
class Columns:
    """What is probed: numbers made of what passes somewhere.

    Attributes:
        basis: its name.
        place: where it passes.
        count: columns made of it.
        of: how.
    """

    basis: Basis
    place: Place
    count: int
    of: Callable[[Float[Tensor, "n d"]], Float[Tensor, "n c"]]


def bases(model: Model, dictionary: AbstractDictionary, layer: int) -> tuple[Columns, ...]:
    """Gives what is probed of a layer: features, neurons, activations."""
    neurons = Neurons(model)
    read, write = (layer, dictionary.read_site), (layer, dictionary.write_site)
    return (
        Columns("features", read, dictionary.n_features, lambda x: dictionary.encode(layer, x).activation),
        Columns(
            "neurons", (layer, "mlp_in"), neurons.n_features, lambda x: neurons.encode(layer, x).activation
        ),
        Columns("activations", write, model.width, lambda x: x),
    )


@torch.no_grad()
def pooled(model: Model, labelled: Labelled, columns: Columns) -> Float[np.ndarray, "m c"]:
    """Gives for each example the mean of every column over the tokens it is judged by.

    What follows a shorter example does not touch it: a model's tokens see only those before them.
    """
    device = model.anatomy.embedding.device
    found = np.zeros((len(labelled), columns.count), np.float32)
    at_once = max(1, TOKENS_AT_ONCE // labelled.ids.shape[1])
    block = max(1, ENCODED_AT_ONCE // columns.count)
    for start in range(0, len(labelled), at_once):
        part = slice(start, start + at_once)
        ids = torch.from_numpy(labelled.ids[part]).to(device)
        counted = torch.from_numpy(labelled.counted[part]).to(device)
        x = capture(model, ids, [columns.place])[columns.place][counted]
        example = counted.nonzero()[:, 0]
        total = torch.zeros(len(ids), columns.count, dtype=torch.float64, device=device)
        for rows, into in zip(torch.split(x, block), torch.split(example, block), strict=True):
            total.index_add_(0, into, columns.of(rows).double())
        found[part] = (total / counted.sum(1, keepdim=True)).cpu().numpy()
    return found


def _probe(x: Float[np.ndarray, "m c"], task: Task, k: int, layer: int, basis: Basis) -> Probe:
    """Gives one probe: columns chosen and weights fitted on the training part, judged on the other."""
    y_train, y_test = task.is_label[task.train], task.is_label[task.test]
    train, test = x[task.train], x[task.test]
    chosen = np.arange(k)
    if basis != "all activations":
        means = [train[rows].mean(0, dtype=np.float64) for rows in (y_train, ~y_train)]
        apart = np.abs(means[0] - means[1])
        chosen = np.argsort(-apart, kind="stable")[:k]
    # columns in float64: only here are they few
    score = fit(train[:, chosen].astype(np.float64), y_train).score(test[:, chosen].astype(np.float64))
    return Probe(
        layer=layer,
        basis=basis,
        k=k,
        label=task.label,
        accuracy=float(((score > 0) == y_test).mean()),
        auc=auc(score, y_test),
        chosen=() if basis == "all activations" else tuple(map(int, chosen)),
    )
