"""For every concept the best unit of every basis, chosen on some documents and scored on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from features_vs_neurons_basis import Basis  # type: ignore[import-not-found]
from features_vs_neurons_concepts import CONCEPTS, Labelled, Tokens  # type: ignore[import-not-found]
from features_vs_neurons_scores import (  # type: ignore[import-not-found]
    Score,
    areas,
    choose,
    difference,
    holm,
    score,
)
from features_vs_neurons_texts import SPLITS, Passage  # type: ignore[import-not-found]
from features_vs_neurons_units import LAYER, probe  # type: ignore[import-not-found]
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from circuits.dictionaries.coders import Coders
from circuits.models.base import Model

SUBSETS: Final = 20
Row = dict[str, Any]


@dataclass(frozen=True)
class Study:
    """Everything that is compared.

    Attributes:
        model: the bundled model.
        passages: all text.
        tokens: all scored tokens.
        labelled: by concept and split.
        stream: what passes where the dictionaries sit, at every scored token.
        dictionaries: by name, smallest first.
        bases: the competitors, the dictionaries first.
    """

    model: Model
    passages: tuple[Passage, ...]
    tokens: Tokens
    labelled: Mapping[tuple[str, str], Labelled]
    stream: Float[Tensor, "t d"]
    dictionaries: Mapping[str, Coders]
    bases: tuple[Basis, ...]


def compare(study: Study) -> dict[str, Row]:
    """Gives for every concept each basis's best unit, the probe, and how features and neurons differ."""
    budget = min(basis.size for basis in study.bases)
    told: dict[str, Row] = {}
    scores: dict[tuple[str, str], Score] = {}
    for concept in CONCEPTS:
        parts = {split: study.labelled[concept.name, split] for split in SPLITS}
        rows: dict[str, Row] = {}
        for basis in study.bases:
            rows[basis.name], scores[concept.name, basis.name] = contest(basis, parts, budget)
            if basis.name in study.dictionaries:
                unit = rows[basis.name]["unit"]
                rows[basis.name]["before top-k"] = before(study, basis.name, unit, parts["test"])
        rows["probe"] = probed(study, parts)
        told[concept.name] = {
            "off": concept.off,
            "positives": {split: int(part.positive.sum()) for split, part in parts.items()},
            "documents": {split: len(set(p.document[p.positive])) for split, p in parts.items()},
            "negatives": {split: np.bincount(part.kind)[1:].tolist() for split, part in parts.items()},
            "units": rows,
        }
    against(told, scores, tuple(study.dictionaries))
    return told


def contest(basis: Basis, parts: Mapping[str, Labelled], budget: int) -> tuple[Row, Score]:
    """Gives the best of all units, and the mean area of the best of random subsets of equal size."""
    found = {split: _both_signs(basis, parts[split]) for split in SPLITS[:2]}
    unit = choose(found["search"], found["validation"], np.arange(basis.size))
    dice = np.random.default_rng(0)
    subsets = [dice.choice(basis.size, budget, replace=False) for _ in range(SUBSETS)]
    chosen = [choose(found["search"], found["validation"], subset) for subset in subsets]
    test = parts["test"]
    area = {
        other: float(
            areas(csr_matrix(basis.column(other, test.rows)[:, None]), test.positive, test.weight)[0]
        )
        for other in sorted(set(chosen))
    }
    reached = [area[other] for other in chosen]
    largest = max(float(basis.column(unit, parts[split].rows).max()) for split in SPLITS[:2])
    scored = score(basis.column(unit, test.rows), test, largest)
    told = {
        "unit": unit,
        "called": called(basis, unit),
        "budget": {
            name: round(float(f(reached)), 4) for name, f in (("mean", np.mean), ("low", min), ("high", max))
        },
    }
    return {**told, **as_row(scored)}, scored


def _both_signs(basis: Basis, part: Labelled) -> Float[np.ndarray, "m"]:
    """Gives the areas of all candidates of a basis, those of negated units included."""
    found: np.ndarray = areas(basis.at(part.rows), part.positive, part.weight)
    return np.concatenate([found, 1 - found]) if basis.signed else found


def before(study: Study, name: str, unit: int, part: Labelled) -> float:
    """Gives the area of a feature's pre-activation, which no sparsity cuts off."""
    coder = study.dictionaries[name].coder(LAYER)
    z = study.stream[torch.from_numpy(part.rows)] @ coder.encoder.take([unit])[0]
    return round(float(areas(csr_matrix(z.numpy()[:, None]), part.positive, part.weight)[0]), 4)


def probed(study: Study, parts: Mapping[str, Labelled]) -> Row:
    """Gives what the mean-difference direction of the search split achieves."""
    along = study.stream.numpy() @ probe(study.stream, parts["search"])
    along -= np.median(along[parts["search"].rows])  # half of the maximum shall mean something
    largest = max(float(along[parts[split].rows].max()) for split in SPLITS[:2])
    return as_row(score(along[parts["test"].rows], parts["test"], largest))


def against(
    told: dict[str, Row], scores: Mapping[tuple[str, str], Score], dictionaries: tuple[str, ...]
) -> None:
    """Adds how much better the best feature is than the best neuron, p-values corrected for all of them."""
    pairs = [(concept, name) for concept in told for name in dictionaries]
    found = [difference(scores[pair], scores[pair[0], "neurons"]) for pair in pairs]
    corrected = holm([p for _, p in found])
    for (concept, name), (interval, p), q in zip(pairs, found, corrected, strict=True):
        told[concept]["units"][name]["over neuron"] = {
            "difference": interval.json(),
            "p": float(f"{p:.3g}"),
            "p, Holm": float(f"{q:.3g}"),
        }


def matrix(study: Study, concepts: Mapping[str, Row], name: str) -> list[list[float]]:
    """Gives the area of the unit chosen for each concept (rows) on the test tokens of each (columns)."""
    (basis,) = (basis for basis in study.bases if basis.name == name)
    rows = []
    for concept in CONCEPTS:
        unit = concepts[concept.name]["units"][name]["unit"]
        parts = [study.labelled[other.name, "test"] for other in CONCEPTS]
        columns = [csr_matrix(basis.column(unit, part.rows)[:, None]) for part in parts]
        found = [areas(c, p.positive, p.weight)[0] for c, p in zip(columns, parts, strict=True)]
        rows.append([round(float(area), 3) for area in found])
    return rows


def called(basis: Basis, unit: int) -> str:
    """Gives a unit's name: layer/number, and a minus sign where it is negated."""
    if not basis.signed:
        return f"{LAYER}/{unit}"
    m = basis.size // 2
    layer, number = divmod(unit % m, m // (LAYER + 1))
    return f"{'−' if unit >= m else ''}{layer}/{number}"


def as_row(found: Score) -> Row:
    """Gives a score as JSON holds it."""
    return {
        "auc": found.auc.json(),
        "precision": found.precision.json(),
        "recall": found.recall.json(),
        "bins": found.bins,
        "tokens": found.tokens,
        "kinds": found.kinds,
        "passages": found.passages,
    }
