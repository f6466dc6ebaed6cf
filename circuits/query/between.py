"""The network of all paths between two sets of nodes: how much flows there, how many paths, through what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float

from circuits.graph.influence import propagate
from circuits.query.kernels import Search, sweep, without_columns, without_rows


@dataclass(frozen=True, eq=False)
class Between:
    """All paths from a set S of nodes to a set T, as graph theory has them (Diestel, *Graph Theory*, 1.3).

    A path's first node is in S, its last in T, none between is in either; so no path is part of another and
    their shares add up to at most 1. The share of a path is the product of the normalised weights
    along it, times the weight of the target it ends at.

    Attributes:
        shares: normalised weights without what flows into S or out of T; row = target.
        sources: S.
        targets: the weight of each node of T, 1 in all; 0 elsewhere.
        inside: where a path must pass, its ends in S counting and those in T not; None: anywhere.
    """

    shares: sp.csr_array
    sources: Bool[np.ndarray, "n"]
    targets: Float[np.ndarray, "n"]
    inside: Bool[np.ndarray, "n"] | None = None

    @classmethod
    def of(
        cls,
        shares: sp.csr_array,
        sources: Bool[np.ndarray, "n"],
        targets: Float[np.ndarray, "n"],
        inside: Bool[np.ndarray, "n"] | None = None,
    ) -> Between:
        """Gives the network of a graph's normalised weights; what is in S and T both counts as T."""
        ends = targets > 0
        starts = sources & ~ends
        kept = without_rows(shares, starts & (np.diff(shares.indptr) > 0))
        if np.count_nonzero(ends) > 1:
            kept = without_columns(kept, ends)
        return cls(kept, starts, targets, None if inside is None else inside & ~ends)

    @cached_property
    def up(self) -> Float[np.ndarray, "n"]:
        """Gives the share of each node's inflow that comes from S; 1 for S itself."""
        return sweep(self.shares, self.sources.astype(np.float64), np.add)

    @cached_property
    def down(self) -> Float[np.ndarray, "n"]:
        """Gives the share of T that arrives at each node going backwards, T's own weights included."""
        return np.asarray(propagate(self.shares, self.targets) + self.targets)

    @cached_property
    def total(self) -> float:
        """Gives the sum of the shares of all paths: what of T's inflow comes from S this way."""
        return float(self.targets @ (self.shares @ self._lacking))

    @cached_property
    def count(self) -> float:
        """Gives how many paths there are; exact up to 2^53, infinite from 10^308 on."""
        ones = self.shares.copy()
        ones.data = (ones.data > 0).astype(np.float64)
        ones.eliminate_zeros()
        with np.errstate(over="ignore"):
            found = Between(ones, self.sources, self.targets, self.inside)._lacking
            ends = ones[np.flatnonzero(self.targets)]
            return float(found[ends.indices].sum())

    @cached_property
    def through(self) -> Float[np.ndarray, "n"]:
        """Gives, for each node, the share of T carried by those of the paths that pass it or start there."""
        if self.inside is None:
            return np.asarray(self.down * self.up)
        first = propagate(without_rows(self.shares, self.inside), self.targets) + self.targets
        reached = np.where(self.inside, first, 0.0)
        later = propagate(self.shares, reached)  # from where the path has been inside
        outside = first * self._lacking + later * self.up
        return np.asarray(np.where(self.inside, (first + later) * self.up, outside))

    def strongest(self) -> Iterator[tuple[list[int], float]]:
        """Gives (rows from source to target, share) of every path, strongest first."""
        return Search(self.shares, self.sources, self.inside).into(self.targets)

    @cached_property
    def _lacking(self) -> Float[np.ndarray, "n"]:
        """Gives what `up` is over paths that have been inside by the time they reach a node."""
        if self.inside is None:
            return self.up
        first = np.where(self.inside, self.up, 0.0)
        return sweep(without_rows(self.shares, self.inside), first, np.add)
