"""The tour run, and written as a Jupyter notebook with its outputs, which GitHub shows as a page.

python analysis/tour_page.py
"""

from __future__ import annotations

import ast
import base64
import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TOUR = Path(__file__).resolve().parent / "tour.py"
PAGE = TOUR.parent.parent / "reports" / "tour.ipynb"


def main() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(json.dumps(notebook(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def notebook() -> dict[str, Any]:
    """Gives the tour as an nbformat 4 document: prose, code, and what the code gave."""
    import tour  # type: ignore[import-not-found]

    outputs, _ = tour.app.run()
    cells = [_cell(i, code, given) for i, (code, given) in enumerate(zip(_codes(), outputs, strict=True))]
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _codes() -> Iterator[str]:
    """Gives the code of each cell: the body of its function, without what it hands on."""
    text = TOUR.read_text(encoding="utf-8")
    lines = text.splitlines()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            body = [part for part in node.body if not isinstance(part, ast.Return)]
            last = body[-1].end_lineno
            yield textwrap.dedent("\n".join(lines[body[0].lineno - 1 : last]))


def _cell(number: int, code: str, given: Any) -> dict[str, Any]:
    name = {"id": f"cell-{number:02d}", "metadata": {}}
    prose = _prose(code)
    if prose is not None:
        return {"cell_type": "markdown", **name, "source": prose}
    made = [] if given is None else [_output(given)]
    return {"cell_type": "code", **name, "execution_count": None, "outputs": made, "source": code}


def _prose(code: str) -> str | None:
    """Gives the text of a cell that only says something; None of any other."""
    match ast.parse(code).body:
        case [ast.Expr(ast.Call(ast.Attribute(attr="md"), [ast.Constant(str() as text)]))]:
            return textwrap.dedent(text).strip()
    return None


def _output(given: Any) -> dict[str, Any]:
    """Gives what a notebook shows of a value: its HTML, its picture, or its name."""
    data: dict[str, Any] = {"text/plain": repr(given)}
    metadata: dict[str, Any] = {}
    if isinstance(getattr(given, "text", None), str):  # what marimo's own words become
        inside = re.sub(r'<span class="paragraph">(.*?)</span>', r"<p>\1</p>", given.text, flags=re.DOTALL)
        data = {
            "text/html": re.sub(r'^<span class="markdown[^>]*>(.*)</span>$', r"\1", inside, flags=re.DOTALL)
        }
    elif hasattr(given, "_repr_html_"):
        data["text/html"] = given._repr_html_()
    elif hasattr(given, "_repr_png_"):
        png, metadata["image/png"] = given._repr_png_()
        data = {"text/plain": "a figure", "image/png": base64.b64encode(png).decode()}
    return {"output_type": "display_data", "data": data, "metadata": metadata}


if __name__ == "__main__":
    main()
