"""Folders of runs for tests of the server: hand-made ones, hostile ones, and the bundled model's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from hostile import HOSTILE
from sample_graph import sample_graph
from sample_interactions import sample_interactions

from circuits.graph.graph import Graph
from circuits.graph.io import save_run


def folder_of_runs(place: Path) -> Path:
    """A folder `runs` with two runs, one of them a level deeper, and beside it what is not to be served."""
    runs = place / "runs"
    save_run(sample_interactions(), runs / "names")
    save_run(sample_graph(), runs / "older" / "plain")
    (runs / "notes.txt").write_text("no run")
    (runs / ".hidden").mkdir()
    save_run(sample_graph(), runs / ".hidden" / "run")
    save_run(sample_graph(), place / "private")
    (runs / "leak").symlink_to(place / "private", target_is_directory=True)
    (runs / "out").symlink_to(place, target_is_directory=True)
    return runs


def hostile_graph() -> Graph:
    """The sample graph with a hostile text in every label, token and setting."""
    graph = sample_graph()
    count = len(graph.nodes)
    labels = pl.Series("label", [HOSTILE[row % len(HOSTILE)] for row in range(count)])
    prompt = dict(graph.meta["prompt"])
    tokens = [HOSTILE[row % len(HOSTILE)] for row in range(len(prompt["tokens"]))]
    meta = {
        **graph.meta,
        "prompt": {**prompt, "text": HOSTILE[0] + HOSTILE[7], "tokens": tokens},
        "model": {"spec": HOSTILE[1], "name": HOSTILE[1]},
        "created": HOSTILE[0],
    }
    return replace(graph, nodes=graph.nodes.with_columns(labels), meta=meta)
