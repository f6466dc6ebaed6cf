"""The part of a page that is about combinations: pictures, what is shown on pointing, the terms."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

import polars as pl
from matplotlib.axes import Axes

from circuits.errors import UsageError
from circuits.graph.graph import Graph
from circuits.plot.hypergraph import hypergraph
from circuits.plot.matrix import interaction_matrix, pair_sums
from circuits.plot.orders import interaction_orders
from circuits.plot.upset import upset
from circuits.query.answer import Answer
from circuits.query.combinations import computed
from circuits.query.orders import orders_table
from circuits.query.text import listing, percent, signed
from circuits.report.blocks import Block, Code, Picture, TableBlock, Text
from circuits.report.picture import themed
from circuits.report.tables import answer_table

HANDFUL: Final = 5
"""Pairs above which their layers are shown as a matrix."""


def combination_blocks(graph: Graph, answer: Answer, run: str) -> tuple[Block, ...]:
    """Gives the combinations as a table and as pictures; where none were computed, the command that does.

    Args:
        graph: the graph with the answer's target as its only one.
        answer: the answer of the report.
        run: the run's path, for the command.
    """
    if not computed(graph):
        return (
            Text(("Which features act only together was not computed for this run.",), "prose"),
            Code(f"circuits interact {shlex.quote(run)}", "This computes it, and keeps it in the run."),
        )
    table = answer_table(answer, "combinations", "The strongest combinations")
    if table is None:
        return (Text(("Interactions were computed, but none bears on this output.",), "prose"),)
    drawn = pictures(graph, answer)
    return (*drawn[:1], TableBlock(table), *drawn[1:])


def pictures(graph: Graph, answer: Answer) -> list[Picture]:
    """Gives the pictures of the combinations there is something for: hypergraph, UpSet, matrix, orders.

    Args:
        graph: the graph with the answer's target as its only one.
        answer: the answer of the report.
    """
    if not len(answer.tables.get("combinations", ())):
        return []
    tips = combination_tips(answer)
    found = []
    drawn = _or_none(lambda: hypergraph(answer))
    if drawn is not None:
        caption = (
            "Who acts together on what: dotted lines lead from the members to a diamond, a line on to what"
        )
        caption += " they act on. Filled: together they push up; hollow: down."
        svg = themed(drawn, "hyper", tips, "The strongest combinations, their members and what they act on.")
        found.append(Picture(svg, "scroll", caption, "hypergraph"))
    drawn = _or_none(lambda: upset(answer))
    if drawn is not None:
        caption = "Each column is a combination: dots are its members, the square is what it acts on, the bar"
        caption += " is the interaction with its interval; hatched bars push down."
        svg = themed(drawn, "upset", tips, "The strongest combinations.")
        found.append(Picture(svg, "scroll", caption, "upset"))
    pairs = graph.hyperedges.filter(pl.col("via").is_null(), order=2)
    drawn = _or_none(lambda: interaction_matrix(graph)) if len(pairs) > HANDFUL else None
    if drawn is not None:
        caption = "Which layers act together: all pairs by the layers of their two members, as shares of what"
        caption += " moves the target; above the diagonal those that push up, below it those that push down."
        cells = themed(drawn, "matrix", pair_sums(graph).tips(), "Pairs by the layers of their members.")
        found.append(Picture(cells, "small", caption, "matrix"))
    target = str(answer.meta.get("target") or (graph.targets or [""])[0])
    drawn = _or_none(lambda: interaction_orders(graph, target))
    if drawn is not None:
        parts = ", ".join(
            f"{part} {signed(total)}" for part, total in orders_table(graph, target).iter_rows()
        )
        caption = (
            "How the orders add up: all that single members, pairs and triples make up, and what is left."
        )
        svg = themed(drawn, "orders", {}, f"By order: {parts}.")
        found.append(Picture(svg, "small", caption, "orders"))
    return found


def combination_tips(answer: Answer) -> dict[str, str]:
    """Gives, by gid, what is shown on pointing at a combination in the network or in the UpSet plot."""
    table = answer.tables.get("combinations")
    told: dict[str, str] = {}
    for row in [] if table is None else table.to_dicts():
        text = hyperedge_text(row)
        keys = [f"{kind}:{row['hyperedge']}" for kind in ("hyperedge", "sign", "bar", "interval")]
        keys += [f"dot:{row['hyperedge']}→{member}" for member in row["members"]]
        told |= dict.fromkeys(keys, text)
    return told


def hyperedge_text(row: Mapping[str, Any]) -> str:
    """Gives a combination in a few lines."""
    lines = [f"{row['kind']}: {row['combination']}"]
    lines.append(f"interaction {signed(row['weight'])} ({row['index']}; {row['interval']})")
    if row["effect"] is not None:
        lines.append(f"together {signed(row['effect'])}")
    if row["share"] is not None:
        lines.append(f"{percent(row['share'])} of what moves the target")
    return "\n".join(lines)


def terms(graph: Graph) -> list[tuple[str, str]]:
    """Gives what the numbers about combinations mean; nothing where no interactions were computed."""
    if not computed(graph):
        return []
    table = graph.hyperedges
    indices, known = set(table["index"].unique()), set(table["channel"].unique())
    used = [name for name in _INDICES if name in indices]
    channels = [name for name in _CHANNELS if name in known]
    found = [
        (
            "Interaction",
            (
                "What a set of nodes, or of concepts (named groups of nodes), does together beyond what fewer"
                " of them do. Its sign says whether that pushes up or down; its order is the size of the"
                " set; its kind is read from what each subset does, all else on: and, or, inhibit, xor,"
                " additive, or other."
            ),
        )
    ]
    if used:
        found.append(("Index", " ".join(f"{name}: {_INDICES[name]}." for name in used)))
    found.append(
        (
            "Interval",
            (
                "Where the interaction lies: a 95% interval where coalitions were sampled, a bound of the"
                " error where a series was cut off; exact where all was computed."
            ),
        )
    )
    if channels:
        found.append(("Channel", f"Found {listing(_CHANNELS[name] for name in channels)}."))
    return found


_BEYOND = "what the members do beyond what fewer of them do"
_INDICES: Final[Mapping[str, str]] = {
    "Co-Moebius": f"{_BEYOND}, all else on, as when one, the other and both are ablated (Grabisch,"
    " Marichal & Roubens 2000)",
    "Moebius": f"{_BEYOND}, all else off (Harsanyi 1963)",
    "SII": f"{_BEYOND}, on average over coalitions of the others, each size counting alike (Grabisch &"
    " Roubens 1999)",
    "k-SII": "SII, corrected so that the orders add up to the whole (Bordt & von Luxburg 2023)",
    "STII": f"{_BEYOND}, on average over the orders in which all come in, the largest order holding all"
    " that is beyond it (Sundararajan, Dhamdhere & Agarwal 2020)",
    "FSII": "the polynomial of that order closest to the worth of every coalition (Tsai, Yeh & Ravikumar"
    " 2023)",
    "BII": f"{_BEYOND}, on average over all coalitions of the others alike (Grabisch & Roubens 1999)",
    "CHII": f"{_BEYOND}, on average over the orders in which all come in, as the last member does"
    " (Marichal & Roubens 1999)",
}
_CHANNELS: Final[Mapping[str, str]] = {
    "output": "towards the output, whose value is computed anew from the graph with only some members on",
    "mlp": "into gates, features as functions of what flows into them",
    "qk": "in attention, between what a query and what a key is made of",
}


def _or_none(draw: Callable[[], Axes]) -> Axes | None:
    """Gives a figure, or None where there is nothing it could show."""
    try:
        return draw()
    except UsageError:
        return None
