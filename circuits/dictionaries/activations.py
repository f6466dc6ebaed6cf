"""Which features are on: the activation functions of sparse coders, frozen as thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
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
        runs = z.reshape(len(z), self.k, -1)
        size = runs.shape[2]
        if size == 1:
            threshold = torch.zeros_like(z)
        else:
            halfway = _halfway(runs.flatten(0, 1), 1).clamp(min=0)
            threshold = halfway.reshape(len(z), self.k).repeat_interleave(size, dim=1)
        return Encoding(z, z * (z > threshold), threshold, "topk")


@dataclass(frozen=True)
class RoutedTopK:
    """Keeps the k largest pre-activations among some groups of features, chosen by the input.

    The m features are in g groups of m/g, one after another. At each position the `searched` groups with
    the largest router · x + router_bias take part (as in a switch of experts, Fedus et al. 2022; Mudide et
    al. 2024 for dictionaries); of their features the k largest are on, clipped at 0. On one prompt the
    choice is frozen: features of other groups are off whatever their z, which their threshold, the
    largest finite number, says.

    Attributes:
        k: features on.
        searched: groups a position.
        router: g rows that read what the features read.
        router_bias: g numbers.
    """

    k: int
    searched: int
    router: Float[Tensor, "g d"]
    router_bias: Float[Tensor, "g"]

    def at(self, x: Float[Tensor, "n d"]) -> RoutedTo:
        """Gives the activation function for some inputs."""
        score = torch.addmm(self.router_bias, x, self.router.T)
        best = score.topk(self.searched, dim=1).indices
        return RoutedTo(self.k, torch.zeros_like(score, dtype=torch.bool).scatter_(1, best, value=True))


@dataclass(frozen=True)
class RoutedTo:
    """What `RoutedTopK` is at n positions: top-k within the groups that take part there.

    Attributes:
        k: features on.
        groups: which groups take part.
    """

    k: int
    groups: Bool[Tensor, "n g"]

    def __call__(self, z: Float[Tensor, "n m"]) -> Encoding:
        """Gives which features are on."""
        taking_part = self.groups.repeat_interleave(z.shape[1] // self.groups.shape[1], dim=1)
        among = z.masked_fill(~taking_part, -torch.inf)
        halfway = _halfway(among, self.k).clamp(min=0).expand_as(z)
        threshold = halfway.masked_fill(~taking_part, torch.finfo(z.dtype).max)
        return Encoding(z, z * (z > threshold), threshold, "topk")


Activation = ReLU | JumpReLU | TopK | AbsTopK | GroupMax | RoutedTopK


def _halfway(size: Float[Tensor, "n m"], k: int) -> Float[Tensor, "n 1"]:
    """Gives the middle between the k-th largest and the next, at each position."""
    largest = torch.topk(size, k + 1, dim=-1).values
    kept, left_out = largest[:, -2:-1], largest[:, -1:]
    halfway = (kept + left_out) / 2
    return torch.where(halfway < kept, halfway, left_out)  # neighbouring floats have no halfway
