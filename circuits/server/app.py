"""The app, put together."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from circuits import __version__
from circuits.server import asking, job_routes, pages, refusals, runs
from circuits.server.desk import Desk
from circuits.server.folder import Folder
from circuits.server.guard import Door, Guard
from circuits.server.jobs import Jobs
from circuits.server.limits import Limits
from circuits.server.served import Served

ABOUT = (
    "Runs of circuits: which features of a language model, and which combinations of them, produce an output."
    " A run is named as the list names it."
)


@dataclass(frozen=True)
class App:
    """What is served, and what must be ended when it no longer is.

    Attributes:
        asgi: what answers requests.
        api: the same without its guard.
        served: the runs.
        jobs: new prompts.
        desks: where requests are computed.
    """

    asgi: ASGIApp
    api: FastAPI
    served: Served
    jobs: Jobs
    desks: tuple[Desk, ...]

    async def close(self) -> None:
        """Ends all jobs, and lets nothing more begin."""
        for desk in self.desks:
            desk.close()
        await self.jobs.close()


def create_app(folder: Path, *, door: Door | None = None, limits: Limits | None = None) -> App:
    """Gives the app of a folder of runs.

    Args:
        folder: with runs in it, or a single run.
        door: who may come in; this machine alone unless given.
        limits: what a request may take; the usual unless given.

    Raises:
        NotFound: there is no such folder.
        UsageError: it is a file.

    Example:
        >>> app = create_app(Path("run"))  # doctest: +SKIP
        >>> TestClient(app.asgi, "http://localhost").get("/api/runs").json()  # doctest: +SKIP
    """
    door, limits = door or Door(), limits or Limits()
    served = Served(Folder(folder, most=limits.runs, depth=limits.depth), limits)
    jobs = Jobs(served.folder.root, limits)
    desk, bench = Desk(limits.threads, limits.waiting), Desk(1, limits.waiting)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await app.close()

    api = FastAPI(
        title="circuits",
        version=__version__,
        description=ABOUT,
        docs_url=None,  # FastAPI's own pages load from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    api.include_router(runs.router(served, desk))
    api.include_router(asking.router(served, desk, bench))
    api.include_router(job_routes.router(served, jobs))

    @api.get("/api/questions", tags=["questions"], summary="All that can be asked in words")
    def questions() -> list[dict[str, Any]]:
        """The forms of the grammar of `circuits ask`, and what each answers."""
        return asking.questions()

    pages.install(api, token=door.token is not None)
    refusals.install(api, served.folder)
    app = App(Guard(api, door, limits.body), api, served, jobs, (desk, bench))
    return app
