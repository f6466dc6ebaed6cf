"""What `circuits import` and `circuits export` say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

WORDS: Final = {
    "bias": ("bias", "biases"),
    "rest": ("sum of small edges", "sums of small edges"),
    "position": ("positional embedding", "positional embeddings"),
    "token": ("word", "words"),
    "logit": ("output", "outputs"),
}
"""One and several of the kinds of nodes that are not called so in a sentence; others take an s."""


def counted(counts: Mapping[str, int]) -> str:
    """Gives counts in words, without the zeros.

    Example:
        >>> counted({"feature": 3, "bias": 1, "links": 0, "logit": 2})
        '3 features, 1 bias, 2 outputs'
    """
    parts = []
    for name, count in counts.items():
        plain = name.removesuffix("s")
        one, several = WORDS.get(name, (plain, f"{plain}s"))
        if count:
            parts.append(f"{count:,} {one if count == 1 else several}")
    return ", ".join(parts) or "nothing"


def source_name(told: Mapping[str, Any]) -> str:
    """Gives what a graph was imported from, in words."""
    if "format" not in told:
        return "a document of this package"
    by = f", by {told['by']}" if told.get("by") else ""
    return f"{told['format']}{by}"
