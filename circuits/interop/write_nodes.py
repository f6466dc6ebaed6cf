"""Nodes of a graph as nodes of an attribution-graph document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float

from circuits.graph.graph import Graph
from circuits.graph.influence import influence
from circuits.interop.node_ids import cantor

VIRTUAL: Final = 1_000_000_000
"""Token numbers from here on are made up: for outputs that are no single token, and unknown words."""

CONCEPTS: Final = 900_000_000
"""Feature numbers from here on are made up: for the nodes of a graph of concepts."""

PROBABILITY: Final = "(p="
"""What the viewers look for in an output's label; they stop with an error where it is missing."""


@dataclass(frozen=True)
class Written:
    """The nodes of a document.

    Attributes:
        nodes: as the format has them, in the node table's order.
        ids: their ids, by our names.
        left_out: how many nodes of each kind the format has no place for.
    """

    nodes: list[dict[str, Any]]
    ids: dict[str, str]
    left_out: dict[str, int]


def written_nodes(graph: Graph) -> Written:
    """Gives the nodes that the format has a place for: features, errors, words, outputs."""
    shares = cumulative(graph)
    top, outputs, words = str(layers_of(graph) + 1), _outputs(graph), _words(graph)
    nodes: list[dict[str, Any]] = []
    ids: dict[str, str] = {}
    left_out: dict[str, int] = {}
    for at, row in enumerate(graph.nodes.iter_rows(named=True)):
        name, kind, pos, share = row["node"], row["kind"], row["pos"] or 0, float(shares[at])
        if kind == "logit":
            node = _output(pos, top, outputs[name])
        elif row["pos"] is not None and name.startswith(("bias:", "unknown:")):
            node = _other(row, pos, share)
        elif kind == "token" and row["pos"] is not None:
            node = _word(pos, words.get(pos, VIRTUAL + pos), share)
        elif kind == "error" and None not in (row["pos"], row["layer"]):
            node = _error(row, pos, share)
        elif kind == "feature" and None not in (row["feature"], row["layer"]):
            node = _feature(row, pos, share)
        elif kind in ("feature", "token", "error"):  # a concept, in a graph of concepts
            made_up = {"feature": CONCEPTS + at, "layer": row["layer"] or 0, "label": row["label"] or name}
            node = _feature(row | made_up, pos, share)
        else:
            left_out[kind] = left_out.get(kind, 0) + 1
            continue
        ids[name] = node["node_id"]
        nodes.append(node)
    return Written(nodes, ids, left_out)


def _node(id_: str, layer: str, pos: int, kind: str, **more: Any) -> dict[str, Any]:
    """Gives a node with all keys that circuit-tracer writes, in its order."""
    base: dict[str, Any] = {
        "node_id": id_,
        "feature": None,
        "layer": layer,
        "ctx_idx": pos,
        "feature_type": kind,
    }
    base |= {"token_prob": 0.0, "is_target_logit": False, "run_idx": 0, "reverse_ctx_idx": 0}
    base |= {"jsNodeId": id_, "clerp": "", "influence": None, "activation": None}
    return base | more


def _feature(row: Mapping[str, Any], pos: int, share: float) -> dict[str, Any]:
    layer, feature = row["layer"], row["feature"]
    attention = row["node"].startswith("attn")
    return _node(
        f"{layer}_lor_{feature}_{pos}" if attention else f"{layer}_{feature}_{pos}",
        str(layer),
        pos,
        "lorsa" if attention else "cross layer transcoder",
        feature=cantor(layer, feature),
        jsNodeId=f"{layer}_{feature}-0",
        clerp=row["label"] or "",
        influence=share,
        activation=row["activation"],
    )


def _error(row: Mapping[str, Any], pos: int, share: float) -> dict[str, Any]:
    layer, attention = row["layer"], row["node"].startswith("errattn")
    middle = "-1_attn" if attention else "-1"
    return _node(
        f"{layer}_{middle}_{pos}",
        str(layer),
        pos,
        "lorsa error" if attention else "mlp reconstruction error",
        feature=-1,
        jsNodeId=f"{layer}_{pos}-0",
        influence=share,
    )


def _word(pos: int, token: int, share: float) -> dict[str, Any]:
    return _node(
        f"E_{token}_{pos}", "E", pos, "embedding", feature=pos, jsNodeId=f"E_{token}-{pos}", influence=share
    )


def _output(pos: int, layer: str, target: Mapping[str, Any]) -> dict[str, Any]:
    token, chance = target["token_id"], target["probability"]
    said = target["token"].replace(PROBABILITY, "(p =")  # else the viewers read the wrong number
    return _node(
        f"{layer}_{token}_{pos}",
        layer,
        pos,
        "logit",
        feature=token,
        token_prob=chance,
        is_target_logit=target["first"],
        jsNodeId=f"L_{token}-{pos}",
        clerp=f'Output "{said}" {PROBABILITY}{chance:.3f})',
    )


def _other(row: Mapping[str, Any], pos: int, share: float) -> dict[str, Any]:
    word, _, id_ = row["node"].partition(":")
    layer = "E" if row["layer"] is None else str(row["layer"])
    return _node(id_ or row["node"], layer, pos, word, clerp=row["label"] or "", influence=share)


def _outputs(graph: Graph) -> dict[str, dict[str, Any]]:
    """Gives token, number and probability of every output, heaviest first; what `meta` lacks is made up."""
    known = {
        entry.get("name"): entry for entry in graph.meta.get("targets") or () if isinstance(entry, Mapping)
    }
    rows = graph.nodes.filter(pl.col("kind") == "logit").sort(
        "target_weight", descending=True, maintain_order=True
    )
    told: dict[str, dict[str, Any]] = {}
    used: set[int] = set()
    for at, (name, weight) in enumerate(rows.select("node", "target_weight").iter_rows()):
        entry = known.get(name) or {}
        numbers, tokens = list(entry.get("token_ids") or ()), list(entry.get("tokens") or ())
        one = len(numbers) == 1 and numbers[0] not in used
        chance = entry.get("probability")
        told[name] = {
            "token": str(tokens[0]) if len(tokens) == 1 else name.removeprefix("logit:"),
            "token_id": int(numbers[0]) if one else VIRTUAL + at,
            "probability": float(weight if chance is None else chance),
            "first": at == 0,
        }
        used.add(told[name]["token_id"])
    return told


def _words(graph: Graph) -> dict[int, int]:
    """Gives the prompt's token numbers by position, where `meta` has them."""
    ids = (graph.meta.get("prompt") or {}).get("ids") or ()
    return {pos: int(token) for pos, token in enumerate(ids)}


def layers_of(graph: Graph) -> int:
    """Gives the number of layers: the dictionary's, or as many as the nodes reach."""
    listed = (graph.meta.get("dictionary") or {}).get("layers") or ()
    reached: Iterable[int] = graph.nodes["layer"].drop_nulls().to_list()
    return max([-1, *reached, *(layer for layer in listed if isinstance(layer, int))]) + 1


def cumulative(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives what the format calls influence: for each node the share held by it and all stronger ones.

    Nodes are sorted by influence (`circuits.graph.influence`), strongest first, and their shares summed up,
    as circuit-tracer does it. A viewer shows the nodes up to a threshold, so the strongest have the *least*.
    """
    strength = np.maximum(influence(graph), 0) if len(graph.nodes) else np.zeros(0)
    order = np.argsort(-strength, kind="stable")
    total = float(strength.sum())
    shares = np.ones(len(strength))
    if total > 0:
        shares[order] = np.minimum(np.cumsum(strength[order]) / total, 1.0)
    return shares
