"""What is wrong with an attribution-graph document: every problem, with the JSON path it is at.

Errors are what no reader can make sense of, what the format forbids, and what a viewer stops at; the last can
be imported all the same. Warnings are what is shown wrongly, or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final, Literal

import fastjsonschema

SHOWN: Final = 5
"""Problems of one sort that a message lists; the rest are counted."""


Level = Literal["error", "viewer", "warning"]
"""`error`: not to be read; `viewer`: readable, but a web viewer stops with an error at it."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a document.

    Attributes:
        path: where, as in `nodes[17].node_id`; empty for the document itself.
        text: what is wrong.
        level: how bad it is.
        sort: problems of one sort are told together.
    """

    path: str
    text: str
    level: Level = "error"
    sort: str = "schema"

    def __str__(self) -> str:
        return f"{self.path or 'the document'}: {self.text}"


@cache
def schema() -> Mapping[str, Any]:
    """Gives the JSON Schema (draft-07) that documents are held against."""
    text = resources.files("circuits.interop").joinpath("attribution_graph.schema.json").read_text("utf-8")
    loaded: Mapping[str, Any] = json.loads(text)
    return loaded


def schema_problems(document: Any) -> Iterator[Problem]:
    """Gives every place where a document breaks the schema."""
    yield from _broken(document, schema(), "")


def _broken(value: Any, rules: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Gives where a value breaks its rules: the innermost places, each told once."""
    try:
        _checker(rules)(value)
    except fastjsonschema.JsonSchemaValueException as cause:
        inner = list(_inside(value, rules, path)) if _is(value, rules.get("type")) else []
        yield from inner or [Problem(path, _said(value, rules, cause))]


def _inside(value: Any, rules: Mapping[str, Any], path: str) -> Iterator[Problem]:
    if isinstance(value, dict):
        for key in rules.get("required", ()):
            if key not in value:
                yield Problem(path, f"{key} is missing")
        for key, below in rules.get("properties", {}).items():
            if key in value:
                yield from _broken(value[key], below, f"{path}.{key}" if path else key)
    if isinstance(value, list) and "items" in rules:
        for at, item in enumerate(value):
            yield from _broken(item, rules["items"], f"{path}[{at}]")


def _is(value: Any, kinds: Any) -> bool:
    return (kinds == "object" and isinstance(value, dict)) or (kinds == "array" and isinstance(value, list))


def _said(value: Any, rules: Mapping[str, Any], cause: Exception) -> str:
    kinds = rules.get("type")
    if kinds is None:
        return str(cause)
    wanted = " or ".join([kinds] if isinstance(kinds, str) else kinds)
    return f"{short(value)} is no {wanted}"


def _checker(rules: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Gives the compiled rules; they are parts of the one schema, so that their identity is their name."""
    if id(rules) not in _CHECKERS:
        _CHECKERS[id(rules)] = fastjsonschema.compile(dict(rules))
    return _CHECKERS[id(rules)]


_CHECKERS: Final[dict[int, Callable[[Any], Any]]] = {}


def short(value: Any) -> str:
    """Gives a value in a few characters, as JSON."""
    text = json.dumps(value, ensure_ascii=True, default=str)
    return text if len(text) <= 40 else f"{text[:37]}…"


def told(problems: Iterable[Problem]) -> str:
    """Gives problems as one passage: the first of each sort, the others counted."""
    sorts: dict[str, list[Problem]] = {}
    for problem in problems:
        sorts.setdefault(problem.sort, []).append(problem)
    lines = []
    for group in sorts.values():
        lines += [str(problem) for problem in group[:SHOWN]]
        if len(group) > SHOWN:
            lines.append(f"and {len(group) - SHOWN:,} more such")
    return "; ".join(lines)
