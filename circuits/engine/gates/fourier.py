"""The Fourier engine's series: closed forms for gates made of straight pieces, nothing rounded.

With z' = z − θ, ReLU(z') = z'/2 + |z'|/2, and |z'| on [−L, L] is a triangle wave of period 2L; L is a
little more than the largest |z'| of any coalition, so nothing aliases. A JumpReLU (a TopK with its
threshold frozen) adds θ times a step, half a square wave; an abstopk is z less the piece z·1[|z| ≤ θ].
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from circuits.engine.gates.games import KINKED, GateGames
from circuits.engine.gates.series import Series, wave

MARGIN = 1.0625
"""L is this much larger than needed: the ends of the span stay off the wave's corners and jumps."""


def fourier(games: GateGames, terms: int) -> Series:
    """Gives the first `terms` waves of each game's φ.

    relu, jumprelu, topk: harmonic k odd, a_k = −2L/(πk)² − 2iθ/(πk) at phase e^{iπk(b−θ)/L}. The waves left
    out of a ReLU add up to at most L/(2π²·terms), so a D_T is off by at most 2^t times that. A step's waves
    fall as 1/k only, so no such bound exists; they are damped by Lanczos' factors, which leaves the step
    right but for coalitions within about L/terms of the threshold.

    Args:
        games: of a kinked gate.
        terms: K.
    """
    assert games.gate in KINKED, games.gate
    if games.gate == "abstopk":
        return _middle_removed(games, terms)
    low, high = games.span
    theta = games.threshold if games.gate != "relu" else np.zeros(len(games))
    reach = _reach(low - theta, high - theta)
    k = 2 * np.arange(terms) + 1
    size = -2 * reach[:, None] / (np.pi * k) ** 2 - 2j * theta[:, None] / (np.pi * k) * _damping(k)
    phase = wave(k, (games.bias - theta) / (2 * reach))
    tail = np.where(theta == 0, reach / (2 * np.pi**2 * terms), np.nan)
    return Series(k, games.inputs / (2 * reach)[:, None], size * phase, games.inputs / 2, tail)


def _middle_removed(games: GateGames, terms: int) -> Series:
    """Gives z − z·1[|z| ≤ θ]: the second part is odd, a sum of sines of period 2L."""
    low, high = games.span
    reach, theta = np.maximum(_reach(low, high), games.threshold * MARGIN)[:, None], games.threshold[:, None]
    k = np.arange(terms) + 1
    omega = np.pi * k / reach
    sine = 2 / reach * (np.sin(omega * theta) / omega**2 - theta * np.cos(omega * theta) / omega)
    phase = wave(k, games.bias / (2 * reach[:, 0]))
    tail = np.full(len(games), np.nan)
    return Series(k, games.inputs / (2 * reach), 1j * sine * _damping(k) * phase, games.inputs, tail)


def _damping(k: Int[np.ndarray, "K"]) -> Float[np.ndarray, "K"]:
    """Gives Lanczos' factors, which keep a cut series of a step from ringing far from the step."""
    return np.asarray(np.sinc(k / (k[-1] + 1)))


def _reach(low: Float[np.ndarray, "g"], high: Float[np.ndarray, "g"]) -> Float[np.ndarray, "g"]:
    return np.asarray(np.maximum(np.maximum(np.abs(low), np.abs(high)) * MARGIN, np.finfo(float).tiny))
