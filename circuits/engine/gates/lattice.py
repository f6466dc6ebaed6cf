"""The lattice engine's series: any φ, sampled on a grid over the game's span and Fourier transformed.

Contributions may be rounded to the grid; the series then equals φ at every sum a coalition reaches, so that
the result is exact for the rounded game. Without rounding the waves interpolate φ between the grid points:
for a smooth φ that is far closer to the game itself.
"""

from __future__ import annotations

import numpy as np

from circuits.engine.gates.games import GateGames
from circuits.engine.gates.series import Series, wave


def lattice(
    games: GateGames,
    points: int,
    *,
    step: float | None = None,
    rounded: bool = True,
    terms: int | None = None,
) -> Series:
    """Gives the waves of each game's φ on a grid of `points`.

    A straight line through φ at the ends of the span is taken out first and put into the slopes, so that
    what is transformed is continuous where the period closes and its waves fall faster.

    Args:
        games: any gate.
        points: M, a power of two, so that turns are exact binary fractions and no phase is lost.
        step: h, the grid's step, the same for all games; the smallest that covers each span unless given.
        rounded: round contributions to the grid.
        terms: keep this many waves, the slowest; all M/2 unless given.
    """
    assert points & (points - 1) == 0, points
    low, high = games.span
    # rounding moves each player by half a step at most; without it the ends of the span are kept off the
    # corner where the period closes, which the waves cannot follow
    spare = 0 if rounded else points // 32
    room = points - (games.players + 2 if rounded else 2 * spare + 2)
    h = (
        np.full(len(games), step)
        if step is not None
        else np.maximum((high - low) / room, np.finfo(float).tiny)
    )
    moves = games.inputs / h[:, None]
    moves = np.round(moves) if rounded else moves
    first = np.floor(np.minimum(moves, 0).sum(1)) - spare
    last = np.ceil(np.maximum(moves, 0).sum(1))
    assert (last - first < points).all(), "the grid does not cover the span"
    offset = first[:, None] + np.arange(points)
    values = games.worth(games.bias[:, None] + h[:, None] * offset)
    line = (values[:, -1] - values[:, 0]) / (points - 1)
    waves = np.fft.rfft(values - line[:, None] * np.arange(points), axis=1)[:, 1:] / points
    waves[:, :-1] *= 2  # a wave and its mirror; the fastest is its own
    k = np.arange(1, points // 2 + 1)[:terms]
    tail = np.abs(waves[:, len(k) :]).sum(1)
    coefficient = waves[:, : len(k)] * wave(k, -first / points)
    return Series(k, moves / points, coefficient, line[:, None] * moves, tail)
