"""Jobs of the served app: a real one on the bundled model, one that is cancelled, some that go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sample_graph import sample_graph
from starlette.testclient import TestClient

from circuits.cli.main import run as command_line
from circuits.errors import NotFound
from circuits.graph.io import load_run, save_run
from circuits.server.app import create_app
from circuits.server.job_routes import free, slug
from circuits.server.jobs import Job, Jobs
from circuits.server.limits import Limits
from circuits.server.records import JobBody, JobOut
from circuits.server.refusals import Refused

PROMPT = "The capital of the state containing Dallas is"
BODY = {"prompt": PROMPT, "name": "dallas", "max_features": 3, "targets": [" Austin"]}


def events(text: str) -> list[tuple[int, dict]]:
    """The events of a stream, by id."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":")
        )
        if "data" in fields:
            assert fields["event"] == "job"
            found.append((int(fields["id"]), json.loads(fields["data"])))
    return found


def settled(folder: Path) -> list[str]:
    """What lies in a folder, hidden things too."""
    return sorted(entry.name for entry in folder.iterdir())


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# ------------------------------------------------------------------------------ a real one
def test_a_job_makes_the_run_the_command_makes_and_tells_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    with TestClient(create_app(folder).asgi, "http://localhost") as client:
        answer = client.post("/api/jobs", json=BODY)
        assert answer.status_code == 202
        job = answer.json()
        assert (job["run"], job["status"], job["ahead"]) == ("dallas", "waiting", 0)
        again = client.post("/api/jobs", json=BODY)
        assert again.status_code == 409  # its name is taken though it is not there yet
        stream = client.get(f"/api/jobs/{job['id']}/events")  # until it ends
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = events(stream.text)
        numbers = [number for number, _ in told]
        assert numbers == sorted(set(numbers))
        states = [state["status"] for _, state in told]
        assert states[-1] == "done", told[-1]
        assert "running" in states
        phases = list(dict.fromkeys(state["phase"] for _, state in told))
        assert {"Loading toy", "Attributing"} <= set(phases)
        assert any(state["done"] == state["total"] > 0 for _, state in told)
        # a broken connection goes on where it was; after the end nothing more comes
        later = client.get(f"/api/jobs/{job['id']}/events", headers={"last-event-id": str(numbers[-3])})
        assert [number for number, _ in events(later.text)] == numbers[-2:]
        end = client.get(f"/api/jobs/{job['id']}/events", headers={"last-event-id": str(numbers[-1])})
        assert end.status_code == 204
        assert [one["run"] for one in client.get("/api/runs").json()["runs"]] == ["dallas"]
        assert client.get("/api/jobs").json()[0]["status"] == "done"
    assert settled(folder) == ["dallas"]
    words = ["attribute", PROMPT, "--model=toy", "--dictionary=toy", "--target= Austin", "--max-features=3"]
    assert command_line([*words, "-o", str(tmp_path / "same"), "-q"]) == 0
    made, same = load_run(folder / "dallas"), load_run(tmp_path / "same")
    assert made.targets == same.targets == ["logit:Austin"]
    assert made.nodes.equals(same.nodes)
    assert made.edges.equals(same.edges)
    assert str(folder) not in json.dumps(dict(made.meta))


def test_a_job_that_is_cancelled_or_fails_or_is_killed_leaves_nothing_and_the_next_goes_on(
    tmp_path: Path,
) -> None:
    app = create_app(tmp_path)
    with TestClient(app.asgi, "http://localhost") as client:
        first = client.post("/api/jobs", json={**BODY, "name": "first"}).json()["id"]
        second = client.post("/api/jobs", json={**BODY, "name": "second"}).json()
        third = client.post("/api/jobs", json={**BODY, "name": "third", "targets": ["no such token"]}).json()[
            "id"
        ]
        assert second["ahead"] == 1
        assert client.delete(f"/api/jobs/{second['id']}").json()["status"] == "cancelled"  # it only waited
        until(lambda: client.get(f"/api/jobs/{first}").json()["phase"])
        assert len(settled(tmp_path)) == 1  # where it works
        assert client.delete(f"/api/jobs/{first}").status_code == 202
        told = events(client.get(f"/api/jobs/{first}/events").text)
        assert told[-1][1]["status"] == "cancelled"
        failed = events(client.get(f"/api/jobs/{third}/events").text)[-1][1]
        assert failed["status"] == "failed"
        assert "no such token" in failed["error"]
        assert "\n" not in failed["error"]
        fourth = client.post("/api/jobs", json={**BODY, "name": "fourth"}).json()["id"]
        until(lambda: client.get(f"/api/jobs/{fourth}").json()["phase"])
        process = app.jobs._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        killed = events(client.get(f"/api/jobs/{fourth}/events").text)[-1][1]
        assert killed["status"] == "failed"
        assert "signal 9" in killed["error"]
        assert client.get("/api/runs").json()["runs"] == []
    assert settled(tmp_path) == []


def test_jobs_end_with_the_server(tmp_path: Path) -> None:
    app = create_app(tmp_path)
    with TestClient(app.asgi, "http://localhost") as client:
        running = client.post("/api/jobs", json=BODY).json()["id"]
        client.post("/api/jobs", json={**BODY, "name": "waits"})
        until(lambda: app.jobs._process)
        process = app.jobs._process
    assert process is not None
    assert process.returncode is not None
    assert app.jobs.find(running).status == "cancelled"
    assert all(job.status == "cancelled" for job in app.jobs.all())
    assert settled(tmp_path) == []


def test_a_job_whose_server_is_killed_ends_and_tidies_up(tmp_path: Path) -> None:
    import subprocess
    import sys

    place = tmp_path / ".circuits-job-x"
    place.mkdir()
    words = [*("attribute", "--model=toy", "--dictionary=toy", "--out=x", "--json", "--", PROMPT)]
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "circuits.server.job"],
        cwd=place,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with child:
        child.stdin.write(json.dumps({"commands": [words]}).encode() + b"\n")
        child.stdin.flush()
        assert b"phase" in child.stdout.readline()
        child.stdin.close()  # as when the other side is gone
        child.stdout.read()
    assert child.returncode is not None
    assert settled(tmp_path) == []


# ------------------------------------------------------------------------------ the queue, by itself
@contextlib.asynccontextmanager
async def queue(
    folder: Path, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Jobs, asyncio.Event]]:
    """A queue whose jobs take until the event is set, in no process."""
    jobs, go = Jobs(folder, limits), asyncio.Event()

    async def run(self: Jobs, job: Job) -> str:
        for done in range(400):
            job.progress("rows", done, 400)
            self._tell(job)
        await go.wait()
        return "cancelled" if job.cancelled else "done"

    monkeypatch.setattr(Jobs, "_run", run)
    try:
        yield jobs, go
    finally:
        go.set()
        await jobs.close()


def body(name: str) -> tuple[JobBody, str, list[list[str]]]:
    return JobBody(prompt=name), name, [[]]


def test_one_job_runs_at_a_time_the_queue_has_an_end_and_old_ones_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with queue(tmp_path, Limits(jobs=2, finished=2), monkeypatch) as (jobs, go):
            first = jobs.add(*body("1"))
            await asyncio.sleep(0)
            waiting = [jobs.add(*body("2")), jobs.add(*body("3"))]
            await asyncio.sleep(0.01)
            assert [job.status for job in (first, *waiting)] == ["running", "waiting", "waiting"]
            assert [one.ahead for one in reversed(jobs.all())] == [0, 1, 2]
            assert jobs.coming == {"1", "2", "3"}
            with pytest.raises(Refused, match="2 jobs wait already"):
                jobs.add(*body("4"))
            go.set()
            last: list[JobOut] = [state async for _, state in jobs.events(waiting[1], 0)]
            assert last[-1].status == "done"
            assert jobs.coming == set()
            assert [one.run for one in jobs.all()] == ["3", "2"]
            with pytest.raises(NotFound, match="No job"):
                jobs.find(first.id)
            await jobs.close()
            with pytest.raises(Refused, match="stopping"):
                jobs.add(*body("5"))

    asyncio.run(story())


def test_events_are_in_order_none_twice_and_the_last_is_the_end_whoever_listens_and_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        async with queue(tmp_path, Limits(), monkeypatch) as (jobs, go):
            job = jobs.add(*body("1"))

            async def listen(after: int) -> list[tuple[int, str]]:
                return [(number, state.status) async for number, state in jobs.events(job, after)]

            early = asyncio.create_task(listen(0))
            await asyncio.sleep(0.05)
            late = asyncio.create_task(listen(job.number))
            eta = jobs.out(job).eta
            assert eta is not None
            assert eta >= 0
            go.set()
            heard, rest = await early, await late
            numbers = [number for number, _ in heard]
            assert numbers == sorted(set(numbers))
            assert heard[-1][1] == rest[-1][1] == "done"
            assert rest == heard[-len(rest) :]
            assert len(job.events) == 200  # the oldest progress is forgotten, the end never
            assert await listen(0) == [(number, state.status) for number, state in job.events]

    asyncio.run(story())


# ------------------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"prompt": " \n"}, 400, "empty"),
        ({"prompt": ""}, 422, "prompt"),
        ({"name": "../x"}, 422, "name"),
        ({"name": ".hidden"}, 422, "name"),
        ({"name": "a/b"}, 422, "name"),
        ({"name": "a\0b"}, 422, "name"),
        ({"name": "there"}, 409, "there exists"),
        ({"model": "/etc"}, 400, "No model '/etc'"),
        ({"model": "../secret"}, 400, "No model"),
        ({"model": "hf:someone/something"}, 400, "No model"),
        ({"dictionary": "toi"}, 400, "Did you mean 'toy'"),
        ({"max_features": -1}, 422, "max_features"),
        ({"targets": ["x"] * 21}, 422, "targets"),
        ({"out": "/tmp/x"}, 422, "out"),
    ],
)
def test_a_job_that_asks_for_what_is_not_here_is_refused_at_once(
    tmp_path: Path, change: dict, status: int, named: str
) -> None:
    folder = tmp_path / "runs"
    save_run(sample_graph(), folder / "there")
    (tmp_path / "secret").mkdir()
    with TestClient(create_app(folder).asgi, "http://localhost") as client:
        answer = client.post("/api/jobs", json={**BODY, **change})
        assert answer.status_code == status
        assert named in answer.json()["error"]
        assert client.get("/api/jobs").json() == []
        assert client.delete("/api/jobs/nothing").status_code == 404


def test_what_looks_like_an_option_is_none(tmp_path: Path) -> None:
    from circuits.server.folder import Folder
    from circuits.server.job_routes import commands_of
    from circuits.server.served import Served

    served = Served(Folder(tmp_path), Limits())
    asked = JobBody(prompt="--overwrite", targets=["--json"], name="x", combinations=True)
    (first, second), name = commands_of(served, asked, ())
    assert name == "x"
    assert first[-2:] == ["--", "--overwrite"]
    assert "--target=--json" in first
    assert second == ["interact", "--json", "--", "x"]


def test_a_folder_that_cannot_be_written_shows_runs_and_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_run(sample_graph(), tmp_path / "there")
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with TestClient(create_app(tmp_path).asgi, "http://localhost") as client:
        assert not client.get("/api/runs").json()["writable"]
        answer = client.post("/api/jobs", json=BODY)
        assert answer.status_code == 403
        assert "cannot be written" in answer.json()["error"]


def test_names_of_runs_come_from_the_prompt_and_are_never_taken() -> None:
    assert slug("Mary and John had a drink") == "john-had-a-drink"
    assert slug("../../etc/passwd") == "etc-passwd"
    assert slug("Ünïcode ÉTÉ") == "unicode-ete"
    assert slug("日本語") == "run"
    assert len(slug("word" * 100)) <= 60
    assert free("a", {"a", "a-2", "b"}) == "a-3"
