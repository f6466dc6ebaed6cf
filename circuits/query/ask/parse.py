"""A sentence to a question, or the nearest sentence that is one."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from circuits.errors import CircuitsError, UsageError
from circuits.query.ask.forms import nearest
from circuits.query.ask.grammar import joining, plain, read, words_of
from circuits.query.ask.question import Question

SHOWN = 4
"""Words that were expected, listed at most."""

LONGEST = 2000
"""Characters of the longest sentence that is read."""

_KINDS = {
    "ATOM": "a name",
    "COUNT": "a number",
    "NUMBER": "a number",
    "SHARE": "a share",
    "LAYERS": "a layer",
    "KIND": "a kind (and, or, inhibit, xor)",
    "OUTPUT": "the output",
    "$END": "the end",
}
"""What is expected, in words."""


def parse(text: str) -> Question:
    """Gives the question of a sentence; see `circuits.query.ask.forms.FORMS` for what can be asked.

    Raises:
        UsageError: the sentence is none that can be parsed: where, what was expected there, and the
            nearest question that can be.

    Example:
        >>> parse("why ' Austin' rather than Dallas?")
        Why(target='" Austin"', over='Dallas', top=10)
    """
    sentence = plain(text)
    if not sentence:
        raise UsageError(
            "No question: ask, for example, 'why', or see all that can be asked with circuits ask --forms."
        )
    if len(sentence) > LONGEST:
        raise UsageError(f"The question has {len(sentence)} characters: ask in {LONGEST} or fewer.")
    try:
        return read(sentence)
    except VisitError as error:
        if isinstance(error.orig_exc, CircuitsError):
            raise error.orig_exc from None
        raise
    except UnexpectedInput as error:
        raise UsageError(_refusal(sentence, error)) from None


def _refusal(sentence: str, error: UnexpectedInput) -> str:
    place = min(error.pos_in_stream if error.pos_in_stream is not None else len(sentence), len(sentence))
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        place = len(sentence)
    rest = sentence[max(place, 0) :].split()
    if sentence[place : place + 1] in ('"', "“", "„", "«"):
        said = f"the quotation mark before {sentence[place + 1 : place + 20]!r} is not closed"
    else:
        word = rest[0] if rest else ""
        where = f"at {word!r}" if word else "at its end"
        said = f"{where} {_expected(word, _accepted(error))} was expected"
        if place and word.casefold() in joining():
            said += " (if it belongs to a name, put the name in quotes)"
    near = nearest(sentence)
    kind = "Nearest question" if near.whole else "Nearest form"
    return f"This cannot be parsed: {said}. {kind}: {near.text}"


def _accepted(error: UnexpectedInput) -> Collection[str]:
    if isinstance(error, UnexpectedCharacters):
        return error.allowed or ()
    return error.accepts or error.expected if isinstance(error, UnexpectedToken) else ()


def _expected(word: str, terminals: Collection[str]) -> str:
    """Gives what could stand there: what is spelt like the word alone, if anything is."""
    known = [name for name in sorted(terminals) if name not in _KINDS]
    words = {said for name in known for said in words_of(name)}
    if alike := difflib.get_close_matches(word.casefold(), sorted(words), n=1, cutoff=0.6):
        return repr(alike[0])
    if "_WHY" in terminals:
        return "a question word (why, which, what, does, paths, cut, smallest, compare)"
    kinds = [_KINDS[name] for name in sorted(terminals) if name in _KINDS]
    listed = [*dict.fromkeys(kinds), *(_label(name) for name in known)]
    return " or ".join(listed[:SHOWN]) or "the end"


def _label(terminal: str) -> str:
    """Gives a terminal in words, which it is called after."""
    return repr("," if terminal == "_COMMA" else terminal.strip("_").lower().replace("_", " "))
