"""What the Fourier and the lattice engine have in common: φ as a sum of waves over a game's span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Int


@dataclass(frozen=True, eq=False)
class Series:
    """φ of g games, written as waves.

    For every coalition S, with x = Σ_{i∈S} turns_i,
    v(S) = constant + Σ_{i∈S} slope_i + Re Σ_k coefficient_k · e^{2πi · harmonic_k · x}.

    Attributes:
        harmonics: K whole numbers, 1 or more.
        turns: each player's contribution as a share of the period, g × n.
        coefficient: of each harmonic, the phase of the game's bias included.
        slope: what each player adds besides the waves.
        tail: at most so much (in |v|) is missing because the series is cut; NaN where no bound is known.
    """

    harmonics: Int[np.ndarray, "K"]
    turns: Float[np.ndarray, "g n"]
    coefficient: Complex[np.ndarray, "g K"]
    slope: Float[np.ndarray, "g n"]
    tail: Float[np.ndarray, "g"]

    def __len__(self) -> int:
        return len(self.turns)

    @property
    def centred(self) -> Complex[np.ndarray, "g K"]:
        """Gives the coefficients with the phase of half the sum of all turns, as `columns` wants them."""
        return np.asarray(self.coefficient * wave(self.harmonics, self.turns.sum(1) / 2))

    def part(self, rows: Any) -> Series:
        """Gives some of the games, chosen as an array's rows are."""
        return Series(
            self.harmonics, self.turns[rows], self.coefficient[rows], self.slope[rows], self.tail[rows]
        )


def wave(harmonics: Int[np.ndarray, "K"], turn: Float[np.ndarray, "g"]) -> Complex[np.ndarray, "g K"]:
    """Gives e^{2πi · harmonic · turn}, whole turns taken off first: no digits go to large angles."""
    turns = np.multiply.outer(turn, harmonics.astype(float))
    return np.asarray(np.exp(2j * np.pi * (turns - np.round(turns))))
