"""The sample graph with every text replaced by a hostile one: tokens, outputs, labels, concepts, settings."""

from dataclasses import replace

import polars as pl
from hostile import HOSTILE
from sample_graph import TOKENS
from sample_interactions import sample_interactions

from circuits.graph.graph import Graph
from circuits.schema import VERDICT_SCHEMA


def hostile_graph() -> Graph:
    """Interactions, concepts and verdicts included; names of nodes are ours and stay."""
    graph = sample_interactions()
    features = iter(range(10**6))
    labels = [
        HOSTILE[next(features) % len(HOSTILE)] if kind == "feature" else None for kind in graph.nodes["kind"]
    ]
    held = {"21/1177@13": 0, "18/1401@13": 0, "24/1042@13": 7, "9/88@9": 8, "14/35@1": 11, "20/59@13": 12}
    concepts = [HOSTILE[held[node]] if node in held else None for node in graph.nodes["node"]]
    tokens = [HOSTILE[i % len(HOSTILE)] for i in range(len(TOKENS))]
    targets = [
        {**told, "token": HOSTILE[i + 7], "tokens": [HOSTILE[i + 7]]}
        for i, told in enumerate(graph.meta["targets"])
    ]
    verdict = {
        "verdict": "v1", "claim": "".join(HOSTILE), "kind": "node", "members": ["24/1042@13"],
        "actions": ["24/1042@13=0"], "target": graph.targets[0], "order": 1, "layers": 2, "held": "nothing",
        "before": 17.0, "predicted": -2.0, "measured": -1.5, "tolerance": 1.0, "holds": True, "forced": False,
    }  # fmt: skip
    columns = {"label": labels, "concept": concepts}
    named = graph.with_nodes(**{name: pl.Series(texts, dtype=pl.String) for name, texts in columns.items()})
    changed = replace(named, verdicts=pl.DataFrame([verdict], schema=VERDICT_SCHEMA))
    made = dict.fromkeys(("spec", "name", "fingerprint"), HOSTILE[7])
    prompt = {**graph.meta.get("prompt", {}), "tokens": tokens, "text": "".join(tokens)}
    return changed.with_meta(prompt=prompt, targets=targets, command=HOSTILE[7], model=made, dictionary=made)
