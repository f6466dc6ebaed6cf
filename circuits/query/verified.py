"""What became of a graph's claims on the model: what `circuits verify` wrote into a run, told."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from circuits.graph.graph import Graph
from circuits.query.agreement import agreement
from circuits.query.text import Naming, listing, plain, signed

OTHERS: Final = "other features"
"""How the column `held` says that only some features respond."""

ROWS: Final = 8
"""Claims listed beside an answer, at least; those that fail frozen are listed in any case."""

CAPTION: Final = (
    "Interventions tried on the model, those of the largest predicted effect first. predicted: how much the"
    " graph says the target changes. frozen: measured with patterns, norms and everything else but the run's"
    " features held, where the graph must be right. free: measured with nothing held, the honest figure; it"
    " holds where its sign is right and it is within a factor of two, or misses by at most 1% of the answer's"
    " size. × is what members do together beyond what each does alone."
)


def is_frozen() -> pl.Expr:
    """Gives which verdicts were measured frozen."""
    return pl.col("held").str.starts_with("patterns, norms, mlps") & ~pl.col("held").str.contains("until")


def is_free() -> pl.Expr:
    """Gives which verdicts were measured with nothing of the model held."""
    return pl.col("held").is_in(["nothing", OTHERS])


def verdicts_of(graph: Graph, target: str) -> pl.DataFrame:
    """Gives the verdicts on a target, with what says frozen and free of the same claim belong together."""
    rows = graph.verdicts.filter(pl.col("target") == target)
    same = pl.struct("kind", "order", "members", "actions", pl.col("held").str.contains(OTHERS))
    return rows.with_columns(claimed=same.rank("dense"))


def verified_table(graph: Graph, target: str) -> pl.DataFrame:
    """Gives one row a claim: claim, predicted, frozen, free, holds; members and verdicts for programs."""
    rows = verdicts_of(graph, target)
    naming = Naming.of(graph)
    found = []
    for _, part in rows.group_by("claimed", maintain_order=True):
        modes = {"frozen": part.filter(is_frozen()), "free": part.filter(is_free())}
        first = part.row(0, named=True)
        held = {name: bool(some["holds"][0]) for name, some in modes.items() if len(some)}
        found.append(
            {
                "claim": _brief(naming, first),
                "predicted": first["predicted"],
                "frozen": modes["frozen"]["measured"][0] if len(modes["frozen"]) else None,
                "free": modes["free"]["measured"][0] if len(modes["free"]) else None,
                "holds": _word(held),
                "members": first["members"],
                "verdicts": part["verdict"].to_list(),
            }
        )
    table = pl.DataFrame(
        found,
        schema={"claim": pl.String}
        | dict.fromkeys(("predicted", "frozen", "free"), pl.Float64)
        | {"holds": pl.String, "members": pl.List(pl.String), "verdicts": pl.List(pl.String)},
    )
    worst = (pl.col("holds") == NEVER).cast(pl.Int8)
    return table.sort(worst, pl.col("predicted").abs(), descending=True, maintain_order=True)


_YES, _FROZEN, NEVER = "yes", "only frozen", "NO, not even frozen"


def _word(held: dict[str, bool]) -> str:
    if not held.get("frozen", True):
        return NEVER
    return _YES if held.get("free", True) else _FROZEN


def _brief(naming: Naming, row: dict[str, Any]) -> str:
    """Gives what was done in a few words."""
    members = row["members"]
    if row["order"] > 1:
        return " × ".join(naming.terse(member) for member in members)
    done = "doubled" if row["actions"][0].endswith("*2") else "off"
    acted = " & ".join(naming.terse(m) for m in (members[:1] if row["kind"] == "path" else members))
    only = ""
    if row["kind"] == "path":
        only = f", only {' → '.join(naming.terse(member) for member in members[1:])} responding"
    elif OTHERS in row["held"]:
        only = ", other features held"
    return f"{acted} {done}{only}"


def is_doubled() -> pl.Expr:
    """Gives which verdicts doubled something rather than switching it off."""
    return pl.col("actions").list.first().str.ends_with("*2")


def verified_sentences(graph: Graph, target: str) -> tuple[str, ...]:
    """Gives how far the claims on a target hold on the model; nothing where none was tried."""
    rows = verdicts_of(graph, target)
    if not len(rows):
        return ()
    forced = (
        " They were measured on a model or dictionary that is not the run's, which was forced."
        if rows["forced"].any()
        else ""
    )
    free = rows.filter(held="nothing")
    frozen = _frozen(rows.filter(is_frozen()), _explained(graph, target))
    told = (frozen, _free(free) + forced, _failed(free))
    return tuple(sentence for sentence in told if sentence)


def _explained(graph: Graph, target: str) -> str:
    """Gives what part of the largest difference edges that were not kept explain."""
    told = ((graph.meta.get("verified") or {}).get(target) or {}).get("frozen") or {}
    if not told.get("margin"):
        return ""
    beyond = plain(float(f"{told['worst_relative']:.1g}"))
    return f"; once edges too small to keep are put back, {beyond} of all that flows into the target"


def _frozen(rows: pl.DataFrame, explained: str) -> str:
    if not len(rows):
        return ""
    worst = float((rows["measured"] - rows["predicted"]).abs().max())  # type: ignore[arg-type]
    count = f"{int(rows['holds'].sum())} of {len(rows)}"
    held = "Tried on the model with patterns, norms and all but the run's features held,"
    if rows["holds"].all():
        most = f"largest difference {plain(worst)}{explained}"
        return f"{held} all {len(rows)} predictions of this graph hold ({most})."
    failed = rows.filter(~pl.col("holds")).sort(
        (pl.col("measured") - pl.col("predicted")).abs(), descending=True
    )
    first = failed.row(0, named=True)
    return (
        f"NOT CONFIRMED. {held} only {count} predictions of this graph hold, which must all: it is not a"
        f" picture of this model. The worst: {_claim(first)}, measured {signed(first['measured']) or '0'}."
    )


def _free(rows: pl.DataFrame) -> str:
    if not len(rows):
        return ""
    found = agreement(rows, resamples=0)
    rho, slope = found["spearman"].value, found["slope"].value
    said = ""
    if rho is not None and slope is not None:
        said = (
            f"; Spearman of predicted and measured {plain(round(rho, 2))}, measured ="
            f" {plain(round(slope, 2))} × predicted"
        )
    return (
        "With nothing held, so that attention patterns, norms and errors respond too,"
        f" {int(rows['holds'].sum())} of {len(rows)} hold (sign right and within a factor of two, or nearly"
        f" nothing as predicted){said}."
    )


def _failed(rows: pl.DataFrame, most: int = 2) -> str:
    """Gives the largest claims that fail free, in words."""
    failed = rows.filter(~pl.col("holds")).sort(pl.col("predicted").abs(), descending=True)
    if not len(failed):
        return ""
    told = [
        f"{_claim(row)}, measured {signed(row['measured']) or '0'}"
        for row in failed.head(most).iter_rows(named=True)
    ]
    return f"What fails then, the largest first: {'; '.join(told)}."


def _claim(row: dict[str, Any]) -> str:
    text = row["claim"].removesuffix(".")
    return f"{text[:1].lower()}{text[1:]}"


def info_line(graph: Graph) -> tuple[str, str] | None:
    """Gives what `circuits info` tells: how many claims hold; None where none was tried."""
    rows = graph.verdicts
    if not len(rows):
        return None
    parts = []
    for name, some in (("frozen", rows.filter(is_frozen())), ("free", rows.filter(held="nothing"))):
        if len(some):
            parts.append(f"{int(some['holds'].sum())} of {len(some)} claims hold {name}")
    failing = not rows.filter(is_frozen())["holds"].all()
    forced = ", forced on another model" if rows["forced"].any() else ""
    return ("FAILED" if failing else "yes", f"{listing(parts)}{forced}")
