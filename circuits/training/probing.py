"""k-sparse probing: how well k features tell a class (Gurnee et al. 2023; SAEBench, Karvonen et al. 2025).

For each label against the rest, as SAEBench does: as many examples of the label as of all others together,
seven tenths to train and three to test; an example is the mean over its tokens but the first; the k columns
whose means in the two classes differ most *in the training part* are chosen, and a logistic regression on
them is tested on the other part. The same with the layer's neurons, and with the activations the dictionary
describes (what passes at its write site), k of them or all, tells whether the dictionary helps.

Differences are counted in standard deviations of the column, unlike SAEBench's, unless `Probes` says
otherwise: where a few tokens have huge activations, the largest difference in plain units is theirs for
every label.
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


@dataclass(frozen=True)
class Probes:
    """How to probe.

    Attributes:
        ks: how many columns.
        trained: share of each label's examples that train.
        standardised: choose by differences of means in standard deviations; False is SAEBench's rule.
        seed: of the split, the same for all layers and bases.
    """

    ks: tuple[int, ...] = (1, 2, 5)
    trained: float = 0.7
    standardised: bool = True
    seed: int = 0


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
    settings: Probes = Probes(),
    progress: Progress | None = None,
) -> Probing:
    """Gives how well k features of each layer tell labels apart, with neurons and activations beside.

    Of two labels only the second is probed: the first gives the same. The examples pass the model once for
    each layer and basis; in memory at a time are the means of one layer's columns, examples × features.

    Args:
        model: the model.
        dictionary: for it.
        labelled: the examples.
        settings: how to probe.
        progress: told of each phase.

    Example:
        >>> found = probe(model, transcoders, load_labelled(Path("domains.jsonl"), model))  # doctest: +SKIP
        >>> found.means().filter(basis="features", k=1)["accuracy"]  # doctest: +SKIP
    """
    tell = progress or (lambda *_: None)
    planned = tasks(labelled.labels, settings)
    probes: list[Probe] = []
    for number, layer in enumerate(dictionary.layers):
        for part, columns in enumerate(bases(model, dictionary, layer)):
            tell("Probing", 3 * number + part, 3 * len(dictionary.layers))
            x = pooled(model, labelled, columns)
            for task in planned:
                order = ranked(x, task, standardised=settings.standardised)
                ks = dict.fromkeys(min(k, columns.count) for k in settings.ks)
                probes += [Probe(layer, columns.basis, k, *_told(x, task, order[:k])) for k in ks]
                if columns.basis == "activations":
                    told = _told(x, task, np.arange(columns.count))
                    probes.append(Probe(layer, "all activations", columns.count, *told[:-1], ()))
    labels = tuple(sorted(set(labelled.labels)))
    return Probing(labelled.source, len(labelled), labels, tuple(probes))


def tasks(labels: Sequence[str], settings: Probes) -> list[Task]:
    """Gives the tasks that labels make, balanced: the others are drawn to be as many as the label's."""
    names = sorted(set(labels))
    found = []
    for number, label in enumerate(names if len(names) > 2 else names[1:]):
        is_label = np.array([other == label for other in labels])
        dice = np.random.default_rng((settings.seed, number))
        own = dice.permutation(np.flatnonzero(is_label))
        others = dice.permutation(np.flatnonzero(~is_label))
        count = min(len(own), len(others))
        cut = round(settings.trained * count)
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


def ranked(x: Float[np.ndarray, "m c"], task: Task, *, standardised: bool) -> Int[np.ndarray, "c"]:
    """Gives the columns, the one whose means differ most in the training part first."""
    train, is_label = x[task.train], task.is_label[task.train]
    apart = np.abs(train[is_label].mean(0, dtype=np.float64) - train[~is_label].mean(0, dtype=np.float64))
    if standardised:
        spread = train.std(0, dtype=np.float64)
        apart = apart / np.where(spread > 0, spread, 1)
    return np.argsort(-apart, kind="stable")


def _told(
    x: Float[np.ndarray, "m c"], task: Task, chosen: Int[np.ndarray, "k"]
) -> tuple[str, float, float, tuple[int, ...]]:
    """Gives label, accuracy, AUC and columns of a probe fitted on the training part."""
    columns = x[:, chosen].astype(np.float64)  # of the few only
    y = task.is_label
    score = fit(columns[task.train], y[task.train]).score(columns[task.test])
    is_label = y[task.test]
    accuracy = float(((score > 0) == is_label).mean())
    return task.label, accuracy, auc(score, is_label), tuple(map(int, chosen))
