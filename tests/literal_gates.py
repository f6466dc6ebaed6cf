"""One-gate games, literally: every coalition, the definition of each index as a sum over coalitions."""

from __future__ import annotations

from itertools import combinations
from math import comb, exp, lgamma

import numpy as np
from literal import gate


def worths(name: str, c: np.ndarray, b: float, threshold: float) -> np.ndarray:
    """φ of every coalition; bit i of the place says whether player i is in."""
    sums = np.array([sum(c[i] for i in range(len(c)) if s >> i & 1) for s in range(1 << len(c))])
    return np.array([gate(name, z, threshold) for z in b + sums])


def coalition_weight(index: str, n: int, t: int, s: int) -> float:
    """The weight of Δ_T v(S), |S| = s, in the textbook form of each index."""
    match index:
        case "Moebius":
            return float(s == 0)
        case "Co-Moebius":
            return float(s == n - t)
        case "BII":
            return 0.5 ** (n - t)
        case "SII" | "k-SII":
            return 1 / ((n - t + 1) * comb(n - t, s))
        case "STII":
            return t / n / comb(n - 1, s)
        case "CHII":
            return t / (s + t) / comb(n, s + t)
        case "FSII":
            up = lgamma(2 * t) + lgamma(n - s) + lgamma(t + s)
            return exp(up - 2 * lgamma(t) - lgamma(n + t))
    raise ValueError(index)


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
