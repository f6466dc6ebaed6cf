"""Which features are on: the activation functions of sparse coders, frozen as thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.base import Encoding


@dataclass(frozen=True)
class ReLU:
    """a = max(z, 0)."""

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        return Encoding(z, z.relu(), None, "relu")


@dataclass(frozen=True)
class JumpReLU:
    """a = z where z > threshold, else 0 (Rajamanoharan et al. 2024).

    Where a library clips at 0 as well, its loader gives max(threshold, 0).

    Attributes:
        threshold: m numbers θ.
    """

    threshold: Float[Tensor, "m"]

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        return Encoding(z, z * (z > self.threshold), self.threshold.expand_as(z), "jumprelu")


@dataclass(frozen=True)
class TopK:
    """Keeps the k largest pre-activations at each position (Gao et al. 2024).

    On one prompt the selection is frozen as a threshold, halfway between the smallest z kept and the
    largest left out, so that rounding turns neither. As in circuit-tracer, survivors are not clipped,
    so a negative z may survive (and the threshold be negative); with `relu` the threshold is at
    least 0. A tie between the two is left out.
    """

    k: int
    relu: bool = False

    def threshold(self, z: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        """Gives the threshold of each position, the same for all features."""
        halfway = _halfway(z, self.k)
        return (halfway.clamp(min=0) if self.relu else halfway).expand_as(z)

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        threshold = self.threshold(z)
        return Encoding(z, z * (z > threshold), threshold, "topk")


@dataclass(frozen=True)
class AbsTopK:
    """Keeps the k pre-activations of largest magnitude at each position, with their signs.

    Frozen as for `TopK`, on magnitudes: on where |z| > threshold.
    """

    k: int

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        threshold = _halfway(z.abs(), self.k).expand_as(z)
        return Encoding(z, z * (z.abs() > threshold), threshold, "abstopk")


@dataclass(frozen=True)
class GroupMax:
    """Keeps the largest of each of k runs of m / k features, where it is positive.

    Frozen as for `TopK`, with a threshold for each run, at least 0.
    """

    k: int

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        runs = z.unflatten(1, (self.k, -1))
        size = runs.shape[2]
        if size == 1:
            threshold = torch.zeros_like(z)
        else:
            halfway = _halfway(runs.flatten(0, 1), 1).clamp(min=0)
            threshold = halfway.reshape(len(z), self.k).repeat_interleave(size, dim=1)
        return Encoding(z, z * (z > threshold), threshold, "topk")


Activation = ReLU | JumpReLU | TopK | AbsTopK | GroupMax


def _halfway(size: Float[Tensor, "n m"], k: int) -> Float[Tensor, "n 1"]:
    """Gives the middle between the k-th largest and the next, at each position."""
    largest = torch.topk(size, k + 1, dim=-1).values
    kept, left_out = largest[:, -2:-1], largest[:, -1:]
    halfway = (kept + left_out) / 2
    return torch.where(halfway < kept, halfway, left_out)  # neighbouring floats have no halfway
