"""Opening a dictionary by what the user wrote: the word `neurons`, or files in any known layout."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from circuits.bundled import TOY_DICTIONARIES, bundled
from circuits.dictionaries import hub
from circuits.dictionaries.base import AbstractDictionary
from circuits.dictionaries.coders import Coders, CoderSettings
from circuits.dictionaries.formats import (
    circuit_tracer,
    circuit_tracer_clt,
    compact,
    crosslayer_coding,
    dictionary_learning,
    gemma_scope,
    gemma_scope_2,
    llama_scope,
    llamascopium,
    openai,
    sae_lens,
    sae_lens_flat,
    sparsify,
)
from circuits.dictionaries.hints import Hints, split
from circuits.dictionaries.neurons import Neurons
from circuits.dictionaries.reading import reading
from circuits.errors import InvalidFile, NotFound, near_matches
from circuits.models.base import Model

FORMATS: Final[tuple[ModuleType, ...]] = (
    compact,
    gemma_scope,
    gemma_scope_2,
    sae_lens,
    sae_lens_flat,
    llamascopium,
    llama_scope,
    dictionary_learning,
    sparsify,
    openai,
    crosslayer_coding,
    circuit_tracer_clt,
    circuit_tracer,
)
"""Every layout on disk: a module with NAME, `recognises(path)`, `describe(path, hints)` and
`load(path, model, hints)`. A layout is recognised by its keys, never by the names of its files, and
the most telling stands first."""


def load_dictionary(spec: str, model: Model) -> AbstractDictionary:
    """Gives the dictionary a user named, checked against the model it is to explain.

    Args:
        spec: `"neurons"`; a dictionary of the bundled model (`"toy"`, its transcoders, or another of
            `circuits.bundled.TOY_DICTIONARIES`); or a file or directory in one of the layouts of
            `circuits.dictionaries.formats`, or a directory of such, one for each of some layers; or a name
            on the hub (`circuits.dictionaries.hub`).
            `PATH?layer=5&site=block_out` says what a layout leaves open (`circuits.dictionaries.hints`).
        model: the model it is for.

    Raises:
        NotFound: no such file or directory.
        InvalidFile: it is in no known layout, or its numbers cannot be trusted.
        Incompatible: it was made for another model.
        UsageError: a hint that is not known, is missing, or says what the files say themselves.
    """
    if spec == "neurons":
        return Neurons(model)
    path, hints = _named(spec)
    if not path.exists():
        raise NotFound(
            f"No dictionary {spec!r}: give 'neurons' or a file or directory of transcoders or SAEs."
            + near_matches(spec, ["neurons", *TOY_DICTIONARIES])
        )
    with reading() as read:
        found = [layout.load(part, model, hints) for layout, part in _parts(path)]
    dictionary = found[0] if len(found) == 1 else _join(found, spec)
    if spec in TOY_DICTIONARIES or hub.is_named(spec):  # where it lies on this machine is nobody's business
        coders = [dictionary.coder(layer) for layer in dictionary.layers]
        dictionary = Coders(coders, replace(dictionary.settings, spec=spec))
    dictionary.check(model)
    dictionary.loaded = read
    return dictionary


def recognises(spec: str) -> bool:
    """Tells whether there is a dictionary, or a directory of them, in a layout known here."""
    path, _ = _named(spec)
    return bool(_found(path))


def describe(spec: str | Path) -> dict[str, Any]:
    """Gives what a dictionary holds, as far as it can be told without the model: JSON-compatible.

    Raises:
        InvalidFile: it is in no known layout, or its files cannot be trusted.
    """
    path, hints = _named(str(spec))
    told: list[dict[str, Any]] = [layout.describe(part, hints) for layout, part in _parts(path)]
    if len(told) == 1:
        return told[0]
    return {"parts": told, "bytes": sum(part["bytes"] for part in told)}


def _named(spec: str) -> tuple[Path, Hints]:
    """Gives the path behind a name of ours, or the path and hints that were given."""
    ours = TOY_DICTIONARIES.get(spec)
    if ours is not None:
        return bundled(f"toy/{ours}"), Hints()
    if not hub.is_named(spec):
        return split(spec)
    name, mark, hints = spec.partition("?")
    return hub.fetch(name), split(f"{mark}{hints}")[1]


def _parts(path: Path) -> list[tuple[ModuleType, Path]]:
    """Gives the layout of a path, or those of everything in a directory, the hidden left out."""
    found = _found(path)
    if not found:
        known = "; ".join(layout.NAME for layout in FORMATS)
        raise InvalidFile(f"{path} is in no layout known here. Known: {known}.")
    return found


def _found(path: Path) -> list[tuple[ModuleType, Path]]:
    one = _layout(path)
    if one is not None:
        return [(one, path)]
    inside = sorted(p for p in path.iterdir() if not p.name.startswith(".")) if path.is_dir() else []
    return [(layout, part) for part in inside if (layout := _layout(part)) is not None]


def _layout(path: Path) -> ModuleType | None:
    return next((layout for layout in FORMATS if layout.recognises(path)), None)


def _join(parts: list[Coders], spec: str) -> Coders:
    """Gives coders of single layers as one dictionary."""
    settings = {replace(part.settings, spec=spec, fingerprint="") for part in parts}
    if len(settings) != 1:
        listed = "; ".join(f"{p.spec}: {p.kind} from {p.read_site} to {p.write_site}" for p in parts[:3])
        raise InvalidFile(f"{spec} holds coders of different kinds ({listed}): give one kind at a time.")
    (common,) = settings
    digest = hashlib.sha256("".join(part.fingerprint for part in parts).encode()).hexdigest()[:16]
    joined: CoderSettings = replace(common, fingerprint=digest)
    return Coders([part.coder(layer) for part in parts for layer in part.layers], joined)
