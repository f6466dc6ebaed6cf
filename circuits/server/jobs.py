"""Jobs: new prompts, one at a time, each in a process of its own, so that one can be ended and may crash."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from circuits.cli.main import INTERRUPTED
from circuits.errors import NotFound
from circuits.server.limits import Limits
from circuits.server.records import JobBody, JobOut, Status
from circuits.server.refusals import Refused

HIDDEN: Final = ".circuits-job-"
"""How the folder begins in which a job works; the list of runs does not look into hidden folders."""

REMEMBERED: Final = 200
"""Events of a job that can be sent again."""

ENDED: Final = ("done", "failed", "cancelled")


@dataclass(eq=False)
class Job:
    """A prompt on its way to a run.

    Attributes:
        id: of the job.
        asked: what for.
        run: the name of the run it makes.
        commands: words of the commands that make it.
    """

    id: str
    asked: JobBody
    run: str
    commands: list[list[str]]
    status: Status = "waiting"
    phase: str = ""
    done: int = 0
    total: int = 0
    error: str | None = None
    note: str | None = None
    began: float = 0.0
    ended: float = 0.0
    phase_began: float = 0.0
    cancelled: bool = False
    number: int = 0
    events: deque[tuple[int, JobOut]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def over(self) -> bool:
        """Tells whether it has ended."""
        return self.status in ENDED

    def progress(self, phase: str, done: int, total: int) -> None:
        """Takes note of how it gets on."""
        if phase != self.phase:
            self.phase, self.phase_began = phase, time.monotonic()
        self.done, self.total = done, total

    @property
    def eta(self) -> float | None:
        """Gives the seconds until this phase ends, if it goes on as it went."""
        if self.over or not 0 < self.done < self.total:
            return None
        return (time.monotonic() - self.phase_began) / self.done * (self.total - self.done)


class Jobs:
    """The queue. All of it runs in the server's event loop.

    Args:
        folder: where runs are put.
        limits: how many may wait, how long one has to end.
    """

    def __init__(self, folder: Path, limits: Limits) -> None:
        self.folder = folder
        self.limits = limits
        self._jobs: dict[str, Job] = {}
        self._queue: deque[Job] = deque()
        self._running: Job | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._worker: asyncio.Task[None] | None = None
        self._closed = False

    def all(self) -> list[JobOut]:
        """Gives all jobs that are remembered, the newest first."""
        return [self.out(job) for job in reversed(self._jobs.values())]

    def find(self, name: str) -> Job:
        """Gives a job by its id.

        Raises:
            NotFound: it is not remembered.
        """
        job = self._jobs.get(name)
        if job is None:
            raise NotFound(f"No job {name[:100]!r}: the list of jobs tells which there are.")
        return job

    def out(self, job: Job) -> JobOut:
        """Gives how a job stands."""
        ahead = self._queue.index(job) + (self._running is not None) if job in self._queue else 0
        until = job.ended or time.monotonic()
        return JobOut(
            id=job.id,
            run=job.run,
            prompt=job.asked.prompt,
            model=job.asked.model,
            dictionary=job.asked.dictionary,
            status=job.status,
            ahead=ahead,
            phase=job.phase,
            done=job.done,
            total=job.total,
            eta=job.eta,
            seconds=until - job.began if job.began else 0.0,
            error=job.error,
            note=job.note,
        )

    def add(self, asked: JobBody, run: str, commands: list[list[str]]) -> Job:
        """Gives a new job, waiting for its turn.

        Raises:
            Refused: too many wait, or the server is stopping.
        """
        if self._closed:
            raise Refused(503, "The server is stopping: start it again with `circuits serve`.")
        if len(self._queue) >= self.limits.jobs:
            raise Refused(429, f"{len(self._queue)} jobs wait already: cancel one, or wait.", retry=30)
        job = Job(secrets.token_urlsafe(8), asked, run, commands)
        self._jobs[job.id] = job
        self._queue.append(job)
        self._tell(job)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return job

    @property
    def coming(self) -> set[str]:
        """Gives the names of runs that are being made or wait to be."""
        return {job.run for job in self._jobs.values() if not job.over}

    def cancel(self, job: Job) -> None:
        """Ends a job: one that waits at once, one that runs as soon as its process has."""
        if job.over:
            return
        job.cancelled = True
        if job in self._queue:
            self._queue.remove(job)
            self._end(job, "cancelled")
        elif self._process is not None:
            _signal(self._process, signal.SIGINT)
            asyncio.get_running_loop().call_later(self.limits.grace, _signal, self._process, signal.SIGKILL)

    async def close(self) -> None:
        """Ends all jobs and lets no new one in."""
        self._closed = True
        for job in [*self._queue, *([self._running] if self._running else [])]:
            self.cancel(job)
        if self._worker is not None:
            await self._worker

    async def events(self, job: Job, after: int) -> AsyncIterator[tuple[int, JobOut]]:
        """Gives what happens to a job, from the event after `after` on, until it ends."""
        while True:
            changed = job.changed
            for number, state in list(job.events):
                if number > after:
                    after = number
                    yield number, state
            if job.over and after >= job.number:
                return
            await changed.wait()

    async def _work(self) -> None:
        while self._queue and not self._closed:
            job = self._queue.popleft()
            self._running = job
            job.status, job.began = "running", time.monotonic()
            self._tell(job)
            try:
                status = await self._run(job)
            except OSError as cause:
                job.error = f"{self.folder.name} cannot be written: {cause.strerror}."
                status = "failed"
            self._running = None
            self._end(job, status)
            for waiting in self._queue:  # each has come one nearer
                self._tell(waiting)

    async def _run(self, job: Job) -> Status:
        """Gives how a job ended; its run then stands in the folder, or nothing of it does."""
        place = Path(tempfile.mkdtemp(prefix=HIDDEN, dir=self.folder))
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "circuits.server.job"),
                cwd=place,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                limit=1_000_000,
                start_new_session=True,  # Ctrl-C in the terminal is the server's to pass on
            )
            self._process = process
            try:
                ended = await self._followed(job, process)
            finally:
                self._process = None
                _signal(process, signal.SIGKILL)  # and what it may have started
                await process.wait()
            if job.cancelled:
                return "cancelled"
            return self._placed(job, place / job.run) if ended else "failed"
        finally:
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def _followed(self, job: Job, process: asyncio.subprocess.Process) -> bool:
        """Tells whether a job's run was made, after following its process to the end."""
        assert process.stdin is not None
        assert process.stdout is not None
        if job.cancelled:
            return False
        with contextlib.suppress(ConnectionError):
            process.stdin.write(json.dumps({"commands": job.commands}).encode() + b"\n")
            await process.stdin.drain()
        finished = 0
        async for line in process.stdout:
            said: dict[str, Any] = json.loads(line)
            if "phase" in said:
                job.progress(said["phase"], said["done"], said["total"])
                self._tell(job)
            elif "finished" in said:
                finished += 1
            elif said.get("code") == INTERRUPTED:
                job.error = "It was interrupted."
            else:
                job.error = said.get("error") or f"It ended with code {said.get('code')}."
        code = await process.wait()
        if finished == len(job.commands):
            return True
        how = f"killed by signal {-code}" if code < 0 else f"code {code}"
        told = (
            job.error
            or f"Its process ended ({how}), perhaps for lack of memory: `circuits estimate` tells what a run"
            " needs."
        )
        if finished:  # the run is there, what should have been added to it is not
            job.error, job.note = None, f"The run was made, but without combinations. {told}"
            return True
        job.error = told
        return False

    def _placed(self, job: Job, made: Path) -> Status:
        """Gives "done" once the run stands where it belongs."""
        where = self.folder / job.run
        if where.exists() or where.is_symlink():
            job.error = f"{job.run} exists by now: try again with another name."
            return "failed"
        made.rename(where)
        return "done"

    def _end(self, job: Job, status: Status) -> None:
        job.status, job.ended = status, time.monotonic()
        if status == "cancelled":
            job.error = None
        self._tell(job)
        over = [one for one in self._jobs.values() if one.over]
        for old in over[: -self.limits.finished]:
            del self._jobs[old.id]

    def _tell(self, job: Job) -> None:
        job.number += 1
        job.events.append((job.number, self.out(job)))
        job.changed.set()
        job.changed = asyncio.Event()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signals a process that leads its own group, and what it started; one that has ended is no matter."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
