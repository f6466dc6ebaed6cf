"""The answer to `why` in sentences: what is said, what adds up, what matters, how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from circuits.query.combination_text import combination_sentences
from circuits.query.marks import failed
from circuits.query.paths import Path
from circuits.query.pushes import pushes_sentences
from circuits.query.subject import Subject
from circuits.query.tables import REMAINDER, path_text
from circuits.query.text import listing, percent, plain, probable, signed
from circuits.query.verified import verified_sentences
from circuits.schema import PROVISIONAL

TRUST = "How far to trust this"
"""The beginning of the last sentence."""

ROUNDING = 1e-7
"""Direct effects below this share of all of them are rounding: weights are float32."""

GOOD, FAIR = 0.7, 0.4
"""Shares traced back to words above which an answer is called mostly, or partly, explained."""


def sentences(subject: Subject, tables: Mapping[str, pl.DataFrame], paths: Sequence[Path]) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    found = [
        _headline(subject),
        _against(subject),
        _sum(subject, tables["totals"]),
        *_pushes(subject, tables),
        _features(subject, tables["features"]),
        _meanings(tables["features"]),
        _words(subject, tables["words"]),
        _path(subject, paths),
        *_combinations(subject, tables),
        *verified_sentences(subject.graph, subject.node),
        _trust(tables["ends"]),
    ]
    return tuple(sentence for sentence in found if sentence)


def brief(subject: Subject, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Gives the three sentences of the finding to read first: direct support, what acts together, words."""
    together = _combinations(subject, tables)[:1] or (_features(subject, tables["features"]),)
    told = (_headline(subject), *together, _words(subject, tables["words"]))
    return tuple(sentence for sentence in told if sentence)


def _direct(subject: Subject) -> list[tuple[str, float]]:
    """Gives the nodes with a direct effect on the subject, most positive first, constants left out.

    What is left of two weights that cancel but for rounding is no effect.
    """
    kinds = subject.graph.nodes["kind"]
    matrix, names = subject.graph.matrix, subject.graph.nodes["node"]
    inside = slice(matrix.indptr[subject.row], matrix.indptr[subject.row + 1])
    least = ROUNDING * float(np.abs(matrix.data[inside]).sum(dtype=np.float64))
    pairs = [
        (str(names[int(row)]), float(weight))
        for row, weight in zip(matrix.indices[inside], matrix.data[inside], strict=True)
        if abs(weight) > least and kinds[int(row)] in ("feature", "token", "position", "error")
    ]
    return sorted(pairs, key=lambda pair: -pair[1])


def _what(subject: Subject) -> str:
    if subject.over is not None or (subject.kind == "logit" and " over " in subject.words()):
        return "the difference of their logits"
    return "its logit" if subject.kind == "logit" else "its input"


def _headline(subject: Subject) -> str:
    chance = subject.naming.probability(subject.node)
    said = f" (p = {probable(chance)})" if chance is not None else ""
    name = subject.words()
    name = name[:1].upper() + name[1:]
    ups = [pair for pair in _direct(subject) if pair[1] > 0][:2]
    if not ups:
        return f"{name}{said} has no direct support: no single source raises {_what(subject)}."
    (node, weight), *more = ups
    first = (
        f"{name}{said} is supported most, directly, by {subject.naming.phrase(node)}, which adds"
        f" {signed(weight)} to {_what(subject)}"
    )
    first += f" of {plain(subject.value)}" if subject.valued else ""
    second = f", then by {subject.naming.phrase(more[0][0])} ({signed(more[0][1])})" if more else ""
    return f"{first}{second}."


def _pushes(subject: Subject, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Gives which features push the one output, the other, and both, of a difference."""
    if "pushes" not in tables:
        return ()
    one, _, two = subject.words().rpartition(" over ")
    return pushes_sentences(tables["pushes"], (one, two))


def _against(subject: Subject) -> str:
    downs = [pair for pair in reversed(_direct(subject)) if pair[1] < 0][:2]
    if not downs:
        return "Nothing acts directly against it."
    listed = listing(f"{subject.naming.phrase(node)} ({signed(weight)})" for node, weight in downs)
    return f"What acts most against it is {listed}."


def _sum(subject: Subject, totals: pl.DataFrame) -> str:
    parts = [row for row in totals.iter_rows(named=True) if row["part"] != REMAINDER]
    gap = float(totals.row(-1, named=True)["total"])
    listed = listing(f"{signed(row['total'])} from {row['part']}" for row in parts)
    what = _what(subject)
    if not subject.valued:
        return (
            f"What flows into it along the edges adds up to {plain(subject.value)}: {listed}."
            f" {what[:1].upper()}{what[1:]} itself is unknown, and so is what biases add to it: the graph was"
            " imported without."
        )
    sentence = f"{what[:1].upper()}{what[1:]}, {plain(subject.value)}, is the sum of {listed}"
    if abs(gap) > 1e-3 * max(1.0, abs(subject.value)):
        return f"{sentence}; {signed(gap)} is {REMAINDER}."
    return f"{sentence}: nothing is left over."


def _features(subject: Subject, features: pl.DataFrame) -> str:
    if not len(features):
        return ""
    rows = list(features.head(3).iter_rows(named=True))
    listed = listing(f"{subject.naming.phrase(row['node'])} ({_share(subject, row)})" for row in rows)
    verb = "is" if len(rows) == 1 else "are"
    return (
        "Over all paths, direct and indirect, the"
        f" feature{'' if len(rows) == 1 else 's'} that most influence flows through {verb} {listed}."
    )


def _share(subject: Subject, row: Mapping[str, Any]) -> str:
    """Gives a node's share of the influence, and what became of its claim on the model, if it failed."""
    said = failed(subject.graph, subject.node, [row["node"]])
    return percent(row["influence"]) + (f"; {said}" if said else "")


def _meanings(features: pl.DataFrame) -> str:
    """Gives what the influential features stand for, in the order of their influence, where labels held."""
    stand: dict[str, list[str]] = {}
    for node, label in features.select("node", "label").iter_rows():
        if label and not label.startswith(PROVISIONAL):
            stand.setdefault(label, []).append(node.rpartition("@")[0])
    if len(stand) < 2:
        return ""
    listed = "; ".join(f"{label} ({', '.join(dict.fromkeys(names))})" for label, names in stand.items())
    return f"What these and the next stand for, where a label could be tested: {listed}."


def _words(subject: Subject, words: pl.DataFrame) -> str:
    rows = [row for row in words.head(3).iter_rows(named=True) if row["influence"] > 0]
    if not rows:
        return "No influence could be followed back to a word of the prompt."
    verb = "word that matters most is" if len(rows) == 1 else "words that matter most are"
    listed = listing(f"{row['token']} ({_share(subject, row)})" for row in rows)
    return f"Followed back to the prompt, the {verb} {listed}."


def _path(subject: Subject, paths: Sequence[Path]) -> str:
    if not paths:
        return ""
    best = next((path for path in paths if path.nodes[0].startswith("tok@")), paths[0])
    which = "path from a word" if best.nodes[0].startswith("tok@") else "path"
    return (
        f"The strongest single {which} is {path_text(subject, best)}: it carries {percent(best.share)} of the"
        f" influence and pushes {'up' if best.sign > 0 else 'down'}; the {len(paths)} strongest paths"
        f" together carry {percent(sum(path.share for path in paths))}."
    )


def _combinations(subject: Subject, tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """Gives what acts together; nothing where no interactions were computed."""
    return combination_sentences(subject, tables["combinations"]) if "combinations" in tables else ()


_PLACES = {
    "dictionary errors": "stops at errors (what the dictionary does not explain)",
    "features not opened up": "stops at features that were not opened up",
    "edges too small to keep": "runs through edges too small to keep",
}


def _trust(ends: pl.DataFrame) -> str:
    share = dict(ends.iter_rows())
    traced = share["words of the prompt"] + share.get("positions", 0.0)
    stopped = [f"{percent(share[end])} {words}" for end, words in _PLACES.items() if share.get(end, 0) > 5e-3]
    account = f"{TRUST}: {percent(traced)} of the influence is traced back to the prompt"
    account += f"; {listing(stopped)}." if stopped else "."
    if traced >= GOOD:
        return f"{account} Most of the story is in this graph."
    if traced >= FAIR:
        return f"{account} This is part of the story: check by intervention what you build on."
    return f"{account} Most of the story is outside this graph: take single features as leads, not as causes."
