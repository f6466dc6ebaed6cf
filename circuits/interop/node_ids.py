"""Node ids of attribution-graph documents, and the names the same nodes have here.

=============================  ==========================  =======================================
node                           id                          named here
=============================  ==========================  =======================================
feature                        ``{layer}_{feature}_{pos}``  ``12/4051@7``
attention feature (Lorsa)      ``{layer}_lor_{feature}_{pos}``  ``attn12/4051@7``
reconstruction error           ``{layer}_-1_{pos}``        ``err12@7``
word                           ``E_{token}_{pos}``         ``tok@7``
output                         ``{layer}_{token}_{pos}``   ``logit:Austin``
=============================  ==========================  =======================================

Ids are only written so. What a node is, is read from its `feature_type`, for there are other styles:
circuit-tracer writes errors as ``0_{layer}_{pos}``, which is also the id of feature `layer` of layer 0;
llamascopium writes ``{layer}_cro_{feature}_{pos}`` and ``{layer}_error_mlp_{pos}``; the first published
graphs have ids that name no position. The number `feature` is the Cantor pairing of layer and feature.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, Literal

Kind = Literal["feature", "attention", "error", "attention error", "token", "bias", "logit", "unknown"]

TYPES: Final[dict[str, Kind]] = {
    "cross layer transcoder": "feature",
    "transcoder": "feature",
    "unexplored node": "feature",
    "lorsa": "attention",
    "mlp reconstruction error": "error",
    "lorsa error": "attention error",
    "embedding": "token",
    "bias": "bias",
    "logit": "logit",
}
"""What the viewers' types are; any other is an error if it says so, else a feature if it has a number."""

LARGEST: Final = 2**31 - 1
"""Features and positions are 32-bit numbers in the node table."""

_PLACE = re.compile(r"(\d+)_(?:[a-z]{3}_)?(\d+)_(\d+)")
_LABEL = re.compile(r"^[^\"“'‘]*[\"“'‘](.*)[\"”'’] *k? *\(p=", re.DOTALL)


def cantor(layer: int, feature: int) -> int:
    """Gives the one number that stands for a layer and a feature: (x + y)(x + y + 1)/2 + y.

    Example:
        >>> cantor(12, 4051), uncantor(cantor(12, 4051))
        (8260067, (12, 4051))
    """
    return (layer + feature) * (layer + feature + 1) // 2 + feature


def uncantor(number: int) -> tuple[int, int]:
    """Gives the layer and the feature of a Cantor number, exactly for any size of it."""
    diagonal = (math.isqrt(8 * number + 1) - 1) // 2
    feature = number - diagonal * (diagonal + 1) // 2
    return diagonal - feature, feature


def kind_of(node: dict[str, Any]) -> Kind:
    """Gives what a document's node is, by its `feature_type`."""
    written = str(node["feature_type"]).strip().lower()
    if written in TYPES:
        return TYPES[written]
    if "error" in written:
        return "error"
    return "feature" if feature_of(node) is not None else "unknown"


def layer_of(node: dict[str, Any]) -> int | None:
    """Gives a node's layer; None for the embedding's `E` and what else is no number."""
    layer = node["layer"]
    if not isinstance(layer, str):  # a whole number may be written 3.0
        return int(layer) if 0 <= layer <= LARGEST else None
    text = layer.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def feature_of(node: dict[str, Any]) -> int | None:
    """Gives a feature's number in its dictionary; None where the node names none.

    The id says it, if layer and position in it are the node's own; else the Cantor number, if its layer is
    the node's own; else the number as it stands, with the layer in front cut off (the older graphs of
    Gemma 2, five digits a feature).
    """
    layer = layer_of(node)
    found = _PLACE.fullmatch(node["node_id"])
    if found and int(found[1]) == layer and int(found[3]) == node["ctx_idx"]:
        return int(found[2])
    if node["feature"] is None or node["feature"] < 0 or layer is None:
        return None
    number = int(node["feature"])
    at, feature = uncantor(number)
    if at == layer:
        return feature
    digits = str(number)
    older = len(digits) > 5 and int(digits[:-5]) == layer
    return int(digits[-5:]) if older else number


def output_token(node: dict[str, Any]) -> str:
    """Gives the token of an output: what stands in quotes in its label, before `(p=`.

    Example:
        >>> output_token({"clerp": 'Output " Austin" (p=0.998)'})
        ' Austin'
    """
    if isinstance(node.get("token"), str):
        return str(node["token"])
    found = _LABEL.match(node["clerp"])
    return found[1] if found else node["clerp"]


def probability_in(clerp: str) -> float | None:
    """Gives the probability in an output's label as the viewers read it; None if there is none."""
    pieces = clerp.split("(p=")
    if len(pieces) < 2:
        return None
    try:
        return float(pieces[-1].split(")")[0])
    except ValueError:
        return None
