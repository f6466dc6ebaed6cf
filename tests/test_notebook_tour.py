"""The example notebook runs, without a server, and what it shows is what its prose promises."""

import base64
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from PIL import Image

ANALYSIS = Path(__file__).parent.parent / "analysis"


@pytest.fixture(scope="module")
def notebook() -> Iterator[dict[str, Any]]:
    sys.path.insert(0, str(ANALYSIS))
    try:
        import tour_page

        yield json.loads(json.dumps(tour_page.notebook()))
    finally:
        sys.path.remove(str(ANALYSIS))


def outputs(notebook: dict[str, Any], containing: str) -> dict[str, Any]:
    (cell,) = [c for c in notebook["cells"] if c["cell_type"] == "code" and containing in c["source"]]
    ((output),) = cell["outputs"]
    return dict(output["data"])


def test_it_runs_from_a_prompt_to_the_widget(notebook: dict[str, Any]) -> None:
    assert (
        " Austin"
        in outputs(notebook, 'graph_of("The capital of the state containing Dallas is")')["text/html"]
    )
    why = outputs(notebook, "circuits.why(graph)")["text/html"]
    assert "How far to trust this" in why
    assert "say capitals" in why
    for call in ("sentence", "strongest_paths", "hypergraph", "difference", "agreement"):
        picture = Image.open(
            io.BytesIO(base64.b64decode(outputs(notebook, f"circuits.{call}(")["image/png"]))
        )
        assert picture.width > 400
        assert len(set(picture.convert("L").tobytes())) > 20
    assert outputs(notebook, "widget()")["text/plain"].startswith("GraphWidget(628 nodes")


def test_what_the_prose_says_is_so(notebook: dict[str, Any]) -> None:
    test = outputs(notebook, "concept_test")["text/html"]
    assert "AND" in test  # “Do the city and the word capital act as an and”
    contrast = outputs(notebook, "contrast.finding")["text/html"]
    assert "Olympia" in contrast
    tried = outputs(notebook, "verification.answer()")["text/html"]
    found = re.search(r"all (\d+) predictions of\s+this graph hold", tried)
    assert found  # “there it must be right, and is”
    free = re.search(r"(\d+) of (\d+) hold", tried)
    assert free
    assert int(free[1]) < int(free[2])  # “hollow orange points are where it misled”
    assert "together" in tried.split("What fails then")[1]  # “the and of Dallas and capital among them”


def test_it_reads_like_a_page_and_is_a_notebook(notebook: dict[str, Any]) -> None:
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown"
    prose = "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    assert len(prose.split()) > 350
    heads = re.findall(r"^#+ (.*)$", prose, flags=re.MULTILINE)
    assert len(heads) >= 6
    assert len({cell["id"] for cell in notebook["cells"]}) == len(kinds)
    fastjsonschema.compile(CELLS)(notebook)


OUTPUT = {
    "type": "object",
    "required": ["output_type", "data", "metadata"],
    "properties": {"output_type": {"const": "display_data"}, "data": {}, "metadata": {}},
    "additionalProperties": False,
}
CELL = {
    "type": "object",
    "required": ["id", "cell_type", "metadata", "source"],
    "properties": {
        "id": {"type": "string", "pattern": "^[a-zA-Z0-9_-]+$", "maxLength": 64},
        "cell_type": {"enum": ["markdown", "code"]},
        "source": {"type": "string"},
        "outputs": {"type": "array", "items": OUTPUT},
    },
}
CELLS = {
    "type": "object",
    "required": ["metadata", "nbformat", "nbformat_minor", "cells"],
    "properties": {"nbformat": {"const": 4}, "cells": {"type": "array", "items": CELL}},
}
"""What nbformat 4.5 asks for, so far as it bears on us."""
