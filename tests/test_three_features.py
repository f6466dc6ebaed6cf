"""A trace written by hand gives the graph that pencil and paper give."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from three_features import EDGES, write

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.trace_io import load_trace


@pytest.mark.parametrize("tolerance", [0.0, 1e-4])
def test_three_features_by_pencil_and_paper(tmp_path: Path, tolerance: float) -> None:
    write(tmp_path / "three.safetensors")
    graph = attribute(load_trace(tmp_path / "three.safetensors"), (Edges(tolerance=tolerance),))
    rows = graph.edges.filter(pl.col("weight") != 0).select("source", "target", "weight").iter_rows()
    assert {(s, t): w for s, t, w in rows} == EDGES
    assert graph.meta["completeness_residual"] == 0
    labels = graph.nodes.filter(kind="feature").select("node", "label", "activation").rows()
    assert labels == [("0/0@1", "A", 2.0), ("0/1@1", "B", 0.5), ("1/0@1", "C", 1.0)]


def test_the_hand_made_network_runs_as_a_model(tmp_path: Path) -> None:
    write(tmp_path / "three.safetensors")
    graph = attribute(load_trace(tmp_path / "three.safetensors"), (Edges(tolerance=0.0),))
    # without A, x3 = 2 and C's input is 2 - 3 < 0: C turns off and the output falls to 2.25
    assert graph.run(off=["0/0@1"]).tolist() == [pytest.approx([2.25])]
    assert graph.run(off=[]).tolist() == [pytest.approx([7.25])]
