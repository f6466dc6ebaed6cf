"""The served folder: which runs lie below it, and nothing that does not."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from circuits.errors import CircuitsError, NotFound, UsageError, near_matches
from circuits.graph.io import MANIFEST, OWN, load_manifest

LARGEST: Final = 64_000_000
"""Bytes of a manifest that is read."""


@dataclass(frozen=True)
class Run:
    """A run below the folder.

    Attributes:
        name: its place below the folder, parts joined by "/"; the only name it has outside.
        path: where it is, all links followed.
        checksum: SHA-256 of its manifest, which holds those of its files.
    """

    name: str
    path: Path
    checksum: str


@dataclass(frozen=True)
class Listed:
    """What the list says of a run: its manifest, or why that cannot be read."""

    name: str
    manifest: Mapping[str, Any]
    problem: str | None = None


class Folder:
    """Runs below one folder, looked for anew at each question, so that new and changed ones are seen.

    A link that leads out of the folder is never followed, neither to a run nor to a file of one.

    Args:
        path: the folder, or a single run.
        most: runs listed.
        depth: folders below it that are looked into.

    Raises:
        NotFound: there is nothing at the path.
        UsageError: it is a file.
    """

    def __init__(self, path: Path, *, most: int = 1_000, depth: int = 4) -> None:
        if not path.exists():
            raise NotFound(
                f"No folder {str(path)!r} to serve: give one with runs in it, or make a run first with"
                " `circuits attribute`."
            )
        if not path.is_dir():
            raise UsageError(f"{str(path)!r} is a file: give the folder that holds the runs.")
        self.root = path.resolve()
        self.most = most
        self.depth = depth
        self._read: dict[str, tuple[tuple[int, ...], Listed]] = {}

    @property
    def single(self) -> bool:
        """Tells whether the folder is itself a run."""
        return (self.root / MANIFEST).is_file()

    def names(self) -> dict[str, Path]:
        """Gives the runs by name, links followed."""
        if self.single:
            return {self.root.name or "run": self.root}
        found = sorted(self._walk(self.root, "", self.depth))
        return dict(found[: self.most])

    def find(self, name: str) -> Run:
        """Gives a listed run.

        Raises:
            NotFound: no run of this name is listed.
            UsageError: a file of it is a link that leads out of the folder.
        """
        names = self.names()
        if name not in names:
            raise NotFound(
                f"No run {name[:100]!r} here: the list of runs tells their names."
                + near_matches(name[:100], names)
            )
        path = names[name]
        for file in (MANIFEST, *OWN):
            if not self._inside(path / file):
                raise UsageError(f"{name}: its {file} leads out of the served folder, so it is not opened.")
        text = (path / MANIFEST).read_bytes()
        return Run(name, path, hashlib.sha256(text).hexdigest())

    def listed(self) -> list[Listed]:
        """Gives what the manifests of all runs say, the newest run first."""
        names = self.names()
        found = [self._told(name, path) for name, path in names.items()]
        self._read = {name: kept for name, kept in self._read.items() if name in names}
        return sorted(
            found, key=lambda one: str(one.manifest.get("meta", {}).get("created", "")), reverse=True
        )

    def below(self, name: str) -> Path | None:
        """Gives the file or folder of this relative name below the folder; None where there is none."""
        parts = Path(name).parts
        if not name or "\0" in name or "\\" in name or Path(name).is_absolute() or ".." in parts:
            return None
        try:
            place = (self.root / name).resolve()
            return place if place != self.root and self._inside(place) and place.exists() else None
        except OSError:  # a name too long, a loop of links
            return None

    def shown(self, text: str) -> str:
        """Gives a sentence with places below the folder named from there."""
        return text.replace(f"{self.root}{os.sep}", "").replace(str(self.root), "the served folder")

    def _walk(self, place: Path, before: str, depth: int) -> Iterator[tuple[str, Path]]:
        try:
            inside = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError:  # not ours to read
            return
        for entry in inside:
            if entry.name.startswith(".") or not _is_folder(entry):
                continue
            path = Path(entry.path).resolve()
            if not self._inside(path):
                continue
            name = f"{before}{entry.name}"
            if (path / MANIFEST).is_file():
                yield name, path
            elif depth > 1 and not entry.is_symlink():
                yield from self._walk(path, f"{name}/", depth - 1)

    def _inside(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.root)

    def _told(self, name: str, path: Path) -> Listed:
        try:
            if not self._inside(path / MANIFEST):
                return Listed(name, {}, f"{name}: its {MANIFEST} leads out of the served folder.")
            stat = (path / MANIFEST).stat()
            mark = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if name in self._read and self._read[name][0] == mark:
                return self._read[name][1]
            if stat.st_size > LARGEST:
                return Listed(name, {}, f"{name}: its {MANIFEST} has {stat.st_size:,} bytes.")
            told = Listed(name, load_manifest(path))
        except (CircuitsError, OSError) as cause:
            return Listed(name, {}, self.shown(str(cause)))
        self._read[name] = (mark, told)
        return told


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
