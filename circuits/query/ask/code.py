"""The Python that asks the same, for answers that no function of their own gives."""

from __future__ import annotations

from circuits.graph.graph import Graph
from circuits.query.ask.question import Question


def same(graph: Graph, question: Question) -> str:
    """Gives the lines of Python that ask a question of the run a graph came from."""
    run = str(graph.meta.get("run") or graph.meta.get("path") or "run")
    return (
        f"import circuits\n\ngraph = circuits.load_run({run!r})\n"
        f"print(circuits.ask(graph, {question.text()!r}).answer())"
    )
