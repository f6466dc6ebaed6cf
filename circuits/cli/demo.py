"""`circuits demo`: from nothing to an answer and a page, on the bundled model."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Group

from circuits.bundled import TOY
from circuits.cli import options, work
from circuits.cli.channels import Asked
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_output, is_demo
from circuits.cli.progress import Teller, telling
from circuits.errors import OutputExists

if TYPE_CHECKING:
    from circuits.graph.graph import Graph

PROMPT = "The capital of the state containing Dallas is"
SOURCE = work.Source(model=TOY, dictionary=TOY)
CONCEPTS = ("Dallas=token:Dallas", "capital=token:capital")
LOOKED_AT = Asked(channels=("output", "mlp"), gates=30)
"""Where combinations are looked for: attention, and all other features, take longer than all the rest."""


def demo(
    ctx: typer.Context,
    out: options.RunOut = Path("run/demo"),
    max_features: options.MaxFeatures = work.MAX_FEATURES,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Explain why the bundled model continues "The capital of the state containing Dallas is" as it does.

    Prints the answer and writes report.html into the run. Running it again replaces its own run only.
    """
    began = time.perf_counter()
    output = Output(json, quiet)
    if out.exists() and not is_demo(out):
        raise OutputExists(f"{out} exists and is not the demo's: choose another path with -o.")
    check_output(out, overwrite=True, directory=True)
    rows = work.Rows(max_features)
    with telling(output) as tell:
        trace = work.trace_prompt(PROMPT, (), SOURCE, max_features, output, tell)
        graph = combined(rows.graph(trace, tell), tell)
    graph = work.stamped(graph, ctx.obj, seed, began).with_meta(demo=True)
    work.save(graph, None, out, overwrite=True)
    graph = graph.with_meta(run=str(out))
    from circuits.cli.answer import found
    from circuits.query.why import why
    from circuits.report import save_report

    page = out / "report.html"
    answer = why(graph)
    save_report(graph, page, answer=answer, overwrite=True)
    where = shlex.quote(str(out))
    following = [
        (f"circuits why {where}", "the same with the tables behind it"),
        (f"circuits plot {where} -o dallas.svg", "the picture alone"),
        (f"circuits interact {where} --order 3", "all combinations, in attention too"),
        ('circuits attribute "The capital of France is" -o run/mine', "a real language model, SmolLM2"),
    ]
    output.result(
        stack(
            found(answer),
            Group(heading("Written"), commands([(str(out), "the run"), (str(page), "open it in a browser")])),
            Group(heading("Next"), commands(following)),
        ),
        {"run": str(out), "report": str(page), "answer": answer.to_dict()},
    )


def combined(graph: Graph, tell: Teller) -> Graph:
    """Gives the graph with its combinations, the two words of the question tested as concepts."""
    from circuits.engine.concepts.measure import concept_test
    from circuits.engine.concepts.store import with_tests
    from circuits.engine.interact import interact

    graph = interact(graph, LOOKED_AT.methods(), progress=tell)
    tell("concepts", 0, 1)
    return with_tests(graph, [concept_test(graph, *CONCEPTS)])
