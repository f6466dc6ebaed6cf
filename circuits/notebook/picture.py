"""A figure as an `<img>` that holds its own picture: what GitHub, mail and every notebook show."""

from __future__ import annotations

import base64
import html
from typing import Final

from circuits.errors import CircuitsError
from circuits.graph.graph import Graph
from circuits.plot import difference, network
from circuits.plot.save import page_png
from circuits.shown import shown

NODES: Final = 10


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
    png, size = page_png(drawn)
    data, said = base64.b64encode(png).decode(), html.escape(shown(alternative))
    return f'<p><img width="{size["width"]}" alt="{said}" src="data:image/png;base64,{data}"></p>'
