"""`circuits verify`: what a run claims, tried on the model it was made from."""

from __future__ import annotations

import datetime as dt
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from circuits.cli import options
from circuits.cli.again import kept_trace, loaded
from circuits.cli.combine import save
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_run
from circuits.cli.progress import Teller, telling

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.intervene.summary import Verification

Budget = Annotated[
    int,
    typer.Option(
        metavar="K", min=1, rich_help_panel=options.HOW, help="Interventions; each is run frozen and free."
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="The model, if it lies elsewhere now."),
]
Dictionary = Annotated[
    str | None,
    typer.Option(
        "--dictionary", "-d", metavar="DICTIONARY", help="The dictionary, if it lies elsewhere now."
    ),
]
Seed = Annotated[
    int, typer.Option(rich_help_panel=options.HOW, help="Draws the controls and the bootstrap samples.")
]


def verify(
    ctx: typer.Context,
    run: options.Run,
    budget: Budget = 32,
    target: options.Target = None,
    model: Model = None,
    dictionary: Dictionary = None,
    force: options.Force = False,
    seed: Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Try on the model what a run claims, and write the verdicts into the run.

    Top features, words, pairs, the top path, concepts, and nodes that should do nothing are switched off,
    and top features doubled. What each does is predicted from the graph and measured twice: with all
    held that the graph holds, where it must be right, and with nothing held. **why**, **report** and **info**
    then show it.
    """
    began = time.perf_counter()
    output = Output(json, quiet)
    check_run(run)
    from circuits.graph.io import load_run
    from circuits.intervene.plan import plan

    graph = load_run(run)
    plan(graph, target, budget=budget, seed=seed)  # what is refused is, before a model is loaded
    with telling(output) as tell:
        found, forced = _verified(run, _from(graph, model, dictionary), (target, budget, seed, force), tell)
    for sentence in forced:
        output.note(sentence)
    entry = {
        **found.summary,
        "command": shlex.join(["circuits", *ctx.obj]),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "seconds": time.perf_counter() - began,
    }
    done = {**found.graph.meta["verified"], found.target: entry}
    save(found.graph.with_meta(**{**graph.meta, "verified": done}), run, run)
    _tell(replace(found, graph=found.graph.with_meta(run=str(run))), run, forced, output)


def _verified(
    run: Path, graph: Graph, asked: tuple[str | None, int, int, bool], tell: Teller
) -> tuple[Verification, tuple[str, ...]]:
    """Gives the verdicts, and a sentence for each thing that was forced."""
    from circuits.engine.cache import use_compilation_cache
    from circuits.intervene.verify import Checks
    from circuits.intervene.verify import verify as tried

    target, budget, seed, force = asked
    use_compilation_cache()
    loaded_model, loaded_dictionary, forced = loaded(graph, tell, force=force)
    checks = Checks(budget, seed, bool(forced), kept_trace(run))
    return tried(graph, loaded_model, loaded_dictionary, target, checks=checks, progress=tell), forced


def _from(graph: Graph, model: str | None, dictionary: str | None) -> Graph:
    """Gives the graph as if made from a model and a dictionary that lie elsewhere; fingerprints stay."""
    given = {"model": model, "dictionary": dictionary}
    moved = {part: {**(graph.meta.get(part) or {}), "spec": spec} for part, spec in given.items() if spec}
    return graph.with_meta(**moved)


def _tell(found: Verification, run: Path, forced: tuple[str, ...], output: Output) -> None:
    from circuits.cli.answer import rendered

    document = {
        "run": str(run),
        "holds": found.holds,
        "forced": list(forced),
        **found.answer().to_dict(),
        "verdicts": found.verdicts.to_dicts(),
    }
    line = (f"circuits why {shlex.quote(str(run))}", "the answer, with what was measured beside it")
    output.result(stack(rendered(found.answer()), Group(heading("Next"), commands([line]))), document)
