"""Ctrl-C that cannot get lost.

Python raises KeyboardInterrupt wherever the main thread happens to be. If that is inside a callback of
a library (JAX has one that runs at every garbage collection), it is printed as ignored and the program
goes on. So the press is also remembered, and looked at whenever progress is told and before files are
written.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_pressed = threading.Event()


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Remembers Ctrl-C for as long as the context lasts."""
    _pressed.clear()
    if threading.current_thread() is not threading.main_thread():  # signals go to the main thread alone
        yield
        return
    before, said = signal.signal(signal.SIGINT, _press), sys.unraisablehook

    def unless_pressed(swallowed: sys.UnraisableHookArgs) -> None:
        if not issubclass(swallowed.exc_type, KeyboardInterrupt):
            said(swallowed)

    sys.unraisablehook = unless_pressed
    try:
        yield
    finally:
        sys.unraisablehook = said
        signal.signal(signal.SIGINT, before)


def check() -> None:
    """Raises KeyboardInterrupt if Ctrl-C was pressed, even if a library swallowed it then."""
    if _pressed.is_set():
        raise KeyboardInterrupt


def _press(_signal: int, _frame: FrameType | None) -> None:
    _pressed.set()
    raise KeyboardInterrupt
