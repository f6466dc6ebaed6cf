"""`--check`: an answer with what it predicts measured on the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from circuits.cli.again import loaded
from circuits.cli.console import Output
from circuits.cli.progress import telling

if TYPE_CHECKING:
    from circuits.graph.graph import Graph
    from circuits.query.answer import Answer

Check = Annotated[
    bool, typer.Option("--check", help="Try on the model what the answer predicts, and tell both.")
]


def checked(answer: Answer, graph: Graph, force: bool, output: Output) -> Answer:
    """Gives the answer with what it predicts measured on the model."""
    from circuits.intervene.answers import check, check_predicts
    from circuits.intervene.session import Session

    check_predicts(answer, graph)  # before a model is loaded
    with telling(output) as tell:
        model, dictionary, forced = loaded(graph, tell, force=force)
        found = check(answer, Session.of(model, dictionary, graph, forced=bool(forced)), progress=tell)
    for sentence in forced:
        output.note(sentence)
    return found
