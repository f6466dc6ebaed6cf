"""The served app's API: the same answers as in Python, limits that hold, and doors that stay shut."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from hostile import HOSTILE
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_graph import sample_graph
from sample_interactions import sample_interactions
from served_runs import folder_of_runs, hostile_graph
from starlette.testclient import TestClient

import circuits
from circuits.errors import CircuitsError, UsageError
from circuits.graph.io import load_run, save_run
from circuits.query.answer import finite
from circuits.server.app import App, create_app
from circuits.server.folder import Folder
from circuits.server.guard import Door, is_loopback
from circuits.server.kept import Kept
from circuits.server.limits import Limits
from circuits.server.listen import link, listener, token_for
from circuits.viewer import Shown, document

TOKEN = "a-token-of-the-tests"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of_runs(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def app(runs: Path) -> App:
    return create_app(runs)


@pytest.fixture(scope="module")
def client(app: App) -> Iterator[TestClient]:
    with TestClient(app.asgi, "http://localhost", raise_server_exceptions=False) as client:
        yield client


def said(answer) -> str:
    """The sentence of a refusal, which must be the only thing in it."""
    document = answer.json()
    assert set(document) == {"error", "kind"}
    assert "Traceback" not in document["error"]
    assert "\n" not in document["error"]
    return document["error"]


# ------------------------------------------------------------------------------ the list
def test_the_list_holds_the_runs_below_the_folder_and_no_others(client: TestClient) -> None:
    listed = client.get("/api/runs").json()
    assert {one["run"] for one in listed["runs"]} == {"names", "older/plain"}
    one = next(one for one in listed["runs"] if one["run"] == "names")
    graph = sample_interactions()
    assert one["prompt"] == graph.meta["prompt"]["text"]
    assert (one["nodes"], one["edges"], one["hyperedges"]) == (
        len(graph.nodes),
        len(graph.edges),
        len(graph.hyperedges),
    )
    best = max(graph.meta["targets"], key=lambda target: target["probability"])
    assert one["output"] == {"text": best["tokens"][0], "probability": best["probability"]}
    assert listed["writable"]
    assert {"model": "toy", "dictionary": "toy"} in listed["choices"]


def test_a_run_that_cannot_be_read_says_why_and_harms_no_other(tmp_path: Path) -> None:
    save_run(sample_graph(), tmp_path / "good")
    for name, text in {"cut": "{", "old": '{"format": "run", "version": 99}', "list": "[]"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(text)
    strange = {
        "format": "run",
        "version": 1,
        "checksums": {},
        "rows": {"nodes": "x"},
        "meta": {"prompt": 3, "targets": [1]},
    }
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "manifest.json").write_text(json.dumps(strange))
    with TestClient(create_app(tmp_path).asgi, "http://localhost") as client:
        listed = {one["run"]: one for one in client.get("/api/runs").json()["runs"]}
    assert listed["good"]["error"] is None
    assert "truncated" in listed["cut"]["error"]
    assert "version 99" in listed["old"]["error"]
    assert "no run" in listed["list"]["error"]
    assert str(tmp_path) not in listed["cut"]["error"]
    assert listed["strange"]["nodes"] is None


def test_new_runs_replaced_runs_and_removed_runs_are_noticed(tmp_path: Path) -> None:
    save_run(sample_graph(), tmp_path / "one")
    with TestClient(create_app(tmp_path).asgi, "http://localhost") as client:
        before = client.get("/api/runs/one/tables/hyperedges").json()
        save_run(sample_interactions(), tmp_path / "one", overwrite=True)
        after = client.get("/api/runs/one/tables/hyperedges").json()
        save_run(sample_graph(), tmp_path / "two")
        listed = [one["run"] for one in client.get("/api/runs").json()["runs"]]
        (tmp_path / "one").rename(tmp_path / "three")
        gone = client.get("/api/runs/one/tables/nodes")
    assert (before["total"], after["total"]) == (0, len(sample_interactions().hyperedges))
    assert sorted(listed) == ["one", "two"]
    assert gone.status_code == 404


def test_a_single_run_is_served_by_its_name_and_takes_no_others(runs: Path) -> None:
    with TestClient(create_app(runs / "names").asgi, "http://localhost") as client:
        listed = client.get("/api/runs").json()
        assert [one["run"] for one in listed["runs"]] == ["names"]
        assert not listed["writable"]
        assert client.post("/api/runs/names/ask", json={"question": "why"}).status_code == 200
        refused = client.post("/api/jobs", json={"prompt": "A"})
    assert refused.status_code == 403
    assert "folder above" in said(refused)


# ------------------------------------------------------------------------------ what a run holds
@pytest.mark.parametrize("name", ["nodes", "edges", "hyperedges", "verdicts"])
def test_pages_of_a_table_put_together_are_the_table(client: TestClient, runs: Path, name: str) -> None:
    table = getattr(load_run(runs / "names"), name)
    rows, offset = [], 0
    while offset is not None:
        page = client.get(f"/api/runs/names/tables/{name}", params={"offset": offset, "limit": 37}).json()
        assert page["total"] == len(table)
        assert len(page["rows"]) <= 37
        rows += page["rows"]
        offset = page["next"]
    assert rows == [list(finite(list(row))) for row in table.iter_rows()]


def test_a_run_a_level_deeper_is_reached_with_its_slash_plain_or_encoded(client: TestClient) -> None:
    for name in ("older/plain", "older%2Fplain"):
        assert client.get(f"/api/runs/{name}/tables/nodes").json()["total"] == len(sample_graph().nodes)


def test_a_document_is_the_one_python_makes(client: TestClient, runs: Path) -> None:
    graph, other = (load_run(runs / name).with_meta(run=name) for name in ("names", "older/plain"))
    one = client.get("/api/runs/names/document", params={"nodes": 20}).json()
    assert one == finite(document(graph, answer=circuits.why(graph), shown=Shown(nodes=20), name="names"))
    two = client.get("/api/runs/names/document", params={"against": "older/plain"}).json()
    assert two == finite(document(graph, against=other, name="names"))
    assert client.get("/api/runs/names/document", params={"against": "../private"}).status_code == 404
    assert client.get("/api/runs/names/document", params={"nodes": 10_000_000}).status_code == 422


def test_the_report_comes_as_a_file(client: TestClient) -> None:
    answer = client.get("/api/runs/older%2Fplain/report")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="older-plain.html"')
    assert answer.text.lower().startswith("<!doctype html>")


# ------------------------------------------------------------------------------ questions
@pytest.mark.parametrize(
    "question",
    ["why", "which pairs drive the output", "paths to the output top 5", "what is unexplained"],
)
def test_an_answer_is_the_one_python_gives(client: TestClient, runs: Path, question: str) -> None:
    answer = client.post("/api/runs/names/ask", json={"question": question}).json()
    limit = circuits.Limit(seconds=Limits().seconds)
    known = circuits.ask(load_run(runs / "names").with_meta(run="names"), question, limit=limit).answer()
    assert answer["finding"] == list(known.finding)
    assert answer["code"] == known.code
    assert answer["highlight"]["nodes"] == known.highlight.nodes["node"].to_list()
    assert set(answer["tables"]) == {name for name, table in known.tables.items() if len(table)}
    for name, sent in answer["tables"].items():
        table = known.tables[name]
        assert len(sent["rows"]) == len(table)
        for place, column in enumerate(sent["columns"]):
            if table.schema[column].is_numeric():
                assert sent["numeric"][place]
                assert [row[place] for row in sent["values"]] == finite(table[column].to_list())
    assert answer["left_out"] == []


def test_a_comparison_names_the_other_run_as_the_list_does(client: TestClient, runs: Path) -> None:
    answer = client.post("/api/runs/names/ask", json={"question": 'compare with "older/plain"'})
    assert answer.status_code == 200
    assert str(runs) not in answer.text


@pytest.mark.parametrize(
    "path", ["{private}", "../private", "leak", "out/private", "names/../../private", "/etc"]
)
def test_a_question_opens_no_run_that_is_not_listed(client: TestClient, runs: Path, path: str) -> None:
    there = path.format(private=runs.parent / "private")
    for question in (f'compare with "{there}"', f'what is like " John" in run "{there}"'):
        answer = client.post("/api/runs/names/ask", json={"question": question})
        assert answer.status_code == 404
        assert "No run" in said(answer)
    answer = client.post("/api/runs/names/intervene", json={"actions": [f"swap {there}"]})
    assert answer.status_code == 404
    assert "No run" in said(answer)


def test_a_slip_of_the_pen_is_one_sentence_with_a_way_out(client: TestClient) -> None:
    answer = client.post("/api/runs/names/ask", json={"question": "whi"})
    assert answer.status_code == 400
    assert "why" in said(answer)
    answer = client.post("/api/runs/names/ask", json={"question": "why logit:Marry"})
    assert answer.status_code == 404
    assert "logit:Mary" in said(answer)
    answer = client.get("/api/runs/nams/tables/nodes")
    assert answer.status_code == 404
    assert "'names'" in said(answer)


# ------------------------------------------------------------------------------ SQL
def test_sql_gives_the_rows_python_gives(client: TestClient, runs: Path) -> None:
    query = "SELECT target, sum(weight) AS total, list(source) AS from_ FROM edges GROUP BY target LIMIT 5"
    query = query.replace("LIMIT", "ORDER BY target LIMIT")
    answer = client.post("/api/runs/names/sql", json={"query": query}).json()
    known = circuits.sql(runs / "names", query, trusted=False)
    assert answer["columns"] == known.table.columns
    assert [row[1] for row in answer["values"]] == known.table["total"].to_list()
    assert [json.loads(row[2]) for row in answer["values"]] == known.table["from_"].to_list()
    assert answer["numeric"] == [False, True, False]
    assert not answer["more"]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT * FROM read_csv('DEN/notes.txt')", "read_csv"),
        ("FROM 'DEN/notes.txt'", "no table"),
        ("SELECT content FROM read_text('/etc/passwd')", "read_text"),
        ("COPY nodes TO 'DEN/stolen.csv'", ""),
        ("ATTACH 'DEN/x.duckdb'", ""),
        ("INSTALL httpfs", ""),
        ("SET enable_external_access = true", ""),
        ("DROP TABLE nodes; SELECT 1", ""),
        ("SELECT getenv('HOME')", "getenv"),
        ("SELECT * FROM duckdb_settings()", "duckdb_settings"),
        ("PRAGMA database_list", ""),
    ],
)
def test_hostile_sql_is_refused(client: TestClient, runs: Path, query: str, named: str) -> None:
    before = sorted(file.name for file in runs.iterdir())
    answer = client.post("/api/runs/names/sql", json={"query": query.replace("DEN", str(runs))})
    assert answer.status_code == 400
    assert named in said(answer)
    assert sorted(file.name for file in runs.iterdir()) == before


def test_a_query_without_end_is_stopped_and_a_large_result_is_cut(runs: Path) -> None:
    limits = Limits(seconds=0.4, rows=7)
    with TestClient(create_app(runs, limits=limits).asgi, "http://localhost") as client:
        endless = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT sum(n) FROM t"
        answer = client.post("/api/runs/names/sql", json={"query": endless})
        assert answer.status_code == 400
        assert "second" in said(answer)
        cut = client.post("/api/runs/names/sql", json={"query": "FROM nodes"}).json()
        assert len(cut["rows"]) == 7
        assert cut["more"]
        assert "more" in cut["finding"]
        page = client.get("/api/runs/names/tables/nodes?limit=8")
        assert page.status_code == 422
        assert "limit" in said(page)
        told = client.post("/api/runs/names/ask", json={"question": "why top 40"}).json()
        long = [name for name, table in told["tables"].items() if len(table["rows"]) == 7]
        assert long
        assert all(len(table["rows"]) <= 7 for table in told["tables"].values())
        assert any(sentence.startswith(f"{long[0]}: the first 7 of") for sentence in told["left_out"])


# ------------------------------------------------------------------------------ limits
def test_large_requests_and_large_results_are_refused(runs: Path) -> None:
    with TestClient(
        create_app(runs, limits=Limits(body=2_000, result=500)).asgi, "http://localhost"
    ) as client:
        large = client.post("/api/runs/names/ask", json={"question": "why " + "x" * 3_000})
        assert large.status_code == 413
        assert "2,000" in said(large)

        def drops():
            for _ in range(100):
                yield b'{"question": ' + b" " * 100

        told = client.post(
            "/api/runs/names/ask", content=drops(), headers={"content-type": "application/json"}
        )
        assert told.status_code == 413  # no length was announced
        answer = client.get("/api/runs/names/tables/nodes")
        assert answer.status_code == 413
        assert "500" in said(answer)


def test_too_much_at_once_is_refused_and_time_runs_out(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    app = create_app(runs, limits=Limits(threads=1, waiting=0, seconds=0.3))
    monkeypatch.setattr("circuits.server.asking.SPENT", 0.1)
    monkeypatch.setattr("circuits.server.asking._answer", lambda *_: hold.wait(20) and {})
    with TestClient(app.asgi, "http://localhost") as client:
        late = client.post("/api/runs/names/ask", json={"question": "why"})
        assert late.status_code == 504
        assert "0.4 seconds" in said(late)
        busy = client.post("/api/runs/names/ask", json={"question": "why"})
        assert busy.status_code == 503  # the thread that was given up still holds its place
        assert busy.headers["retry-after"] == "5"
        hold.set()
        until = time.monotonic() + 20
        while app.desks[0].busy and time.monotonic() < until:
            time.sleep(0.01)
        assert client.get("/api/runs/names/tables/nodes").status_code == 200


def test_what_nobody_expected_is_one_sentence_without_a_traceback(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr("circuits.server.asking._answer", broken)
    answer = client.post("/api/runs/names/ask", json={"question": "why"})
    assert answer.status_code == 500
    assert "ZeroDivisionError: a b" in said(answer)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "question"),
        ({"question": 3}, "question"),
        ({"question": ""}, "question"),
        ({"question": "why", "more": 1}, "more"),
        ([], ""),
    ],
)
def test_a_malformed_request_is_told_by_name(client: TestClient, body: object, named: str) -> None:
    answer = client.post("/api/runs/names/ask", json=body)
    assert answer.status_code == 422
    assert named in said(answer)


# ------------------------------------------------------------------------------ only below the folder
ESCAPES = (
    "../private",
    "..%2fprivate",
    "%2e%2e/private",
    "%2e%2e%2fprivate",
    "..%252fprivate",
    "..\\private",
    "..%5cprivate",
    "names/../../private",
    "names%2f..%2f..%2fprivate",
    "/private",
    "%2fetc",
    "//etc",
    "leak",
    "out/private",
    "out%2fprivate",
    ".hidden/run",
    ".hidden%2frun",
    "names%00",
    "names%00/../../private",
    "names%2f",
    "",
    ".",
    "..",
    "~",
    "notes.txt",
    "C:%5cwindows",
    "%ff%fe",
)


@pytest.mark.parametrize("path", ESCAPES)
@pytest.mark.parametrize("what", ["tables/nodes", "document", "report", "schema"])
def test_nothing_outside_the_folder_is_reached(client: TestClient, path: str, what: str) -> None:
    answer = client.get(f"http://localhost/api/runs/{path}/{what}")
    assert answer.status_code in (404, 405)
    assert str(client.get("/api/runs").json()["folder"])
    said(answer)


@pytest.mark.parametrize(
    "path", ["../../etc/passwd", "%2e%2e%2fapp.html", "..%2f..%2fpyproject.toml", "page.css%00"]
)
def test_static_files_are_those_of_a_list(client: TestClient, path: str) -> None:
    assert client.get(f"/static/{path}").status_code == 404


PARTS = st.sampled_from(
    [
        "..",
        ".",
        "names",
        "older",
        "plain",
        "leak",
        "out",
        "private",
        ".hidden",
        "run",
        "",
        "~",
        "\0",
        "\\..",
        "é",
        "x" * 300,
    ]
)
PATHS = st.one_of(st.text(max_size=30), st.lists(PARTS, max_size=6).map("/".join))


@given(path=PATHS)
@settings(max_examples=300)
def test_random_names_never_lead_out_of_the_folder(runs: Path, path: str) -> None:
    folder = Folder(runs)
    place = folder.below(path)
    if place is not None:
        inside = os.path.realpath(runs)
        assert os.path.realpath(place).startswith(inside + os.sep)
        assert place == (runs / path).resolve(strict=True)
    try:
        run = folder.find(path)
    except CircuitsError:
        return
    assert path in ("names", "older/plain")
    assert run.path == (runs / path).resolve(strict=True)
    assert run.path.is_relative_to(runs.resolve())


@given(path=PATHS)
@settings(max_examples=100)
def test_random_addresses_give_only_listed_runs(client: TestClient, path: str) -> None:
    answer = client.get(f"http://localhost/api/runs/{quote(path, safe='')}/tables/nodes", params={"limit": 1})
    if path in ("names", "older/plain"):
        assert answer.status_code == 200
    else:
        assert answer.status_code == 404


@pytest.mark.parametrize("file", ["manifest.json", "nodes.parquet", "edges.parquet", "verdicts.parquet"])
def test_a_file_of_a_run_that_leads_out_is_refused(tmp_path: Path, file: str) -> None:
    save_run(sample_graph(), tmp_path / "elsewhere")
    save_run(sample_graph(), tmp_path / "runs" / "run")
    place = tmp_path / "runs" / "run" / file
    place.unlink(missing_ok=True)
    place.symlink_to(tmp_path / "elsewhere" / file)
    with TestClient(create_app(tmp_path / "runs").asgi, "http://localhost") as client:
        answer = client.get("/api/runs/run/tables/nodes")
    assert answer.status_code in (400, 404)
    assert answer.status_code == 404 or "leads out" in said(answer)


# ------------------------------------------------------------------------------ who may ask
def test_every_answer_has_the_strict_headers(client: TestClient) -> None:
    requests = [
        ("GET", "/"),
        ("GET", "/docs"),
        ("GET", "/api/runs"),
        ("GET", "/nothing"),
        ("GET", "/static/page.css"),
    ]
    for method, path in [*requests, ("POST", "/api/jobs"), ("GET", "/openapi.json"), ("PUT", "/api/runs")]:
        headers = client.request(method, path).headers
        assert headers["content-security-policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
            " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "10.0.0.7:8000",
        "[::1].evil.example",
    ],
)
def test_another_name_that_points_here_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/runs", headers={"host": host})
    assert answer.status_code == 421
    said(answer)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "127.0.0.2", "[::1]:8000", "LOCALHOST"]
)
def test_this_machine_is_known_by_its_names(client: TestClient, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


def test_bound_to_all_addresses_numbers_and_own_names_are_known_and_others_are_not() -> None:
    door = Door("0.0.0.0", 8000, TOKEN)
    assert all(
        map(door.knows, ["10.0.0.7:8000", "[fe80::1]:8000", f"{socket.gethostname()}:8000", "localhost"])
    )
    assert not any(map(door.knows, ["evil.example:8000", "x" + socket.gethostname(), ""]))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:9999"},
        {"origin": "http://localhost.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_cannot_send_or_end_anything(
    client: TestClient, headers: dict[str, str]
) -> None:
    for method, path, body in (
        ("POST", "/api/runs/names/ask", {"question": "why"}),
        ("DELETE", "/api/jobs/x", None),
    ):
        answer = client.request(method, path, json=body, headers=headers)
        assert answer.status_code == 403
        assert "another site" in said(answer)


def test_own_pages_and_programs_can(client: TestClient) -> None:
    for headers in (
        {},
        {"origin": "http://localhost", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ):
        assert (
            client.post("/api/runs/names/ask", json={"question": "why"}, headers=headers).status_code == 200
        )
    assert client.get("/api/runs", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200  # a link to the app


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_what_a_form_could_send_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post(
        "/api/runs/names/ask", content=b'{"question": "why"}', headers={"content-type": kind}
    )
    assert answer.status_code == 415


def test_a_token_is_asked_for_everywhere_and_a_link_brings_it(runs: Path) -> None:
    app = create_app(runs, door=Door("0.0.0.0", 8000, TOKEN))
    with TestClient(app.asgi, "http://localhost:8000") as client:
        for path in (
            "/",
            "/docs",
            "/api/runs",
            "/openapi.json",
            "/static/viewer.js",
            "/?token=wrong",
            "/nothing",
        ):
            assert client.get(path).status_code == 401
        assert client.post("/api/runs/names/ask", json={"question": "why"}).status_code == 401
        for wrong in ("", TOKEN[:-1], TOKEN + "x", "é"):
            assert (
                client.get("/api/runs", headers={"authorization": f"Bearer {wrong}".encode()}).status_code
                == 401
            )
        assert client.get("/api/runs", headers={"authorization": f"Basic {TOKEN}"}).status_code == 401
        assert client.get(f"/api/runs?token={TOKEN}").status_code == 401  # a link is for the browser
        assert client.get("/api/runs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
        entered = client.get(f"/?token={TOKEN}")
        cookie = entered.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert client.get("/api/runs").status_code == 200  # by the cookie
        assert "Bearer TOKEN" in client.get("/docs").text


def test_a_token_is_made_unless_only_this_machine_can_reach_the_server() -> None:
    assert [token_for(host, None) for host in ("127.0.0.1", "localhost", "::1", "127.3.2.1")] == [None] * 4
    made = {token_for("0.0.0.0", None) for _ in range(20)}
    assert len(made) == 20
    assert min(len(token or "") for token in made) >= 40
    assert token_for("127.0.0.1", TOKEN) == TOKEN
    for bad in ("short", "x" * 20 + " ", "é" * 20, ""):
        with pytest.raises(UsageError, match="token"):
            token_for("0.0.0.0", bad)
    assert not is_loopback("192.168.0.1")
    assert link("127.0.0.1", 80, None) == "http://127.0.0.1:80/"
    assert link("::1", 80, TOKEN) == f"http://[::1]:80/?token={TOKEN}"


def test_a_port_in_use_is_one_sentence() -> None:
    with listener("127.0.0.1", 0) as taken, pytest.raises(CircuitsError, match=r"Port \d+ is in use.*--port"):
        listener("127.0.0.1", taken.getsockname()[1])
    with pytest.raises(UsageError, match="no address"):
        listener("no.such.host.invalid", 0)


# ------------------------------------------------------------------------------ hostile texts
def test_hostile_labels_names_and_runs_come_as_json_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    save_run(hostile_graph(), folder / "<svg onload=alert(1)> & 'run'")
    with TestClient(create_app(folder).asgi, "http://localhost") as client:
        listed = client.get("/api/runs")
        assert listed.headers["content-type"] == "application/json"
        (one,) = listed.json()["runs"]
        assert one["run"] == "<svg onload=alert(1)> & 'run'"
        assert one["prompt"] == HOSTILE[0] + HOSTILE[7]
        name = quote(one["run"], safe="")
        labels = {
            row[client.get(f"/api/runs/{name}/tables/nodes").json()["columns"].index("label")]
            for row in client.get(f"/api/runs/{name}/tables/nodes").json()["rows"]
        }
        assert set(HOSTILE) == labels
        answer = client.post(f"/api/runs/{name}/ask", json={"question": "why"})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        report = client.get(f"/api/runs/{name}/report").headers["content-disposition"]
        assert "<" not in report
        assert "'run" not in report.partition(";")[2].partition("filename*")[0].replace("filename", "")
        wrong = client.get("/api/runs/<script>alert(1)</script>/tables/nodes")
        assert wrong.headers["content-type"] == "application/json"


# ------------------------------------------------------------------------------ the description
def test_the_description_lists_every_address_and_loads_nothing_from_elsewhere(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    page = client.get("/docs").text
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            assert f"{method.upper()}</b> {path}" in page
            assert one["summary"]
            assert one["description"]
    assert "http://" not in page.replace("http://localhost:8000", "")
    assert "https://" not in page
    assert "<script" not in page
    assert "style=" not in page


def test_what_can_be_asked_is_listed(client: TestClient) -> None:
    ways = {way for form in client.get("/api/questions").json() for way in form["ways"]}
    assert any(way.startswith("why") for way in ways)
    schema = client.get("/api/runs/names/schema").json()
    assert schema["tables"]["nodes"]["rows"] == len(sample_interactions().nodes)
    assert "inputs_of" in schema["macros"]


# ------------------------------------------------------------------------------ memory
def test_a_few_values_are_kept_the_longest_unused_goes_first_and_each_is_made_once() -> None:
    made: list[str] = []
    kept: Kept[str, str] = Kept(2)

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    for key in "abacab":
        assert kept.get(key, lambda key=key: make(key)) == key.upper()
    assert made == ["a", "b", "c", "b"]
    assert len(kept) == 2
    gate = threading.Barrier(4)

    def ask() -> None:
        gate.wait()
        kept.get("slow", lambda: make("slow"))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count("slow") == 1
    with pytest.raises(ZeroDivisionError):
        kept.get("bad", lambda: str(1 // 0))
    assert kept.get("bad", lambda: "good now") == "good now"
