"""Texts from outside as they are shown: controls made visible, monsters cut, never taken for markup."""

from __future__ import annotations

import re
from typing import Final

from markupsafe import Markup, escape

from circuits.query.text import held

LONGEST: Final = 80
"""Characters without a space that are shown of a text."""

_CODE: Final = re.compile(r"`([^`\n]+)`")
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


def shortened(text: object) -> str:
    """Gives a text as `visible`, words too long for any page cut.

    Example:
        >>> shortened("x" * 10_000)[-21:]
        '… (10,000 characters)'
    """
    clean = visible(text)
    return _MONSTER.sub(_cut, clean) if len(clean) > LONGEST else clean


def seen(text: object) -> str:
    """Gives a text for people: `shortened`, and spaces in quotes are ones at which no line is broken."""
    return held(shortened(text))


def told(text: object) -> Markup:
    """Gives a text of our own for people: as `seen`, with what stands in backticks as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(seen(text)))))  # noqa: S704  # escaped first


def token(text: object) -> str:
    """Gives a token as it stands in a prompt: line breaks as signs, what else is not seen made visible."""
    shown = seen(str(text).replace("\t", "⇥"))
    return shown.replace("\n", "⏎\n")


def _cut(found: re.Match[str]) -> str:
    return f"{found[0][:LONGEST]}… ({len(found[0]):,} characters)"


def _escaped(character: str) -> str:
    try:
        return character.encode("unicode_escape").decode()
    except UnicodeEncodeError:
        return "\ufffd"
