"""Everything a document's author should know: errors, what viewers stop at, what they show wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from circuits.interop.document import look, not_numbers
from circuits.interop.document_nodes import clerps
from circuits.interop.extra import KEY, checksum, has_extra
from circuits.interop.node_ids import (
    TYPES,
    cantor,
    feature_of,
    kind_of,
    layer_of,
    probability_in,
    uncantor,
)
from circuits.interop.problems import Problem, short

UPLOAD: Final = 100 * 1024 * 1024
"""Bytes that Neuronpedia takes, at most."""


def checks(document: Any, size: int = 0) -> list[Problem]:
    """Gives every problem of a document, errors first.

    Args:
        document: what a JSON file holds.
        size: of the file, in bytes.
    """
    found, problems = look(document)
    known = {problem.path for problem in problems}
    problems += [problem for problem in not_numbers(document) if problem.path not in known]
    if not any(problem.sort == "schema" for problem in problems):
        problems += [*_viewers(document), *_saved_state(document), *_features(document)]
        if found is not None:
            problems += _twins(document)
        if has_extra(document) and found is not None and document[KEY].get("checksum") != checksum(document):
            text = "out of date: nodes or links were changed since it was written; an import leaves it aside"
            problems.append(Problem(KEY, text, "warning", "extra"))
    if size > UPLOAD:
        text = f"{size:,} bytes: Neuronpedia takes {UPLOAD:,} at most"
        problems.append(Problem("", text, "warning", "size"))
    return sorted(problems, key=lambda problem: problem.level == "warning")


def _viewers(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Gives what the web viewers stop at, or cannot show."""
    nodes, told = document["nodes"], document["metadata"]
    n_tokens = len(told["prompt_tokens"])
    for at, node in enumerate(nodes):
        if node["feature_type"] == "logit" and node["clerp"] and probability_in(node["clerp"]) is None:
            text = f"{short(node['clerp'])} has no (p=0.123), which the web viewers need in an output's label"
            yield Problem(f"nodes[{at}].clerp", text, "viewer", "p")
        if node["ctx_idx"] >= 0 and node["ctx_idx"] >= n_tokens:
            text = f"position {node['ctx_idx']} of a prompt of {n_tokens} tokens"
            yield Problem(f"nodes[{at}].ctx_idx", text, "warning", "beyond")
        if node["feature_type"].strip().lower() not in TYPES and "error" not in node["feature_type"].lower():
            text = f"{short(node['feature_type'])} is no type that the viewers know"
            yield Problem(f"nodes[{at}].feature_type", text, "warning", "type")
    layers = [layer_of(node) for node in nodes if node["feature_type"] != "logit"]
    if max((layer for layer in layers if layer is not None), default=0) == 0:
        text = "the highest layer is 0, which Neuronpedia's viewer takes for none at all: it shows nothing"
        yield Problem("nodes", text, "viewer", "layers")
    if not any(node["feature_type"] == "logit" for node in nodes):
        yield Problem("nodes", "there is no output (feature_type logit)", "warning", "outputs")
    if told.get("schema_version") is None:
        text = "missing: Neuronpedia then reads the numbers of features in an older way"
        yield Problem("metadata.schema_version", text, "warning", "version")
    if "node_threshold" in told and told["node_threshold"] is None:
        text = "null, which Neuronpedia's schema forbids: leave it out"
        yield Problem("metadata.node_threshold", text, "warning", "threshold")


def _saved_state(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Gives what of `qParams` names no node, or is written as one of the viewers cannot read it."""
    params = document["qParams"]
    ids = {node["node_id"] for node in document["nodes"]}
    for at, pinned in enumerate(params.get("pinnedIds", ())):
        if pinned not in ids:
            yield Problem(
                f"qParams.pinnedIds[{at}]", f"no node has the id {short(pinned)}", "warning", "pins"
            )
    for at, group in enumerate(params.get("supernodes", ())):
        path = f"qParams.supernodes[{at}]"
        if not isinstance(group, list) or not group or not all(isinstance(part, str) for part in group):
            text = f"{short(group)} is no list of a name and node ids"
            yield Problem(path, text, "warning", "groups")
            continue
        for inner, member in enumerate(group[1:], 1):
            if member not in ids:
                text = f"no node has the id {short(member)}"
                yield Problem(f"{path}[{inner}]", text, "warning", "groups")
    if params.get("clerps"):
        listed = isinstance(params["clerps"], list)
        whose = (
            "circuit-tracer's viewer wants a text here"
            if listed
            else "Neuronpedia's viewer wants a list here"
        )
        text = f"{whose} and stops: labels in the nodes' clerp are read by both"
        yield Problem("qParams.clerps", text, "warning", "clerps")
        if not clerps(params):
            yield Problem("qParams.clerps", "no pairs of a key and a label", "warning", "clerps")


def _features(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Gives features whose number is not the Cantor pairing of their layer and feature."""
    if document["metadata"].get("schema_version") != 1:
        return
    for at, node in enumerate(document["nodes"]):
        if kind_of(node) not in ("feature", "attention"):
            continue
        layer, feature = layer_of(node), feature_of(node)
        if layer is None or feature is None or node["feature"] == cantor(layer, feature):
            continue
        number = node["feature"]
        shown = uncantor(int(number)) if number is not None and number >= 0 else None
        right = cantor(layer, feature)
        text = f"{short(number)} is not {right}, the Cantor pairing of layer {layer} and feature {feature}"
        if shown:
            text += f": viewers look up feature {shown[1]} of layer {shown[0]}"
        yield Problem(f"nodes[{at}].feature", text, "warning", "cantor")


def _twins(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Gives ids that a feature of layer 0 and an error share: viewers take one for the other."""
    seen: dict[str, int] = {}
    for at, node in enumerate(document["nodes"]):
        if node["node_id"] in seen:
            text = (
                f"{short(node['node_id'])} is the id of nodes[{seen[node['node_id']]}] too, a feature and an"
                " error: viewers mix their links"
            )
            yield Problem(f"nodes[{at}].node_id", text, "warning", "twins")
        seen.setdefault(node["node_id"], at)
