"""The links of an attribution-graph document as arrays, and what is wrong with them."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float, Int
from scipy.sparse.csgraph import connected_components

from circuits.interop.document_nodes import Found
from circuits.interop.problems import Problem, short

Ends = tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]


def link_ends(
    links: Sequence[Mapping[str, Any]], found: Sequence[Found | None]
) -> tuple[Ends, list[str], list[Problem]]:
    """Gives every link's source and target as places among the nodes, what was guessed, and what is wrong.

    Args:
        links: of a document that keeps the schema.
        found: its nodes.

    Returns:
        The ends (−1 where there is no such node), sentences on links that more than one node could be
        meant by, problems.
    """
    places: dict[str, int] = {}
    twins: dict[str, tuple[int, int]] = {}  # the feature and the error of one id
    for at, one in enumerate(found):
        if one is None:
            continue
        if one.id in places:
            other = places[one.id]
            twins[one.id] = (other, at) if one.kind == "error" else (at, other)
        places.setdefault(one.id, at)
    count = len(links)
    ends = tuple(
        np.fromiter((places.get(link[end], -1) for link in links), np.int64, count)
        for end in ("source", "target")
    )
    source, target = ends
    said = _told_apart(links, found, source, target, twins) if twins else []
    unread = {at for at, one in enumerate(found) if one is None}
    known = {one.id for one in found if one is not None}
    problems = [
        Problem(f"links[{at}].{end}", f"no node has the id {short(links[at][end])}", sort="ends")
        for end, rows in (("source", source), ("target", target))
        for at in np.flatnonzero(rows < 0).tolist()
        if not unread or links[at][end] not in known
    ]
    return (source, target), said, problems


def _told_apart(
    links: Sequence[Mapping[str, Any]],
    found: Sequence[Found | None],
    source: Int[np.ndarray, "e"],
    target: Int[np.ndarray, "e"],
    twins: Mapping[str, tuple[int, int]],
) -> list[str]:
    """Sets the ends of links whose id is both a feature's and an error's; gives what had to be guessed.

    Nothing flows into an error. From it, only higher layers are reached. Where both reach a target there are
    two links, the feature's first, for circuit-tracer writes a target's links in the order features,
    errors, words; where there is one, its neighbours in that order tell, if they can.
    """
    doubtful: dict[tuple[str, int], list[int]] = {}
    for at, link in enumerate(links):
        if link["target"] in twins:
            target[at] = twins[link["target"]][0]
        if link["source"] in twins:
            doubtful.setdefault((link["source"], int(target[at])), []).append(at)
    guessed = 0
    for (id_, into), places in doubtful.items():
        feature, error = twins[id_]
        aim = found[into] if into >= 0 else None
        above = aim is None or aim.kind == "logit" or (aim.layer or 0) > (_layer(found[error]))
        if len(places) == 2 and above:
            source[places[0]], source[places[1]] = feature, error
        elif not above:
            source[np.array(places)] = feature
        else:
            side = _side(links, found, (source, target), places[0], twins)
            guessed += side is None
            source[np.array(places)] = error if side == "error" else feature
    if not guessed:
        return []
    links_ = "1 link" if guessed == 1 else f"{guessed:,} links"
    return [
        f"{links_} could come from a feature of layer 0 or an error of the same id: taken as the feature's"
    ]


def _side(
    links: Sequence[Mapping[str, Any]],
    found: Sequence[Found | None],
    ends: Ends,
    at: int,
    twins: Mapping[str, tuple[int, int]],
) -> str | None:
    """Gives what a link's neighbours say its source is: errors stand after features, before words."""
    source, target = ends

    def kind(place: int) -> str | None:
        inside = 0 <= place < len(links) and target[place] == target[at]
        if not inside or links[place]["source"] in twins or source[place] < 0:
            return None
        one = found[source[place]]
        return None if one is None else one.kind

    if kind(at + 1) == "feature":
        return "feature"
    if kind(at - 1) in ("error", "token"):
        return "error"
    return None


def _layer(one: Found | None) -> int:
    return -1 if one is None or one.layer is None else one.layer


def link_weights(links: Sequence[Mapping[str, Any]]) -> tuple[Float[np.ndarray, "e"], list[Problem]]:
    """Gives the links' weights, and which are no numbers that can be added."""
    weights = np.fromiter((link["weight"] for link in links), np.float64, len(links))
    wrong = [
        Problem(f"links[{at}].weight", f"{links[at]['weight']} is no finite number", sort="weights")
        for at in np.flatnonzero(~np.isfinite(weights)).tolist()
    ]
    return weights, wrong


def repeated(ends: Ends, size: int) -> list[Problem]:
    """Gives the links that say again what another says."""
    source, target = ends
    known = np.flatnonzero((source >= 0) & (target >= 0))
    keys = target[known] * size + source[known]
    order = np.argsort(keys, kind="stable")
    again = np.flatnonzero(np.diff(keys[order]) == 0)
    return [
        Problem(f"links[{known[order[at + 1]]}]", f"repeats links[{known[order[at]]}]", sort="repeats")
        for at in again.tolist()
    ]


def sorted_rows(
    ends: Ends, order: Int[np.ndarray, "n"], found: Sequence[Found]
) -> tuple[Int[np.ndarray, "n"], list[Problem]]:
    """Gives the nodes in topological order: the given order where the links allow it.

    Args:
        ends: source and target of every link, places among the nodes.
        order: the order preferred.
        found: the nodes.

    Returns:
        The order, and a problem for a cycle, if there is one.
    """
    size = len(found)
    place = np.empty(size, np.int64)
    place[order] = np.arange(size)
    source, target = place[ends[0]], place[ends[1]]
    if (source < target).all():
        return order, []
    matrix = sp.csr_array((np.ones(len(source), np.int8), (source, target)), shape=(size, size))
    matrix.sum_duplicates()
    waiting = np.bincount(matrix.indices, minlength=size)
    ready = np.flatnonzero(waiting == 0).tolist()
    heapq.heapify(ready)
    done: list[int] = []
    while ready:
        row = heapq.heappop(ready)
        done.append(row)
        below = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
        waiting[below] -= 1
        for free in below[waiting[below] == 0].tolist():
            heapq.heappush(ready, free)
    if len(done) == size:
        return order[np.array(done, np.int64)], []
    return order, [_cycle(matrix, found, order, np.flatnonzero(waiting > 0))]


def _cycle(
    matrix: sp.csr_array, found: Sequence[Found], order: Int[np.ndarray, "n"], left: Int[np.ndarray, "k"]
) -> Problem:
    """Gives one cycle among the nodes left, as the ids it runs through."""
    inner = sp.csr_array(matrix[left][:, left])
    _, parts = connected_components(inner, directed=True, connection="strong")
    sizes = np.bincount(parts)
    loops = np.flatnonzero(inner.diagonal() > 0)
    start = int(loops[0]) if len(loops) else int(np.flatnonzero(sizes[parts] > 1)[0])
    walk, at = [start], start
    while True:
        below = inner.indices[inner.indptr[at] : inner.indptr[at + 1]]
        at = int(below[parts[below] == parts[start]][0])
        if at in walk:
            walk = [*walk[walk.index(at) :], at]
            break
        walk.append(at)
    ids = [found[int(order[left[place]])].id for place in walk]
    shown = ids if len(ids) <= 8 else [*ids[:4], "…", *ids[-3:]]
    return Problem(
        "links", f"a cycle: {' → '.join(shown)}; nothing in an attribution graph causes itself", sort="cycle"
    )
