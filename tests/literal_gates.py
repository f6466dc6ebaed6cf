"""One-gate games, literally: every coalition, the definition of each index as a sum over coalitions."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from literal import gate
from literal_games import coalition_weight


def worths(name: str, c: np.ndarray, b: float, threshold: float) -> np.ndarray:
    """φ of every coalition; bit i of the place says whether player i is in."""
    sums = np.array([sum(c[i] for i in range(len(c)) if s >> i & 1) for s in range(1 << len(c))])
    return np.array([gate(name, z, threshold) for z in b + sums])


def interaction(table: np.ndarray, members: tuple[int, ...], index: str) -> float:
    """Σ_{S ⊆ N∖T} weight(|S|) Σ_{L ⊆ T} (−1)^{t−|L|} v(S ∪ L)."""
    n, t = len(table).bit_length() - 1, len(members)
    inside = sum(1 << i for i in members)
    places = np.arange(len(table))
    free = places[places & inside == 0]
    sizes = np.array([int(s).bit_count() for s in free])
    weight = np.array([coalition_weight(index, n, t, s) for s in range(n - t + 1)])[sizes]
    total = 0.0
    for k in range(t + 1):
        for part in combinations(members, k):
            total += (-1) ** (t - k) * float(weight @ table[free | sum(1 << i for i in part)])
    return total


def all_of_order(table: np.ndarray, order: int, index: str) -> np.ndarray:
    """The interactions of all sets of one order, in `itertools.combinations`' order."""
    n = len(table).bit_length() - 1
    return np.array([interaction(table, members, index) for members in combinations(range(n), order)])
