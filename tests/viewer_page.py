"""A page that holds nothing but the viewer and its document, as a report holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from circuits.viewer import embedded, script, style

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>viewer</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark }} body {{ margin: 0; padding: 1rem }} a {{ color: inherit }}
{style}</style></head>
<body><main><h1>Page</h1><p><a href="#elsewhere">before</a></p><div id="circuits-viewer"></div>
<p id="elsewhere"><a href="#elsewhere">after</a></p></main>
<script type="application/json" id="circuits-document">{document}</script>
<script type="module">{script}</script></body></html>"""


def page_of(document: dict[str, Any], path: Path) -> Path:
    """Writes the page of a document and gives its path."""
    code = script()
    assert "</script" not in code.lower()
    path.write_text(PAGE.format(style=style(), document=embedded(document), script=code), encoding="utf-8")
    return path
