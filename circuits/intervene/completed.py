"""A graph with the edges that were too small to keep: how far predictions without them may be off.

An edge summed into `rest` stays what it is when its source changes; in the frozen model it changes too. So
a prediction may miss the frozen model by what these edges do, which is computed here, not guessed: they are
attributed again from the trace and put back. Edges the graph has are left as they are, right or wrong.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from circuits.dictionaries.base import AbstractDictionary
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.extraction.asked import targets
from circuits.extraction.extract import Extraction, extract
from circuits.extraction.select import Named
from circuits.graph.graph import Graph
from circuits.graph.influence import CONSTANTS, of_kind, sums
from circuits.intervene.measuring import Progress
from circuits.models.base import Model
from circuits.prompt import Prompt
from circuits.trace import Trace

SLACK: Final = 1e-3
"""How far, as a share, the edges put back may exceed what the graph says was cut off: rounding."""


def traced(
    model: Model, dictionary: AbstractDictionary, graph: Graph, progress: Progress | None = None
) -> Trace:
    """Gives the trace of a run's features and targets, extracted again, without attention scores.

    Raises:
        CircuitsError: as for `extract`.
    """
    meta = graph.meta
    prompt = Prompt(meta["prompt"]["text"], *_tokens(graph), targets=targets(graph))
    on = graph.nodes.filter((pl.col("kind") == "feature") & (pl.col("activation") != 0))["node"]
    settings = Extraction(select=Named(tuple(on)), labels=False, dormant_margin=meta.get("dormant_margin"))
    return extract(model, dictionary, prompt, settings, progress=progress)


def completed(graph: Graph, trace: Trace, progress: Progress | None = None) -> Graph:
    """Gives the graph with the edges it lacks between its own nodes, the large ones it has untouched.

    Edges into a node are put back only where their Σ |weight| is what the graph says was cut off
    (`truncated`); a graph that lost edges otherwise stays without them.

    Args:
        graph: of a run.
        trace: what the run was made from.
        progress: told of rows.
    """
    truncated = graph.nodes["truncated"].to_numpy()
    if not truncated.any():
        return graph
    opened = graph.nodes.filter(kind="feature", expanded=True)["node"].to_list()
    whole = attribute(trace, (Edges(tolerance=0.0),), expand=opened, progress=progress)
    place = np.array([graph.index.get(name, -1) for name in whole.nodes["node"]])
    place[of_kind(whole, *CONSTANTS)] = -1
    source, target = (place[end] for end in whole.ends)
    cut = (source >= 0) & (target >= 0) & ~_has(graph, source, target)
    cut &= truncated[target] > 0
    added = sums(target[cut], np.abs(whole.edges["weight"].to_numpy()[cut]), len(truncated))
    fits = added <= truncated * (1 + SLACK) + 1e-6
    rows = np.flatnonzero(cut & fits[target])
    ends = tuple(
        np.concatenate([mine, more[rows]]) for mine, more in zip(graph.ends, (source, target), strict=True)
    )
    values = tuple(
        np.concatenate([graph.edges[name].to_numpy(), whole.edges[name].to_numpy()[rows]])
        for name in ("weight", "strength")
    )
    return Graph.of(graph.nodes, (ends[0], ends[1]), (values[0], values[1]), graph.meta)


def _has(graph: Graph, source: Int[np.ndarray, "e"], target: Int[np.ndarray, "e"]) -> Bool[np.ndarray, "e"]:
    """Tells which edges the graph has."""
    size = len(graph.nodes)
    mine = graph.ends[1].astype(np.int64) * size + graph.ends[0]
    asked = target.astype(np.int64) * size + source
    at = np.minimum(np.searchsorted(mine, asked), max(len(mine) - 1, 0))  # edges are sorted so
    return np.asarray(mine[at] == asked) if len(mine) else np.zeros(len(asked), bool)


def _tokens(graph: Graph) -> tuple[tuple[int, ...], tuple[str, ...]]:
    prompt = graph.meta["prompt"]
    return tuple(int(i) for i in prompt["ids"]), tuple(str(text) for text in prompt["tokens"])
