"""Finding features by words: in labels first, then tokens, promoted tokens and contexts."""

from __future__ import annotations

from typing import Final

import polars as pl

from circuits.cards.record import Cards

WHERE: Final = {
    "label": 8.0,
    "explanation": 6.0,
    "tokens": 4.0,
    "domains": 3.0,
    "promoted": 2.0,
    "contexts": 1.0,
}
"""Where a word may be found, and what that is worth; whole words count double."""


def searchable(cards: Cards, explanations: dict[tuple[int, int], str] | None = None) -> pl.DataFrame:
    """Gives the texts of every card that a search looks at, in lower case."""
    tokens = pl.DataFrame(
        {"id": cards.meta["token_ids"], "text": [text.lower() for text in cards.meta["token_texts"]]},
        schema={"id": pl.UInt32, "text": pl.String},
    )
    table = cards.table.with_row_index("row")
    domains = [str(name).lower() for name in cards.meta["text"]["domains"]]
    told = explanations or {}
    pairs = zip(table["layer"].to_list(), table["feature"].to_list(), strict=True)
    return table.select(
        "row",
        "layer",
        "feature",
        label=pl.col("labels")
        .list.eval(pl.element().struct.field("text"))
        .list.join("; ")
        .str.to_lowercase(),
        explanation=pl.Series([told.get(pair, "").lower() for pair in pairs], dtype=pl.String),
        tokens=_spelt(table, pl.col("on_tokens").list.eval(pl.element().struct.field("token")), tokens, " "),
        domains=pl.Series([" ".join(domains[d["domain"]] for d in row if d["share"] >= 0.5)
                           for row in table["domains"].to_list()], dtype=pl.String),
        promoted=_spelt(table, pl.col("promoted"), tokens, " "),
        contexts=_spelt(table, pl.col("context_tokens"), tokens, ""),
    )  # fmt: skip


def search(cards: Cards, words: str, explanations: dict[tuple[int, int], str] | None = None) -> pl.DataFrame:
    """Gives the features whose cards speak of every one of some words, the most telling first.

    Args:
        cards: the cards.
        words: any words; upper and lower case are the same.
        explanations: texts by layer and feature, searched too.

    Returns:
        layer, feature, score and `found`, where the words were found. A word counts 8 in a label, 6 in an
        explanation, 4 in the tokens a feature is on at, 3 in the domain most of them are from, 2 in what it
        promotes and 1 in its contexts; twice that as a whole word. Equal scores are ordered by precision.
    """
    texts = searchable(cards, explanations)
    parts = words.lower().split()
    every = pl.lit(True)
    score, found = pl.lit(0.0), [pl.lit("")]
    for place, worth in WHERE.items():
        inside = [pl.col(place).str.contains(part, literal=True) for part in parts]
        whole = [
            pl.col(place).str.contains(rf"(?:^|[^\pL\pN]){_literal(part)}(?:[^\pL\pN]|$)") for part in parts
        ]
        for plain, exact in zip(inside, whole, strict=True):
            score = score + worth * (plain.cast(pl.Float64) + exact.cast(pl.Float64))
        found.append(pl.when(pl.any_horizontal(inside)).then(pl.lit(place)).otherwise(pl.lit("")))
    for part in parts:
        every = every & pl.any_horizontal([pl.col(place).str.contains(part, literal=True) for place in WHERE])
    precision = cards.table["labels"].list.get(0, null_on_oob=True).struct.field("precision").fill_null(0)
    return (
        texts.with_columns(score=score, precision=precision, found=pl.concat_list(found))
        .filter(every)
        .with_columns(found=pl.col("found").list.eval(pl.element().filter(pl.element() != "")))
        .sort("score", "precision", "row", descending=[True, True, False])
        .select("layer", "feature", "score", "found")
    )


def _literal(word: str) -> str:
    """Gives a word for a regular expression, every sign escaped."""
    return "".join(c if c.isalnum() else f"\\x{{{ord(c):x}}}" for c in word)


def _spelt(table: pl.DataFrame, ids: pl.Expr, tokens: pl.DataFrame, between: str) -> pl.Series:
    """Gives lists of token ids as text."""
    long = table.select("row", id=ids).explode("id").join(tokens, on="id", how="left", maintain_order="left")
    text = long.group_by("row", maintain_order=True).agg(pl.col("text").drop_nulls().str.join(between))
    return table.select("row").join(text, on="row", how="left")["text"].fill_null("")
