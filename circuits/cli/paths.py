"""Checks of paths before any work is done: minutes of computing shall not end at a path that exists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from circuits.errors import CircuitsError, NotFound, OutputExists, UsageError, WriteFailed, near_matches

RUN = "manifest.json"
DICTIONARY = ("config.yaml", "dictionary.json")
LAYER = "cfg.json"
EXPORT = "neuronpedia.json"
DESCRIBED = ("cards.parquet", "explanations.jsonl")
"""What describing a dictionary puts into its directory."""

Kind = Literal["run", "dictionary", "export"]


def check_output(path: Path, *, overwrite: bool, directory: bool = False, kind: Kind = "run") -> None:
    """Refuses an output path that exists or cannot be written.

    Overwriting replaces like with like only: a file by a file, a run by a run, a dictionary by a
    dictionary, an export by an export (`kind`). Any other directory is never replaced, whatever was asked.

    Raises:
        OutputExists: something stands there that is not to be replaced.
        WriteFailed: it cannot be written.
    """
    if path.exists() or path.is_symlink():
        if not overwrite:
            raise OutputExists(f"{path} exists: choose another path, or pass --overwrite to replace it.")
        if path.is_dir() and not directory:
            raise OutputExists(f"{path} is a directory and the output a file: choose another path.")
        like = {"run": is_run, "dictionary": is_dictionary, "export": is_export}[kind]
        if directory and not (like(path) or _is_empty(path)):
            raise OutputExists(
                f"{path} exists and is no {kind}, so --overwrite spares it: choose another path."
            )
    parent = next(place for place in path.absolute().parents if place.exists())
    if not parent.is_dir():
        raise WriteFailed(f"Cannot write {path}: {parent} is a file.")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise WriteFailed(f"Cannot write {path}: no permission to write in {parent}.")


def is_run(path: Path) -> bool:
    """Tells whether a directory is a run, by its manifest."""
    return (path / RUN).is_file()


def is_export(path: Path) -> bool:
    """Tells whether a directory holds features in Neuronpedia's layout, as they are written here."""
    return (path / EXPORT).is_file()


def is_dictionary(path: Path) -> bool:
    """Tells whether a directory is a dictionary as it is saved here: in sae-lens's layout, layers alone."""
    if any((path / name).is_file() for name in DICTIONARY):
        return True
    inside = [place for place in path.iterdir() if place.name not in DESCRIBED] if path.is_dir() else []
    layers = [place for place in inside if place.name.startswith("layer_") and (place / LAYER).is_file()]
    return bool(inside) and len(layers) == len(inside)


def is_demo(path: Path) -> bool:
    """Tells whether a directory is a run that `circuits demo` made."""
    from circuits.graph.io import load_manifest

    try:
        return bool(load_manifest(path)["meta"].get("demo"))
    except CircuitsError:
        return False


def check_run(path: Path) -> None:
    """Refuses a path that is no run, saying what it might have meant.

    Raises:
        NotFound: there is nothing there.
        UsageError: there is something else.
    """
    if not path.exists():
        parent = path.parent
        beside = [str(place) for place in parent.iterdir() if is_run(place)] if parent.is_dir() else []
        hint = near_matches(str(path), beside)
        raise NotFound(f"No run at {path}: `circuits attribute` makes one.{hint}")
    if path.is_file():
        raise UsageError(f"{path} is a file: give the run's directory.")


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
