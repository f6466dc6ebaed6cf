"""What the server keeps: the folder, graphs that were loaded, the model interventions are run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from circuits.graph.graph import Graph
from circuits.graph.io import load_run
from circuits.server.folder import Folder, Run
from circuits.server.kept import Kept
from circuits.server.limits import Limits

if TYPE_CHECKING:
    from circuits.dictionaries.base import AbstractDictionary
    from circuits.intervene.session import Session
    from circuits.models.base import Model

OFFERED: Final = (("toy", "toy"), ("toy", "neurons"), ("smollm2", "neurons"))
"""Models and dictionaries a new prompt may be run with besides those of the runs that are there."""


def untold(phase: str, done: int, total: int, detail: str = "") -> None:
    """Is told of progress that nobody watches."""


@dataclass(frozen=True)
class Served:
    """A folder and what was loaded from it.

    A run is known by its name and the checksum of its manifest, so that one replaced on disk is loaded
    anew.
    """

    folder: Folder
    limits: Limits
    graphs: Kept[tuple[str, str], Graph] = field(init=False)
    documents: Kept[tuple[Any, ...], dict[str, Any]] = field(default_factory=lambda: Kept(4), init=False)
    models: Kept[tuple[str, ...], tuple[Model, AbstractDictionary]] = field(
        default_factory=lambda: Kept(1), init=False
    )
    sessions: Kept[tuple[str, str], Session] = field(default_factory=lambda: Kept(2), init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "graphs", Kept(self.limits.graphs))

    def graph(self, name: str) -> Graph:
        """Gives the graph of a run; it knows where it came from, by its name here.

        Raises:
            NotFound: no run of this name is listed.
            InvalidFile: it is damaged.
        """
        return self.graph_of(self.folder.find(name))

    def graph_of(self, run: Run) -> Graph:
        """Gives the graph of a run that was found."""
        return self.graphs.get((run.name, run.checksum), lambda: load_run(run.path).with_meta(run=run.name))

    def session(self, name: str) -> Session:
        """Gives a run's model, dictionary and prompt, ready to be intervened on; the model is kept.

        Raises:
            Incompatible: the run does not say what it was made from, or that has changed.
            CircuitsError: as for loading a run, a model and a dictionary.
        """
        run = self.folder.find(name)
        return self.sessions.get((run.name, run.checksum), lambda: self._session(self.graph_of(run)))

    def choices(self) -> list[tuple[str, str]]:
        """Gives the models and dictionaries new prompts may be run with: what is bundled, what runs used."""
        used = []
        for one in self.folder.listed():
            meta = one.manifest.get("meta", {})
            specs = [(meta.get(part) or {}).get("spec") for part in ("model", "dictionary")]
            if all(isinstance(spec, str) and spec for spec in specs):
                used.append((str(specs[0]), str(specs[1])))
        return list(dict.fromkeys([*used, *OFFERED]))

    def _session(self, graph: Graph) -> Session:
        from circuits.cli.again import loaded
        from circuits.intervene.session import Session

        def load() -> tuple[Model, AbstractDictionary]:
            model, dictionary, _ = loaded(graph, untold, force=None)
            return model, dictionary

        meta = graph.meta
        parts = [
            str((meta.get(part) or {}).get(key))
            for part in ("model", "dictionary")
            for key in ("spec", "fingerprint")
        ]
        model, dictionary = self.models.get((*parts, str(meta.get("dtype"))), load)
        return Session.of(model, dictionary, graph)
