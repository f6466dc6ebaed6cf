"""A matplotlib figure as part of a page: its colours follow the page, its nodes can be pointed at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from markupsafe import Markup
from matplotlib.axes import Axes

from circuits.plot.save import inline_svg
from circuits.plot.style import POINTS, THEME, text_width

OF_HYPEREDGES = ("hyperedge", "sign", "concepts", "join", "dot", "interval")
"""Kinds that belong to a hyperedge; a join and a dot also name a node, as id→node."""

NAMED = ("node", "edge", "label", "bar", "word", "member", "acted", "cell", *OF_HYPEREDGES)
"""Kinds of artists that a figure names by `gid`, as kind:name."""


def themed(drawn: Axes, prefix: str, tips: Mapping[str, str], alternative: str) -> Markup:
    """Gives a figure as an `<svg>` element for a page.

    Colours become CSS variables (`--ink`, …) with the figure's own as fallback; type becomes text
    that keeps its width in any font; ids get a prefix so that several figures can share a page; names
    of nodes and edges become classes and data.

    Args:
        drawn: the axes a figure gave; its labels lose their halo, which the page draws itself.
        prefix: of its ids.
        tips: by an artist's gid, the text shown when pointing at it.
        alternative: the picture in a sentence, for those who cannot see it.
    """
    for text in drawn.texts:
        text.set_path_effects([])
    root = ET.fromstring(inline_svg(drawn))  # noqa: S314  # matplotlib has just written it
    for element in root.iter():
        element.tag = _local(element.tag)
        for key in [key for key in element.keys() if key.startswith("{")]:  # noqa: SIM118  # changed below
            element.set(_local(key), element.attrib.pop(key))
        _adapt(element, prefix, tips)
    for parent in root.iter():
        for style in parent.findall("style"):
            parent.remove(style)  # it would speak to the whole page
    width, height = (root.attrib["viewBox"].split()[i] for i in (2, 3))
    root.attrib.clear()
    root.attrib.update(
        {
            "role": "img",
            "aria-label": alternative,
            "viewBox": f"0 0 {width} {height}",
            "style": f"--natural: {float(width) / POINTS:.2f}in",
        }
    )
    # serialised: every text from outside is escaped
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704


def _adapt(element: ET.Element, prefix: str, tips: Mapping[str, str]) -> None:
    """Changes one element for the page, in place."""
    style = element.get("style")
    if style is not None:
        for role, color in THEME.items():
            style = style.replace(color, f"var(--{role}, {color})")
        element.set("style", style)
        if element.tag == "text" and len(element.text or "") > 1:
            _keep_width(element, style)
    for key in ("href", "clip-path", "style"):
        if "#" in element.get(key, "") and key != "style":
            element.set(key, element.attrib[key].replace("#", f"#{prefix}-"))
        elif key == "style" and "url(#" in element.get(key, ""):
            element.set(key, element.attrib[key].replace("url(#", f"url(#{prefix}-"))
    name = element.attrib.pop("id", None)
    if name is None:
        return
    kind, _, rest = name.partition(":")
    if kind not in NAMED or not rest:
        element.set("data-part" if rest else "id", name if rest else f"{prefix}-{name}")
        return
    element.set("class", kind)
    if kind == "edge":
        source, _, target = rest.partition("→")
        element.attrib.update({"data-source": source, "data-target": target})
    elif kind in OF_HYPEREDGES:
        hyperedge, _, node = rest.partition("→")
        element.attrib.update({"data-hyperedge": hyperedge} | ({"data-node": node} if node else {}))
    else:
        element.set("data-node", rest)
    if name in tips:
        tip = ET.Element("title")
        tip.text = tips[name]
        element.insert(0, tip)


def _keep_width(element: ET.Element, style: str) -> None:
    """Fixes a text's width to what the layout counted on, whatever font the reader has."""
    size = re.search(r"font-size: ([\d.]+)px", style)
    if size is not None:
        weight = "bold" if "font-weight: 700" in style else "normal"
        width = text_width(element.text or "", float(size[1]), weight) * POINTS
        element.attrib.update({"textLength": f"{width:.2f}", "lengthAdjust": "spacingAndGlyphs"})


def _local(name: str) -> str:
    return name.rpartition("}")[2]
