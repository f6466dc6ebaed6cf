"""`circuits group` as a user meets it: what it finds, writes, refuses and leaves alone."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import pytest
import yaml
from planted_groups import split

from circuits.cli.main import run
from circuits.graph.concept_graph import concept_graph
from circuits.graph.concepts import Concept, known
from circuits.graph.io import load_run, load_run_trace, save_run
from circuits.plot import network
from circuits.query.grouping.group import origins


def call(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    graph, trace, _ = split("nested-and", parts=4)
    save_run(graph, tmp_path / "run", trace=trace)
    (tmp_path / "run" / "report.html").write_text("mine")
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_nothing_is_written_unless_asked_for(place: Path) -> None:
    before = files(place / "run")
    code, out, err = call("group", place / "run", "--quiet")
    assert (code, err) == (0, "")
    assert "Which concepts are there?" in out
    assert f"circuits group {place / 'run'} --save" in out.replace("\n", "")
    assert files(place / "run") == before


def test_groups_are_kept_in_the_run_with_everything_else_that_lies_there(place: Path) -> None:
    before = load_run(place / "run")
    code, _, _ = call("group", place / "run", "--save", "--quiet")
    after = load_run(place / "run")
    assert code == 0
    assert known(after)
    assert {entry["by"] for entry in origins(after).values()} == {"auto"}
    assert after.meta["grouping"]["seed"] == 0
    assert "run" not in after.meta
    assert after.edges.equals(before.edges)
    assert after.nodes.drop("concept").equals(before.nodes.drop("concept"))
    assert (place / "run" / "report.html").read_text() == "mine"
    assert load_run_trace(place / "run").nbytes > 0
    # the same again shows what is kept, and finds nothing anew
    code, out, _ = call("group", place / "run", "--json")
    told = json.loads(out)
    assert code == 0
    assert set(told["concepts"]) == {one.name for one in known(after)}
    assert told["meta"]["query"] == "groups"
    assert not told["saved"]


def test_edits_are_made_in_order_and_kept(place: Path) -> None:
    node = load_run(place / "run").nodes.filter(kind="feature")["node"][0]
    where = place / "run"
    assert call("group", where, "--add", f"one={node}", "--add", "words=words", "--save", "-q")[0] == 0
    code, out, _ = call("group", where, "--rename", "words=the words", "--drop", "one", "--save", "-q")
    assert code == 0
    assert f"Wrote{where}." in "".join(out.split())  # a long path stands on a line of its own
    assert origins(load_run(where)) == {"the words": {"by": "hand"}}
    assert call("group", where, "--auto", "--save", "-q")[0] == 0
    told = origins(load_run(where))
    assert told["the words"] == {"by": "hand"}
    assert {entry["by"] for entry in told.values()} == {"auto", "hand"}
    code, out, _ = call("group", where, *(w for name in told for w in ("--drop", name)), "-q")
    assert (code, "No concepts are left." in out) == (0, True)


@pytest.mark.parametrize("name", ["c.json", "c.yaml"])
def test_concepts_go_from_one_run_into_another(place: Path, name: str) -> None:
    save_run(load_run(place / "run"), place / "other")
    assert call("group", place / "run", "--export", place / name, "-q")[0] == 0
    told = yaml.safe_load((place / name).read_text())
    code, _, _ = call("group", place / "other", "--import", place / name, "--save", "-q")
    assert code == 0
    other = load_run(place / "other")
    assert {one.name: list(one.nodes) for one in known(other)} == {
        key: entry["nodes"] for key, entry in told["concepts"].items()
    }
    assert {entry["by"] for entry in origins(other).values()} == {"auto"}


@pytest.mark.parametrize(
    ("words", "exit_code", "said"),
    [
        (("--drop", "nope"), 3, "No concept 'nope' in this run: it has none."),
        (("--rename", "a"), 2, "write OLD=NEW"),
        (("--add", "x"), 2, "write NAME=SPEC"),
        (("--add", "x=tok@77"), 3, "No node 'tok@77'"),
        (("--share", "2"), 2, "share 2.0 is not a share"),
        (("--import", "nowhere.json"), 3, "There is no file nowhere.json."),
        (("--export", "c.txt"), 2, "end it in .json or .yaml"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_nothing_is_written(
    place: Path, words: tuple[str, ...], exit_code: int, said: str
) -> None:
    before = files(place / "run")
    code, out, err = call("group", place / "run", *words, "--save", "-q")
    assert (code, out) == (exit_code, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert files(place / "run") == before


@pytest.mark.parametrize(
    ("text", "said"), [('"x', "neither JSON nor YAML"), ("a: 3", "neither a spec nor a list")]
)
def test_files_that_hold_no_concepts_are_refused(place: Path, text: str, said: str) -> None:
    (place / "c.yaml").write_text(text)
    code, _, err = call("group", place / "run", "--import", place / "c.yaml", "-q")
    assert code == 4
    assert said in err


def test_an_existing_file_is_not_written_over_unless_asked(place: Path) -> None:
    (place / "c.json").write_text("mine")
    code, _, err = call("group", place / "run", "--export", place / "c.json", "-q")
    assert (code, "exists" in err) == (1, True)
    assert (place / "c.json").read_text() == "mine"
    assert call("group", place / "run", "--export", place / "c.json", "--overwrite", "-q")[0] == 0


def test_the_concepts_of_a_run_are_drawn_each_as_one_node(place: Path) -> None:
    picture = place / "concepts.svg"
    code, _, err = call("plot", place / "run", "--kind", "concepts", "-o", picture, "-q")
    assert (code, "circuits group" in err, picture.exists()) == (2, True, False)
    assert call("group", place / "run", "--save", "-q")[0] == 0
    assert call("plot", place / "run", "--kind", "concepts", "-o", picture, "-q")[0] == 0
    drawn = picture.read_text()
    graph = load_run(place / "run")
    names = {one.name for one in known(graph)}
    assert all(f"node:{name}" in drawn for name in names)
    grouped = {node for one in known(graph) for node in one.nodes}
    assert not any(f"node:{node}" in drawn for node in grouped)


@pytest.mark.parametrize("grouped", [0, 1, 3])
def test_the_legend_says_what_circles_are_and_ends_within_the_picture(grouped: int) -> None:
    graph, _, _ = split("and", parts=2, distractors=0)
    features = graph.nodes.filter(kind="feature")["node"].to_list()
    pairs = [features[2 * i : 2 * i + 2] for i in range(grouped)]
    if grouped:
        graph = concept_graph(graph, [Concept(f"c{i}", tuple(pair)) for i, pair in enumerate(pairs)])
    axes = network(graph, nodes=10)
    texts = {text.get_text(): text for text in axes.texts}
    assert {0: "feature", 1: "feature or concept", 3: "concept"}[grouped] in texts
    last = next(text for said, text in texts.items() if said.startswith("area:"))
    end = last.get_window_extent(axes.figure.canvas.get_renderer()).x1  # type: ignore[attr-defined]
    assert end <= axes.figure.get_size_inches()[0] * axes.figure.dpi
