"""Where the files that ship with the package lie: beside the code in a wheel, in `data/` in a checkout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from circuits.errors import NotFound

TOY = "toy"
"""The name of the bundled model, and of its default dictionary."""

TOY_DICTIONARIES: Final[Mapping[str, str]] = {
    TOY: "transcoders",
    "toy-clt": "clt",
    "toy-sae-8x": "sae-8x",
    "toy-sae-32x": "sae-32x",
    "toy-sae-100x": "sae-100x",
}
"""The dictionaries of the bundled model, by name, and where each lies beside it."""


def bundled(name: str) -> Path:
    """Gives a bundled file or directory, such as "toy/model".

    Raises:
        NotFound: this installation lacks it.

    Example:
        >>> bundled("toy/model").is_dir()
        True
    """
    here = Path(__file__).parent
    for root in (here / "bundle", here.parent / "data"):
        if (root / name).exists():
            return root / name
    raise NotFound(f"This installation lacks the bundled {name}: install clearbox-circuits again.")
