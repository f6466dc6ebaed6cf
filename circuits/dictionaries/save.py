"""Saving a dictionary, trained or loaded: as sae-lens or circuit-tracer read it, or in our compact layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from circuits.dictionaries.activations import JumpReLU
from circuits.dictionaries.base import AbstractDictionary, Rows
from circuits.dictionaries.coders import CoderKind, CoderLayer, Coders
from circuits.dictionaries.formats.circuit_tracer import save_transcoders
from circuits.dictionaries.formats.circuit_tracer_clt import save_clt
from circuits.dictionaries.formats.compact import save_compact
from circuits.dictionaries.formats.sae_lens_save import Origin, save_saes
from circuits.errors import InvalidFile, UsageError

Layout = Literal["circuit-tracer", "sae-lens", "compact"]
Store = Literal["float32", "float16"]
STORES: Final[dict[str, torch.dtype]] = {"float32": torch.float32, "float16": torch.float16}


def layout_of(kind: str) -> Layout:
    """Gives the layout that suits a kind: whoever uses such dictionaries reads it."""
    return "sae-lens" if kind == "sae" else "circuit-tracer"


def check_layout(layout: str, kind: CoderKind, activation: str) -> None:
    """Raises `UsageError` if a layout has no words for a kind with an activation.

    What must be known before hours of training; the writers refuse by the weights themselves.

    Args:
        layout: one of `Layout`.
        kind: of the dictionary.
        activation: "topk", "batchtopk" (saved as thresholds), "routed_topk", "jumprelu" or "relu".
    """
    if layout not in get_args(Layout):
        raise UsageError(f"No layout {layout!r} to write: known are {', '.join(get_args(Layout))}.")
    if layout == "sae-lens" and kind == "clt":
        raise UsageError("sae-lens has no cross-layer transcoders: save a CLT in circuit-tracer's layout.")
    if layout == "circuit-tracer" and kind == "sae":
        raise UsageError("circuit-tracer has no SAEs: save an SAE in sae-lens's layout.")
    if layout != "compact" and activation == "routed_topk":
        raise UsageError(f"{layout} has no routed dictionaries: save them in the compact layout.")
    if activation == "topk" and (layout, kind) in {("sae-lens", "transcoder"), ("circuit-tracer", "clt")}:
        named = "cross-layer transcoders" if kind == "clt" else "transcoders"
        raise UsageError(
            f"{layout}'s layout has no top-k {named}: batchtopk, which is saved as thresholds, can be."
        )


def save_dictionary(
    path: Path,
    dictionary: AbstractDictionary,
    layout: Layout | None = None,
    *,
    origin: Origin | None = None,
    store: Store | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a dictionary, whole or not at all; one layer's weights are in memory at a time.

    Args:
        path: the directory to make.
        dictionary: transcoders, a cross-layer transcoder or SAEs, trained or loaded from any layout.
        layout: whose; the one that suits the kind unless given.
        origin: what it was trained on, for sae-lens.
        store: the type of the numbers; as they are unless given. The compact layout has its own.
        overwrite: replace what stands there.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        UsageError: the layout cannot hold this dictionary.
        InvalidFile: a weight is NaN, infinite, or too large for `store`.
        WriteFailed: the file system refused.

    Example:
        >>> saes = circuits.load_dictionary("gemma-scope/layer_12", model)  # doctest: +SKIP
        >>> save_dictionary(Path("saes"), saes, "sae-lens")  # doctest: +SKIP
    """
    if not isinstance(dictionary, Coders):
        raise UsageError(f"{dictionary.kind} are the model's own weights: there is no dictionary to save.")
    settings = dictionary.settings
    layout = layout or layout_of(settings.kind)
    check_layout(layout, settings.kind, "")
    dtype = None if store is None else STORES[store]
    layers = [_stored(dictionary.coder(layer), dtype) for layer in dictionary.layers]
    if layout == "compact":
        save_compact(path, Coders(layers, settings), overwrite=overwrite)
    elif layout == "sae-lens":
        save_saes(path, layers, settings, origin=origin, overwrite=overwrite)
    elif settings.kind == "clt":
        save_clt(path, layers, settings, overwrite=overwrite)
    else:
        _check_whole(dictionary)
        save_transcoders(path, layers, settings, overwrite=overwrite)


def _check_whole(dictionary: Coders) -> None:
    """Raises `UsageError` for some layers only: circuit-tracer counts its files from layer 0."""
    if dictionary.layers != tuple(range(len(dictionary.layers))):
        raise UsageError(
            f"circuit-tracer's layout has one transcoder for each layer from 0, not layers"
            f" {', '.join(map(str, dictionary.layers))}: save these in sae-lens's."
        )


@dataclass(frozen=True)
class _StoredRows(Rows):
    """Rows as they are to be stored.

    Attributes:
        rows: the rows.
        dtype: what they are converted to, if anything.
        name: for messages.
    """

    rows: Rows
    dtype: torch.dtype | None
    name: str

    def take(self, ids: Sequence[int] | Tensor) -> Float[Tensor, "k d"]:
        """Gives the rows of the given features."""
        return _converted(self.rows.take(ids), self.dtype, self.name)

    def all(self) -> Float[Tensor, "m d"]:
        """Gives the whole matrix."""
        return _converted(self.rows.all(), self.dtype, self.name)


def _stored(layer: CoderLayer, dtype: torch.dtype | None) -> CoderLayer:
    """Gives a coder whose numbers are all of one type, and finite."""
    name = f"of layer {layer.layer}"
    activation = layer.activation
    if isinstance(activation, JumpReLU):
        activation = JumpReLU(_converted(activation.threshold, dtype, f"A threshold {name}"))
    return replace(
        layer,
        encoder=_StoredRows(layer.encoder, dtype, f"An encoder weight {name}"),
        encoder_bias=_converted(layer.encoder_bias, dtype, f"An encoder bias {name}"),
        decoders=tuple(
            (into, _StoredRows(rows, dtype, f"A decoder weight {name}")) for into, rows in layer.decoders
        ),
        decoder_bias=_converted(layer.decoder_bias, dtype, f"A decoder bias {name}"),
        activation=activation,
        skip=None if layer.skip is None else _StoredRows(layer.skip, dtype, f"A skip weight {name}"),
    )


def _converted(tensor: Tensor, dtype: torch.dtype | None, name: str) -> Tensor:
    if not torch.isfinite(tensor).all():
        raise InvalidFile(f"{name} is NaN or infinite: nothing was saved.")
    if dtype is None:
        return tensor
    converted = tensor.to(dtype)
    if not torch.isfinite(converted).all():
        largest = float(tensor.abs().max())
        raise InvalidFile(
            f"{name} is {largest:.3g}, more than {dtype} holds: store it as float32. Nothing was saved."
        )
    return converted
