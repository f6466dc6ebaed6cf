"""Colours, sizes and type of every figure. Lengths are inches, type sizes points."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, Final

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.textpath import TextToPath

INK: Final = "#1c2128"
MUTED: Final = "#6a727d"
HAIR: Final = "#dfe3e8"
BAND: Final = "#f5f6f8"
PAPER: Final = "#ffffff"
FEATURE: Final = "#4b5563"
WORD: Final = "#9aa3ae"
# Okabe & Ito's blue and vermilion: told apart with any colour vision, and in grey by line style.
POSITIVE: Final = "#0072b2"
NEGATIVE: Final = "#d55e00"
SOLID: Final = "solid"
DASHED: Final = (0, (3.2, 1.6))

THEME: Final[Mapping[str, str]] = {
    "ink": INK,
    "muted": MUTED,
    "hair": HAIR,
    "band": BAND,
    "paper": PAPER,
    "feature": FEATURE,
    "word": WORD,
    "positive": POSITIVE,
    "negative": NEGATIVE,
}
"""Colours by role: a page may exchange them in the SVG for its own light or dark ones."""

FAMILY: Final = "DejaVu Sans"  # comes with matplotlib, so pictures look alike everywhere
SIZE: Final = 7.0
SMALL: Final = 6.0
TITLE: Final = 9.0
POINTS: Final = 72.0
WIDEST: Final = 400
"""Characters of a text that are measured, at most: no more fit on any figure."""


def figure(width: float, height: float) -> Figure:
    """Gives an empty figure of a size in inches, without touching pyplot's global state."""
    made = Figure(figsize=(width, height), dpi=200, facecolor=PAPER)
    FigureCanvasAgg(made)
    return made


def type_of(size: float = SIZE, color: str = INK, weight: str = "normal") -> dict[str, Any]:
    """Gives the keywords of a text: family, size, colour; dollar signs are not mathematics."""
    return {
        "fontfamily": FAMILY,
        "fontsize": size,
        "color": color,
        "fontweight": weight,
        "parse_math": False,
    }


@functools.lru_cache(maxsize=4096)
def text_width(text: str, size: float = SIZE, weight: str = "normal") -> float:
    """Gives the width of a text in inches."""
    properties = FontProperties(family=FAMILY, size=size, weight=weight)
    width, _, _ = TextToPath().get_text_width_height_descent(text or " ", properties, ismath=False)
    return float(width) / POINTS


def drawable(text: str) -> str:
    """Gives a text with line breaks made visible and characters the font lacks shown as boxes.

    Example:
        >>> drawable("a" + chr(10) + chr(0x732B))
        'a⏎▯'
    """
    known = _characters()
    shown = text.replace("\n", "⏎").replace("\t", "⇥").replace("\r", "")
    return "".join(c if ord(c) in known and c.isprintable() else "▯" for c in shown)


def fitted(text: str, width: float, size: float = SIZE, weight: str = "normal") -> str:
    """Gives as much of a text as fits into `width` inches, an ellipsis where it was cut."""
    if len(text) <= WIDEST and text_width(text, size, weight) <= width:
        return text
    low, high = 0, min(len(text), WIDEST)  # so many fit; so many perhaps
    while low < high:
        middle = (low + high + 1) // 2
        if text_width(text[:middle] + "…", size, weight) <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip(' ,·"→') + "…"


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FAMILY))).get_charmap())
