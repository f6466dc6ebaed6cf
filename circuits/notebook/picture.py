"""A figure as an `<img>` that holds its own picture: what GitHub, mail and every notebook show."""

from __future__ import annotations

import base64
import html
import io
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from circuits.errors import CircuitsError
from circuits.graph.graph import Graph
from circuits.plot import difference, network, style
from circuits.plot.board import whole

NODES: Final = 10
SHARPNESS: Final = 144  # dots an inch, for screens that have them
PIXELS: Final = 96  # of the page, an inch


def picture(graph: Graph, alternative: str) -> str:
    """Gives a small picture of a graph as HTML; nothing where there is nothing to draw.

    GitHub strips inline SVG and scripts from notebooks but shows `<img>` with data; the paper is white, so
    the picture reads on light and dark pages alike.

    Args:
        graph: the graph; of a contrast what differs is drawn.
        alternative: the picture in a sentence, for those who cannot see it.
    """
    try:
        contrasted = "sides" in (graph.meta.get("contrast") or {})
        drawn = difference(graph, nodes=NODES) if contrasted else network(graph, nodes=NODES)
    except CircuitsError:
        return ""
    width = round(float(whole(drawn).get_size_inches()[0]) * PIXELS)
    data = base64.b64encode(_png(drawn)).decode()
    return f'<p><img width="{width}" alt="{html.escape(alternative)}" src="data:image/png;base64,{data}"></p>'


def _png(drawn: Axes) -> bytes:
    """Gives a figure in the colours of figures and what lies between them and paper: a third of the bytes."""
    held, small = io.BytesIO(), io.BytesIO()
    whole(drawn).savefig(held, format="png", dpi=SHARPNESS)
    palette = Image.new("P", (1, 1))
    palette.putpalette(_colours())
    image = Image.open(held).convert("RGB").quantize(palette=palette, dither=Image.Dither.NONE)
    image.save(small, "png", optimize=True)
    return small.getvalue()


def _colours() -> list[int]:
    """Gives red, green and blue of up to 256 colours."""
    paper = np.array(to_rgb(style.PAPER))
    inks = [np.array(to_rgb(color)) for color in style.THEME.values() if color != style.PAPER]
    steps = np.linspace(0, 1, 256 // len(inks))
    mixed = [paper + (ink - paper) * step for ink in inks for step in steps]
    return [round(255 * float(part)) for color in mixed for part in color]
