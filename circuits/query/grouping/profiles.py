"""How alike two features are in a graph: what they read, what they write, where they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int

from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, arriving, inflow, of_kind
from circuits.schema import feature_name
from circuits.trace import Trace

KINDS: Final = ("inputs", "outputs", "decoder", "position")
"""In what two features can be alike, in the order of the tables."""

NEXT: Final = 0.5
"""How alike in position neighbouring tokens are; one token, and one word said twice, is 1."""

RARE: Final = 0.95
"""Quantile of a kind of similarity that counts as fully alike."""

DIGITS: Final = 9
"""Decimals kept of a similarity, so that rounding cannot turn a tie."""


@dataclass(frozen=True, eq=False)
class Profiles:
    """What is compared, of k features in the order of their names, whatever the graph's order.

    Attributes:
        nodes: names of the features, sorted.
        reads: of each feature, its signed shares: weight(s → feature) / what flows into it, turned so that
            a share is positive where the source makes the feature what it is.
        writes: of each feature, weight(feature → t) / (what flows into t), times the share of the targets
            that passes through t; turned alike.
        fixed: by name of a kind that no resampling changes (decoder, position), the similarities.
    """

    nodes: tuple[str, ...]
    reads: Float[np.ndarray, "k S"]
    writes: Float[np.ndarray, "k T"]
    fixed: Mapping[str, Float[np.ndarray, "k k"]]

    @classmethod
    def of(cls, graph: Graph, nodes: Sequence[str], trace: Trace | None = None) -> Profiles:
        """Gives the profiles of some features.

        Raises:
            Incompatible: the trace lacks one of the features.
        """
        names = tuple(sorted(nodes))
        rows = np.array([graph.row(name) for name in names], dtype=np.int64)
        turned = _signs(graph)
        columns = np.argsort(graph.nodes["node"].to_numpy(), kind="stable")
        share = _signed_shares(graph)
        arrived = sp.csr_array((sp.diags_array(arriving(graph)) @ share).T)
        reads, writes = (
            turned[rows, None] * np.asarray(matrix[rows].toarray())[:, columns] for matrix in (share, arrived)
        )
        fixed = {"position": _positions(graph, rows)}
        if trace is not None:
            fixed["decoder"] = _decoders(trace, names)
        return cls(names, _used(reads), _used(writes), fixed)

    def similarities(
        self,
        counts: tuple[Int[np.ndarray, "S"], Int[np.ndarray, "T"]] | None = None,
        kept: Int[np.ndarray, "m"] | None = None,
    ) -> dict[str, Float[np.ndarray, "m m"]]:
        """Gives, by kind, how alike the features are: 0 to 1, 1 on the diagonal.

        Args:
            counts: how often each source, and each receiver, is drawn; once each unless given.
            kept: which features; all unless given.
        """
        rows = np.arange(len(self.nodes)) if kept is None else kept
        drawn = (None, None) if counts is None else counts
        found = {
            "inputs": cosines(self.reads[rows], drawn[0]),
            "outputs": cosines(self.writes[rows], drawn[1]),
        }
        found |= {kind: values[np.ix_(rows, rows)] for kind, values in self.fixed.items()}
        return {kind: found[kind] for kind in KINDS if kind in found}


def combined(
    similarities: Mapping[str, Float[np.ndarray, "m m"]], weights: Mapping[str, float]
) -> Float[np.ndarray, "m m"]:
    """Gives the weighted mean of the kinds of similarity, each measured by what is usual for it.

    Of each kind, the mean over all pairs becomes 0 (and so does what is below) and the similarity that one
    pair in twenty exceeds becomes 1 (`RARE`): else a kind in which all are alike would drown the others.
    1 on the diagonal.
    """
    total = sum(weights[kind] for kind in similarities)
    summed = sum(weights[kind] * contrasted(values) for kind, values in similarities.items())
    found = np.round(np.asarray(summed) / total, DIGITS)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def contrasted(values: Float[np.ndarray, "m m"]) -> Float[np.ndarray, "m m"]:
    """Gives a kind of similarity measured by what is usual for it: 0 at the mean, 1 where it is rare."""
    pairs = values[np.triu_indices(len(values), 1)]
    usual, rare = (float(pairs.mean()), float(np.quantile(pairs, RARE))) if len(pairs) else (0.0, 1.0)
    return np.clip((values - usual) / max(rare - usual, 10.0**-DIGITS), 0.0, 1.0)


def cosines(
    vectors: Float[np.ndarray, "m d"], counts: Int[np.ndarray, "d"] | None = None
) -> Float[np.ndarray, "m m"]:
    """Gives the cosines between rows, 0 where negative or where a row is empty, 1 on the diagonal.

    Args:
        vectors: one row each.
        counts: how often each column counts.
    """
    scaled = vectors if counts is None else vectors * np.sqrt(counts)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    unit = np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 0)
    found = np.clip(unit @ unit.T, 0.0, 1.0)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def _signed_shares(graph: Graph) -> sp.csr_array:
    """Gives weight / inflow, row = target, column = source; constants are left out."""
    source, target = graph.ends
    kept = ~of_kind(graph, *CONSTANTS)[source]
    weight = graph.edges["weight"].to_numpy()[kept].astype(np.float64)
    share = np.divide(weight, inflow(graph)[target[kept]], out=np.zeros_like(weight), where=weight != 0)
    size = len(graph.nodes)
    return sp.csr_array((share, (target[kept], source[kept])), shape=(size, size))


def _signs(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives −1 for features whose activation is negative on this prompt, 1 for all others."""
    return np.where(graph.nodes["activation"].fill_null(1.0).to_numpy() < 0, -1.0, 1.0)


def _used(profile: Float[np.ndarray, "k C"]) -> Float[np.ndarray, "k c"]:
    used: Bool[np.ndarray, "C"] = (profile != 0).any(axis=0)
    return np.ascontiguousarray(profile[:, used])


def _positions(graph: Graph, rows: Int[np.ndarray, "k"]) -> Float[np.ndarray, "k k"]:
    at = graph.nodes["pos"].cast(pl.Float64).fill_null(np.nan).to_numpy()[rows]
    apart = np.abs(at[:, None] - at[None, :])
    words = np.array([str(t) for t in (graph.meta.get("prompt") or {}).get("tokens") or ()], dtype=object)
    said = np.array([words[int(p)] if p == p and p < len(words) else f"\0{p}" for p in at], dtype=object)
    same = (apart == 0) | (said[:, None] == said[None, :])
    found = np.where(same, 1.0, np.where(apart == 1, NEXT, 0.0))
    np.fill_diagonal(found, 1.0)
    return found


def _decoders(trace: Trace, names: Sequence[str]) -> Float[np.ndarray, "k k"]:
    """Gives the cosines between what the features write, summed over the layers they write into."""
    features = trace.features
    columns = zip(features.layer.tolist(), features.id.tolist(), features.position.tolist(), strict=True)
    place = {feature_name(*column): row for row, column in enumerate(columns)}
    missing = [name for name in names if name not in place]
    if missing:
        raise Incompatible(
            f"The trace lacks {missing[0]}, a feature of the graph ({len(missing)} of {len(names)} are"
            " missing): give the trace this graph was made from."
        )
    writes = trace.writes
    terms = sp.csr_array(
        (writes.coefficient.astype(np.float64), (writes.feature, writes.vector)),
        shape=(len(features), len(trace.vectors)),
    )
    rows = [place[name] for name in names]
    turned = np.where(features.activation[rows] < 0, -1.0, 1.0)[:, None]
    return cosines(turned * np.asarray(terms[rows] @ trace.vectors.astype(np.float64)))
