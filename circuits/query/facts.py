"""What is known about how a graph was made, one line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from circuits.graph.graph import Graph

TOLD: Final = (
    *("prompt", "targets", "labels", "tested_labels", "softcap", "command", "verified"),
    *("concepts", "concept_tests"),
)
"""Entries of `meta` that are shown elsewhere."""


def facts(graph: Graph) -> list[tuple[str, str]]:
    """Gives fingerprints, versions, settings and timings: everything else in `meta`, name and text."""
    told = {name: value for name, value in graph.meta.items() if name not in TOLD}
    imported = told.get("imported")
    if isinstance(imported, Mapping):  # what is kept of the file for writing it again is no fact of the graph
        told["imported"] = {k: v for k, v in imported.items() if k not in ("kept", "state")}
    by_channel = told.get("interactions")
    if isinstance(by_channel, Mapping):  # what each unit of the work found is too much for a page
        told["interactions"] = {
            channel: {k: v for k, v in entry.items() if k != "units"} if isinstance(entry, Mapping) else entry
            for channel, entry in by_channel.items()
        }
    return list(_flat("", told))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{prefix} {str(key).replace('_', ' ')}".strip(), part)
    elif value is not None:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        yield prefix, text + (" s" if prefix.startswith("timings") else "")
