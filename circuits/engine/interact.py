"""Interactions into the graph: the units of every method are run, and what they find becomes hyperedges."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import polars as pl

from circuits.engine.hyperedges import named
from circuits.engine.methods import Found, Method, Progress, Unit
from circuits.errors import InvalidFile, UsageError
from circuits.graph.graph import Graph
from circuits.schema import HYPEREDGE_SCHEMA
from circuits.trace import Trace

Keep = Callable[[str, Found], None]
"""Called with a unit's key and what it found, as soon as it is done."""

_SAME = ("channel", "index", "target")


def interact(
    graph: Graph,
    methods: Sequence[Method],
    *,
    trace: Trace | None = None,
    done: Mapping[str, Found] | None = None,
    keep: Keep | None = None,
    progress: Progress | None = None,
) -> Graph:
    """Gives the graph with the interactions that methods find as hyperedges.

    What is found replaces earlier hyperedges of the same kind, see `merged`; all others stay.
    `meta["interactions"]` says for each channel: settings, engines, bounds, how many were found,
    seconds, floating-point operations.

    Args:
        graph: any graph.
        methods: `Gates`, `QK`, `Coalitions`; at most one of a channel.
        trace: what the graph was made from, for methods that need it.
        done: what units of an earlier, interrupted call found, by `unit_key`; they are not run again.
        keep: told what each further unit found, so that it can be kept.
        progress: told the channel, the units done and their number.

    Raises:
        UsageError: settings no unit can be made with, two methods of one channel, or a method that
            needs the trace without it. Nothing has been run then.
        InvalidFile: a unit found NaN or infinity.

    Example:
        >>> graph = interact(graph, [Gates(order=3), Coalitions()])  # doctest: +SKIP
    """
    work = plan(graph, methods, trace)
    tell = progress or (lambda *_: None)
    results = {job.method.channel: _results(job, done or {}, keep, tell) for job in work}
    entries = {job.method.channel: _entry(job, results[job.method.channel]) for job in work}
    loadings = [
        found.loadings for channel in results.values() for found in channel if found.loadings is not None
    ]
    if loadings:
        graph = replace(graph, heads=pl.concat(loadings))
    new = [found.hyperedges for channel in results.values() for found in channel]
    return merged(graph, new, entries)


@dataclass(frozen=True)
class Job:
    """A method and the units it has on one graph."""

    method: Method
    units: Sequence[Unit]

    @property
    def flops(self) -> float:
        """Gives the floating-point operations of all units together, about."""
        return sum(unit.flops for unit in self.units)

    def key(self, unit: Unit) -> str:
        """Gives the unit's key among those of all methods and settings."""
        return f"{self.method.channel} {self.method!r} {unit.key}"


def plan(graph: Graph, methods: Sequence[Method], trace: Trace | None = None) -> list[Job]:
    """Gives the work that methods have on a graph, none of it begun.

    Raises:
        UsageError: as for `interact`.
    """
    channels = [method.channel for method in methods]
    twice = [channel for channel, count in Counter(channels).items() if count > 1]
    if twice:
        raise UsageError(f"Two methods for the channel {twice[0]}: call interact once for each.")
    lacking = [type(method).__name__ for method in methods if method.needs_trace and trace is None]
    if lacking:
        raise UsageError(
            f"{lacking[0]} needs the trace the graph was made from: pass trace=, from extract or load_trace."
        )
    work = [Job(method, tuple(method.units(graph, trace))) for method in methods]
    for job in work:
        keys = [unit.key for unit in job.units]
        if len(set(keys)) < len(keys):
            raise ValueError(f"{type(job.method).__name__} gave two units one key.")
    return work


def merged(graph: Graph, new: Sequence[pl.DataFrame], entries: Mapping[str, Any] | None = None) -> Graph:
    """Gives the graph with hyperedges added, in place of earlier ones of the same kind.

    Over nodes, those of one channel, index and target are replaced together; over concepts, those that
    are also of the same members. Hyperedges over concepts the graph no longer has are dropped.

    Args:
        graph: any graph.
        new: tables of `HYPEREDGE_SCHEMA`.
        entries: what `meta["interactions"]` is to say, by channel.
    """
    nodes, concepts = graph.nodes["node"], graph.nodes["concept"].drop_nulls()
    member = pl.element().is_in(nodes.implode())
    known = member | pl.element().is_in(concepts.implode())
    of_nodes = pl.col("members").list.eval(member).list.all()
    joined = pl.col("members").list.sort().list.join("\n")
    among = pl.when(of_nodes).then(pl.lit("nodes")).otherwise(joined)
    fresh = pl.concat([pl.DataFrame(schema=HYPEREDGE_SCHEMA), *new]).with_columns(among=among)
    old = graph.hyperedges.filter(pl.col("members").list.eval(known).list.all()).with_columns(among=among)
    stays = old.join(fresh, on=[*_SAME, "among"], how="anti", nulls_equal=True, maintain_order="left")
    table = named(pl.concat([stays, fresh]).drop("among"))
    told = {**(graph.meta.get("interactions") or {}), **(entries or {})}
    return replace(graph, hyperedges=table, meta={**graph.meta, "interactions": told})


def distinct(hyperedges: pl.DataFrame) -> pl.DataFrame:
    """Gives one row for each combination, its shares (`via`) left out unless there is nothing else of it."""
    wholes_first = hyperedges.sort(pl.col("via").is_not_null(), maintain_order=True)
    who = pl.col("members").list.sort().list.join("\n").alias("who")
    once = wholes_first.with_columns(who).unique(["who", *_SAME], keep="first", maintain_order=True)
    return once.drop("who")


def settings(method: Any) -> dict[str, Any]:
    """Gives a method's settings as JSON has them; what JSON lacks is told in words."""
    return {
        "method": type(method).__name__,
        **{f.name: _plain(getattr(method, f.name)) for f in fields(method)},
    }


def _results(job: Job, done: Mapping[str, Found], keep: Keep | None, tell: Progress) -> list[Found]:
    """Gives what the units of a method find, or found in an earlier call."""
    channel, count = job.method.channel, len(job.units)
    results = []
    for at, unit in enumerate(job.units):
        known = done.get(job.key(unit))
        if known is None:
            known = _run(job, unit, _inside(channel, at, count, tell))
            if keep is not None:
                keep(job.key(unit), known)
        results.append(known)
        tell(channel, at + 1, count)
    return results


def _inside(channel: str, at: int, count: int, tell: Progress) -> Progress:
    """Gives what a unit is to tell: how far it is where it is the only one, else which of them it is."""
    return lambda _, done, total: tell(channel, done, total) if count == 1 else tell(channel, at, count)


def _run(job: Job, unit: Unit, tell: Progress) -> Found:
    tell("", 0, 0)
    start = time.perf_counter()
    found = unit.run(tell)
    table = found.hyperedges
    wrong = ~pl.col("weight").is_finite() | pl.col("weight").is_null()
    bad = table.filter(
        wrong | pl.col("low").is_nan().fill_null(False) | pl.col("high").is_nan().fill_null(False)
    )
    if len(bad):
        row = bad.row(0, named=True)
        raise InvalidFile(
            f"{type(job.method).__name__} found {row['weight']} ({row['low']} to {row['high']}) for"
            f" {', '.join(row['members'])} towards {row['target']}: the graph's numbers are not finite."
        )
    return replace(found, meta={**found.meta, "seconds": time.perf_counter() - start})


def _entry(job: Job, results: Sequence[Found]) -> dict[str, Any]:
    """Gives what `meta` says of a channel."""
    table = distinct(
        pl.concat([pl.DataFrame(schema=HYPEREDGE_SCHEMA), *(found.hyperedges for found in results)])
    )
    orders, engines = Counter(table["order"]), Counter(table["engine"])
    return {
        "settings": settings(job.method),
        "found": {str(order): orders[order] for order in sorted(orders)},
        "engines": dict(engines),
        "flops": float(job.flops),
        "seconds": sum(float(found.meta["seconds"]) for found in results),
        "units": {unit.key: dict(found.meta) for unit, found in zip(job.units, results, strict=True)},
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [_plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return str(value)
