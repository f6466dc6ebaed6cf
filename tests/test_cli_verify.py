"""`circuits verify` as a user meets it: what it writes into a run, tells, refuses and leaves alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from sample_graph import sample_graph
from strategies import random_trace
from test_cli_interact import call, content
from tiny_folder import tiny_folder

from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.graph.io import load_run, load_run_trace, save_run


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run of a tiny model, its trace kept, a file of somebody else's in it."""
    folder = tmp_path_factory.mktemp("verify")
    model = tiny_folder(folder / "model")
    run = folder / "run"
    words = ("attribute", "w3 w14 w15 w9 w2", "--model", model, "--dictionary", "neurons", "--select")
    done = call(*words, "attribution:40", "--keep-trace", "--no-labels", "-o", run, "--quiet")
    assert done.code == 0, done.err
    (run / "notes.txt").write_text("mine")
    return run


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_verdicts_are_written_into_the_run_and_told_by_why_and_info(run: Path) -> None:
    before = load_run(run)
    done = call("verify", run, "--budget", "8")
    assert done.code == 0, done.err
    assert "Interventions, all else held" in done.err
    assert "Does what the graph says of the logit" in done.out
    assert f"circuits why {run}" in done.out
    graph, target = load_run(run), before.targets[0]
    assert len(graph.verdicts) >= 16
    assert set(graph.verdicts["target"]) == {target}
    assert graph.nodes.equals(before.nodes)
    assert graph.edges.equals(before.edges)
    assert (run / "notes.txt").read_text() == "mine"
    assert load_run_trace(run).prompt.text == "w3 w14 w15 w9 w2"
    entry = graph.meta["verified"][target]
    assert entry["command"] == f"circuits verify {run} --budget 8"
    assert entry["frozen"]["hold"] == entry["frozen"]["claims"]
    assert graph.meta["command"] == before.meta["command"]
    told = " ".join(call("why", run).out.split())
    assert "Tried on the model with patterns, norms and all but the run's features held, all" in told
    assert "VERIFIED" in told
    info = call("info", run).out
    assert "claims hold frozen" in info
    assert "verified" in info


def test_the_document_holds_every_verdict(run: Path) -> None:
    done = call("verify", run, "--budget", "4", "--json", "--quiet")
    assert done.err == ""
    document = done.document
    graph = load_run(run)
    assert document["holds"] is True
    assert document["forced"] == []
    assert [row["verdict"] for row in document["verdicts"]] == graph.verdicts["verdict"].to_list()
    assert [row["measured"] for row in document["verdicts"]] == graph.verdicts["measured"].to_list()
    assert document["meta"]["summary"]["budget"] == 4


def test_other_targets_keep_their_verdicts(run: Path) -> None:
    one, other = load_run(run).targets[:2]
    assert call("verify", run, "--budget", "3", "--target", one, "--quiet").code == 0
    assert call("verify", run, "--budget", "2", "--target", other, "--quiet").code == 0
    graph = load_run(run)
    assert set(graph.verdicts["target"]) == {one, other}
    assert [graph.meta["verified"][name]["interventions"] for name in (one, other)] == [3, 2]


def test_an_edge_tampered_with_is_shown_as_failed(run: Path) -> None:
    graph = load_run(run)
    target = graph.targets[0]
    into = pl.col("target").cast(pl.String) == target
    features = pl.col("source").cast(pl.String).str.contains("/")
    factor = pl.when(into & features).then(-3.0).otherwise(1.0)
    edges = graph.edges.with_columns(
        (pl.col(name) * factor).cast(pl.Float32) for name in ("weight", "strength")
    )
    tampered = graph.__class__(graph.nodes, edges, graph.hyperedges, graph.meta)
    save_run(tampered, run, overwrite=True, trace=load_run_trace(run))
    done = call("verify", run, "--budget", "6", "--quiet")
    assert done.code == 0
    assert "NOT CONFIRMED" in done.out
    assert "NO, not even frozen" in done.out
    assert "NOT CONFIRMED" in call("why", run).out
    assert "FAILED" in call("info", run).out
    page = run.parent / "page.html"
    assert call("report", run, "-o", page, "--quiet").code == 0
    assert "NOT CONFIRMED" in page.read_text()


def test_another_model_is_refused_unless_forced_and_then_marked(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    for part, prefix in (("model", ""), ("dictionary", "neurons:")):
        manifest["meta"][part]["fingerprint"] = prefix + "0" * 32
    (run / "manifest.json").write_text(json.dumps(manifest))
    before = content(run)
    refused = call("verify", run, "--budget", "3")
    assert refused.code == 4
    assert "is no longer the model the run was made with" in refused.err
    assert "--force" in refused.err
    assert content(run) == before
    forced = call("verify", run, "--budget", "3", "--force")
    assert forced.code == 0
    assert "Forced: " in forced.err
    assert load_run(run).verdicts["forced"].all()
    assert "which was forced" in " ".join(call("why", run).out.split())
    assert "forced on another model" in " ".join(call("info", run).out.split())


def test_a_run_that_does_not_say_its_model_is_told_how_to_get_one(tmp_path: Path) -> None:
    save_run(attribute(random_trace(0), (Edges(),)), tmp_path / "run")
    done = call("verify", tmp_path / "run")
    assert done.code == 4
    assert "attribute the prompt itself, with --model and --dictionary" in done.err


def test_what_is_asked_wrongly_is_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    save_run(sample_graph(), tmp_path / "run")
    before = content(tmp_path / "run")
    for words, code, said in (
        (("--target", "logit:Marie"), 3, "No target 'logit:Marie'"),
        (("--target", "24/1042@13"), 2, "is none of this run's targets"),
        (("--budget", "0"), 2, "--budget"),
    ):
        done = call("verify", tmp_path / "run", *words)
        assert done.code == code
        assert said in done.err
        assert "Loading" not in done.err
    assert content(tmp_path / "run") == before


def test_an_interruption_leaves_the_run_as_it_was(run: Path, monkeypatch) -> None:
    from circuits.intervene.session import Session

    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = content(run)
    monkeypatch.setattr(Session, "run", pressed)
    done = call("verify", run, "--budget", "3")
    assert done.code == 130
    assert content(run) == before
