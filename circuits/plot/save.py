"""Writing a figure: format by suffix, whole or not at all, the same bytes each time."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Literal

import matplotlib as mpl
import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from circuits.errors import UsageError
from circuits.files import atomic
from circuits.plot import style
from circuits.plot.board import whole
from circuits.shown import shown

FORMATS = ("svg", "png", "pdf")
SHARPNESS = 144  # dots an inch, for screens that have them
PIXELS = 96  # of a page, an inch
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
    return _PATH.sub(_shorter, held.getvalue()) if kind == "svg" else held.getvalue()


_PATH = re.compile(rb'(?<= d=")[^"]*')


def _shorter(path: re.Match[bytes]) -> bytes:
    """Gives the way of a line in hundredths of a point: a third less of a file, and nobody sees it."""
    return re.sub(rb"(\.\d\d)\d+", rb"\1", path[0])


def inline_svg(drawn: Axes | Figure) -> str:
    """Gives a figure as an `<svg>` element to stand inside a page: type as text, no prologue, no metadata."""
    text = render(drawn, "svg", type_as="none").decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    return text.strip()


def page_png(drawn: Axes | Figure) -> tuple[bytes, dict[str, int]]:
    """Gives a figure as a small PNG for a page, and its width and height there in pixels.

    It holds the colours of figures and what lies between them and paper: a third of the bytes of all
    colours, and nobody sees it.
    """
    figure = whole(drawn)
    held, small = io.BytesIO(), io.BytesIO()
    figure.savefig(held, format="png", dpi=SHARPNESS)
    pixels = np.asarray(Image.open(held).convert("RGB"))
    seen, place = np.unique(pixels.reshape(-1, 3), axis=0, return_inverse=True)
    palette = _colours()
    nearest = np.concatenate(
        [_nearest(part, palette) for part in np.array_split(seen, 1 + len(seen) // 4096)]
    )
    image = Image.fromarray(nearest[place.reshape(pixels.shape[:2])], mode="P")
    image.putpalette(palette.tobytes())
    image.save(small, "png", optimize=True)
    width, height = (round(PIXELS * float(size)) for size in figure.get_size_inches())
    return small.getvalue(), {"width": width, "height": height}


def _nearest(colours: UInt8[np.ndarray, "n 3"], palette: UInt8[np.ndarray, "p 3"]) -> UInt8[np.ndarray, "n"]:
    """Gives for each colour the number of the one in the palette nearest to it."""
    apart = colours[:, None].astype(np.int32) - palette[None].astype(np.int32)
    return np.asarray((apart**2).sum(axis=2).argmin(axis=1), dtype=np.uint8)


def _colours() -> UInt8[np.ndarray, "p 3"]:
    """Gives red, green and blue of up to 256 colours: those of figures, and between them and paper."""
    paper = np.array(to_rgb(style.PAPER))
    inks = [np.array(to_rgb(color)) for color in style.THEME.values() if color != style.PAPER]
    steps = np.linspace(0, 1, 256 // len(inks))
    mixed = [paper + (ink - paper) * step for ink in inks for step in steps]
    return np.round(255 * np.array(mixed)).astype(np.uint8)
