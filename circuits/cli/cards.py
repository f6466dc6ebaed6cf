"""Cards of features as text and as documents: what `circuits features` prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from circuits.cards.words import visible
from circuits.cli.console import facts, heading, stack

if TYPE_CHECKING:
    from circuits.cards.record import Card, Cards, Context, Label, TokenShare

BLOCKS = "▁▂▃▄▅▆▇█"
FOLLOWS = {
    "on": "of the tokens at which it is on",
    "after": "of the tokens at which it is on",
    "say": "of the tokens that follow where it is on",
}


def card_text(card: Card, cards: Cards, explanation: dict[str, Any] | None = None) -> RenderableType:
    """Gives a card for the terminal; text from outside is escaped, tokens that are on stand in «»."""
    rows: list[tuple[str, str] | tuple[str, str, str]] = []
    rows += [("label", label.text, measured(label)) for label in card.labels]
    if not card.labels:
        rows.append(("label", "none", f"nothing tried reached {cards.meta['limits']['text']}"))
    if explanation is not None:
        rows.append(("explanation", visible(explanation["text"]), scored(explanation)))
    if card.maximum <= 0:
        rows.append(("on", "never", "on this text"))
    else:
        rows.append(("on", share(card.frequency), f"of tokens, up to {card.maximum:.3g}"))
        rows.append(
            ("histogram", bars(card.bars), f"tokens by activation, 0 to {2 * card.half:.3g}, log scale")
        )
    if card.negative > 0:
        rows.append(("negative", share(card.negative), "of tokens"))
    rows += [
        (name, listed(tokens))
        for name, tokens in (("on at", card.on_tokens), ("after", card.after_tokens))
        if tokens
    ]
    if card.domains and len(cards.meta["text"]["domains"]) > 1:
        rows.append(("domains", ", ".join(f"{visible(name)} {share(part)}" for name, part in card.domains)))
    rows.append(("promotes", ", ".join(quoted(token) for token, _ in card.promoted)))
    rows.append(("suppresses", ", ".join(quoted(token) for token, _ in card.suppressed)))
    strongest = [context_text(context) for context in card.top]
    drawn = [context_text(context) for context in card.contexts if context.fifth < 5]
    return stack(
        heading(f"Feature {card.name}"),
        facts(rows),
        Group(heading("Strongest contexts"), *strongest) if strongest else None,
        Group(heading("Drawn at random from each lower fifth"), *drawn) if drawn else None,
    )


def context_text(context: Context) -> Text:
    """Gives a context on a line: the activation, the text, what is on in « », the token in question bold."""
    text = Text(f"  {context.values[context.at]:6.3g}  ", no_wrap=True, overflow="ellipsis")
    on = max(context.values) / 2
    for place, (token, value) in enumerate(zip(context.tokens, context.values, strict=True)):
        shown = visible(token)
        if place == context.at:
            text.append(f"«{shown}»", "bold reverse")
        else:
            text.append(shown, "bold" if value >= on and value > 0 else "")
    return text


def measured(label: Label) -> str:
    """Gives how well a label held on held-out text."""
    return (
        f"held out: right for {share(label.precision)} {FOLLOWS[label.role]} ({label.on:,}); on at"
        f" {share(label.recall)} of all such, chance {share(label.base)}"
    )


def scored(explanation: dict[str, Any]) -> str:
    """Gives how well an explanation did."""
    said = [
        f"{name} {explanation[name]:.2f}"
        for name in ("detection", "fuzzing")
        if explanation.get(name) is not None
    ]
    shuffled = explanation.get("shuffled")
    control = f" (another feature's explanation: {shuffled:.2f})" if shuffled is not None else ""
    return f"by {visible(explanation['by'])}; balanced accuracy, held out: {', '.join(said)}{control}"


def bars(counts: Sequence[int]) -> str:
    """Gives counts as a row of blocks on a logarithmic scale, a blank for none.

    Example:
        >>> bars([1000, 100, 10, 1, 0])
        '█▆▃▁ '
    """
    from math import log

    most = log(max(*counts, 2))
    return "".join(BLOCKS[round(log(n) / most * (len(BLOCKS) - 1))] if n else " " for n in counts)


def listed(tokens: Sequence[TokenShare]) -> str:
    """Gives tokens with their shares."""
    return ", ".join(f"{quoted(part.token)} {share(part.share)}" for part in tokens)


def quoted(token: str) -> str:
    """Gives a token in quotes, all that is not printable escaped."""
    return f'"{visible(token)}"'


def share(value: float) -> str:
    """Gives a share as a percentage."""
    from circuits.query.text import percent

    return percent(value)


def document(card: Card, explanation: dict[str, Any] | None = None) -> dict[str, Any]:
    """Gives a card as JSON holds it."""
    from dataclasses import asdict

    return {"name": card.name, **asdict(card), "explanation": explanation}
