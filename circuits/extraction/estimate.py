"""How much memory a run will take, stated before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch

from circuits.dictionaries.activations import AbsTopK, GroupMax, TopK
from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.coders import Coders
from circuits.dictionaries.rows import BLOCK_BYTES
from circuits.errors import UsageError
from circuits.extraction.extract import Extraction
from circuits.extraction.select import ByAttribution, NormShare
from circuits.models.base import Model

LIBRARIES: Final = 500_000_000
"""Bytes a process holds once torch, transformers and JAX are imported (measured: 0.4 to 0.5 GB)."""

ASSUMED_ACTIVE: Final = 64
"""Features assumed to be on at a layer and position where the dictionary does not say."""

_TARGETS: Final = 10  # what TopLogits gives at most
_EDGE_BYTES: Final = 48  # two ends and two numbers, once as they arrive and once sorted
_MOST_EDGES: Final = 10_000  # of one row: 1 / tolerance of `engine.edges.Edges`
_PADDING: Final = 1.5  # the engine pads the features of each layer and position


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to take. Upper bounds but for `features` where it is assumed.

    Attributes:
        n_tokens: length of the prompt.
        features: feature nodes; each occurrence at a position is one.
        rows: rows to attribute, features and targets.
        weights_bytes: the model's parameters.
        forward_bytes: one forward pass, both the model's own and the rebuilt one.
        trace_bytes: the arrays of the trace.
        engine_bytes: the engine's tables and the graph's edges.
        peak_bytes: the most the process holds at once, libraries included.
        assumption: where `features` comes from, in a sentence.
    """

    n_tokens: int
    features: int
    rows: int
    weights_bytes: int
    forward_bytes: int
    trace_bytes: int
    engine_bytes: int
    peak_bytes: int
    assumption: str


def estimate(
    model: Model,
    dictionary: AbstractDictionary,
    n_tokens: int,
    settings: Extraction | None = None,
    *,
    active: int | None = None,
) -> Estimate:
    """Gives the memory and the number of rows of a run, without running it.

    Args:
        model: the model.
        dictionary: the features.
        n_tokens: length of the prompt.
        settings: as they will be given to `extract`.
        active: features on at a layer and position, if known; it is 64 unless given, where neither
            dictionary nor selection bounds it.

    Raises:
        UsageError: the prompt is empty or longer than the model's context.

    Example:
        >>> estimate(model, dictionary, 512).peak_bytes / 1e9  # doctest: +SKIP
        2.2
    """
    if not 0 < n_tokens <= model.anatomy.max_positions:
        raise UsageError(
            f"{n_tokens} tokens cannot be run: {model.name} takes 1 to {model.anatomy.max_positions}."
        )
    features, assumption = _features(dictionary, n_tokens, settings or Extraction(), active)
    b = torch.finfo(model.dtype).bits // 8
    d, L, v = model.width, model.n_layers, len(model.anatomy.unembedding)
    heads, _, head_width = model.anatomy.layers[0].attention.output.shape
    groups = len(model.anatomy.layers[0].attention.value)
    pattern = L * heads * n_tokens**2
    streams = L * n_tokens * d
    forward = b * (pattern + 3 * streams + 2 * n_tokens * v)
    maps = L * head_width * d * (groups + heads)
    if settings is not None and settings.scores:
        maps += L * model.anatomy.layers[0].attention.scores.query.shape[1] * d * (groups + heads)
    first, some = dictionary.layers[0], model.anatomy.embedding.new_ones(2, d)
    skip = L * d * d if dictionary.skip(first) is not None else 0
    unique = min(features, L * dictionary.n_features)
    reads = len(dictionary.read_terms(first, some))
    terms = len(dictionary.write_terms(first, some)) + reads
    frozen = b * (pattern + maps + 3 * streams + skip + 2 * n_tokens * d + _TARGETS * d)
    # a gated neuron reads by two terms, and the trace also tells them apart: three ids, gate and value
    gated = 12 + 2 * b if dictionary.kind == "neurons" and reads == 2 else 0
    columns = features * (4 * b + 13 + terms * (12 + b) + gated)
    trace = frozen + columns + b * terms * unique * d
    edges = features * min(_MOST_EDGES, features // 2 + n_tokens * (L + 2)) * _EDGE_BYTES
    engine = frozen + int(2 * _PADDING * b * features * d) + edges
    weights = sum({p.data_ptr(): p.nbytes for p in model.module.parameters()}.values())
    # what a layer needs while it is worked on: encoder rows, encodings, and the label scores of 256 features
    block = min(2 * b * d * dictionary.n_features, 4 * BLOCK_BYTES)
    working = block + b * (dictionary.n_features * 8 * n_tokens + 2 * 256 * v) + 2**28
    held = LIBRARIES + weights + trace
    return Estimate(
        n_tokens=n_tokens,
        features=features,
        rows=features + _TARGETS,
        weights_bytes=weights,
        forward_bytes=forward,
        trace_bytes=trace,
        engine_bytes=engine,
        peak_bytes=held + max(forward + working, engine),
        assumption=assumption,
    )


def _features(
    dictionary: AbstractDictionary, n_tokens: int, settings: Extraction, active: int | None
) -> tuple[int, str]:
    """Gives the number of feature nodes, and in a sentence where it comes from."""
    cells = n_tokens * len(dictionary.layers)
    most = cells * dictionary.n_features
    neurons = dictionary.kind == "neurons"
    select = settings.select or (ByAttribution() if neurons else None)
    if isinstance(select, ByAttribution):
        return min(select.most, most), f"the {select.most} features of largest attribution"
    if active is None and isinstance(dictionary, Coders):
        activation = dictionary.coder(dictionary.layers[0]).activation
        active = activation.k if isinstance(activation, TopK | AbsTopK | GroupMax) else None
    if active is None and neurons:
        active = dictionary.n_features
    share = select.share if isinstance(select, NormShare) else 1.0
    if active is None:
        return (
            min(most, math.ceil(cells * ASSUMED_ACTIVE * share)),
            f"assuming {ASSUMED_ACTIVE} features on at each layer and position",
        )
    return min(most, cells * math.ceil(active * share)), f"{active} features on at each layer and position"
