"""What every source contributes to the queries and keys of attention scores.

With patterns and all scales frozen, the query at position q is a linear function of everything that was
written into the stream before attention of that layer, and so is the key at k. Their product is bilinear
(Anthropic 2025, "Tracing attention computation through feature interactions"):

    score(q, k) = Σ_a Σ_b u_a · w_b

where u_a is what source a contributes to the query (norms, rotation and the factor Q^-1/2 folded in) and w_b
what b contributes to the key, along all paths through earlier frozen attention. Constants are sources too,
so the sum closes. As a game of coalitions of sources, a pair's interaction is u_a · w_b + u_b · w_a by every
index, and every interaction of three or more is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, Int

from circuits.engine.operator import Effects, pull
from circuits.engine.plan import largest_chunk, position_bucket
from circuits.engine.rows import Engine
from circuits.errors import UsageError
from circuits.trace import Scores, Trace

Step = Callable[[int, int], None]
"""Told how many reads are done, and of how many."""


@dataclass(frozen=True, order=True)
class End:
    """One end of a score: the query of a head, or the key of a key group, at a position."""

    layer: int
    side: Literal["query", "key"]
    head: int
    position: int


Contributions = Float[np.ndarray, "N Q"]
"""What each node of the node table contributes to the Q numbers of a query or key."""


def scores_of(trace: Trace) -> Scores:
    """Gives a trace's queries and keys.

    Raises:
        UsageError: it holds none.
    """
    if trace.scores is None:
        raise UsageError(
            "This trace holds no queries and keys, so no attention score can be explained: extract it again"
            " with Extraction(scores=True)."
        )
    return trace.scores


def contributions(
    engine: Engine, ends: Iterable[End], step: Step | None = None
) -> dict[End, Float[np.ndarray, "N Q"]]:
    """Gives what every node contributes to queries and keys.

    The rows of all ends of one layer are pulled down together, some 64 at a time.

    Args:
        engine: of a trace with scores.
        ends: queries and keys, in any order; the factor of the score is in the query.
        step: told of progress.

    Returns:
        For each end, one row a node, in the order of `engine.where`; their sum is the query or key.

    Raises:
        UsageError: the trace holds no queries and keys.
    """
    scores_of(engine.trace)
    wanted = sorted(set(ends))
    found: dict[End, Float[np.ndarray, "N Q"]] = {}
    groups: dict[tuple[int, int], list[End]] = {}
    for end in wanted:
        groups.setdefault((end.layer, position_bucket(end.position + 1)), []).append(end)
    # by positions first: the operator keeps its arrays for one number of positions only
    for (layer, seen), members in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        made = [reads(engine.trace, end) for end in members]
        rows, width = np.concatenate([rows for rows, _ in made]), len(made[0][1])
        at = np.repeat([end.position for end in members], width)
        values = pulled(engine, rows, at, layer, seen)
        for i, (end, (_, bias)) in enumerate(zip(members, made, strict=True)):
            part = np.ascontiguousarray(values[:, i * width : (i + 1) * width])
            part[engine.where.own] += bias
            found[end] = part
        if step is not None:
            step(len(found), len(wanted))
    return found


def reads(trace: Trace, end: End) -> tuple[Float[np.ndarray, "Q d"], Float[np.ndarray, "Q"]]:
    """Gives what a query or key reads of the stream that enters its layer, and what it holds besides.

    Args:
        trace: one with scores.
        end: which.
    """
    made = scores_of(trace)
    layer, head, position = end.layer, end.head, end.position
    if end.side == "query":
        rows, bias = made.query[layer, head], made.query_bias
        scale = made.query_scale[layer, head, position] * made.factor[layer]
    else:
        rows, bias = made.key[layer, head], made.key_bias
        scale = made.key_scale[layer, head, position]
    held = np.zeros(len(rows), rows.dtype) if bias is None else bias[layer, head]
    attention = trace.attention
    read_scale = 1.0 if attention is None else attention.read_scale[layer, position]
    angle = None if made.angle is None else made.angle[layer, position]
    return turned(rows * (scale * read_scale), angle), turned(held * scale, angle)


def turned(
    rows: Float[np.ndarray, "Q *rest"], angle: Float[np.ndarray, "P"] | None
) -> Float[np.ndarray, "Q *rest"]:
    """Gives rows with each pair (j, j + P) of the first 2P turned by its angle (Su et al. 2021)."""
    if angle is None:
        return rows
    pairs = len(angle)
    # in float64: angles of late positions are large
    angle = angle.astype(np.float64).reshape(-1, *([1] * (rows.ndim - 1)))
    first, second = rows[:pairs], rows[pairs : 2 * pairs]
    parts = (
        first * np.cos(angle) - second * np.sin(angle),
        second * np.cos(angle) + first * np.sin(angle),
        rows[2 * pairs :],
    )
    return np.concatenate(parts).astype(rows.dtype)


def pulled(
    engine: Engine,
    rows: Float[np.ndarray, "reads d"],
    at: Int[np.ndarray, "reads"],
    layer: int,
    seen: int,
) -> Float[np.ndarray, "N reads"]:
    """Gives the contributions of all nodes to rows that read the stream entering a layer.

    Args:
        engine: of the trace.
        rows: what is read, all scales applied, constants not.
        at: at which position.
        layer: of which layer.
        seen: the padded number of positions, more than any of `at`.
    """
    size, operator = largest_chunk(seen), engine.operators[0]
    parts = []
    for start in range(0, len(rows), size):
        some, where = rows[start : start + size], at[start : start + size]
        padding = size - len(some)
        with engine.precision():
            effects = pull(
                operator.cut(seen),
                jax.device_put(
                    np.pad(some, [(0, padding), (0, 0)]).astype(engine.trace.dtype), operator.device
                ),
                jax.device_put(np.pad(where, (0, padding)).astype(np.int32), operator.device),
                layer,
                parallel=operator.parallel,
                entering=True,
            )
            parts.append(_by_node(engine, effects)[:, : len(some)])
    return np.concatenate(parts, axis=1)


def _by_node(engine: Engine, effects: Effects) -> Float[np.ndarray, "N T"]:
    """Gives effects as one row a node; dormant features, which write nothing, have none."""
    where, sources = engine.where, engine.sources
    inputs = np.asarray(effects.inputs)
    out = np.zeros((where.size, inputs.shape[2]), inputs.dtype)
    for rows, values in zip((where.token, where.position), inputs, strict=False):
        seen = min(len(rows), len(values))
        out[rows[:seen]] = values[:seen]
    for layer, found in enumerate(effects.layers):
        blocks = np.asarray(found.blocks)[: sources.block_node.shape[1]]
        node, live = (table[layer, : len(blocks)] for table in (sources.block_node, sources.live))
        on = live > 0
        out[node[on]] += blocks.transpose(0, 2, 1)[on]  # a node has one entry a layer
        for row, bias in (
            (where.attention_bias[layer], found.attention_bias),
            (where.mlp_bias[layer], found.mlp_bias),
        ):
            if row >= 0:
                out[row] += np.asarray(bias)
    return out


def players(engine: Engine) -> np.ndarray:
    """Tells which nodes are players: tokens, positions, errors and features; constants are not."""
    where = engine.where
    out = np.zeros(where.size, bool)
    for rows in (where.token, where.position, where.error.ravel(), where.feature):
        out[rows[rows >= 0]] = True
    return out


def key_group(trace: Trace, head: int) -> int:
    """Gives the key group a head reads: H / K heads share one."""
    made = scores_of(trace)
    groups, heads = made.key.shape[1], made.query.shape[1]
    return int(head * groups // heads)
