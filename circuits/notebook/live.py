"""The viewer as an anywidget: the document goes over once, the state both ways."""

from __future__ import annotations

from typing import Any

import anywidget
import traitlets

from circuits.errors import NotFound, UsageError, near_matches
from circuits.graph.graph import Graph
from circuits.query.answer import Answer
from circuits.viewer import document, script, style

LOWEST = 200  # pixels


class GraphWidget(anywidget.AnyWidget):
    """The interactive graph in a notebook; made by `graph.widget()`.

    All but the document can be read and set at any time, and watched with `observe`; None stands for what
    the viewer chooses by itself.

    Attributes:
        document: what is shown, as `circuits.viewer.document` gives it.
        selected: the node whose card is open, by name; None if none is.
        pinned: nodes that are always shown, by name.
        threshold: nodes are shown up to this share of the influence, 0 to 1.
        view: graph, concepts, hyperedges, matrix, upset, qk or diff.
        groups: groups of nodes, name to node names; they begin as the graph's concepts.
        height: in pixels.
    """

    _esm = script()
    _css = style()
    document = traitlets.Dict().tag(sync=True)
    selected = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    pinned = traitlets.List(traitlets.Unicode()).tag(sync=True)
    threshold = traitlets.Float(None, allow_none=True, min=0, max=1).tag(sync=True)
    view = traitlets.Unicode(None, allow_none=True).tag(sync=True)
    groups = traitlets.Dict(
        default_value=None, allow_none=True, key_trait=traitlets.Unicode(), value_trait=traitlets.List()
    ).tag(sync=True)
    height = traitlets.Int(560, min=LOWEST).tag(sync=True)

    @classmethod
    def of(
        cls, graph: Graph, *, against: Graph | None = None, answer: Answer | None = None, height: int
    ) -> GraphWidget:
        """Gives the widget of a graph; see `circuits.notebook.widget`."""
        if height < LOWEST:
            raise UsageError(f"A widget of {height} pixels was asked for: give {LOWEST} or more.")
        return cls(document=document(graph, answer=answer, against=against), height=height)

    @traitlets.validate("selected")
    def _known(self, proposal: Any) -> str | None:
        if proposal["value"] is not None:
            self._check([proposal["value"]])
        return proposal["value"]  # type: ignore[no-any-return]

    @traitlets.validate("pinned")
    def _all_known(self, proposal: Any) -> list[str]:
        self._check(proposal["value"])
        return proposal["value"]  # type: ignore[no-any-return]

    def _check(self, nodes: list[str]) -> None:
        """Refuses nodes that the viewer was not given.

        Raises:
            NotFound: one of them is not among the nodes shown.
        """
        known = self._nodes()
        for node in nodes:
            if node not in known:
                raise NotFound(
                    f"No node {node!r} among the {len(known)} of this widget.{near_matches(node, known)}"
                )

    def _nodes(self) -> list[str]:
        parts = [self.document.get("graph"), self.document.get("against")]
        return [node for part in parts if part for node in part["nodes"]["node"]]

    def __repr__(self) -> str:
        state = f"selected={self.selected!r}, {len(self.pinned)} pinned, view={self.view!r}"
        return f"GraphWidget({len(self._nodes())} nodes, {state})"
