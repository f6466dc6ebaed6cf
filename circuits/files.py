"""Writing files so that a crash, a full disk or Ctrl-C leaves either the old state or the new one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from circuits.errors import OutputExists, WriteFailed


@contextlib.contextmanager
def atomic(path: Path, *, directory: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """Gives a temporary sibling to write to; on leaving, it takes `path`'s place at once.

    Args:
        path: where the result shall stand.
        directory: a directory is written rather than a file.
        overwrite: replace what stands there; it stays until the new one is complete.

    Raises:
        OutputExists: `path` exists and `overwrite` is false.
        WriteFailed: the file system refused; nothing is left behind.

    Example:
        >>> from tempfile import mkdtemp
        >>> with atomic(Path(mkdtemp()) / "a.txt") as temporary:
        ...     _ = temporary.write_text("whole or not at all")
    """
    if path.exists() and not overwrite:
        raise OutputExists(f"{path} exists: choose another path, or pass --overwrite to replace it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as cause:
        raise WriteFailed(f"Cannot write beside {path}: {cause.strerror}.") from cause
    temporary = holder / path.name
    try:
        if directory:
            temporary.mkdir()
        yield temporary
        _sync(temporary)
        _swap(temporary, path, holder / "replaced")
    except OSError as cause:
        raise WriteFailed(
            f"Writing {path} failed ({cause.strerror or cause}): nothing was left there. Free some"
            " space or choose another path."
        ) from cause
    finally:
        shutil.rmtree(holder, ignore_errors=True)


def cache_root() -> Path:
    """Gives the directory of all caches: CIRCUITS_CACHE if set, else the user's cache directory."""
    return Path(os.environ.get("CIRCUITS_CACHE") or platformdirs.user_cache_dir("circuits"))


def checksum(path: Path) -> str:
    """Gives the SHA-256 of a file, in hex, reading it in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _swap(temporary: Path, path: Path, aside: Path) -> None:
    """Puts `temporary` in `path`'s place; a directory cannot be replaced in one step, so it waits aside."""
    waiting = temporary.is_dir() and path.exists()
    if waiting:
        path.rename(aside)
    try:
        temporary.replace(path)
    except BaseException:
        if waiting:
            aside.rename(path)
        raise


def _sync(path: Path) -> None:
    for file in [path, *path.rglob("*")] if path.is_dir() else [path]:
        handle = os.open(file, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
