"""Hostile SQL: each statement is refused by name or stopped in time; each fence holds with the others down.

Fences: 1 `check.admitted` (sqlglot), 2 the engine's settings, 3 the limits of the process and the kill,
4 the caps on the result.
"""

from __future__ import annotations

import ast
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sample_interactions import sample_interactions

import circuits
from circuits.errors import CircuitsError, UsageError
from circuits.graph.graph import Graph
from circuits.query.sql import child, sandbox
from circuits.query.sql.budget import OVERHEAD, Budget
from circuits.query.sql.build import database, engine
from circuits.query.sql.check import LONGEST, admitted

SECRET = "canary-8b1f"
SHORT = Budget(seconds=0.4, rows=1000, memory=200_000_000, result=1_000_000)
ROOM = Budget(seconds=20, rows=1000, memory=200_000_000, result=1_000_000)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return sample_interactions()


@pytest.fixture(scope="module")
def file(graph: Graph) -> Path:
    return database(graph)


@pytest.fixture
def den(tmp_path: Path) -> Path:
    """A directory with files worth stealing; nothing in it may be read, changed or added."""
    (tmp_path / "a.csv").write_text(f"x\n{SECRET}\n")
    (tmp_path / "a.sql").write_text(f"SELECT '{SECRET}'")
    return tmp_path


def unharmed(den: Path) -> bool:
    inside = {file.name: file.read_text() for file in den.iterdir()}
    return inside == {"a.csv": f"x\n{SECRET}\n", "a.sql": f"SELECT '{SECRET}'"}


# by what the sentence names; DEN is a directory of ours with a file a.csv
REFUSED = {
    # files
    "SELECT * FROM read_csv('DEN/a.csv')": "read_csv",
    "SELECT * FROM read_csv_auto('DEN/a.csv')": "read_csv",
    "SELECT * FROM read_parquet('DEN/a.parquet')": "read_parquet",
    "SELECT * FROM parquet_scan('DEN/a.parquet')": "parquet_scan",
    "SELECT * FROM parquet_metadata('DEN/a.parquet')": "parquet_metadata",
    "SELECT * FROM parquet_schema('DEN/a.parquet')": "parquet_schema",
    "SELECT * FROM read_json('DEN/a.json')": "read_json",
    "SELECT * FROM read_json_objects('DEN/a.json')": "read_json_objects",
    "SELECT * FROM read_text('DEN/a.csv')": "read_text",
    "SELECT * FROM read_blob('DEN/a.csv')": "read_blob",
    "SELECT * FROM read_duckdb('DEN/a.duckdb')": "read_duckdb",
    "SELECT * FROM glob('DEN/*')": "glob",
    "SELECT * FROM sniff_csv('DEN/a.csv')": "sniff_csv",
    "SELECT * FROM 'DEN/a.csv'": "no table",
    'SELECT * FROM "DEN/a.csv"': "no table",
    "FROM 'DEN/a.csv' SELECT *": "no table",
    "FROM 'https://example.org/a.csv'": "no table",
    "SELECT * FROM edges JOIN 'DEN/a.csv' ON true": "no table",
    "SELECT (SELECT content FROM read_text('DEN/a.csv'))": "read_text",
    "WITH x AS (FROM read_text('DEN/a.csv')) FROM x": "read_text",
    "SELECT * FROM edges WHERE source IN (FROM read_text('DEN/a.csv'))": "read_text",
    "SELECT * FROM edges ORDER BY (SELECT content FROM read_text('DEN/a.csv'))": "read_text",
    "SELECT * FROM edges, LATERAL read_csv('DEN/a.csv')": "read_csv",
    "SELECT * FROM \"read_csv\"('DEN/a.csv')": "read_csv",
    "SELECT * FROM ReAd_CsV('DEN/a.csv')": "read_csv",
    "SELECT * FROM/**/read_csv/**/('DEN/a.csv')": "read_csv",
    "SELECT * FROM main.read_csv('DEN/a.csv')": "read_csv",
    "SELECT * FROM system.main.read_csv('DEN/a.csv')": "schema",
    "SELECT * FROM inputs_of((SELECT content FROM read_text('DEN/a.csv')))": "read_text",
    "SELECT 'DEN/a.csv'.read_text()": "read_text",
    "COPY edges TO 'DEN/b.csv'": "COPY",
    "COPY (SELECT 1) TO 'DEN/b.csv'": "COPY",
    "COPY edges FROM 'DEN/a.csv'": "COPY",
    "(COPY edges TO 'DEN/b.csv')": "COPY",
    "WITH x AS (COPY edges TO 'DEN/b.csv') SELECT 1": "no SQL",
    "SELECT * FROM (COPY edges TO 'DEN/b.csv')": "no SQL",
    "EXPORT DATABASE 'DEN/b'": "EXPORT",
    "IMPORT DATABASE 'DEN/b'": "IMPORT",
    "ATTACH 'DEN/b.duckdb' AS b": "ATTACH",
    "ATTACH ':memory:' AS b": "ATTACH",
    "DETACH run": "DETACH",
    "USE memory": "USE",
    "INSTALL httpfs": "INSTALL",
    "LOAD httpfs": "LOAD",
    "LOAD 'DEN/a.so'": "LOAD",
    # changes
    "CREATE TABLE t (i INT)": "CREATE",
    "CREATE TEMP TABLE t AS SELECT 1": "CREATE",
    "CREATE OR REPLACE TEMP VIEW edges AS SELECT 1": "CREATE",
    "CREATE TEMP MACRO abs(x) AS 1": "CREATE",
    "CREATE SECRET s (TYPE s3)": "CREATE",
    "CREATE TYPE t AS ENUM ('a')": "CREATE",
    "INSERT INTO edges SELECT * FROM edges": "INSERT",
    "UPDATE nodes SET label = 'x'": "UPDATE",
    "DELETE FROM edges": "DELETE",
    "TRUNCATE edges": "TRUNCATE",
    "DROP TABLE edges": "DROP",
    "ALTER TABLE edges ADD COLUMN x INT": "ALTER",
    "MERGE INTO edges USING edges e ON true WHEN MATCHED THEN DELETE": "MERGE",
    "WITH x AS (INSERT INTO edges SELECT * FROM edges RETURNING *) FROM x": "INSERT",
    "WITH x AS (DELETE FROM edges RETURNING *) SELECT * FROM x": "DELETE",
    "SELECT 1 INTO x": "INTO",
    "SELECT * FROM edges FOR UPDATE": "LOCK",
    "BEGIN": "BEGIN",
    "COMMIT": "COMMIT",
    "CHECKPOINT": "CHECKPOINT",
    "FORCE CHECKPOINT": "FORCE",
    "VACUUM": "VACUUM",
    "ANALYZE": "ANALYZE",
    "COMMENT ON TABLE edges IS 'x'": "COMMENT",
    # settings and indirection
    "SET threads = 64": "SET",
    "SET VARIABLE x = 1": "SET",
    "RESET threads": "RESET",
    "PRAGMA database_list": "PRAGMA",
    "PRAGMA enable_profiling='json'": "PRAGMA",
    "CALL pragma_version()": "CALL",
    "PREPARE p AS SELECT 1": "PREPARE",
    "EXECUTE p": "EXECUTE",
    "DEALLOCATE p": "DEALLOCATE",
    "EXPLAIN ANALYZE SELECT 1": "EXPLAIN",
    "DESCRIBE edges": "DESCRIBE",
    "SUMMARIZE edges": "SUMMARIZE",
    "SHOW ALL TABLES": "SHOW",
    "SELECT * FROM (DESCRIBE edges)": "DESCRIBE",
    "SELECT $1": "PLACEHOLDER",
    "SELECT ?": "PLACEHOLDER",
    "SELECT $name": "not allowed",
    "SELECT getvariable('x')": "getvariable",
    "SELECT * FROM query('SELECT 1')": "query",
    "SELECT * FROM query_table('edges')": "query_table",
    "SELECT json_execute_serialized_sql('{}')": "json_execute_serialized_sql",
    "FROM json_execute_serialized_sql('{}')": "json_execute_serialized_sql",
    "SELECT nextval('s')": "nextval",
    "SELECT write_log('x')": "write_log",
    "PIVOT edges ON target USING sum(weight)": "PIVOT",
    "FROM (PIVOT edges ON target USING sum(weight))": "PIVOT",
    # the catalogue, the environment, this process
    "SELECT getenv('HOME')": "getenv",
    "SELECT current_setting('secret_directory')": "current_setting",
    "SELECT * FROM duckdb_settings()": "duckdb_settings",
    "SELECT * FROM duckdb_databases()": "duckdb_databases",
    "SELECT * FROM duckdb_secrets()": "duckdb_secrets",
    "SELECT * FROM duckdb_extensions()": "duckdb_extensions",
    "SELECT * FROM duckdb_logs()": "duckdb_logs",
    "SELECT * FROM duckdb_temporary_files()": "duckdb_temporary_files",
    "SELECT * FROM pragma_database_size()": "pragma_database_size",
    "SELECT * FROM pragma_storage_info('edges')": "pragma_storage_info",
    "SELECT * FROM duckdb_tables": "duckdb_tables",
    "SELECT * FROM sqlite_master": "sqlite_master",
    "SELECT * FROM information_schema.tables": "information_schema",
    "SELECT * FROM pg_catalog.pg_class": "pg_catalog",
    "SELECT * FROM pg_class": "pg_class",
    "SELECT * FROM run.main.edges": "schema",
    "SELECT * FROM (WITH duckdb_views AS (SELECT 1) SELECT 1), duckdb_views": "duckdb_views",
    "WITH a AS (SELECT * FROM pg_views), pg_views AS (SELECT 1) SELECT * FROM a": "pg_views",
    "WITH edges AS (SELECT 1) FROM edges": "edges",
    "SELECT current_user": "current_user",
    "SELECT current_catalog": "current_catalog",
    "SELECT current_database()": "current_database",
    "SELECT version()": "version",
    "SELECT 'edges'::regclass": "regclass",
    "SELECT now()": "now",
    "SELECT random()": "random",
    "SELECT * FROM SECRET": "no table",
    "SELECT * FROM graph": "no table",
    "SELECT * FROM den": "no table",
    # several, hidden, odd
    "SELECT 1; DROP TABLE edges": "several",
    "SELECT 1;;SELECT 2": "several",
    "; SELECT 1": "not allowed",
    "SELECT 1 /* */ ; /* */ COPY edges TO 'DEN/b.csv'": "several",
    "SELECT 1 --\n; ATTACH 'DEN/b'": "several",
    "/* SELECT */ COPY edges TO 'DEN/b.csv'": "COPY",
    "-- SELECT\nCOPY edges TO 'DEN/b.csv'": "COPY",
    "SELECT * FROM ｒｅａｄ＿ｃｓｖ('DEN/a.csv')": "not allowed",
    "SELECT * FROM \"re\u200bad_csv\"('DEN/a.csv')": "not allowed",
    "SELECT\u00a0*\u00a0FROM read_csv('DEN/a.csv')": "",
    "SELECT 1 \x00; COPY edges TO 'DEN/b.csv'": "control character",
    "SELECT '\ud800'": "half a character",
    "": "empty",
    " \n\t": "empty",
    "-- nothing": "empty",
    ";": "not allowed",
    "SELECT 'unended": "no SQL",
    'SELECT "unended': "no SQL",
    "SELECT /* unended": "",
    "SELECT $$ unended": "no SQL",
    # rows and lists made of a number
    "SELECT len(range(300000000))": "range",
    "SELECT * FROM range(1000000000000)": "range",
    "SELECT sum(x) FROM generate_series(1, 1000000000000) t(x)": "generate_series",
    "SELECT unnest(generate_series(1, 1000000000))": "generate_series",
    "SELECT * FROM repeat('x', 1000000000)": "repeat",
    "SELECT * FROM repeat_row('x', num_rows := 1000000000)": "repeat_row",
    "SELECT list_resize([1], 1000000000)": "list_resize",
    "SELECT bitstring('1', 1000000000)": "bitstring",
    # too much for a parser
    f"SELECT {'(' * 500}1{')' * 500}": "nested too deeply",
    f"SELECT {'[' * 500}1{']' * 500}": "nested too deeply",
    f"SELECT {'abs(' * 500}1{')' * 500}": "nested too deeply",
    f"SELECT {'CASE WHEN ' * 500}1{' THEN 1 END' * 500}": "nested too deeply",
    f"SELECT {'NOT ' * 3000}true": "nested too deeply",
    f"SELECT {'- ' * 3000}1": "nested too deeply",
    f"SELECT * FROM {'(SELECT * FROM ' * 300}edges{')' * 300}": "nested too deeply",
    f"SELECT {'+'.join(['1'] * 4000)}": "words and signs",
    f"SELECT '{'x' * 1_000_000}'": "bytes",
    f"SELECT 1 {' ' * LONGEST}": "bytes",
}


def shown(sql: str) -> str:
    return ascii(sql[:60])


@pytest.mark.parametrize(("sql", "named"), REFUSED.items(), ids=[shown(sql) for sql in REFUSED])
def test_what_is_no_select_of_known_things_is_refused_by_name(sql: str, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        admitted(sql)
    said = str(caught.value)
    assert named in said
    assert len(said) < 400
    assert "\n" not in said


def test_the_gate_stands_before_the_process(graph: Graph, den: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "_process", None)
    for sql in REFUSED:
        with pytest.raises(UsageError) as caught:
            circuits.sql(graph, sql.replace("DEN", str(den)), trusted=False, budget=SHORT)
        assert SECRET not in str(caught.value)
    assert unharmed(den)


# what the engine itself may read of the list: none of it reaches beyond the tables
HARMLESS = {
    "WITH edges AS (SELECT 1) FROM edges",
    "SELECT current_user",
    "SELECT current_catalog",
    "SELECT 'edges'::regclass",
    "; SELECT 1",
}
LONG = ("nested too deeply", "words and signs", "bytes")


def test_the_engines_own_reading_refuses_the_list_too(file: Path, den: Path) -> None:
    with contextlib.closing(engine().connect(str(file), read_only=True)) as connection:
        passed = set()
        for sql in REFUSED:
            try:
                parsed = connection.extract_statements(sql.replace("DEN", str(den)))
                kinds = [str(statement.type).rsplit(".", 1)[-1] for statement in parsed]
                if kinds == ["SELECT"] and child.unknown(connection, sql, **sandbox.KNOWN) is None:
                    passed.add(sql)
            except (engine().Error, TypeError, RecursionError):  # as for half a character, and depth
                continue
    assert {sql for sql in passed if REFUSED[sql] not in LONG} <= HARMLESS
    assert unharmed(den)


def test_the_list_is_long() -> None:
    assert len(REFUSED) + len(BOMBS) > 150


# statements the gate lets pass, or passed on without it: what they cost is what is bounded
BOMBS = {
    "SELECT count(*) FROM edges a, edges b, edges c, edges d, edges e": "seconds",
    "WITH RECURSIVE t AS (SELECT 1 x UNION ALL SELECT x + 1 FROM t) SELECT sum(x) FROM t": "seconds",
    "SELECT * FROM edges a, edges b, edges c, edges d ORDER BY a.weight * b.weight * c.weight * d.weight": "",
    "SELECT count(DISTINCT concat(a.source, b.source, c.target)) FROM edges a, edges b, edges c, edges d": "",
    "SELECT repeat('x', 2000000000)": "memory",
    "SELECT length(repeat(repeat(repeat('x', 10000), 10000), 10000))": "memory",
    "SELECT string_agg(repeat('x', 100000), '') FROM edges a, edges b": "memory",
    "SELECT list(a.weight) OVER () FROM edges a, edges b": "",
    "SELECT lpad('x', 2000000000, 'y')": "",
    "SELECT count(*) FROM edges a, edges b, edges c, edges d WHERE regexp_matches("
    "concat(a.source, b.source, c.source, d.source), '((a?){40}){20}b')": "seconds",
}


@pytest.mark.parametrize("sql", BOMBS)
def test_a_bomb_is_stopped_in_time_and_within_its_memory(graph: Graph, sql: str) -> None:
    began = time.monotonic()
    with pytest.raises(UsageError, match=BOMBS[sql] or "seconds|memory"):
        # the engine is to meet its memory before the deadline, on a busy machine too
        circuits.sql(graph, sql, trusted=False, budget=ROOM if BOMBS[sql] == "memory" else SHORT)
    # far above what it takes, far below what the bomb would
    assert time.monotonic() - began < 60
    assert circuits.sql(graph, "SELECT count(*) FROM edges", trusted=False).table.item() == len(graph.edges)


def test_no_process_takes_more_than_its_memory(file: Path) -> None:
    script = f"""
import resource, sys
from pathlib import Path
from circuits.errors import UsageError
from circuits.query.sql import sandbox
from circuits.query.sql.budget import Budget
for fences in (sandbox.Fences(), sandbox.Fences(settings=False)):
    for sql in {[sql for sql in BOMBS if BOMBS[sql] == "memory"]!r}:
        try:
            sandbox.ask(sql, Path({str(file)!r}), {SHORT!r}, fences)
        except UsageError:
            print("stopped")
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    *stopped, peak = done.stdout.split()
    assert stopped == ["stopped"] * 6
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(peak) * unit < (SHORT.memory or 0) + OVERHEAD


FILES = (
    "SELECT * FROM read_csv('DEN/a.csv')",
    "SELECT * FROM read_text('DEN/a.csv')",
    "SELECT * FROM read_blob('DEN/a.csv')",
    "SELECT * FROM 'DEN/a.csv'",
    "SELECT * FROM glob('DEN/*')",
    "SELECT * FROM sniff_csv('DEN/a.csv')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "COPY edges TO 'DEN/b.csv'",
    "COPY (SELECT 1) TO 'DEN/b.parquet' (FORMAT parquet)",
    "EXPORT DATABASE 'DEN/b'",
    "IMPORT DATABASE 'DEN'",
    "ATTACH 'DEN/b.duckdb' AS b",
    "WITH x AS (COPY edges TO 'DEN/b.csv') FROM x",
    "INSTALL httpfs",
    "LOAD 'DEN/a.csv'",
    "CREATE SECRET s (TYPE s3)",
)
MORE = (
    "SET enable_external_access = true",
    "SET allowed_directories = ['/']",
    "RESET lock_configuration",
    "SET temp_directory = 'DEN'",
    "PRAGMA profiling_output = 'DEN/b'",
    "PRAGMA enable_logging",
    "DELETE FROM edges",
    "DROP TABLE edges",
    "CREATE TABLE t AS SELECT 1",
)


@pytest.mark.parametrize("sql", FILES + MORE)
def test_without_the_gate_and_the_limits_the_engine_reaches_no_file(file: Path, den: Path, sql: str) -> None:
    alone = sandbox.Fences(gate=False, limits=False, reading=False)
    before = file.read_bytes()
    with pytest.raises(UsageError) as caught:
        sandbox.ask(sql.replace("DEN", str(den)), file, ROOM, alone)
    assert SECRET not in str(caught.value)
    assert str(file.parent) not in str(caught.value)
    assert unharmed(den)
    assert file.read_bytes() == before
    assert {place.name for place in file.parent.iterdir()} == {file.name}


# EXPORT makes its directory before it opens a file in it, which no limit of a process forbids
@pytest.mark.parametrize("sql", [sql for sql in FILES if not sql.startswith("EXPORT")])
def test_with_the_limits_alone_no_file_is_opened_or_written(file: Path, den: Path, sql: str) -> None:
    alone = sandbox.Fences(gate=False, settings=False, reading=False)
    said = ""
    try:
        table, _ = sandbox.ask(sql.replace("DEN", str(den)), file, ROOM, alone)
        said = str(table.rows())
    except CircuitsError as error:
        said = str(error)
    assert SECRET not in said
    assert unharmed(den)
    assert {place.name for place in file.parent.iterdir()} == {file.name}


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("SELECT len(range(300000000))", ""),
        ("SELECT max(len(range(x))) FROM range(20000000, 20001000) t(x)", ""),
        ("SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c", "seconds"),
        ("SELECT list_sum(list_transform(range(30000000), lambda x: sin(x)))", ""),
    ],
)
def test_with_the_limits_alone_bombs_are_stopped(file: Path, sql: str, why: str) -> None:
    alone = sandbox.Fences(gate=False, settings=False, reading=False)
    with pytest.raises(UsageError, match=why or "seconds|memory"):
        sandbox.ask(sql, file, SHORT, alone)


def test_with_the_kill_alone_a_bomb_the_engine_does_not_interrupt_is_stopped(file: Path) -> None:
    alone = sandbox.Fences(gate=False, settings=False, limits=False, reading=False)
    with pytest.raises(UsageError, match="seconds"):
        sandbox.ask("SELECT list_sum(list_transform(range(100000000), lambda x: x % 7))", file, SHORT, alone)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1; SELECT 2",
        "PRAGMA version",
        "CALL pragma_version()",
        "CHECKPOINT",
        "FROM duckdb_settings()",
        "FROM sqlite_master",
        "SELECT getvariable('x')",
        "WITH x AS (COPY edges TO 'b.csv') FROM x",
    ],
)
def test_the_engine_reads_one_select_or_nothing(file: Path, sql: str) -> None:
    with pytest.raises(UsageError, match="one SELECT"):
        sandbox.ask(sql, file, ROOM, sandbox.Fences(gate=False))


def test_a_result_that_names_the_file_is_not_given(file: Path) -> None:
    for sql in ("SELECT path FROM duckdb_databases()", "SELECT path::BLOB FROM duckdb_databases()"):
        with pytest.raises(UsageError, match="file of the database"):
            sandbox.ask(sql, file, ROOM, sandbox.Fences(gate=False, reading=False))


def test_the_process_finds_an_empty_environment_and_no_open_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PARENT", SECRET)
    with sandbox._process() as process:
        environ = Path(f"/proc/{process.pid}/environ")
        if not environ.exists():
            pytest.skip("no /proc here")
        deadline = time.monotonic() + 10
        while b"python" not in (argv := Path(f"/proc/{process.pid}/cmdline").read_bytes()):
            assert time.monotonic() < deadline
        assert b"child.py" in argv
        assert SECRET.encode() not in environ.read_bytes()
        assert {int(fd.name) for fd in Path(f"/proc/{process.pid}/fd").iterdir()} >= {0, 1, 2}
        assert os.getpgid(process.pid) == process.pid != os.getpgid(0)
    assert process.returncode is not None


def test_the_process_imports_the_engine_and_no_more() -> None:
    tree = ast.parse(Path(child.__file__).read_text())
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names - set(sys.stdlib_module_names) == {"duckdb"}
    code = "import duckdb, sys; print(sorted({'torch', 'jax', 'polars', 'circuits'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_result_is_cut_at_its_rows_and_bytes_and_says_so(graph: Graph) -> None:
    few = circuits.sql(graph, "FROM edges", trusted=False, budget=Budget(rows=7))
    assert (len(few.table), few.cut, few.finding) == (7, "rows", "First 7 rows of more.")
    all_of_them = circuits.sql(graph, "FROM edges LIMIT 7", trusted=False, budget=Budget(rows=7))
    assert (len(all_of_them.table), all_of_them.cut) == (7, None)
    small = circuits.sql(graph, "FROM edges", trusted=False, budget=Budget(result=500))
    assert small.cut == "result"
    assert 0 < len(small.table) < 20
    assert "too large" in small.finding
    with pytest.raises(UsageError, match="first row alone"):
        circuits.sql(graph, "SELECT repeat('x', 1000)", trusted=False, budget=Budget(result=500))


def test_what_writes_more_than_it_may_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    flood = tmp_path / "flood.py"
    flood.write_text(
        "import sys\nsys.stdout.buffer.write(b'!')\nwhile True: sys.stdout.buffer.write(b'x' * 65536)"
    )
    monkeypatch.setattr(child, "__file__", str(flood))
    read, real = [], os.read
    monkeypatch.setattr(sandbox.os, "read", lambda *ask: read.append(real(*ask)) or read[-1])
    with pytest.raises(UsageError):
        sandbox.ask("SELECT 1", tmp_path / "none.duckdb", Budget(seconds=5, result=1_000_000))
    assert 0 < sum(map(len, read)) < 5_000_000


def test_untrusted_use_needs_every_limit_and_a_system_that_has_them(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="limit of rows"):
        circuits.sql(graph, "SELECT 1", trusted=False, budget=Budget(rows=None))
    monkeypatch.setattr(sandbox, "SYSTEM", "nt")
    with pytest.raises(UsageError, match="as on Linux"):
        circuits.sql(graph, "SELECT 1", trusted=False)


@pytest.mark.parametrize("sql", ["SELECT * FROM edges e JOIN nodes n", "SELECT order FROM hyperedges"])
def test_what_the_engine_would_not_read_as_written_is_not_mended(graph: Graph, sql: str) -> None:
    assert admitted(sql)  # which reads more into it than there is
    for trusted in (True, False):
        with pytest.raises(UsageError, match="syntax error"):
            circuits.sql(graph, sql, trusted=trusted)


def test_what_passes_is_written_anew() -> None:
    assert admitted("select/*x*/ 1 -- y\n;") == "SELECT 1"
    assert admitted(admitted("from edges select count(*)")) == admitted("from edges select count(*)")
