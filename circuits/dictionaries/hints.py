"""What a user adds to a path where the files do not say it: `PATH?layer=5&site=block_out`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from circuits.dictionaries.base import ReadSite, WriteSite
from circuits.errors import UsageError, near_matches

_SITES: Final = tuple(dict.fromkeys((*get_args(ReadSite), *get_args(WriteSite))))


@dataclass(frozen=True)
class Hints:
    """Where a coder sits, for layouts that do not say so.

    Attributes:
        layer: the block whose features these are, from 0.
        site: of an SAE, where it reads and writes.
        reads: of a transcoder, where it reads.
        writes: of a transcoder, where it writes.
    """

    layer: int | None = None
    site: str | None = None
    reads: str | None = None
    writes: str | None = None

    def refuse(self, layout: str, path: Path) -> None:
        """Raises `UsageError` if anything is given, for layouts whose files say all of it."""
        given = [f"{key}={value}" for key, value in vars(self).items() if value is not None]
        if given:
            raise UsageError(
                f"{path} is in the layout {layout!r}, which says itself where it belongs: leave out"
                f" {', '.join(given)}."
            )


def split(spec: str) -> tuple[Path, Hints]:
    """Gives path and hints of a dictionary as the user wrote it.

    Raises:
        UsageError: an unknown hint, layer or site.

    Example:
        >>> split("saes/l5?layer=5&site=block_out")[1]
        Hints(layer=5, site='block_out', reads=None, writes=None)
    """
    place, _, query = spec.partition("?")
    given: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, _, value = part.partition("=")
        if key not in Hints.__dataclass_fields__:
            raise UsageError(
                f"{spec} has the hint {key!r}: known are layer, site, reads and writes."
                + near_matches(key, list(Hints.__dataclass_fields__))
            )
        if key != "layer" and value not in _SITES:
            raise UsageError(f"{spec} gives {key} as {value!r}: known are {', '.join(_SITES)}.")
        given[key] = value
    layer = given.pop("layer", None)
    if layer is not None and not layer.isdecimal():
        raise UsageError(f"{spec} gives layer as {layer!r}: give a number from 0.")
    return Path(place).expanduser(), Hints(layer=None if layer is None else int(layer), **given)
