"""`circuits serve`: a folder of runs in the browser."""

from __future__ import annotations

import contextlib
import importlib
import shlex
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group

from circuits.cli import options
from circuits.cli.console import Output, commands, facts, heading, stack
from circuits.errors import MissingPackage

NEEDED = ("fastapi", "sse_starlette", "uvicorn")
PORT = 8000


def serve(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder that holds the runs, or a single run.")
    ] = Path("run"),
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Where to listen; 0 takes a free port.")
    ] = PORT,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Who can reach it: this machine only, or 0.0.0.0 for all.")
    ] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            envvar="CIRCUITS_TOKEN",
            help="What a visitor must bring.",
            show_default="none on this machine, else a new one",
        ),
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Serve a folder of runs: look at them, ask, intervene and make new ones, in the browser or by an API.

    Only what lies in DIR is served, and only to this machine unless --host says otherwise; then a token is
    asked for, which the printed link holds. **/docs** describes the API.

    ```
    circuits serve run
    circuits serve run --host 0.0.0.0 --port 9000
    ```
    """
    _check_installed()
    from circuits.server.app import create_app
    from circuits.server.folder import Folder
    from circuits.server.guard import Door
    from circuits.server.listen import link, listen, listener, token_for

    output = Output(json, quiet)
    asked = token_for(host, token)
    found = Folder(folder).names()  # what is wrong with it is told before a port is taken
    with contextlib.closing(listener(host, port)) as bound:
        number = int(bound.getsockname()[1])
        address = link(host, number, asked)
        app = create_app(folder, door=Door(host, number, asked))

        def begun() -> None:
            document = {"url": address, "folder": str(folder), "runs": len(found), "token": asked}
            demo = shlex.quote(str(folder / "demo"))
            count = f"{len(found):,} run{'' if len(found) == 1 else 's'}"
            output.result(
                stack(
                    heading(f"{folder} ({count}) is served at {address}"),
                    facts([("stop", "Ctrl-C"), ("API", f"{address.partition('?')[0]}docs")]),
                    None
                    if found
                    else Group(
                        heading("Next"),
                        commands([(f"circuits demo -o {demo}", "a first run")]),
                    ),
                ),
                document,
            )
            if open_:
                webbrowser.open(address)

        listen(app, bound, begun)
    output.note("Stopped.")


def _check_installed() -> None:
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError as cause:
            raise MissingPackage(
                f"circuits serve needs the package {name.replace('_', '-')}: pip install"
                " 'clearbox-circuits[serve]'."
            ) from cause
