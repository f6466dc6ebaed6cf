"""Cards put to use: tested labels on the features of a trace."""

from __future__ import annotations

from dataclasses import replace

from circuits.cards.record import Cards
from circuits.cards.store import told
from circuits.schema import feature_name
from circuits.trace import Trace


def label_features(trace: Trace, cards: Cards) -> Trace:
    """Gives the trace with the tested labels of its features; all others keep theirs.

    `meta["labels"]` then says how labels were tested, and `meta["tested_labels"]` by node name with what
    precision and recall.
    """
    features, known = trace.features, cards.labels
    names, places = {}, set()
    for layer, number, position in zip(
        features.layer.tolist(), features.id.tolist(), features.position.tolist(), strict=True
    ):
        places.add((layer, number))
        if (layer, number) in known:
            names[feature_name(layer, number, position)] = (layer, number)
    if not names:
        return trace
    labelled = sorted(set(names.values()))
    tested = {}
    for layer, number in labelled:
        best = cards.card(layer, number).labels[0]
        tested[f"{layer}/{number}"] = {
            "label": best.text,
            "precision": round(best.precision, 3),
            "recall": round(best.recall, 3),
        }
    meta = {
        **trace.meta,
        "labels": told(cards, len(labelled), len(places)),
        "tested_labels": tested,
    }
    return replace(trace, labels={**trace.labels, **{n: known[k] for n, k in names.items()}}, meta=meta)
