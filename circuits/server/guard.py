"""What stands before every request: who may ask, from where, how much; and the headers of every answer.

=============  ========================================================================================
against        what
=============  ========================================================================================
DNS rebinding  the Host must be a number address, this machine's name, or the name that was bound
other sites    no CORS; a request a browser sends from another site is refused, by Origin and by fetch
               metadata; what changes or computes takes JSON only, which no form can send
other people   a token, wherever the server is reached from beyond this machine
large bodies   more than `limits.body` bytes are not read
pages          a strict content security policy: own scripts, own styles, no frames, no other address
=============  ========================================================================================
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from circuits.server.refusals import told

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")
ENTER: Final = (
    "<!doctype html><meta charset='utf-8'><title>circuits</title>"
    "<meta http-equiv='refresh' content='0;url=/'><p>Opening <a href='/'>the app</a> …"
)
LOCKED: Final = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>circuits: token needed</title>"
    "<link rel='stylesheet' href='/static/page.css'>"
    "<main class='docs'><h1>This server asks for its token</h1>"
    "<p>Open the link that <code>circuits serve</code> printed when it started: it holds the token, and"
    " this browser then remembers it.</p></main></html>"
)


@dataclass(frozen=True)
class Door:
    """Who may come in.

    Attributes:
        host: the name or address the server is bound to.
        port: where it listens; part of the cookie's name, because cookies know no ports.
        token: asked for from everybody; None where only this machine can reach the server.
    """

    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None

    @property
    def cookie(self) -> str:
        """Gives the name of the cookie that holds the token."""
        return f"circuits-{self.port}"

    def knows(self, host: str) -> bool:
        """Tells whether a Host header can be meant for this server.

        A page that has its name point here, to read what it may not, sends that name. A number address
        it cannot have; a name it does not own it cannot have either.
        """
        name = _name(host)
        if name in ("localhost", self.host.lower()):
            return True
        number = _number(name)
        if is_loopback(self.host):
            return number is not None and number.is_loopback
        return number is not None or name in (socket.gethostname().lower(), socket.getfqdn().lower())

    def admits(self, given: str | None) -> bool:
        """Tells whether a token is the right one, in a time that does not depend on how wrong it is."""
        if self.token is None:
            return True
        return hmac.compare_digest((given or "").encode("utf-8", "replace"), self.token.encode())


class Guard:
    """Wraps the app; nothing reaches it, and nothing leaves it, but through here.

    Args:
        app: what is guarded.
        door: who may come in.
        body: bytes of a request that are read at most.
    """

    def __init__(self, app: ASGIApp, door: Door, body: int) -> None:
        self.app = app
        self.door = door
        self.body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers, or lets the app answer."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                if "server" in headers:
                    del headers["server"]
            await send(message)

        refusal = self._refusal(scope) or self._entrance(scope)
        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        text = await _body(receive, self.body) if scope["method"] in CHANGING else b""
        if text is None:
            await self._large()(scope, receive, with_headers)
            return
        await self.app(scope, _replayed(text, receive) if text else receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Gives why a request may not come from where it comes from, None where it may."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self.door.knows(host):
            return told(
                421,
                "Refused",
                f"The address {_name(host)[:100]!r} is not this server's: open the link it printed.",
            )
        site = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin")
        foreign = origin is not None and origin.lower() not in (
            f"http://{host.lower()}",
            f"https://{host.lower()}",
        )
        changing = scope["method"] in CHANGING
        if (changing and foreign) or (site in ("cross-site", "same-site") and (changing or _api(scope))):
            return told(
                403, "Refused", "A page of another site sent this request: use this server's own pages."
            )
        if changing and int(headers.get("content-length", "0") or 0) > self.body:
            return self._large()
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if scope["method"] in ("POST", "PUT", "PATCH") and kind != "application/json":
            return told(
                415, "UsageError", "The request is not JSON: send it as Content-Type: application/json."
            )
        return None

    def _entrance(self, scope: Scope) -> Response | None:
        """Gives what a request without the right token sees, or one that brings it in a link; else None."""
        if self.door.token is None or scope["path"] == "/static/page.css":
            return None
        headers = Headers(scope=scope)
        if self.door.admits(_bearer(headers)) or self.door.admits(_cookie(headers, self.door.cookie)):
            return None
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [])
        if scope["path"] == "/" and scope["method"] == "GET" and asked and self.door.admits(asked[0]):
            # a page that leads on, not a redirect: after a link from another site a redirect would still
            # count as that site's, and the cookie would stay behind
            entered = HTMLResponse(ENTER)
            entered.set_cookie(
                self.door.cookie, str(self.door.token), httponly=True, samesite="strict", path="/"
            )
            return entered
        if _api(scope):
            return told(
                401,
                "Refused",
                "The token is missing or wrong: send Authorization: Bearer TOKEN, or open the link that"
                " `circuits serve` printed.",
            )
        return HTMLResponse(LOCKED, 401)

    def _large(self) -> Response:
        return told(413, "UsageError", f"The request has more than {self.body:,} bytes: send less.")


def is_loopback(host: str) -> bool:
    """Tells whether only this machine reaches what is bound to a name or address."""
    number = _number(host.strip("[]"))
    return host.lower() == "localhost" if number is None else number.is_loopback


def _api(scope: Scope) -> bool:
    return str(scope["path"]).startswith(("/api/", "/openapi"))


def _name(host: str) -> str:
    """Gives a Host header without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        name, _, port = host[1:].partition("]")
        return name if re.fullmatch(r"(:\d+)?", port) else ""
    return host.rpartition(":")[0] if host.count(":") == 1 else host


def _number(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _bearer(headers: Headers) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _cookie(headers: Headers, name: str) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return None
    return found.value if found else None


async def _body(receive: Receive, most: int) -> bytes | None:
    """Gives the whole body, None if it is larger than `most`."""
    parts: list[bytes] = []
    room = most
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        room -= len(message.get("body", b""))
        if room < 0:
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _replayed(text: bytes, receive: Receive) -> Receive:
    """Gives a `receive` that gives a body that was read already, then what else comes."""
    waiting: Iterable[Message] = iter([{"type": "http.request", "body": text, "more_body": False}])

    async def again() -> Message:
        for message in waiting:
            return message
        return await receive()

    return again
