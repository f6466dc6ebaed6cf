"""The trace of a run: the one it keeps, or extracted again as the run's meta says it was made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.cli.progress import Teller
from circuits.cli.work import Source
from circuits.errors import Incompatible

if TYPE_CHECKING:
    from circuits.extraction.select import Selection
    from circuits.graph.graph import Graph
    from circuits.prompt import Target
    from circuits.trace import Trace


def trace_of(path: Path, graph: Graph, tell: Teller) -> Trace:
    """Gives the trace a run was made from, attention scores included.

    Raises:
        Incompatible: the run was made from a trace file and does not keep it, or what is extracted
            now is not what the run was made from.
        CircuitsError: as for loading a model and a dictionary.
    """
    trace = kept_trace(path)
    if trace is None or trace.scores is None:
        trace = _extracted(graph, tell)
    _check_features(graph, trace)
    return trace


def kept_trace(path: Path) -> Trace | None:
    """Gives the trace a run keeps, None if it keeps none."""
    from circuits.graph.io import TRACE, load_manifest, load_run_trace

    return load_run_trace(path) if TRACE in load_manifest(path)["checksums"] else None


def _extracted(graph: Graph, tell: Teller) -> Trace:
    meta = graph.meta
    specs = [(meta.get(part) or {}).get("spec") for part in ("model", "dictionary")]
    if not all(specs) or not (meta.get("prompt") or {}).get("text"):
        raise Incompatible(
            "The run does not say which model, dictionary and prompt it was made from, so its trace cannot be"
            " extracted again: attribute anew with --keep-trace."
        )
    source = Source(
        model=str(specs[0]),
        dictionary=str(specs[1]),
        dormant_margin=meta.get("dormant_margin"),
        labels=False,
        dtype="float64" if meta.get("dtype") == "float64" else "float32",
    )
    model, dictionary = source.load(tell)
    _check_same("model", model.fingerprint, meta["model"])
    _check_same("dictionary", dictionary.fingerprint, meta["dictionary"])
    from circuits.extraction.extract import Extraction, extract
    from circuits.prompt import Prompt

    prompt = Prompt.of(meta["prompt"]["text"], model, targets=targets(graph))
    settings = Extraction(
        select=selection(meta.get("selection")),
        labels=False,
        dormant_margin=source.dormant_margin,
        scores=True,
    )
    return extract(model, dictionary, prompt, settings, progress=tell)


def targets(graph: Graph) -> tuple[Target, ...]:
    """Gives the targets a run explains, as they would be asked for, so that each has the weight it had."""
    from circuits.prompt import FeatureTarget, Logit, LogitDifference, TopLogits

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
    """Gives the rule by which a run's features were chosen."""
    from circuits.extraction.select import AllActive, ByAttribution, NormShare

    rules = {rule.__name__: rule for rule in (AllActive, ByAttribution, NormShare)}
    if entry is None or entry.get("name") not in rules:
        return None
    chosen: Selection = rules[entry["name"]](**entry.get("settings") or {})
    return chosen


def _check_same(what: str, fingerprint: str, entry: Mapping[str, Any]) -> None:
    if entry.get("fingerprint") not in (None, fingerprint):
        raise Incompatible(
            f"{entry['spec']} is no longer the {what} the run was made with (fingerprint {fingerprint[:12]}"
            f" instead of {str(entry['fingerprint'])[:12]}): attribute anew."
        )


def _check_features(graph: Graph, trace: Trace) -> None:
    """Refuses a trace that lacks features of the graph."""
    from circuits.schema import feature_name

    at = trace.features
    have = set(map(feature_name, at.layer.tolist(), at.id.tolist(), at.position.tolist()))
    lacking = [node for node in graph.nodes.filter(kind="feature")["node"] if node not in have]
    if lacking:
        raise Incompatible(
            f"The trace lacks {len(lacking)} features of the run, {lacking[0]} first: it is of another prompt"
            " or selection. Attribute anew with --keep-trace."
        )
