from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal
from strategies import graphs, random_graph, random_trace

from circuits.errors import InvalidFile, NotFound, OutputExists, WriteFailed
from circuits.files import atomic
from circuits.graph.graph import Graph
from circuits.graph.io import load_run, load_run_trace, save_run
from circuits.schema import HYPEREDGE_SCHEMA
from circuits.trace_io import flatten

META = {"prompt": {"text": "naïve «x»"}, "scores": {"replacement": 0.5}, "list": [1, None, "a"]}


def with_hyperedge(graph: Graph) -> Graph:
    row = dict.fromkeys(HYPEREDGE_SCHEMA, None) | {
        "hyperedge": "h0",
        "members": ["tok@0", "0/0@0"],
        "target": graph.targets[0],
        "order": 2,
        "weight": 0.5,
        "estimated": False,
    }
    return replace(graph, hyperedges=pl.DataFrame([row], schema=HYPEREDGE_SCHEMA), meta=META)


def assert_same(left: Graph, right: Graph) -> None:
    for table in ("nodes", "edges", "hyperedges"):
        assert_frame_equal(getattr(left, table), getattr(right, table), check_exact=True)
    assert left.meta == right.meta


@given(graphs())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_saved_is_loaded(tmp_path: Path, graph: Graph) -> None:
    save_run(graph, tmp_path / "run", overwrite=True)
    assert_same(load_run(tmp_path / "run"), graph)


def test_hyperedges_meta_and_trace_come_back(tmp_path: Path) -> None:
    graph, trace = with_hyperedge(random_graph(0)), random_trace(0)
    graph.save(tmp_path / "run", trace=trace)
    assert_same(load_run(tmp_path / "run"), graph)
    kept, header = flatten(load_run_trace(tmp_path / "run"))
    wanted, header_wanted = flatten(trace)
    assert header == header_wanted
    assert all(np.array_equal(kept[key], wanted[key]) for key in wanted)


def test_a_run_reads_without_this_package(tmp_path: Path) -> None:
    """Ids are rows of nodes.parquet, edges sorted by (target, source), checksums are SHA-256."""
    graph = random_graph(5)
    save_run(graph, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    nodes = pl.read_parquet(tmp_path / "run" / "nodes.parquet")
    edges = pl.read_parquet(tmp_path / "run" / "edges.parquet")
    assert manifest["rows"] == {"nodes": len(nodes), "edges": len(edges), "hyperedges": 0}
    for name, digest in manifest["checksums"].items():
        assert hashlib.sha256((tmp_path / "run" / name).read_bytes()).hexdigest() == digest
    assert edges.schema["source"] == edges.schema["target"] == pl.Int32
    assert (edges["source"] < edges["target"]).all()
    assert edges.select("target", "source").rows() == sorted(edges.select("target", "source").rows())
    names = nodes["node"]
    named = [(names[s], names[t], w, x) for s, t, w, x in edges.rows()]
    assert named == graph.edges.cast({"source": pl.String, "target": pl.String}).rows()


def test_tables_written_without_enums_are_read(tmp_path: Path) -> None:
    graph = random_graph(5)
    save_run(graph, tmp_path / "run")
    plain = graph.nodes.cast({"kind": pl.String, "gate": pl.String, "layer": pl.Int64})
    rewrite(tmp_path / "run", "nodes", plain)
    assert_same(load_run(tmp_path / "run"), graph)


def rewrite(run: Path, name: str, table: pl.DataFrame) -> None:
    """Replaces a table and its checksum, as an honest other program would."""
    table.write_parquet(run / f"{name}.parquet")
    manifest = json.loads((run / "manifest.json").read_text())
    digest = hashlib.sha256((run / f"{name}.parquet").read_bytes()).hexdigest()
    manifest["checksums"][f"{name}.parquet"] = digest
    (run / "manifest.json").write_text(json.dumps(manifest))


def edit(run: Path, **entries: Any) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps(manifest | entries))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def shift(run: Path) -> None:
    table = pl.read_parquet(run / "edges.parquet")
    rewrite(run, "edges", table.with_columns(target=pl.col("target") + 1000))


def turn(run: Path) -> None:
    table = pl.read_parquet(run / "edges.parquet")
    rewrite(run, "edges", table.rename({"source": "target", "target": "source"}).select(*table.columns))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


DAMAGE = {
    "a flipped bit": (lambda run: flip(run / "edges.parquet"), "tampered with or truncated: edges.parquet"),
    "a short file": (lambda run: truncate(run / "nodes.parquet"), "truncated: nodes.parquet has SHA-256"),
    "a missing table": (lambda run: (run / "nodes.parquet").unlink(), "incomplete: nodes.parquet missing"),
    "no manifest": (lambda run: (run / "manifest.json").unlink(), "is no run: it holds no manifest.json"),
    "half a manifest": (lambda run: truncate(run / "manifest.json"), "truncated or no JSON"),
    "another version": (lambda run: edit(run, version=7), "version 7: this package reads version 1"),
    "another format": (lambda run: edit(run, format="trace"), "does not say format 'run'"),
    "no checksums": (lambda run: edit(run, checksums=None), "manifest.json lacks checksums"),
    "other row counts": (
        lambda run: edit(run, rows={"nodes": 3, "edges": 0, "hyperedges": 0}),
        "rows instead of 3",
    ),
    "foreign ids": (shift, "of only"),
    "edges turned round": (turn, "runs against the order"),
    "a column less": (
        lambda run: rewrite(run, "nodes", pl.read_parquet(run / "nodes.parquet").drop("pos")),
        "lacks pos",
    ),
    "other edges": (
        lambda run: rewrite(run, "edges", pl.DataFrame({"a": [1]})),
        "rows instead of",
    ),
    "no table at all": (
        lambda run: (
            (run / "nodes.parquet").write_text("x"),
            edit(run, checksums=sums_of(run)),
        ),
        "nodes.parquet is no Parquet file",
    ),
}


def sums_of(run: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in run.glob("*.parquet")}


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named(case: str, tmp_path: Path) -> None:
    save_run(random_graph(1), tmp_path / "run")
    damage, sentence = DAMAGE[case]
    damage(tmp_path / "run")
    with pytest.raises(InvalidFile) as caught:
        load_run(tmp_path / "run")
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 4


def test_absent_runs_and_other_directories(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"No run at .*nowhere"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(InvalidFile, match="is no run"):
        load_run(tmp_path)
    save_run(random_graph(0), tmp_path / "run")
    with pytest.raises(NotFound, match="holds no trace"):
        load_run_trace(tmp_path / "run")


def test_a_damaged_trace_is_refused_and_the_graph_still_loads(tmp_path: Path) -> None:
    save_run(random_graph(0), tmp_path / "run", trace=random_trace(0))
    flip(tmp_path / "run" / "trace.safetensors")
    with pytest.raises(InvalidFile, match=r"truncated: trace\.safetensors"):
        load_run_trace(tmp_path / "run")
    assert len(load_run(tmp_path / "run").nodes) > 0


def test_nothing_is_replaced_unasked_and_only_runs_are_replaced(tmp_path: Path) -> None:
    old, new = random_graph(0), random_graph(1)
    save_run(old, tmp_path / "run", trace=random_trace(0))
    with pytest.raises(OutputExists, match="--overwrite"):
        save_run(new, tmp_path / "run")
    assert_same(load_run(tmp_path / "run"), old)
    save_run(new, tmp_path / "run", overwrite=True)
    assert_same(load_run(tmp_path / "run"), new)
    assert not (tmp_path / "run" / "trace.safetensors").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1").write_text("years of work")
    (tmp_path / "thesis" / "manifest.json").write_text('{"name": "a web page"}')
    for place in (tmp_path / "thesis", tmp_path / "thesis" / "chapter1"):
        with pytest.raises(OutputExists, match="no run"):
            save_run(new, place, overwrite=True)
    assert (tmp_path / "thesis" / "chapter1").read_text() == "years of work"


def test_a_failed_save_leaves_the_old_run_and_nothing_else(tmp_path: Path) -> None:
    old = random_graph(0)
    save_run(old, tmp_path / "run")
    with pytest.raises(InvalidFile, match="meta cannot be written as JSON"):
        save_run(random_graph(1).with_meta(model=object()), tmp_path / "run", overwrite=True)
    with pytest.raises(InvalidFile, match="meta cannot be written as JSON"):
        save_run(random_graph(1).with_meta(loss=float("nan")), tmp_path / "run", overwrite=True)
    assert_same(load_run(tmp_path / "run"), old)
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("failing", ["nodes.parquet", "trace.safetensors", "manifest.json"])
def test_a_full_disk_leaves_nothing(failing: str, tmp_path: Path) -> None:
    """A limit on file sizes stands in for a full disk: the kernel refuses the write."""
    import resource
    import signal

    trace = random_trace(0)
    graph = random_graph(0).with_meta(note="x" * 30_000 if failing == "manifest.json" else "")
    if failing == "nodes.parquet":
        graph = graph.with_nodes(label=pl.Series([os.urandom(1000).hex() for _ in range(len(graph.nodes))]))
    limit = 20_000 if failing != "trace.safetensors" else 12_000
    ours = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, ours[1]))
    try:
        with pytest.raises(WriteFailed, match="nothing was left there"):
            save_run(graph, tmp_path / "run", trace=trace if failing == "trace.safetensors" else None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, ours)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_swap_puts_the_old_directory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "old").write_text("old")

    def interrupt(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "run", directory=True, overwrite=True) as new:
        (new / "new").write_text("new")
    assert (tmp_path / "run" / "old").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["run"]


def test_an_interrupted_save_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, "write_parquet", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_run(random_graph(0), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
