"""`circuits features`: what the features of a dictionary mean, by their cards."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from circuits.cards.words import visible
from circuits.cli import options
from circuits.cli.cards import card_text, document, quoted
from circuits.cli.console import Output, commands, heading, stack
from circuits.cli.paths import check_output
from circuits.cli.progress import telling
from circuits.errors import NotFound, UsageError

if TYPE_CHECKING:
    from circuits.cards.record import Card, Cards

EXPLAIN = "Explanations by a language model"


Dictionary = Annotated[
    str, typer.Argument(metavar="DICT", help="toy (of the bundled model), or a dictionary with cards.")
]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Features to show, such as 1/926.")]
Search = Annotated[
    str | None, typer.Option("--search", "-s", metavar="WORDS", help="In labels, tokens and contexts.")
]
Layer = Annotated[int | None, typer.Option(metavar="L", min=0, help="Of this layer only.")]
CardsFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The cards.", show_default="cards.parquet beside the dictionary"),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", metavar="MODEL", help="Check the cards against this model's dictionary."),
]
ExportNeuronpedia = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=options.OUT, help="Write the cards in Neuronpedia's layout."),
]
ExplainWith = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        rich_help_panel=EXPLAIN,
        help="An OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1, to explain the features"
        " listed; its key is read from OPENAI_API_KEY.",
    ),
]
ExplainModel = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel=EXPLAIN, help="The model to ask there.")
]
PerMinute = Annotated[
    float, typer.Option(metavar="N", min=0.1, rich_help_panel=EXPLAIN, help="Requests a minute, at most.")
]


def features(
    dictionary: Dictionary,
    ids: Ids = None,
    search: Search = None,
    layer: Layer = None,
    top: options.Top = 20,
    cards: CardsFile = None,
    model: ModelName = None,
    export_neuronpedia: ExportNeuronpedia = None,
    explain_with: ExplainWith = None,
    explain_model: ExplainModel = None,
    per_minute: PerMinute = 60,
    overwrite: options.Overwrite = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """List and search the features of a dictionary, and show their cards.

    `circuits describe` makes the cards; the bundled dictionary has them.

    ```
    circuits features toy --search "capital"
    circuits features toy 1/926
    circuits features toy --export-neuronpedia export
    ```
    """
    output = Output(json, quiet)
    named = [_parsed(name) for name in ids or ()]
    if named and (search is not None or layer is not None):
        raise UsageError("Name features, or list them with --search or --layer: not both.")
    held = _opened(dictionary, cards, model)
    if export_neuronpedia is not None:
        _export(held, export_neuronpedia, output, overwrite=overwrite)
        return
    asked = Asked(dictionary, cards, layer, top, search)
    chosen = named or asked.names(held)
    if explain_with is not None:
        _explain(held, chosen, (explain_with, explain_model, per_minute), output)
    if not named:
        listed = asked.rows(held)
        output.result(asked.table(listed, held), {"features": listed, "cards": held.about})
        return
    found = [held.cards.card(*name) for name in named]
    texts = [card_text(card, held.cards, held.told.get((card.layer, card.feature))) for card in found]
    documents = [document(card, held.told.get((card.layer, card.feature))) for card in found]
    output.result(stack(*texts), {"features": documents, "cards": held.about})


def _export(held: Held, out: Path, output: Output, *, overwrite: bool) -> None:
    from circuits.cards.neuronpedia import export

    check_output(out, overwrite=overwrite, directory=True, kind="export")
    written = export(held.cards, out, held.told, overwrite=overwrite)
    said = f"{out}: {written['features']:,} features in {written['batches']} batches."
    output.result(heading(said), {"export": str(out), **written})


@dataclass(frozen=True)
class Held:
    """Cards, where they lie, and what a language model said of the features."""

    cards: Cards
    path: Path
    told: dict[tuple[int, int], dict[str, Any]]

    @property
    def about(self) -> dict[str, Any]:
        """Gives what the numbers mean and were made from."""
        wanted = ("model", "dictionary", "text", "settings", "limits", "tested")
        return {"path": str(self.path), **{name: self.cards.meta[name] for name in wanted}}


def _opened(dictionary: str, cards: Path | None, model: str | None) -> Held:
    from circuits.cards.explanations import explanations_path, load_explanations
    from circuits.cards.store import cards_path, load_cards

    path = cards or cards_path(dictionary)
    fingerprint = None
    if model is not None:
        from circuits.dictionaries.load import load_dictionary
        from circuits.models.load import load_model

        fingerprint = load_dictionary(dictionary, load_model(model)).fingerprint
    elif cards is None and not path.parent.exists():
        raise NotFound(f"No dictionary {dictionary!r}: give toy, or a file or directory with cards.")
    held = load_cards(path, fingerprint=fingerprint)
    return Held(held, path, load_explanations(explanations_path(path), held))


def _parsed(name: str) -> tuple[int, int]:
    layer, slash, feature = name.partition("/")
    if not (slash and layer.isdecimal() and feature.isdecimal()):
        raise UsageError(f"{name!r} is no feature: write layer/feature, such as 1/926.")
    return int(layer), int(feature)


@dataclass(frozen=True)
class Asked:
    """Which features are to be listed."""

    dictionary: str
    cards: Path | None
    layer: int | None
    top: int
    search: str | None

    def names(self, held: Held) -> list[tuple[int, int]]:
        """Gives layer and feature of each."""
        return [(row["layer"], row["feature"]) for row in self.rows(held)]

    def rows(self, held: Held) -> list[dict[str, Any]]:
        """Gives the features: by search score, else named concepts first, by how well they held."""
        import polars as pl

        table = held.cards.table.select("layer", "feature", "frequency", "label", "labels", "promoted")
        if self.search is not None:
            from circuits.cards.search import search

            said = {name: entry["text"] for name, entry in held.told.items()}
            found = search(held.cards, self.search, said)
            table = found.join(table, on=["layer", "feature"], how="left", maintain_order="left")
        else:
            best = pl.col("labels").list.get(0, null_on_oob=True).struct
            p, r = best.field("precision"), best.field("recall")
            order = best.field("named").fill_null(False) + (2 * p * r / (p + r)).fill_null(-1)
            table = table.with_columns(found=pl.lit(None)).sort(order, descending=True, maintain_order=True)
        if self.layer is not None:
            table = table.filter(pl.col("layer") == self.layer)
        return [_row(row, held) for row in table.head(self.top).iter_rows(named=True)]

    def table(self, rows: list[dict[str, Any]], held: Held) -> RenderableType:
        """Gives the list for the terminal."""
        import polars as pl

        from circuits.query.answer import table_text

        cards, limits = held.cards, held.cards.meta["limits"]["text"]
        if not rows:
            what = f" speaks of {self.search!r}" if self.search else ""
            return heading(f"None of {len(cards):,} features{what}.")
        named = cards.table["label"].count()
        title = f"{len(cards):,} features, {named:,} with a label that held out ({limits})."
        if self.search is not None:
            title = f"Features that speak of {self.search!r}, the most telling first."
        shown = pl.DataFrame(
            {
                "feature": [row["name"] for row in rows],
                "label": [row["label"] or row["explanation"] or row["provisional"] for row in rows],
                "precision": [_share(row["precision"]) for row in rows],
                "recall": [_share(row["recall"]) for row in rows],
                "on": [_share(row["frequency"]) for row in rows],
                **({"found in": [row["found"][0] for row in rows]} if self.search is not None else {}),
            }
        )
        where = shlex.quote(self.dictionary) + (
            f" --cards {shlex.quote(str(self.cards))}" if self.cards else ""
        )
        following = [(f"circuits features {where} {rows[0]['name']}", "its card")]
        text = table_text(shown, widest=52, most=len(rows))
        return stack(heading(title), text, Group(heading("Next"), commands(following)))


def _row(row: dict[str, Any], held: Held) -> dict[str, Any]:
    from circuits.schema import PROVISIONAL  # and with it polars

    best = row["labels"][0] if row["labels"] else {}
    spell = held.cards.strings
    provisional = PROVISIONAL + ", ".join(quoted(spell[token]) for token in row["promoted"][:3])
    told = held.told.get((row["layer"], row["feature"]))
    return {
        "name": f"{row['layer']}/{row['feature']}",
        "layer": row["layer"],
        "feature": row["feature"],
        "label": best.get("text"),
        "precision": best.get("precision"),
        "recall": best.get("recall"),
        "frequency": row["frequency"],
        "provisional": provisional,
        "explanation": visible(told["text"]) if told else None,
        "found": row["found"],
    }


def _share(value: float | None) -> str:
    from circuits.query.text import percent

    return percent(value)


def _explain(
    held: Held, chosen: list[tuple[int, int]], endpoint: tuple[str, str | None, float], output: Output
) -> None:
    """Asks a language model for the explanations of some features that have none yet."""
    from circuits.cards.endpoint import Endpoint
    from circuits.cards.explanations import explain_all, explanations_path

    url, name, per_minute = endpoint
    if not name:
        raise UsageError("--explain-with needs --explain-model: which model to ask there.")
    asked: list[Card] = [held.cards.card(*pair) for pair in chosen]
    with telling(output) as tell:
        service = Endpoint.of(url, name, per_minute=per_minute)
        path = explanations_path(held.path)
        held.told.update(explain_all(asked, held.cards, service, path, lambda d, n: tell("Explaining", d, n)))
