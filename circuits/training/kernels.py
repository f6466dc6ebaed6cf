"""The step's arithmetic: selecting features, decoding, and the gradients of both, all sparse.

No (tokens × features) matrix is kept: pre-activations are made for a block of tokens at a time and only
the selected ones stay. A step on n tokens of width d with m features and k selected costs 2·n·m·d FLOPs
to encode, and a few times 2·n·k·d to decode and for the gradients; weights' gradients are products of a
sparse transposed matrix (features × tokens, k·n entries) with a dense one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

ENCODED_AT_ONCE = 2**22  # pre-activations held at a time: 16 MB, about what caches hold
GROUP = 16


@dataclass(frozen=True)
class Sparse:
    """Which features are active, and how much: entries in order of tokens.

    Attributes:
        feature: of each entry.
        token: of each entry, ascending.
        value: of each entry, positive.
        offset: the first entry of each of the n tokens.
    """

    feature: Int[Tensor, "e"]
    token: Int[Tensor, "e"]
    value: Float[Tensor, "e"]
    offset: Int[Tensor, "n"]


def top_k(z: Float[Tensor, "n m"], k: int) -> tuple[Float[Tensor, "n k"], Int[Tensor, "n k"]]:
    """Gives the k largest entries of each row and their places, exactly, in no order.

    The k largest lie in the k groups whose maxima are largest; groups are strided, so that their maxima
    are one vectorised pass. Searching k·16 candidates instead of m is some ten times faster.
    """
    n, m = z.shape
    if m < 4 * k * GROUP or m % GROUP:
        found = z.topk(k, dim=1, sorted=False)
        return found.values, found.indices
    groups = m // GROUP
    best = z.view(n, GROUP, groups).amax(1).topk(k, dim=1, sorted=False).indices
    strides = torch.arange(0, m, groups, device=z.device)
    candidates = (best[:, None, :] + strides[None, :, None]).reshape(n, GROUP * k)
    found = z.gather(1, candidates).topk(k, dim=1, sorted=False)
    return found.values, candidates.gather(1, found.indices)


def encode_top_k(
    x: Float[Tensor, "n d"],
    encoder: Float[Tensor, "m d"],
    bias: Float[Tensor, "m"],
    k: int,
    *,
    half: bool = False,
) -> Sparse:
    """Gives the k largest pre-activations of every token, clipped at 0.

    Args:
        x: what features read.
        encoder: a row a feature.
        bias: of the encoder.
        k: how many.
        half: choose half as many again in bfloat16, and the k of them in the precision of `x`.
    """
    rows = max(1, ENCODED_AT_ONCE // len(encoder))
    values, features = [], []
    turned, still = (encoder.bfloat16().T, bias.bfloat16()) if half else (encoder.T, bias)
    for part in torch.split(x, rows):
        if half:
            z = torch.addmm(still, part.bfloat16(), turned)
            _, likely = top_k(z, min(k + k // 2, len(bias)))
            exact = torch.bmm(encoder[likely], part[:, :, None])[:, :, 0] + bias[likely]
            best = exact.topk(k, dim=1, sorted=False)
            value, feature = best.values, likely.gather(1, best.indices)
        else:
            value, feature = top_k(torch.addmm(still, part, turned), k)
        values.append(value)
        features.append(feature)
    value = torch.cat(values).relu_()
    return Sparse(
        feature=torch.cat(features).reshape(-1),
        token=torch.arange(len(x), device=x.device).repeat_interleave(k),
        value=value.reshape(-1),
        offset=torch.arange(0, len(x) * k, k, device=x.device),
    )


def encode_batch_top_k(
    x: Float[Tensor, "n d"], encoder: Float[Tensor, "m d"], bias: Float[Tensor, "m"], k: int
) -> Sparse:
    """Gives the n·k largest pre-activations of the whole batch, those below 0 left out.

    A token rarely has more than 4k of them, so each gives its 4k largest and the batch chooses of these
    (Bussmann et al. 2024).
    """
    each = min(4 * k, len(bias))
    wide = encode_top_k(x, encoder, bias, each)
    least = wide.value.topk(min(len(x) * k, len(wide.value)), sorted=True).values[-1]
    return only(wide, (wide.value >= least) & (wide.value > 0))


def only(active: Sparse, kept: Bool[Tensor, "e"]) -> Sparse:
    """Gives some of the entries."""
    counts = torch.bincount(active.token[kept], minlength=len(active.offset))
    return Sparse(
        feature=active.feature[kept],
        token=active.token[kept],
        value=active.value[kept],
        offset=torch.cumsum(counts, 0) - counts,
    )


def decode(active: Sparse, decoder: Float[Tensor, "m w"]) -> Float[Tensor, "n w"]:
    """Gives Σ value · decoder[feature] for every token."""
    return embedding_bag(active.feature, decoder, active.offset, per_sample_weights=active.value, mode="sum")


def value_gradient(
    active: Sparse, decoder: Float[Tensor, "m w"], gradient: Float[Tensor, "n w"]
) -> Float[Tensor, "e"]:
    """Gives the gradient at the pre-activation of every entry: decoder[feature] · gradient[token]."""
    end = active.offset.new_tensor([len(active.value)])
    with warnings.catch_warnings():  # torch calls its sparse matrices a beta, once a process
        warnings.simplefilter("ignore", UserWarning)
        places = torch.sparse_csr_tensor(
            torch.cat([active.offset, end]),
            active.feature,
            active.value,
            (len(gradient), len(decoder)),
            check_invariants=False,
        )
        # no row is gathered: only the entries of gradient · decoderᵀ that are wanted are computed
        found: Tensor = torch.sparse.sampled_addmm(places, gradient, decoder.T, beta=0).values()
    return found.mul_(active.value > 0)


def weight_gradient(
    active: Sparse, values: Float[Tensor, "e"], rows: Float[Tensor, "n w"], features: int
) -> Float[Tensor, "m w"]:
    """Gives Σ value · rows[token] for every feature: the entries' sparse matrix, transposed, times rows."""
    order = torch.argsort(active.feature, stable=True)
    counts = torch.bincount(active.feature, minlength=features)
    return embedding_bag(
        active.token[order],
        rows,
        torch.cumsum(counts, 0) - counts,
        per_sample_weights=values[order],
        mode="sum",
    )
