"""Opening a dictionary by what the user wrote: the word `neurons`, or a directory."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any, Final

from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.formats import circuit_tracer
from circuits.dictionaries.neurons import Neurons
from circuits.errors import InvalidFile, NotFound, near_matches
from circuits.models.base import Model

FORMATS: Final[tuple[ModuleType, ...]] = (circuit_tracer,)
"""Every layout on disk: a module with NAME, `recognises(path)`, `describe(path)`, `load(path, model)`."""


def load_dictionary(spec: str, model: Model) -> AbstractDictionary:
    """Gives the dictionary a user named, checked against the model it is to explain.

    Args:
        spec: `"neurons"`, or a directory in one of the layouts of `circuits.dictionaries.formats`.
        model: the model it is for.

    Raises:
        NotFound: no such directory.
        InvalidFile: the directory is in no known layout, or its numbers cannot be trusted.
        Incompatible: it was made for another model.
    """
    if spec == "neurons":
        return Neurons(model)
    path = Path(spec).expanduser()
    if not path.exists():
        raise NotFound(
            f"No dictionary {spec!r}: give 'neurons' or a directory of transcoders."
            + near_matches(spec, ["neurons"])
        )
    for layout in FORMATS:
        if layout.recognises(path):
            dictionary: AbstractDictionary = layout.load(path, model)
            dictionary.check(model)
            return dictionary
    known = "; ".join(layout.NAME for layout in FORMATS)
    raise InvalidFile(f"{spec} is in no layout known here. Known: {known}.")


def describe(path: Path) -> dict[str, Any]:
    """Gives what a dictionary directory holds, as far as it can be told without the model.

    Raises:
        InvalidFile: the directory is in no known layout, or its files cannot be trusted.
    """
    for layout in FORMATS:
        if layout.recognises(path):
            told: dict[str, Any] = layout.describe(path)
            return told
    raise InvalidFile(f"{path} is in no layout known here. Known: {'; '.join(f.NAME for f in FORMATS)}.")
