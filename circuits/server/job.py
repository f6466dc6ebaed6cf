"""The process of one job: runs commands of `circuits` and tells how they get on, a line of JSON at a time.

It is given its commands as one line of JSON on stdin, works in the directory it is started in, and
answers on stdout. When stdin ends, whoever started it is gone: it interrupts itself, and leaves nothing.
`circuits.server.jobs` is that other side.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from circuits.cli import progress
from circuits.cli.main import INTERRUPTED
from circuits.cli.main import run as command_line

OFTEN: Final = 0.1
"""Seconds between two lines about the same phase."""

LEFT: Final = 10.0
"""Seconds to end in, once nobody is there any more."""

Say = Callable[[dict[str, Any]], None]


def run() -> None:
    """Runs the commands that stdin gives, one after the other, until one fails."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)  # what else is printed is not part of the answer

        def say(line: dict[str, Any]) -> None:
            with contextlib.suppress(BrokenPipeError):
                print(json.dumps(line), file=out, flush=True)

        request = json.loads(sys.stdin.readline())
        alone = threading.Event()
        threading.Thread(target=_watch, args=(alone,), daemon=True).start()
        with _told(say):
            for number, command in enumerate(request["commands"]):
                if not _command(command, number, say):
                    break
        if alone.is_set():
            shutil.rmtree(Path.cwd(), ignore_errors=True)


def _command(words: Sequence[str], number: int, say: Say) -> bool:
    """Tells whether a command succeeded, after telling what it gave."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = command_line(list(words))
    try:
        document = json.loads(printed.getvalue())
    except ValueError:
        document = {}
    if code:
        say({"failed": number, "code": code, "error": document.get("error", {}).get("message", "")})
    else:
        say({"finished": number})
    return code == 0


@contextlib.contextmanager
def _told(say: Say) -> Iterator[None]:
    """Has progress told in lines of JSON."""
    last: tuple[str, float] = ("", 0.0)

    def tell(phase: str, done: int, total: int, detail: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if phase != last[0] or now - last[1] >= OFTEN or (total and done >= total):
            last = (phase, now)
            says = ": ".join(filter(None, (progress.WORDS.get(phase, phase), detail)))
            say({"phase": says, "done": done, "total": total})

    with progress.told_to(tell):
        yield


def _watch(alone: threading.Event) -> None:
    sys.stdin.read()  # until the other side is gone
    alone.set()
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(LEFT)
    shutil.rmtree(Path.cwd(), ignore_errors=True)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    run()
