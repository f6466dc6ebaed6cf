"""Why a feature is on here and off there: which of its inputs differ."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from jaxtyping import Float

from circuits.query.contrast_pair import ONLY_THERE, Pair

MOST: Final = 3
"""Inputs told of each feature."""


def inputs(pair: Pair, place: int) -> list[dict[str, Any]]:
    """Gives the sources whose contribution to a feature's input differs most, as links of an answer.

    Where both graphs hold the feature's incoming edges that is the difference of their weights, and over all
    sources these add up to the difference of its pre-activations. Where only one does, it is what
    the sources would lose there at the same strength: strength · (difference of their activations), the
    whole weight of a word that is another word in the other prompt; errors, unknown there, are left out.

    Args:
        pair: the two graphs.
        place: of a feature.
    """
    change = differences(pair, place)
    found = np.argsort(-np.abs(change), kind="stable")[:MOST]
    whole, side = float(np.abs(change).sum()), int(pair.how[place] == ONLY_THERE)
    return [
        {
            "node": pair.name[source],
            "name": pair.brief(source, side),
            "weight": float(change[source]),
            "share": abs(float(change[source])) / whole,
        }
        for source in found.tolist()
        if abs(change[source]) > 1e-3 * whole
    ]


def differences(pair: Pair, place: int) -> Float[np.ndarray, "k"]:
    """Gives by how much every source makes the input of a feature differ; see `inputs`."""
    rows = [int(row) for row in pair.rows[place]]
    sides = (pair.one, pair.two)
    known = [row >= 0 and bool(side.opened[row]) for row, side in zip(rows, sides, strict=True)]
    weights = [_incoming(pair, side, rows[side], "weight") for side in (0, 1) if known[side]]
    constant = np.array([kind in ("bias", "rest") for kind in pair.kind])
    if not weights:
        return np.zeros(pair.size)
    if len(weights) == 2:
        return np.where(constant, 0.0, weights[0] - weights[1])
    side = known.index(True)
    a, b = pair.spread(pair.one.activation, pair.two.activation)
    moved = _incoming(pair, side, rows[side], "strength") * (a - b)
    tokens = np.array([kind == "token" for kind in pair.kind]) & pair.other_word
    unknown = np.array([kind == "error" for kind in pair.kind])
    lost = weights[0] * (1 - 2 * side)
    return np.where(constant | unknown, 0.0, np.where(tokens, lost, moved))


def _incoming(pair: Pair, side: int, row: int, column: str) -> Any:
    """Gives a column of the edges into a row of one graph, by places of their sources."""
    graph = pair.graphs()[side]
    source, target = graph.ends
    into = slice(*np.searchsorted(target, [row, row + 1]))
    found = np.zeros(pair.size)
    places = pair.places if side else np.arange(len(graph.nodes))
    found[places[source[into]]] = graph.edges[column].to_numpy()[into]
    return found
