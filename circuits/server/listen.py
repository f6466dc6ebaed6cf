"""Listening: a socket of this machine, and an end that leaves nothing behind."""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import sys
import time
from collections.abc import Callable
from typing import Final

import uvicorn

from circuits.errors import CircuitsError, UsageError
from circuits.server.app import App
from circuits.server.guard import is_loopback

SHORTEST: Final = 16
"""Characters of a token that is given; one that is made has 43."""

NO_ADDRESS: Final = "This machine has no address"
GIVE: Final = "give 127.0.0.1, or 0.0.0.0 for all it has."

PATIENCE: Final = 3
"""Seconds that requests under way have to end in when the server stops."""


class Server(uvicorn.Server):
    """Uvicorn's, which ends the jobs first: whoever watches one then hears of its end."""

    def __init__(self, app: App, begun: Callable[[], None]) -> None:
        settings = uvicorn.Config(
            app.asgi,
            log_config=None,
            access_log=False,  # it would hold the token of the link
            server_header=False,
            timeout_graceful_shutdown=PATIENCE,
            ws="none",
        )
        super().__init__(settings)
        self.app = app
        self.begun = begun

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, and says so."""
        await super().startup(sockets)
        self.begun()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the jobs, then the connections."""
        await self.app.close()
        await super().shutdown(sockets)


def listener(host: str, port: int) -> socket.socket:
    """Gives a bound socket.

    Args:
        host: a name or address of this machine.
        port: 0 takes a free one.

    Raises:
        UsageError: this machine has no such name or address.
        CircuitsError: the port is in use, or not ours to take.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as cause:
        raise UsageError(f"{NO_ADDRESS} {host!r}: {GIVE}") from cause
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(128)
    except OSError as cause:
        bound.close()
        if cause.errno == errno.EADDRINUSE:
            raise CircuitsError(
                f"Port {port} is in use: stop what listens there, or choose another with --port (0 takes"
                " a free one)."
            ) from cause
        if cause.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{NO_ADDRESS} {host!r}: {GIVE}") from cause
        raise CircuitsError(
            f"Port {port} of {host} cannot be taken ({cause.strerror}): choose another with --port, above"
            " 1023."
        ) from cause
    return bound


def token_for(host: str, given: str | None) -> str | None:
    """Gives the token to ask for: the one given, a new one where other machines reach `host`, else none.

    Raises:
        UsageError: the one given is too short, or cannot stand in a header.
    """
    if given is not None:
        if len(given) < SHORTEST or not re.fullmatch(r"[A-Za-z0-9._~-]+", given):
            raise UsageError(
                f"The token has {len(given)} characters, or others than letters, digits and -._~: give at"
                f" least {SHORTEST} of these, or leave --token out and one is made."
            )
        return given
    return None if is_loopback(host) else secrets.token_urlsafe(32)


def link(host: str, port: int, token: str | None) -> str:
    """Gives the address to open."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - told, not bound
        host = socket.gethostname()
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def listen(app: App, bound: socket.socket, begun: Callable[[], None]) -> None:
    """Answers requests until Ctrl-C or SIGTERM.

    Args:
        app: what answers.
        bound: where.
        begun: called once requests are answered.
    """
    try:
        Server(app, begun).run(sockets=[bound])
    except KeyboardInterrupt:  # the usual end
        pass
    finally:
        until = time.monotonic() + PATIENCE
        while any(desk.busy for desk in app.desks) and time.monotonic() < until:
            time.sleep(0.05)
        if any(desk.busy for desk in app.desks):  # a computation that cannot be stopped; it writes nothing
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
