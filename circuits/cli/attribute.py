"""`circuits attribute`: a prompt, or a trace file, to a run."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from circuits.cli import options, work
from circuits.cli.console import Output, commands, duration, facts, heading, stack
from circuits.cli.options import HOW, OUT, WHAT
from circuits.cli.paths import check_output
from circuits.cli.progress import telling
from circuits.errors import UsageError

if TYPE_CHECKING:
    from circuits.graph.graph import Graph


def attribute(
    ctx: typer.Context,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="RUN", rich_help_panel=OUT, help="The run directory to make."),
    ],
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="The text whose continuation is explained.")
    ] = None,
    model: options.ModelSpec = None,
    dictionary: options.DictionarySpec = None,
    trace: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Start from a trace file instead; no model is loaded."),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOKEN",
            rich_help_panel=WHAT,
            help='Explain the logit of this token, spelt as the tokenizer does: " Paris". May be repeated.',
            show_default="the likeliest tokens",
        ),
    ] = None,
    over: Annotated[
        str | None,
        typer.Option(metavar="TOKEN", rich_help_panel=WHAT, help="Explain --target minus this token."),
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE",
            rich_help_panel=WHAT,
            help="Explain a feature, written layer/feature@position: 12/4051@7. May be repeated.",
        ),
    ] = None,
    max_features: options.MaxFeatures = work.MAX_FEATURES,
    tolerance: Annotated[
        float,
        typer.Option(
            metavar="T",
            rich_help_panel=HOW,
            help="Keep an edge if it is at least this share of all that flows into its target;"
            " the others are summed, not lost.",
        ),
    ] = 1e-4,
    select: options.Select = None,
    dormant_margin: options.DormantMargin = None,
    device: options.DeviceOption = "auto",
    dtype: options.DtypeOption = None,
    seed: options.Seed = 0,
    keep_trace: Annotated[
        bool,
        typer.Option("--keep-trace", rich_help_panel=OUT, help="Keep the trace in the run; it can be large."),
    ] = False,
    no_labels: Annotated[
        bool, typer.Option("--no-labels", rich_help_panel=OUT, help="Do not label the features.")
    ] = False,
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
    source = work.Source(
        model=model if model is not None else work.MODEL,
        dictionary=dictionary if dictionary is not None else work.DICTIONARY,
        select=select,
        dormant_margin=dormant_margin,
        labels=not no_labels,
        dtype=dtype or "float32",
        device=device,
    )
    work.check_engine(max_features=max_features, tolerance=tolerance, device=device)
    with telling(output) as tell:
        if trace is not None:
            from circuits.trace_io import load_trace

            record = load_trace(trace)
        else:
            record = work.trace_prompt(prompt or "", asked, source, max_features, output, tell)
        graph = work.graph_of(
            record, max_features=max_features, tolerance=tolerance, device=device, tell=tell
        )
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
