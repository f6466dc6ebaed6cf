"""The public names: one list, all of them real, none of them loaded before it is asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import circuits

SOURCE = Path(circuits.__file__)
NAMES = sorted(set(circuits.__all__) - {"__version__"})


def declared() -> dict[str, tuple[str, str]]:
    """What `if TYPE_CHECKING:` tells type checkers: public name → (module, name there)."""
    tree = ast.parse(SOURCE.read_text())
    blocks = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in blocks[0].body
        for alias in node.names
    }


def test_type_checkers_are_told_of_every_public_name_and_no_other() -> None:
    assert sorted(declared()) == NAMES
    assert len(circuits.__all__) == len(set(circuits.__all__))


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_what_type_checkers_are_told(name: str) -> None:
    module, original = declared()[name]
    expected = getattr(__import__(module, fromlist=[original]), original)
    assert callable(expected)
    assert getattr(circuits, name) is expected


def test_the_version_is_a_literal_that_the_build_can_read() -> None:
    found = [
        ast.literal_eval(node.value)
        for node in ast.parse(SOURCE.read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__"
    ]
    assert found == [circuits.__version__]


def test_an_unknown_name_is_an_attribute_error_and_dir_lists_the_known() -> None:
    with pytest.raises(AttributeError, match="nosuch"):
        circuits.nosuch  # noqa: B018
    assert set(circuits.__all__) <= set(dir(circuits))


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        ("import circuits", []),
        ("import circuits; circuits.Trace; circuits.Prompt; circuits.load_trace", ["polars"]),
        ("import circuits; circuits.why; circuits.Graph", ["polars"]),
        ("import circuits; circuits.Edges; circuits.attribute", ["jax", "polars"]),
    ],
)
def test_names_load_no_more_than_they_need(code: str, loaded: list[str]) -> None:
    heavy = "{'torch', 'jax', 'transformers', 'matplotlib', 'polars'}"
    tail = f"; import sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code + tail], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(loaded)
