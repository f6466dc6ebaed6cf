"""The columns, names and versions every room agrees on.

A **node name** is the only identity a node has, in memory, on disk and on the command line:

=================  ==================================================================
``12/4051@7``      feature 4051 of layer 12, active at position 7
``tok@3``          the token embedding at position 3
``pos@3``          the learned positional embedding at position 3
``err12@7``        what the dictionary left unexplained of MLP 12 at position 7
``bias:own``       each target's own constant (encoder bias, unembedding bias, norm bias)
``bias:attn12``    constants written by attention 12 (value, output and norm biases), and by a
                   held MLP 12 that is not in ``bias:mlp12``
``bias:mlp12``     constants written by MLP 12 (decoder or output bias)
``rest``           the incoming edges too small to be kept, summed
``logit:Austin``   a target: a logit, a difference of logits, any weighting of logits
=================  ==================================================================

Interactions also speak of what is no node:

====================  ===============================================================
``head:5.3@7,4``      head 3 of layer 5, from query position 7 to key position 4
``head:5.3``          the same head at all positions
``score:5.3@7,4``     its attention score there, before softmax
``odds:5.3@7,4-2``    the difference of two scores: the log-odds of keys 4 and 2
====================  ===============================================================
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

import polars as pl

TRACE_VERSION: Final = 1
RUN_VERSION: Final = 1

NodeKind = Literal["feature", "token", "position", "error", "bias", "rest", "logit"]
NODE_KINDS: Final[tuple[str, ...]] = get_args(NodeKind)

GateName = Literal["linear", "relu", "jumprelu", "topk", "abstopk", "gelu", "gelu_tanh", "silu", "tanh"]
"""How a feature's activation follows from its pre-activation z.

`jumprelu` and `topk`: z where z > threshold, else 0 (a top-k selection is frozen as a threshold
halfway between the weakest feature kept and the strongest left out). `abstopk`: z where
|z| > threshold. `linear`: z (a gated neuron
whose gate is held).
"""
GATES: Final[tuple[str, ...]] = get_args(GateName)

PROVISIONAL: Final = "→ "
"""How a label begins that lists the tokens a feature promotes; one without was tested, or given by hand."""

Index = Literal["Moebius", "Co-Moebius", "SII", "k-SII", "STII", "FSII", "BII", "CHII"]

NODE_SCHEMA: Final = pl.Schema(
    {
        "node": pl.String(),
        "kind": pl.Enum(NODE_KINDS),
        "layer": pl.Int32(),  # null where a node has none (tokens, targets, bias:own, rest)
        "pos": pl.Int32(),  # null where a node sums over positions
        "feature": pl.Int32(),  # id in the dictionary; null unless kind is feature
        "activation": pl.Float64(),  # features: on this prompt; logits: the value; others: 1
        "pre_activation": pl.Float64(),  # features and logits: the sum completeness must reach
        "threshold": pl.Float64(),  # jumprelu, topk and abstopk
        "gate": pl.Enum(GATES),  # null unless kind is feature
        "expanded": pl.Boolean(),  # incoming edges were computed (features and logits)
        "truncated": pl.Float64(),  # sum of |weight| of the incoming edges summed into `rest`
        "target_weight": pl.Float64(),  # the weight of a target in influence; 0 for all else
        "influence": pl.Float64(),  # share of the targets reached through this node; null before scoring
        "concept": pl.String(),
        "label": pl.String(),
    }
)
EDGE_COLUMNS: Final[tuple[str, ...]] = ("source", "target", "weight", "strength")

HYPEREDGE_SCHEMA: Final = pl.Schema(
    {
        "hyperedge": pl.String(),
        "members": pl.List(pl.String()),
        "target": pl.String(),
        "order": pl.Int32(),
        "index": pl.String(),
        "weight": pl.Float64(),  # the interaction, by its index
        "low": pl.Float64(),  # interval, or bound of the error, around the weight
        "high": pl.Float64(),
        "effect": pl.Float64(),  # worth with all on, less the worth without the members; null if unknown
        "gate": pl.String(),  # and, or, inhibit, xor, additive, other: by the truth table of the members
        "channel": pl.String(),  # mlp, qk, output
        "via": pl.String(),  # the node or head through which this share of it runs; null: the whole of it
        "engine": pl.String(),  # how it was computed, with what settings
        "estimated": pl.Boolean(),
        "evaluations": pl.Int64(),
    }
)
"""Rows whose `via` is not null are shares of the row with the same members, target and index."""

HEAD_SCHEMA: Final = pl.Schema(
    {
        "source": pl.String(),
        "target": pl.String(),
        "via": pl.String(),  # head:5.3; none: past all heads; other: what the other rows lack
        "layer": pl.Int32(),  # null where `via` is no head
        "head": pl.Int32(),
        "weight": pl.Float64(),  # what of the edge's weight is lost without the head
    }
)
"""Head loadings: the rows of an edge sum to its weight."""

VERDICT_SCHEMA: Final = pl.Schema(
    {
        "verdict": pl.String(),  # id
        "claim": pl.String(),  # what the graph predicts, in words
        "kind": pl.String(),  # node, pair, set, path, edge, concept, circuit
        "members": pl.List(pl.String()),  # nodes or concepts that were acted on
        "actions": pl.List(pl.String()),  # what was done to them, as written: 12/4051@7=0
        "target": pl.String(),
        "order": pl.Int32(),  # 1: a change; 2 and more: what the members do beyond their subsets
        "layers": pl.Int32(),  # from the last member's layer to the target's: how far the effect travels
        "held": pl.String(),  # what was held still in the model: "patterns, norms, mlps", or "nothing"
        "before": pl.Float64(),  # the target's value with nothing done
        "predicted": pl.Float64(),  # by the graph
        "measured": pl.Float64(),  # on the model
        "tolerance": pl.Float64(),  # largest |measured - predicted| at which the claim holds
        "holds": pl.Boolean(),
        "forced": pl.Boolean(),  # measured on a model whose fingerprint is not the run's
    }
)
"""Claims of a graph, each tried on the model it was made from."""

_FEATURE = re.compile(r"^(\d+)/(\d+)@(\d+)$")


def feature_name(layer: int, feature: int, pos: int) -> str:
    """Gives a feature node's name.

    Example:
        >>> feature_name(12, 4051, 7)
        '12/4051@7'
    """
    return f"{layer}/{feature}@{pos}"


def parse_feature(name: str) -> tuple[int, int, int] | None:
    """Gives (layer, feature, position) of a feature node's name, or None for any other text.

    Example:
        >>> parse_feature("12/4051@7"), parse_feature("tok@3")
        ((12, 4051, 7), None)
    """
    found = _FEATURE.match(name)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def edge_schema(names: pl.Series | list[str], *, double: bool = False) -> pl.Schema:
    """Gives the edge table's schema: source and target are Enums over the node names.

    An Enum stores each name as an integer whose order is the node table's (topological) order, so
    edges cost 4 bytes an end and are still filtered by name.

    Args:
        names: the node names, in the node table's order.
        double: weight and strength are float64 rather than float32.
    """
    ends = pl.Enum(names)
    number = pl.Float64() if double else pl.Float32()
    return pl.Schema({"source": ends, "target": ends, "weight": number, "strength": number})
