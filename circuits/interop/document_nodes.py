"""The nodes of an attribution-graph document: what each is, how it is called here, what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Int

from circuits.interop.node_ids import (
    LARGEST,
    Kind,
    feature_of,
    kind_of,
    layer_of,
    output_token,
    probability_in,
)
from circuits.interop.problems import Problem, short
from circuits.schema import feature_name

BANDS: Final[dict[Kind, int]] = {"token": 0, "bias": 1, "logit": 3}
"""Where a kind stands in topological order before its layer is looked at; the others are 2."""

WITHIN: Final[dict[Kind, int]] = {"attention": 0, "attention error": 1, "feature": 2}
"""Where it stands within its layer: attention comes before the MLP; the others are 3."""


@dataclass(frozen=True)
class Found:
    """One node of a document, as it will stand in the node table.

    Attributes:
        name: its name here.
        id: its `node_id` there.
        kind: what it is.
        layer: None for words and outputs.
        pos: its position.
        feature: its number in the dictionary, for features.
    """

    name: str
    id: str
    kind: Kind
    layer: int | None
    pos: int
    feature: int | None

    @property
    def order(self) -> tuple[int, int, int, int, int]:
        """Gives what nodes are sorted by, unless their links say otherwise."""
        layer = -1 if self.layer is None else self.layer
        within = WITHIN.get(self.kind, 3)
        return BANDS.get(self.kind, 2), layer, within, self.pos, -1 if self.feature is None else self.feature


def found_nodes(nodes: Sequence[Mapping[str, Any]]) -> tuple[list[Found | None], list[Problem]]:
    """Gives the nodes in the document's order (None where one cannot be read), and what is wrong.

    Args:
        nodes: of a document that keeps the schema.
    """
    problems: list[Problem] = []
    found: list[Found | None] = []
    outputs: dict[str, int] = {}
    names: dict[str, int] = {}
    ids: dict[str, list[int]] = {}
    for at, node in enumerate(nodes):
        one, wrong = _found(dict(node), at, outputs)
        problems += wrong
        found.append(one)
        same = ids.setdefault(node["node_id"], [])
        if one is not None and any(not _collide(one, found[other]) for other in same):
            problems.append(
                Problem(
                    f"nodes[{at}].node_id", f"{short(one.id)} is also that of nodes[{same[0]}]", sort="ids"
                )
            )
        elif one is not None and one.name in names:
            problems.append(
                Problem(
                    f"nodes[{at}]", f"the same node as nodes[{names[one.name]}]: {one.name}", sort="names"
                )
            )
        same.append(at)
        if one is not None:
            names.setdefault(one.name, at)
    return found, problems


def _found(node: dict[str, Any], at: int, outputs: dict[str, int]) -> tuple[Found | None, list[Problem]]:
    """Gives one node, and what is wrong with it."""
    kind, layer, pos, id_ = kind_of(node), layer_of(node), int(node["ctx_idx"]), node["node_id"]
    wrong = list(_misplaced(node, at, kind))
    if wrong:
        return None, wrong
    if kind == "token":
        return Found(f"tok@{pos}", id_, kind, None, pos, None), wrong
    if kind == "logit":
        return Found(_output_name(node, outputs), id_, kind, None, pos, None), wrong
    if kind == "error":
        return Found(f"err{layer}@{pos}", id_, kind, layer, pos, None), wrong
    if kind == "attention error":
        return Found(f"errattn{layer}@{pos}", id_, kind, layer, pos, None), wrong
    if kind in ("bias", "unknown"):
        word = "bias" if kind == "bias" else "unknown"
        return Found(f"{word}:{id_}", id_, kind, layer, pos, None), wrong
    feature = feature_of(node)
    if feature is None or feature > LARGEST:
        said = f"{short(node['feature'])} with the id {short(id_)} names no feature"
        return None, [*wrong, Problem(f"nodes[{at}].feature", said, sort="features")]
    assert layer is not None  # _misplaced saw to it
    name = feature_name(layer, feature, pos)
    return Found(f"attn{name}" if kind == "attention" else name, id_, kind, layer, pos, feature), wrong


def _misplaced(node: Mapping[str, Any], at: int, kind: Kind) -> Iterator[Problem]:
    """Gives what is wrong with a node's layer and position."""
    if kind not in ("token", "logit", "bias", "unknown") and layer_of(dict(node)) is None:
        yield Problem(f"nodes[{at}].layer", f"{short(node['layer'])} is no layer", sort="layers")
    if not 0 <= node["ctx_idx"] <= LARGEST:
        yield Problem(f"nodes[{at}].ctx_idx", f"{short(node['ctx_idx'])} is no position", sort="positions")


def _output_name(node: Mapping[str, Any], outputs: dict[str, int]) -> str:
    """Gives an output's name as our own are named: its token, with its number where two are alike."""
    token = output_token(dict(node))
    name = f"logit:{token.strip() or repr(token)}"
    outputs[name] = outputs.get(name, 0) + 1
    return name if outputs[name] == 1 else f"{name}#{node['feature']}"


def _collide(one: Found, other: Found | None) -> bool:
    """Tells whether two nodes share an id only because errors were once written 0_{layer}_{pos}."""
    if other is None:
        return False
    error, feature = (one, other) if one.kind == "error" else (other, one)
    return (
        error.kind == "error"
        and feature.kind == "feature"
        and error.id == f"0_{error.layer}_{error.pos}"
        and (feature.layer, feature.feature, feature.pos) == (0, error.layer, error.pos)
    )


def target_weights(nodes: Sequence[Mapping[str, Any]], outputs: Sequence[int]) -> dict[int, float]:
    """Gives what each output weighs in influence: `token_prob`, else the label's p, else all alike.

    Args:
        nodes: of the document.
        outputs: which of them are outputs.
    """
    chances = {at: probability_of(nodes[at]) for at in outputs}
    known = {at: chance for at, chance in chances.items() if chance is not None and chance > 0}
    if known:
        return {at: known.get(at, 0.0) for at in outputs}
    return {at: 1 / len(outputs) for at in outputs}


def probability_of(node: Mapping[str, Any]) -> float | None:
    """Gives an output's probability, where the document has it."""
    chance = node.get("token_prob")
    if (
        isinstance(chance, int | float)
        and not isinstance(chance, bool)
        and np.isfinite(chance)
        and chance > 0
    ):
        return float(chance)
    written = probability_in(node["clerp"])
    return written if written is not None and np.isfinite(written) and written >= 0 else None


def labels(document: Mapping[str, Any], found: Sequence[Found]) -> list[str | None]:
    """Gives each feature's label: the one in `qParams.clerps`, else its `clerp`.

    `clerps` are pairs, as a list or as JSON in a text; a key is the Cantor number, or
    `{layer}_{Cantor number}_{position}`.
    """
    given = dict(clerps(document["qParams"]))
    told: list[str | None] = []
    for node, one in zip(document["nodes"], found, strict=True):
        place = f"{node['layer']}_{node['feature']}_{node['ctx_idx']}"
        own = node["clerp"] if one.kind in ("feature", "attention", "bias", "unknown") else ""
        if one.kind in ("feature", "attention"):
            own = given.get(place) or given.get(str(node["feature"])) or own
        told.append(own or None)
    return told


def clerps(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Gives the pairs of key and label in `qParams.clerps`; nothing where there are none that can be read."""
    written = params.get("clerps")
    if isinstance(written, str):
        try:
            written = json.loads(written)
        except ValueError:
            return []
    pairs = written if isinstance(written, list) else []
    return [
        (str(pair[0]), pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str)
    ]


def supernodes(document: Mapping[str, Any], rows: Mapping[str, str]) -> dict[str, str]:
    """Gives the concept of each node that a supernode holds, by the node's name.

    A node is in one concept: the first supernode that names it. Two supernodes of one name are numbered.

    Args:
        document: the document.
        rows: the names here of the document's ids.
    """
    chosen: dict[str, str] = {}
    used: dict[str, int] = {}
    taken = set(rows.values())
    for group in document["qParams"].get("supernodes") or ():
        if not isinstance(group, list) or not all(isinstance(part, str) for part in group) or len(group) < 2:
            continue
        name, members = group[0].strip(), [rows[part] for part in group[1:] if part in rows]
        members = [node for node in members if node not in chosen]
        if not name or not members:
            continue
        used[name] = used.get(name, 0) + 1
        name = name if used[name] == 1 else f"{name} ({used[name]})"
        name = f"{name} (group)" if name in taken else name
        chosen |= dict.fromkeys(members, name)
    return chosen


def order_of(found: Sequence[Found]) -> Int[np.ndarray, "n"]:
    """Gives the nodes' places in order: words, layers from below, outputs."""
    keys = np.array([one.order for one in found], np.int64).reshape(len(found), 5)
    return np.lexsort(keys.T[::-1])
