"""Feed-forward triangles: a source that reaches its target both straight and through a middle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Float, Int

from circuits.errors import UsageError
from circuits.graph.concepts import Concept
from circuits.graph.graph import Graph
from circuits.graph.slopes import slopes
from circuits.query.answer import Answer
from circuits.query.ends import meant_target
from circuits.query.subject import Subject, induced
from circuits.query.text import listing, percent, python

DENSE: Final = 0.02
"""Share of all pairs that are edges from which products are made of full matrices."""

CAPTIONS: Final = {
    "motifs": "The strongest triangles. share: what the weaker of the two ways carries of everything that"
    " flows into the target asked about. straight and through: the share of each way. kind: coherent where"
    " both push the triangle's last node the same way, incoherent where they oppose each other.",
    "counts": "All triangles of features and words whose edges carry influence on the target.",
}


def motifs(graph: Graph, target: str | Concept | None = None, *, k: int = 20) -> Answer:
    """Gives the feed-forward triangles s → m → t with s → t: how many, coherent or not, the strongest.

    A feed-forward loop (Mangan & Alon 2003) is coherent if the way through m pushes t the way the
    straight edge does, incoherent if against it. Its strength is what the weaker of the two ways
    carries of the target: arriving(t) · min(A[t, s], A[t, m] · A[m, s]), with A the normalised weights.

    Args:
        graph: an attribution graph.
        target: a node; the graph's heaviest target unless given.
        k: how many to list.

    Returns:
        An answer with tables `motifs` and `counts`.

    Raises:
        NotFound: no such node.
        UsageError: k is below 1, or nothing flows into the target.

    Example:
        >>> print(motifs(graph, "logit:Austin", k=5))  # doctest: +SKIP
    """
    if k < 1:
        raise UsageError(f"{k} triangles were asked for: give 1 or more.")
    subject = Subject.of(graph, meant_target(graph, target).nodes[0])
    signs, passes = _signs(subject)
    coherent, incoherent = triangles(signs, passes)
    found = [
        _triangle(subject, signs, passes, rows) for rows in strongest(subject.shares, subject.influence, k)
    ]
    names, naming = graph.nodes["node"], subject.naming
    table = pl.DataFrame(
        {
            "share": [one.share for one in found],
            "kind": ["coherent" if one.coherent else "incoherent" for one in found],
            "straight": [one.straight for one in found],
            "through": [one.through for one in found],
            "path": [" → ".join(naming.terse(names[row]) for row in one.rows) for one in found],
            "nodes": [[names[row] for row in one.rows] for one in found],
        },
        schema={"share": pl.Float64, "kind": pl.String, "straight": pl.Float64, "through": pl.Float64}
        | {"path": pl.String, "nodes": pl.List(pl.String)},
    )
    counts = pl.DataFrame({"kind": ["coherent", "incoherent"], "number": [coherent, incoherent]})
    rows = {row for one in found for row in one.rows} | {subject.row}
    return Answer(
        question=f"Which triangles lead to {subject.words()}?",
        finding=_sentences(subject, table, coherent, incoherent),
        tables={"motifs": table, "counts": counts},
        highlight=induced(graph, np.array(sorted(rows))),
        code=python(graph, "motifs", {"target": target, "k": k}, {"k": 20}),
        captions=CAPTIONS,
        meta={
            "query": "motifs",
            "asked": {"target": str(target) if isinstance(target, Concept) else target, "k": k},
            "target": subject.node,
        },
    )


@dataclass(frozen=True)
class Triangle:
    """A feed-forward triangle.

    Attributes:
        rows: source, middle, target.
        share: what the weaker way carries of the target asked about.
        straight: what the edge s → t carries.
        through: what s → m → t carries.
        coherent: whether both ways push the same way.
    """

    rows: tuple[int, int, int]
    share: float
    straight: float
    through: float
    coherent: bool


def triangles(signs: sp.csr_array, passes: Float[np.ndarray, "n"]) -> tuple[int, int]:
    """Gives how many triangles are coherent and how many are not.

    Args:
        signs: −1 and 1 by the sign of an edge's weight; row = target, column = source.
        passes: −1 or 1 by the sign of what a node passes on where it is the middle.
    """
    if signs.nnz > DENSE * signs.shape[0] ** 2:
        whole = signs.toarray().astype(np.float32)
        there = np.abs(whole)
        total = float(((there @ there) * there).sum(dtype=np.float64))
        more = float((((whole * passes.astype(np.float32)) @ whole) * whole).sum(dtype=np.float64))
    else:
        here = abs(signs)
        total = float((here @ here).multiply(here).sum())
        more = float((signs @ sp.diags_array(passes) @ signs).multiply(signs).sum())
    return (round(total) + round(more)) // 2, (round(total) - round(more)) // 2


def strongest(shares: sp.csr_array, arriving: Float[np.ndarray, "n"], k: int) -> list[tuple[int, int, int]]:
    """Gives the k strongest triangles by rows (source, middle, target), strongest first; exact.

    For each target, those most arrives at first, and each of its sources as the middle: the middle's own
    sources are looked up among the target's. No triangle is stronger than what arrives at its target
    times the middle's share, so a target or middle below the k-th found so far is passed over.
    """
    best: list[tuple[float, int, int, int]] = []
    least = 0.0
    direct = np.zeros(shares.shape[0])
    for target in np.argsort(-arriving, kind="stable").tolist():
        if arriving[target] <= least:
            break
        source, share = _row(shares, target)
        direct[source] = share
        for at in np.argsort(-share, kind="stable").tolist():
            if arriving[target] * share[at] <= least:
                break
            inner, inner_share = _row(shares, int(source[at]))
            weaker = arriving[target] * np.minimum(direct[inner], share[at] * inner_share)
            here = np.flatnonzero(weaker > least)
            best += [(float(weaker[i]), int(inner[i]), int(source[at]), target) for i in here]
            if len(best) > 4 * k:
                best, least = _cut(best, k)
        direct[source] = 0.0
    return [(s, m, t) for _, s, m, t in _cut(best, k)[0]]


def _cut(best: list[tuple[float, int, int, int]], k: int) -> tuple[list[tuple[float, int, int, int]], float]:
    kept = sorted(best, key=lambda one: (-one[0], *one[1:]))[:k]
    return kept, kept[-1][0] if len(kept) == k else 0.0


def _triangle(
    subject: Subject, signs: sp.csr_array, passes: Float[np.ndarray, "n"], rows: tuple[int, int, int]
) -> Triangle:
    (s, m, t), shares, arrives = rows, subject.shares, float(subject.influence[rows[2]])
    straight = arrives * float(shares[t, s])
    through = arrives * float(shares[t, m]) * float(shares[m, s])
    same = signs[t, s] * signs[t, m] * passes[m] * signs[m, s] > 0
    return Triangle(rows, min(straight, through), straight, through, bool(same))


def _row(matrix: sp.csr_array, row: int) -> tuple[Int[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    inside = slice(matrix.indptr[row], matrix.indptr[row + 1])
    return matrix.indices[inside], matrix.data[inside]


def _signs(subject: Subject) -> tuple[sp.csr_array, Float[np.ndarray, "n"]]:
    """Gives the signs of the edges that carry influence on the target, and of what each node passes on.

    A middle passes on slope · strength, and strength is weight over activation.
    """
    shares, matrix = subject.shares, subject.graph.matrix
    target = np.repeat(np.arange(shares.shape[0]), np.diff(shares.indptr))
    source = shares.indices
    live = (shares.data > 0) & (subject.influence[target] > 0)
    weight = np.asarray(matrix[target[live], source[live]]).ravel()
    signs = sp.csr_array(
        (np.sign(weight.astype(np.float64)), (target[live], source[live])), shape=shares.shape
    )
    activation = subject.graph.nodes["activation"].fill_null(0.0).to_numpy()
    return signs, np.sign(slopes(subject.graph) * np.where(activation == 0, 1.0, activation))


def _sentences(subject: Subject, table: pl.DataFrame, coherent: int, incoherent: int) -> tuple[str, ...]:
    total = coherent + incoherent
    if not total:
        return (f"No triangle leads to {subject.words()}.",)
    rows = table.head(3).to_dicts()
    few = listing(f"{row['path']} ({percent(row['share'])}, {row['kind']})" for row in rows)
    agree, oppose = percent(coherent / total), percent(incoherent / total)
    first = (
        f"{total:,} triangles lead to {subject.words()}, nodes that act both straight and through another: in"
        f" {agree} of them the two ways agree, in {oppose} they oppose each other."
    )
    return (
        first,
        f"The strongest {'are' if len(table) > 1 else 'is'} {few}.",
    )
