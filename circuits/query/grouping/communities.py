"""Communities of features that are alike, and how well they hold when the evidence is drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import networkx as nx
import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.query.grouping.profiles import KINDS, Profiles, combined

DRAWN: Final = 0.8
"""Share of the features in each resample."""

Progress = Callable[[str, int, int], None]
Labels = Int[np.ndarray, "k"]
"""The group of each feature, numbered from 0; −1 where it was not drawn."""


@dataclass(frozen=True)
class Resampling:
    """How groups are found and tried.

    Attributes:
        neighbours: features that each is joined to, the most alike.
        resamples: how often features are left out and the evidence is drawn anew.
        seed: of all that is random.
        most: features that are grouped, at most.
        weights: what each kind of similarity counts.
        resolutions: of modularity, that are tried: the larger, the smaller the groups.

    Raises:
        UsageError: a number is too small.
    """

    neighbours: int = 5
    resamples: int = 20
    seed: int = 0
    most: int = 400
    weights: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"inputs": 1.0, "outputs": 1.0, "decoder": 1.0, "position": 1.0}
        )
    )
    resolutions: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)

    def __post_init__(self) -> None:
        for name, least in (("neighbours", 1), ("resamples", 2), ("most", 3)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is {getattr(self, name)}: give {least} or more.")
        if not self.resolutions or min(self.resolutions) <= 0:
            raise UsageError(f"Resolutions {list(self.resolutions)}: give numbers above 0.")
        if (
            set(self.weights) != set(KINDS)
            or min(self.weights.values()) < 0
            or not any(self.weights.values())
        ):
            raise UsageError(
                f"Weights {dict(self.weights)}: give one of 0 or more to each of {', '.join(KINDS)}."
            )


@dataclass(frozen=True, eq=False)
class Found:
    """The groups of one resolution.

    Attributes:
        resolution: of modularity.
        labels: the group of each feature.
        stability: of each group, its mean largest Jaccard index with a group of each resample, both
            cut to the features drawn (Hennig 2007), 0 to 1.
        together: of each two features, in how many of the resamples that drew both they share a group;
            1 on the diagonal.
        agreement: mean adjusted Rand index of a resample's groups and these.
    """

    resolution: float
    labels: Labels
    stability: Float[np.ndarray, "g"]
    together: Float[np.ndarray, "k k"]
    agreement: float


def found_at(profiles: Profiles, settings: Resampling, progress: Progress | None = None) -> list[Found]:
    """Gives the groups at each resolution, with their stability.

    In a resample a share `DRAWN` of the features is kept, and of the edges of the graph as many are drawn
    with replacement as there are: each source and each receiver counts as often as it is drawn.
    """
    size, resolutions = len(profiles.nodes), settings.resolutions
    rng = np.random.default_rng(settings.seed)
    whole = neighbour_graph(combined(profiles.similarities(), settings.weights), settings.neighbours)
    base = [communities(whole, resolution, settings.seed) for resolution in resolutions]
    again: list[list[Labels]] = [[] for _ in resolutions]
    for number in range(settings.resamples):
        if progress is not None:
            progress("Resampling", number, settings.resamples)
        kept = np.sort(rng.choice(size, max(2, round(DRAWN * size)), replace=False))
        counts = (_drawn(rng, profiles.reads.shape[1]), _drawn(rng, profiles.writes.shape[1]))
        alike = combined(profiles.similarities(counts, kept), settings.weights)
        graph = neighbour_graph(alike, settings.neighbours)
        for place, resolution in enumerate(resolutions):
            labels = np.full(size, -1)
            labels[kept] = communities(graph, resolution, settings.seed + 1 + number)
            again[place].append(labels)
    return [
        Found(
            resolution,
            labels,
            clusterwise(labels, others),
            together(others),
            float(np.mean([adjusted_rand(labels[other >= 0], other[other >= 0]) for other in others])),
        )
        for resolution, labels, others in zip(resolutions, base, again, strict=True)
    ]


def neighbour_graph(alike: Float[np.ndarray, "m m"], neighbours: int) -> sp.csr_array:
    """Gives the graph that joins each feature to the `neighbours` most alike, by how alike they are."""
    values = alike.copy()
    np.fill_diagonal(values, 0.0)
    best = np.argsort(-values, axis=1, kind="stable")[:, :neighbours]
    near = np.zeros(values.shape, bool)
    np.put_along_axis(near, best, values=True, axis=1)
    return sp.csr_array(np.where(near | near.T, values, 0.0))


def communities(graph: sp.csr_array, resolution: float, seed: int) -> Labels:
    """Gives the groups of largest modularity that Louvain's method finds (Blondel et al. 2008)."""
    drawn: nx.Graph[int] = nx.from_scipy_sparse_array(sp.csr_matrix(graph))
    parts = nx.community.louvain_communities(drawn, resolution=resolution, seed=seed)
    labels = np.zeros(graph.shape[0], np.int64)
    for number, part in enumerate(sorted(sorted(part) for part in parts)):
        labels[part] = number
    return labels


def clusterwise(labels: Labels, others: Sequence[Labels]) -> Float[np.ndarray, "g"]:
    """Gives every group's stability: the mean of its largest Jaccard index with a group of each resample.

    A resample that drew none of a group says nothing of it.
    """
    found = []
    for number in range(labels.max(initial=-1) + 1):
        best = []
        for other in others:
            mine = (labels == number) & (other >= 0)
            if mine.any():
                shared = np.bincount(other[mine], minlength=other.max() + 1)
                sizes = np.bincount(other[other >= 0], minlength=other.max() + 1)
                best.append(float((shared / (mine.sum() + sizes - shared)).max()))
        found.append(np.mean(best) if best else 0.0)
    return np.array(found, np.float64)


def together(others: Sequence[Labels]) -> Float[np.ndarray, "k k"]:
    """Gives, of each two features, in how many of the resamples that drew both they share a group."""
    size = len(others[0])
    both, same = np.zeros((size, size)), np.zeros((size, size))
    for other in others:
        drawn = other >= 0
        both += drawn[:, None] & drawn[None, :]
        same += (other[:, None] == other[None, :]) & drawn[:, None] & drawn[None, :]
    found = np.divide(same, both, out=np.zeros_like(same), where=both > 0)
    np.fill_diagonal(found, 1.0)
    return found


def adjusted_rand(one: Labels, other: Labels) -> float:
    """Gives the adjusted Rand index of two groupings: 1 if equal, 0 as by chance (Hubert & Arabie 1985).

    Where chance leaves no room (both all in one, or all alone), it is 1 if they are equal.
    """
    table = np.zeros((one.max(initial=-1) + 1, other.max(initial=-1) + 1))
    np.add.at(table, (one, other), 1)

    def pairs(counts: Float[np.ndarray, "..."]) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both, first, second = pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0))
    expected = first * second / max(pairs(np.array([float(len(one))])), 1.0)
    most = (first + second) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _drawn(rng: np.random.Generator, size: int) -> Int[np.ndarray, "{size}"]:
    return rng.multinomial(size, np.full(size, 1 / size)) if size else np.zeros(0, np.int64)
