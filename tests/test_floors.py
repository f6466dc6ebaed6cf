"""The house stands: imports go down the floors, torch and JAX stay apart, budgets are kept."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "circuits"
FLOORS = {
    "errors": 0, "schema": 0, "files": 0, "bundled": 0, "shown": 0,
    "prompt": 1, "trace": 1, "trace_io": 1, "trace_check": 1, "graph": 1,
    "models": 2, "dictionaries": 2, "extraction": 2, "training": 2, "engine": 2,
    "cards": 2,
    "query": 3,
    "planted": 4, "intervene": 4,
    "plot": 5, "viewer": 5, "report": 5, "interop": 5, "notebook": 5,
    "__init__": 7, "__main__": 7, "cli": 7, "server": 7,
}  # fmt: skip
# within floor 2 the torch rooms stand on each other in this order; the engine stands apart
WITHIN = {
    ("dictionaries", "models"), ("extraction", "models"), ("extraction", "dictionaries"),
    ("training", "models"), ("training", "dictionaries"),
    ("cards", "models"), ("cards", "dictionaries"), ("cards", "extraction"), ("cards", "training"),
}  # fmt: skip
# within floors 0, 1 and 5, rooms may use these neighbours
NEIGHBOURS = {
    ("files", "errors"), ("schema", "errors"), ("bundled", "errors"), ("prompt", "errors"),
    ("trace", "prompt"), ("trace_check", "trace"), ("trace_check", "prompt"),
    ("trace_io", "trace"), ("trace_io", "trace_check"), ("trace_io", "prompt"),
    ("graph", "trace"), ("graph", "trace_io"), ("graph", "prompt"),
    ("report", "plot"), ("report", "viewer"), ("notebook", "plot"), ("notebook", "viewer"),
    ("server", "cli"), ("cli", "server"), ("cli", "__init__"), ("__main__", "cli"),
}  # fmt: skip
FILES = sorted(ROOT.rglob("*.py"))


def room(file: Path) -> str:
    part = file.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imports(tree: ast.AST) -> set[str]:
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def lazily_typed(tree: ast.Module) -> ast.Module:
    """The module without its `if TYPE_CHECKING:` blocks, which load nothing."""
    body = [n for n in tree.body if not (isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test))]
    return ast.Module(body=body, type_ignores=[])


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_go_down_the_floors_only(file: Path) -> None:
    here = room(file)
    assert here in FLOORS, f"{here} has no floor: give it one in DESIGN and here"
    tree = lazily_typed(ast.parse(file.read_text()))
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] != "circuits" or len(parts) == 1 or parts[1] not in FLOORS:
            continue
        there = parts[1]
        down = FLOORS[there] < FLOORS[here]
        assert there == here or down or (here, there) in WITHIN | NEIGHBOURS, f"{file} imports {name}"


def test_rooms_are_entered_by_name_in_few_places() -> None:
    """The root and the command line load what is asked for; graphs and answers find what draws them."""
    late = {str(f.relative_to(ROOT)) for f in FILES if "import_module(" in f.read_text()}
    assert late == {"__init__.py", "cli/channels.py", "cli/serve.py", "graph/display.py"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_torch_and_jax_never_meet_in_a_file(file: Path) -> None:
    tops = {name.split(".")[0] for name in imports(ast.parse(file.read_text()))}
    assert not ({"torch", "jax"} <= tops)
    torch_rooms, jax_rooms = (
        ("models", "dictionaries", "extraction", "training", "cards", "intervene"),
        ("engine", "graph"),
    )
    assert "torch" not in tops or room(file) in torch_rooms
    assert "jax" not in tops or room(file) in jax_rooms


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_files_functions_and_calls_stay_within_their_budgets(file: Path) -> None:
    text = file.read_text()
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = (ast.get_docstring(node, clean=False) or "").count("\n")
            length = (node.end_lineno or 0) - node.lineno + 1 - doc
            assert length <= 60, f"{node.name}: {length} lines"
            arguments = [
                a.arg for a in (*node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")
            ]
            # a command's parameters are its options: the command line is their noun
            if room(file) != "cli":
                assert len(arguments) <= 6, f"{node.name}: {len(arguments)} parameters"


def test_importing_circuits_loads_neither_torch_nor_jax() -> None:
    heavy = {"torch", "jax", "transformers", "matplotlib"}
    code = f"import circuits, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
