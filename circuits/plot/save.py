"""Writing a figure: format by suffix, whole or not at all, the same bytes each time."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits.errors import UsageError
from circuits.files import atomic
from circuits.plot.board import whole
from circuits.shown import shown

FORMATS = ("svg", "png", "pdf")
_UNDATED = {"svg": {"Date": None}, "png": {"Software": None}, "pdf": {"CreationDate": None}}
_SETTINGS = {"svg.hashsalt": "circuits", "pdf.fonttype": 42}


def save(drawn: Axes | Figure, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Writes a figure; `path`'s suffix says whether as SVG, PNG or PDF.

    Args:
        drawn: what a function of this package gives (axes: their whole figure is written), or a figure.
        path: where to.
        overwrite: replace what stands there.

    Raises:
        UsageError: another suffix.
        OutputExists: `path` exists and `overwrite` is false.
        WriteFailed: the disk refused.
    """
    path = Path(path)
    kind = path.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise UsageError(f"Cannot tell a picture format from {path.name!r}: end it in .svg, .png or .pdf.")
    with atomic(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(render(drawn, kind))
    return path


def render(drawn: Axes | Figure, kind: str, *, type_as: Literal["path", "none"] = "path") -> bytes:
    """Gives a figure as the bytes of an svg, png or pdf file, the same each time.

    Args:
        drawn: the figure, or axes of it.
        kind: svg, png or pdf.
        type_as: in SVG, type as outlines ("path", the same everywhere) or as text ("none").
    """
    for artist in whole(drawn).findobj(lambda one: bool(one.get_gid())):
        artist.set_gid(
            shown(str(artist.get_gid()))
        )  # names of a run's texts; XML holds no control characters
    held = io.BytesIO()
    with mpl.rc_context(_SETTINGS | {"svg.fonttype": type_as}):
        whole(drawn).savefig(held, format=kind, metadata=_UNDATED[kind])
    return held.getvalue()


def inline_svg(drawn: Axes | Figure, *, type_as: Literal["path", "none"] = "none") -> str:
    """Gives a figure as an `<svg>` element to stand inside a page: type as text, no prologue, no metadata."""
    text = render(drawn, "svg", type_as=type_as).decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text.strip()
