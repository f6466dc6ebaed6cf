"""What stands in each section of a page, as plain records for the template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.answer import LINKS, SHARES, SIGNED, Answer, cell, printed
from circuits.query.facts import facts as facts  # a section as it stands
from circuits.query.text import Naming, percent, plain, signed

HEADINGS: Mapping[str, str] = {
    "totals": "The sum behind the value",
    "features": "Features",
    "paths": "Paths",
    "combinations": "Combinations",
    "verified": "Tried on the model",
    "words": "Words",
}
"""Tables with a place of their own on the page, in this order; others follow under their names."""

ELSEWHERE = ("ends", "trust")  # shown in the box about trust


@dataclass(frozen=True)
class Cell:
    """One table cell: its text, its exact value for sorting and reading by programs, its look."""

    text: str
    value: str
    look: str
    bar: float | None = None
    links: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Table:
    """One table: heading, caption, columns (name, whether numbers), rows of cells."""

    name: str
    heading: str
    caption: str
    columns: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[Cell, ...], ...]


def subtitle(graph: Graph) -> str:
    """Gives the line under the title: model, dictionary, size of the graph."""
    meta = graph.meta
    parts = [
        str((meta.get("model") or {}).get("name") or ""),
        str((meta.get("dictionary") or {}).get("kind") or ""),
        f"{len(graph.nodes):,} nodes",
        f"{len(graph.edges):,} edges",
    ]
    return " · ".join(part for part in parts if part)


def words(naming: Naming, answer: Answer) -> list[dict[str, Any]]:
    """Gives the prompt's tokens with their influence, shaded relative to the strongest."""
    table = answer.tables.get("words")
    share = {} if table is None else dict(table.select("pos", "influence").iter_rows())
    largest = max(share.values(), default=0.0) or 1.0
    return [
        {
            "text": text.replace("\n", "⏎\n"),
            "shade": round(0.62 * share.get(pos, 0.0) / largest, 4),
            "tip": f"position {pos}: {percent(share.get(pos, 0.0))} of the influence",
        }
        for pos, text in enumerate(naming.tokens)
    ]


def ends(answer: Answer) -> list[dict[str, Any]]:
    """Gives where influence comes from, for a bar of shares."""
    table = answer.tables.get("ends")
    if table is None:
        return []
    looks = {
        "words of the prompt": "words",
        "positions": "words",
        "dictionary errors": "errors",
        "edges too small to keep": "cut",
    }
    return [
        {"name": end, "share": share, "text": percent(share), "look": looks.get(end, "other")}
        for end, share in table.iter_rows()
    ]


def scores(answer: Answer) -> list[dict[str, Any]]:
    """Gives the scores with what each means."""
    table = answer.tables.get("trust")
    rows = [] if table is None else table.iter_rows(named=True)
    return [dict(row) | {"text": percent(row["share"])} for row in rows]


def tables(answer: Answer) -> list[Table]:
    """Gives the answer's tables, those with a heading of their own first."""
    names = [n for n in HEADINGS if n in answer.tables]
    names += [n for n in answer.tables if n not in HEADINGS and n not in ELSEWHERE]
    return [_table(name, answer) for name in names if len(answer.tables[name])]


def _table(name: str, answer: Answer) -> Table:
    frame = answer.tables[name]
    linked = [c for c, kind in frame.schema.items() if kind == LINKS and frame[c].list.len().sum()]
    shown = [c for c in frame.columns if c in (*printed(frame), *linked)]
    shares = [c for c in shown if c in SHARES and frame.schema[c].is_numeric()]
    largest = {c: max((abs(v) for v in frame[c] if v is not None), default=0.0) for c in shares}
    rows = tuple(
        tuple(_cell(column, row[column], largest.get(column)) for column in shown)
        for row in frame.iter_rows(named=True)
    )
    columns = tuple((column, frame.schema[column].is_numeric()) for column in shown)
    heading = HEADINGS.get(name, name.capitalize())
    return Table(name, heading, answer.captions.get(name, ""), columns, rows)


def _cell(column: str, value: Any, largest: float | None) -> Cell:
    if isinstance(value, list):
        links = tuple(dict(link) | {"text": signed(link["weight"])} for link in value)
        return Cell("", "", "links", links=links)
    exact = "" if value is None else repr(value) if isinstance(value, float) else str(value)
    look = "text"
    if isinstance(value, int | float):
        look = "number"
        if column in SIGNED and value:
            look += " up" if value > 0 else " down"
    bar = value / largest if largest and isinstance(value, float) else None
    text = str(value) if column in ("pos", "node") else cell(column, value)
    look += " name" if column in ("node", "path", "token") else " wide" if column == "combination" else ""
    return Cell(text, exact, look, bar)


def tips(graph: Graph) -> dict[str, str]:
    """Gives, by gid, what is shown on pointing at a node or edge of the picture."""
    naming, nodes = Naming.of(graph), graph.nodes
    drawn = nodes.filter(pl.col("kind").is_in(["feature", "token", "position", "error", "logit"]))
    tested = graph.meta.get("tested_labels") or {}
    told = {}
    for row in drawn.filter((pl.col("influence") > 0) | (pl.col("target_weight") > 0)).iter_rows(named=True):
        text = f"{row['node']}: {naming.phrase(row['node'])}"
        held = tested.get(str(row["node"]).partition("@")[0])
        if held:
            text += (
                f"\nlabel, held out: precision {percent(held['precision'])}, recall {percent(held['recall'])}"
            )
        if row["kind"] == "feature" and row["activation"] is not None:
            text += f"\nactivation {plain(row['activation'])}"
        if not row["target_weight"]:
            text += f"\ninfluence {percent(row['influence'])}"
        told[f"node:{row['node']}"] = told[f"label:{row['node']}"] = text
    return told


def alternative(answer: Answer) -> str:
    """Gives the picture in a sentence."""
    return "Network of the most influential nodes, tokens from left to right and layers upwards. " + (
        answer.finding[0] if answer.finding else ""
    )


def method(graph: Graph) -> list[tuple[str, str]]:
    """Gives what the numbers mean and how they were made: term and explanation."""
    meta = graph.meta
    found = [
        (
            "Edge weight",
            (
                "The signed contribution of the source, at its activation on this prompt, to the target's"
                " pre-activation (for an output: its logit, less the mean logit), everything else frozen."
                " The weights into a node, constants included, add up to its pre-activation."
            ),
        ),
        (
            "Frozen",
            (
                "Attention patterns and normalisation scales are held at their values on this prompt; what is"
                " left between features is linear. What decides where attention looks is therefore not in"
                f" this graph{_but_scores(graph)}."
            ),
        ),
        (
            "Influence",
            (
                "The share of the target reached through a node along all paths, without sign: the sum over"
                " paths of the products of |weight| / Σ|weight|, constants aside (Ameisen et al. 2025)."
            ),
        ),
        ("Features", _features(meta)),
        (
            "Errors",
            (
                "An error node is the part of an MLP's output, at one layer and position, that no kept"
                " feature accounts for. It acts like any source; what it is made of is unknown."
            ),
        ),
    ]
    if meta.get("labels"):
        found.append(("Labels", f"{str(meta['labels'])[:1].upper()}{str(meta['labels'])[1:]}."))
    if meta.get("softcap"):
        found.append(("Softcap", str(meta["softcap"])))
    return found


def _but_scores(graph: Graph) -> str:
    """Gives what else is to be said where interactions tell of attention scores."""
    return ", but for the combinations in attention" if "qk" in graph.hyperedges["channel"] else ""


def _features(meta: Mapping[str, Any]) -> str:
    kind = str((meta.get("dictionary") or {}).get("kind") or "")
    chosen = meta.get("selection") or {}
    text = f"The dictionary is of the kind “{kind}”. " if kind else ""
    if kind == "neurons":
        text = "Features are the model's own MLP neurons. "
    if isinstance(chosen, Mapping) and {"kept", "active"} <= set(chosen):
        text += f"Of {chosen['active']:,} active on this prompt, {chosen['kept']:,} were kept"
        name = {"ByAttribution": "those that matter most to the targets", "AllActive": "all that are active"}
        how = name.get(str(chosen.get("name")), str(chosen.get("name") or ""))
        text += (
            f" ({how}); the others are in the error nodes." if how else "; the others are in the error nodes."
        )
    elif chosen:
        text += f"Selection: {json.dumps(chosen, ensure_ascii=False, default=str)}."
    return text or "How features were chosen is not recorded in this graph."
