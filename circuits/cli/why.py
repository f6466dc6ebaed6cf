"""`circuits why`: the answer in words."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Group

from circuits.cli import options
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_run

if TYPE_CHECKING:
    from pathlib import Path

    from circuits.graph.graph import Graph


def why(
    run: options.Run,
    target: options.Target = None,
    over: options.Over = None,
    top: options.Top = 10,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Say why the model continues the prompt as it does.

    Nodes are named layer/feature@position: 12/4051@7 is feature 4051 of layer 12 at the eighth token, for
    positions count from 0. tok@3 is a word, err12@7 what the features of layer 12 left unexplained.
    """
    from circuits.cli.answer import rendered
    from circuits.query.why import why as ask

    graph = open_run(run)
    answer = ask(graph, target, over=over, top=top)
    Output(json, quiet).result(stack(rendered(answer), _next(graph, run)), answer.to_dict())


def _next(graph: Graph, run: Path) -> Group | None:
    """Gives how to learn which features act together, where that was not computed yet."""
    from circuits.query.combinations import computed

    if computed(graph):
        return None
    line = (f"circuits interact {shlex.quote(str(run))}", "which features act only together")
    return Group(heading("Next"), commands([line]))


def open_run(path: Path) -> Graph:
    """Gives the graph of a run; it knows where it came from."""
    check_run(path)
    from circuits.graph.io import load_run

    return load_run(path).with_meta(run=str(path))
