"""Texts from outside as they are shown: controls made visible, monsters cut, never taken for markup."""

from __future__ import annotations

import re
from typing import Final

from circuits.query.text import held

LONGEST: Final = 160
"""Characters without a space that are shown of a text."""

_MONSTER: Final = re.compile(rf"\S{{{LONGEST + 1},}}")


def visible(text: object) -> str:
    r"""Gives a text with controls, and marks that turn the direction of writing, made visible.

    Line breaks and tabs stay.

    Example:
        >>> visible("a" + chr(27) + "b" + chr(0x202E)), visible("a" + chr(10))
        ('a\\x1bb\\u202e', 'a\n')
    """
    said = str(text)
    if said.isprintable():
        return said
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else _escaped(c) for c in said)


def seen(text: object) -> str:
    """Gives a text for people: `visible`, words too long for any page cut, spaces in quotes kept.

    Example:
        >>> seen("x" * 10_000)[-21:]
        '… (10,000 characters)'
    """
    clean = visible(text)
    if len(clean) > LONGEST:
        clean = _MONSTER.sub(_cut, clean)
    return held(clean)


def token(text: object) -> str:
    """Gives a token as it stands in a prompt: line breaks as signs, what else is not seen made visible."""
    shown = seen(str(text).replace("\r", "␍").replace("\t", "⇥"))
    return shown.replace("\n", "⏎\n")


def _cut(found: re.Match[str]) -> str:
    return f"{found[0][:LONGEST]}… ({len(found[0]):,} characters)"


def _escaped(character: str) -> str:
    try:
        return character.encode("unicode_escape").decode()
    except UnicodeEncodeError:
        return "\ufffd"
