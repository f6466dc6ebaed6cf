"""Every error this package raises on purpose, drawn as a tree: choose by looking.

::

    CircuitsError                 exit code 1   something asked for cannot be done
    ├── UsageError                exit code 2   the request itself is malformed
    ├── NotFound                  exit code 3   a named thing does not exist
    │   └── MissingPackage        exit code 3   an optional package is not installed
    ├── InvalidFile               exit code 4   a file or its numbers cannot be trusted
    ├── UnsupportedModel          exit code 1   an architecture or setting we would get wrong
    ├── Incompatible              exit code 4   two things that do not fit each other
    ├── OutputExists              exit code 1   refusing to overwrite
    └── WriteFailed               exit code 1   the disk refused; nothing was left behind

A message says what happened, with names and numbers, and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CircuitsError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(CircuitsError):
    """The request is malformed: an empty prompt, a share outside 0..1, contradicting options."""

    exit_code = 2


class NotFound(CircuitsError):
    """A named node, file, model or token does not exist."""

    exit_code = 3


class MissingPackage(NotFound):
    """An optional package is needed and not installed; the message holds the pip line."""


class InvalidFile(CircuitsError):
    """A file is truncated, tampered with, of an unknown version, or holds NaN."""

    exit_code = 4


class UnsupportedModel(CircuitsError):
    """An architecture or configuration setting that would be reconstructed wrongly."""


class Incompatible(CircuitsError):
    """Two given things do not fit: a dictionary and a model, a trace and a graph."""

    exit_code = 4


class OutputExists(CircuitsError):
    """The output path exists and overwriting was not asked for."""


class WriteFailed(CircuitsError):
    """The file system refused a write; nothing half-written remains."""


def near_matches(name: str, known: Iterable[str], *, limit: int = 3) -> str:
    """Gives the end of a "not found" sentence: `" Did you mean 'a' or 'b'?"`, or nothing.

    Example:
        >>> near_matches("12/405@7", ["12/4051@7", "tok@3"])
        " Did you mean '12/4051@7'?"
    """
    close = difflib.get_close_matches(name, list(known), n=limit, cutoff=0.6)
    return f" Did you mean {' or '.join(repr(c) for c in close)}?" if close else ""
