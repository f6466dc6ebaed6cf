"""Selecting among the features of the groups a token is routed to; the rest of the step is unchanged.

Tokens are sorted by group, so that each group's pre-activations are one dense product of its tokens with
its rows. With m features in g groups, `searched` of which a token takes part in, that is 2·n·d·(g +
searched·m/g) FLOPs instead of 2·n·d·m: it does not grow with m as long as a group's size stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.training.kernels import ENCODED_AT_ONCE, Sparse, top_k


@dataclass(frozen=True)
class Router:
    """What says which groups a token takes part in: those with the largest weight · x + bias.

    Attributes:
        weight: g rows.
        bias: g numbers.
        searched: groups a token.
    """

    weight: Float[Tensor, "g d"]
    bias: Float[Tensor, "g"]
    searched: int

    def __call__(self, x: Float[Tensor, "n d"]) -> Int[Tensor, "n s"]:
        """Gives the groups of each token."""
        score = torch.addmm(self.bias, x, self.weight.T)
        return score.topk(self.searched, dim=1, sorted=False).indices


def encode_routed(
    x: Float[Tensor, "n d"], encoder: Float[Tensor, "m d"], bias: Float[Tensor, "m"], router: Router, k: int
) -> Sparse:
    """Gives the k largest pre-activations of every token among its groups' features, clipped at 0.

    Args:
        x: what features read.
        encoder: a row a feature; groups are runs of equally many rows.
        bias: of the encoder; -inf leaves a feature out.
        router: which groups.
        k: how many, at most the features of a group.
    """
    n, size = len(x), len(encoder) // len(router.weight)
    group = router(x).reshape(-1)
    order = torch.argsort(group, stable=True)
    token = torch.div(order, router.searched, rounding_mode="floor")
    value = x.new_empty(len(group), k)
    feature = torch.empty(len(group), k, dtype=torch.long, device=x.device)
    start = 0
    for number, count in enumerate(torch.bincount(group, minlength=len(router.weight)).tolist()):
        rows = slice(number * size, (number + 1) * size)
        turned = encoder[rows].T
        for part in torch.split(order[start : start + count], max(1, ENCODED_AT_ONCE // size)):
            among = x[token[start : start + len(part)]]
            value[part], place = top_k(torch.addmm(bias[rows], among, turned), k)
            feature[part] = place + rows.start
            start += len(part)
    value, feature = value.view(n, -1), feature.view(n, -1)
    best = value.topk(k, dim=1, sorted=False)
    return Sparse(
        feature=feature.gather(1, best.indices).reshape(-1),
        token=torch.arange(n, device=x.device).repeat_interleave(k),
        value=best.values.relu_().reshape(-1),
        offset=torch.arange(0, n * k, k, device=x.device),
    )
