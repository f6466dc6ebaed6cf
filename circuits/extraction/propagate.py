"""The total attribution of every feature to every target, by propagating targets downwards.

In the frozen model everything but the gates is linear; holding a feature's ratio a/z as well (RelP,
Jafari et al. 2025) makes it linear throughout. With G the gradient of a target in that model, the
attribution of feature i is a_i · (w_i · G): all paths, through other features too. One sweep from
the last layer to the first gives it for all features at the price of a few dense products a layer,
without autograd, and without a vector per occurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import Encoding
from circuits.extraction.fold import FoldedAttention, Frozen
from circuits.extraction.targets import Aim

Step = Callable[[int, int], None]
"""Told how many layers are done, and of how many."""

_BLOCK = 2**25  # numbers held at a time per target, position and feature: 128 MB of float32


@dataclass(frozen=True)
class LayerAttribution:
    """The attributions of one layer: Σ_t weight_t · |attribution_t|, for the features listed.

    `above`: by layer written to, the gradient there of each target, from which they were taken.
    """

    layer: int
    ids: Int[Tensor, "u"]
    size: Float[Tensor, "n u"]
    above: Mapping[int, Float[Tensor, "t n d"]]


@dataclass(frozen=True)
class _Reads:
    """What the features of a layer read, at the read site: one row matrix and coefficient per term."""

    rows: tuple[Float[Tensor, "u d"], ...]
    coefficients: tuple[Float[Tensor, "n u"] | None, ...]


def attributions(frozen: Frozen, aims: Sequence[Aim], step: Step | None = None) -> Iterator[LayerAttribution]:
    """Yields the attributions of each layer's active features, last layer first.

    Args:
        frozen: the model on one prompt.
        aims: the targets; each is propagated by itself, then sizes are summed by weight.
        step: told of progress.
    """
    n_layers = frozen.model.n_layers
    n, d = frozen.forward.final.shape
    weight = frozen.forward.final.new_tensor([aim.weight for aim in aims])
    gradient = frozen.forward.final.new_zeros(len(aims), n, d)
    for number, aim in enumerate(aims):
        gradient[number, aim.position] = aim.vector
    covered = frozen.dictionary.layers
    above: dict[int, Tensor] = {}
    for layer in reversed(range(n_layers)):
        above[layer] = gradient
        found = None
        if layer in covered:
            found, through = _features(frozen, aims, layer, above, weight)
            if frozen.on_stream:
                gradient = through  # what lies below passes only through the features
        if not frozen.replaces_mlp(layer):
            through = _pass_back(frozen, layer, gradient)
        if frozen.model.anatomy.parallel:
            gradient = gradient + through + _attend_back(frozen, layer, gradient)
        else:
            middle = gradient + through
            gradient = middle + _attend_back(frozen, layer, middle)
        if frozen.dictionary.kind != "clt":
            above.clear()
        if step is not None:
            step(n_layers - layer, n_layers)
        if found is not None:
            yield found


def _pass_back(frozen: Frozen, layer: int, gradient: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
    """Gives the gradient at the input of an MLP that passes, held."""
    mlp = frozen.through(layer)
    hidden = gradient @ mlp.write
    return sum(
        ((hidden * c) @ rows for c, rows in zip(mlp.coefficient, mlp.read, strict=True)),
        start=torch.zeros_like(gradient),
    )


def active_ids(encoding: Encoding) -> Int[Tensor, "u"]:
    """Gives the features that are active at any position."""
    return (encoding.activation != 0).any(dim=0).nonzero()[:, 0]


def _features(
    frozen: Frozen, aims: Sequence[Aim], layer: int, above: dict[int, Tensor], weight: Float[Tensor, "t"]
) -> tuple[LayerAttribution, Float[Tensor, "t n d"]]:
    """Gives one layer's attributions, and the gradient at its input through features and skip."""
    x = frozen.inputs(layer)
    encoding = frozen.dictionary.encode(layer, x)
    asked = [aim.feature[1] for aim in aims if aim.feature is not None and aim.feature[0] == layer]
    ids = torch.unique(
        torch.cat([active_ids(encoding), torch.tensor(asked, dtype=torch.long, device=x.device)])
    )
    a, z = encoding.activation[:, ids], encoding.pre_activation[:, ids]
    ratio = torch.where(z != 0, a / torch.where(z != 0, z, 1), 0)
    reads = _reads(frozen, layer, x, ids)
    pushed = []
    for term in frozen.dictionary.write_terms(layer, x):
        frame = frozen.write_frame(term.layer)
        scale = frame.scale if term.coefficient is None else frame.scale * term.coefficient
        pushed.append((above[term.layer], scale, frame.push(term.rows.take(ids))))
    size = torch.empty_like(a)
    through = torch.zeros_like(above[layer])
    block = max(1, _BLOCK // max(1, len(aims) * len(ids)))
    for start in range(0, len(a), block):
        part = slice(start, start + block)
        felt = sum(
            (gradient[:, part] @ rows.T) * scale[part, None] for gradient, scale, rows in pushed
        ) + a.new_zeros(())
        size[part] = torch.einsum("tnu,t->nu", (felt * a[part]).abs(), weight)
        felt = felt * ratio[part]
        for rows, coefficient in zip(reads.rows, reads.coefficients, strict=True):
            through[:, part] += (felt if coefficient is None else felt * coefficient[part]) @ rows
    _start_at_features(aims, layer, ids, reads, through)
    through = _read_back(frozen, layer, through)
    skip = frozen.skip(layer)
    if skip is not None:
        scale = frozen.write_frame(layer).scale * frozen.read_frame(layer).scale
        through += (above[layer] * scale[:, None]) @ skip
    return LayerAttribution(layer, ids, size, dict(above)), through


def _reads(frozen: Frozen, layer: int, x: Float[Tensor, "n d"], ids: Int[Tensor, "u"]) -> _Reads:
    terms = frozen.dictionary.read_terms(layer, x)
    return _Reads(
        tuple(term.rows.take(ids) for term in terms),
        tuple(None if term.coefficient is None else term.coefficient[:, ids] for term in terms),
    )


def _read_back(frozen: Frozen, layer: int, gradient: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
    """Gives the gradient at the stream of a gradient at the read site."""
    reader = frozen.reader(layer)
    targets, n, d = gradient.shape
    each = torch.arange(targets * n, device=gradient.device)
    rows, _ = reader.pull(gradient.reshape(-1, d), each, each % n)
    return rows.reshape(targets, n, d) * reader.frame.scale[:, None]


def _start_at_features(
    aims: Sequence[Aim], layer: int, ids: Int[Tensor, "u"], reads: _Reads, through: Float[Tensor, "t n d"]
) -> None:
    """Adds what feature targets of this layer read; their gradients begin here."""
    for number, aim in enumerate(aims):
        if aim.feature is None or aim.feature[0] != layer:
            continue
        place = int((ids == aim.feature[1]).nonzero()[0, 0])
        for rows, coefficient in zip(reads.rows, reads.coefficients, strict=True):
            times = 1.0 if coefficient is None else float(coefficient[aim.position, place])
            through[number, aim.position] += times * rows[place]


def _attend_back(frozen: Frozen, layer: int, gradient: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
    """Gives the gradient at the keys of what attention writes at the queries."""
    folded: FoldedAttention = frozen.attention(layer)
    H, K = len(folded.output), len(folded.value)
    seen = torch.einsum("tqd,hdr->thqr", gradient * folded.write_scale[:, None], folded.output)
    moved = frozen.forward.pattern[layer].transpose(1, 2) @ seen
    grouped = moved.reshape(len(moved), K, H // K, *moved.shape[2:]).sum(dim=2)
    return torch.einsum("tgkr,grd->tkd", grouped, folded.value) * folded.read_scale[:, None]
