"""Interactions straight from their definitions: sums over coalitions, orderings, least squares. Slow.

Coalitions are frozensets; a game is a function of one. Nothing here knows of Möbius tables, quadrature or
butterflies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import chain, combinations, permutations
from math import comb, factorial

import numpy as np

Set = frozenset[int]
Game = Callable[[Set], float]

BERNOULLI = [Fraction(1), Fraction(-1, 2), Fraction(1, 6), Fraction(0), Fraction(-1, 30), Fraction(0)]


def subsets(of: Iterable[int], sizes: Iterable[int] | None = None) -> Iterator[Set]:
    items = sorted(of)
    wanted = range(len(items) + 1) if sizes is None else sizes
    return map(frozenset, chain.from_iterable(combinations(items, s) for s in wanted))


def tabled(worths: np.ndarray) -> Game:
    """The game of a worth table: player i is bit 2^i of the entry's number."""
    values = [float(v) for v in worths]
    return lambda s: values[sum(1 << i for i in s)]


def derivative(v: Game, t: Set, s: Set) -> float:
    """Δ_T v(S) = Σ_{L ⊆ T} (−1)^{|T|−|L|} v(S ∪ L)."""
    return sum((-1) ** (len(t) - len(part)) * v(s | part) for part in subsets(t))


def coalition_weight(index: str, n: int, t: int, s: int) -> float:
    """The weight of Δ_T v(S) in the textbook sum over S ⊆ N∖T, |T| = t, |S| = s."""
    match index:
        case "Moebius":
            return float(s == 0)
        case "Co-Moebius":
            return float(s == n - t)
        case "BII":
            return 1 / 2 ** (n - t)
        case "SII" | "k-SII":  # k-SII: top order
            return factorial(n - s - t) * factorial(s) / factorial(n - t + 1)
        case "CHII":
            return t * factorial(n - s - t) * factorial(s + t - 1) / factorial(n)
        case "STII":  # top order
            return t / n / comb(n - 1, s)
        case "FSII":  # top order: Tsai et al. 2023, equation 17
            whole = factorial(2 * t - 1) / factorial(t - 1) ** 2
            return whole * factorial(n - s - 1) * factorial(s + t - 1) / factorial(n + t - 1)
    raise ValueError(index)


def interaction(v: Game, n: int, index: str, members: Iterable[int]) -> float:
    """One interaction as the weighted sum of its derivatives (the top order of STII and FSII)."""
    t = frozenset(members)
    rest = frozenset(range(n)) - t
    return sum(coalition_weight(index, n, len(t), len(s)) * derivative(v, t, s) for s in subsets(rest))


def shapley_taylor(v: Game, n: int, top: int, members: Iterable[int]) -> float:
    """Sundararajan et al. 2020, definition 2: below the top order Δ_T v(∅), at it the mean over orderings."""
    t = frozenset(members)
    if len(t) < top:
        return derivative(v, t, frozenset())
    found = []
    for ordering in permutations(range(n)):
        first = min(ordering.index(i) for i in t)
        found.append(derivative(v, t, frozenset(ordering[:first])))
    return float(np.mean(found))


def n_shapley(v: Game, n: int, top: int, members: Iterable[int]) -> float:
    """k-SII by the recursion of Bordt & von Luxburg 2023, definition 6, from SII."""
    s = frozenset(members)
    if len(s) == top:
        return interaction(v, n, "SII", s)
    others = frozenset(range(n)) - s
    added = sum(interaction(v, n, "SII", s | k) for k in subsets(others, [top - len(s)]))
    return n_shapley(v, n, top - 1, s) + float(BERNOULLI[top - len(s)]) * added


def faith_shap(v: Game, n: int, top: int) -> dict[Set, float]:
    """The polynomial of degree `top` nearest to v under the Shapley kernel, right at ∅ and N.

    Tsai et al. 2023, definition 4. Least squares in the null space of the two constraints.
    """
    sets = list(subsets(range(n), range(1, top + 1)))
    inner = list(subsets(range(n), range(1, n)))
    x = np.array([[t <= s for t in sets] for s in inner], float)
    y = np.array([v(s) - v(frozenset()) for s in inner])
    root = np.array([((n - 1) / (comb(n, len(s)) * len(s) * (n - len(s)))) ** 0.5 for s in inner])
    total = v(frozenset(range(n))) - v(frozenset())
    start = np.full(len(sets), total / len(sets))
    free = np.linalg.svd(np.ones((1, len(sets))))[2][1:].T
    found = np.linalg.lstsq(root[:, None] * (x @ free), root * (y - x @ start), rcond=None)[0]
    return dict(zip(sets, start + free @ found, strict=True))
