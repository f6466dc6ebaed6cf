"""A model, its dictionary and one prompt of a run, ready to be intervened on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuits.dictionaries.base import AbstractDictionary
from circuits.graph.actions import Intervention
from circuits.graph.graph import Graph
from circuits.intervene.hold import FREE, Hold
from circuits.intervene.outcome import Outcome
from circuits.models.base import Model

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, eq=False)
class Session:
    """Made by `Session.of`; `run` measures interventions."""

    model: Model
    dictionary: AbstractDictionary
    graph: Graph

    @classmethod
    def of(cls, model: Model, dictionary: AbstractDictionary, graph: Graph) -> Session:
        """Gives the session of a run: one untouched pass, the run's features, its targets."""
        return cls(model, dictionary, graph)

    def run(
        self,
        interventions: Sequence[Intervention],
        hold: Hold = FREE,
        *,
        batch: int | None = None,
        progress: Progress | None = None,
    ) -> Outcome:
        """Gives what each intervention does to the targets and the next token."""
        raise NotImplementedError
