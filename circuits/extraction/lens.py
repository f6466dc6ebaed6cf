"""Provisional labels: the tokens that a feature promotes directly (logit lens)."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.extraction.fold import Frame, norm_frame
from circuits.extraction.targets import quoted
from circuits.models.base import Model
from circuits.schema import PROVISIONAL, feature_name
from circuits.trace import Trace

TOKENS = 3
"""Tokens in a label."""

_BLOCK = 256  # features at a time: 50 MB of scores at 49,152 tokens


def lens_labels(
    model: Model,
    trace: Trace,
    rows: Int[np.ndarray, "k"] | None = None,
    *,
    step: Callable[[int, int], None] | None = None,
) -> dict[str, str]:
    """Gives, by node name, the tokens each feature promotes most as it is on this prompt.

    The scores are U · gain · C · w (nostalgebraist 2020): what the feature writes, read by the final
    norm and the unembedding as if nothing lay between. Demeaning over the vocabulary leaves the
    order of tokens as it is. A feature of negative activation promotes what its vector suppresses.

    Args:
        model: gives final norm and unembedding.
        trace: the features.
        rows: which of them, by row of `trace.features`; all unless given. Every distinct feature
            costs a product with the whole vocabulary, so label few where there are many.
        step: told how many directions are done, and of how many.
    """
    rows = np.arange(len(trace.features)) if rows is None else rows
    layer, number, position = (
        column[rows] for column in (trace.features.layer, trace.features.id, trace.features.position)
    )
    keys = np.stack([layer, number, trace.features.activation[rows] < 0], axis=1)
    distinct, first, kind = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    place = np.full(len(trace.features), -1)
    place[rows[first]] = np.arange(len(distinct))
    writes = trace.writes
    used = place[writes.feature] >= 0
    directions = np.zeros((len(distinct), trace.width), dtype=trace.dtype)
    amounts = writes.coefficient[used][:, None] * trace.vectors[writes.vector[used]]
    np.add.at(directions, place[writes.feature[used]], amounts)
    directions[distinct[:, 2] == 1] *= -1
    texts = promoted(model, torch.from_numpy(directions), step)
    names = map(feature_name, layer.tolist(), number.tolist(), position.tolist())
    return {name: texts[k] for name, k in zip(names, kind.reshape(-1).tolist(), strict=True)}


@torch.no_grad()
def promoted(
    model: Model, directions: Float[Tensor, "k d"], step: Callable[[int, int], None] | None = None
) -> list[str]:
    """Gives a label such as `→ " Paris", " France", " Lyon"` for each residual-space direction."""
    spelt = functools.cache(lambda token: quoted(model.decode(token)))
    labels: list[str] = []
    for start in range(0, len(directions), _BLOCK):
        scores = lens_scores(model, directions[start : start + _BLOCK])
        best = torch.topk(scores, TOKENS, dim=1).indices.tolist()
        labels += [PROVISIONAL + ", ".join(map(spelt, tokens)) for tokens in best]
        if step is not None:
            step(min(start + _BLOCK, len(directions)), len(directions))
    return labels


@torch.no_grad()
def lens_scores(model: Model, directions: Float[Tensor, "k d"]) -> Float[Tensor, "k v"]:
    """Gives how much each residual-space direction promotes every token, up to the norm's scale.

    U · gain · C · w (nostalgebraist 2020), with U the unembedding and C the final norm's centring.
    """
    norm, unembedding = model.anatomy.final_norm, model.anatomy.unembedding
    frame = Frame(unembedding.new_ones(1), norm.gain, None, norm.kind == "layer")
    return frame.push(directions.to(unembedding)) @ unembedding.T


@torch.no_grad()
def written_directions(model: Model, dictionary: AbstractDictionary, layer: int) -> Float[Tensor, "m d"]:
    """Gives what each feature of a layer writes into the residual stream, into all layers together.

    Scales that a prompt decides (of a post-norm, of a coder's own normalisation) are left out.
    """
    anywhere = model.anatomy.embedding[:1]  # only the rows are used, and they do not depend on the input
    total = None
    for term in dictionary.write_terms(layer, anywhere):
        rows, post = term.rows.all(), model.anatomy.layers[term.layer].mlp_post_norm
        if post is not None and dictionary.write_site == "mlp_out":
            rows = norm_frame(post, rows.new_ones(1)).push(rows)
        total = rows if total is None else total + rows
    assert total is not None  # a feature writes somewhere
    return total
