"""The entry point: runs a command and turns whatever goes wrong into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import typer

from circuits.cli import console, interrupts
from circuits.cli.app import app
from circuits.errors import CircuitsError
from circuits.shown import shown

INTERRUPTED = 130
ISSUES = "Set CIRCUITS_DEBUG=1 to see where."


@dataclass(frozen=True)
class Failure:
    """What went wrong, as it is told: the kind of error, one sentence, and the exit code."""

    kind: str
    message: str
    exit_code: int


def main() -> None:
    """Runs the command line and exits with its code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal without our signs shows ? rather than failing
            stream.reconfigure(errors="replace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Gives the exit code of the command line `arguments`, after running it."""
    words = list(arguments)
    try:
        with interrupts.heard(), _manners(quiet="--quiet" in words or "-q" in words):
            command = typer.main.get_command(app)
            code = command.main(args=words, prog_name="circuits", standalone_mode=False, obj=tuple(words))
        if code != INTERRUPTED:  # typer turns Ctrl-C into this code
            return code if isinstance(code, int) else 0
        failure = Failure("Interrupted", "Interrupted: nothing half-written is left.", INTERRUPTED)
    except KeyboardInterrupt:
        failure = Failure("Interrupted", "Interrupted: nothing half-written is left.", INTERRUPTED)
    except Exception as error:  # the one place where everything ends
        if os.environ.get("CIRCUITS_DEBUG"):
            traceback.print_exc()
        failure = explain(error)
    _tell(failure, as_json="--json" in words)
    return failure.exit_code


def explain(error: Exception) -> Failure:
    """Gives an exception as a sentence and an exit code."""
    if isinstance(error, CircuitsError):
        return Failure(type(error).__name__, str(error), error.exit_code)
    if hasattr(error, "format_message"):  # a usage error of typer's, in any of its versions
        return Failure("UsageError", _usage(error), int(getattr(error, "exit_code", 2)))
    if _out_of_memory(error):
        return Failure(
            "OutOfMemory",
            "Out of memory: `circuits estimate` tells what a run needs; fewer --max-features, a shorter"
            " prompt or --select take less.",
            1,
        )
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return Failure("SystemError", f"The system refused: {error.strerror}{where}.", 1)
    kind, text = type(error).__name__, " ".join(str(error).split()) or "no message"
    return Failure(
        "Unexpected",
        f"This is a bug in circuits, please report it: {kind}: {text.rstrip('.')}. {ISSUES}",
        1,
    )


def _usage(error: Any) -> str:
    said = " ".join(str(error.format_message()).split()).rstrip(".")
    context = getattr(error, "ctx", None)
    return f"{said}: see `{context.command_path if context else 'circuits'} --help`."


def _out_of_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if not isinstance(error, RuntimeError):
        return False
    signs = ("RESOURCE_EXHAUSTED", "out of memory", "not enough memory", "can't allocate memory")
    return any(sign in str(error) for sign in signs)  # as JAX and torch say it


def _tell(failure: Failure, *, as_json: bool) -> None:
    console.flush()
    print(shown(failure.message, keep="\n"), file=sys.stderr)
    if as_json:
        error = {"kind": failure.kind, "message": failure.message, "exit_code": failure.exit_code}
        console.write_json({"error": error})


@contextlib.contextmanager
def _manners(*, quiet: bool) -> Iterator[None]:
    """Our log goes to stderr; what libraries log and warn of is not the user's business."""
    # JAX would otherwise take most of a GPU's memory before torch gets any
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    ours, theirs = logging.getLogger("circuits"), logging.getLogger("jax")
    before = (ours.level, theirs.level)
    handler = console.LogHandler()
    ours.addHandler(handler)
    ours.setLevel(logging.ERROR if quiet else logging.INFO)
    theirs.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            if not os.environ.get("CIRCUITS_DEBUG"):
                warnings.simplefilter("ignore")
            yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(before[0])
        theirs.setLevel(before[1])
