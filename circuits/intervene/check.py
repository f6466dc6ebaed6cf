"""Whether a model and a dictionary are those a run was made from, told before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import torch
from torch import Tensor

from circuits.dictionaries.base import AbstractDictionary
from circuits.errors import Incompatible
from circuits.graph.graph import Graph
from circuits.intervene.places import Feature
from circuits.intervene.recorded import Recorded
from circuits.intervene.tables import Table, read_again, table
from circuits.models.base import Model
from circuits.prompt import Prompt
from circuits.schema import parse_feature

TOLERANCE: Final = 1e-3
"""Largest difference of an activation from the run's, as a share of the largest in its layer."""


@dataclass(frozen=True)
class Target:
    """One target of a run.

    Attributes:
        name: its node.
        ids: its token, or the two of a difference; none for a feature.
        feature: the feature, if it is one.
        value: with nothing done.
    """

    name: str
    ids: tuple[int, ...]
    feature: Feature | None
    value: float


def prompt_of(graph: Graph) -> Prompt:
    """Gives the prompt of a run.

    Raises:
        Incompatible: the graph does not have it.
    """
    entry = graph.meta.get("prompt") or {}
    ids, tokens = (tuple(entry.get(part) or ()) for part in ("ids", "tokens"))
    if not ids or len(ids) != len(tokens):
        raise Incompatible(
            "The graph does not say which tokens its prompt has, so it cannot be tried on a model: attribute"
            " the prompt with this package."
        )
    return Prompt(str(entry.get("text", "".join(tokens))), tuple(int(i) for i in ids), tokens)


def check_same(model: Model, dictionary: AbstractDictionary, graph: Graph, *, forced: bool) -> bool:
    """Tells whether model or dictionary differ from the run's, which is permitted only if forced.

    Raises:
        Incompatible: they do, and nobody forces it; or the prompt's tokens are outside the vocabulary.
    """
    differs = False
    for what, have in (("model", model), ("dictionary", dictionary)):
        entry: Mapping[str, Any] = graph.meta.get(what) or {}
        recorded = entry.get("fingerprint")
        if recorded in (None, have.fingerprint):
            continue
        differs = True
        if not forced:
            raise Incompatible(
                f"The run was made with another {what}, {entry.get('spec') or entry.get('name')}: fingerprint"
                f" {str(recorded)[:12]} instead of {have.fingerprint[:12]}. Give that one, or force it, which"
                " is then told beside what is measured."
            )
    ids, size = prompt_of(graph).ids, len(model.anatomy.embedding)
    outside = [i for i in ids if not 0 <= i < size]
    if outside or len(ids) > model.anatomy.max_positions:
        which = f"token {outside[0]}, of {size}" if outside else f"{len(ids)} tokens"
        raise Incompatible(f"The run's prompt does not fit {model.name}: {which}. Give the run's own model.")
    return differs


def targets_of(graph: Graph, recorded: Recorded) -> tuple[Target, ...]:
    """Gives the targets of a run, with the values they have on the untouched prompt.

    A logit's value is less the mean over the vocabulary, before any softcap.

    Raises:
        Incompatible: the graph does not say which tokens a target is.
    """
    entries = {entry["name"]: entry for entry in graph.meta.get("targets") or ()}
    logits = recorded.frozen.forward.logits[-1].double()
    found = []
    for name in graph.targets:
        ids = tuple(entries.get(name, {}).get("token_ids") or ())
        place = parse_feature(name)
        match ids:
            case (one,):
                value, feature = logits[one] - logits.mean(), None
            case (one, other):
                value, feature = logits[one] - logits[other], None
            case () if place is not None:
                feature = Feature(*place)
                value = recorded.encoding(feature.layer).pre_activation[feature.pos, feature.id]
            case _:
                raise Incompatible(
                    f"The graph does not say which token its target {name} is, so it cannot be measured:"
                    " attribute the prompt with this package."
                )
        found.append(Target(name, ids, feature, float(value)))
    return tuple(found)


def checked_tables(recorded: Recorded, graph: Graph, *, trusted: bool) -> dict[int, Table]:
    """Gives the features of a run by layer, found to be as recorded where model and dictionary are its own.

    Raises:
        Incompatible: activations differ from the run's, or a layer has no features.
    """
    nodes = graph.nodes.filter(pl.col("kind") == "feature").sort("layer", maintain_order=True)
    tables: dict[int, Table] = {}
    for key, part in nodes.partition_by("layer", as_dict=True, maintain_order=True).items():
        layer = int(key[0])
        if layer not in recorded.frozen.dictionary.layers:
            raise Incompatible(
                f"{recorded.frozen.dictionary.spec} has no features in layer {layer} and the run has"
                f" {len(part)}: give the run's own dictionary."
            )
        places = [Feature(*place) for place in part.select("layer", "feature", "pos").iter_rows()]
        numbers = _recorded(part) if trusted else None
        made = table(recorded, layer, places, numbers, part["expanded"].to_list())
        if numbers is not None:
            _check_activations(recorded, made)
        tables[layer] = made
    return tables


def _recorded(part: pl.DataFrame) -> tuple[Tensor, Tensor, str] | None:
    """Gives what the graph has of some features; None where it lacks a part of it."""
    gates = part["gate"].unique().drop_nulls().to_list()
    if len(gates) != 1 or part["pre_activation"].null_count():
        return None
    z, threshold = (
        torch.tensor(part[name].fill_null(0.0).to_list(), dtype=torch.float64)
        for name in ("pre_activation", "threshold")
    )
    return z, threshold, str(gates[0])


def _check_activations(recorded: Recorded, made: Table) -> None:
    z = read_again(recorded, made)
    off = (made.activations(z) - made.activation).abs()
    worst, largest = int(off.argmax()), float(made.activation.abs().max())
    if float(off[worst]) <= TOLERANCE * max(largest, 1e-6):
        return
    now = float(made.activations(z)[worst])
    place = f"{made.layer}/{int(made.ids[made.place[worst]])}@{int(made.position[worst])}"
    raise Incompatible(
        f"{place} has activation {now:.4g} on {recorded.frozen.model.name} and"
        f" {float(made.activation[worst]):.4g} in the run: the run was made from something else."
    )
