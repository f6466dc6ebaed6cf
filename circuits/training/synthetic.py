"""Features that are known because they were planted: sparse sums of directions, more of them than the width.

A token is x = Σ_g s_g · direction_g, where feature g is on with probability p_g ∝ (g + 1)^-exponent, as the
frequencies of words and features fall, and then s_g is uniform in [0.5, 1.5]. Features come in pairs
(2i, 2i + 1) of one frequency, and the indicators of a pair have the correlation asked for. Whether a
dictionary trained on such tokens recovers the directions is measured by `circuits.training.recovery`
(Sharkey et al. 2022; Cunningham et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from circuits.errors import UsageError
from circuits.training.coder import Weights, encode, initial, project, renormalise, step
from circuits.training.settings import Training


@dataclass(frozen=True)
class Sample:
    """Tokens, and the planted features that made them. n tokens, G planted features.

    Attributes:
        x: the tokens.
        strength: s of each feature, 0 where it is off.
    """

    x: Float[Tensor, "n d"]
    strength: Float[Tensor, "n G"]


@dataclass(frozen=True)
class Planted:
    """Known features. Made by `plant`.

    Attributes:
        directions: unit rows.
        frequency: the probability of each to be on.
        correlation: of the indicators of a pair.
        scale: what tokens are multiplied with, so that their mean square is about 1.
        seed: of directions and samples.
    """

    directions: Float[Tensor, "G d"]
    frequency: Float[Tensor, "G"]
    correlation: float
    scale: float
    seed: int

    def sample(self, n: int, number: int = 0) -> Sample:
        """Gives n tokens; the same for the same number."""
        dice = _dice(self.seed, number)
        drawn = torch.rand(n, len(self.frequency), generator=dice)
        # a pair that shares its draw is on together: P(share) is the correlation of the indicators
        shares = torch.rand(n, len(self.frequency) // 2, generator=dice) < self.correlation
        drawn[:, 1::2] = torch.where(shares, drawn[:, ::2], drawn[:, 1::2])
        size = 0.5 + torch.rand(n, len(self.frequency), generator=dice)
        strength = (drawn < self.frequency) * size * self.scale
        return Sample(strength @ self.directions, strength)


def plant(
    features: int,
    width: int,
    *,
    active: float = 4.0,
    exponent: float = 0.5,
    correlation: float = 0.0,
    seed: int = 0,
) -> Planted:
    """Gives known features with random directions.

    Args:
        features: G, even; more than the width is superposition.
        width: d.
        active: features on at a token, in the mean.
        exponent: of the power law of frequencies; 0 makes all the same.
        correlation: of the two features of a pair, 0 to 1.
        seed: of directions and samples.

    Raises:
        UsageError: an odd number of features, a correlation outside 0 to 1, or so many active that the
            commonest would be on with a probability above 1.

    Example:
        >>> plant(64, 32).directions.shape
        torch.Size([64, 32])
    """
    if features < 2 or features % 2:
        raise UsageError(f"{features} features make no pairs: plant an even number.")
    if not 0 <= correlation <= 1:
        raise UsageError(f"A correlation of {correlation} is out of range: give one from 0 to 1.")
    frequency = np.repeat((np.arange(features // 2) + 1.0) ** -exponent, 2)
    frequency *= active / frequency.sum()
    if not 0 < frequency[0] <= 1:
        raise UsageError(
            f"With {active} of {features} features active, the commonest would be on with a probability of"
            f" {frequency[0]:.2f}: plant fewer active, or a smaller exponent."
        )
    directions = torch.randn(features, width, generator=_dice(seed))
    directions /= directions.norm(dim=1, keepdim=True)
    # E s² = 1 + 1/12 where on; the mean square of a token is Σ p E s² / d for random directions
    scale = float(np.sqrt(width / (active * (1 + 1 / 12))))
    probability = torch.from_numpy(frequency).float()
    return Planted(directions, probability, correlation, scale, seed)


def _dice(*seed: int) -> torch.Generator:
    """Gives a generator none other shares: a dictionary must not begin at the directions it is to find."""
    state = np.random.SeedSequence(seed, spawn_key=(0x5EED,)).generate_state(2)
    return torch.Generator().manual_seed(int(state[0]) << 20 | int(state[1]) >> 12)


def learn(planted: Planted, settings: Training) -> Weights:
    """Gives an SAE trained on planted features: `coder.step` on batches that are drawn, not captured.

    Args:
        planted: what is to be recovered.
        settings: of the run; its layers and site say nothing here.

    Raises:
        UsageError: another kind than "sae", another activation than "topk" or "batchtopk", routing or
            growth.
    """
    if settings.kind != "sae" or settings.activation == "jumprelu" or settings.routed or settings.growth:
        raise UsageError(
            "Planted features are learned by an SAE with topk or batchtopk, neither routed nor grown."
        )
    w = initial(settings, 0, planted.directions.shape[1], 1)
    optimiser = torch.optim.Adam(w.parameters().values(), lr=1e-3, betas=(0.9, 0.99), fused=True)
    for number in range(settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(number)
        x = planted.sample(settings.batch, number + 1).x
        step([w], [x], [x], settings)
        project(w)
        optimiser.step()
        renormalise(w)
    return w


def activations(w: Weights, x: Float[Tensor, "n d"], settings: Training) -> Float[Tensor, "n m"]:
    """Gives the activations of a coder under training, as its steps take them."""
    found = encode(w, x, settings)
    dense = x.new_zeros(len(x), len(w.encoder_bias))
    dense[found.token, found.feature] = found.value
    return dense
