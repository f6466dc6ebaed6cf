"""What claims are tried on: anything that measures interventions on one prompt, as `Session` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from circuits.graph.actions import Intervention
from circuits.graph.graph import Graph
from circuits.intervene.hold import FREE, Hold
from circuits.intervene.outcome import Outcome

Progress = Callable[[str, int, int], None]
"""Called with (what is done, how many so far, how many in all)."""


class Measuring(Protocol):
    """Measures; `circuits.intervene.session.Session` is the one that does so on a model."""

    @property
    def graph(self) -> Graph:
        """Gives the graph whose nodes are acted on and whose targets are measured."""
        ...

    def run(
        self,
        interventions: Sequence[Intervention],
        hold: Hold = FREE,
        *,
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Gives what each intervention does to the targets and the next token."""
        ...
