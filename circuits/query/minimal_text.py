"""An answer about a smallest set in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

from circuits.query.minimal_search import Game, Smallest
from circuits.query.text import listing, percent, plain

if TYPE_CHECKING:
    from circuits.query.subject import Subject

CAPTIONS: Final[Mapping[str, str]] = {
    "set": "Its members. share without it: what the others of the set keep (or take away) alone; none of"
    " these is enough, so no member can be dropped.",
    "steps": "The target's value as the graph predicts it, words and constants always on, attention and norms"
    " frozen. share: of the effect, from all off to all on.",
}


def sentences(subject: Subject, game: Game, found: Smallest, table: pl.DataFrame) -> tuple[str, ...]:
    """Gives the finding: every number in it stands in one of the tables."""
    return (_set(subject, game, found, table), _effect(subject, game, found), _certificate(game, found))


def _set(subject: Subject, game: Game, found: Smallest, table: pl.DataFrame) -> str:
    count = len(found.members)
    known = subject.graph.index
    first = [str(name) for name in table["member"].head(3)]
    listed = listing(subject.naming.phrase(name) if name in known else f'"{name}"' for name in first)
    of = f"of {game.players:,} players"
    more = f"the most needed of them {listed}" if count > 3 else listed
    what = f"{count:,} {of}" if count > 1 else f"One {of}"
    whole = f"{percent(found.share)} of what all do to {subject.words()}"
    if game.kind == "sufficient":
        return f"{what} {'suffice' if count > 1 else 'suffices'} for {whole}: {more}."
    lost = f"it is lost without {'them' if count > 1 else 'it'}"
    return f"{what} {'carry' if count > 1 else 'carries'} {whole}: {lost}. {_upper(more)}."


def _upper(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def _effect(subject: Subject, game: Game, found: Smallest) -> str:
    what = "the logit" if subject.kind == "logit" else "its input"
    value = found.steps[2][2]
    state = "with only the set on" if game.kind == "sufficient" else "with the set off"
    return (
        f"The graph predicts {what} to be {plain(value)} {state}; it is {plain(game.full)} with all on and"
        f" {plain(game.empty)} with all off, words and constants on throughout."
    )


def _certificate(game: Game, found: Smallest) -> str:
    count = len(found.members)
    if count == 1:
        return "It is a single player, so no smaller set will do."
    most = float(found.without.max())
    drop = (
        f"No member can be dropped: the best of the {count} sets without one has {100 * most:.1f}%, short of"
        f" the {100 * game.wanted:g}% asked for."
    )
    if found.proven:
        all_of = (
            f"all {found.checked:,} sets" if 1 << game.players == found.checked else "all that are smaller"
        )
        return f"{drop} And no smaller set will do: {all_of} were evaluated."
    tried = ""
    if found.ruled_out:
        few = "single player" if found.ruled_out == 1 else f"set of {found.ruled_out} or fewer"
        tried = f" No {few} will do (all {found.checked:,} were evaluated), but"
    doubt = "a set smaller than this one, and no part of it, may exist: there are too many to try them all."
    return f"{drop}{tried} {doubt}" if tried else f"{drop} {doubt[:1].upper()}{doubt[1:]}"
