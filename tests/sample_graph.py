"""A hand-made graph of a realistic shape: the indirect-object prompt, 66 nodes, known totals.

Edges are those a reader would expect (names → "a second John" → name movers → Mary) plus a seeded
background, so the pictures look like real ones. Every expanded node's incoming weights add up to its
pre-activation exactly, because the node's own constant is defined as what is missing.
"""

from __future__ import annotations

import functools

import numpy as np
import polars as pl

from circuits.graph.graph import Graph
from circuits.schema import NODE_SCHEMA, feature_name

TOKENS = (
    *("When", " Mary", " and", " John", " went", " to", " the"),
    *(" store", ",", " John", " gave", " a", " drink", " to"),
)
LAST = len(TOKENS) - 1

# layer, feature, position, label
FEATURES = (
    (0, 118, 1, "Mary"),
    (0, 822, 3, "John"),
    (0, 822, 9, "John"),
    (0, 301, 7, "store, shop"),
    (1, 77, 2, "and (joining names)"),
    (2, 1204, 3, "second of two names"),
    (2, 940, 1, "female first names"),
    (3, 15, 10, "gave, handed, sent"),
    (4, 512, 9, "a word seen before"),
    (5, 65, 9, "the token before was John"),
    (6, 1033, 12, "things one drinks"),
    (7, 240, 3, "male first names"),
    (9, 88, 9, "repeated name"),
    (9, 1311, 10, "verb of giving"),
    (11, 402, 13, "to (a recipient follows)"),
    (11, 7, 13, ""),
    (13, 1500, 13, "recipient is a person"),
    (13, 61, 10, "subject John"),
    (14, 903, 13, "not the subject"),
    (14, 35, 1, "candidate for later mention"),
    (16, 777, 13, "do not say John"),
    (16, 1290, 13, "say a name"),
    (18, 222, 13, "names already in the text"),
    (18, 486, 13, ""),
    (18, 1401, 13, "say the other person"),
    (20, 59, 13, '→ " she", " her", " Mary"'),
    (21, 1177, 13, "say Mary"),
    (21, 640, 13, "say John"),
    (23, 14, 13, '→ " the", " a", " his"'),
    (24, 1042, 13, '→ " Mary", " Maria", " Marie"'),
    (24, 333, 13, "first names with M"),
    (26, 808, 13, "the (determiner next)"),
    (26, 1219, 13, '→ " Mary", "Mary", " mary"'),
    (28, 5, 13, '→ " her", " him", " them"'),
    (29, 1010, 13, '→ "Mary", " mary", "MARY"'),
    (29, 404, 13, "capitalised word next"),
)
UNEXPANDED = {feature_name(6, 1033, 12), feature_name(11, 7, 13), feature_name(18, 486, 13)}
ERRORS = ((0, 1), (3, 9), (9, 13), (14, 13), (21, 13), (26, 13), (29, 13))
LOGITS = ((" Mary", 0.68, 17.42), (" the", 0.11, 15.58), (" her", 0.07, 15.13), (" John", 0.04, 14.57))

# source, target, weight: the story
STORY = (
    ("tok@1", "0/118@1", 3.1),
    ("tok@3", "0/822@3", 2.8),
    ("tok@9", "0/822@9", 2.9),
    ("tok@7", "0/301@7", 1.7),
    ("tok@2", "1/77@2", 1.2),
    ("0/118@1", "2/940@1", 1.6),
    ("0/118@1", "1/77@2", 0.7),
    ("1/77@2", "2/1204@3", 1.1),
    ("0/822@3", "2/1204@3", 1.3),
    ("tok@10", "3/15@10", 2.2),
    ("0/822@3", "4/512@9", 1.4),
    ("0/822@9", "4/512@9", 1.5),
    ("0/822@3", "5/65@9", 0.9),
    ("0/822@9", "7/240@3", 0.0),
    ("0/822@3", "7/240@3", 1.9),
    ("4/512@9", "9/88@9", 1.8),
    ("5/65@9", "9/88@9", 0.8),
    ("3/15@10", "9/1311@10", 2.0),
    ("9/1311@10", "11/402@13", 1.3),
    ("tok@13", "11/402@13", 1.6),
    ("11/402@13", "13/1500@13", 1.7),
    ("9/88@9", "13/61@10", 1.2),
    ("9/88@9", "14/903@13", 1.9),
    ("13/61@10", "14/903@13", 0.8),
    ("2/940@1", "14/35@1", 1.4),
    ("2/1204@3", "14/35@1", 0.0),
    ("9/88@9", "16/777@13", 2.1),
    ("13/1500@13", "16/1290@13", 1.8),
    ("14/35@1", "18/222@13", 1.6),
    ("7/240@3", "18/222@13", 0.9),
    ("14/903@13", "18/1401@13", 1.7),
    ("16/777@13", "18/1401@13", 0.9),
    ("14/35@1", "21/1177@13", 1.5),
    ("18/1401@13", "21/1177@13", 1.3),
    ("18/222@13", "21/1177@13", 1.0),
    ("2/940@1", "20/59@13", 1.1),
    ("18/222@13", "21/640@13", 1.2),
    ("16/777@13", "21/640@13", -1.6),
    ("9/88@9", "21/640@13", -0.9),
    ("2/940@1", "24/1042@13", 1.0),
    ("21/1177@13", "24/1042@13", 1.9),
    ("18/1401@13", "24/1042@13", 0.8),
    ("24/1042@13", "26/1219@13", 1.7),
    ("20/59@13", "26/1219@13", 0.6),
    ("16/1290@13", "29/404@13", 1.4),
    ("23/14@13", "29/404@13", -0.7),
    ("21/1177@13", "logit:Mary", 2.3),
    ("24/1042@13", "logit:Mary", 2.9),
    ("26/1219@13", "logit:Mary", 1.9),
    ("29/1010@13", "logit:Mary", 1.1),
    ("29/404@13", "logit:Mary", 0.8),
    ("20/59@13", "logit:Mary", 0.7),
    ("21/640@13", "logit:Mary", -0.6),
    ("26/808@13", "logit:Mary", -1.2),
    ("23/14@13", "logit:Mary", -0.5),
    ("err29@13", "logit:Mary", 0.9),
    ("err26@13", "logit:Mary", -0.4),
    ("26/808@13", "logit:the", 3.1),
    ("23/14@13", "logit:the", 2.2),
    ("28/5@13", "logit:her", 2.4),
    ("20/59@13", "logit:her", 1.3),
    ("21/640@13", "logit:John", 2.5),
    ("16/777@13", "logit:John", -1.9),
    ("29/404@13", "logit:John", 0.9),
)


def _nodes() -> pl.DataFrame:
    rows: list[dict[str, object]] = [
        {"node": f"tok@{p}", "kind": "token", "pos": p, "activation": 1.0} for p in range(len(TOKENS))
    ]
    rows.append({"node": "bias:own", "kind": "bias", "activation": 1.0})
    rows.append({"node": "rest", "kind": "rest", "activation": 1.0})
    for layer in range(30):
        if layer % 10 == 0:
            rows.append({"node": f"bias:attn{layer}", "kind": "bias", "layer": layer, "activation": 1.0})
        for at, feature, pos, label in FEATURES:
            if at == layer:
                name = feature_name(layer, feature, pos)
                rows.append(
                    {"node": name, "kind": "feature", "layer": layer, "pos": pos, "feature": feature}
                    | {"gate": "relu", "expanded": name not in UNEXPANDED, "label": label or None}
                )
        rows += [
            {"node": f"err{layer}@{pos}", "kind": "error", "layer": layer, "pos": pos, "activation": 1.0}
            for at, pos in ERRORS
            if at == layer
        ]
    for token, probability, value in LOGITS:
        rows.append(
            {"node": f"logit:{token.strip()}", "kind": "logit", "pos": LAST, "activation": value}
            | {"pre_activation": value, "expanded": True, "target_weight": probability}
        )
    base = {"expanded": False, "truncated": 0.0, "target_weight": 0.0}
    return pl.DataFrame([base | row for row in rows], schema=NODE_SCHEMA)


@functools.cache
def sample_graph() -> Graph:
    """Gives the graph: the same object each time, frozen."""
    nodes = _nodes()
    row = {name: i for i, name in enumerate(nodes["node"])}
    rng = np.random.default_rng(0)
    weight = {(row[s], row[t]): w for s, t, w in STORY if w}
    layer, pos = nodes["layer"].fill_null(-1).to_numpy(), nodes["pos"].fill_null(-1).to_numpy()
    kind = nodes["kind"].cast(pl.String).to_list()
    expanded = np.flatnonzero(nodes["expanded"].to_numpy())
    for target in expanded:
        depth = 30 if kind[target] == "logit" else layer[target]
        below = (layer < depth) & (pos >= 0) & (pos <= pos[target]) & (np.array(kind) != "logit")
        chosen = rng.choice(np.flatnonzero(below), size=min(6, int(below.sum())), replace=False)
        for source in chosen:
            weight.setdefault((int(source), int(target)), float(rng.normal(0, 0.18)))
        weight[row["rest"], int(target)] = float(rng.normal(0, 0.05))
    activation = np.abs(rng.normal(2.5, 0.8, len(nodes))) + 0.3
    value = np.where(nodes["kind"] == "feature", activation, nodes["activation"].fill_null(1.0).to_numpy())
    for target in expanded:
        total = sum(w for (_, t), w in weight.items() if t == target)
        weight[row["bias:own"], int(target)] = float(value[target] - total)
    source, target = (np.array(ends, dtype=np.int32) for ends in zip(*weight, strict=True))
    numbers = np.array(list(weight.values()), dtype=np.float64)
    truncated = np.zeros(len(nodes))
    truncated[expanded] = rng.uniform(0.02, 0.2, len(expanded))
    gated = nodes["kind"].is_in(["feature", "logit"])
    nodes = nodes.with_columns(
        activation=pl.Series(value),
        pre_activation=pl.when(gated).then(pl.Series(value)),
        truncated=pl.Series(truncated),
    )
    return Graph.of(nodes, (source, target), (numbers, numbers / value[source]), _meta())


def _meta() -> dict[str, object]:
    return {
        "prompt": {"text": "".join(TOKENS), "ids": list(range(len(TOKENS))), "tokens": list(TOKENS)},
        "targets": [
            {"name": f"logit:{t.strip()}", "tokens": [t], "token_ids": [i], "probability": p}
            for i, (t, p, _) in enumerate(LOGITS)
        ],
        "model": {"name": "SmolLM2-135M-Instruct", "architecture": "llama", "fingerprint": "5f0c2a91d7"},
        "dictionary": {"kind": "neurons", "fingerprint": "9ab31e77c2", "n_features": 1536},
        "selection": {"name": "ByAttribution", "settings": {"count": 36}, "kept": 36, "active": 644_000},
        "methods": {"edges": {"tolerance": 1e-4, "max_features": 33}},
        "labels": "provisional: the tokens each feature promotes directly (logit lens)",
        "completeness_residual": 3.1e-6,
        "timings": {"forward": 0.41, "attribute": 1.92},
        "command": "circuits attribute 'When Mary and John went to the store, John gave a drink to'"
        " --model smollm2 --dictionary neurons -o run/ioi",
        "versions": {"circuits": "0.1.0", "jax": "0.8.0", "polars": "2.1.0"},
    }
