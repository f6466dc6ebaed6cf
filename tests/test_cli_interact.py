"""`circuits interact` as a user meets it: what it writes, refuses, resumes, and leaves alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from fake_methods import Fake, FakeOutput, FakeTraced
from planted_gates import gate_graph
from polars.testing import assert_frame_equal
from sample_graph import sample_graph
from strategies import random_trace
from tiny_folder import tiny_folder

from circuits.cli import again
from circuits.cli.channels import Asked, Channel, method_of
from circuits.cli.main import run
from circuits.engine.attribute import attribute
from circuits.engine.edges import Edges
from circuits.engine.interact import interact
from circuits.engine.methods import Unit
from circuits.errors import Incompatible, UsageError
from circuits.extraction import asked
from circuits.graph.graph import Graph
from circuits.graph.influence import inflow, influence
from circuits.graph.io import load_run, load_run_trace, save_run
from circuits.planted import plant
from circuits.prompt import FeatureTarget, Logit, LogitDifference, TopLogits
from circuits.trace import Trace

TARGETS = sample_graph().targets
METHOD_OF = method_of


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


def call(*words: object) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return Outcome(code, out.getvalue(), err.getvalue())


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@dataclass(frozen=True)
class NoneHere(Fake):
    """A channel that has no work on any graph."""

    channel: ClassVar[str] = "qk"

    def units(self, graph: Graph, trace: Trace | None) -> list[Unit]:
        raise UsageError("No head has scores.")


class Fakes:
    """Methods by channel, in place of the real ones; what they were asked for is remembered."""

    def __init__(self) -> None:
        self.made: dict[str, Callable[[Asked], Fake]] = {
            "mlp": lambda asked: Fake(orders=tuple(range(2, asked.order + 1)), scale=float(asked.seed + 1)),
            "output": lambda _: FakeOutput(),
            "qk": lambda _: NoneHere(),
        }
        self.asked: list[Asked] = []

    def __call__(self, channel: Channel, asked: Asked) -> Fake:
        self.asked.append(asked)
        return self.made[channel](asked)


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    made = Fakes()
    monkeypatch.setattr("circuits.cli.channels.method_of", made)
    monkeypatch.setattr("circuits.engine.cache.use_compilation_cache", lambda: None)
    monkeypatch.delenv("COLUMNS", raising=False)
    return made


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A run, with a report somebody put into it."""
    save_run(sample_graph(), tmp_path / "r")
    (tmp_path / "r" / "report.html").write_text("mine")
    return tmp_path / "r"


def stopping(at: str) -> Callable[[str], None]:
    def stop(target: str) -> None:
        if target == at:
            raise KeyboardInterrupt

    return stop


# ------------------------------------------------------------------------------ what it writes


def test_a_run_gets_its_combinations_in_place(here: Path) -> None:
    done = call("interact", here, "--order", 3)
    assert done.code == 0, done.err
    expected = interact(sample_graph(), [FakeOutput(), Fake(orders=(2, 3))])
    graph = load_run(here)
    assert_frame_equal(graph.hyperedges, expected.hyperedges)
    assert_frame_equal(graph.edges, sample_graph().edges)
    assert graph.meta["interactions"]["mlp"]["found"] == {"2": len(TARGETS), "3": len(TARGETS)}
    assert graph.meta["interact"]["command"] == f"circuits interact {here} --order 3"
    assert graph.meta["command"] == sample_graph().meta["command"]  # how the run was made is not forgotten
    assert (here / "report.html").read_text() == "mine"
    assert {p.name for p in here.parent.iterdir()} == {"r"}


def test_a_new_run_leaves_the_old_one_alone(here: Path) -> None:
    before = content(here)
    done = call("interact", here, "-o", here.parent / "new", "--json", "-q")
    assert content(here) == before
    assert len(load_run(here.parent / "new").hyperedges) == 2 * len(TARGETS)
    assert done.document["run"] == str(here.parent / "new")
    assert call("interact", here, "-o", here.parent / "new").code == 1  # it exists
    assert call("interact", here, "-o", here.parent / "new", "--overwrite").code == 0


def weights(graph: Graph) -> list[float]:
    return [graph.nodes["target_weight"][graph.row(target)] for target in graph.targets]


def test_what_a_reader_sees(here: Path) -> None:
    done = call("interact", here)
    words = done.out
    assert f"{here} holds {2 * len(TARGETS)} combinations." in words
    strongest = words.split("Strongest inside features")[1].split("\n\n")[0].splitlines()
    graph = load_run(here)
    share = {
        target: weight * (at + 1) / inflow(graph)[graph.row(target)]
        for at, (target, weight) in enumerate(zip(TARGETS, weights(graph), strict=True))
    }
    best = max(share, key=share.__getitem__)
    assert len(strongest) == min(5, len(TARGETS)) + 1
    assert strongest[1].split()[1] == f"+{TARGETS.index(best) + 1}"
    assert f"→ output {json.dumps(' ' + best.removeprefix('logit:'))}" in strongest[1]
    assert "× " in strongest[1]
    assert f"circuits why {here}" in words
    assert "No combinations in qk: No head has scores." in done.err
    assert "No head has scores." in words.split("How they were found")[1]


def test_the_json_document_says_the_same(here: Path) -> None:
    document = call("interact", here, "--json").document
    graph = load_run(here)
    assert document["hyperedges"] == len(graph.hyperedges)
    assert document["found"] == {"output": {"2": len(TARGETS)}, "mlp": {"2": len(TARGETS)}}
    assert document["skipped"] == {"qk": "No head has scores."}
    shares = [row["share"] for row in document["strongest"]["mlp"]]
    assert len(shares) == min(5, len(TARGETS))
    assert shares == sorted(shares, reverse=True)
    assert document["flops"]["mlp"] == 1e6 * len(TARGETS)
    assert document["seconds"] > 0


def ten() -> tuple[str, ...]:
    """The features through which most of the influence on the second target flows."""
    graph = sample_graph()
    weight = pl.when(pl.col("node") == TARGETS[1]).then(1.0).otherwise(0.0)
    features = graph.nodes.filter(kind="feature")["node"]
    share = influence(graph.with_nodes(target_weight=weight))
    best = sorted(features, key=lambda node: -share[graph.row(node)])[:10]
    return tuple(sorted(best, key=graph.row))


TEN = ten()


def test_options_reach_the_methods(here: Path, fakes: Fakes) -> None:
    words = ("--order", 3, "--index", "FSII", "--players", 10, "--gates", 7, "--top", 9, "--budget", 512)
    done = call(
        "interact", here, *words, "--head", "5.3", "--head", "6.0", "--seed", 4, "--target", TARGETS[1]
    )
    assert done.code == 2  # a head was named, so nothing in qk is an error
    assert "No head has scores." in done.err
    asked = fakes.asked[0]
    assert (asked.order, asked.index, asked.players, asked.gates, asked.top) == (3, "FSII", TEN, 7, 9)
    assert (asked.budget, asked.heads, asked.seed, asked.target) == (512, ("5.3", "6.0"), 4, TARGETS[1])


# ------------------------------------------------------------------------------ concepts


def test_players_are_the_most_influential_features_or_what_a_spec_names(here: Path, fakes: Fakes) -> None:
    assert call("interact", here, "--players", "pos:13 & layer:1-30", "--channel", "output").code == 0
    graph = sample_graph()
    there = graph.nodes.filter((pl.col("kind") == "feature") & (pl.col("pos") == 13) & (pl.col("layer") > 0))
    assert list(fakes.asked[-1].players) == there["node"].to_list()
    for words, sentence in (
        ("1", "1 players: give 2 to"),
        ("999", "999 players"),
        ("pos:99", "positions go from"),
    ):
        refused = call("interact", here, "--players", words)
        assert refused.code != 0
        assert sentence in refused.err


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    save_run(gate_graph("and"), tmp_path / "and")
    return tmp_path / "and"


AB = ("--concept", "a=tok@0", "--concept", "b=tok@1")


def test_two_concepts_are_tested_and_stored(gate: Path, fakes: Fakes) -> None:
    done = call("interact", gate, *AB, "--channel", "output", "--seed", 3, "--backgrounds", 20)
    assert done.code == 0, done.err
    assert fakes.asked == []  # the test takes the place of the game
    assert "a and b on logit:y: AND: they act only together" in done.out
    graph = load_run(gate)
    row, share = graph.hyperedges.rows(named=True)
    assert (share["via"], share["weight"]) == ("0/0@7", pytest.approx(1.0))
    assert share["members"] == row["members"]
    assert (row["members"], row["target"], row["gate"], row["channel"]) == (
        ["a", "b"],
        "logit:y",
        "and",
        "output",
    )
    assert row["weight"] == pytest.approx(1.0)
    assert row["low"] <= row["weight"] <= row["high"]
    assert (row["estimated"], row["evaluations"], row["index"]) == (True, 4 * 22, "SII")
    assert graph.nodes.filter(node="tok@0")["concept"].to_list() == ["a"]
    told = graph.meta["concept_tests"][0]
    assert (told["gate"], told["concepts"]) == ("and", {"a": ["tok@0"], "b": ["tok@1"]})
    again_ = call("interact", gate, "--concept", "b", "--concept", "a", "--channel", "output", "--json")
    assert again_.code == 0, again_.err  # by name, and in another order, in place of the first
    assert load_run(gate).hyperedges["via"].to_list() == [None, "0/0@7"]


def test_three_concepts_are_tested_together_and_by_twos(gate: Path) -> None:
    done = call("interact", gate, *AB, "--concept", "c=tok@3,tok@4", "--channel", "output")
    assert done.code == 0, done.err
    graph = load_run(gate)
    whole = graph.hyperedges.filter(pl.col("via").is_null())
    kinds = {tuple(row["members"]): row["gate"] for row in whole.iter_rows(named=True)}
    assert kinds[("a", "b")] == "and"
    assert set(kinds) == {("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")}
    assert kinds[("a", "c")] == kinds[("b", "c")] == "additive"


def test_more_concepts_are_the_players_of_a_game(gate: Path, fakes: Fakes) -> None:
    more = [word for k in range(4) for word in ("--concept", f"c{k}=tok@{k}")]
    assert call("interact", gate, *more, "--channel", "output").code == 0
    assert [one.name for one in fakes.asked[0].concepts] == ["c0", "c1", "c2", "c3"]
    assert load_run(gate).nodes["concept"].drop_nulls().to_list() == ["c0", "c1", "c2", "c3"]


# ------------------------------------------------------------------------------ what it refuses


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("--channel", "mpl"), 2, "No channel 'mpl': there are output, mlp, qk. Did you mean 'mlp'?"),
        (("--channel", "qk"), 2, "No head has scores."),
        (("--index", "SHAP"), 2, "No index 'SHAP'"),
        (("--order", "1"), 2, "Invalid value for '--order'"),
        (("--target", "Maria"), 3, "No target 'Maria' in this graph. Did you mean 'logit:Mary'"),
        (("--concept", "a=tok@1", "--concept", "b=tok@1"), 2, "a and b overlap in tok@1"),
        (("--concept", "a=token:Marie"), 3, "Did you mean 'Mary'?"),
        (("--concept", "a=", "--concept", "b=tok@1"), 2, "Concept a is empty"),
        (("--concept", f"a={TARGETS[0]}", "--concept", "b=tok@1"), 2, f"names the target {TARGETS[0]}"),
        (("--concept", "a=tok@1", "--concept", "b=tok@2", "--backgrounds", "2"), 2, "2 backgrounds give no"),
        (("--concept", "a=tok@1", "--concept", "b=tok@2", "--index", "Moebius"), 2, "Moebius has one"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_no_work(
    here: Path, fakes: Fakes, words: tuple[str, ...], code: int, sentence: str
) -> None:
    ran: list[str] = []
    fakes.made["mlp"] = lambda _: Fake(ran=ran)
    before = content(here.parent)
    done = call("interact", here, *words)
    assert (done.code, done.out) == (code, "")
    assert sentence in done.err.splitlines()[-1]
    assert ran == []
    assert content(here.parent) == before


def test_a_run_that_is_none_is_refused(tmp_path: Path) -> None:
    done = call("interact", tmp_path / "r", "--json")
    assert (done.code, done.document["error"]["kind"]) == (3, "NotFound")
    (tmp_path / "r").mkdir()
    assert call("interact", tmp_path / "r").code == 4


def test_nothing_possible_anywhere_is_told(here: Path, fakes: Fakes) -> None:
    fakes.made = {channel: lambda _: NoneHere() for channel in fakes.made}
    before = content(here.parent)
    done = call("interact", here)
    assert (done.code, done.out) == (2, "")
    assert "There are no combinations to look for. No head has scores." in done.err
    assert content(here.parent) == before


# ------------------------------------------------------------------------------ stopping and going on


@pytest.mark.parametrize("stop", range(len(TARGETS)))
def test_interrupted_it_goes_on_where_it_stopped(here: Path, fakes: Fakes, stop: int) -> None:
    whole = interact(sample_graph(), [FakeOutput(), Fake()])
    before = content(here)
    fakes.made["mlp"] = lambda _: Fake(before=stopping(TARGETS[stop]))
    done = call("interact", here)
    finished = len(TARGETS) + stop
    kept = here.parent / "r.interact"
    assert done.code == 130
    assert f"{finished} finished units are kept in {kept}" in done.err
    assert content(here) == before
    assert len(list(kept.iterdir())) == finished

    ran: list[str] = []
    fakes.made |= {"mlp": lambda _: Fake(ran=ran), "output": lambda _: FakeOutput(ran=ran)}
    assert call("interact", here).code == 0
    assert ran == TARGETS[stop:]
    assert_frame_equal(load_run(here).hyperedges, whole.hyperedges)
    assert not kept.exists()


def test_other_settings_and_other_runs_take_nothing_of_what_was_kept(here: Path, fakes: Fakes) -> None:
    fakes.made["mlp"] = lambda asked: Fake(scale=float(asked.seed + 1), before=stopping(TARGETS[-1]))
    assert call("interact", here, "--channel", "mlp").code == 130
    ran: list[str] = []
    fakes.made["mlp"] = lambda asked: Fake(scale=float(asked.seed + 1), ran=ran)
    copied = here.parent / "r.interact"
    shutil.copytree(copied, here.parent / "copy")
    assert call("interact", here, "--channel", "mlp", "--seed", 1).code == 0
    assert ran == TARGETS
    assert load_run(here).hyperedges["weight"].max() == 2.0 * len(TARGETS)

    other = sample_graph().with_nodes(influence=pl.lit(0.5))
    save_run(other, here, overwrite=True)
    shutil.copytree(here.parent / "copy", copied)
    ran.clear()
    assert call("interact", here, "--channel", "mlp").code == 0
    assert ran == TARGETS


def test_a_broken_kept_unit_is_done_again(here: Path, fakes: Fakes) -> None:
    fakes.made["mlp"] = lambda _: Fake(before=stopping(TARGETS[2]))
    assert call("interact", here, "--channel", "mlp").code == 130
    first, second = sorted((here.parent / "r.interact").iterdir())
    (first / "hyperedges.parquet").write_bytes(b"PAR1")
    (second / "unit.json").write_text("{")
    ran: list[str] = []
    fakes.made["mlp"] = lambda _: Fake(ran=ran)
    assert call("interact", here, "--channel", "mlp").code == 0
    assert ran == TARGETS


def test_a_refused_write_leaves_run_and_units(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(here)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("circuits.graph.io._write_table", full)
        assert call("interact", here).code == 1
    assert content(here) == before
    assert len(list((here.parent / "r.interact").iterdir())) == 2 * len(TARGETS)


# ------------------------------------------------------------------------------ the trace, again


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def made(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of neurons, chosen for ten targets by their probability. Not to be changed."""
    path = tmp_path_factory.mktemp("runs") / "made"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("circuits.engine.cache.use_compilation_cache", lambda: None)
        few = ("--max-features", 20, "--select", "attribution:40")
        done = call("attribute", "w1 w2 w3 w4", "--model", model, "-o", path, *few)
    assert done.code == 0, done.err
    return path


def silent(*_: object) -> None:
    pass


def test_the_trace_of_a_run_is_extracted_again_with_the_same_features_and_targets(made: Path) -> None:
    graph = load_run(made)
    trace = again.trace_of(made, graph, silent)
    features = graph.nodes.filter(kind="feature")
    assert trace.features.activation.tolist() == pytest.approx(features["activation"].to_list())
    assert list(trace.targets.names) == graph.nodes.filter(kind="logit")["node"].to_list()
    weight = graph.nodes.filter(kind="logit")["target_weight"].to_numpy()
    assert np.allclose(trace.targets.weight, weight, atol=1e-6)


def test_a_method_that_needs_the_trace_gets_it(made: Path, fakes: Fakes, tmp_path: Path) -> None:
    seen: list[Trace | None] = []

    @dataclass(frozen=True)
    class Looking(FakeTraced):
        def units(self, graph: Graph, trace: Trace | None) -> list[Unit]:
            seen.append(trace)
            return list(super().units(graph, trace))

    fakes.made["qk"] = lambda _: Looking()
    done = call("interact", made, "-o", tmp_path / "r", "--channel", "qk")
    assert done.code == 0, done.err
    assert seen
    assert all(isinstance(trace, Trace) for trace in seen)


def test_a_model_that_has_gone_or_changed_is_told_and_the_rest_goes_on(
    made: Path, model: Path, fakes: Fakes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fakes.made["qk"] = lambda _: FakeTraced()
    graph = load_run(made)
    changed = {**graph.meta["model"], "fingerprint": "0" * 32}
    save_run(graph.with_meta(model=changed), tmp_path / "changed")
    gone = {**graph.meta["model"], "spec": str(tmp_path / "nowhere")}
    save_run(graph.with_meta(model=gone), tmp_path / "gone")
    save_run(sample_graph().with_meta(model=None), tmp_path / "unknown")
    for name, sentence in (
        ("changed", f"{model} is no longer the model the run was made with"),
        ("gone", "nowhere"),
        ("unknown", "does not say which model"),
    ):
        before = content(tmp_path / name)
        refused = call("interact", tmp_path / name, "--channel", "qk")
        assert refused.code != 0
        assert sentence in refused.err.splitlines()[-1]
        assert content(tmp_path / name) == before
        done = call("interact", tmp_path / name)
        assert done.code == 0, done.err
        assert f"No combinations in qk: {sentence}" in done.err or sentence in done.err
        assert set(load_run(tmp_path / name).meta["interactions"]) == {"output", "mlp"}


def test_a_trace_of_something_else_is_not_taken(made: Path) -> None:
    graph = load_run(made)
    renamed = graph.nodes.with_columns(
        node=pl.when(pl.col("kind") == "feature").then(pl.col("node") + "0").otherwise(pl.col("node"))
    )
    source, target = graph.ends
    values = (graph.edges["weight"].to_numpy(), graph.edges["strength"].to_numpy())
    other = Graph.of(renamed, (source, target), values, graph.meta)
    with pytest.raises(Incompatible, match="The trace lacks 40 features of the run"):
        again.trace_of(made, other, silent)


def test_a_kept_trace_is_used_and_kept(made: Path, fakes: Fakes, tmp_path: Path, monkeypatch) -> None:
    graph = load_run(made)
    trace = again.trace_of(made, graph, silent)
    save_run(graph, tmp_path / "r", trace=trace)
    fakes.made["qk"] = lambda _: FakeTraced()

    def never(*_: object) -> None:
        raise AssertionError("extracted although the run keeps its trace")

    monkeypatch.setattr("circuits.cli.again._extracted", never)
    assert call("interact", tmp_path / "r").code == 0
    kept = load_run_trace(tmp_path / "r")
    assert (kept.features.activation == trace.features.activation).all()


@pytest.mark.parametrize(
    ("entries", "weights", "expected"),
    [
        ([("logit:a", [" a"], 0.6), ("logit:b", [" b"], 0.2)], [0.75, 0.25], (TopLogits(1.0, 2),)),
        ([("logit:a", [" a"], 0.6), ("logit:b", [" b"], 0.2)], [0.5, 0.5], (Logit(" a"), Logit(" b"))),
        ([("logit:a", [" a"], 0.6)], [1.0], (Logit(" a"),)),
        ([("logit:a-b", [" a", " b"], None)], [1.0], (LogitDifference(" a", " b"),)),
        ([("1/2@3", [], None)], [1.0], (FeatureTarget("1/2@3"),)),
    ],
)
def test_targets_are_asked_for_as_they_were(entries: list, weights: list[float], expected: tuple) -> None:
    base = sample_graph().nodes.filter(kind="logit").head(len(entries))
    nodes = base.with_columns(
        node=pl.Series([name for name, _, _ in entries]), target_weight=pl.Series(weights)
    )
    told = [{"name": n, "tokens": t, "probability": p} for n, t, p in entries]
    none = np.zeros(0, np.int32)
    graph = Graph.of(nodes, (none, none), (np.zeros(0), np.zeros(0)), {"targets": told})
    assert asked.targets(graph) == expected


# ------------------------------------------------------------------------------ the real methods


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch, fakes: Fakes) -> None:
    monkeypatch.setattr("circuits.cli.channels.method_of", METHOD_OF)


def test_a_planted_combination_is_found_and_why_names_it(real: None, tmp_path: Path) -> None:
    planted = plant("and", seed=1, distractors=2)
    save_run(attribute(planted.trace, (Edges(),)), tmp_path / "r", trace=planted.trace)
    done = call("interact", tmp_path / "r", "--order", 3)
    assert done.code == 0, done.err
    graph = load_run(tmp_path / "r")
    members = set().union(*planted.concepts.values())
    for channel, target in (("output", planted.target), ("mlp", None)):
        pairs = graph.hyperedges.filter(
            (pl.col("channel") == channel) & (pl.col("order") == 2) & pl.col("via").is_null()
        )
        if channel == "mlp":
            strongest = pairs.sort(pl.col("weight").abs(), descending=True).row(0, named=True)
            assert set(strongest["members"]) == members
            assert strongest["gate"] == "and"
        assert target is None or set(pairs["target"]) == {target}
    assert "an AND" in call("why", tmp_path / "r").out


def test_concepts_of_a_planted_gate_are_told_by_the_command(real: None, tmp_path: Path) -> None:
    planted = plant("or", seed=1, distractors=2)
    save_run(attribute(planted.trace, (Edges(),)), tmp_path / "r", trace=planted.trace)
    words = [
        w for name, nodes in planted.concepts.items() for w in ("--concept", f"{name}={','.join(nodes)}")
    ]
    done = call("interact", tmp_path / "r", "--channel", "output", *words)
    assert done.code == 0, done.err
    assert "OR: either is enough" in done.out


def test_settings_no_estimator_takes_are_refused_before_any_work(real: None, here: Path) -> None:
    for words, sentence in (
        (("--order", "9", "--channel", "output", "--players", "4"), "Order 9 is larger than the 4 players"),
        (("--head", "99.0"), "does not say which model"),
        (("--budget", "3"), "budget"),
    ):
        before = content(here.parent)
        done = call("interact", here, *words)
        assert done.code != 0
        assert sentence in done.err.splitlines()[-1]
        assert content(here.parent) == before


def test_ctrl_c_leaves_the_run_and_says_how_to_go_on(tmp_path: Path) -> None:
    """A real press, in a process of its own: while programs are compiled there is time for it."""
    trace = random_trace(3, n=8, features=12)
    save_run(attribute(trace, (Edges(),)), tmp_path / "r", trace=trace)
    before = content(tmp_path)
    line = [sys.executable, "-c", "from circuits.cli import main; main()", "interact", str(tmp_path / "r")]
    line += ["--players", "4"]  # so that the first unit is soon done
    cold = {**os.environ, "CIRCUITS_CACHE": str(tmp_path.parent / f"{tmp_path.name}-cache")}
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cold)
    assert process.stderr is not None
    assert any(told.startswith("Combinations inside features") for told in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (130, "")
    assert "finished units are kept in" in err
    assert err.strip().endswith("Interrupted: nothing half-written is left.")
    assert {name: data for name, data in content(tmp_path).items() if "r.interact" not in name} == before
    assert content(tmp_path / "r.interact")
