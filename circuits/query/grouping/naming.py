"""What a group of features is called, by its evidence: tested labels, promoted tokens, places."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.text import Naming, short
from circuits.schema import PROVISIONAL

SHARED: Final = 1 / 3
"""Share of a group's influence that bears a label, or promotes a token, for the group to be called by it."""

WIDTH: Final = 40

_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SIGNS = re.compile(r'[|,&=":/@‘’<>()]+')
"""Signs that mean something in a spec, and quotes."""


def tested_labels(members: pl.DataFrame) -> dict[str, tuple[int, float]]:
    """Gives the tested labels of some nodes: how many bear each, and their summed influence; most first."""
    told = members.filter((pl.col("kind") == "feature") & ~pl.col("label").str.starts_with(PROVISIONAL))
    return _weighed([(label, size) for label, size in told.select("label", _SIZE).iter_rows()])


def promoted_tokens(members: pl.DataFrame) -> dict[str, tuple[int, float]]:
    """Gives the tokens that features without a tested label promote, as `tested_labels` gives labels."""
    told = members.filter(pl.col("label").str.starts_with(PROVISIONAL))
    pairs = [
        (token.strip(), size)
        for label, size in told.select("label", _SIZE).iter_rows()
        for token in dict.fromkeys(_TOKEN.findall(label))
    ]
    return _weighed([(token, size) for token, size in pairs if any(sign.isalnum() for sign in token)])


def places(graph: Graph, members: pl.DataFrame) -> list[str]:
    """Gives the words at which some nodes stand, without blanks, those with most influence first."""
    words = Naming.of(graph).tokens
    table = members.filter(pl.col("pos").is_not_null())
    ranked = (
        table.group_by("pos", maintain_order=True)
        .agg(size=_SIZE.sum())
        .sort("size", "pos", descending=[True, False])
    )
    found = []
    for pos in ranked["pos"].to_list():
        word = words[pos].strip() if pos < len(words) else ""
        found.append(
            (word or f"position {pos}") + (f" {pos}" if words.count(words[pos] if word else "") > 1 else "")
        )
    return list(dict.fromkeys(found))


def names(graph: Graph, groups: Sequence[Sequence[str]]) -> list[str]:
    """Gives each group a name no other has, and no node: what it stands for, and where.

    What it stands for is the tested label that a share of at least `SHARED` of its influence bears, else the
    token that so much of it promotes, else nothing. Signs that mean something in a spec are left out.
    """
    taken: set[str] = {*graph.index, *graph.nodes["concept"].drop_nulls()}
    found = []
    for nodes in groups:
        name = _name(graph, graph.nodes.filter(pl.col("node").is_in(list(nodes))))
        number, unique = 1, name
        while unique in taken:
            number += 1
            unique = f"{name} #{number}"
        taken.add(unique)
        found.append(unique)
    return found


def _name(graph: Graph, members: pl.DataFrame) -> str:
    total = float(members.select(_SIZE.sum()).item())
    at = [clean(place) for place in places(graph, members)]
    for told in (tested_labels(members), promoted_tokens(members)):
        best = next(iter(told.items()), None)
        if best is not None and best[1][1] >= SHARED * total and clean(best[0]):
            return f"{clean(best[0])} at {at[0]}" if at else clean(best[0])
    layers = members["layer"].drop_nulls().to_list()
    depth = f"L{_span(layers)}" if layers else "features"
    return f"{' and '.join(at[:2])} {depth}" if at else depth


def clean(text: str) -> str:
    """Gives a text without signs that mean something in a spec, at most `WIDTH` characters.

    Example:
        >>> clean("the tokens ‘ of’, ‘ is’")
        'the tokens of is'
    """
    return short(re.sub(r"\s+", " ", _SIGNS.sub(" ", text)).strip(), WIDTH)


def _span(layers: Sequence[int]) -> str:
    low, high = min(layers), max(layers)
    return f"{low}-{high}" if high > low else f"{low}"


def _weighed(pairs: Sequence[tuple[str, float]]) -> dict[str, tuple[int, float]]:
    found: dict[str, tuple[int, float]] = {}
    for label, size in pairs:
        many, total = found.get(label, (0, 0.0))
        found[label] = (many + 1, total + float(size))
    order: Mapping[str, Any] = dict(sorted(found.items(), key=lambda item: (-item[1][1], item[0])))
    return dict(order)


_SIZE: Final = pl.col("influence").fill_null(0.0)
