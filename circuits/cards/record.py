"""Cards of features: plain records and one table; needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import polars as pl

from circuits.errors import NotFound

LABEL: Final = pl.Struct(
    {
        "text": pl.String,
        "role": pl.String,
        "named": pl.Boolean,
        "precision": pl.Float32,
        "recall": pl.Float32,
        "recall_any": pl.Float32,
        "base": pl.Float32,
        "on": pl.UInt32,
    }
)
SHARE: Final = pl.Struct({"token": pl.UInt32, "share": pl.Float32, "log_odds": pl.Float32})

CARD_SCHEMA: Final = pl.Schema(
    {
        "layer": pl.UInt16(),
        "feature": pl.UInt32(),
        "frequency": pl.Float32(),  # share of tokens with a positive activation
        "negative": pl.Float32(),  # share of tokens with a negative one
        "maximum": pl.Float32(),  # the largest activation of the whole text
        "half": pl.Float32(),  # from here on the feature counts as on
        "bars": pl.List(pl.UInt32),  # tokens of the testing half by tenth of 2 · half, the last open
        "label": pl.String(),  # the tested label, null where there is none
        "labels": pl.List(LABEL),  # all tested labels, the best first
        "on_tokens": pl.List(SHARE),  # tokens it is on at
        "after_tokens": pl.List(SHARE),  # tokens just before those
        "domains": pl.List(pl.Struct({"domain": pl.UInt8, "share": pl.Float32})),
        "promoted": pl.List(pl.UInt32),
        "promoted_by": pl.List(
            pl.Float32
        ),  # logit per unit of activation, less the mean, norm scale left out
        "suppressed": pl.List(pl.UInt32),
        "suppressed_by": pl.List(pl.Float32),
        "context_fifth": pl.List(pl.UInt8),  # of each context: 5 for the largest, 1 to 4 drawn at random
        "context_tokens": pl.List(pl.UInt32),  # contexts behind one another; `settings.width` tokens each
        "context_values": pl.List(pl.UInt8),  # activations there, in 255ths of `maximum`
    }
)


@dataclass(frozen=True)
class Label:
    """A label that held on text it was not chosen on.

    Attributes:
        text: in words.
        role: "on" (the token itself), "after" (the token before it) or "say" (the token that follows).
        named: it is a named concept rather than a list of tokens.
        precision: of the tokens at which the feature is on, the share that are what the text says.
        recall: of all such tokens, the share at which it is on.
        recall_any: of all such tokens, the share with any positive activation.
        base: the share of such tokens in the text.
        on: tokens at which it is on, testing half.
    """

    text: str
    role: str
    named: bool
    precision: float
    recall: float
    recall_any: float
    base: float
    on: int


@dataclass(frozen=True)
class Context:
    """A piece of text with a feature's activations.

    Attributes:
        tokens: the tokens.
        values: the activation at each.
        at: which token it is about.
        fifth: 5 for one of the largest activations; 1 to 4 for one drawn from that fifth of the largest.
    """

    tokens: tuple[str, ...]
    values: tuple[float, ...]
    at: int
    fifth: int


@dataclass(frozen=True)
class TokenShare:
    """How often a feature is on at (or after) a token: share of its tokens, and log-odds against the text."""

    token: str
    share: float
    log_odds: float


@dataclass(frozen=True)
class Card:
    """One feature: `CARD_SCHEMA` says what each number is."""

    layer: int
    feature: int
    frequency: float
    negative: float
    maximum: float
    half: float
    bars: tuple[int, ...]
    labels: tuple[Label, ...]
    on_tokens: tuple[TokenShare, ...]
    after_tokens: tuple[TokenShare, ...]
    domains: tuple[tuple[str, float], ...]
    promoted: tuple[tuple[str, float], ...]
    suppressed: tuple[tuple[str, float], ...]
    contexts: tuple[Context, ...]

    @property
    def name(self) -> str:
        """Gives layer/feature."""
        return f"{self.layer}/{self.feature}"

    @property
    def top(self) -> tuple[Context, ...]:
        """Gives the contexts of the largest activations."""
        return tuple(context for context in self.contexts if context.fifth == 5)


@dataclass(frozen=True, eq=False)
class Cards:
    """The cards of a dictionary's features.

    Attributes:
        table: one row a feature, as `CARD_SCHEMA` has it.
        meta: model, dictionary, text, settings, limits, and the strings of all tokens that occur.
    """

    table: pl.DataFrame
    meta: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        named = self.table["label"].count()
        return f"Cards({len(self)} features, {named} with a tested label)"

    @cached_property
    def strings(self) -> dict[int, str]:
        """Gives the text of the tokens that occur, by id."""
        return dict(zip(self.meta["token_ids"], self.meta["token_texts"], strict=True))

    @cached_property
    def _rows(self) -> dict[tuple[int, int], int]:
        pairs = zip(self.table["layer"].to_list(), self.table["feature"].to_list(), strict=True)
        return {pair: row for row, pair in enumerate(pairs)}

    @cached_property
    def labels(self) -> dict[tuple[int, int], str]:
        """Gives the tested labels, by layer and feature."""
        named = self.table.select("layer", "feature", "label").drop_nulls()
        return {(layer, feature): label for layer, feature, label in named.iter_rows()}

    def card(self, layer: int, feature: int) -> Card:
        """Gives the card of a feature, its tokens as text.

        Raises:
            NotFound: there is none.
        """
        row = self._rows.get((layer, feature))
        if row is None:
            layers = sorted(set(self.table["layer"].to_list()))
            raise NotFound(
                f"No card of feature {layer}/{feature}: there are {len(self):,}, of layers"
                f" {', '.join(map(str, layers))} with {len(self) // len(layers):,} features each."
            )
        return self.at(row)

    def at(self, row: int) -> Card:
        """Gives the card in a row of the table."""
        return self._card(self.table.row(row, named=True))

    def __iter__(self) -> Iterator[Card]:
        return map(self._card, self.table.iter_rows(named=True))

    def _card(self, row: Mapping[str, Any]) -> Card:
        spell = self.strings
        domains = self.meta["text"]["domains"]

        def shares(side: str) -> tuple[TokenShare, ...]:
            return tuple(TokenShare(spell[t["token"]], t["share"], t["log_odds"]) for t in row[side])

        def logits(side: str) -> tuple[tuple[str, float], ...]:
            return tuple((spell[t], by) for t, by in zip(row[side], row[f"{side}_by"], strict=True))

        plain = ("layer", "feature", "frequency", "negative", "maximum", "half")
        return Card(
            **{name: row[name] for name in plain},
            bars=tuple(row["bars"]),
            labels=tuple(Label(**label) for label in row["labels"]),
            on_tokens=shares("on_tokens"),
            after_tokens=shares("after_tokens"),
            domains=tuple((domains[d["domain"]], d["share"]) for d in row["domains"]),
            promoted=logits("promoted"),
            suppressed=logits("suppressed"),
            contexts=tuple(self._contexts(row)),
        )

    def _contexts(self, row: Mapping[str, Any]) -> Iterator[Context]:
        settings = self.meta["settings"]
        width = settings["before"] + 1 + settings["after"]
        for number, fifth in enumerate(row["context_fifth"]):
            part = slice(number * width, (number + 1) * width)
            tokens, values = row["context_tokens"][part], row["context_values"][part]
            inside = [i for i, token in enumerate(tokens) if token != self.meta["nothing"]]
            yield Context(
                tokens=tuple(self.strings[tokens[i]] for i in inside),
                values=tuple(values[i] / 255 * row["maximum"] for i in inside),
                at=inside.index(settings["before"]),
                fifth=fifth,
            )
