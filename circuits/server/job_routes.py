"""New prompts as jobs: added, watched, ended."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header
from fastapi.responses import Response

from circuits.errors import OutputExists, UsageError, WriteFailed, near_matches
from circuits.server.jobs import Jobs
from circuits.server.records import JobBody, JobOut
from circuits.server.runs import PROBLEMS
from circuits.server.served import Served

PING: Final = 15
"""Seconds after which a silent stream shows that it still stands."""


def router(served: Served, jobs: Jobs) -> APIRouter:
    """Gives the addresses below /api/jobs."""
    from sse_starlette import EventSourceResponse

    routes = APIRouter(prefix="/api/jobs", tags=["jobs"], responses=PROBLEMS)

    @routes.get("", summary="List the jobs")
    async def listed() -> list[JobOut]:
        """Jobs that wait, run, or ended a while ago, the newest first."""
        return jobs.all()

    @routes.post("", summary="Make a run of a prompt", status_code=202)
    async def add(body: JobBody) -> JobOut:
        """Puts a prompt into the queue; its run appears in the list when it is whole.

        Model and dictionary are those that are bundled, those a listed run was made with, or files below
        the served folder.
        """
        commands, run = commands_of(served, body, jobs.coming)
        return jobs.out(jobs.add(body, run, commands))

    @routes.get("/{job}", summary="How a job stands")
    async def one(job: str) -> JobOut:
        """Phase, how much of it is done, and about how long it still takes."""
        return jobs.out(jobs.find(job))

    @routes.get("/{job}/events", summary="Follow a job", response_class=Response)
    async def events(job: str, last_event_id: Annotated[str | None, Header()] = None) -> Response:
        """Server-sent events named `job`, each the job as it then stands, until it ends.

        After a broken connection `Last-Event-ID` goes on from there; 204 says that nothing more comes.
        """
        found = jobs.find(job)
        after = int(last_event_id) if last_event_id and last_event_id.isdecimal() else 0
        if found.over and after >= found.number:
            return Response(status_code=204)

        async def stream() -> AsyncIterator[Mapping[str, Any]]:
            async for number, state in jobs.events(found, after):
                yield {"id": str(number), "event": "job", "data": json.dumps(state.model_dump())}

        return EventSourceResponse(stream(), ping=PING)

    @routes.delete("/{job}", summary="Cancel a job", status_code=202)
    async def cancel(job: str) -> JobOut:
        """Ends a job; nothing of its run is left. One that has ended stays as it is."""
        found = jobs.find(job)
        jobs.cancel(found)
        return jobs.out(found)

    return routes


def commands_of(served: Served, body: JobBody, coming: Iterable[str]) -> tuple[list[list[str]], str]:
    """Gives the commands that make a run of a prompt, and the run's name.

    Args:
        served: the folder.
        body: what was asked for.
        coming: names of runs that other jobs will make.

    Raises:
        UsageError: the prompt is blank, or model and dictionary are not offered here.
        OutputExists: a run, or anything else, has the name.
        WriteFailed: the folder cannot be written.
    """
    root = served.folder.root
    if served.folder.single:
        raise WriteFailed(f"{root.name} is a single run: serve the folder above it to add runs.")
    if not os.access(root, os.W_OK | os.X_OK):
        raise WriteFailed(f"{root.name} cannot be written: runs can be looked at here, not added.")
    if not body.prompt.strip():
        raise UsageError("The prompt is empty: give at least one word.")
    taken = {*(entry.name for entry in os.scandir(root)), *coming}
    name = body.name.strip() if body.name else free(slug(body.prompt), taken)
    if name in taken:
        raise OutputExists(f"{name} exists: choose another name for the run.")
    model, dictionary = _specs(served, body)
    lists = [("target", body.targets), ("feature", body.features)]
    words = ["attribute", f"--model={model}", f"--dictionary={dictionary}", f"--out={name}"]
    words += [f"--{option}={value}" for option, values in lists for value in values]
    words += [f"--over={body.over}"] if body.over else []
    words += [f"--select={body.select}"] if body.select else []
    words += [f"--max-features={body.max_features}"] if body.max_features != 4_000 else []
    words += ["--keep-trace"] if body.keep_trace else []
    commands = [[*words, "--json", "--", body.prompt]]
    if body.combinations:
        commands.append(["interact", "--json", "--", name])
    return commands, name


def slug(prompt: str) -> str:
    """Gives a name for the run of a prompt: its last words, as a folder may be called.

    Example:
        >>> slug("The capital of the state containing Dallas is"), slug("…")
        ('state-containing-dallas-is', 'run')
    """
    plain = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(words[-4:])[:60].strip("-") or "run"


def free(name: str, taken: Iterable[str]) -> str:
    """Gives the name, numbered where it is taken."""
    taken = set(taken)
    number = 2
    found = name
    while found in taken:
        found, number = f"{name}-{number}", number + 1
    return found


def _specs(served: Served, body: JobBody) -> tuple[str, str]:
    """Gives model and dictionary as the job's process, which works elsewhere, will find them."""
    choices = served.choices()
    if (body.model, body.dictionary) in choices:
        return _found_from(body.model), _found_from(body.dictionary)
    specs = []
    for what, spec, offered in (
        ("model", body.model, [model for model, _ in choices]),
        ("dictionary", body.dictionary, [dictionary for _, dictionary in choices]),
    ):
        place = None if spec in offered else served.folder.below(spec)
        if place is None and spec not in offered:
            known = list(dict.fromkeys(offered))
            raise UsageError(
                f"No {what} {spec[:100]!r} here: there are {', '.join(known)}, and what lies below the served"
                f" folder. A run made on the command line brings its own.{near_matches(spec[:100], known)}"
            )
        specs.append(_found_from(spec) if place is None else str(place))
    return specs[0], specs[1]


def _found_from(spec: str) -> str:
    """Gives a spec that works from any directory."""
    return str(Path(spec).absolute()) if Path(spec).exists() else spec
