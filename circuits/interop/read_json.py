"""A JSON file as a document; what is wrong with the file is told with line and column."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from circuits.errors import InvalidFile, NotFound, UsageError

LARGEST: Final = 4_000_000_000
"""Bytes of a file, at most: documents are held in memory, at about six times their size."""


def read_json(path: Path) -> Any:
    """Gives what a JSON file holds. NaN and infinities, which JSON lacks, are read and told of later.

    Raises:
        NotFound: there is no such file.
        UsageError: it is a directory.
        InvalidFile: it is too large, no UTF-8, no JSON, or nested deeper than anything sensible.
    """
    text = read_text(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        near = text[max(0, cause.pos - 20) : cause.pos + 20].replace("\n", " ")
        end = " The file ends there: is it whole?" if cause.pos >= len(text.rstrip()) - 1 else ""
        raise InvalidFile(
            f"{path} is no JSON: {cause.msg.lower()} at line {cause.lineno}, column {cause.colno}, near"
            f" {near!r}.{end}"
        ) from cause
    except RecursionError as cause:
        raise InvalidFile(f"{path} is nested too deeply to be an attribution graph.") from cause
    except ValueError as cause:  # a number of thousands of digits
        raise InvalidFile(f"{path} holds a number that cannot be read: {cause}.") from cause


def read_text(path: Path) -> str:
    """Gives a file's text, UTF-8 with or without a byte-order mark; raises as `read_json` does."""
    if not path.exists():
        raise NotFound(f"No file at {path}.")
    if path.is_dir():
        raise UsageError(f"{path} is a directory: give one file of an attribution graph.")
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise InvalidFile(f"{path} has {size:,} bytes: at most {LARGEST:,} are read.")
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise InvalidFile(
            f"{path} is no UTF-8 text: byte {cause.start} is {cause.object[cause.start]:#04x}."
        ) from cause
    except OSError as cause:
        raise InvalidFile(f"{path} cannot be read: {cause.strerror}.") from cause


def write_json(document: Mapping[str, Any], path: Path) -> None:
    """Writes a document, a line a node and a link, so that two versions can be compared line by line.

    Raises:
        InvalidFile: it holds NaN, an infinity, or half a character.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            lead = "{"
            for key, value in document.items():
                file.write(f"{lead}\n{_line(key)}: ")
                if key in ("nodes", "links"):
                    file.write("[\n" + ",\n".join(map(_line, value)) + "\n]" if value else "[]")
                else:
                    file.write(_line(value))
                lead = ","
            file.write("\n}\n")
    except UnicodeEncodeError as cause:
        raise InvalidFile(
            f"A text of the graph holds half a character ({cause.object[cause.start]!a})."
        ) from cause
    except ValueError as cause:
        raise InvalidFile(f"The graph holds a number that JSON lacks ({cause}).") from cause


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
