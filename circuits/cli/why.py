"""`circuits why`: the answer in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuits.cli import options
from circuits.cli.console import Output
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

    answer = ask(open_run(run), target, over=over, top=top)
    Output(json, quiet).result(rendered(answer), answer.to_dict())


def open_run(path: Path) -> Graph:
    """Gives the graph of a run; it knows where it came from."""
    check_run(path)
    from circuits.graph.io import load_run

    return load_run(path).with_meta(run=str(path))
