"""One forward pass on one prompt, and everything the engine needs of it: the `Trace`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary, Encoding
from circuits.dictionaries.reading import Reading, reading
from circuits.errors import UsageError
from circuits.extraction.collect import LayerRows, Table, array, collect, distance, join, written
from circuits.extraction.fold import Frozen, Through
from circuits.extraction.lens import lens_labels
from circuits.extraction.scores import folded_scores
from circuits.extraction.select import AllActive, ByAttribution, Chooser, Selection
from circuits.extraction.targets import Aim, resolve
from circuits.models.base import Model
from circuits.models.forward import forward
from circuits.prompt import Prompt
from circuits.trace import Attention, Mlp, Passing, Targets, Trace

Progress = Callable[[str, int, int], None]
"""Told the phase, how much of it is done, and of how much."""


@dataclass(frozen=True)
class Extraction:
    """How to extract.

    Attributes:
        select: which features to keep; unless given, all active ones, and for neurons, which are
            not sparse, the 4,000 that matter most to the targets.
        labels: give each feature the tokens it promotes as a provisional label. Where there are
            thousands of distinct features, `circuits.extraction.lens.lens_labels` can label the few
            that matter afterwards.
        dormant_margin: also keep features that are off but whose pre-activation lies less than this
            below their threshold; they may turn on when others are removed. None keeps no such.
        scores: also keep what makes attention scores, so that `QK` can tell which pairs of features
            they come from. It takes about as much memory as the other attention weights.
    """

    select: Selection | None = None
    labels: bool = True
    dormant_margin: float | None = None
    scores: bool = False

    def __post_init__(self) -> None:
        if self.dormant_margin is not None and not self.dormant_margin >= 0:
            raise UsageError(f"Margin {self.dormant_margin} is no distance: give 0 or more.")


@dataclass(frozen=True)
class _Layers:
    """What the sweep over the layers leaves: the kept rows, what they do not explain, and counts."""

    rows: list[LayerRows]
    unexplained: Float[Tensor, "L n d"]
    gap: Float[Tensor, "L n"] | None
    n_active: int


@torch.no_grad()
def extract(
    model: Model,
    dictionary: AbstractDictionary,
    prompt: Prompt,
    settings: Extraction | None = None,
    *,
    progress: Progress | None = None,
) -> Trace:
    """Gives everything of one prompt that the engine needs, frozen.

    Norms, scales and biases are folded so that all vectors live in the residual stream (see
    `circuits.trace`). Features that are not kept go into the error, which is None only where every
    active neuron is kept.

    Args:
        model: the model.
        dictionary: the features to explain it with.
        prompt: the tokens and the outputs to explain.
        settings: which features to keep, and whether to label them.
        progress: told of each phase.

    Raises:
        Incompatible: the dictionary does not fit the model.
        NotFound, UsageError: a target of the prompt does not exist, or is no single token.
    """
    settings = settings or Extraction()
    dictionary.check(model)
    tell = progress or (lambda *_: None)
    with reading() as read:
        trace = _trace(model, dictionary, prompt, settings, tell)
    trace = _with_bytes(trace, dictionary.loaded + read)
    if not settings.labels:
        return trace
    told = lens_labels(model, trace, step=lambda done, total: tell("labels", done, total))
    return replace(trace, labels=told)


def _trace(
    model: Model, dictionary: AbstractDictionary, prompt: Prompt, settings: Extraction, tell: Progress
) -> Trace:
    """Gives the trace, without labels."""
    tell("forward", 0, 1)
    frozen = Frozen(model, dictionary, forward(model, prompt.ids))
    tell("forward", 1, 1)
    aims = resolve(frozen, prompt)
    select = settings.select or (ByAttribution() if dictionary.kind == "neurons" else AllActive())
    chooser = select.chooser(frozen, aims, lambda done, total: tell("choose features", done, total))
    layers = _sweep(frozen, aims, chooser, settings.dormant_margin, tell)
    table = join(layers.rows, model.width)
    n_kept = int((table.features.activation != 0).sum())
    exact = dictionary.kind == "neurons" and n_kept == layers.n_active
    anatomy, ids = model.anatomy, list(prompt.ids)
    held = [(i, frozen.through(i)) for i in range(model.n_layers) if not frozen.replaces_mlp(i)]
    meta = _meta(frozen, aims, settings, table)
    meta["selection"] = {**_named(select), "kept": n_kept, "active": layers.n_active}
    return Trace(
        prompt=prompt,
        n_layers=model.n_layers,
        token_embedding=array(anatomy.embedding[ids] * anatomy.embedding_scale),
        position_embedding=(
            None if anatomy.position_embedding is None else array(anatomy.position_embedding[: len(ids)])
        ),
        attention=_attention(frozen),
        mlp=_mlp(frozen, None if exact else layers.unexplained, held),
        passing=_through(frozen, held),
        stream=_stream(frozen),
        scores=folded_scores(frozen) if settings.scores else None,
        vectors=table.vectors,
        features=table.features,
        reads=table.reads,
        writes=table.writes,
        gated=table.gated,
        targets=_targets(aims, table),
        parallel=anatomy.parallel,
        dormant_gap=None if layers.gap is None else array(layers.gap),
        meta=meta,
    )


def _with_bytes(trace: Trace, read: Reading) -> Trace:
    """Gives the trace with what opening the dictionary and this prompt read of its files."""
    if not read.files:
        return trace
    sizes = {"bytes": read.bytes_on_disk, "bytes_read": read.bytes_read}
    return replace(trace, meta={**trace.meta, "dictionary": {**trace.meta["dictionary"], **sizes}})


def _sweep(
    frozen: Frozen, aims: Sequence[Aim], chooser: Chooser, margin: float | None, tell: Progress
) -> _Layers:
    """Gives the kept rows of every layer and what remains of each MLP's output without them."""
    covered, n = frozen.dictionary.layers, frozen.n_positions
    unexplained = torch.zeros_like(frozen.forward.mlp_out)
    gap = frozen.forward.mlp_scale.new_full((frozen.model.n_layers, n), torch.inf)
    for layer in covered:
        unexplained[layer] = frozen.after(layer) if frozen.on_stream else frozen.forward.mlp_out[layer]
    rows, n_active, dormant = [], 0, True
    for done, layer in enumerate(covered):
        x = frozen.inputs(layer)
        encoding = frozen.dictionary.encode(layer, x)
        kept = chooser(layer, encoding) | _near(encoding, margin)
        for aim in aims:
            if aim.feature is not None and aim.feature[0] == layer:
                kept[aim.feature[2], aim.feature[1]] = True
        rows.append(collect(frozen, layer, x, encoding, kept))
        n_active += int((encoding.activation != 0).sum())
        off = distance(encoding)
        dormant = dormant and off is not None
        if off is not None:
            gap[layer] = off.masked_fill(kept | (encoding.activation != 0), torch.inf).amin(dim=1)
        for target, amount in written(rows[-1], n).items():
            unexplained[target] -= amount * frozen.write_frame(target).scale[:, None]
        _subtract_affine(frozen, layer, unexplained[layer])
        tell("freeze layers", done + 1, len(covered))
    return _Layers(rows, unexplained, gap if dormant else None, n_active)


def _near(encoding: Encoding, margin: float | None) -> Bool[Tensor, "n m"]:
    """Tells which features are off by less than the margin."""
    off = distance(encoding)
    if off is None or margin is None:
        return torch.zeros_like(encoding.activation, dtype=torch.bool)
    return (encoding.activation == 0) & (off < margin)


def _subtract_affine(frozen: Frozen, layer: int, unexplained: Float[Tensor, "n d"]) -> None:
    """Takes skip connection and constants out of what is unexplained, in place."""
    skip, constant = frozen.skip(layer), frozen.constant(layer)
    if skip is not None:
        read, write = frozen.read_frame(layer), frozen.write_frame(layer)
        seen = frozen.forward.mlp_in[layer] * read.scale[:, None]
        unexplained -= (seen @ skip.T) * write.scale[:, None]
    if constant is not None:
        unexplained -= constant


def _attention(frozen: Frozen) -> Attention:
    layers = [frozen.attention(layer) for layer in range(frozen.model.n_layers)]
    return Attention(
        pattern=array(frozen.forward.pattern),
        value=_stacked([layer.value for layer in layers]),
        output=_stacked([layer.output for layer in layers]),
        read_scale=_stacked([layer.read_scale for layer in layers]),
        write_scale=_stacked([layer.write_scale for layer in layers]),
        constant=_stacked_some([layer.constant for layer in layers]),
    )


def _mlp(frozen: Frozen, error: Float[Tensor, "L n d"] | None, held: Sequence[Passed]) -> Mlp:
    layers = range(frozen.model.n_layers)
    replaced = [frozen.replaces_mlp(layer) for layer in layers]
    one = torch.ones_like(frozen.forward.mlp_scale[0])
    constants: dict[int, Tensor | None] = {layer: mlp.constant for layer, mlp in held}
    constants |= {layer: frozen.constant(layer) for layer in frozen.dictionary.layers}
    return Mlp(
        read_scale=_stacked([frozen.read_frame(i).scale if replaced[i] else one for i in layers]),
        write_scale=_stacked([frozen.write_frame(i).scale if replaced[i] else one for i in layers]),
        skip=_stacked_some([frozen.skip(i) if replaced[i] else None for i in layers]),
        constant=_stacked_some([constants.get(layer) for layer in layers]),
        error=None if error is None else array(error),
    )


Passed = tuple[int, Through]
"""A layer and its MLP, where no features replace it."""


def _through(frozen: Frozen, held: Sequence[Passed]) -> Passing | None:
    if not held:
        return None
    below = [frozen.on_stream and layer in frozen.dictionary.layers for layer, _ in held]
    constants = [mlp.constant if here else None for (_, mlp), here in zip(held, below, strict=True)]
    return Passing(
        layer=np.array([layer for layer, _ in held], dtype=np.int32),
        write=_stacked([mlp.write for _, mlp in held]),
        read=_stacked([torch.stack(mlp.read) for _, mlp in held]),
        coefficient=_stacked([torch.stack(mlp.coefficient) for _, mlp in held]),
        constant=_stacked_some(constants),
    )


def _stream(frozen: Frozen) -> np.ndarray | None:
    """Tells for each layer whether its features sit on the stream; None where nowhere."""
    if not frozen.on_stream:
        return None
    return np.array([layer in frozen.dictionary.layers for layer in range(frozen.model.n_layers)])


def _targets(aims: Sequence[Aim], table: Table) -> Targets:
    dtype = table.vectors.dtype
    rows = [-1 if aim.feature is None else _row(table, aim.feature) for aim in aims]
    z = table.features.pre_activation
    return Targets(
        names=tuple(aim.name for aim in aims),
        vector=_stacked([aim.vector for aim in aims]),
        position=np.array([aim.position for aim in aims], dtype=np.int32),
        bias=np.array([aim.bias for aim in aims], dtype=dtype),
        weight=np.array([aim.weight for aim in aims], dtype=dtype),
        value=np.array(
            [aim.value if row < 0 else z[row] for aim, row in zip(aims, rows, strict=True)], dtype=dtype
        ),
        feature=np.array(rows, dtype=np.int32),
    )


def _row(table: Table, feature: tuple[int, int, int]) -> int:
    features = table.features
    layer, number, position = feature
    at = (features.layer == layer) & (features.id == number) & (features.position == position)
    return int(np.flatnonzero(at)[0])


def _meta(frozen: Frozen, aims: Sequence[Aim], settings: Extraction, table: Table) -> dict[str, Any]:
    model, dictionary = frozen.model, frozen.dictionary
    meta: dict[str, Any] = {
        "model": {
            "name": model.name,
            "spec": model.spec,
            "fingerprint": model.fingerprint,
            "architecture": model.anatomy.architecture,
        },
        "dictionary": dictionary.record(),
        "targets": [
            {
                "name": aim.name,
                "tokens": [model.decode(i) for i in aim.ids],
                "token_ids": list(aim.ids),
                "probability": aim.probability,
            }
            for aim in aims
        ],
        "dtype": str(table.vectors.dtype),
        "n_tokens": frozen.n_positions,
        "dormant_margin": settings.dormant_margin,
        "dormant": int((table.features.activation == 0).sum()),
    }
    if settings.labels:
        meta["labels"] = "provisional: the tokens each feature promotes directly (logit lens)"
    if model.anatomy.logit_softcap is not None:
        meta["softcap"] = (
            f"targets are logits before the softcap of {model.anatomy.logit_softcap:g}; probabilities are"
            " the model's, after it"
        )
    cap = model.anatomy.layers[0].attention.scores.softcap
    if settings.scores and cap is not None:
        meta["score_softcap"] = f"attention scores are those before the softcap of {cap:g}"
    return meta


def _named(select: Selection) -> dict[str, Any]:
    settings = asdict(select)  # type: ignore[call-overload]  # every selection is a dataclass
    return {"name": type(select).__name__, "settings": settings}


def _stacked(parts: Sequence[Tensor]) -> np.ndarray:
    return array(torch.stack(list(parts)))


def _stacked_some(parts: Sequence[Tensor | None]) -> np.ndarray | None:
    """Gives the layers' parts, zeros where a layer has none; None if no layer has any."""
    some = next((part for part in parts if part is not None), None)
    return None if some is None else _stacked([torch.zeros_like(some) if p is None else p for p in parts])
