"""An attribution-graph document as a graph, or as a list of all that is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from circuits.errors import InvalidFile
from circuits.graph.graph import Graph
from circuits.graph.influence import with_influence
from circuits.interop.document_links import link_ends, link_weights, repeated, sorted_rows
from circuits.interop.document_nodes import (
    Found,
    found_nodes,
    labels,
    order_of,
    probability_of,
    supernodes,
    target_weights,
)
from circuits.interop.node_ids import Kind, output_token
from circuits.interop.problems import Problem, schema_problems, told
from circuits.schema import NODE_SCHEMA

KINDS: Final[dict[Kind, str]] = {
    "feature": "feature",
    "attention": "feature",
    "error": "error",
    "attention error": "error",
    "unknown": "error",
    "token": "token",
    "bias": "bias",
    "logit": "logit",
}
"""What each kind of a document's node is in the node table."""

UNKNOWN: Final = "biases, pre-activations and how features respond to them"
"""What no attribution-graph document says."""


@dataclass(frozen=True)
class Read:
    """A document that can be read.

    Attributes:
        document: as it stands.
        found: its nodes, in its own order.
        ends: source and target of its links, as places among the nodes.
        weights: of its links.
        order: the nodes' places in topological order.
        notes: what had to be guessed, in sentences.
    """

    document: Mapping[str, Any]
    found: list[Found]
    ends: tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]
    weights: Float[np.ndarray, "e"]
    order: Int[np.ndarray, "n"]
    notes: list[str]


def read(document: Any, name: str) -> Read:
    """Gives a document, checked.

    Args:
        document: what a JSON file holds.
        name: of the file, for errors.

    Raises:
        InvalidFile: anything about it is wrong; the first problems are told by their JSON paths.
    """
    found, problems = look(document)
    if found is None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
        raise InvalidFile(f"{name} is no attribution graph that can be read ({count}): {told(problems)}.")
    return found


def look(document: Any) -> tuple[Read | None, list[Problem]]:
    """Gives a document read, None where that cannot be done, and every error in it."""
    problems = list(schema_problems(document))
    if problems:
        return None, problems
    problems += _half_characters(document)
    found, wrong = found_nodes(document["nodes"])
    problems += wrong
    ends, notes, wrong = link_ends(document["links"], found)
    problems += wrong
    weights, wrong = link_weights(document["links"])
    problems += wrong + repeated(ends, len(found))
    whole = [one for one in found if one is not None]
    if len(whole) < len(found) or any((rows < 0).any() for rows in ends):
        return None, problems
    order, wrong = sorted_rows(ends, order_of(whole), whole)
    problems += wrong
    if problems:
        return None, problems
    return Read(document, whole, ends, weights, order, notes), []


def graph_of(read: Read, name: str) -> Graph:
    """Gives the graph of a document: its nodes, links, labels and groups; influence computed anew.

    What the format has no place for is null: a feature's pre-activation and how it responds. Biases are
    missing, so that weights need not sum to anything.

    Args:
        read: the document.
        name: of the file.
    """
    document, found, order = read.document, read.found, read.order
    outputs = [at for at, one in enumerate(found) if one.kind == "logit"]
    weight_of = target_weights(document["nodes"], outputs)
    receiving = np.bincount(read.ends[1], minlength=len(found)) > 0
    label, group = labels(document, found), supernodes(document, names_of(found))
    rows = []
    for at in order.tolist():
        node, one = document["nodes"][at], found[at]
        kind = KINDS[one.kind]
        rows.append(
            {
                "node": one.name,
                "kind": kind,
                "layer": one.layer,
                "pos": one.pos,
                "feature": one.feature,
                "activation": _activation(node, kind),
                "expanded": kind == "logit" or (kind == "feature" and bool(receiving[at])),
                "truncated": 0.0,
                "target_weight": weight_of.get(at, 0.0),
                "concept": group.get(one.name),
                "label": label[at],
            }
        )
    place = np.empty(len(found), np.int64)
    place[order] = np.arange(len(found))
    table = pl.DataFrame(rows, schema=NODE_SCHEMA)
    source, target = (place[rows].astype(np.int32) for rows in read.ends)
    strength = per_unit(table, source, read.weights)
    graph = Graph.of(table, (source, target), (read.weights, strength), _meta(read, outputs, weight_of, name))
    return with_influence(graph) if len(found) else graph


def per_unit(
    nodes: pl.DataFrame, source: Int[np.ndarray, "e"], weights: Float[np.ndarray, "e"]
) -> Float[np.ndarray, "e"]:
    """Gives weights per unit of their source's activation; the weights where that is unknown or 0."""
    activation = nodes["activation"].fill_null(1.0).to_numpy()[source]
    with np.errstate(over="ignore"):  # by an activation that is next to nothing
        found = np.divide(weights, activation, out=weights.copy(), where=activation != 0)
    return np.where(np.isfinite(found), found, weights)


def names_of(found: Sequence[Found]) -> dict[str, str]:
    """Gives the names here of a document's ids; of two nodes with one id, the feature's."""
    return {one.id: one.name for one in sorted(found, key=lambda one: one.kind != "error")}


def _activation(node: Mapping[str, Any], kind: str) -> float | None:
    if kind == "feature":
        value = node.get("activation")
        return None if value is None else float(value)
    return None if kind == "logit" else 1.0


def _meta(read: Read, outputs: Sequence[int], weight_of: Mapping[int, float], name: str) -> dict[str, Any]:
    """Gives the graph's meta: prompt, targets, model; where it came from and what is not known of it."""
    told_, nodes = read.document["metadata"], read.document["nodes"]
    words = {one.pos: one for one in read.found if one.kind == "token"}
    ids = [_token_id(words.get(pos)) for pos in range(len(told_["prompt_tokens"]))]
    heaviest = sorted(outputs, key=lambda at: -weight_of[at])
    targets = [
        {
            "name": read.found[at].name,
            "tokens": [output_token(dict(nodes[at]))],
            **({} if nodes[at]["feature"] is None else {"token_ids": [int(nodes[at]["feature"])]}),
            "probability": probability_of(nodes[at]),
        }
        for at in heaviest
    ]
    generator = (told_.get("info") or {}).get("generator") or {}
    by = " ".join(str(generator[key]) for key in ("name", "version") if key in generator)
    return {
        "prompt": {
            "text": told_["prompt"],
            **({"ids": ids} if ids and None not in ids else {}),
            "tokens": list(told_["prompt_tokens"]),
        },
        "targets": targets,
        "model": {"name": told_["scan"]},
        "n_tokens": len(told_["prompt_tokens"]),
        "labels": "labels are those of the file",
        "imported": {
            "format": "attribution-graph JSON",
            "file": name,
            **({"by": by} if by else {}),
            "unknown": UNKNOWN,
            **({"notes": read.notes} if read.notes else {}),
        },
    }


def _token_id(word: Found | None) -> int | None:
    """Gives the token's number in an embedding's id, E_{token}_{pos}."""
    parts = word.id.split("_") if word else []
    return int(parts[1]) if len(parts) == 3 and parts[1].isascii() and parts[1].isdigit() else None


def _half_characters(document: Any) -> Iterator[Problem]:
    """Gives texts that hold half a character, which no file of text can."""
    for path, text in texts(document):
        try:
            text.encode()
        except UnicodeEncodeError as cause:
            half = f"\\u{ord(text[cause.start]):04x}"
            yield Problem(path, f"holds {half}, half a character, which no text can", sort="characters")


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Gives every text of a document, keys included, with its path."""
    if isinstance(value, str):
        if not value.isascii():
            yield path, value
    elif isinstance(value, dict):
        for key, part in value.items():
            below = f"{path}.{key}" if path else key
            if not key.isascii():
                yield path, key
            yield from texts(part, below)
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from texts(part, f"{path}[{at}]")


def not_numbers(value: Any, path: str = "") -> Iterator[Problem]:
    """Gives every NaN and infinity of a document: JSON has none, and browsers refuse the file."""
    if isinstance(value, float):
        if not math.isfinite(value):
            yield Problem(path, f"{value} is not JSON: browsers refuse the whole file", sort="not JSON")
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from not_numbers(part, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for at, part in enumerate(value):
            yield from not_numbers(part, f"{path}[{at}]")
