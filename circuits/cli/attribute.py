"""`circuits attribute`: a prompt, or a trace file, to a run."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Group

from circuits.cli import options, work
from circuits.cli.console import Output, commands, duration, facts, heading, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import telling
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.graph.graph import Graph


def attribute(
    ctx: typer.Context,
    out: options.RunOut,
    prompt: options.PromptText = None,
    model: options.ModelSpec = None,
    dictionary: options.DictionarySpec = None,
    trace: options.TraceFile = None,
    target: options.TargetTokens = None,
    over: options.OverToken = None,
    feature: options.TargetFeatures = None,
    max_features: options.MaxFeatures = work.MAX_FEATURES,
    tolerance: options.Tolerance = work.TOLERANCE,
    select: options.Select = None,
    dormant_margin: options.DormantMargin = None,
    device: options.DeviceOption = "auto",
    dtype: options.DtypeOption = None,
    seed: options.Seed = 0,
    keep_trace: options.KeepTrace = False,
    no_labels: options.NoLabels = False,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Trace a prompt through a model and attribute its output: makes a run.

    ```
    circuits attribute "The capital of France is" -o run/france
    circuits attribute "Mary and John ... a drink to" --target " Mary" --over " John" -o run/ioi
    circuits attribute --trace hand-made.safetensors -o run/hand-made
    ```
    """
    began = time.perf_counter()
    output = Output(json, quiet)
    check_output(out, overwrite=overwrite, directory=True)
    asked = work.targets(target or (), over, feature or ())
    if trace is not None:
        _refuse_beside_trace(ctx)
    elif prompt is None:
        raise UsageError("Nothing to explain: give a PROMPT in quotes, or a trace file with --trace.")
    source = work.Source.of(
        model=model,
        dictionary=dictionary,
        select=select,
        dormant_margin=dormant_margin,
        labels=not no_labels,
        dtype=dtype,
        device=device,
    )
    compute = work.Rows(max_features, tolerance, device)
    compute.check()
    with telling(output) as tell:
        if trace is not None:
            from circuits.trace_io import load_trace

            record = load_trace(trace)
        else:
            record = work.trace_prompt(prompt or "", asked, source, max_features, output, tell)
        graph = compute.graph(record, tell)
    graph = work.stamped(graph, ctx.obj, seed, began)
    work.save(graph, record if keep_trace else None, out, overwrite=overwrite)
    output.result(summary(graph, out), document(graph, out))


def _refuse_beside_trace(ctx: typer.Context) -> None:
    """Refuses what a trace file has already settled."""
    settled = {
        "prompt": "PROMPT",
        "model": "--model",
        "dictionary": "--dictionary",
        "target": "--target",
        "over": "--over",
        "feature": "--feature",
        "select": "--select",
        "dormant_margin": "--dormant-margin",
        "dtype": "--dtype",
        "no_labels": "--no-labels",
    }
    given = [words for name, words in settled.items() if ctx.params.get(name)]
    if given:
        raise UsageError(f"A trace file already holds what {', '.join(given)} would set: leave it out.")


def document(graph: Graph, path: Path) -> dict[str, Any]:
    """Gives the result of `attribute` for --json."""
    return {
        "run": str(path),
        "targets": graph.targets,
        "nodes": len(graph.nodes),
        "edges": len(graph.edges),
        "expanded": int(graph.nodes["expanded"].sum()),
        "completeness_residual": graph.meta.get("completeness_residual"),
        "scores": graph.meta.get("scores"),
        "timings": graph.meta.get("timings"),
        "command": graph.meta.get("command"),
    }


def summary(graph: Graph, path: Path) -> Any:
    """Gives the result of `attribute` for people."""
    where = shlex.quote(str(path))
    name = shlex.quote(path.name)
    return stack(
        heading(f"{path} explains {explained(graph)}."),
        facts(size_facts(graph) + score_facts(graph)),
        Group(
            heading("Next"),
            commands(
                [
                    (f"circuits why {where}", "the answer in words"),
                    (f"circuits interact {where} --order 3", "which features act together"),
                    (f"circuits plot {where} -o {name}.svg", "a picture"),
                    (f"circuits report {where} -o {name}.html", "a page to send on"),
                ]
            ),
        ),
    )


def explained(graph: Graph) -> str:
    """Gives the targets in words: `" Paris" (67%), " a" (4%) and 8 more`."""
    from circuits.query.text import Naming, listing, percent

    naming = Naming.of(graph)
    words = []
    for node in graph.targets[:3]:
        chance = naming.probability(node)
        words.append(naming.output(node) + (f" ({percent(chance)})" if chance is not None else ""))
    more = len(graph.targets) - len(words)
    return listing([*words, f"{more} more"]) if more else listing(words)


def size_facts(graph: Graph) -> list[tuple[str, str, str]]:
    """Gives nodes, edges and the time taken."""
    kinds = {str(kind): count for kind, count in graph.nodes["kind"].value_counts().iter_rows()}
    expanded = int(graph.nodes.filter(kind="feature")["expanded"].sum())
    rows = [
        ("nodes", f"{len(graph.nodes):,}", f"{kinds.get('feature', 0):,} of them features"),
        ("edges", f"{len(graph.edges):,}", f"into {expanded:,} features and {len(graph.targets)} targets"),
    ]
    seconds = (graph.meta.get("timings") or {}).get("total")
    return [*rows, ("time", duration(seconds), "")] if seconds else rows


def score_facts(graph: Graph) -> list[tuple[str, str, str]]:
    """Gives how far the graph can be trusted."""
    from circuits.query.text import percent

    scores = graph.meta.get("scores") or {}
    rows = []
    residual = graph.meta.get("completeness_residual")
    if residual is not None:
        rows.append(("residual", f"{residual:.1e}", "largest gap between a node's edges and its value"))
    meanings = {
        "replacement": "of the influence that starts at words or errors, the words' part",
        "completeness": "of what flows into nodes, the part that is no error",
    }
    for name, meaning in meanings.items():
        if scores.get(name) is not None:
            rows.append((name, percent(scores[name]), meaning))
    return rows
