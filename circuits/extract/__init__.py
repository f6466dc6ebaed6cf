"""From a prompt to a `Trace` (torch): active features, what they read and write, what is frozen.

The room has the name of its one verb, so `circuits.extract` is both: Python binds the package there as
soon as any of its files is imported. Calling the package calls the verb.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """A package that can be called: see `circuits.extract.extract.extract`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Gives the trace of one prompt; see `circuits.extract.extract.extract`."""
        from circuits.extract.extract import extract

        return extract(*args, **options)


sys.modules[__name__].__class__ = _Room
