"""The tables of an answer to `why`: each a definition, computed from one subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int

from circuits.graph.influence import Scores, truncated_shares
from circuits.query.answer import LINKS
from circuits.query.ends import leaves
from circuits.query.paths import Path
from circuits.query.subject import Subject
from circuits.query.text import KIND_WORDS, plain, signed

CAPTIONS: Mapping[str, str] = {
    "features": "The features with most influence. weight: the direct effect on the target, signed, as"
    " it is on this prompt (blank: too small to be kept). influence: the share of everything flowing into"
    " the target, over all paths and without sign, that passes through the feature. reads and writes: its"
    " strongest sources and the receivers through which it matters most, with the signed weight.",
    "words": "How much of the influence starts at each word. weight: the direct effect of the word's"
    " embedding on the target, not through any feature.",
    "paths": "The strongest single paths. share: the part of the target's influence that flows through"
    " exactly this path. sign: + where the path as a whole pushes the target up, − where down.",
    "ends": "Where influence comes from when it is followed back as far as the graph goes; the shares add"
    " up to 100%.",
    "trust": "How far this answer can be trusted.",
}

REMAINDER = "not in this graph"
"""The part of a target's value that no edge of the graph holds: rounding, or edges pruned away."""


def totals_caption(subject: Subject) -> str:
    """Gives the caption of the totals: what they add up to."""
    what = "logit" if subject.kind == "logit" else "pre-activation"
    if subject.over is not None:
        what = "difference of logits"
    sides = "up and down: the positive and the negative effects alone."
    told = f"Direct effects by kind of source; the column total adds up to {plain(subject.value)}"
    if not subject.valued:
        return f"{told}, which is not the {what}: that is unknown, and biases are missing. {sides}"
    return f"{told}, the {what}. {sides}"


def totals_table(subject: Subject) -> pl.DataFrame:
    """Gives the sum behind the target's value: part, sources, up, down, total.

    The totals add up to the value; what no edge holds stands in a last row, so nothing is hidden.
    """
    source, weight = _incoming(subject)
    kinds = subject.graph.nodes["kind"].cast(pl.String).to_numpy()[source]
    rows = []
    for kind in ("feature", "token", "position", "error", "bias", "rest"):
        mine = weight[kinds == kind]
        if len(mine):
            up, down = float(mine[mine > 0].sum()), float(mine[mine < 0].sum())
            rows.append((KIND_WORDS[kind], len(mine), up, down, up + down))
    gap = subject.value - sum(row[4] for row in rows)
    rows.append((REMAINDER, 0, max(gap, 0.0), min(gap, 0.0), gap))
    schema = {"part": pl.String, "sources": pl.Int64}
    return pl.DataFrame(
        rows, schema=schema | dict.fromkeys(("up", "down", "total"), pl.Float64), orient="row"
    )


def features_table(subject: Subject, top: int) -> pl.DataFrame:
    """Gives the features with most influence on the target, and what they read and write."""
    nodes = subject.graph.nodes
    rows = _ranked(subject, "feature")[:top]
    source, weight = _incoming(subject)
    direct = dict(zip(source.tolist(), weight.tolist(), strict=True))
    reads = {row: _reads(subject, row) for row in rows.tolist()}
    writes = _writes(subject, rows)
    names = subject.naming
    return pl.DataFrame(
        {
            "node": [nodes["node"][row] for row in rows.tolist()],
            "token": [names.token(nodes["pos"][row]) for row in rows.tolist()],
            "activation": [nodes["activation"][row] for row in rows.tolist()],
            "weight": [direct.get(row) for row in rows.tolist()],
            "influence": subject.influence[rows].tolist(),
            "label": [nodes["label"][row] for row in rows.tolist()],
            "reads": [reads[row] for row in rows.tolist()],
            "writes": [writes[row] for row in rows.tolist()],
        },
        schema={"node": pl.String, "token": pl.String}
        | dict.fromkeys(("activation", "weight", "influence"), pl.Float64)
        | {"label": pl.String, "reads": LINKS, "writes": LINKS},
    )


def words_table(subject: Subject) -> pl.DataFrame:
    """Gives each word's influence on the target, the most important first."""
    nodes = subject.graph.nodes
    source, weight = _incoming(subject)
    direct = dict(zip(source.tolist(), weight.tolist(), strict=True))
    rows = _ranked(subject, "token", all_of_them=True).tolist()
    return pl.DataFrame(
        {
            "node": [nodes["node"][row] for row in rows],
            "pos": [nodes["pos"][row] for row in rows],
            "token": [subject.naming.token(nodes["pos"][row]) for row in rows],
            "influence": [float(subject.influence[row]) for row in rows],
            "weight": [direct.get(row) for row in rows],
        },
        schema={"node": pl.String, "pos": pl.Int64, "token": pl.String, "influence": pl.Float64}
        | {"weight": pl.Float64},
    )


def paths_table(subject: Subject, paths: Sequence[Path]) -> pl.DataFrame:
    """Gives the strongest paths: share, sign, the path in words, its nodes."""
    return pl.DataFrame(
        {
            "share": [path.share for path in paths],
            "sign": ["+" if path.sign > 0 else "−" for path in paths],
            "path": [path_text(subject, path) for path in paths],
            "nodes": [list(path.nodes) for path in paths],
        },
        schema={"share": pl.Float64, "sign": pl.String, "path": pl.String, "nodes": pl.List(pl.String)},
    )


def path_text(subject: Subject, path: Path) -> str:
    """Gives a path on one line: words in quotes, features by name."""
    return " → ".join(subject.naming.terse(node) for node in path.nodes)


def ends_table(subject: Subject) -> pl.DataFrame:
    """Gives where influence comes from in the end: end, share; the shares add up to 1."""
    nodes, share = subject.graph.nodes, subject.influence
    kinds = nodes["kind"].cast(pl.String).to_numpy()
    closed = leaves(subject.graph, subject.shares)
    cut = float(share @ truncated_shares(subject.graph, subject.shares))
    expanded = nodes["expanded"].to_numpy()
    rows = [
        ("words of the prompt", float(share[kinds == "token"].sum())),
        ("positions", float(share[kinds == "position"].sum())),
        ("dictionary errors", float(share[kinds == "error"].sum())),
        ("features not opened up", float(share[(kinds == "feature") & ~expanded].sum())),
        ("features driven by constants", float(share[(kinds == "feature") & closed & expanded].sum())),
        ("edges too small to keep", cut if cut > 1e-12 else 0.0),
    ]
    kept = [row for row in rows if row[1] > 0 or row[0] in ("words of the prompt", "dictionary errors")]
    return pl.DataFrame(kept, schema={"end": pl.String, "share": pl.Float64}, orient="row")


def trust_table(subject: Subject, tables: Mapping[str, pl.DataFrame], score: Scores) -> pl.DataFrame:
    """Gives the scores, each with a sentence that says what it means."""
    gap = float(tables["totals"].row(-1, named=True)["total"])
    rows = [
        (
            "replacement",
            score.replacement,
            "of the influence that starts at words or at errors, the share that starts at words",
        ),
        (
            "completeness",
            score.completeness,
            "share of the nodes' inputs, weighted by influence, that is not error",
        ),
        (
            "truncated share",
            score.truncated_share,
            "share of the influence that runs through edges too small to keep",
        ),
        (
            "left over",
            abs(gap) / max(1.0, abs(subject.value)) if subject.valued else None,
            f"{signed(gap)} of the value {plain(subject.value)} is in no edge (rounding, pruning)"
            if subject.valued
            else "how much of the value is in no edge: the graph was imported without biases or the value",
        ),
    ]
    schema = {"score": pl.String, "share": pl.Float64, "meaning": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _incoming(subject: Subject) -> tuple[Int[np.ndarray, "e"], Any]:
    """Gives source rows and weights, in float64, of the edges into the subject."""
    matrix = subject.graph.matrix
    inside = slice(matrix.indptr[subject.row], matrix.indptr[subject.row + 1])
    return matrix.indices[inside], matrix.data[inside].astype(np.float64)


def _ranked(subject: Subject, kind: str, *, all_of_them: bool = False) -> Int[np.ndarray, "k"]:
    """Gives the rows of one kind, most influence first, the subject and idle ones left out."""
    chosen = (subject.graph.nodes["kind"] == kind).to_numpy()
    chosen[subject.row] = False
    rows = np.flatnonzero(chosen & (all_of_them | (subject.influence > 0)))
    return rows[np.argsort(-subject.influence[rows], kind="stable")]


def _reads(subject: Subject, row: int, most: int = 3) -> list[dict[str, Any]]:
    """Gives the strongest sources of one node."""
    shares = subject.shares
    inside = slice(shares.indptr[row], shares.indptr[row + 1])
    source, share = shares.indices[inside], shares.data[inside]
    best = np.argsort(-share, kind="stable")[:most]
    return [_link(subject, int(source[i]), int(source[i]), row, float(share[i])) for i in best]


def _writes(subject: Subject, rows: Int[np.ndarray, "k"], most: int = 3) -> dict[int, list[dict[str, Any]]]:
    """Gives, for each row, the receivers through which most of its influence flows."""
    columns = subject.shares[:, rows].tocsc()
    written = {}
    for i, row in enumerate(rows.tolist()):
        inside = slice(columns.indptr[i], columns.indptr[i + 1])
        target, share = columns.indices[inside], columns.data[inside]
        flow = share * subject.influence[target]
        best = [j for j in np.argsort(-flow, kind="stable")[:most] if flow[j] > 0]
        written[row] = [_link(subject, int(target[j]), row, int(target[j]), float(share[j])) for j in best]
    return written


def _link(subject: Subject, shown: int, source: int, target: int, share: float) -> dict[str, Any]:
    node = str(subject.graph.nodes["node"][shown])
    return {
        "node": node,
        "name": subject.naming.brief(node),
        "weight": float(subject.graph.matrix[target, source]),
        "share": share,
    }
