"""Two graphs beside one another: which nodes are the same, and how what they bring differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from circuits.graph.graph import Graph
from circuits.query.align import Alignment
from circuits.query.answer import Answer
from circuits.query.contrast import contrast
from circuits.query.contrast_asked import check_features, subjects
from circuits.query.contrast_pair import Pair
from circuits.viewer.focus import Focus, numbers
from circuits.viewer.nodes import Part

BOTH, ONLY, UNSHOWN = "both", "only", "unshown"
KEYS: Final = ("target", "other_target", "align", "top")


def focused(graph: Graph, against: Graph, answer: Answer | None) -> tuple[Focus, Focus, Pair]:
    """Gives the two runs, each with the node that is compared, and their nodes laid over one another.

    Raises:
        Incompatible: their features come from different dictionaries.
        NotFound, UsageError: as `circuits.contrast`.
    """
    check_features(graph, against)
    asked = _asked(answer)
    alignment = Alignment.of_graphs(graph, against, asked["align"])
    one, two = subjects(graph, against, (asked["target"], asked["other_target"]), alignment)
    return Focus(graph, one), Focus(against, two), Pair.of(one, two, alignment)


def diff_part(pair: Pair, parts: tuple[Part, Part], answer: Answer | None) -> dict[str, Any]:
    """Gives how the nodes shown of two graphs stand to each other.

    Args:
        pair: of the two.
        parts: what is shown of either.
        answer: their contrast, where it was asked for already.
    """
    first, second = parts
    graphs = pair.one.subject.naming.graph, pair.two.subject.naming.graph
    told = answer if is_contrast(answer) else contrast(*graphs, **_asked(answer))
    assert told is not None
    rows = pair.rows
    both = np.flatnonzero((rows >= 0).all(axis=1))
    here, there = first.place[rows[both, 0]], second.place[rows[both, 1]]
    shown = (here >= 0) & (there >= 0)
    order = np.argsort(here[shown], kind="stable")
    places, pairs = both[shown][order], np.stack([here[shown][order], there[shown][order]], axis=1)
    return {
        "positions": _positions(pair.alignment),
        "pairs": pairs.tolist(),
        "here": _marks(first.rows, rows[:, 0], rows[:, 1], second.place),
        "there": _marks(second.rows, rows[:, 1], rows[:, 0], first.place),
        "change": numbers(0.0 - pair.total.change[places]),
        "finding": list(told.finding),
    }


def is_contrast(answer: Answer | None) -> bool:
    """Tells whether an answer is one of `circuits.contrast`."""
    return answer is not None and answer.meta.get("query") == "contrast"


def _asked(answer: Answer | None) -> dict[str, Any]:
    """Gives what a contrast was asked with; the target of any other answer."""
    usual: dict[str, Any] = {"target": None, "other_target": None, "align": "end", "top": 10}
    asked = {} if answer is None else answer.meta.get("asked") or {}
    if is_contrast(answer):
        return usual | {key: _pair_of(asked[key]) if "target" in key else asked[key] for key in KEYS}
    target, over = asked.get("target"), asked.get("over")
    if isinstance(target, str):
        usual["target"] = (target, over) if isinstance(over, str) else target
    return usual


def _pair_of(target: str | Sequence[str] | None) -> str | tuple[str, str] | None:
    if target is None or isinstance(target, str):
        return target
    one, other = target  # a list where it was read from JSON
    return one, other


def _positions(alignment: Alignment) -> list[list[int | None]]:
    """Gives all positions of both prompts, in the order of both, partners together."""
    found: list[list[int | None]] = []
    p = q = 0
    for a, b in [*alignment.pairs, (len(alignment.here), len(alignment.there))]:
        found += [[k, None] for k in range(p, a)]
        found += [[None, k] for k in range(q, b)]
        if a < len(alignment.here):
            found.append([a, b])
        p, q = a + 1, b + 1
    return found


def _marks(shown: np.ndarray, mine: np.ndarray, theirs: np.ndarray, there: np.ndarray) -> list[str]:
    """Gives how each row shown of a graph stands in the other.

    Args:
        shown: rows of the graph.
        mine: of every place the graph's row, −1 for none.
        theirs: of every place the other's row.
        there: where each row of the other stands in its table, −1 where it is not shown.
    """
    partner = np.full(int(mine.max(initial=-1)) + 1, -1)
    known = mine >= 0
    partner[mine[known]] = theirs[known]
    found = partner[shown]
    seen = np.where(found >= 0, np.append(there, -1)[found], -1)
    return [
        ONLY if row < 0 else BOTH if place >= 0 else UNSHOWN for row, place in zip(found, seen, strict=True)
    ]
