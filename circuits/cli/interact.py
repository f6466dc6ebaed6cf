"""`circuits interact`: which combinations act together, written into a run."""

from __future__ import annotations

import time

import typer

from circuits.cli import interact_options as own
from circuits.cli import options
from circuits.cli.channels import Asked, channels
from circuits.cli.combinations import document, summary
from circuits.cli.combine import Job, concepts_of, opened, players_of, save, stamped
from circuits.cli.console import Output
from circuits.cli.paths import check_output, check_run
from circuits.cli.progress import telling


def interact(
    ctx: typer.Context,
    run: options.Run,
    channel: own.Channels = None,
    order: own.Order = 2,
    index: own.Index = None,
    concept: own.Concepts = None,
    target: options.Target = None,
    players: own.Players = None,
    gates: own.Gates = None,
    head: own.Heads = None,
    top: own.Top = None,
    budget: own.Budget = None,
    backgrounds: own.Draws = 128,
    seed: own.Seed = 0,
    out: own.Out = None,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find which features, words and heads act together, and write it into a run.

    Interrupted, it goes on where it stopped when the same command is given again.

    ```
    circuits interact run/france --order 3
    circuits interact run/demo --concept texas=token:Dallas --concept capital=token:capital
    ```
    """
    began = time.perf_counter()
    output = Output(json, quiet)
    check_run(run)
    where = out or run
    check_output(where, overwrite=overwrite or where == run, directory=True)
    graph, target = opened(run, target, index)
    asked = Asked(
        channels=channels(channel),
        order=order,
        index=index,
        concepts=concepts_of(graph, concept, target),
        players=players_of(graph, players, target),
        budget=budget,
        target=target,
        top=top,
        heads=tuple(head or ()),
        gates=gates,
        seed=seed,
    )
    job = Job.of(run, where, graph, asked, backgrounds)
    with telling(output) as tell:
        found = job.run(output, tell)
    graph = stamped(found.graph, ctx.obj, seed, began)
    save(graph, run, where)
    job.kept.clear()
    output.result(summary(graph, where, found), document(graph, where, found))
