"""Exact interactions from the worth of every coalition, for up to 20 players: any index, any order.

A **worth table** has 2^n entries; entry s is the worth of the coalition that player i is in if bit 2^i of
s is set. It is expanded around the middle of the cube,

    β(U) = 2^−(n−|U|) Σ_{S ⊆ N∖U} Δ_U v(S)        (the Banzhaf interaction of every set at once),

by one butterfly of n steps. Then D_T(q) = Σ_{U ⊇ T} (q − ½)^{|U|−|T|} β(U), so every index is

    I(T) = Σ_{U ⊇ T} c_t(|U|) β(U),        c_t(|U|) = ∫ (q − ½)^{|U|−t} μ_t(dq) for those of integral form,

and a second butterfly, which sums over supersets, gives all sets of one size. Cost O(n 2ⁿ) per order. The
Möbius table (the expansion around 0) would do as well but its terms grow as 2^|U| and cancel; these do not.

Lower orders of k-SII, STII and FSII, which depend on the top order k, are such sums too; see `weights`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import comb

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, Real
from scipy.special import bernoulli

from circuits.engine.indices import check_order, quadrature
from circuits.errors import UsageError

MOST_PLAYERS = 20
TABLES = 4  # tables of worths in memory at once


@dataclass(frozen=True, eq=False)
class Interactions:
    """The interactions of all sets of 1 to k players.

    Attributes:
        index: their definition.
        players: n.
        empty: the worth of the empty coalition.
        values: one array for every order 1 to k; entry r of order t belongs to row r of `members(t)`.
    """

    index: str
    players: int
    empty: float
    values: tuple[Float[np.ndarray, "_"], ...]

    @property
    def order(self) -> int:
        """The largest order there is."""
        return len(self.values)

    def members(self, order: int) -> Int[np.ndarray, "sets order"]:
        """Gives the sets of one order, members ascending, in the order of their bits read as a number."""
        return _members(self.players, order)

    def __getitem__(self, members: Iterable[int]) -> float:
        """Gives the interaction of one set of players, in any order.

        Raises:
            UsageError: a player is named twice or does not exist, or the set is of an order not held.
        """
        chosen = sorted(members)
        if len(set(chosen)) != len(chosen) or any(not 0 <= i < self.players for i in chosen):
            raise UsageError(f"{chosen} is no set of players: name each once, from 0 to {self.players - 1}.")
        if not 1 <= len(chosen) <= self.order:
            raise UsageError(
                f"{chosen} has {len(chosen)} players: interactions of 1 to {self.order} are held."
            )
        # the rank of a set among those of its size (the combinatorial number system)
        return float(self.values[len(chosen) - 1][sum(comb(i, k) for k, i in enumerate(chosen, 1))])

    def matrix(self) -> Float[np.ndarray, "n n"]:
        """Gives all pairs as a symmetric matrix with zeros on its diagonal.

        Raises:
            UsageError: only singles are held.
        """
        if self.order < 2:
            raise UsageError("Only interactions of order 1 are held: ask for order 2 to have pairs.")
        i, j = self.members(2).T
        out = np.zeros((self.players, self.players))
        out[i, j] = out[j, i] = self.values[1]
        return out

    def strongest(self, count: int = 10, order: int | None = None) -> list[tuple[tuple[int, ...], float]]:
        """Gives the sets with the largest values in size, of one order, or of 2 and more.

        Example:
            >>> worths = np.array([0, 0, 0, 3.0])  # worth something only with both players
            >>> exact_interactions(worths, "SII", 2).strongest(1)
            [((0, 1), 3.0)]
        """
        orders = range(2, self.order + 1) if order is None else [order]
        found: list[tuple[tuple[int, ...], float]] = []
        for t in orders:
            values = self.values[t - 1]
            best = np.argsort(-np.abs(values), kind="stable")[:count]
            sets = self.members(t)[best]
            found += [(tuple(map(int, s)), float(v)) for s, v in zip(sets, values[best], strict=True)]
        return sorted(found, key=lambda item: -abs(item[1]))[:count]


def exact_interactions(worths: Real[np.ndarray, "..."], index: str = "SII", order: int = 2) -> Interactions:
    """Gives the interactions of all sets of 1 to `order` players, exactly.

    Args:
        worths: (2^n,), the worth of each coalition; entry s has the players in it whose bits are
            set in s. Computed in float64.
        index: the definition; see `circuits.engine.indices`. Order 1 of "SII" is the Shapley value.
        order: the largest order; for k-SII, STII and FSII their top order k, which the lower ones depend on.

    Raises:
        UsageError: the table's length is not 2^n, n is above 20, a worth is not finite, no such index, or
            more in a set than there are players.

    Example:
        >>> worths = np.array([0, 1, 2, 6.0])  # ∅, {0}, {1}, {0, 1}
        >>> found = exact_interactions(worths, "SII", 2)
        >>> found.values
        (array([2.5, 3.5]), array([3.]))
        >>> found[0, 1]
        3.0
    """
    players = players_of(worths.shape)
    check_order(index, order, players)
    table = np.array(worths, np.float64)
    if not np.isfinite(table).all():
        at = int(np.flatnonzero(~np.isfinite(table))[0])
        raise UsageError(
            f"The worth of {coalition_names(at, players)} is {table[at]}: interactions need finite worths."
        )
    empty, sizes = float(table[0]), all_sizes(players)
    for both in _each_player(table):
        both[:, 1] -= both[:, 0]
        both[:, 0] += both[:, 1] / 2
    values = []
    for t in range(1, order + 1):
        terms = weights(index, t, order, players)[sizes]
        terms *= table
        for both in _each_player(terms):
            both[:, 0] += both[:, 1]
        values.append(terms[sets_of_size(players, t)])
    return Interactions(index, players, empty, tuple(values))


def moebius(worths: Real[np.ndarray, "..."]) -> Float[np.ndarray, "S"]:
    """Gives the Möbius transform m(U) = Σ_{L ⊆ U} (−1)^{|U|−|L|} v(L) of a worth table, laid out as it is.

    Example:
        >>> moebius(np.array([1, 2, 2, 7.0]))
        array([1., 1., 1., 4.])
    """
    players_of(worths.shape)
    table = np.array(worths, np.float64)
    for both in _each_player(table):
        both[:, 1] -= both[:, 0]
    return table


def all_coalitions(players: int) -> Bool[np.ndarray, "S n"]:
    """Gives all 2^n coalitions, one a row, in the order of a worth table.

    Raises:
        UsageError: more than 20 players.

    Example:
        >>> all_coalitions(2).astype(int).tolist()
        [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    _check_players(players)
    return (np.arange(1 << players)[:, None] >> np.arange(players) & 1).astype(bool)


@cache
def all_sizes(players: int) -> Integer[np.ndarray, "S"]:
    """Gives the number of players in each of the 2^n coalitions."""
    return np.bitwise_count(np.arange(1 << players, dtype=np.uint32))


@cache
def sets_of_size(players: int, order: int) -> Int[np.ndarray, "sets"]:
    """Gives the numbers of the coalitions of one size, ascending."""
    return np.flatnonzero(all_sizes(players) == order)


def players_of(shape: tuple[int, ...]) -> int:
    """Gives n for worth tables of shape (2^n,), refusing other lengths and more than 20 players."""
    length = shape[-1] if len(shape) == 1 else 0
    players = length.bit_length() - 1
    if length < 2 or length != 1 << players:
        raise UsageError(
            f"A worth table of shape {shape} is none of 2^n coalitions: give one number for each,"
            " in the order of `all_coalitions(n)`."
        )
    _check_players(players)
    return players


def coalition_names(coalition: int, players: int) -> str:
    """Gives a coalition's number as text: `coalition 5 (players 0, 2)`."""
    inside = [str(i) for i in range(players) if coalition >> i & 1]
    return f"coalition {coalition} ({'players ' + ', '.join(inside) if inside else 'no player'})"


@cache
def weights(index: str, order: int, top: int, players: int) -> Float[np.ndarray, "sizes"]:
    """Gives c with I(T) = Σ_{U ⊇ T} c[|U|] β(U), |T| = order, by |U| from 0 to n; 0 below `order`.

    - of integral form: c = ∫ (q − ½)^{|U|−t} μ_t(dq);
    - k-SII below its top order k: Σ_{T ⊆ U, |U| ≤ k} B_{|U|−t} SII(U), with Bernoulli numbers, B₁ = −½
      (Bordt & von Luxburg 2023, theorem 8 and equation 14);
    - STII below its top order: the Möbius transform (Sundararajan, Dhamdhere & Agarwal 2020);
    - FSII below its top order k, from the Möbius transform m (Tsai, Yeh & Ravikumar 2023, theorem 19):
      m(T) + (−1)^{k−t} t/(k+t) C(k, t) Σ_{U ⊇ T, |U| > k} C(|U|−1, k) / C(|U|+k−1, k+t) m(U).

    Args:
        index: the definition.
        order: t, the size of the sets.
        top: k, the largest order asked for.
        players: n.
    """
    out = np.zeros(players + 1)
    if order < top and index == "k-SII":
        whole, numbers = weights("SII", order, order, players), bernoulli(top - order)
        for extra, number in enumerate(numbers):
            for size in range(order + extra, players + 1):
                out[size] += comb(size - order, extra) * number * whole[size - extra]
    elif order < top and index == "FSII":
        out[order:] = _from_moebius(_faithful(order, top, players))
    else:
        index = "Moebius" if order < top and index == "STII" else index
        # BII's measure is the middle itself; its nodes beside it would leave an error
        q, w = (np.array([0.5]), np.ones(1)) if index == "BII" else quadrature(index, order, players)
        out[order:] = w @ (q[:, None] - 0.5) ** np.arange(players - order + 1)
    out.setflags(write=False)
    return out


def _faithful(order: int, top: int, players: int) -> list[Fraction]:
    """Gives the weights of m(U) in FSII below its top order, by |U| − order."""
    sign, t, k = (-1) ** (top - order), order, top
    share = sign * Fraction(t, k + t) * comb(k, t)
    above = [share * Fraction(comb(u - 1, k), comb(u + k - 1, k + t)) for u in range(k + 1, players + 1)]
    return [Fraction(1), *[Fraction(0)] * (k - t), *above]


def _from_moebius(of: list[Fraction]) -> list[float]:
    """Turns weights of m(U) into weights of β(U), m(U) being Σ_{W ⊇ U} (−½)^{|W|−|U|} β(W)."""
    half = Fraction(-1, 2)
    return [float(sum(comb(e, j) * of[j] * half ** (e - j) for j in range(e + 1))) for e in range(len(of))]


def _each_player(table: np.ndarray) -> Iterator[np.ndarray]:
    """Gives a view of the table for every player: [:, 0] are the coalitions without it, [:, 1] with it."""
    for i in range(len(table).bit_length() - 1):
        yield table.reshape(-1, 2, 1 << i)


def _members(players: int, order: int) -> Int[np.ndarray, "sets order"]:
    inside = sets_of_size(players, order)[:, None] >> np.arange(players) & 1
    return np.nonzero(inside)[1].reshape(-1, order)


def _check_players(players: int) -> None:
    if players > MOST_PLAYERS:
        memory = TABLES * 8 * 2**players / 1e9
        raise UsageError(
            f"Enumerating the coalitions of {players} players takes {2**players:,} worths and"
            f" {memory:,.1f} GB: at most {MOST_PLAYERS}; group the players, or estimate with a budget."
        )
