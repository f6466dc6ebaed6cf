"""How much of the targets runs through each node, along all paths: one triangular solve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import scipy.sparse as sp
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import spsolve_triangular

from circuits.graph.graph import Graph

CONSTANTS = ("bias", "rest")
"""Kinds that explain nothing about the prompt; `rest` counts through the column `truncated`."""


@dataclass(frozen=True)
class Scores:
    """How much of a graph is explained, each a share between 0 and 1.

    `replacement` and `completeness` are defined as circuit-tracer and Ameisen et al. 2025 define them.

    Attributes:
        replacement: influence of tokens (and positional embeddings) over that of tokens and errors:
            of all paths that start at the prompt or at an error, the share starting at the prompt.
        completeness: share of the nodes' incoming weight that is not from errors, each node counted
            by its influence.
        truncated_share: share of the targets' influence that ends in edges summed into `rest`.
        unexpanded_share: share of it that ends at features whose own inputs were not computed.
    """

    replacement: float
    completeness: float
    truncated_share: float
    unexpanded_share: float


def normalised(graph: Graph) -> sp.csr_array:
    """Gives A: for every target (row), the share of its incoming |weight| that each source (column) has.

    A[t, s] = |weight(s→t)| / (Σ |weight| of t's incoming edges + truncated[t]). Sources of kind
    `bias` are left out above and below the line: constants explain nothing about the prompt. So is
    `rest`, which stands for edges not kept; `truncated`, the sum of their absolute weights, takes its
    place below. A row without incoming weight is zero.
    """
    size = len(graph.nodes)
    source, target = graph.ends
    kept = ~of_kind(graph, *CONSTANTS)[source]
    size_of = np.abs(graph.edges["weight"].to_numpy()[kept]).astype(np.float64)
    share = np.divide(size_of, inflow(graph)[target[kept]], out=np.zeros_like(size_of), where=size_of > 0)
    # edges are sorted by (target, source), so the rows of the matrix are there already
    pointer = np.zeros(size + 1, np.int64)
    np.cumsum(np.bincount(target[kept], minlength=size), out=pointer[1:])
    return sp.csr_array((share, source[kept], pointer), shape=(size, size))


def influence(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives every node's influence: the share of the targets reached through it along all paths.

    B = wᵀA + wᵀA² + … = wᵀ((I − A)⁻¹ − I) with A from `normalised` and w the node column
    `target_weight` (Ameisen et al. 2025). The series is never summed: nodes are in topological order,
    so A is strictly lower triangular and one sparse back substitution solves (I − A)ᵀ B = Aᵀ w. A
    target's own weight is not part of its influence.

    Args:
        graph: any graph.

    Returns:
        float64, one number a node, in the order of the node table.
    """
    return propagate(normalised(graph), graph.nodes["target_weight"].to_numpy())


def propagate(shares: sp.csr_array, weights: Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Gives wᵀ((I − A)⁻¹ − I) for a strictly lower triangular A (`shares`) and weights w."""
    downstream = sp.csc_array(shares.T)  # (I − A)ᵀ is upper triangular: from the targets down
    system = sp.eye_array(len(weights), format="csc") - downstream
    solved = spsolve_triangular(
        sp.csc_array(system), downstream @ weights, lower=False, unit_diagonal=True, overwrite_A=True
    )
    return np.asarray(solved, np.float64)


def arriving(graph: Graph, shares: sp.csr_array | None = None) -> Float[np.ndarray, "N"]:
    """Gives B + w: the share of the targets that passes through each node, a target's own weight included.

    Args:
        graph: any graph; what its column `influence` holds does not matter.
        shares: `normalised(graph)`, where it is at hand already.
    """
    asked = graph.nodes["target_weight"].to_numpy()
    return np.asarray(propagate(normalised(graph) if shares is None else shares, asked) + asked)


def through(graph: Graph, rows: Int[np.ndarray, "k"], shares: sp.csr_array | None = None) -> float:
    """Gives the share of the targets that passes through at least one of some nodes, each path counted once.

    Followed back from the targets, a path counts where it first comes to one of the nodes, and is not
    followed further: with A' the shares whose rows at these nodes are 0, the sum over them of
    wᵀ(I − A')⁻¹. It is at most the sum of their influences, which counts a path once for each node on it.

    Args:
        graph: any graph; what its column `influence` holds does not matter.
        rows: of the node table.
        shares: `normalised(graph)`, where it is at hand already.
    """
    whole = normalised(graph) if shares is None else shares
    goes_on = np.ones(len(graph.nodes))
    goes_on[rows] = 0
    ending = sp.csr_array(
        (whole.data * np.repeat(goes_on, np.diff(whole.indptr)), whole.indices, whole.indptr), whole.shape
    )
    return float(arriving(graph, ending)[rows].sum())


def with_influence(graph: Graph) -> Graph:
    """Gives the same graph with the node column `influence` filled in."""
    return graph.with_nodes(influence=pl.Series(influence(graph)))


def scores(graph: Graph, shares: sp.csr_array | None = None) -> Scores:
    """Gives the graph's replacement and completeness scores, and what was left unfollowed.

    With B the influence and w the target weights (positional embeddings count as tokens)::

        replacement  = Σ_tokens B / (Σ_tokens B + Σ_errors B)
        completeness = Σ_t (B + w)_t (1 − Σ_errors A[t, e]) / Σ_t (B + w)_t

    Where no path starts at a token or an error, the replacement score is 0.

    Args:
        graph: any graph.
        shares: `normalised(graph)`, where it is at hand already.
    """
    shares = normalised(graph) if shares is None else shares
    asked = graph.nodes["target_weight"].to_numpy()
    through = propagate(shares, asked)
    reached = through + asked
    from_errors = shares @ of_kind(graph, "error").astype(np.float64)
    prompt = float(through[of_kind(graph, "token", "position")].sum())
    errors = float(through[of_kind(graph, "error")].sum())
    stopped = of_kind(graph, "feature") & ~graph.nodes["expanded"].to_numpy()
    total = float(asked.sum())
    return Scores(
        replacement=_share(prompt, prompt + errors),
        completeness=_share(float(reached @ (1 - from_errors)), float(reached.sum())),
        truncated_share=_share(float(reached @ truncated_shares(graph, shares)), total),
        unexpanded_share=_share(float(through[stopped].sum()), total),
    )


def truncated_shares(graph: Graph, shares: sp.csr_array | None = None) -> Float[np.ndarray, "N"]:
    """Gives the share of every node's incoming |weight| that was summed into `rest`.

    Args:
        graph: any graph.
        shares: `normalised(graph)`, where it is at hand already: what its rows lack of 1 is that share.
    """
    truncated = graph.nodes["truncated"].to_numpy()
    if shares is not None:
        lacking = 1 - np.asarray(shares.sum(axis=1)).ravel()
        return np.where(truncated > 0, np.maximum(lacking, 0), 0.0)
    incoming = inflow(graph)
    return np.asarray(np.divide(truncated, incoming, out=np.zeros_like(incoming), where=incoming > 0))


def inflow(graph: Graph) -> Float[np.ndarray, "N"]:
    """Gives what flows into every node: Σ |weight| of its incoming edges, constants aside, + truncated."""
    source, target = graph.ends
    kept = ~of_kind(graph, *CONSTANTS)[source]
    size_of = np.abs(graph.edges["weight"].to_numpy()[kept]).astype(np.float64)
    total = sums(target[kept], size_of, len(graph.nodes)) + graph.nodes["truncated"].to_numpy()
    return np.asarray(total, np.float64)


def sums(
    rows: Int[np.ndarray, "k"], values: Float[np.ndarray, "k"], size: int
) -> Float[np.ndarray, "{size}"]:
    """Gives, for each of `size` rows, the float64 sum of the values that name it."""
    return np.bincount(rows, weights=values, minlength=size).astype(np.float64)  # integers if k is 0


def of_kind(graph: Graph, *kinds: str) -> Bool[np.ndarray, "N"]:
    """Gives which nodes are of any of the kinds."""
    return np.asarray(graph.nodes["kind"].cast(pl.String).is_in(kinds).to_numpy())


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
