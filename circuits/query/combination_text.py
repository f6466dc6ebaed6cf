"""Combinations in sentences: what members do together, what of it only together, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from circuits.query.combinations import MATTERS, nodes_of
from circuits.query.marks import failed
from circuits.query.subject import Subject
from circuits.query.text import listing, percent, plain, signed

TOLD: Final = 3
"""Combinations told in sentences, at most."""

THROUGH: Final = 0.1
"""Share of an interaction from which what it runs through is told."""

MAINLY: Final = 0.5
"""Share of an interaction from which it is said to run mainly there."""

PURE: Final = 0.75
"""Interaction over joint effect, in size, from which AND and OR are said without reserve."""

_PAIRS: Final[Mapping[str | None, str]] = {
    "and": "an AND, each alone does little",
    "or": "an OR, either one suffices",
    "inhibit": "one holds the other back",
    "xor": "an XOR, each alone acts and both together cancel",
    "additive": "nearly the sum of the two",
    "other": "no simple kind of gate",
    "undecided": "of which kind is undecided",
}
_MORE: Final[Mapping[str | None, str]] = {
    **_PAIRS,
    "and": "an AND, little happens unless all are there",
    "or": "an OR, any one of them suffices",
    "inhibit": "some hold the others back",
    "xor": "an XOR, an odd number of them acts and an even number cancels",
    "additive": "nearly the sum of its parts",
}


def combination_sentences(subject: Subject, table: pl.DataFrame) -> tuple[str, ...]:
    """Gives one to three sentences on the combinations of a table, every number in them from there.

    The strongest of each channel are told, then the strongest of all; those that are nearly a sum only
    where there are no others.

    Args:
        subject: what was asked about.
        table: from `combinations_table`, at least one row if any hyperedge bears on the subject.
    """
    matter = [row for row in table.to_dicts() if row["share"] is None or row["share"] >= MATTERS]
    told = _chosen([row for row in matter if row["kind"] != "additive"]) or matter[:1]
    if not told:
        share = percent(MATTERS)
        said = f"Interactions were computed, but none matters here: none makes up {share} of what moves"
        return (f"{said} {subject.words()}.",)
    return tuple(_sentence(subject, row) for row in told)


def _chosen(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gives up to `TOLD` of ranked rows, the first of each channel among them, in their order."""
    first = {row["channel"]: i for i, row in reversed(list(enumerate(rows)))}
    ranks = sorted(first.values()) + [i for i in range(len(rows)) if i not in first.values()]
    return [rows[i] for i in sorted(ranks[:TOLD])]


def _sentence(subject: Subject, row: Mapping[str, Any]) -> str:
    said = "".join(
        (_together(subject, row), _through(subject, row), f": {_kind(subject, row)}", _asides(subject, row))
    )
    return f"{said[:1].upper()}{said[1:]}."


def _together(subject: Subject, row: Mapping[str, Any]) -> str:
    """Gives what the members contribute together, and what of that is their interaction."""
    members = listing(subject.naming.phrase(member) for member in row["members"])
    where, weight, effect = _where(subject, row["where"]), row["weight"], row["effect"]
    if row["where"] not in subject.graph.index:  # an attention score, which is a product
        return f"{members} together {'raise' if weight > 0 else 'lower'} {where} by {plain(abs(weight))}"
    if effect is None:
        way = "raises" if weight > 0 else "lowers"
        return f"what {members} do only together {way} {where} by {plain(abs(weight))}{_when(row)}"
    both = f"{members} together contribute {signed(effect)} to {where}"
    part_of_it = effect != 0 and 0 < weight / effect <= 1
    if row["index"] == "Co-Moebius" and row["order"] == 2 and part_of_it:
        return f"{both}, {signed(weight)} of it beyond their separate effects"
    size = f"{plain(abs(weight))} {'more' if weight > 0 else 'less'}"
    few = "apart" if row["order"] == 2 else _FEWER.get(row["order"], "fewer of them add up to")
    if row["index"] == "Co-Moebius" or row["channel"] == "qk":
        few = "their separate effects add up to" if row["order"] == 2 else few
        return f"{both}, {size} than {few}"
    background = "with all else off" if row["index"] == "Moebius" else "on average over what else is on"
    return f"{both}; {background} they do {size} together than {few} ({row['index']})"


_FEWER = {3: "any one or two of them add up to"}


def _when(row: Mapping[str, Any]) -> str:
    """Gives what else is on when the parts are measured, as the index defines it."""
    if row["index"] == "Co-Moebius" or row["channel"] == "qk":
        return ""
    if row["index"] == "Moebius":
        return " with all else off"
    return f" on average over what else is on ({row['index']})"


def _where(subject: Subject, target: str) -> str:
    """Gives what is acted on in words: the gate, the score, or the value that was asked about."""
    if target == subject.node and subject.over is not None:
        return f"the difference of the logits of {subject.words()}"
    return subject.naming.phrase(target)


def _kind(subject: Subject, row: Mapping[str, Any]) -> str:
    if row["where"] not in subject.graph.index:
        return "a product, nothing without both"
    if row["kind"] == "inhibit":
        by, held = _holding(subject, row)
        if by:
            phrase = subject.naming.brief
            verb = "holds" if len(by) == 1 else "hold"
            return f"{listing(map(phrase, by))} {verb} back {listing(map(phrase, held))}"
    said = str((_PAIRS if row["order"] == 2 else _MORE).get(row["kind"], row["kind"]))
    if row["kind"] not in ("and", "or") or _pure(row):
        return said
    return f"nearest to {said.partition(',')[0]}"


def _pure(row: Mapping[str, Any]) -> bool:
    """Tells whether nearly all that the members do, all else on, is their interaction."""
    if row["channel"] == "qk":
        return True  # a product: nothing without both
    ratio = abs(row["weight"] / row["effect"]) if row["effect"] else 0.0
    return row["index"] == "Co-Moebius" and PURE <= ratio <= 1 / PURE


def _holding(subject: Subject, row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Gives which members hold back and which are held, empty where that cannot be told.

    Of a pair, the interaction undoes what the held member does alone: it has the sign of the other.
    Of more members into a gate, those that push its input down hold back the others.
    """
    own = {member: _own(subject, row, member) for member in row["members"]}
    if any(value is None or value == 0 for value in own.values()):
        return [], []
    if row["order"] == 2:
        sign = 1 if row["weight"] > 0 else -1
    elif row["channel"] == "mlp":
        sign = -1
    else:
        return [], []
    by = [member for member, value in own.items() if value is not None and value * sign > 0]
    held = [member for member in own if member not in by]
    return (by, held) if by and held else ([], [])


def _own(subject: Subject, row: Mapping[str, Any], member: str) -> float | None:
    """Gives what a member does on its own: its row of order 1, or its edges into the gate."""
    table = subject.graph.hyperedges
    single = table.filter(
        pl.col("via").is_null(), order=1, target=row["where"], channel=row["channel"]
    ).filter(pl.col("members").list.first() == member)
    if len(single):
        return float(single["weight"][0])
    if row["channel"] != "mlp" or row["where"] not in subject.graph.index:
        return None
    graph = subject.graph
    gate = graph.row(row["where"])
    return float(sum(graph.matrix[gate, graph.row(node)] for node in nodes_of(graph, [member])))


def _through(subject: Subject, row: Mapping[str, Any]) -> str:
    strong = [part for part in row["via"] or () if abs(part["share"]) >= THROUGH][:2]
    if not strong:
        return ""
    parts = [(part["node"], f"({signed(part['weight'])})") for part in strong]
    own = [f"{subject.naming.brief(node)} itself {part}" for node, part in parts if node in row["members"]]
    others = [f"{subject.naming.phrase(node)} {part}" for node, part in parts if node not in row["members"]]
    most = sum(part["share"] for part in strong) >= MAINLY
    return f", {'mainly' if most else 'in part'} through {listing([*own, *others])}"


def _asides(subject: Subject, row: Mapping[str, Any]) -> str:
    """Gives how sure the interaction is and how much of the subject it makes up, in brackets."""
    asides = []
    if row["low"] is not None and row["high"] is not None and row["low"] < row["high"]:
        sure = "estimated, interval" if row["estimated"] else "interval"
        zero = ", which includes 0: it may be nothing" if row["low"] <= 0 <= row["high"] else ""
        asides.append(f"{sure} {row['interval']}{zero}")
    elif row["estimated"]:
        asides.append("estimated")
    if row["share"] is not None:
        part = "" if row["where"] in subject.graph.index else "its part of what the head brings: "
        asides.append(f"{part}{percent(row['share'])} of what moves {subject.words()}")
    if row["where"] == subject.node and (said := failed(subject.graph, subject.node, row["members"])):
        asides.append(said)
    return f" ({'; '.join(asides)})" if asides else ""
