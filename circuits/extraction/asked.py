"""What a run was asked and how its features were chosen, read back from its graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from circuits.extraction.select import AllActive, ByAttribution, NormShare, Selection
from circuits.graph.graph import Graph
from circuits.prompt import FeatureTarget, Logit, LogitDifference, Target, TopLogits


def targets(graph: Graph) -> tuple[Target, ...]:
    """Gives the targets a run explains, as they would be asked for, so that each has the weight it had."""
    entries = list(graph.meta.get("targets") or ())
    chances = [entry.get("probability") for entry in entries]
    if len(entries) > 1 and all(chances):
        weights = [graph.nodes["target_weight"][graph.row(entry["name"])] for entry in entries]
        shares = [chance / sum(chances) for chance in chances]
        if max(abs(w - s) for w, s in zip(weights, shares, strict=True)) < 1e-4:
            return (TopLogits(coverage=1.0, most=len(entries)),)
    asked: list[Target] = []
    for entry in entries:
        match entry.get("tokens") or []:
            case [token]:
                asked.append(Logit(token))
            case [token, over]:
                asked.append(LogitDifference(token, over))
            case _:
                asked.append(FeatureTarget(entry["name"]))
    return tuple(asked)


def selection(entry: Mapping[str, Any] | None) -> Selection | None:
    """Gives the rule by which a run's features were chosen, from `meta["selection"]`."""
    rules = {rule.__name__: rule for rule in (AllActive, ByAttribution, NormShare)}
    if entry is None or entry.get("name") not in rules:
        return None
    chosen: Selection = rules[entry["name"]](**entry.get("settings") or {})
    return chosen
