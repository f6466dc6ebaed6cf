"""`circuits import`, `export` and `validate` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exchange_documents import austin
from sample_interactions import sample_interactions

import circuits
from circuits.cli.main import run

MADE = Path(__file__).parent / "fixtures" / "circuit_tracer_graph"


@pytest.fixture
def a_run(tmp_path):
    sample_interactions().save(tmp_path / "run")
    return str(tmp_path / "run")


def plain(text):
    return "".join(text.split())


def test_import_ask_export(tmp_path, capsys):
    (tmp_path / "a.json").write_text(json.dumps(austin()))
    there = [str(tmp_path / name) for name in ("a.json", "run", "b.json")]
    assert run(["import", there[0], "-o", there[1]]) == 0
    out = plain(capsys.readouterr().out)
    for said in (
        "attribution-graph JSON, by somebody's tool 3",
        "6 words, 3 features, 2 outputs, 1 error, 9 edges, 2 concepts",
        "biases, pre-activations and how features respond",
        f"circuits why {there[1]}",
    ):
        assert plain(said) in out
    assert run(["why", there[1]]) == 0
    assert plain("say Austin") in plain(capsys.readouterr().out)
    assert run(["ask", there[1], "paths from concept:Texas to Austin"]) == 0
    assert plain("Texas") in plain(capsys.readouterr().out)
    assert run(["export", there[1], "-o", there[2]]) == 0
    assert plain("12 nodes, 9 links, 2 concepts") in plain(capsys.readouterr().out)
    one, other = (json.loads(Path(there[at]).read_text()) for at in (0, 2))
    for part in ("metadata", "qParams", "not ours"):
        assert one[part] == other[part]
    assert run(["validate", there[2]]) == 0


def test_one_json_document_each(tmp_path, a_run, capsys):
    out = str(tmp_path / "a.json")
    assert run(["export", a_run, "-o", out, "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    document = json.loads(Path(out).read_text())
    assert told["counts"]["nodes"] == len(document["nodes"])
    assert told["counts"]["links"] == len(document["links"])
    assert told["left_out"]["links"] > 0
    assert told["bytes"] == Path(out).stat().st_size
    assert document["metadata"]["slug"] == "a"
    assert run(["import", out, "-o", str(tmp_path / "again"), "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    graph = circuits.load_run(a_run)
    assert told["counts"]["hyperedge"] == len(graph.hyperedges)
    again = circuits.load_run(tmp_path / "again")
    assert again.meta == graph.meta
    for table in ("nodes", "edges", "hyperedges", "heads", "verdicts"):
        assert getattr(again, table).equals(getattr(graph, table))


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("a.json", ["--plain"], "hyperedges"),
        ("a.gexf", ["--nodes", "5"], "of the run 66 nodes"),
        ("a.graphml", [], "GraphML"),
        ("tables", [], "CSV tables"),
        ("a.xml", ["--format", "graphml"], "GraphML"),
    ],
)
def test_every_format_and_what_it_has_no_place_for(name, options, says, tmp_path, a_run, capsys):
    out = tmp_path / name
    assert run(["export", a_run, "-o", str(out), *options]) == 0
    assert plain(says) in plain(capsys.readouterr().out)
    assert out.exists()
    before = sorted(place.stat().st_mtime_ns for place in [out, *out.rglob("*")])
    assert run(["export", a_run, "-o", str(out), *options]) == 1
    assert plain("exists: choose another path, or pass --overwrite") in plain(capsys.readouterr().err)
    assert sorted(place.stat().st_mtime_ns for place in [out, *out.rglob("*")]) == before
    assert run(["export", a_run, "-o", str(out), *options, "--overwrite"]) == 0


def test_a_file_of_circuit_tracer_from_end_to_end(tmp_path, capsys):
    there = [str(tmp_path / name) for name in ("run", "out.json", "report.html")]
    assert run(["import", str(MADE / "graph.pt"), "-o", there[0]]) == 0
    assert plain("circuit-tracer graph") in plain(capsys.readouterr().out)
    assert run(["why", there[0]]) == 0
    assert run(["info", there[0]]) == 0
    assert plain("imported") in plain(capsys.readouterr().out)
    assert run(["export", there[0], "-o", there[1]]) == 0
    assert run(["validate", there[1]]) == 0
    assert run(["report", there[0], "-o", there[2]]) == 0
    capsys.readouterr()
    assert run(["verify", there[0]]) == 4
    assert plain("features respond to what flows into them is unknown") in plain(capsys.readouterr().err)
    assert run(["interact", there[0]]) != 0
    assert plain("unknown") in plain(capsys.readouterr().err)
    assert run(["import", str(MADE / "graph.pt"), "-o", there[0], "--gate", "relu", "--overwrite"]) == 0
    capsys.readouterr()
    assert run(["verify", there[0]]) == 4
    assert plain("does not say which model, dictionary and prompt") in plain(capsys.readouterr().err)
    assert run(["interact", there[0], "--channel", "output"]) == 0
    assert len(circuits.load_run(there[0]).hyperedges)


def test_paths_are_checked_before_any_work(tmp_path, a_run, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("mine")
    (tmp_path / "a.json").write_text(json.dumps(austin()))
    a_file, mine = str(tmp_path / "a.json"), str(tmp_path / "mine")
    assert run(["import", a_file, "-o", mine, "--overwrite"]) == 1
    assert run(["export", a_run, "-o", mine, "--overwrite"]) == 1
    assert run(["export", a_run, "-o", mine, "--format", "neuronpedia", "--overwrite"]) == 1
    assert run(["export", a_run, "-o", str(tmp_path / "a.png")]) == 2
    assert run(["export", str(tmp_path / "none"), "-o", str(tmp_path / "b.json")]) == 3
    assert run(["import", str(tmp_path / "none"), "-o", str(tmp_path / "r")]) == 3
    assert run(["validate", str(tmp_path / "none")]) == 3
    assert [place.name for place in (tmp_path / "mine").iterdir()] == ["diary.txt"]
    assert "Traceback" not in capsys.readouterr().err


def test_texts_that_would_steer_a_terminal_are_shown(tmp_path, capsys):
    document = austin()
    document["metadata"]["info"]["generator"]["name"] = "\x1b[31mred\x1b[0m"
    document["nodes"][7]["layer"] = "\x1b]0;title\x07"
    (tmp_path / "a.json").write_text(json.dumps(document))
    assert run(["validate", str(tmp_path / "a.json")]) == 4
    document["nodes"][7]["layer"] = "1"
    (tmp_path / "b.json").write_text(json.dumps(document))
    assert run(["import", str(tmp_path / "b.json"), "-o", str(tmp_path / "run")]) == 0
    told = capsys.readouterr()
    assert "\x1b" not in told.out + told.err
