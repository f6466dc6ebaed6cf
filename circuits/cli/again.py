"""What a run was made from: its model and dictionary, and its trace, kept or extracted again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.cli.progress import Teller
from circuits.cli.work import Source
from circuits.errors import Incompatible

if TYPE_CHECKING:
    from circuits.dictionaries.base import AbstractDictionary
    from circuits.graph.graph import Graph
    from circuits.models.base import Model
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


def loaded(
    graph: Graph, tell: Teller, *, force: bool | None = False
) -> tuple[Model, AbstractDictionary, tuple[str, ...]]:
    """Gives the model and dictionary a run was made from, and what was forced.

    Args:
        graph: of a run.
        tell: told of progress.
        force: go on with a model or dictionary that is no longer the run's; None where the user cannot
            ask for that.

    Returns:
        Model, dictionary, and a sentence for each of them that is not the run's: none unless forced.

    Raises:
        Incompatible: the run does not say which model, dictionary and prompt it was made from; or what is
            loaded now has another fingerprint, and that is not forced.
        CircuitsError: as for loading a model and a dictionary.
    """
    meta = graph.meta
    specs = _specs(graph)
    if specs is None:
        raise Incompatible(
            f"{_UNSAID}, as one made from a trace file or by another program may not, so nothing can be run"
            " on the model: attribute the prompt itself, with --model and --dictionary."
        )
    source = Source(
        model=specs[0],
        dictionary=specs[1],
        labels=False,
        dtype="float64" if meta.get("dtype") == "float64" else "float32",
    )
    model, dictionary = source.load(tell)
    other = [_other("model", model.fingerprint, meta["model"])]
    if not other[0] or dictionary.kind != "neurons":  # neurons are their model's
        other.append(_other("dictionary", dictionary.fingerprint, meta["dictionary"]))
    differs = tuple(sentence for sentence in other if sentence)
    if differs and not force:
        going_on = "" if force is None else ", or go on with --force and have it marked"
        raise Incompatible(f"{differs[0]}: attribute anew{going_on}.")
    return model, dictionary, tuple(f"Forced: {sentence}." for sentence in differs)


def _extracted(graph: Graph, tell: Teller) -> Trace:
    if _specs(graph) is None:
        raise Incompatible(
            f"{_UNSAID}, so its trace cannot be extracted again: attribute anew with --keep-trace."
        )
    model, dictionary, _ = loaded(graph, tell, force=None)
    from circuits.extraction.asked import selection, targets
    from circuits.extraction.extract import Extraction, extract
    from circuits.prompt import Prompt

    meta = graph.meta
    prompt = Prompt.of(meta["prompt"]["text"], model, targets=targets(graph))
    settings = Extraction(
        select=selection(meta.get("selection")),
        labels=False,
        dormant_margin=meta.get("dormant_margin"),
        scores=True,
    )
    return extract(model, dictionary, prompt, settings, progress=tell)


_UNSAID = "The run does not say which model, dictionary and prompt it was made from"


def _specs(graph: Graph) -> tuple[str, str] | None:
    """Gives what model and dictionary were loaded from, None where the run, or its prompt, is untold."""
    meta = graph.meta
    model, dictionary = ((meta.get(part) or {}).get("spec") for part in ("model", "dictionary"))
    told = model and dictionary and (meta.get("prompt") or {}).get("text")
    return (str(model), str(dictionary)) if told else None


def _other(what: str, fingerprint: str, entry: Mapping[str, Any]) -> str | None:
    """Gives how a model or dictionary differs from the run's, None where it is the same."""
    if entry.get("fingerprint") in (None, fingerprint):
        return None
    return (
        f"{entry['spec']} is no longer the {what} the run was made with (fingerprint {fingerprint[:12]}"
        f" instead of {str(entry['fingerprint'])[:12]})"
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
