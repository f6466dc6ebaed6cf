"""What "the interaction of T" means: one formula, one weight a definition.

With Δ_T v(S) = Σ_{L⊆T} (−1)^{|T|−|L|} v(S ∪ L) and D_T(q) = E_{S ~ Bernoulli(q)^{N∖T}} Δ_T v(S), the mixed
partial derivative of the multilinear extension on its diagonal (Owen 1972), every index here is
I(T) = ∫ D_T(q) μ_t(dq), t = |T|:

==============  ===========  ============================  ==========================================
index           μ_t          weight of m(U), |U| = t + j   source
==============  ===========  ============================  ==========================================
Moebius         δ₀           1 if j = 0, else 0            Harsanyi 1963
Co-Moebius      δ₁           1                             Grabisch, Marichal & Roubens 2000
BII             δ_½          2^−j                          Grabisch & Roubens 1999
SII, k-SII      U(0, 1)      1 / (j + 1)                   Grabisch & Roubens 1999; Bordt & von
                                                           Luxburg 2023
STII            Beta(1, t)   1 / C(j + t, t)               Sundararajan, Dhamdhere & Agarwal 2020
CHII            Beta(t, 1)   t / (t + j)                   Marichal & Roubens 1999
FSII            Beta(t, t)   Γ(2t)Γ(t+j) / (Γ(t)Γ(2t+j))   Tsai, Yeh & Ravikumar 2023
==============  ===========  ============================  ==========================================

m is the Möbius transform of v, U ranges over the supersets of T. STII, FSII and k-SII are of this form at
their top order only; `circuits.engine.enumeration` gives their lower orders.
"""

from __future__ import annotations

from math import comb, exp, lgamma
from typing import Final, get_args

import numpy as np
from jaxtyping import Float

from circuits.errors import UsageError, near_matches
from circuits.schema import Index

INDICES: Final[tuple[str, ...]] = get_args(Index)
"""All indices there are."""

TOP_ORDER_ONLY: Final = ("STII", "FSII", "k-SII")
"""Those whose values below the top order are not of the integral form."""

BESIDE_HALF: Final = 1e-4
"""How far from ½ BII's nodes lie, so that no factor 1 − q + q·e^{iωc} vanishes; its square is the error."""


def check_order(index: str, order: int, players: int) -> None:
    """Refuses an unknown index and an order that no set of players has.

    Raises:
        UsageError: the sentence names the index, the order and the number of players.
    """
    if index not in INDICES:
        raise UsageError(f"No index {index!r}: there are {', '.join(INDICES)}.{near_matches(index, INDICES)}")
    if order < 1:
        raise UsageError(f"Interactions of order {order} were asked for: give 1 or more.")
    if order > players:
        raise UsageError(f"Order {order} is larger than the {players} players: give at most {players}.")


def moment(index: str, order: int, extra: int) -> float:
    """Gives ∫ q^extra μ_order(dq): the weight in I(T) of the Möbius term of T and `extra` more players.

    Example:
        >>> moment("SII", 2, 1), moment("STII", 2, 1)
        (0.5, 0.3333333333333333)
    """
    t, j = order, extra
    match index:
        case "Moebius":
            return float(j == 0)
        case "Co-Moebius":
            return 1.0
        case "BII":
            return 0.5**j
        case "SII" | "k-SII":
            return 1 / (j + 1)
        case "STII":
            return 1 / comb(j + t, t)
        case "CHII":
            return t / (t + j)
        case "FSII":
            return exp(lgamma(2 * t) + lgamma(t + j) - lgamma(t) - lgamma(2 * t + j))
    raise UsageError(f"No index {index!r}: there are {', '.join(INDICES)}.{near_matches(index, INDICES)}")


def moments(index: str, order: int, players: int) -> Float[np.ndarray, "sizes"]:
    """Gives the weight of m(U) in I(T), |T| = order, by |U| from 0 to `players`; 0 below `order`."""
    return np.array([moment(index, order, u - order) if u >= order else 0.0 for u in range(players + 1)])


def quadrature(
    index: str, order: int, players: int, nodes: int | None = None
) -> tuple[Float[np.ndarray, "Q"], Float[np.ndarray, "Q"]]:
    """Gives nodes q and weights w with I(T) = Σ_l w_l D_T(q_l).

    D_T is a polynomial of degree players − order, so Gauss–Legendre is exact from
    ⌈(players − order + deg μ + 1) / 2⌉ nodes on. Their number is always even: q = ½ is never among
    them, where a factor of the Fourier engine can vanish; BII's one node is split in two beside it.

    Args:
        index: the definition.
        order: |T|; the top order of STII, FSII and k-SII.
        players: n.
        nodes: at most so many; exact unless given.

    Example:
        >>> q, w = quadrature("SII", 2, 5)
        >>> round(float(w @ q**3), 12)
        0.25
    """
    check_order(index, order, players)
    match index:
        case "Moebius":
            return np.array([0.0]), np.array([1.0])
        case "Co-Moebius":
            return np.array([1.0]), np.array([1.0])
        case "BII":
            return np.array([0.5 - BESIDE_HALF, 0.5 + BESIDE_HALF]), np.array([0.5, 0.5])
    t = order
    a, b = {"STII": (1, t), "CHII": (t, 1), "FSII": (t, t)}.get(index, (1, 1))  # μ is Beta(a, b)
    exact = (players - t + a + b - 2 + 2) // 2
    count = exact if nodes is None else max(1, min(nodes, exact))
    x, w = np.polynomial.legendre.leggauss(count + count % 2)
    q = (x + 1) / 2
    density = exp(lgamma(a + b) - lgamma(a) - lgamma(b)) * q ** (a - 1) * (1 - q) ** (b - 1)
    return q, w / 2 * density
