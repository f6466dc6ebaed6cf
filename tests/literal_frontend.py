"""What the web viewers of attribution graphs do with a document, step by step, slowly.

Written from what Neuronpedia's and circuit-tracer's viewers do with a file, not from our writer: where they
stop with an error, so does this.
"""

from __future__ import annotations

import json
import math


class Stopped(Exception):
    """The viewer shows an error instead of the graph."""


def neuronpedia(text):
    """Gives what Neuronpedia's viewer makes of a file: nodes by id, links between them, layers."""
    data = json.loads(text, parse_constant=_no_constant)
    numbers = [_number(node["layer"]) for node in data["nodes"] if node["feature_type"] != "logit"]
    highest = max((n for n in numbers if n is not None), default=None)
    if not highest:
        raise Stopped("No layer found")
    clerps = data["qParams"].get("clerps")
    if clerps and not isinstance(clerps, list):
        raise Stopped("visState.clerps.find is not a function")
    return _shown(data, highest)


def circuit_tracer(text):
    """Gives what circuit-tracer's viewer makes of a file."""
    data = json.loads(text, parse_constant=_no_constant)
    numbers = [_number(node["layer"]) for node in data["nodes"] if node["feature_type"] != "logit"]
    highest = max((n for n in numbers if n is not None), default=None)
    clerps = data["qParams"].get("clerps")
    labels = {}
    if clerps:
        if not isinstance(clerps, str):
            raise Stopped("Unexpected token in JSON")  # JSON.parse of a list
        labels = dict(json.loads(clerps))
    for node in data["nodes"]:
        node["clerp"] = labels.get(str(node["feature"]), node["clerp"])
    return _shown(data, highest)


def _shown(data, highest):
    by_id = {}
    for node in data["nodes"]:
        if node["feature_type"] == "logit":
            node["layer"] = None if highest is None else str(highest + 1)
            if node["clerp"]:
                if "(p=" not in node["clerp"]:
                    raise Stopped("Cannot read properties of undefined (reading 'split')")
                node["logitPct"] = _number(node["clerp"].split("(p=")[1].split(")")[0])
                node["logitToken"] = node["clerp"].split('"')[1]
        by_id[node["node_id"]] = node  # the later of two with one id takes its place
    links = [link for link in data["links"] if link["source"] in by_id and link["target"] in by_id]
    return {"nodes": by_id, "links": links, "data": data}


def visible(node, threshold, pinned=()):
    """Whether a viewer shows a node at a threshold of its slider."""
    if node["feature_type"] in ("embedding", "logit") or node["node_id"] in pinned:
        return True
    return node.get("influence") is None or node["influence"] <= threshold


def supernodes(shown):
    """The groups a viewer draws: the name, and the nodes of it that exist and are pinned."""
    params = shown["data"]["qParams"]
    pinned = set(params["pinnedIds"][:200])
    return {
        label: [shown["nodes"][id_] for id_ in ids if id_ in shown["nodes"] and id_ in pinned]
        for label, *ids in params["supernodes"]
    }


def looked_up(node):
    """The (layer, feature) whose card the viewer fetches: the Cantor pairing undone in floating point."""
    number = node["feature"]
    w = math.floor((math.sqrt(8 * number + 1) - 1) / 2)
    t = (w * w + w) / 2
    return int(w - (number - t)), int(number - t)


def cumulative_influence(names, edges, weights):
    """circuit-tracer's scores, dense: normalise, sum the series, sort, add up, divide by the whole.

    Args:
        names: of all nodes.
        edges: {(source, target): weight}.
        weights: {output: its weight}.
    """
    incoming = {t: sum(abs(w) for (_, other), w in edges.items() if other == t) for t in names}
    share = {(s, t): abs(w) / max(incoming[t], 1e-10) for (s, t), w in edges.items()}
    current, total = dict(weights), dict.fromkeys(names, 0.0)
    while any(current.values()):
        following = dict.fromkeys(names, 0.0)
        for (s, t), part in share.items():
            following[s] += current.get(t, 0.0) * part
        current = following
        total = {name: total[name] + current[name] for name in names}
    found, so_far, whole = {}, 0.0, sum(total.values())
    for name in sorted(names, key=lambda name: -total[name]):
        so_far += total[name]
        found[name] = so_far / whole if whole else 1.0
    return found, total


def ids_of_circuit_tracer(kind, layer, number, pos):
    """The ids circuit-tracer 0.5 writes."""
    return {
        "feature": f"{layer}_{number}_{pos}",
        "error": f"0_{layer}_{pos}",
        "token": f"E_{number}_{pos}",
        "logit": f"{layer}_{number}_{pos}",
    }[kind]


def cantor(x, y):
    """The y-th step of the walk along diagonals, counted: diagonal d = x + y has d + 1 places."""
    return sum(d + 1 for d in range(x + y)) + y


def _number(text):
    """JavaScript's unary plus, as far as it matters here."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _no_constant(name):
    raise Stopped(f"Unexpected token {name[0]} in JSON")
