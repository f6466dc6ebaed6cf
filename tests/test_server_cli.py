"""`circuits serve` as a user meets it: where it listens, how it stops, what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from served_runs import folder_of_runs

from circuits.cli.main import run
from circuits.server.listen import listener

WORDS = [sys.executable, "-m", "circuits", "serve"]


def test_it_says_where_it_listens_and_ctrl_c_stops_it(tmp_path: Path) -> None:
    runs = folder_of_runs(tmp_path)
    options = ["--port", "0", "--json", "--host", "127.0.0.1", "--token", "a-token-of-the-tests"]
    with subprocess.Popen(
        [*WORDS, str(runs), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        assert server.stdout is not None
        assert server.stderr is not None
        lines = []
        while not lines or lines[-1].strip() != b"}":
            lines.append(server.stdout.readline())
            assert lines[-1], server.stderr.read()
        told = json.loads(b"".join(lines))
        assert (told["runs"], told["token"]) == (2, "a-token-of-the-tests")
        address, _, token = told["url"].partition("?token=")
        assert token == told["token"]
        assert httpx2.get(f"{address}api/runs").status_code == 401
        answer = httpx2.get(f"{address}api/runs", headers={"authorization": f"Bearer {token}"})
        assert len(answer.json()["runs"]) == 2
        server.send_signal(signal.SIGINT)
        assert server.wait(30) == 0
        assert server.stdout.read() == b""
        assert server.stderr.read() == b"Stopped.\n"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (["DIR/nothing"], 3, "circuits attribute"),
        (["DIR/runs/notes.txt"], 2, "is a file"),
        (["DIR/runs", "--token", "short"], 2, "at least 16"),
        (["DIR/runs", "--host", "no.such.host.invalid"], 2, "no address"),
        (["DIR/runs", "--port", "99999"], 2, "65535"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, named: str
) -> None:
    folder_of_runs(tmp_path)
    assert run(["serve", *(word.replace("DIR", str(tmp_path)) for word in words)]) == code
    said = capsys.readouterr()
    assert named in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_a_port_in_use_is_told_and_nothing_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with listener("127.0.0.1", 0) as taken:
        number = taken.getsockname()[1]
        assert run(["serve", str(folder_of_runs(tmp_path)), "--port", str(number)]) == 1
    assert f"Port {number} is in use" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["fastapi", "uvicorn", "sse_starlette"])
def test_a_missing_package_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    assert run(["serve", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert name.replace("_", "-") in said
    assert "pip install 'clearbox-circuits[serve]'" in said
