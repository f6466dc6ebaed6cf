"""The concepts of a run, or ones suggested for it, with their evidence and what flows between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from circuits.errors import NotFound, UsageError
from circuits.graph.concepts import Concept, known
from circuits.graph.graph import Graph
from circuits.graph.grouping import AUTO, automatic
from circuits.graph.influence import normalised
from circuits.query.grouping.group import candidates, group, origins
from circuits.query.grouping.naming import tested_labels
from circuits.query.grouping.profiles import KINDS
from circuits.query.kernels import avoiding
from circuits.query.text import percent, quoted
from circuits.viewer.focus import Focus, numbers

CHEAP: Final = 150
"""Features that carry most of the influence up to which groups are looked for: less than half a second."""

SHARE: Final = 0.9
FLOWS: Final = 500
"""Flows between concepts that are told, at most."""

GIVEN, FOUND, WORDS = "given", "found", "words"


@dataclass(frozen=True, eq=False)
class Concepts:
    """Concepts, and who made each: `given`, `found` (`circuits.group`), or `words`.

    Attributes:
        made: the concepts.
        origin: of each.
        evidence: of each, the fields of `circuits.query.grouping.group.Evidence` that are known.
    """

    made: Sequence[Concept]
    origin: Sequence[str]
    evidence: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, focus: Focus) -> Concepts:
        """Gives the run's own concepts, else groups of features that hold, else words and labels."""
        graph = focus.graph
        own = known(graph)
        if own:
            told = origins(graph)
            by = [FOUND if told[one.name]["by"] == "auto" else GIVEN for one in own]
            return cls(own, by, [told[one.name] for one in own])
        try:
            if focus.subject is not None and len(candidates(graph, SHARE, CHEAP + 1)[0]) <= CHEAP:
                found = group(graph, share=SHARE)
                held = found.concepts
                return cls(held, [FOUND] * len(held), [asdict(found.evidence[one.name]) for one in held])
            worded = [Concept(name, nodes) for name, nodes in automatic(graph, AUTO)]
        except (NotFound, UsageError):
            worded = []
        taken = [one for one in worded if one.name not in graph.index]
        return cls(taken, [WORDS] * len(taken), [{}] * len(taken))

    def sets(self, graph: Graph) -> Bool[np.ndarray, "n k"]:
        """Gives which nodes each holds."""
        found = np.zeros((len(graph.nodes), len(self.made)), bool)
        for place, one in enumerate(self.made):
            found[[graph.index[node] for node in one.nodes], place] = True
        return found

    def of_node(self) -> dict[str, str]:
        """Gives the concept of each node that has one."""
        return {node: one.name for one in self.made for node in one.nodes}


def concept_parts(
    focus: Focus, concepts: Concepts, here: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Gives the concepts, the flows between them, words and the target, and what was left out.

    Args:
        focus: the run.
        concepts: the concepts.
        here: the nodes that are shown.
    """
    if not concepts.made:
        return [], [], []
    graph = focus.graph
    sets = concepts.sets(graph)
    with np.errstate(all="ignore"):  # what is not finite is told as unknown
        passing = _passing(focus, sets)
        total = np.full(len(concepts.made), np.nan) if focus.totals is None else focus.totals.through(sets)
    parts, said = [], []
    columns = zip(concepts.made, concepts.origin, concepts.evidence, strict=True)
    for place, (one, origin, evidence) in enumerate(columns):
        nodes = [node for node in one.nodes if node in here]
        if len(nodes) < len(one.nodes):
            said.append(f"{len(nodes):,} of {len(one.nodes):,} nodes of the concept {quoted(one.name)}")
        parts.append(
            {
                "name": one.name,
                "nodes": nodes,
                "origin": origin,
                "influence": numbers(passing[place : place + 1])[0] or 0.0,
                "total": numbers(total[place : place + 1])[0],
                "evidence": [*_evidence(graph, one, origin, evidence), *_tests(graph, one)],
            }
        )
    about = [f"Not all nodes of all concepts are here: {'; '.join(said)}."] if said else []
    return parts, _flows(focus, concepts, sets, passing), about


def _passing(focus: Focus, sets: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "k"]:
    """Gives the share of what is explained that passes through each set: `graph.influence.through`."""
    shares = normalised(focus.graph) if focus.subject is None else focus.subject.shares
    asked = focus.graph.nodes["target_weight"].to_numpy()
    reaching = avoiding(shares, asked, sets)
    return np.asarray((sets * reaching).sum(axis=0))


def _flows(
    focus: Focus, concepts: Concepts, sets: Bool[np.ndarray, "n k"], passing: Float[np.ndarray, "k"]
) -> list[dict[str, Any]]:
    """Gives the weights between concepts, words and the target, as `circuits.graph.concept_graph` sums them.

    Into the target in its units; into a concept as shares of what flows into it, signed. Concepts are not
    cut into stages, for a picture may have cycles.
    """
    graph = focus.graph
    ends, names = _ends(focus, concepts, sets)
    source, target = graph.ends
    between = np.flatnonzero((ends[source] >= 0) & (ends[target] >= 0) & (ends[source] != ends[target]))
    source, target = source[between], target[between]
    weight = graph.edges["weight"].to_numpy()[between].astype(np.float64)
    grouped = ends[target] < len(concepts.made)
    z = graph.nodes["pre_activation"].fill_null(0.0).to_numpy()
    held = np.append(passing, 1.0)[np.where(ends >= 0, np.minimum(ends, len(passing)), len(passing))]
    below = focus.inflow * held
    scale = np.divide(
        focus.arriving * np.where(z < 0, -1, 1), below, out=np.zeros_like(below), where=below > 0
    )
    value = weight * np.where(grouped, scale[target], 1.0)
    reached = np.divide(focus.arriving, focus.inflow, out=np.zeros_like(focus.inflow), where=focus.inflow > 0)
    size = len(names)
    pair = ends[source] * size + ends[target]
    summed, flow = (
        np.bincount(pair, weights=part, minlength=size * size)
        for part in (value, np.abs(weight) * reached[target])
    )
    kept = np.flatnonzero((flow > 0) & np.isfinite(summed))
    kept = kept[np.argsort(-flow[kept], kind="stable")][:FLOWS]
    return [
        {"source": names[at // size], "target": names[at % size], "weight": float(summed[at])}
        for at in kept.tolist()
    ]


def _ends(
    focus: Focus, concepts: Concepts, sets: Bool[np.ndarray, "n k"]
) -> tuple[Int[np.ndarray, "n"], list[str]]:
    """Gives the number of every node's end of flows, −1 for none, and the ends' names: concepts first."""
    graph = focus.graph
    found = np.where(sets.any(axis=1), sets.argmax(axis=1), -1)
    names = [one.name for one in concepts.made]
    alone = graph.nodes["kind"].cast(pl.String).is_in(["token", "logit"]).to_numpy() | (
        graph.nodes["target_weight"].to_numpy() > 0
    )
    rows = np.flatnonzero(alone & (found < 0))
    found[rows] = len(names) + np.arange(len(rows))
    return found, [*names, *graph.nodes["node"].gather(rows)]


def _evidence(graph: Graph, one: Concept, origin: str, known_: Mapping[str, Any]) -> list[str]:
    """Gives why a group is one, a line each."""
    said = []
    if known_.get("stability") is not None:
        said.append(
            f"stability {known_['stability']:.2f}: how much of it is found again when features are left out"
            " and edges drawn anew, 0 to 1"
        )
    if known_.get("together") is not None:
        said.append(f"two of its features share a group in {percent(known_['together'])} of the resamples")
    within, between = known_.get("within") or {}, known_.get("between") or {}
    said += [
        f"alike in {kind}: {within[kind]:.2f} among its features, {between[kind]:.2f} with others, 0 to 1"
        for kind in KINDS
        if kind in within and kind in between
    ]
    members = graph.nodes.filter(pl.col("node").is_in(list(one.nodes)))
    features = len(members.filter(kind="feature"))
    labels = list(tested_labels(members).items())[:2]
    said += [
        f"label {quoted(label)}: {many} of {features} features" for label, (many, _) in labels if many > 1
    ]
    if origin == WORDS:
        said.append("grouped by word and label only: not tried on resamples")
    return said


def _tests(graph: Graph, one: Concept) -> list[str]:
    """Gives the concept tests it took part in."""
    entries = graph.meta.get("concept_tests") or ()
    return [
        f"concept test: {entry['words'].splitlines()[0]}"
        for entry in entries
        if one.name in entry.get("concepts", {}) and entry.get("words")
    ]
