"""One question to an OpenAI-compatible endpoint: timeouts, bounded retries, a limit on requests a minute."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from circuits.errors import CircuitsError, UsageError

KEY: Final = "OPENAI_API_KEY"
"""The environment variable that the key is read from; none is sent where it is empty."""

_TRIES = 4
_LARGEST = 2**20  # bytes of an answer
_AGAIN = (408, 409, 429, 500, 502, 503, 504)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass
class Endpoint:
    """A chat model behind a URL.

    Attributes:
        url: without `/chat/completions`.
        model: its name there.
        key: sent as a bearer token, or empty.
        timeout: seconds to wait for an answer.
        pause: seconds between the beginnings of two requests, at least.
        wait: seconds before the first retry; doubled each time.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 60.0
    pause: float = 1.0
    wait: float = 1.0
    _last: float = field(default=-1e9, repr=False)

    @classmethod
    def of(cls, url: str, model: str, *, per_minute: float = 60) -> Endpoint:
        """Gives the endpoint of a URL, its key taken from the environment.

        Raises:
            UsageError: the URL is no http or https address.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise UsageError(f"{url!r} is no endpoint: give an address such as http://127.0.0.1:8000/v1.")
        return cls(url.rstrip("/"), model, os.environ.get(KEY, ""), pause=60 / per_minute)

    def ask(self, system: str, question: str, *, most: int = 300) -> str:
        """Gives the model's answer to a question.

        Args:
            system: what it is to do.
            question: the rest.
            most: tokens of the answer.

        Raises:
            CircuitsError: the endpoint cannot be reached, refuses, or answers with something else.
        """
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        asked = {"model": self.model, "messages": messages, "temperature": 0, "max_tokens": most}
        body = json.dumps(asked).encode()
        for attempt in range(_TRIES):
            self._keep_pace()
            try:
                return self._answer(body)
            except urllib.error.HTTPError as cause:
                if cause.code not in _AGAIN or attempt == _TRIES - 1:
                    said = " ".join(cause.read(200).decode(errors="replace").split())
                    raise CircuitsError(
                        f"{self.url} refused with status {cause.code} ({said or cause.reason}): check"
                        f" address, model and {KEY}."
                    ) from None
                time.sleep(self._delay(cause.headers.get("Retry-After"), attempt))
            except (OSError, http.client.HTTPException) as cause:
                if attempt == _TRIES - 1:
                    reason = getattr(cause, "reason", None) or cause
                    raise CircuitsError(
                        f"{self.url} gave no answer in {_TRIES} tries ({reason}): check that it runs."
                        " What was explained so far is kept."
                    ) from None
                time.sleep(self._delay(None, attempt))
        raise AssertionError  # the last attempt returns or raises

    def _answer(self, body: bytes) -> str:
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(  # noqa: S310 - `of` admits http and https only
            f"{self.url}/chat/completions", data=body, headers=headers
        )
        opener = urllib.request.build_opener(_NoRedirect)
        with opener.open(request, timeout=self.timeout) as response:
            raw = response.read(_LARGEST + 1)
        try:
            text = json.loads(raw)["choices"][0]["message"]["content"]
        except (ValueError, KeyError, IndexError, TypeError):
            text = None
        if not isinstance(text, str) or len(raw) > _LARGEST:
            raise CircuitsError(f"{self.url} gave an answer that is no chat completion: check the address.")
        return text

    def _keep_pace(self) -> None:
        left = self._last + self.pause - time.monotonic()
        if left > 0:
            time.sleep(left)
        self._last = time.monotonic()

    def _delay(self, asked: str | None, attempt: int) -> float:
        wanted = float(asked) if asked and asked.isdecimal() else 0.0
        return float(min(60.0, max(wanted, self.wait * 2**attempt)))
