"""Gated neurons as games: v(S) = act(b + Σ_{i∈S} g_i) · (b' + Σ_{i∈S} u_i), a product of two sums.

With ρ = act(g)/g held, as the graph holds it, v is bilinear and everything is exact: the pair is
ρ (g_i u_j + g_j u_i) for every index, orders 3 and above are 0. With the activation moving, act is written
in waves, and the factor u comes in as a derivative: u e^{iωg} = ∂/∂ε e^{iωg + εu} at ε = 0, so every D_T is
still one sum over columns (`circuits.engine.gates.product_columns`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.gates.games import GateGames
from circuits.engine.gates.pairs import Strongest, search


@dataclass(frozen=True, eq=False)
class ProductGames:
    """g games with at most n players each.

    Attributes:
        gate: act and what it is of: `inputs` are the g_i, `bias` is b.
        value: the u_i.
        value_bias: b'.
        held: act(g)/g where it is held, else None.
    """

    gate: GateGames
    value: Float[np.ndarray, "g n"]
    value_bias: Float[np.ndarray, "g"]
    held: Float[np.ndarray, "g"] | None = None

    def __len__(self) -> int:
        return len(self.value_bias)

    def part(self, rows: Any) -> ProductGames:
        """Gives some of the games, chosen as an array's rows are."""
        held = None if self.held is None else self.held[rows]
        return ProductGames(self.gate.part(rows), self.value[rows], self.value_bias[rows], held)

    def padded(self, players: int) -> ProductGames:
        """Gives the games with players that change nothing added, up to so many."""
        more = max(0, players - self.gate.players)
        return replace(self, gate=self.gate.padded(players), value=np.pad(self.value, [(0, 0), (0, more)]))

    def worth(self, g: Float[np.ndarray, "g *k"], u: Float[np.ndarray, "g *k"]) -> Float[np.ndarray, "g *k"]:
        """Gives the activation for a gate g and a value u, those of each game along the first axis."""
        if self.held is None:
            return np.asarray(self.gate.worth(g) * u)
        return np.asarray(self.held.reshape(-1, *[1] * (g.ndim - 1)) * g * u)

    def truth_tables(
        self, members: Int[np.ndarray, "g m t"], *, others: bool = True
    ) -> Float[np.ndarray, "g m S"]:
        """Gives v of every coalition of the members: see `circuits.engine.gates.ablation.truth_tables`."""
        t = members.shape[2]
        inside = (np.arange(1 << t)[:, None] >> np.arange(t) & 1).astype(float)
        sums = []
        for inputs, bias in ((self.gate.inputs, self.gate.bias), (self.value, self.value_bias)):
            c = np.take_along_axis(inputs[:, None, :], members, axis=2)
            start = (bias + inputs.sum(1))[:, None] - c.sum(2) if others else bias[:, None]
            sums.append(start[:, :, None] + c @ inside.T)
        return self.worth(*sums)

    @property
    def size(self) -> Float[np.ndarray, "g"]:
        """Gives what thresholds are shares of: Σ_i |v(N) − v(N∖i)|, the single effects with all others on."""
        g, u = self.gate.total[:, None], (self.value_bias + self.value.sum(1))[:, None]
        with_all = self.worth(g, u)
        return np.asarray(np.abs(with_all - self.worth(g - self.gate.inputs, u - self.value)).sum(1))


def held_pairs(games: ProductGames) -> Float[np.ndarray, "g n n"]:
    """Gives ρ (g_i u_j + g_j u_i) of every pair, zeros on the diagonal."""
    assert games.held is not None
    both = games.held[:, None, None] * games.gate.inputs[:, :, None] * games.value[:, None, :]
    table = both + both.transpose(0, 2, 1)
    n = games.gate.players
    table[:, np.arange(n), np.arange(n)] = 0
    return np.asarray(table)


def strongest_held(games: ProductGames, top: int | None, floor: Float[np.ndarray, "g"]) -> list[Strongest]:
    """Gives the `top` pairs of each game with |I| ≥ floor, by `search`.

    A pair is no larger than ν_i ν_j, ν_i² = |ρ| (s g_i² + u_i²/s), s such that both parts weigh the same.
    """
    return [_one(games.part([k]), top, float(floor[k])) for k in range(len(games))]


def _one(game: ProductGames, top: int | None, floor: float) -> Strongest:
    assert game.held is not None
    g, u, ratio = game.gate.inputs[0], game.value[0], float(game.held[0])
    squares = float(g @ g), float(u @ u)
    if not all(squares) or ratio == 0:
        return Strongest(np.zeros((0, 2), int), np.zeros(0), 0)
    scale = (squares[1] / squares[0]) ** 0.5
    norm = np.sqrt(abs(ratio) * (scale * g**2 + u**2 / scale)) * (1 + 1e-12)

    def block(i: Int[np.ndarray, "b"], j: Int[np.ndarray, "b"]) -> Float[np.ndarray, "b b"]:
        return np.asarray(ratio * (np.outer(g[i], u[j]) + np.outer(u[i], g[j])))

    return search(norm, block, top, floor)
