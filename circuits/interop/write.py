"""A graph as an attribution-graph document, version 1."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Bool

from circuits.graph.concepts import known
from circuits.graph.graph import Graph
from circuits.interop.document import Read, names_of
from circuits.interop.document_nodes import clerps, labels, supernodes
from circuits.interop.kept import Difference, applied, difference
from circuits.interop.write_nodes import written_nodes

THRESHOLD: Final = 0.8
"""The share of influence that viewers show at first; more with their slider."""

PLACEHOLDER: Final = "placeholder"
"""What a node is called that stands for nothing, see `with_placeholder`."""


@dataclass(frozen=True)
class Document:
    """A document, and what a reader of it should know.

    Attributes:
        document: JSON-compatible.
        left_out: nodes of each kind, and links, that the format has no place for.
        ids: the document's node ids, by our names.
        links: which of the graph's edges are links, in order.
        mended: how many errors bear another id than they came with, for it was also a feature's.
    """

    document: dict[str, Any]
    left_out: dict[str, int]
    ids: dict[str, str]
    links: Bool[np.ndarray, "e"]
    mended: int = 0


def written(graph: Graph, *, slug: str | None = None) -> Document:
    """Gives the document of a graph, without what the format has no place for.

    Labels are in the nodes' `clerp`, which all viewers read; `qParams.clerps` is not written, for one viewer
    wants a list there and another JSON in a text, and each stops with an error at the other's.

    Args:
        graph: any graph.
        slug: the document's name for itself; made of the prompt unless given.
    """
    nodes = written_nodes(graph)
    kept = (graph.meta.get("imported") or {}).get("kept") or {}
    source, target = graph.ends
    names = graph.nodes["node"].to_list()
    here = np.array([name in nodes.ids for name in names], bool)
    carried = here[source] & here[target]
    placed = [_as_read(node, kept, graph, name) for node, name in zip(nodes.nodes, nodes.ids, strict=True)]
    mended = _apart(placed)
    ids = {name: node["node_id"] for name, node in zip(nodes.ids, placed, strict=True)}
    links = _links(graph, carried, [ids.get(name, "") for name in names], kept.get("links") or ())
    document = {
        "metadata": applied(_metadata(graph, slug), _but_slug(kept.get("metadata"), slug)),
        "qParams": _but_clerps(
            _params(graph, ids, kept), graph, kept, dict(zip(nodes.ids, placed, strict=True))
        ),
        "nodes": placed,
        "links": links,
    }
    document = applied(document, kept.get("document"))
    if not kept:
        with_placeholder(document)
    left_out = dict(nodes.left_out)
    if lost := int((~carried).sum()):
        left_out["links"] = lost
    return Document(document, left_out, ids, carried, mended)


def with_placeholder(document: dict[str, Any]) -> None:
    """Adds a node of layer 1 without links where the highest layer is 0: Neuronpedia's viewer needs one.

    It looks for the highest layer among features, errors and words, and takes 0 for none at all.
    """
    layers = [
        int(node["layer"])
        for node in document["nodes"]
        if node["feature_type"] != "logit" and node["layer"] != "E"
    ]
    if max(layers, default=0) > 0:
        return
    last = max(len(document["metadata"]["prompt_tokens"]) - 1, 0)
    node = {"node_id": f"1_-1_{last}", "feature": -1, "layer": "1", "ctx_idx": last}
    node |= {"feature_type": "mlp reconstruction error", "token_prob": 0.0, "is_target_logit": False}
    node |= {"run_idx": 0, "reverse_ctx_idx": 0, "jsNodeId": f"1_{last}-0", "clerp": "", "influence": 1.0}
    document["nodes"].append(node | {"activation": None, PLACEHOLDER: True})


def keeping(graph: Graph, read: Read) -> Graph:
    """Gives a graph made from a document with all that `written` would not say of it, in its `meta`.

    Args:
        graph: made from the document.
        read: the document.
    """
    imported = {key: value for key, value in (graph.meta.get("imported") or {}).items() if key != "kept"}
    kept = _differences(written(graph.with_meta(imported=imported)), read)
    _put(kept, "groups", _groups(graph))
    return graph.with_meta(imported={**imported, "kept": kept or {"nodes": {}}})


def with_changes(graph: Graph, read: Read, slug: str | None) -> Graph:
    """Gives a graph that was written here, with what was changed in its document since: labels, groups, keys.

    Args:
        graph: as it was when it was written.
        read: the document now, its nodes and links unchanged, without its object `circuits`.
        slug: what the document called itself.
    """
    made = written(graph, slug=slug)
    changed = _differences(made, read)
    if not changed:
        return graph
    then = Read(
        made.document, *(getattr(read, name) for name in ("found", "ends", "weights", "order", "notes"))
    )
    label = dict(zip(graph.nodes["node"], graph.nodes["label"], strict=True))
    before = dict(zip(made.ids, made.document["nodes"], strict=False))
    for one, now in zip(read.found, labels(read.document, read.found), strict=True):
        if one.kind in ("feature", "attention") and (now or "") != before[one.name]["clerp"]:
            label[one.name] = now
    columns = {"label": pl.Series([label[name] for name in graph.index], dtype=pl.String)}
    groups = [supernodes(one.document, names_of(one.found)) for one in (then, read)]
    if groups[0] != groups[1]:
        columns["concept"] = pl.Series([groups[1].get(name) for name in graph.index], dtype=pl.String)
    return keeping(graph.with_nodes(**columns), read)


def _differences(made: Document, read: Read) -> dict[str, Any]:
    """Gives how a document differs from the one we made of its graph, part by part; empty if it does not."""
    theirs, ours = read.document, made.document
    kept: dict[str, Any] = {}
    for part in ("metadata", "qParams"):
        _put(kept, part, difference(ours[part], theirs[part]))
    mine = dict(zip(made.ids, ours["nodes"], strict=False))  # a placeholder may follow
    nodes: dict[str, Any] = {}
    for one, node, label in zip(read.found, theirs["nodes"], labels(theirs, read.found), strict=True):
        differs = difference(mine[one.name], node)
        if "clerp" in differs.get("set", {}) and one.kind in ("feature", "attention"):
            differs["label"] = label
        _put(nodes, one.name, differs)
    _put(kept, "nodes", nodes)
    rest = {key: value for key, value in theirs.items() if key not in PARTS}
    _put(kept, "document", difference({key: value for key, value in ours.items() if key not in PARTS}, rest))
    links = _links_differ(made, read)
    _put(kept, "links", links)
    return kept


def _links_differ(made: Document, read: Read) -> list[list[Any]]:
    """Gives the links that bear other keys than ours: source, target, difference; mostly there are none."""
    theirs = read.document["links"]
    more = [at for at, link in enumerate(theirs) if len(link) > len(LINK)]
    mine = {
        (link["source"], link["target"]): link for link in made.document["links"] if len(link) > len(LINK)
    }
    found = []
    for at in more:
        one, other = (read.found[int(ends[at])].name for ends in read.ends)
        differs = difference(mine.get((made.ids[one], made.ids[other]), {}), theirs[at])
        keys = {key: value for key, value in differs.get("set", {}).items() if key not in LINK}
        if keys:
            found.append([one, other, {"set": keys}])
    return found


PARTS: Final = ("metadata", "qParams", "nodes", "links")
LINK: Final = ("source", "target", "weight")


def _put(into: dict[str, Any], key: str, value: Any) -> None:
    if value:
        into[key] = value


def _but_clerps(
    params: dict[str, Any], graph: Graph, kept: Mapping[str, Any], nodes: Mapping[str, dict[str, Any]]
) -> dict[str, Any]:
    """Gives a saved state without the labels of features that were labelled anew here, in its own form."""
    pairs = clerps(params)
    told = {name: differs for name, differs in (kept.get("nodes") or {}).items() if "label" in differs}
    anew = {
        name
        for name, differs in told.items()
        if name in graph.index and _label(graph, name) != differs["label"]
    }
    if not pairs or not anew:
        return params
    gone = {key for name in anew for key in _clerp_keys(nodes[name])}
    left = [[key, label] for key, label in pairs if key not in gone]
    return params | {"clerps": json.dumps(left) if isinstance(params["clerps"], str) else left}


def _clerp_keys(node: Mapping[str, Any]) -> tuple[str, str]:
    """Gives the two keys a feature's label can have."""
    return f"{node['layer']}_{node['feature']}_{node['ctx_idx']}", str(node["feature"])


def _label(graph: Graph, name: str) -> Any:
    return graph.nodes["label"][graph.row(name)]


def _as_read(node: dict[str, Any], kept: Mapping[str, Any], graph: Graph, name: str) -> dict[str, Any]:
    """Gives a node with what its document said of it, except a label that was changed here."""
    differs = (kept.get("nodes") or {}).get(name)
    if not differs:
        return node
    relabelled = "label" in differs and _label(graph, name) != differs["label"]
    whole = applied(node, differs)
    return whole | {"clerp": node["clerp"]} if relabelled else whole


def _apart(nodes: list[dict[str, Any]]) -> int:
    """Gives errors that came with a feature's id, 0_{layer}_{pos}, an id of their own; gives how many."""
    ids = Counter(node["node_id"] for node in nodes)
    errors = [n for n in nodes if ids[n["node_id"]] > 1 and "error" in n["feature_type"].lower()]
    for node in errors:
        node["node_id"] = f"{node['layer']}_-1_{node['ctx_idx']}"
    return len(errors)


def _links(graph: Graph, carried: Bool[np.ndarray, "e"], ids: list[str], more: Any) -> list[dict[str, Any]]:
    source, target = (rows[carried].tolist() for rows in graph.ends)
    weights = graph.edges["weight"].to_numpy()[carried].astype(np.float64).tolist()
    links: list[dict[str, Any]] = [
        {"source": ids[s], "target": ids[t], "weight": w}
        for s, t, w in zip(source, target, weights, strict=True)
    ]
    if more:
        place = {pair: at for at, pair in enumerate(zip(source, target, strict=True))}
        for one, other, differs in more:
            pair = (graph.index.get(one, -1), graph.index.get(other, -1))
            if pair in place:
                links[place[pair]] = applied(links[place[pair]], differs)
    return links


def _metadata(graph: Graph, slug: str | None) -> dict[str, Any]:
    from circuits import __version__

    prompt = graph.meta.get("prompt") or {}
    length = max(graph.nodes["pos"].drop_nulls().to_list(), default=0) + 1
    tokens = prompt.get("tokens") or [f"[{pos}]" for pos in range(length)]
    text = str(prompt.get("text") or "".join(tokens))
    model = graph.meta.get("model") or {}
    pruned = graph.meta.get("pruned") or {}
    shares = {key: pruned[key] for key in ("node_threshold", "edge_threshold") if key in pruned}
    return {
        "slug": slug or slug_of(text),
        "scan": str(model.get("name") or model.get("spec") or "unknown"),
        "transcoder_list": [],
        "prompt_tokens": [str(token) for token in tokens],
        "prompt": text,
        "node_threshold": THRESHOLD,
        "schema_version": 1,
        "info": {"generator": {"name": "circuits", "version": __version__}},
        **({"pruning_settings": shares} if shares else {}),
    }


def slug_of(text: str) -> str:
    """Gives a prompt as a name for files and addresses.

    Example:
        >>> slug_of("The capital of France is")
        'the-capital-of-france-is'
    """
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[:60].strip("-") or "graph"


def _params(graph: Graph, ids: Mapping[str, str], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Gives the saved state of a viewer: concepts as supernodes, their members pinned."""
    groups = [
        [concept.name, *(ids[node] for node in concept.nodes if node in ids)] for concept in known(graph)
    ]
    groups = [group for group in groups if len(group) > 1]
    ours: dict[str, Any] = {
        "pinnedIds": [node for group in groups for node in group[1:]],
        "supernodes": groups,
        "linkType": "both",
        "clickedId": "",
        "sg_pos": "",
    }
    differs: Difference = kept.get("qParams") or {}
    if kept and _groups(graph) != kept.get("groups", {}):  # grouped anew here
        theirs = differs.get("set", {})
        pinned = theirs.get("pinnedIds", ours["pinnedIds"])
        more = [node for node in ours["pinnedIds"] if node not in pinned]
        changed = {"pinnedIds": [*pinned, *more], "supernodes": groups}
        differs = {"set": {**theirs, **changed}}
    return applied(ours, differs)


def _groups(graph: Graph) -> dict[str, str]:
    """Gives the concept of every node that has one."""
    return {node: concept.name for concept in known(graph) for node in concept.nodes}


def _but_slug(differs: Difference | None, slug: str | None) -> Difference | None:
    """Gives a difference that does not put back an old slug where a new one was asked for."""
    if slug is None or not differs:
        return differs
    return differs | {"set": {key: value for key, value in differs.get("set", {}).items() if key != "slug"}}
