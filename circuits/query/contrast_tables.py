"""The tables of a contrast: what makes up two values, and what of it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import polars as pl
import scipy.sparse as sp

from circuits.query.answer import LINKS
from circuits.query.contrast_asked import SMALL, Asked
from circuits.query.contrast_inputs import inputs
from circuits.query.contrast_pair import BOTH, ONLY_HERE, ONLY_THERE, Pair, Places, Split
from circuits.query.tables import REMAINDER
from circuits.query.text import KIND_WORDS, plain, signed

ROUNDING: Final = 1e-6
"""Changes below this share of the values are none."""

_NUMBERS: Final = ("here", "there", "change", "share")

NO_WORD: Final = "—"
"""Stands where a prompt has no word opposite the other's."""

PARTS: Final[Mapping[str, str]] = {
    BOTH: "features in both",
    ONLY_HERE: "features only here",
    ONLY_THERE: "features only there",
}


def share_of(pair: Pair, asked: Asked, change: float) -> float | None:
    """Gives a change as a share of the difference, None where there is no difference to speak of."""
    whole = pair.difference
    return None if not asked.comparable or abs(whole) < SMALL * pair.scale else change / whole


def captions(pair: Pair, asked: Asked) -> dict[str, str]:
    """Gives what each table shows."""
    first, second = asked.sides
    sides = f"here: {first}; there: {second}"
    added = f"add up to {signed(pair.difference)}, the difference of {_pair_of(pair.values)}"
    return {
        "totals": f"Direct effects on the target by kind of source ({sides}); the changes {added}.",
        "words": "Where it begins, followed back along all paths with their signs: what each word brings, and"
        f" what begins at no word. The changes {added}.",
        "features": "Features that differ, first those whose own activation makes most of the difference."
        " here and there: what they bring over all paths; what runs through two of them counts for both."
        " inputs: what makes their own input differ.",
        "edges": "Edges through which the difference runs. weight: what the source contributes to the input"
        " of the receiver; change: what of the difference is carried by exactly this edge. An edge in one"
        " graph only may be too small to keep in the other.",
    }


def _pair_of(values: tuple[float, float]) -> str:
    return f"{plain(values[0])} and {plain(values[1])}"


def totals_table(pair: Pair, asked: Asked) -> pl.DataFrame:
    """Gives direct effects by part: part, sources, here, there, change, share; nothing is left out."""
    split = pair.direct
    part = [
        PARTS[how] if kind == "feature" else KIND_WORDS[kind]
        for kind, how in zip(pair.kind, pair.how, strict=True)
    ]
    part_of = np.array(part)
    rows = []
    for name in (*PARTS.values(), *(KIND_WORDS[k] for k in ("token", "position", "error", "bias", "rest"))):
        mine = (part_of == name) & ((split.here != 0) | (split.there != 0))
        if mine.any():
            rows.append(
                (name, int(mine.sum()), float(split.here[mine].sum()), float(split.there[mine].sum()))
            )
    rows.append(_left(pair, rows))
    table = pl.DataFrame(
        rows,
        schema={"part": pl.String, "sources": pl.Int64, "here": pl.Float64, "there": pl.Float64},
        orient="row",
    )
    return _with_change(table, pair, asked)


def words_table(pair: Pair, asked: Asked) -> pl.DataFrame:
    """Gives where the values begin: word, word_there, here, there, change, share; nothing is left out."""
    split, kinds = pair.begun, np.array(pair.kind)
    names = pair.naming()
    rows: list[tuple[str, str, float, float]] = []
    for place in np.flatnonzero(kinds == "token"):
        a, b = pair.rows[place].tolist()
        first, second = (
            NO_WORD if row < 0 else name.token(name.graph.nodes["pos"][row])
            for row, name in zip((a, b), names, strict=True)
        )
        rows.append(
            (first, "" if first == second else second, float(split.here[place]), float(split.there[place]))
        )
    for kind, words in (*KIND_WORDS.items(), ("feature", "features not opened up")):
        mine = kinds == kind
        values = float(split.here[mine].sum()), float(split.there[mine].sum())
        if kind not in ("token", "logit") and words != KIND_WORDS["feature"] and any(values):
            rows.append((words, "", *values))
    rows.append((REMAINDER, "", float(pair.one.lacking.sum()), float(pair.two.lacking.sum())))
    schema = {"word": pl.String, "word_there": pl.String, "here": pl.Float64, "there": pl.Float64}
    return _with_change(pl.DataFrame(rows, schema=schema, orient="row"), pair, asked)


def features_table(pair: Pair, asked: Asked, top: int) -> pl.DataFrame:
    """Gives the features whose contribution over all paths changes most."""
    rows = [_feature_row(pair, asked, int(place)) for place in changed(pair, asked)[:top]]
    numbers = (
        "activation_here",
        "activation_there",
        *_NUMBERS[:3],
        "direct_change",
        "by_activation",
        "by_effect",
    )
    schema: dict[str, Any] = {
        "node": pl.String,
        "token": pl.String,
        "presence": pl.String,
        **dict.fromkeys((*numbers, "share"), pl.Float64),
        "activation": pl.String,
        "label": pl.String,
        "inputs": LINKS,
    }
    order = ["node", "token", *_NUMBERS, "activation", "label", "inputs"]
    table = pl.DataFrame(rows, schema=schema)
    return table.select(*order, *(name for name in table.columns if name not in order))


def changed(pair: Pair, asked: Asked) -> list[int]:
    """Gives the places of features that differ, first those whose own activation makes most of a change.

    A feature as active in both may bring another amount, for what comes after it differs; that is told of
    what comes after. Of two outputs of one graph nothing but that differs.
    """
    split = pair.total
    feature = np.array([kind == "feature" for kind in pair.kind])
    feature[pair.one.subject.row] = False
    change, own = np.abs(split.change), np.abs(split.by_activation)
    found = np.flatnonzero(feature & (np.maximum(change, own) > ROUNDING * pair.scale))
    first = change if asked.same_graph else np.where(own > ROUNDING * pair.scale, own, 0)
    return [int(place) for place in found[np.lexsort((-change[found], -first[found]))]]


def _feature_row(pair: Pair, asked: Asked, place: int) -> dict[str, Any]:
    split, change = pair.total, float(pair.total.change[place])
    a, b = pair.rows[place].tolist()
    row, side, names = (a, pair.one, pair.naming()[0]) if a >= 0 else (b, pair.two, pair.naming()[1])
    activation = [
        float(t.activation[r]) if r >= 0 else 0.0 for t, r in zip((pair.one, pair.two), (a, b), strict=True)
    ]
    return {
        "node": pair.name[place],
        "token": names.token(side.graph.nodes["pos"][row]),
        "presence": pair.how[place],
        "here": float(split.here[place]),
        "there": float(split.there[place]),
        "change": change,
        "share": share_of(pair, asked, change),
        "direct_change": float(pair.direct.change[place]),
        "activation": pair.levels(place),
        "label": side.graph.nodes["label"][row],
        "inputs": [] if asked.same_graph else inputs(pair, place),
        "activation_here": activation[0],
        "activation_there": activation[1],
        "by_activation": float(split.by_activation[place]),
        "by_effect": float(split.by_effect[place]),
    }


def edges_table(pair: Pair, asked: Asked, top: int) -> pl.DataFrame:
    """Gives the edges that carry most of the difference; see `circuits.query.totals.Totals.passed`."""
    mine, other = pair.passed
    gone = sp.csr_array(mine - other)
    size = np.abs(gone.data)
    best = np.flatnonzero(size > ROUNDING * pair.scale)
    target = np.repeat(np.arange(pair.size), np.diff(gone.indptr))
    constant = np.array([kind in ("bias", "rest") for kind in pair.kind])
    best = best[~constant[gone.indices[best]]]
    if len(best) > 4 * top:
        best = best[np.argpartition(-size[best], 4 * top)[: 4 * top]]
    best = best[np.lexsort((gone.indices[best], target[best], -size[best]))][:top]
    rows = [_edge_row(pair, asked, (int(gone.indices[i]), int(target[i])), float(gone.data[i])) for i in best]
    numbers = dict.fromkeys(("weight_here", "weight_there", "change", "share"), pl.Float64)
    ends = {"edge_source": pl.String, "edge_target": pl.String}
    return pl.DataFrame(rows, schema={"edge": pl.String, "how": pl.String, **numbers, **ends})


def edge_counts(pair: Pair) -> tuple[int, int, int]:
    """Gives how many edges that bear on the target are in both graphs, only here, only there."""
    keys = []
    for part in pair.passed:
        target = np.repeat(np.arange(pair.size), np.diff(part.indptr))
        keys.append((target * pair.size + part.indices)[part.data != 0])
    both = len(np.intersect1d(keys[0], keys[1], assume_unique=True))
    return both, len(keys[0]) - both, len(keys[1]) - both


def _edge_row(pair: Pair, asked: Asked, ends: tuple[int, int], change: float) -> dict[str, Any]:
    source, target = ends
    weights = []
    for side, t in enumerate((pair.one, pair.two)):
        s, r = int(pair.rows[source, side]), int(pair.rows[target, side])
        weights.append(float(t.graph.matrix[r, s]) if s >= 0 and r >= 0 else 0.0)
    how = BOTH if all(weights) else ONLY_HERE if weights[0] else ONLY_THERE
    side = 1 if how == ONLY_THERE else 0
    return {
        "edge": f"{pair.brief(source, side)} → {pair.brief(target, side)}",
        "how": how,
        "weight_here": weights[0],
        "weight_there": weights[1],
        "change": change,
        "share": share_of(pair, asked, change),
        "edge_source": pair.name[source],
        "edge_target": pair.name[target],
    }


def decomposition(pair: Pair) -> pl.DataFrame:
    """Gives every place's direct effect in both graphs: the changes add up to the difference.

    Returns:
        Columns `node`, `kind`, `how`, `here`, `there`, `change`, `by_activation`, `by_effect`; the last row
        is what no edge of the graphs holds.
    """
    split: Split = pair.direct
    columns: dict[str, Places] = {
        "here": split.here,
        "there": split.there,
        "change": split.change,
        "by_activation": split.by_activation,
        "by_effect": split.by_effect,
    }
    table = pl.DataFrame({"node": pair.name, "kind": pair.kind, "how": pair.how, **columns})
    here, there = pair.values[0] - float(split.here.sum()), pair.values[1] - float(split.there.sum())
    last = (REMAINDER, "rest", BOTH, here, there, here - there, 0.0, here - there)
    return pl.concat([table, pl.DataFrame([last], schema=table.schema, orient="row")])


def _left(pair: Pair, rows: Sequence[tuple[str, int, float, float]]) -> tuple[str, int, float, float]:
    here, there = sum(row[2] for row in rows), sum(row[3] for row in rows)
    return REMAINDER, 0, pair.values[0] - here, pair.values[1] - there


def _with_change(table: pl.DataFrame, pair: Pair, asked: Asked) -> pl.DataFrame:
    change = (table["here"] - table["there"]).to_list()
    return table.with_columns(
        change=pl.Series(change, dtype=pl.Float64),
        share=pl.Series([share_of(pair, asked, value) for value in change], dtype=pl.Float64),
    )
