"""`circuits query`: every format holds the same rows; refusals are one sentence and an exit code."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from sample_interactions import sample_interactions

import circuits
from circuits.cli.main import run
from circuits.query.sql.tables import MACROS, TABLES

EDGES = "SELECT source, weight FROM edges ORDER BY abs(weight) DESC, source, target LIMIT 7"
LISTS = "SELECT hyperedge, members, weight FROM hyperedges ORDER BY hyperedge LIMIT 3"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(place / "cache"))
        sample_interactions().save(place / "mary")
        yield place / "mary"


def asked(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert run(["query", *map(str, words)]) == code
    return capsys.readouterr()


def told(capsys: pytest.CaptureFixture[str], *words: object, code: int) -> str:
    out, err = asked(capsys, *words, code=code)
    assert out == ""
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    return err


def test_every_format_holds_the_same_rows(capsys, saved: Path, tmp_path: Path) -> None:
    for query in (EDGES, LISTS):
        wanted = circuits.sql(saved, query).table
        assert len(wanted) > 0
        from_json = json.loads(asked(capsys, saved, query, "--format", "json")[0])
        assert from_json == wanted.to_dicts()
        assert json.loads(asked(capsys, saved, query, "--json")[0])["rows"] == wanted.to_dicts()
        from_csv = pl.read_csv(io.StringIO(asked(capsys, saved, query, "--format", "csv")[0]))
        assert from_csv.columns == wanted.columns
        assert from_csv["weight"].to_list() == pytest.approx(wanted["weight"].to_list(), rel=1e-6)
        if "members" in wanted.columns:
            assert [json.loads(text) for text in from_csv["members"]] == wanted["members"].to_list()
        for suffix in ("csv", "json", "parquet"):
            file = tmp_path / f"rows.{suffix}"
            asked(capsys, saved, query, "-o", file, "--overwrite")
        assert pl.read_parquet(tmp_path / "rows.parquet").equals(wanted)
        assert json.loads((tmp_path / "rows.json").read_text()) == wanted.to_dicts()
        assert (tmp_path / "rows.csv").read_text() == asked(capsys, saved, query, "--format", "csv")[0]


def test_a_table_shows_every_column_and_says_how_many_rows(capsys, saved: Path) -> None:
    out, _ = asked(capsys, saved, LISTS)
    lines = out.splitlines()
    assert lines[0].split() == ["hyperedge", "members", "weight"]
    assert lines[-1] == "3 rows."
    wanted = circuits.sql(saved, LISTS).table.row(0)
    assert ", ".join(wanted[1]) in lines[1]
    out, _ = asked(capsys, saved, "FROM edges")
    assert "First 100 rows of more." in out
    assert "--limit-rows" in out
    out, _ = asked(capsys, saved, "FROM edges", "--limit-rows", 5)
    assert "First 5 rows of more." in out


def test_what_was_left_out_of_a_stream_is_said_beside_it(capsys, saved: Path) -> None:
    out, err = asked(capsys, saved, "FROM edges", "--format", "csv", "--limit-rows", 4)
    assert len(out.splitlines()) == 5
    assert err == "First 4 rows of more.\n"
    out, err = asked(capsys, saved, "FROM edges", "--format", "csv")
    assert (len(out.splitlines()), err) == (331, "")
    assert json.loads(asked(capsys, saved, "FROM edges", "--json", "--limit-rows", 4)[0])["more"] is True


def test_numbers_that_json_lacks_are_null(capsys, saved: Path) -> None:
    query = "SELECT 'nan'::DOUBLE AS a, 'inf'::DOUBLE AS b, ['nan'::DOUBLE] AS c"
    for words in (("--format", "json"), ("--format", "json", "--untrusted")):
        assert json.loads(asked(capsys, saved, query, *words)[0]) == [{"a": None, "b": None, "c": [None]}]


def test_a_query_is_read_from_stdin(capsys, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("SELECT count(*) AS n\nFROM edges -- all\n"))
    assert json.loads(asked(capsys, saved, "-", "--format", "json")[0]) == [{"n": 330}]


def test_the_schema_lists_tables_columns_macros_and_examples_that_run(capsys, saved: Path) -> None:
    out, _ = asked(capsys, saved, "--schema")
    document = json.loads(asked(capsys, saved, "--schema", "--json")[0])
    for name, table in TABLES.items():
        assert f"{name}: " in out
        assert document["tables"][name]["columns"] == dict(table.columns)
        assert (
            document["tables"][name]["rows"]
            == circuits.sql(saved, f"SELECT count(*) AS n FROM {name}").table.item()
        )
        assert all(column in out for column in table.columns)
    for name, macro in MACROS.items():
        assert f"{name}({macro.parameters})" in out
        example = document["macros"][name]["example"]
        assert "".join(example.split()) in "".join(out.split())  # lines are wrapped
        assert json.loads(asked(capsys, saved, example, "--format", "json")[0])
    first = next(line for line in out.splitlines() if line.strip().startswith("circuits query "))
    words = shlex.split(first, comments=True)[2:]
    asked(capsys, *words)


def test_a_strangers_query_is_held_to_less(capsys, saved: Path) -> None:
    assert asked(capsys, saved, EDGES, "--untrusted")[0] == asked(capsys, saved, EDGES)[0]
    assert "DESCRIBE" in told(capsys, saved, "DESCRIBE edges", "--untrusted", code=2)
    assert "column_name" in asked(capsys, saved, "DESCRIBE edges")[0]
    assert "read_csv" in told(capsys, saved, "FROM read_csv('x')", "--untrusted", code=2)


@pytest.mark.parametrize("level", [(), ("--untrusted",)])
def test_a_query_without_end_is_stopped(capsys, saved: Path, level: tuple[str, ...]) -> None:
    bomb = "SELECT count(*) FROM edges a, edges b, edges c, edges d, edges e"
    assert "0.3 seconds" in told(capsys, saved, bomb, "--seconds", 0.3, *level, code=2)


def test_refusals_are_a_sentence_and_a_code(capsys, saved: Path, tmp_path: Path) -> None:
    assert "'weight'" in told(capsys, saved, "SELECT wieght FROM edges", code=2)
    assert "nothing else" in told(capsys, saved, f"COPY edges TO '{tmp_path}/x.csv'", code=2)
    assert "--schema" in told(capsys, saved, code=2)
    assert "empty" in told(capsys, saved, " ", code=2)
    assert "above 0" in told(capsys, saved, "SELECT 1", "--seconds", 0, code=2)
    assert "-o FILE" in told(capsys, saved, "SELECT 1", "--format", "parquet", code=2)
    assert "--format" in told(capsys, saved, "SELECT 1", "-o", tmp_path / "rows.xyz", code=2)
    assert "contradict" in asked(capsys, saved, "SELECT 1", "--json", "--format", "csv", code=2)[1]
    near = told(capsys, saved.parent / "marry", "SELECT 1", code=3)
    assert "mary" in near
    assert not list(tmp_path.iterdir())


def test_a_file_is_written_whole_or_not_at_all(capsys, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("mine")
    assert "exists" in told(capsys, saved, EDGES, "-o", file, code=1)
    told(capsys, saved, "SELECT wieght FROM edges", "-o", file, "--overwrite", code=2)
    assert file.read_text() == "mine"
    out, _ = asked(capsys, saved, EDGES, "-o", file, "--overwrite")
    assert "".join(out.split()) == f"{file}:7rows."  # a long path is wrapped
    assert len(file.read_text().splitlines()) == 8
    assert [place.name for place in tmp_path.iterdir()] == ["rows.csv"]
    named = tmp_path / "rows"
    asked(capsys, saved, EDGES, "-o", named, "--format", "table")
    assert named.read_text().splitlines()[0].split() == ["source", "weight"]
