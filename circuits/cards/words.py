"""Tokens in words: how labels and cards write them. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence


def words(tokens: Sequence[str]) -> str:
    r"""Gives tokens in words, without double quotes.

    Example:
        >>> words([" capital"]), words([" unto", " thee"]), words(["er"]), words([chr(10)])
        ('the word capital', 'the words unto, thee', 'the token ‘er’', 'the token ‘\\n’')
    """
    plain = [token[1:] for token in tokens if token[:1] == " " and _wordlike(token[1:])]
    if len(plain) == len(tokens):
        return f"the word{'s' * (len(plain) > 1)} {', '.join(plain)}"
    shown = ", ".join(f"‘{visible(token)}’" for token in tokens)
    return f"the token{'s' * (len(tokens) > 1)} {shown}"


def _wordlike(text: str) -> bool:
    return bool(text) and all(c.isalpha() or c in " '-." for c in text) and text[0].isalpha()


def visible(token: str) -> str:
    """Gives a token with line breaks and other controls made visible."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in token)
